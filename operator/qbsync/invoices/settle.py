"""Where an outcome leaves the room: one status, one Event, claims released, the key ended."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from qbsync.api.conditions import (
    SUSPENDED,
    Condition,
    ConditionType,
    InvoiceReason,
    ReadyStatus,
    find,
    summarize,
    suspended,
)
from qbsync.api.invoice import Intent, InvoiceSyncStatus, Origin, Outcome, PaymentStatus, Send
from qbsync.api.meta import Kind
from qbsync.engine.announcer import Announcer
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import NotRecorded, Reporter
from qbsync.invoices import audit, report
from qbsync.invoices.candidate import Candidate, today
from qbsync.invoices.compare import Carried, untouched
from qbsync.invoices.connection import Connection
from qbsync.invoices.identity import docnumber_claim
from qbsync.invoices.news import News
from qbsync.invoices.overdue import aged, overdue_in
from qbsync.invoices.standing import is_voided
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.errors import QuickBooksError

WRITTEN_AFTER = {
    InvoiceReason.OUTCOME_UNKNOWN: timedelta(),
    InvoiceReason.CONNECTION_NOT_FOUND: timedelta(seconds=5),
}
"""How long a wait may last before it is written at all; so a wait that ends by itself costs no write."""
WRITTEN_BY_DEFAULT_AFTER = timedelta(seconds=30)
RECORDED_WITHIN = timedelta(seconds=20)
"""What is to be sent only once its intent is stored waits so long for that, then its turn comes again."""
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
        carried: Carried,
        connection: Connection,
        origin: Origin = Origin.CREATED,
        requestid: str | None = None,
        intuit_tid: str | None = None,
    ) -> None:
        """The invoice stands, and is this object's; what `carried` leaves open goes out as an update next."""
        now = self._clock.now()
        occasion = candidate.occasion(now)
        if carried.content_hash is None:
            # Ready is not about the newest spec as long as that is not carried out, nor is who asked answered.
            occasion = replace(occasion, generation=occasion.generation - 1, request=None)
        mail_due = _mail_due(candidate, outcome, origin, invoice)
        status = report.synced(
            candidate.status,
            occasion,
            self._finding(candidate, connection, invoice, carried),
            outcome=outcome,
            origin=origin,
            requestid=requestid,
            url=_page(connection, invoice),
            intuit_tid=intuit_tid,
            mail_due=mail_due,
        )
        candidate.desk.remember(candidate.claim, invoice)
        self._reporter.report(candidate.key, status.document())
        self._observer.invoice_settled(candidate.company, outcome.value, now - candidate.created)
        audit.synced(candidate, outcome=outcome.value, invoice=invoice, intuit_tid=intuit_tid)
        if outcome in (Outcome.CREATED, Outcome.RECOVERED):
            self._note_number(candidate, invoice)
        if self._every_event:
            note = f"{outcome.value.lower()} invoice {invoice.id} ({invoice.doc_number})"
            self._announcer.normal(candidate.snapshot, f"Invoice{outcome.value}", note)
        self._announce_findings(candidate, status)
        if outcome in (Outcome.CREATED, Outcome.UPDATED):
            candidate.desk.echoes.expect(invoice.id, monotonic=self._clock.monotonic())
        more = timedelta() if carried.content_hash is None else _mail_next(candidate, status)
        self.end(candidate, status, again=more)

    def kept(
        self,
        candidate: Candidate,
        *,
        invoice: Invoice,
        carried: Carried,
        connection: Connection,
    ) -> None:
        """It was looked at, and nothing had to be written."""
        finding = self._finding(candidate, connection, invoice, carried)
        status = report.kept(candidate.status, candidate.occasion(self._clock.now()), finding)
        self._reporter.report(candidate.key, status.document())
        self._announce_findings(candidate, status)
        self.end(candidate, status, again=_mail_next(candidate, status))

    def mailed(self, candidate: Candidate, *, invoice: Invoice, intuit_tid: str | None = None) -> None:
        """QuickBooks e-mailed the invoice."""
        candidate.desk.echoes.expect(invoice.id, monotonic=self._clock.monotonic())
        edited = not untouched(candidate.status.applied, invoice.row)
        if edited:
            # Its SyncToken is known from now on: nobody else would tell.
            candidate.desk.news.put(candidate.key, News(invoice))
        again = timedelta() if edited else None
        self._mail_settled(candidate, "Sent", "e-mailed", invoice=invoice, intuit_tid=intuit_tid, again=again)

    def not_mailed(self, candidate: Candidate, *, why: str, error: QuickBooksError | None = None) -> None:
        """The e-mail was not sent, or nobody knows; it is not tried again."""
        tid = error.intuit_tid if error is not None else None
        self._mail_settled(candidate, "NotSent", why, error=error, intuit_tid=tid)

    def _mail_settled(
        self,
        candidate: Candidate,
        outcome: str,
        message: str,
        *,
        invoice: Invoice | None = None,
        error: QuickBooksError | None = None,
        intuit_tid: str | None = None,
        again: timedelta | None = None,
    ) -> None:
        status = report.mail_settled(
            candidate.status,
            candidate.occasion(self._clock.now()),
            outcome=outcome,
            message=message,
            invoice=invoice,
            error=error,
            intuit_tid=intuit_tid,
        )
        self._reporter.report(candidate.key, status.document())
        audit.mailed(candidate, outcome=outcome, intuit_tid=intuit_tid)
        note = f"invoice {candidate.status.quickbooks_id} ({candidate.status.doc_number}): {message}"
        if outcome == "NotSent":
            self._announcer.warning(candidate.snapshot, "InvoiceNotSent", note)
        elif self._every_event:
            self._announcer.normal(candidate.snapshot, "InvoiceSent", note)
        self.end(candidate, status, again=again)

    def figured(self, candidate: Candidate, *, invoice: Invoice, connection: Connection) -> None:
        """Its payments moved; what the spec says is as open, or as refused, as before."""
        finding = self._finding(candidate, connection, invoice, candidate.carried)
        status = report.figured(candidate.status, candidate.occasion(self._clock.now()), finding)
        self._reporter.report(candidate.key, status.document())
        self._announce_findings(candidate, status)
        self.end(candidate, status, again=_mail_next(candidate, status))

    def observed(
        self,
        candidate: Candidate,
        *,
        would: str,
        connection: Connection,
        invoice: Invoice | None = None,
        carried: Carried | None = None,
        origin: Origin = Origin.CREATED,
    ) -> None:
        """Mode Observe: say what would be done."""
        finding = (
            self._finding(candidate, connection, invoice, carried)
            if invoice is not None and carried is not None
            else None
        )
        occasion = candidate.occasion(self._clock.now())
        status = report.observed(candidate.status, occasion, would=would, finding=finding, origin=origin)
        self._reporter.report(candidate.key, status.document())
        self.end(candidate, status)

    def unchanged(self, candidate: Candidate) -> None:
        """The spec moved without moving the invoice, or moved back: say so, once."""
        status = candidate.status
        reason = report.standing_reason(status)
        ready = find(status.conditions, ConditionType.READY)
        kept = ready is not None and ready.reason == reason
        conditions = summarize(
            previous=status.conditions,
            kind=Kind.INVOICE,
            reason=reason.value,
            message=ready.message.removeprefix(SUSPENDED)
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
        self.end(candidate, new)

    def suspended(self, candidate: Candidate) -> None:
        """Nothing is done while `spec.suspend` is true; Ready stays as it was."""
        generation = candidate.snapshot.generation
        conditions = suspended(candidate.status.conditions, generation=generation)
        new = candidate.status.model_copy(
            update={"conditions": conditions, "observed_generation": generation}
        )
        if conditions:
            self._reporter.report(candidate.key, new.document())
        self.end(candidate, new)

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
            told = status.last_error
            code, tid = (told.code, told.intuit_tid) if told is not None else (None, None)
            audit.refused(candidate, reason=reason.value, code=code, intuit_tid=tid)
        self._observer.reconcile_failed(reason.value)
        self.end(candidate, status)

    async def parted(
        self,
        candidate: Candidate,
        *,
        quickbooks_id: str,
        left: Invoice | None,
        intuit_tid: str | None,
        found_so: bool = False,
    ) -> None:
        """The invoice was voided (`left` is what stands now) or deleted as the policy says, or `found_so`.

        Returns when that is recorded, or cannot be.
        """
        outcome = Outcome.VOIDED.value if left is not None else report.DELETED
        number = left.doc_number if left is not None else candidate.status.doc_number
        audit.parted(
            candidate, outcome=outcome, quickbooks_id=quickbooks_id, doc_number=number, intuit_tid=intuit_tid
        )
        self._observer.invoice_settled(candidate.company, outcome, timedelta())
        if self._every_event and left is not None:
            note = f"voided invoice {quickbooks_id} ({number})"
            self._announcer.normal(candidate.snapshot, "InvoiceVoided", note)
        status = report.parted(
            candidate.status,
            candidate.occasion(self._clock.now()),
            quickbooks_id=quickbooks_id,
            left=left,
            intuit_tid=intuit_tid,
            found_so=found_so,
        )
        self._reporter.report(candidate.key, status.document())
        # The finalizer is taken off the version with this status; that it could not be stored keeps nobody.
        with suppress(NotRecorded):
            await self._reporter.recorded(candidate.key, within=RECORDED_WITHIN)

    def released(self, candidate: Candidate, why: str) -> None:
        """The object goes without its policy being carried out: the invoice, if there is one, stays."""
        which = candidate.status.quickbooks_id or "if there is one"
        note = f"released; invoice {which} stays as it is in QuickBooks: {why}"
        self._announcer.warning(candidate.snapshot, "ReleasedWithoutVoid", note)
        audit.released(candidate, why)

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
        # An invoice that stands as the spec says stays Ready while it is only being looked at.
        stands = candidate.status.quickbooks_id is not None and not candidate.spec_moved
        untold = stands and not candidate.snapshot.deleting
        if silent_for <= timedelta() and not untold:
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

    async def intend(self, candidate: Candidate, intent: Intent) -> Candidate:
        """Store what is about to be sent; returns the object with that in its status.

        Raises `NotRecorded` if that is not stored: then nothing may be sent.
        """
        status = report.intended(candidate.status, candidate.occasion(self._clock.now()), intent)
        self._reporter.report(candidate.key, status.document())
        await self._reporter.recorded(candidate.key, within=RECORDED_WITHIN)
        return replace(candidate, status=status)

    def withdraw(self, candidate: Candidate) -> None:
        """What was about to be sent was not: its status is again as it was before `intend`."""
        self._reporter.report(candidate.key, candidate.status.document())

    def again(self, candidate: Candidate) -> None:
        """Start over at once: the round could not be worked on as a whole."""
        if candidate.key not in candidate.desk.sent:
            self._release(candidate)
        candidate.done(candidate.key, timedelta())

    def end(
        self,
        candidate: Candidate,
        status: InvoiceSyncStatus | None = None,
        *,
        again: timedelta | None = None,
    ) -> None:
        """Nothing is open any more for this version of the object; `again`: but for what comes next.

        `status`: as it was just reported, if it was. What is still to be paid comes back when it is overdue.
        """
        candidate.desk.settled(candidate.key)
        self._release(candidate)
        self._counted(candidate.company)
        overdue = self._age(candidate, status or candidate.status)
        candidate.done(candidate.key, again if again is not None else overdue)

    def _age(self, candidate: Candidate, status: InvoiceSyncStatus) -> timedelta | None:
        """Bring the payment status up to today; returns in how long that may be due again."""
        now, time_zone = self._clock.now(), candidate.desk.time_zone
        today = aged(status, now=now, time_zone=time_zone)
        if today is not status:
            self._reporter.report(candidate.key, today.document())
        return overdue_in(today, now=now, time_zone=time_zone)

    def _finding(
        self,
        candidate: Candidate,
        connection: Connection,
        invoice: Invoice,
        carried: Carried,
    ) -> report.Finding:
        return report.Finding(
            invoice=invoice,
            carried=carried,
            currency=connection.home_currency,
            today=today(self._clock.now(), connection.time_zone),
            source_total=candidate.source_total,
            voided=is_voided(invoice, candidate.stated_net),
        )

    def _note_number(self, candidate: Candidate, invoice: Invoice) -> None:
        asked, given = candidate.number, invoice.doc_number or ""
        if asked is None or docnumber_claim(asked) == docnumber_claim(given):
            return
        note = f"QuickBooks gave invoice {invoice.id} the number {given or 'none'}, not {asked}"
        self._announcer.normal(candidate.snapshot, "Renumbered", note)
        candidate.desk.renumbers = True
        self._renumbered(candidate.company)

    def _announce_findings(self, candidate: Candidate, status: InvoiceSyncStatus) -> None:
        """Events for what an accountant wants to hear of: once, when it begins."""
        drifted = _began(ConditionType.DRIFTED, candidate.status, status)
        if drifted is not None:
            self._announcer.warning(candidate.snapshot, "DriftDetected", drifted.message)
        before = candidate.status.payment_status
        if status.payment_status is PaymentStatus.PAID and before not in (None, PaymentStatus.PAID):
            note = f"invoice {status.quickbooks_id} ({status.doc_number}) is paid"
            self._announcer.normal(candidate.snapshot, "InvoicePaid", note)

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
        self.release(candidate.company, candidate.desk.claims.release(candidate.claim, candidate.key))

    def release(self, company: Company, waiting: list[Key]) -> None:
        """Wake whoever waited for a number."""
        for key in waiting:
            self._enqueue(company, key, timedelta())


def _mail_due(candidate: Candidate, outcome: Outcome, origin: Origin, invoice: Invoice) -> bool:
    """Only of what was created here, and was not e-mailed; never of what was adopted."""
    asked = candidate.spec.send is Send.AFTER_CREATE and bool(candidate.spec.invoice.bill_email)
    recovered = outcome is Outcome.RECOVERED and origin is Origin.CREATED
    standing = invoice.total != 0 or not (invoice.private_note or "").startswith("Voided")
    unsent = recovered and invoice.email_status != report.EMAIL_SENT and standing
    return asked and (outcome is Outcome.CREATED or unsent)


def _mail_next(candidate: Candidate, status: InvoiceSyncStatus) -> timedelta | None:
    """At once, if its e-mail comes next."""
    return timedelta() if replace(candidate, status=status).mail is not None else None


def _began(type: ConditionType, before: InvoiceSyncStatus, after: InvoiceSyncStatus) -> Condition | None:
    was, now = find(before.conditions, type), find(after.conditions, type)
    if now is None or now.status is not ReadyStatus.TRUE:
        return None
    return now if was is None or (was.status, was.message) != (now.status, now.message) else None


def _same_error_time(candidate: Candidate, status: InvoiceSyncStatus) -> InvoiceSyncStatus:
    # A refusal found again, say after a restart, is no news: only the time and trace id would differ.
    old = candidate.status.last_error
    if old is None or status.last_error is None or old.code != status.last_error.code:
        return status
    return status.model_copy(update={"last_error": old})


def _page(connection: Connection, invoice: Invoice) -> str | None:
    page = _APP_PAGES.get(connection.spec.environment)
    return f"{page}{invoice.id}" if page is not None else None
