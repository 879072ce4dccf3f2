"""What an answer to a create means for its object: definite, or unknown.

Nothing is concluded from silence: without a complete answer QuickBooks may have created the invoice, or be at
it still.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Intent, Outcome
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.compare import as_created, as_found
from qbsync.invoices.connection import Connection
from qbsync.invoices.desk import Sent
from qbsync.invoices.identity import requestid
from qbsync.invoices.lookup import existing
from qbsync.invoices.refusals import reason_of, told
from qbsync.invoices.report import CREATE
from qbsync.invoices.settle import Settler
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Entity, Invoice, dump_json, parse_invoice
from qbsync.quickbooks.errors import NoAccessToken, QuickBooksError, Rejected, Throttled, outcome_unknown
from qbsync.quickbooks.faults import DuplicateDocNumber

THROTTLE_WAIT = timedelta(seconds=60)
"""Intuit: on 429, wait 60 seconds."""
REPLAY_TOLERANCE = timedelta(seconds=5)
DUPLICATE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Letter:
    """One create on its way."""

    candidate: Candidate
    sent: Sent
    connection: Connection
    client: CompanyClient

    def thaw(self) -> None:
        """It certainly did not arrive: next time the spec goes out as it is then."""
        self.sent.last_sent, self.sent.in_batch = None, False
        self.candidate.desk.sent.pop(self.candidate.key, None)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Settles creates by what came back."""

    clock: Clock
    rng: random.Random
    settler: Settler
    server_timeout: timedelta
    """How long QuickBooks may be at work on a request (Intuit: 120 s)."""
    lookup_lag: timedelta
    access_failed: Callable[[Candidate, QuickBooksError], None]
    backoff: Backoff = field(default_factory=lambda: Backoff(cap=timedelta(minutes=2)))

    def retry_later(
        self, candidate: Candidate, error: Exception, *, reason: InvoiceReason = InvoiceReason.RETRYING
    ) -> None:
        """Nothing was sent, or nothing was learned: again after a pause."""
        failures = candidate.desk.failed(candidate.key)
        self.settler.wait(
            candidate,
            reason=reason,
            message=str(error),
            delay=self.backoff.delay(failures, self.rng),
            error=error if isinstance(error, QuickBooksError) else None,
        )

    async def created(self, letter: Letter, row: Entity) -> None:
        """QuickBooks answered with the invoice."""
        sent, candidate = letter.sent, letter.candidate
        invoice, outcome = parse_invoice(row), Outcome.CREATED
        sent.in_flight = False
        if not sent.in_batch and is_replay(invoice.created, sent.first_sent):
            outcome = Outcome.RECOVERED
            current = await self._as_it_is_now(invoice, letter.client)
            if current is None:
                self.settler.refused(
                    candidate,
                    reason=InvoiceReason.DELETED_IN_QUICKBOOKS,
                    message=f"invoice {invoice.id} was created, and deleted in QuickBooks since",
                )
                return
            invoice = current
        carried = (
            as_created(sent.stated, sent.content_hash, invoice.row)
            if outcome is Outcome.CREATED
            else as_found(sent.stated, sent.content_hash, invoice.row, adopted=False)
        )
        self.settler.synced(
            candidate,
            outcome=outcome,
            invoice=invoice,
            carried=carried,
            connection=letter.connection,
            requestid=None if sent.in_batch else sent.requestid,
            intuit_tid=row.intuit_tid,
        )

    async def _as_it_is_now(self, replayed: Invoice, client: CompanyClient) -> Invoice | None:
        # The answer was given to an earlier send: what became of that invoice since, one read tells.
        try:
            return await existing(client, replayed.id)
        except QuickBooksError:
            return replayed

    def failed(self, letter: Letter, error: QuickBooksError) -> None:
        """QuickBooks answered with something else, or did not answer."""
        candidate, sent = letter.candidate, letter.sent
        self.access_failed(candidate, error)
        went_out, sent.in_flight = sent.in_flight, False
        if isinstance(error, NoAccessToken):
            self.retry_later(candidate, error, reason=InvoiceReason.CONNECTION_NOT_READY)
        elif not went_out:
            self.retry_later(candidate, error)
        elif isinstance(error, Rejected) and error.code == "6140":
            self._duplicate(candidate, sent, error)
        elif isinstance(error, Rejected) and not outcome_unknown(error) and error.code not in {"600", "5010"}:
            self._refused(candidate, sent, error)
        elif outcome_unknown(error) or isinstance(error, Rejected):
            self._unknown(candidate, sent, error)
        else:
            candidate.desk.sent.pop(candidate.key, None)
            self.retry_later(candidate, error)

    def intent(self, sent: Sent) -> Intent:
        """What is written down of a create whose outcome is open."""
        return Intent(
            operation=CREATE,
            request_id=sent.requestid,
            body_hash=_body_hash(sent),
            generation=sent.generation,
            time=self.clock.now(),
            customer_id=sent.customer_id,
            transaction_date=sent.day,
        )

    def _unknown(self, candidate: Candidate, sent: Sent, error: QuickBooksError) -> None:
        if isinstance(error, Throttled) and not sent.in_batch:
            # The same id again does no harm; an item of a batch had none.
            sent.rest = THROTTLE_WAIT + self.lookup_lag
        if isinstance(error, Rejected):
            sent.n, sent.requestid = _next_id(candidate, sent)
        failures = candidate.desk.failed(candidate.key)
        delay = min(self.backoff.delay(failures, self.rng), self.server_timeout)
        self.settler.wait(
            candidate,
            reason=InvoiceReason.OUTCOME_UNKNOWN,
            message=(
                f"the invoice was sent, but QuickBooks gave no usable answer ({error}). "
                "It is looked up, and sent again only when the first request can no longer arrive."
            ),
            delay=delay,
            error=error,
            intent=self.intent(sent),
        )

    def _duplicate(self, candidate: Candidate, sent: Sent, error: Rejected) -> None:
        """Intuit: 6140 Duplicate Document Number. Whose it is, the next lookup tells."""
        candidate.desk.sent.pop(candidate.key, None)
        failures = candidate.desk.failed(candidate.key)
        named = DuplicateDocNumber.parse(error.detail)
        elsewhere = named is not None and named.txn_type not in {None, "Invoice"}
        if elsewhere or failures > DUPLICATE_ATTEMPTS:
            whose = f"{named.txn_type} {named.txn_id}" if named is not None and elsewhere else "a transaction"
            self.settler.refused(
                candidate,
                reason=InvoiceReason.DOC_NUMBER_CONFLICT,
                message=f"DocNumber {candidate.number} is taken by {whose} in QuickBooks: "
                f"give this InvoiceSync another number. {error}",
                error=error,
                rejections=sent.n + 1,
            )
            return
        self.settler.wait(
            candidate,
            reason=InvoiceReason.RETRYING,
            message=f"QuickBooks has DocNumber {candidate.number} already; looking at whose it is",
            delay=self.lookup_lag / 2,
            error=error,
        )

    def _refused(self, candidate: Candidate, sent: Sent, error: Rejected) -> None:
        reason = reason_of(error)
        if reason is InvoiceReason.REFERENCE_NOT_FOUND:
            candidate.desk.references.forget()
        self.settler.refused(
            candidate,
            reason=reason,
            message=told("the invoice", error),
            error=error,
            rejections=sent.n + 1,
        )


def never_arrived(error: QuickBooksError) -> bool:
    """401, 403 and what never left this machine: QuickBooks did not work on it."""
    return not isinstance(error, Rejected) and not outcome_unknown(error)


def is_replay(created: datetime | None, first_sent: datetime | None) -> bool:
    """Whether an answer tells of something that was there before we first sent it: an earlier answer again."""
    return created is not None and first_sent is not None and created < first_sent - REPLAY_TOLERANCE


def _next_id(candidate: Candidate, sent: Sent) -> tuple[int, str]:
    # Intuit: 600 Duplicate Request ID. If the lookup finds nothing, that id will never create anything.
    n = sent.n + 1
    return n, requestid(uid=candidate.key.uid, recreate=candidate.recreate, operation="create", n=n)


def _body_hash(sent: Sent) -> str:
    return hashlib.sha256(dump_json(sent.body)).hexdigest()[:32]
