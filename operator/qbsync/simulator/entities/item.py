"""Items: what a sales line sells."""

from datetime import datetime

from qbsync.simulator.company import Company
from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.kinds import ACCOUNT, ITEM
from qbsync.simulator.entities.money import ZERO, quantity
from qbsync.simulator.faults import business_rule, duplicate_name, invalid_enumeration
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import stamp

_LENGTHS = {"Name": 100, "Sku": 100, "Description": 4000, "PurchaseDesc": 1000}
_TYPES = frozenset({"Service", "NonInventory", "Inventory", "Category", "Group", "Bundle"})
_COMPUTED = frozenset(
    {"Id", "SyncToken", "MetaData", "domain", "sparse", "FullyQualifiedName", "Level", "Type"}
)


def build(company: Company, body: JsonObject, *, identifier: str, now: datetime) -> JsonObject:
    """A new item from a request that already has QuickBooks' types. Raises Refusal."""
    require(body, "Name")
    limit_lengths(body, _LENGTHS)
    name = str(body["Name"]).strip()
    item_type = str(body.get("Type", "Service"))
    if item_type not in _TYPES:
        raise invalid_enumeration("Type", item_type)
    if ":" in name:
        raise business_rule("The name of an item must not contain a colon")
    full_name = _full_name(company, body, name)
    if company.table(ITEM).having("FullyQualifiedName", full_name):
        raise duplicate_name()
    document: JsonObject = {
        "Name": name,
        "Active": True,
        "FullyQualifiedName": full_name,
        "Taxable": False,
        "UnitPrice": quantity(ZERO),
        "Type": item_type,
        "PurchaseCost": quantity(ZERO),
        "TrackQtyOnHand": False,
        "domain": "QBO",
        "sparse": False,
        "Id": identifier,
        "SyncToken": "0",
        "MetaData": {"CreateTime": stamp(now), "LastUpdatedTime": stamp(now)},
    }
    document.update({field: value for field, value in body.items() if field not in _COMPUTED})
    document["Name"] = name
    for field in ("UnitPrice", "PurchaseCost"):
        document[field] = quantity(document[field])
    if item_type != "Category":
        document["IncomeAccountRef"] = _income_account(company, body)
    return document


def _full_name(company: Company, body: JsonObject, name: str) -> str:
    parent = body.get("ParentRef")
    if parent is None:
        return name
    return f"{referred(company, ITEM, parent).values['FullyQualifiedName']}:{name}"


def _income_account(company: Company, body: JsonObject) -> JsonObject:
    require(body, "IncomeAccountRef")
    record = referred(company, ACCOUNT, body["IncomeAccountRef"])
    return {"value": record.id, "name": record.values["FullyQualifiedName"]}
