"""From a spec to QuickBooks' JSON: pure, and in Decimal from end to end."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from qbsync.api.invoice import InvoiceSpec, Line
from qbsync.api.money import round_half_up
from qbsync.invoices.errors import InvalidSpec
from qbsync.invoices.identity import OwnerMark, with_mark

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resolved:
    """The QuickBooks ids behind the names of one spec."""

    customer_id: str
    item_ids: tuple[str, ...]
    """One for each line."""


def transaction_date(invoice: InvoiceSpec, *, created: datetime, time_zone: str) -> date:
    """The date of the invoice: as given, else the day the object was created, in the company's time zone.

    Never the day of sending, so that every retry sends the same body.
    """
    return invoice.transaction_date or created.astimezone(ZoneInfo(time_zone)).date()


def line_amount(line: Line, position: int) -> Decimal:
    """The amount of a line in the invoice's currency.

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


def net_total(invoice: InvoiceSpec) -> Decimal:
    """What the lines come to, before tax. Raises `InvalidSpec`."""
    return sum((line_amount(line, position) for position, line in enumerate(invoice.lines)), Decimal(0))


def to_quickbooks(invoice: InvoiceSpec, *, resolved: Resolved, mark: OwnerMark, day: date) -> JsonObject:
    """The body of the create. Raises `InvalidSpec`."""
    body: JsonObject = {
        "DocNumber": invoice.doc_number,
        "TxnDate": day.isoformat(),
        "CustomerRef": {"value": resolved.customer_id},
        "PrivateNote": with_mark(invoice.private_note, mark),
        "Line": [
            _line(line, position, item_id)
            for position, (line, item_id) in enumerate(zip(invoice.lines, resolved.item_ids, strict=True))
        ],
    }
    if invoice.due_date is not None:
        body["DueDate"] = invoice.due_date.isoformat()
    # An empty text clears a field; a new invoice has nothing to clear.
    if invoice.bill_email:
        body["BillEmail"] = {"Address": invoice.bill_email}
    if invoice.customer_memo:
        body["CustomerMemo"] = {"value": invoice.customer_memo}
    return body


def _line(line: Line, position: int, item_id: str) -> JsonObject:
    detail: JsonObject = {"ItemRef": {"value": item_id}}
    if line.unit_price is not None:
        detail["Qty"] = line.quantity if line.quantity is not None else Decimal(1)
        detail["UnitPrice"] = line.unit_price
    elif line.quantity is not None:
        raise InvalidSpec(f"spec.invoice.lines[{position}]: quantity needs unitPrice")
    if line.service_date is not None:
        detail["ServiceDate"] = line.service_date.isoformat()
    mapped: JsonObject = {
        "Amount": line_amount(line, position),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": detail,
    }
    if line.description:
        mapped["Description"] = line.description
    return mapped
