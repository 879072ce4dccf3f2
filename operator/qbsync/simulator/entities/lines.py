"""Lines of sales forms: checked, numbered, bundles opened. Money is Decimal throughout."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.kinds import ACCOUNT, ITEM
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import amount, half_up, product, quantity, ratio, total
from qbsync.simulator.faults import amount_mismatch, business_rule, invalid_enumeration, missing_parameters
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.store import Record

SALES, DISCOUNT, GROUP = "SalesItemLineDetail", "DiscountLineDetail", "GroupLineDetail"
DESCRIPTION, SUBTOTAL = "DescriptionOnly", "SubTotalLineDetail"
_LENGTHS = {"Description": 4000}
_TYPES = frozenset({SALES, DISCOUNT, GROUP, DESCRIPTION, SUBTOTAL})
_HUNDRED = Decimal(100)
_CENT = Decimal("0.01")


def is_of(line: Mapping[str, Any], detail_type: str) -> bool:
    """Whether a line is of that DetailType."""
    return line.get("DetailType") == detail_type


def build_lines(making: Making, sent: Sequence[JsonObject]) -> list[JsonObject]:
    """Lines as QuickBooks keeps them, without the SubTotal line, which a client only sends back. Raises Refusal.

    A line with an Id that the transaction has stays that line; any other is a new one, with a number never used
    in this transaction (recorded: an update that sends line 5 without its Id gets line 6).
    """
    kept = [line for line in sent if not is_of(line, SUBTOTAL)]
    if not kept:
        raise missing_parameters("Line")
    numbering = _Numbering(making, kept)
    lines = [_line(making, line, numbering) for line in kept]
    largest = int(making.switches.number("linesPerTransaction"))
    if numbering.lines > largest > 0:
        raise business_rule(f"A transaction can have no more than {largest} lines")
    return lines


def flat(lines: Sequence[JsonObject]) -> Iterator[JsonObject]:
    """Every line, those inside bundles too."""
    for line in lines:
        yield line
        if is_of(line, GROUP):
            yield from flat(line.get(GROUP, {}).get("Line", []))


def subtotal(lines: Sequence[JsonObject]) -> Decimal:
    """The sum of what is sold, before discounts."""
    return total(Decimal(line["Amount"]) for line in flat(lines) if is_of(line, SALES))


def discounts(lines: Sequence[JsonObject]) -> Decimal:
    """What discount lines take off."""
    return total(Decimal(line["Amount"]) for line in lines if is_of(line, DISCOUNT))


def settle_percentages(making: Making, lines: Sequence[JsonObject]) -> None:
    """Give percent discounts their Amount; a sent one that differs is refused where the switch says so (6000)."""
    base = subtotal(lines)
    for line in lines:
        percent = line.get(DISCOUNT, {}).get("DiscountPercent")
        if not is_of(line, DISCOUNT) or line[DISCOUNT].get("PercentBased") is not True or percent is None:
            continue
        if not 0 <= percent <= _HUNDRED:
            raise business_rule(f"A discount of {percent}% is not between 0 and 100%")
        counted = ratio(product(base, Decimal(percent)), _HUNDRED, _CENT)
        supplied = line.get("Amount")
        if supplied not in (None, counted) and making.switches.choice("percentDiscount") == "check":
            raise business_rule(f"The discount of {supplied} is not {percent}% of {base}")
        line["Amount"] = amount(counted)


class _Numbering:
    """Ids and positions of a transaction's lines."""

    def __init__(self, making: Making, sent: Sequence[JsonObject]) -> None:
        self._known = None
        taken = {line["Id"] for line in flat(sent) if "Id" in line}
        first = 1
        if making.before is not None:
            self._known = {line["Id"] for line in flat(making.before.get("Line", [])) if "Id" in line}
            first = 1 + max((int(each) for each in self._known if each.isdigit()), default=0)
            taken = self._known
        self._free = (str(number) for number in count(first) if str(number) not in taken)
        self._given: set[str] = set()
        self.lines = 0

    def next(self, line: JsonObject) -> JsonObject:
        """Id and LineNum of the next line."""
        identifier = line.get("Id")
        if not identifier or identifier in self._given or (self._known and identifier not in self._known):
            identifier = next(self._free)
        self._given.add(identifier)
        self.lines += 1
        return {"Id": identifier, "LineNum": self.lines}


def _line(making: Making, line: JsonObject, numbering: _Numbering) -> JsonObject:
    limit_lengths(line, _LENGTHS)
    require(line, "DetailType")
    if line["DetailType"] not in _TYPES:
        raise invalid_enumeration("DetailType", str(line["DetailType"]))
    kept = numbering.next(line)
    if line.get("Description"):
        kept["Description"] = line["Description"]
    _PARTS[line["DetailType"]](making, line, kept, numbering)
    if "LinkedTxn" in line:
        kept["LinkedTxn"] = line["LinkedTxn"]
    return kept


def _sale(making: Making, line: JsonObject, kept: JsonObject, _: _Numbering) -> None:
    require(line, "Amount")
    detail = line.get(SALES, {})
    if not detail.get("ItemRef", {}).get("value"):
        raise missing_parameters("SalesItemLineDetail.ItemRef")
    item = _item(making, detail["ItemRef"])
    if detail.get("Qty") == 0 and detail.get("UnitPrice") == 0:
        # python-quickbooks sends both as 0 with any Amount, and the real QuickBooks takes it.
        detail = {name: value for name, value in detail.items() if name not in {"Qty", "UnitPrice"}}
    _check_amount(line["Amount"], detail)
    kept["Amount"] = amount(half_up(Decimal(line["Amount"])))
    kept["DetailType"] = SALES
    kept[SALES] = {
        "ItemRef": {"value": item.id, "name": item.values["FullyQualifiedName"]},
        **{name: _written(value) for name, value in detail.items() if name != "ItemRef"},
    }


def _discount(making: Making, line: JsonObject, kept: JsonObject, _: _Numbering) -> None:
    detail = dict(line.get(DISCOUNT, {}))
    if detail.get("PercentBased") is not True or "DiscountPercent" not in detail:
        require(line, "Amount")
    supplied = line.get("Amount")
    if supplied is not None:
        if supplied < 0:
            raise business_rule("The amount of a discount is positive")
        kept["Amount"] = amount(half_up(Decimal(supplied)))
    kept["DetailType"] = DISCOUNT
    account = detail.get("DiscountAccountRef")
    if account is not None:
        record = referred(making.company, ACCOUNT, account, inactive_code=making.inactive_code)
        detail["DiscountAccountRef"] = {"value": record.id, "name": record.values["FullyQualifiedName"]}
    kept[DISCOUNT] = {name: _written(value) for name, value in detail.items()}


def _description(_: Making, line: JsonObject, kept: JsonObject, __: _Numbering) -> None:
    kept["DetailType"] = DESCRIPTION
    kept["DescriptionLineDetail"] = line.get("DescriptionLineDetail", {})


def _group(making: Making, line: JsonObject, kept: JsonObject, numbering: _Numbering) -> None:
    detail = line.get(GROUP, {})
    if not detail.get("GroupItemRef", {}).get("value"):
        raise missing_parameters("GroupLineDetail.GroupItemRef")
    item = _item(making, detail["GroupItemRef"])
    document = item.document()
    if document.get("Type") not in {"Group", "Bundle"}:
        raise business_rule(f"{item.values['Name']} is not a bundle")
    times = Decimal(detail.get("Quantity", 1))
    members = detail.get("Line") or _members(making, document, times)
    if any(not is_of(each, SALES) and not is_of(each, DESCRIPTION) for each in members):
        raise business_rule("A bundle holds lines of items and of text only")
    # Recorded: the bundle's own line has Amount 0, its members are what counts.
    kept["Amount"] = 0
    kept["DetailType"] = GROUP
    kept[GROUP] = {
        "GroupItemRef": {"value": item.id, "name": item.values["FullyQualifiedName"]},
        "Quantity": quantity(times),
        "Line": [_line(making, each, numbering) for each in members],
    }


def _members(making: Making, bundle: JsonObject, times: Decimal) -> list[JsonObject]:
    """What a bundle consists of, at the items' own prices."""
    members = []
    for entry in bundle.get("ItemGroupDetail", {}).get("ItemGroupLine", []):
        item = _item(making, entry["ItemRef"]).document()
        sold = product(times, Decimal(entry.get("Qty", 1)))
        price = Decimal(item.get("UnitPrice", 0))
        members.append(
            {
                **({"Description": item["Description"]} if item.get("Description") else {}),
                "Amount": half_up(product(sold, price)),
                "DetailType": SALES,
                SALES: {"ItemRef": {"value": item["Id"]}, "UnitPrice": price, "Qty": sold},
            }
        )
    if not members:
        raise business_rule(f"The bundle {bundle['Name']} is empty")
    return members


_PARTS = {SALES: _sale, DISCOUNT: _discount, DESCRIPTION: _description, GROUP: _group}


def _item(making: Making, reference: Mapping[str, Any]) -> Record:
    return referred(making.company, ITEM, reference, inactive_code=making.inactive_code)


def _check_amount(supplied: Decimal, detail: Mapping[str, Any]) -> None:
    """6070 unless Amount is Qty x UnitPrice, rounded half up to cents."""
    sold, price = detail.get("Qty"), detail.get("UnitPrice")
    if sold is None or price is None:
        return
    if Decimal(supplied) != half_up(product(Decimal(sold), Decimal(price))):
        raise amount_mismatch(Decimal(supplied))


def _written(value: Any) -> Any:
    return quantity(value) if isinstance(value, Decimal) else value
