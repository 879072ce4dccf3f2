"""Items: what a sales line sells."""

from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.hierarchy import full_name
from qbsync.simulator.entities.kinds import ACCOUNT, ITEM
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, quantity
from qbsync.simulator.entities.tax import item_tax
from qbsync.simulator.faults import business_rule, duplicate_name, invalid_enumeration
from qbsync.simulator.jsoncodec import JsonObject

_LENGTHS = {"Name": 100, "Sku": 100, "Description": 4000, "PurchaseDesc": 1000}
_TYPES = frozenset({"Service", "NonInventory", "Inventory", "Category", "Group", "Bundle"})
_BUNDLES = frozenset({"Group", "Bundle"})
COMPUTED = frozenset(
    {"Id", "SyncToken", "MetaData", "domain", "sparse", "status", "FullyQualifiedName", "Level"}
)
_NUMBERS = ("UnitPrice", "PurchaseCost", "QtyOnHand", "RatePercent", "ReorderPoint")


def build(making: Making, body: JsonObject) -> JsonObject:
    """An item, new or changed. Raises Refusal."""
    require(body, "Name")
    limit_lengths(body, _LENGTHS)
    name = str(body["Name"]).strip()
    item_type = _type(making, body)
    if ":" in name:
        raise business_rule("The name of an item must not contain a colon")
    full = full_name(making, ITEM, body, name)
    if any(
        row.id != making.identifier for row in making.company.table(ITEM).having("FullyQualifiedName", full)
    ):
        raise duplicate_name()
    document: JsonObject = {
        "Name": name,
        "Active": making.carried("Active", True),
        "FullyQualifiedName": full,
        "UnitPrice": quantity(ZERO),
        "Type": item_type,
        "PurchaseCost": quantity(ZERO),
        "TrackQtyOnHand": False,
        **making.frame(),
    }
    document.update({field: value for field, value in body.items() if field != "Type"})
    document.update(item_tax(making.company, body))
    document["Name"] = name
    for field in _NUMBERS:
        if field in document:
            document[field] = quantity(document[field])
    if item_type in _BUNDLES:
        document["ItemGroupDetail"] = _members(making, body)
    elif item_type != "Category":
        document["IncomeAccountRef"] = _income_account(making, body)
    return document


def _type(making: Making, body: JsonObject) -> str:
    """Service by default; a full update that leaves it out keeps it. Raises Refusal 2170."""
    item_type = str(body.get("Type", making.carried("Type", "Service")))
    if item_type not in _TYPES:
        raise invalid_enumeration("Type", item_type)
    return item_type


def _members(making: Making, body: JsonObject) -> JsonObject:
    """What a bundle consists of. Raises Refusal 2500 or 610 for items that cannot be sold."""
    entries = body.get("ItemGroupDetail", {}).get("ItemGroupLine", [])
    return {
        "ItemGroupLine": [
            {
                "Qty": entry.get("Qty", 1),
                "ItemRef": {"value": record.id, "name": record.values["FullyQualifiedName"]},
            }
            for entry in entries
            for record in [referred(making.company, ITEM, entry.get("ItemRef", {}))]
        ]
    }


def _income_account(making: Making, body: JsonObject) -> JsonObject:
    require(body, "IncomeAccountRef")
    record = referred(making.company, ACCOUNT, body["IncomeAccountRef"], inactive_code=making.inactive_code)
    return {"value": record.id, "name": record.values["FullyQualifiedName"]}
