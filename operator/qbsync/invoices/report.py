"""From what happened to a status: pure. What did not change stays, so that nothing new means no write."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from qbsync.api.conditions import InvoiceReason, summarize
from qbsync.api.invoice import (
    HistoryEntry,
    Intent,
    InvoiceSyncStatus,
    LastError,
    Origin,
    Outcome,
    PaymentStatus,
)
from qbsync.api.meta import Kind
from qbsync.api.money import with_cents
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.errors import QuickBooksError

HISTORY_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Occasion:
    """When, and about which version of the object, something is reported."""

    now: datetime
    generation: int
    doc_number: str | None
    """The number that the spec asks for; QuickBooks may give another."""
    attempts: int | None
    """How often the invoice was sent so far."""
    request: str | None
    """The value of the annotation `requested-at` that this answers."""


def synced(
    previous: InvoiceSyncStatus,
    occasion: Occasion,
    *,
    outcome: Outcome,
    invoice: Invoice,
    content_hash: str,
    currency: str | None,
    requestid: str | None,
    url: str | None,
    today: date,
    intuit_tid: str | None,
) -> InvoiceSyncStatus:
    """The invoice stands in QuickBooks and is this object's."""
    reason = InvoiceReason(outcome.value)
    message = f"invoice {invoice.id} in QuickBooks: {_WHAT_HAPPENED[reason]}"
    entry = HistoryEntry(time=occasion.now, outcome=outcome.value, message=message, intuit_tid=intuit_tid)
    return _concluded(previous, occasion, reason=reason, message=message).model_copy(
        update={
            "quickbooks_id": invoice.id,
            "applied_hash": content_hash,
            "origin": previous.origin or (Origin.ADOPTED if outcome is Outcome.ADOPTED else Origin.CREATED),
            "outcome": outcome,
            "request_id": requestid or previous.request_id,
            "url": url,
            "intent": None,
            "last_error": None,
            "next_retry_time": None,
            "last_sync_time": occasion.now,
            "history": _history(previous, entry),
            **_figures(invoice, currency, today),
        }
    )


def verified(
    previous: InvoiceSyncStatus, occasion: Occasion, *, invoice: Invoice, currency: str | None, today: date
) -> InvoiceSyncStatus:
    """A sync was asked for, and the invoice is still there: its figures, and who asked."""
    return previous.model_copy(
        update={
            "observed_generation": occasion.generation,
            "last_handled_request": occasion.request or previous.last_handled_request,
            "last_sync_time": occasion.now,
            "outcome": Outcome.UNCHANGED,
            **_figures(invoice, currency, today),
        }
    )


def refused(
    previous: InvoiceSyncStatus,
    occasion: Occasion,
    *,
    reason: InvoiceReason,
    message: str,
    error: QuickBooksError | None = None,
    rejections: int | None = None,
) -> InvoiceSyncStatus:
    """Nothing more is tried until somebody acts."""
    told = last_error(error, occasion.now) if error is not None else None
    entry = HistoryEntry(
        time=occasion.now,
        outcome=reason.value,
        message=message,
        intuit_tid=told.intuit_tid if told is not None else None,
    )
    return _concluded(previous, occasion, reason=reason, message=message).model_copy(
        update={
            "last_error": told,
            "rejections": rejections if rejections is not None else previous.rejections,
            "intent": None,
            "next_retry_time": None,
            "history": _history(previous, entry),
        }
    )


def waiting(
    previous: InvoiceSyncStatus,
    occasion: Occasion,
    *,
    reason: InvoiceReason,
    message: str,
    delay: timedelta,
    stalled: bool | None = None,
    error: QuickBooksError | None = None,
    intent: Intent | None = None,
) -> InvoiceSyncStatus:
    """It goes on by itself, at the latest after `delay`."""
    conditions = summarize(
        previous=previous.conditions,
        kind=Kind.INVOICE,
        reason=reason.value,
        message=message,
        generation=occasion.generation,
        now=occasion.now,
        stalled=stalled,
    )
    return previous.model_copy(
        update={
            "observed_generation": occasion.generation,
            "conditions": conditions,
            "doc_number": previous.doc_number or occasion.doc_number,
            "attempts": occasion.attempts,
            "next_retry_time": occasion.now + delay,
            "last_error": last_error(error, occasion.now) if error is not None else previous.last_error,
            "request_id": intent.request_id if intent is not None else previous.request_id,
            "intent": intent or previous.intent,
        }
    )


def last_error(error: QuickBooksError, now: datetime) -> LastError:
    """QuickBooks' own words, as far as it said any."""
    fault = error.faults[0] if error.faults else None
    return LastError(
        code=fault.code if fault is not None else (str(error.status) if error.status else None),
        type=fault.type if fault is not None else type(error).__name__,
        message=fault.message if fault is not None else str(error),
        detail=fault.detail if fault is not None else None,
        intuit_tid=error.intuit_tid,
        time=now,
    )


def payment_status(invoice: Invoice, today: date) -> PaymentStatus:
    """What a bookkeeper would say of the invoice."""
    if invoice.total == 0 and (invoice.private_note or "").startswith("Voided"):
        return PaymentStatus.VOIDED
    if invoice.balance <= 0:
        return PaymentStatus.PAID
    if invoice.due_date is not None and invoice.due_date < today:
        return PaymentStatus.OVERDUE
    return PaymentStatus.UNPAID if invoice.balance >= invoice.total else PaymentStatus.PARTIALLY_PAID


_WHAT_HAPPENED = {
    InvoiceReason.CREATED: "created",
    InvoiceReason.ADOPTED: "it existed and matches, adopted",
    InvoiceReason.RECOVERED: "it had been created for this object before, found again",
}


def _concluded(
    previous: InvoiceSyncStatus, occasion: Occasion, *, reason: InvoiceReason, message: str
) -> InvoiceSyncStatus:
    conditions = summarize(
        previous=previous.conditions,
        kind=Kind.INVOICE,
        reason=reason.value,
        message=message,
        generation=occasion.generation,
        now=occasion.now,
    )
    return previous.model_copy(
        update={
            "observed_generation": occasion.generation,
            "conditions": conditions,
            "doc_number": previous.doc_number or occasion.doc_number,
            "attempts": occasion.attempts,
            "last_handled_request": occasion.request or previous.last_handled_request,
        }
    )


def _figures(invoice: Invoice, currency: str | None, today: date) -> dict[str, object]:
    return {
        "doc_number": invoice.doc_number,
        "sync_token": invoice.sync_token,
        "total_amount": with_cents(invoice.total),
        "balance": with_cents(invoice.balance),
        "currency": invoice.currency or currency,
        "payment_status": payment_status(invoice, today),
        "email_status": invoice.email_status,
    }


def _history(previous: InvoiceSyncStatus, entry: HistoryEntry) -> tuple[HistoryEntry, ...]:
    earlier = previous.history
    if earlier and (earlier[0].outcome, earlier[0].message) == (entry.outcome, entry.message):
        return earlier
    return (entry, *earlier)[:HISTORY_LENGTH]
