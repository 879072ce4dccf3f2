"""What to do about an InvoiceSync whose invoice is recorded: pure. Two tables, with a test for each row.

Read each from the top: the first row that holds is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import InvoiceDeletionPolicy
from qbsync.invoices.compare import Comparison
from qbsync.invoices.decide import Refuse, Wait
from qbsync.invoices.lines import SALES
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.exactjson import objects_in


@dataclass(frozen=True, slots=True)
class Update:
    """The spec moved: send what differs."""

    invoice: Invoice
    found: Comparison


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing is to be written; what differs is drift."""

    invoice: Invoice
    found: Comparison


@dataclass(frozen=True, slots=True)
class CreateAnew:
    """It was deleted in QuickBooks, and a person wants another one."""


@dataclass(frozen=True, slots=True)
class Void:
    """Bring it to nothing in QuickBooks, then let the object go."""

    invoice: Invoice


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove it from QuickBooks, then let the object go."""

    invoice: Invoice


@dataclass(frozen=True, slots=True)
class LetGo:
    """Nothing is left to do in QuickBooks: the object may go."""

    why: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """An object whose invoice is recorded, and what is asked of it."""

    quickbooks_id: str
    adopted: bool
    stated_net: Decimal
    """What the lines of the spec come to, without tax."""
    spec_moved: bool
    """spec.invoice is not what was carried out last."""
    recreate: bool = False
    """A person asked for a new invoice, and has not got it yet."""
    change_at_work_on: str | None = None
    """The SyncToken of a change of ours whose outcome is open."""
    change_at_work_for: timedelta | None = None
    """How long QuickBooks may still be at it; None: no longer."""


def decide_standing(  # noqa: PLR0911 - a table has as many ends as rows
    recorded: Recorded, invoice: Invoice | None, found: Comparison
) -> Update | Keep | CreateAnew | Wait | Refuse:
    """The action for a living object; `invoice` is what one complete read found."""
    if invoice is None and recorded.recreate:
        return CreateAnew()
    if invoice is None:
        return Refuse(
            InvoiceReason.DELETED_IN_QUICKBOOKS,
            f"invoice {recorded.quickbooks_id} was deleted in QuickBooks; it is not created again by itself. "
            "Annotate this object with qbsync.dev/recreate=<any new value> to have a new one",
        )
    if is_voided(invoice, recorded.stated_net) and recorded.spec_moved:
        return Refuse(
            InvoiceReason.INVALID_INVOICE,
            f"invoice {invoice.id} was voided in QuickBooks: a void invoice is not changed. "
            "Take the change of spec.invoice back, or delete this object and create another one",
        )
    if is_voided(invoice, recorded.stated_net):
        return Keep(invoice, Comparison())
    if not recorded.spec_moved or not found.to_write:
        return Keep(invoice, found)
    if recorded.change_at_work_for is not None and recorded.change_at_work_on == invoice.sync_token:
        return Wait(
            InvoiceReason.OUTCOME_UNKNOWN,
            f"QuickBooks did not say whether it changed invoice {invoice.id} and may still be at it",
            recorded.change_at_work_for,
        )
    return Update(invoice, found)


def decide_farewell(  # noqa: PLR0911 - a table has as many ends as rows
    recorded: Recorded, policy: InvoiceDeletionPolicy, invoice: Invoice | None
) -> Void | Delete | LetGo | Wait | Refuse:
    """The action for an object that is being deleted; `invoice` is what one complete read found."""
    if policy is InvoiceDeletionPolicy.RETAIN:
        return LetGo("the invoice stays in QuickBooks")
    if recorded.adopted:
        return LetGo("the invoice was adopted, and stays in QuickBooks")
    if invoice is None:
        return LetGo("there is no such invoice in QuickBooks any more")
    if is_voided(invoice, recorded.stated_net) and policy is InvoiceDeletionPolicy.VOID:
        return LetGo(f"invoice {invoice.id} is void")
    linked = payments_of(invoice.row)
    if linked:
        return Refuse(
            InvoiceReason.VOID_REFUSED,
            f"invoice {invoice.id} has payments ({', '.join(linked)}): unlink them in QuickBooks and request a "
            "sync, or annotate this object with qbsync.dev/force-delete=true to leave the invoice as it is",
        )
    if recorded.change_at_work_for is not None and recorded.change_at_work_on == invoice.sync_token:
        return Wait(
            InvoiceReason.OUTCOME_UNKNOWN,
            f"QuickBooks did not say what became of invoice {invoice.id} and may still be at it",
            recorded.change_at_work_for,
        )
    return Void(invoice) if policy is InvoiceDeletionPolicy.VOID else Delete(invoice)


def is_voided(invoice: Invoice, stated_net: Decimal) -> bool:
    """Whether it was brought to nothing, by us or in QuickBooks.

    Intuit: a void sets all amounts to 0 and keeps the number; what it writes to PrivateNote ("Voided") people
    may change. An invoice that was meant to be worth nothing is not void, unless the note says so.
    """
    if invoice.total != 0 or invoice.balance != 0:
        return False
    lines = objects_in(invoice.row.get("Line"))
    emptied = not any(line.get("Amount") for line in lines if line.get("DetailType") == SALES)
    return emptied and (stated_net != 0 or (invoice.private_note or "").startswith("Voided"))


def payments_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The transactions that pay an invoice, by type and id."""
    links = objects_in(row.get("LinkedTxn"))
    return tuple(
        f"{link.get('TxnType')} {link.get('TxnId')}"
        for link in links
        if link.get("TxnType") in ("Payment", "ReceivePayment", "CreditMemo")
    )
