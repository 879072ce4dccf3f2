"""The lines of an invoice, both ways: pure, and in Decimal from end to end."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from qbsync.api.invoice import InvoiceSpec, Line, TaxCalculation
from qbsync.api.money import round_half_up
from qbsync.invoices.errors import InvalidSpec
from qbsync.invoices.references import Resolved
from qbsync.quickbooks.exactjson import objects_in

JsonObject = dict[str, Any]

SALES: Final = "SalesItemLineDetail"
DISCOUNT: Final = "DiscountLineDetail"
SUBTOTAL: Final = "SubTotalLineDetail"
TEXT: Final = "DescriptionOnly"
_HUNDRED: Final = Decimal(100)


def line_amount(line: Line, position: int) -> Decimal:
    """The amount of a line with an item, in the invoice's currency.

    Intuit: Fault 6070 unless it is UnitPrice x Qty, rounded half up to two places.
    Raises `InvalidSpec` if the spec gives no amount, or one that is not that product.
    """
    path = f"spec.invoice.lines[{position}]"
    if line.unit_price is None:
        if line.amount is None:
            raise InvalidSpec(f"{path}: write amount, or quantity and unitPrice")
        return line.amount
    product = round_half_up(line.unit_price * (line.quantity if line.quantity is not None else 1))
    if line.amount is not None and round_half_up(line.amount) != product:
        raise InvalidSpec(
            f"{path}.amount is {line.amount}, but quantity x unitPrice is {product}: "
            "leave amount out, or correct one of the three"
        )
    return product


def items_total(invoice: InvoiceSpec) -> Decimal:
    """What the lines with items come to, before discount and tax. Raises `InvalidSpec`."""
    amounts = (line_amount(line, n) for n, line in enumerate(invoice.lines) if line.item is not None)
    return sum(amounts, Decimal(0))


def discount_total(invoice: InvoiceSpec) -> Decimal:
    """What the discount takes off. Raises `InvalidSpec`."""
    position = _discount_position(invoice)
    return _discount_amount(invoice, invoice.lines[position]) if position is not None else Decimal(0)


def net_total(invoice: InvoiceSpec) -> Decimal:
    """What the lines come to after discount, before tax. Raises `InvalidSpec`."""
    return items_total(invoice) - discount_total(invoice)


def lines_body(invoice: InvoiceSpec, resolved: Resolved) -> list[JsonObject]:
    """QuickBooks' `Line`. Raises `InvalidSpec`."""
    _discount_position(invoice)
    mapped = []
    running = Decimal(0)
    for position, line in enumerate(invoice.lines):
        if line.item is not None:
            mapped.append(_sale(line, position, resolved))
            running += mapped[-1]["Amount"]
        elif line.discount is not None:
            mapped.append(_discount(invoice, line, f"lines[{position}]", resolved))
        elif line.text is not None:
            mapped.append({"DetailType": TEXT, "Description": line.text, "DescriptionLineDetail": {}})
        else:
            mapped.append({"Amount": running, "DetailType": SUBTOTAL, SUBTOTAL: {}})
    return mapped


def with_line_ids(lines: Sequence[JsonObject], standing: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """The same lines under the ids of those that stand in QuickBooks: kind by kind, in order.

    A line keeps its id, and with it what else hangs on it there; further lines are new, missing ones go.
    """
    free: dict[str, list[str]] = {}
    for line in standing:
        if line.get("Id"):
            free.setdefault(str(line.get("DetailType")), []).append(str(line["Id"]))
    identified = []
    for line in lines:
        ids = free.get(line["DetailType"], [])
        identified.append({"Id": ids.pop(0), **line} if ids else line)
    return identified


def canonical_lines(rows: object) -> list[JsonObject]:
    """What people may edit in the lines of an answer; without what QuickBooks computes or numbers."""
    return [_canonical(line) for line in objects_in(rows) if line.get("DetailType") != SUBTOTAL]


def lines_agree(invoice: InvoiceSpec, stated: Sequence[JsonObject], rows: object) -> bool:
    """Whether the lines of an answer say all that the spec says of them.

    Where tax is inclusive QuickBooks keeps net prices beside the stated amount (TaxInclusiveAmt).
    """
    inclusive = invoice.tax_calculation is TaxCalculation.INCLUSIVE
    ours = sorted(canonical_lines(list(stated)), key=_discounts_last)
    theirs = sorted(canonical_lines(rows), key=_discounts_last)
    return len(ours) == len(theirs) and all(
        _line_agrees(mine, other, inclusive=inclusive) for mine, other in zip(ours, theirs, strict=True)
    )


def _discounts_last(line: Mapping[str, Any]) -> bool:
    # QuickBooks moves the discount behind the subtotal, wherever it was written.
    return bool(line["type"] == DISCOUNT)


def _line_agrees(mine: JsonObject, other: JsonObject, *, inclusive: bool) -> bool:
    if mine["type"] == DISCOUNT and mine["percent"] is not None:
        return bool(mine["percent"] == other["percent"])
    shown = dict(other)
    compared = set(mine) - {"inclusive"}
    if inclusive and other.get("inclusive") is not None:
        shown["amount"] = other["inclusive"]
        compared -= {"price"}
    return all(mine[name] is None or mine[name] == shown.get(name) for name in compared)


def _canonical(line: Mapping[str, Any]) -> JsonObject:
    kind = str(line.get("DetailType"))
    found = line.get(kind)
    detail: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    common: JsonObject = {"type": kind, "description": line.get("Description") or None}
    if kind == SALES:
        return {
            **common,
            "amount": line.get("Amount"),
            "inclusive": detail.get("TaxInclusiveAmt"),
            "item": _ref(detail, "ItemRef"),
            "quantity": detail.get("Qty"),
            "price": detail.get("UnitPrice"),
            "day": detail.get("ServiceDate"),
            "class": _ref(detail, "ClassRef"),
            "tax": _ref(detail, "TaxCodeRef"),
        }
    if kind == DISCOUNT:
        by_percent = detail.get("PercentBased") is True
        return {
            **common,
            "percent": detail.get("DiscountPercent") if by_percent else None,
            "amount": None if by_percent else line.get("Amount"),
            "account": _ref(detail, "DiscountAccountRef"),
        }
    return {**common, "amount": line.get("Amount")}


def _ref(detail: Mapping[str, Any], name: str) -> str | None:
    ref = detail.get(name)
    return str(ref["value"]) if isinstance(ref, Mapping) and ref.get("value") else None


def _sale(line: Line, position: int, resolved: Resolved) -> JsonObject:
    slot = f"lines[{position}]"
    detail: JsonObject = {"ItemRef": {"value": resolved[f"{slot}.item"]}}
    if line.unit_price is not None:
        detail["Qty"] = line.quantity if line.quantity is not None else Decimal(1)
        detail["UnitPrice"] = line.unit_price
    elif line.quantity is not None:
        raise InvalidSpec(f"spec.invoice.{slot}: quantity needs unitPrice")
    if line.service_date is not None:
        detail["ServiceDate"] = line.service_date.isoformat()
    for name, wanted in (("TaxCodeRef", "taxCode"), ("ClassRef", "class")):
        if f"{slot}.{wanted}" in resolved:
            detail[name] = {"value": resolved[f"{slot}.{wanted}"]}
    mapped: JsonObject = {"Amount": line_amount(line, position), "DetailType": SALES, SALES: detail}
    if line.description:
        mapped["Description"] = line.description
    return mapped


def _discount_position(invoice: InvoiceSpec) -> int | None:
    """Where the discount stands. QuickBooks has one, and takes it off all items."""
    positions = [n for n, line in enumerate(invoice.lines) if line.discount is not None]
    if len(positions) > 1:
        raise InvalidSpec(
            f"spec.invoice.lines[{positions[1]}]: QuickBooks has one discount on an invoice; "
            "write the sum of them, or a negative amount for an item"
        )
    if positions and any(line.item is not None for line in invoice.lines[positions[0] :]):
        raise InvalidSpec(
            f"spec.invoice.lines[{positions[0]}]: QuickBooks takes the discount off all items; "
            "write it behind the last of them"
        )
    return positions[0] if positions else None


def _discount_amount(invoice: InvoiceSpec, line: Line) -> Decimal:
    discount = line.discount
    if discount is None:
        return Decimal(0)
    if discount.percent is not None:
        return round_half_up(items_total(invoice) * discount.percent / _HUNDRED)
    return discount.amount or Decimal(0)


def _discount(invoice: InvoiceSpec, line: Line, slot: str, resolved: Resolved) -> JsonObject:
    percent = line.discount.percent if line.discount is not None else None
    detail: JsonObject = {"PercentBased": percent is not None}
    if percent is not None:
        detail["DiscountPercent"] = percent
    account = resolved.get(f"{slot}.discount.account")
    if account is not None:
        detail["DiscountAccountRef"] = {"value": account}
    return {"Amount": _discount_amount(invoice, line), "DetailType": DISCOUNT, DISCOUNT: detail}
