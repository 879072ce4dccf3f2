"""Where an outcome leaves the room: one status, one Event, claims released, the key ended."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from qbsync.api.conditions import ConditionType, InvoiceReason, find, summarize, suspended
from qbsync.api.invoice import Intent, InvoiceSyncStatus, Origin, Outcome
from qbsync.api.meta import Kind
from qbsync.engine.announcer import Announcer
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.invoices import audit, report
from qbsync.invoices.candidate import Candidate, today
from qbsync.invoices.connection import Connection
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.errors import QuickBooksError

WRITTEN_AFTER = {
    InvoiceReason.OUTCOME_UNKNOWN: timedelta(),
    InvoiceReason.CONNECTION_NOT_FOUND: timedelta(seconds=5),
}
"""How long a wait may last before it is written at all; so a wait that ends by itself costs no write."""
WRITTEN_BY_DEFAULT_AFTER = timedelta(seconds=30)
STALLED_AFTER = {InvoiceReason.CONNECTION_NOT_FOUND: timedelta(minutes=10)}
_APP_PAGES = {
    "Production": "https://app.qbo.intuit.com/app/invoice?txnId=",
    "Sandbox": "https://app.sandbox.qbo.intuit.com/app/invoice?txnId=",
}


class SyncObserver(Protocol):
    """Counts outcomes."""

    def invoice_settled(self, company: Company, outcome: str, since_created: timedelta) -> None: ...

    def reconcile_failed(self, error_class: str) -> None: ...


class Settler:
    """Reports outcomes of candidates; every path of a round ends in one of its methods."""

    def __init__(
        self,
        *,
        clock: Clock,
        reporter: Reporter,
        announcer: Announcer,
        observer: SyncObserver,
        enqueue: Callable[[Company, Key, timedelta], None],
        counted: Callable[[Company], None],
        renumbered: Callable[[Company], None],
        every_event: bool,
    ) -> None:
        """`counted`: a company's figures have moved. `renumbered`: it gave an invoice another number than asked
        for. `every_event`: also a Normal Event for each invoice.
        """
        self._counted, self._renumbered = counted, renumbered
        self._clock, self._reporter, self._announcer = clock, reporter, announcer
        self._observer, self._enqueue, self._every_event = observer, enqueue, every_event

    def synced(
        self,
        candidate: Candidate,
        *,
        outcome: Outcome,
        invoice: Invoice,
        connection: Connection,
        requestid: str | None = None,
        content_hash: str | None = None,
        intuit_tid: str | None = None,
    ) -> None:
        """The invoice stands, and is this object's."""
        now = self._clock.now()
        status = report.synced(
            candidate.status,
            candidate.occasion(now),
            outcome=outcome,
            invoice=invoice,
            content_hash=content_hash or candidate.content_hash,
            currency=connection.home_currency,
            requestid=requestid,
            url=_page(connection, invoice),
            today=today(now, connection.time_zone),
            intuit_tid=intuit_tid,
        )
        candidate.desk.remember(invoice)
        self._reporter.report(candidate.key, status.document())
        self._observer.invoice_settled(candidate.company, outcome.value, now - candidate.created)
        audit.synced(candidate, outcome=outcome.value, invoice=invoice, intuit_tid=intuit_tid)
        if invoice.doc_number != candidate.number:
            note = f"QuickBooks gave invoice {invoice.id} the number {invoice.doc_number}"
            self._announcer.normal(candidate.snapshot, "Renumbered", note)
            self._renumbered(candidate.company)
        if self._every_event:
            note = f"{outcome.value.lower()} invoice {invoice.id} ({invoice.doc_number})"
            self._announcer.normal(candidate.snapshot, f"Invoice{outcome.value}", note)
        self.end(candidate)

    def verified(self, candidate: Candidate, *, invoice: Invoice, connection: Connection) -> None:
        """A sync was asked for; nothing had to change."""
        now = self._clock.now()
        status = report.verified(
            candidate.status,
            candidate.occasion(now),
            invoice=invoice,
            currency=connection.home_currency,
            today=today(now, connection.time_zone),
        )
        self._reporter.report(candidate.key, status.document())
        self.end(candidate)

    def unchanged(self, candidate: Candidate) -> None:
        """The spec moved without moving the invoice, or moved back: say so, once."""
        status = candidate.status
        reason = _reason_of(status.outcome, status.origin)
        ready = find(status.conditions, ConditionType.READY)
        kept = ready is not None and ready.reason == reason
        conditions = summarize(
            previous=status.conditions,
            kind=Kind.INVOICE,
            reason=reason.value,
            message=ready.message.removeprefix("suspended: ")
            if kept and ready is not None
            else f"invoice {status.quickbooks_id} in QuickBooks",
            generation=candidate.snapshot.generation,
            now=self._clock.now(),
        )
        new = status.model_copy(
            update={
                "conditions": conditions,
                "observed_generation": candidate.snapshot.generation,
                "last_error": None,
            }
        )
        self._reporter.report(candidate.key, new.document())
        self.end(candidate)

    def suspended(self, candidate: Candidate) -> None:
        """Nothing is done while `spec.suspend` is true; Ready stays as it was."""
        generation = candidate.snapshot.generation
        conditions = suspended(candidate.status.conditions, generation=generation)
        new = candidate.status.model_copy(
            update={"conditions": conditions, "observed_generation": generation}
        )
        if conditions:
            self._reporter.report(candidate.key, new.document())
        self.end(candidate)

    def refused(
        self,
        candidate: Candidate,
        *,
        reason: InvoiceReason,
        message: str,
        error: QuickBooksError | None = None,
        rejections: int | None = None,
    ) -> None:
        """A person has to act; nothing is tried until then."""
        status = report.refused(
            candidate.status,
            candidate.occasion(self._clock.now()),
            reason=reason,
            message=message,
            error=error,
            rejections=rejections,
        )
        if candidate.refused and candidate.ready_reason == reason and not candidate.request_pending:
            status = _same_error_time(candidate, status)
        if self._reporter.report(candidate.key, status.document()):
            event = "DocNumberConflict" if reason is InvoiceReason.DOC_NUMBER_CONFLICT else "InvoiceRejected"
            if reason is InvoiceReason.DELETED_IN_QUICKBOOKS:
                event = "DeletedInQuickBooks"
            self._announcer.warning(candidate.snapshot, event, message)
        self._observer.reconcile_failed(reason.value)
        self.end(candidate)

    def wait(
        self,
        candidate: Candidate,
        *,
        reason: InvoiceReason,
        message: str,
        delay: timedelta,
        error: QuickBooksError | None = None,
        intent: Intent | None = None,
    ) -> None:
        """Come back after `delay`; written only if the wait has lasted, and once per cause.

        The claim on the number is kept while the outcome of a send is open.
        """
        waited = candidate.desk.waited(candidate.key)
        silent_for = WRITTEN_AFTER.get(reason, WRITTEN_BY_DEFAULT_AFTER) - waited
        stalls_in = STALLED_AFTER[reason] - waited if reason in STALLED_AFTER else None
        recorded = candidate.status.quickbooks_id is not None
        if silent_for <= timedelta() and not recorded:
            self._write_wait(
                candidate, reason, message, delay, error=error, intent=intent, stalls_in=stalls_in
            )
        else:
            delay = min(delay, silent_for) if silent_for > timedelta() else delay
        if stalls_in is not None and stalls_in > timedelta():
            delay = min(delay, stalls_in)
        if candidate.key not in candidate.desk.sent:
            self._release(candidate)
        candidate.done(candidate.key, delay)

    def again(self, candidate: Candidate) -> None:
        """Start over at once: the round could not be worked on as a whole."""
        if candidate.key not in candidate.desk.sent:
            self._release(candidate)
        candidate.done(candidate.key, timedelta())

    def end(self, candidate: Candidate) -> None:
        """Nothing is open any more for this version of the object."""
        candidate.desk.settled(candidate.key)
        self._release(candidate)
        self._counted(candidate.company)
        candidate.done(candidate.key, None)

    def _write_wait(
        self,
        candidate: Candidate,
        reason: InvoiceReason,
        message: str,
        delay: timedelta,
        *,
        error: QuickBooksError | None,
        intent: Intent | None,
        stalls_in: timedelta | None,
    ) -> None:
        stalled = True if stalls_in is not None and stalls_in <= timedelta() else None
        is_stalled = find(candidate.status.conditions, ConditionType.STALLED) is not None
        current = candidate.status.observed_generation == candidate.snapshot.generation
        said = candidate.ready_reason == reason and current and is_stalled == bool(stalled)
        if said and intent is None:
            return
        status = report.waiting(
            candidate.status,
            candidate.occasion(self._clock.now()),
            reason=reason,
            message=message,
            delay=delay,
            stalled=stalled,
            error=error,
            intent=intent,
        )
        self._reporter.report(candidate.key, status.document())

    def _release(self, candidate: Candidate) -> None:
        self.release(candidate.company, candidate.desk.claims.release(candidate.number, candidate.key))

    def release(self, company: Company, waiting: list[Key]) -> None:
        """Wake whoever waited for a number."""
        for key in waiting:
            self._enqueue(company, key, timedelta())


def _reason_of(outcome: Outcome | None, origin: Origin | None) -> InvoiceReason:
    if outcome is not None and outcome is not Outcome.UNCHANGED:
        return InvoiceReason(outcome.value)
    return InvoiceReason.ADOPTED if origin is Origin.ADOPTED else InvoiceReason.CREATED


def _same_error_time(candidate: Candidate, status: InvoiceSyncStatus) -> InvoiceSyncStatus:
    # A refusal found again, say after a restart, is no news: only the time and trace id would differ.
    old = candidate.status.last_error
    if old is None or status.last_error is None or old.code != status.last_error.code:
        return status
    return status.model_copy(update={"last_error": old})


def _page(connection: Connection, invoice: Invoice) -> str | None:
    page = _APP_PAGES.get(connection.spec.environment)
    return f"{page}{invoice.id}" if page is not None else None
