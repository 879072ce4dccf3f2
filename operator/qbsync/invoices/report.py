"""From what happened to a status: pure. What did not change stays, so that nothing new means no write."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from qbsync.api.conditions import (
    SUSPENDED,
    Condition,
    ConditionType,
    InvoiceReason,
    ReadyStatus,
    find,
    set_condition,
    summarize,
)
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
from qbsync.invoices.compare import Carried
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.errors import QuickBooksError

HISTORY_LENGTH = 10
CREATE = "create"
"""The operation of the intent to create an invoice."""
CREATE_ENTRY = "create "
"""What the operation of the intent to create a customer or item begins with; what follows is its kind."""
SEND = "send"
"""The operation of the intent to have an invoice e-mailed; without a time it is due, and was not sent."""
DELETED = "Deleted"
"""The outcome of a deletion in QuickBooks, of which no status stays."""
EMAIL_SENT = "EmailSent"
"""Intuit: EmailStatus."""


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
    recreate: str | None = None
    """The value of the annotation `recreate` that this answers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An invoice as it was seen, and what an accountant should know of it."""

    invoice: Invoice
    carried: Carried
    currency: str | None
    """Of the company, where the invoice names none."""
    today: date
    """The company's date."""
    source_total: Decimal | None = None
    """What the invoice comes to in the system that it is from."""
    voided: bool = False


def synced(
    previous: InvoiceSyncStatus,
    occasion: Occasion,
    finding: Finding,
    *,
    outcome: Outcome,
    origin: Origin,
    requestid: str | None,
    url: str | None,
    intuit_tid: str | None,
    mail_due: bool = False,
) -> InvoiceSyncStatus:
    """The invoice stands in QuickBooks and is this object's. `mail_due`: and is to be e-mailed."""
    reason = InvoiceReason(outcome.value)
    message = f"invoice {finding.invoice.id} in QuickBooks: {_WHAT_HAPPENED[reason]}"
    entry = HistoryEntry(time=occasion.now, outcome=outcome.value, message=message, intuit_tid=intuit_tid)
    concluded = _concluded(previous, occasion, reason=reason, message=message).model_copy(
        update={
            "origin": previous.origin or origin,
            "outcome": outcome,
            "request_id": requestid or previous.request_id,
            "url": url,
            "intent": Intent(operation=SEND) if mail_due else open_mail(previous),
            "last_error": None,
            "next_retry_time": None,
            "last_sync_time": occasion.now,
            "last_handled_recreate": occasion.recreate or previous.last_handled_recreate,
            "history": _history(previous, entry),
        }
    )
    return _with_finding(concluded, occasion, finding)


def kept(previous: InvoiceSyncStatus, occasion: Occasion, finding: Finding) -> InvoiceSyncStatus:
    """It was looked at and left as it is: its figures, what drifted, and who asked."""
    reason = standing_reason(previous)
    ready = find(previous.conditions, ConditionType.READY)
    same = ready is not None and ready.reason == reason
    message = ready.message.removeprefix(SUSPENDED) if ready is not None and same else ""
    looked = _concluded(
        previous, occasion, reason=reason, message=message or f"invoice {finding.invoice.id} in QuickBooks"
    ).model_copy(
        update={
            "intent": open_mail(previous),
            "last_error": None,
            "next_retry_time": None,
            "last_sync_time": occasion.now,
            "last_handled_recreate": occasion.recreate or previous.last_handled_recreate,
            "outcome": Outcome.UNCHANGED if occasion.request else previous.outcome,
        }
    )
    return _with_finding(looked, occasion, finding)


def figured(previous: InvoiceSyncStatus, occasion: Occasion, finding: Finding) -> InvoiceSyncStatus:
    """What is paid of it has moved: its figures, and nothing of what the spec is about."""
    return _with_finding(previous, occasion, finding)


def observed(
    previous: InvoiceSyncStatus,
    occasion: Occasion,
    *,
    would: str,
    finding: Finding | None,
    origin: Origin,
) -> InvoiceSyncStatus:
    """Mode Observe: what would be done, empty for nothing. Nothing was written to QuickBooks."""
    conditions = summarize(
        previous=previous.conditions,
        kind=Kind.INVOICE,
        reason=InvoiceReason.OBSERVED.value,
        message=would or "nothing would be done: QuickBooks says the same",
        generation=occasion.generation,
        now=occasion.now,
        ready=not would,
    )
    looked = previous.model_copy(
        update={
            "conditions": conditions,
            "observed_generation": occasion.generation,
            "last_handled_request": occasion.request or previous.last_handled_request,
            "last_error": None,
            "next_retry_time": None,
        }
    )
    if finding is None:
        return looked
    known = looked.model_copy(update={"origin": previous.origin or origin})
    return _with_finding(known, occasion, finding)


def standing_reason(status: InvoiceSyncStatus) -> InvoiceReason:
    """The reason of Ready of an invoice that stands and needs nothing."""
    if status.outcome is not None and status.outcome is not Outcome.UNCHANGED:
        return InvoiceReason(status.outcome.value)
    ready = find(status.conditions, ConditionType.READY)
    if ready is not None and ready.reason in _SAID_OF_STANDING:
        return InvoiceReason(ready.reason)
    return InvoiceReason.ADOPTED if status.origin is Origin.ADOPTED else InvoiceReason.CREATED


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
            # Unless it is the create that was refused, that may still arrive.
            "intent": open_mail(previous) or (open_create(previous) if rejections is None else None),
            "next_retry_time": None,
            "history": _history(previous, entry),
        }
    )


def parted(
    previous: InvoiceSyncStatus,
    occasion: Occasion,
    *,
    quickbooks_id: str,
    left: Invoice | None,
    intuit_tid: str | None,
    found_so: bool = False,
) -> InvoiceSyncStatus:
    """The invoice was voided (`left` is what stands now) or deleted, as the policy says; the object goes next.

    `found_so`: it was so already, and who did it is not known.
    """
    outcome = Outcome.VOIDED if left is not None else DELETED
    how = " already" if found_so else ", as spec.deletionPolicy says"
    message = f"invoice {quickbooks_id} in QuickBooks: {outcome.lower()}{how}"
    entry = HistoryEntry(time=occasion.now, outcome=outcome, message=message, intuit_tid=intuit_tid)
    parted = previous.model_copy(
        update={
            "last_error": None,
            "next_retry_time": None,
            "last_sync_time": occasion.now,
            "history": _history(previous, entry),
        }
    )
    if left is None:
        return parted
    return _concluded(parted, occasion, reason=InvoiceReason.VOIDED, message=message).model_copy(
        update={
            "outcome": Outcome.VOIDED,
            "quickbooks_id": left.id,
            "doc_number": left.doc_number,
            "sync_token": left.sync_token,
            "total_amount": with_cents(left.total),
            "balance": with_cents(left.balance),
            "payment_status": PaymentStatus.VOIDED,
        }
    )


def has_parted(status: InvoiceSyncStatus) -> bool:
    """Whether the end of the invoice is told already."""
    return any(entry.outcome in (Outcome.VOIDED, DELETED) for entry in status.history)


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
            "request_id": _create_id(intent) or previous.request_id,
            # An e-mail stays due, or in doubt, whatever else is.
            "intent": open_mail(previous) or intent or previous.intent,
        }
    )


def intended(previous: InvoiceSyncStatus, occasion: Occasion, intent: Intent) -> InvoiceSyncStatus:
    """What is about to be sent, before it is. Says nothing of how the invoice stands."""
    return previous.model_copy(
        update={
            "intent": intent,
            "doc_number": previous.doc_number or occasion.doc_number,
            "request_id": _create_id(intent) or previous.request_id,
        }
    )


def _create_id(intent: Intent | None) -> str | None:
    """The requestid of the invoice itself, if that is what is intended."""
    return intent.request_id if intent is not None and intent.operation == CREATE else None


def open_mail(status: InvoiceSyncStatus) -> Intent | None:
    """The e-mail that is due, or whose outcome is open."""
    intent = status.intent
    return intent if intent is not None and intent.operation == SEND else None


def open_create(status: InvoiceSyncStatus) -> Intent | None:
    """The create whose outcome is open."""
    intent = status.intent
    return intent if intent is not None and intent.operation == CREATE else None


def entry_open(status: InvoiceSyncStatus) -> bool:
    """Whether the outcome of creating a customer or item for the invoice is open."""
    intent = status.intent
    return intent is not None and intent.operation not in (CREATE, SEND)


def recovered_at(status: InvoiceSyncStatus) -> datetime | None:
    """When the invoice was found again, at the latest; None if it was created or adopted."""
    found = next((entry.time for entry in status.history if entry.outcome == Outcome.RECOVERED), None)
    # Times are stored cut to the second.
    return found + timedelta(seconds=1) if found is not None else None


def mail_settled(
    previous: InvoiceSyncStatus,
    occasion: Occasion,
    *,
    outcome: str,
    message: str,
    invoice: Invoice | None,
    error: QuickBooksError | None,
    intuit_tid: str | None,
) -> InvoiceSyncStatus:
    """The invoice was e-mailed, or was not, and will not be. How it stands is another matter."""
    reason = standing_reason(previous)
    ready = find(previous.conditions, ConditionType.READY)
    said = ready.message.removeprefix(SUSPENDED) if ready is not None else ""
    entry = HistoryEntry(time=occasion.now, outcome=outcome, message=message, intuit_tid=intuit_tid)
    concluded = _concluded(previous, occasion, reason=reason, message=f"{said}; {message}")
    seen = (
        {"email_status": invoice.email_status, "sync_token": invoice.sync_token}
        if invoice is not None
        else {}
    )
    told = last_error(error, occasion.now) if error is not None else None
    update = {
        "intent": None,
        "next_retry_time": None,
        "last_error": told,
        "history": _history(previous, entry),
    }
    return concluded.model_copy(update={**update, **seen})


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


def payment_status(invoice: Invoice, today: date, *, voided: bool) -> PaymentStatus:
    """What a bookkeeper would say of the invoice."""
    if voided:
        return PaymentStatus.VOIDED
    if invoice.balance <= 0:
        return PaymentStatus.PAID
    if invoice.due_date is not None and invoice.due_date < today:
        return PaymentStatus.OVERDUE
    return PaymentStatus.UNPAID if invoice.balance >= invoice.total else PaymentStatus.PARTIALLY_PAID


_SAID_OF_STANDING = frozenset(Outcome) - {Outcome.UNCHANGED}
_WHAT_HAPPENED = {
    InvoiceReason.CREATED: "created",
    InvoiceReason.ADOPTED: "it existed and matches, adopted",
    InvoiceReason.RECOVERED: "it had been created for this object before, found again",
    InvoiceReason.UPDATED: "changed as the spec says",
    InvoiceReason.VOIDED: "voided",
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


def _with_finding(status: InvoiceSyncStatus, occasion: Occasion, finding: Finding) -> InvoiceSyncStatus:
    invoice, carried = finding.invoice, finding.carried
    drift = "voided in QuickBooks" if finding.voided else carried.drift
    conditions = _finding(status.conditions, occasion, ConditionType.DRIFTED, "EditedInQuickBooks", drift)
    mismatch = _mismatch(finding)
    return status.model_copy(
        update={
            "conditions": _finding(
                conditions, occasion, ConditionType.TOTAL_MISMATCH, "SourceDiffers", mismatch
            ),
            "quickbooks_id": invoice.id,
            "applied_hash": carried.content_hash,
            "applied": dict(carried.applied),
            "doc_number": invoice.doc_number,
            "sync_token": invoice.sync_token,
            "total_amount": with_cents(invoice.total),
            "balance": with_cents(invoice.balance),
            "currency": invoice.currency or finding.currency,
            "payment_status": payment_status(invoice, finding.today, voided=finding.voided),
            "due_date": invoice.due_date,
            "email_status": invoice.email_status,
        }
    )


def _mismatch(finding: Finding) -> str:
    source, total = finding.source_total, finding.invoice.total
    if source is None or finding.voided or source == total:
        return ""
    return (
        f"the invoice comes to {with_cents(total)} in QuickBooks, spec.source.total says {with_cents(source)}"
    )


def _finding(
    conditions: tuple[Condition, ...], occasion: Occasion, type: ConditionType, reason: str, message: str
) -> tuple[Condition, ...]:
    """A finding is there while it holds, and False afterwards; what never held is not mentioned."""
    if not message and find(conditions, type) is None:
        return conditions
    found = Condition(
        type=type,
        status=ReadyStatus.TRUE if message else ReadyStatus.FALSE,
        reason=reason if message else "InSync",
        message=message or "spec and QuickBooks agree",
        last_transition_time=occasion.now,
        observed_generation=occasion.generation,
    )
    return set_condition(conditions, found)


def _history(previous: InvoiceSyncStatus, entry: HistoryEntry) -> tuple[HistoryEntry, ...]:
    earlier = previous.history
    if earlier and (earlier[0].outcome, earlier[0].message) == (entry.outcome, entry.message):
        return earlier
    return (entry, *earlier)[:HISTORY_LENGTH]
