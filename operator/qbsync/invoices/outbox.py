"""Sending a create, and reading what its outcome is: definite, or unknown.

From before the first send until the outcome is definite, requestid and body are frozen; what came back
without a complete answer is looked up, and sent again only when QuickBooks can no longer be at it.
"""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Intent, Outcome
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Key
from qbsync.engine.reporter import NotRecorded
from qbsync.engine.store import ObjectStore
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.compare import as_created, as_found
from qbsync.invoices.connection import Connection
from qbsync.invoices.desk import Change, Sent
from qbsync.invoices.fields import statements
from qbsync.invoices.identity import requestid
from qbsync.invoices.lookup import existing
from qbsync.invoices.mapping import create_body, transaction_date
from qbsync.invoices.references import Resolved
from qbsync.invoices.report import CREATE
from qbsync.invoices.search import needs_intent
from qbsync.invoices.settle import Settler
from qbsync.kube import errors as kube_errors
from qbsync.kube.objects import ObjectsApi
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Entity, Invoice, dump_json, parse_invoice
from qbsync.quickbooks.errors import (
    NoAccessToken,
    QuickBooksError,
    Rejected,
    Throttled,
    outcome_unknown,
)
from qbsync.quickbooks.faults import DuplicateDocNumber

logger = logging.getLogger(__name__)

LOOKUP_LAG = timedelta(seconds=5)
"""A query may miss an invoice for so long after its commit: absence is concluded no earlier."""
THROTTLE_WAIT = timedelta(seconds=60)
"""Intuit: on 429, wait 60 seconds."""
HEARD_LATELY = timedelta(seconds=60)
"""A create for an object not heard of for longer reads it first: the watch may have a gap."""
REPLAY_TOLERANCE = timedelta(seconds=5)
DUPLICATE_ATTEMPTS = 3

REASON_BY_CODE = {
    "610": InvoiceReason.REFERENCE_NOT_FOUND,
    "2500": InvoiceReason.REFERENCE_NOT_FOUND,
    "6190": InvoiceReason.SUBSCRIPTION_ENDED,
    "6210": InvoiceReason.PERIOD_CLOSED,
}


class Fence(Protocol):
    """Says whether this process may still send: it leads, by its own clock, and is not stopping."""

    def holds(self) -> bool: ...


class NotSending(Exception):
    """Raised right before the bytes would go out: the call is not made."""


class Outbox:
    """Creates invoices for one operator process."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        store: ObjectStore,
        objects: ObjectsApi,
        settler: Settler,
        fence: Fence,
        server_timeout: timedelta,
        access_failed: Callable[[Candidate, QuickBooksError], None],
        lookup_lag: timedelta = LOOKUP_LAG,
    ) -> None:
        """`server_timeout`: how long QuickBooks may be at work on a request (Intuit: 120 s)."""
        self.lookup_lag = lookup_lag
        self._clock, self._rng, self._store, self._objects = clock, rng, store, objects
        self._settler, self._fence, self._server_timeout = settler, fence, server_timeout
        self._access_failed = access_failed
        self._backoff = Backoff(cap=timedelta(minutes=2))
        self._sending: dict[Key, asyncio.Task[None]] = {}
        """One send of an object at a time, whoever asks for another."""

    @property
    def at_work_at_most(self) -> timedelta:
        """How long after a send QuickBooks may still be at it, and a lookup may miss what came of it."""
        return self._server_timeout + self.lookup_lag

    def create(
        self, candidate: Candidate, *, connection: Connection, client: CompanyClient, resolved: Resolved
    ) -> None:
        """Send it; returns at once. Raises `InvalidSpec` before anything is sent."""
        if candidate.key in self._sending:
            return
        sent = candidate.desk.sent.get(candidate.key)
        if sent is None:
            sent = self._freeze(candidate, connection, resolved)
        sending = self._send(candidate, sent, connection, client)
        task = asyncio.create_task(sending, name=f"create for {candidate.key}")
        self._sending[candidate.key] = task
        task.add_done_callback(lambda _: self._sending.pop(candidate.key, None))

    def absence_proven_in(self, candidate: Candidate) -> timedelta | None:
        """How long a send of this object may still be at work; None: nothing is."""
        sent = candidate.desk.sent.get(candidate.key)
        if sent is not None:
            return self.at_work_for(sent)
        intent = candidate.status.intent
        if intent is None or intent.time is None:
            return None
        # Another process sent it and ended cleanly with the outcome open.
        return _positive(intent.time + self._server_timeout + self.lookup_lag - self._clock.now())

    def at_work_for(self, sent: Sent) -> timedelta | None:
        """How long QuickBooks may still be at work on what was sent; None: no longer."""
        return self.left_of(sent.last_sent, sent.rest)

    def left_of(self, last_sent: float | None, rest: timedelta | None = None) -> timedelta | None:
        """How much is left of the time in which what was sent then (monotonic seconds) may still arrive.

        `rest`: that time, where it is not QuickBooks' limit.
        """
        if last_sent is None:
            return None
        ago = timedelta(seconds=self._clock.monotonic() - last_sent)
        return _positive((rest or self.at_work_at_most) - ago)

    def change_at_work_for(self, change: Change) -> timedelta | None:
        """How long QuickBooks may still be at work on an update, void or delete; None: no longer."""
        return self.left_of(change.sent)

    def retry_later(
        self, candidate: Candidate, error: Exception, *, reason: InvoiceReason = InvoiceReason.RETRYING
    ) -> None:
        """Nothing was sent, or nothing was learned: again after a pause."""
        failures = candidate.desk.failed(candidate.key)
        self._settler.wait(
            candidate,
            reason=reason,
            message=str(error),
            delay=self._backoff.delay(failures, self._rng),
            error=error if isinstance(error, QuickBooksError) else None,
        )

    def put_off(self, candidate: Candidate, error: QuickBooksError) -> None:
        """A call that told nothing: what it asked is unknown, never absent. Again after a pause."""
        self._access_failed(candidate, error)
        no_token = isinstance(error, NoAccessToken)
        reason = InvoiceReason.CONNECTION_NOT_READY if no_token else InvoiceReason.RETRYING
        self.retry_later(candidate, error, reason=reason)

    def _freeze(self, candidate: Candidate, connection: Connection, resolved: Resolved) -> Sent:
        n = candidate.status.rejections or 0
        day = transaction_date(
            candidate.spec.invoice, created=candidate.created, time_zone=connection.time_zone
        )
        stated = statements(candidate.spec.invoice, resolved)
        return Sent(
            requestid=requestid(uid=candidate.key.uid, recreate=candidate.recreate, operation="create", n=n),
            n=n,
            number=candidate.number,
            body=create_body(
                candidate.spec.invoice,
                stated,
                mark=candidate.mark,
                place=connection.mark_place,
                day=day,
                numbered_by_hand=not connection.numbers_itself,
            ),
            stated=stated,
            content_hash=candidate.content_hash,
            generation=candidate.snapshot.generation,
        )

    async def _send(
        self, candidate: Candidate, sent: Sent, connection: Connection, client: CompanyClient
    ) -> None:
        try:
            await self._attempt(candidate, sent, connection, client)
        except Exception as error:
            # A fault of ours must not leave the object without an end: it is looked up again.
            logger.exception("create failed", extra={"object": str(candidate.key)})
            self.retry_later(candidate, error)

    async def _attempt(
        self, candidate: Candidate, sent: Sent, connection: Connection, client: CompanyClient
    ) -> None:
        intending = candidate
        try:
            await self.confirm_alive(candidate)
            if needs_intent(candidate, connection):
                intending = await self._intend(candidate, sent)
            row = await client.create(
                "Invoice",
                sent.body,
                requestid=sent.requestid,
                before_send=lambda: self._before_send(candidate, sent),
            )
            await self._created(intending, sent, row, connection, client)
        except NotSending as reason:
            self.not_sent(self._unintended(candidate, intending, sent), reason)
        except QuickBooksError as error:
            if _never_arrived(error):
                sent.last_sent = None
            self._failed(self._unintended(candidate, intending, sent), sent, error)

    async def _intend(self, candidate: Candidate, sent: Sent) -> Candidate:
        """Have the intent stored before the first send. Raises NotSending if that cannot be had.

        Should this process die, the next one knows by it that there may be an invoice, and where to search.
        """
        known = candidate.status.intent
        if sent.last_sent is not None or (known is not None and known.request_id == sent.requestid):
            return candidate
        try:
            return await self._settler.intend(candidate, self._intent(sent))
        except NotRecorded as error:
            self._settler.withdraw(candidate)
            raise NotSending(str(error)) from error

    def _unintended(self, candidate: Candidate, intending: Candidate, sent: Sent) -> Candidate:
        """The object as it goes on: where nothing was sent, the intent is taken back."""
        if intending is candidate or sent.last_sent is not None:
            return intending
        self._settler.withdraw(candidate)
        return candidate

    def not_sent(self, candidate: Candidate, reason: NotSending) -> None:
        """It is no time to send: its turn comes again."""
        logger.info("not sent: %s", reason, extra={"object": str(candidate.key)})
        self._settler.wait(
            candidate, reason=InvoiceReason.QUEUED, message=str(reason), delay=timedelta(seconds=1)
        )

    async def confirm_alive(self, candidate: Candidate) -> None:
        """Read an object that was not heard of for a while. Raises NotSending if it is gone, or not to be read."""
        heard = timedelta(seconds=self._clock.monotonic() - candidate.snapshot.heard_at)
        if heard <= HEARD_LATELY:
            return
        key = candidate.key
        try:
            body = await self._objects.read(key.kind, key.namespace, key.name)
        except kube_errors.NotFound:
            self._store.forget(key.kind, key.namespace, key.name, uid=key.uid)
            raise NotSending("the object is gone") from None
        except kube_errors.KubeError as error:
            raise NotSending(f"the object could not be read: {error}") from error
        self._store.learned(key.kind, body)

    def check(self, candidate: Candidate, *, generation: int | None, deleting: bool = False) -> None:
        """The last moment before a write: raises NotSending unless this process leads and the object still
        asks for it. `generation`: of the spec that is being sent; None where an earlier one must go out first.
        """
        if not self._fence.holds():
            raise NotSending("this process is stopping, or no longer leads")
        now = self._store.get(candidate.key)
        if now is None or now.deleting != deleting:
            raise NotSending("the object was deleted")
        if now.spec.get("suspend") and not deleting:
            raise NotSending("the object was suspended")
        if generation is not None and now.generation != generation:
            raise NotSending("the object was changed")

    def _before_send(self, candidate: Candidate, sent: Sent) -> None:
        """The last moment: an object deleted, suspended or changed meanwhile is not acted on in its old form."""
        self.check(candidate, generation=sent.generation if sent.last_sent is None else None)
        candidate.desk.sent[candidate.key] = sent
        earlier = candidate.desk.attempts.get(candidate.key, candidate.status.attempts or 0)
        candidate.desk.attempts[candidate.key] = earlier + 1
        sent.first_sent = sent.first_sent or self._clock.now()
        sent.last_sent = self._clock.monotonic()
        sent.rest = None
        sent.in_flight = True

    async def _created(
        self,
        candidate: Candidate,
        sent: Sent,
        row: Entity,
        connection: Connection,
        client: CompanyClient,
    ) -> None:
        invoice, outcome = parse_invoice(row), Outcome.CREATED
        sent.in_flight = False
        if is_replay(invoice.created, sent.first_sent):
            outcome = Outcome.RECOVERED
            current = await self._as_it_is_now(invoice, client)
            if current is None:
                self._settler.refused(
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
        self._settler.synced(
            candidate,
            outcome=outcome,
            invoice=invoice,
            carried=carried,
            connection=connection,
            requestid=sent.requestid,
            intuit_tid=row.intuit_tid,
        )

    async def _as_it_is_now(self, replayed: Invoice, client: CompanyClient) -> Invoice | None:
        # The answer was given to an earlier send: what became of that invoice since, one read tells.
        try:
            return await existing(client, replayed.id)
        except QuickBooksError:
            return replayed

    def _failed(self, candidate: Candidate, sent: Sent, error: QuickBooksError) -> None:
        went_out, sent.in_flight = sent.in_flight, False
        self._access_failed(candidate, error)
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

    def _unknown(self, candidate: Candidate, sent: Sent, error: QuickBooksError) -> None:
        if isinstance(error, Throttled):
            sent.rest = THROTTLE_WAIT + self.lookup_lag
        if isinstance(error, Rejected):
            sent.n, sent.requestid = self._next_id(candidate, sent)
        failures = candidate.desk.failed(candidate.key)
        delay = min(self._backoff.delay(failures, self._rng), self._server_timeout)
        self._settler.wait(
            candidate,
            reason=InvoiceReason.OUTCOME_UNKNOWN,
            message=(
                f"the invoice was sent, but QuickBooks gave no usable answer ({error}). "
                "It is looked up, and sent again only when the first request can no longer arrive."
            ),
            delay=delay,
            error=error,
            intent=self._intent(sent),
        )

    def _intent(self, sent: Sent) -> Intent:
        return Intent(
            operation=CREATE,
            request_id=sent.requestid,
            body_hash=_body_hash(sent),
            generation=sent.generation,
            time=self._clock.now(),
            customer_id=sent.customer_id,
            transaction_date=sent.day,
        )

    def _next_id(self, candidate: Candidate, sent: Sent) -> tuple[int, str]:
        # Intuit: 600 Duplicate Request ID. If the lookup finds nothing, that id will never create anything.
        n = sent.n + 1
        return n, requestid(uid=candidate.key.uid, recreate=candidate.recreate, operation="create", n=n)

    def _duplicate(self, candidate: Candidate, sent: Sent, error: Rejected) -> None:
        """Intuit: 6140 Duplicate Document Number. Whose it is, the next lookup tells."""
        candidate.desk.sent.pop(candidate.key, None)
        failures = candidate.desk.failed(candidate.key)
        named = DuplicateDocNumber.parse(error.detail)
        elsewhere = named is not None and named.txn_type not in {None, "Invoice"}
        if elsewhere or failures > DUPLICATE_ATTEMPTS:
            whose = f"{named.txn_type} {named.txn_id}" if named is not None and elsewhere else "a transaction"
            self._settler.refused(
                candidate,
                reason=InvoiceReason.DOC_NUMBER_CONFLICT,
                message=f"DocNumber {candidate.number} is taken by {whose} in QuickBooks: "
                f"give this InvoiceSync another number. {error}",
                error=error,
                rejections=sent.n + 1,
            )
            return
        self._settler.wait(
            candidate,
            reason=InvoiceReason.RETRYING,
            message=f"QuickBooks has DocNumber {candidate.number} already; looking at whose it is",
            delay=self.lookup_lag / 2,
            error=error,
        )

    def _refused(self, candidate: Candidate, sent: Sent, error: Rejected) -> None:
        reason = REASON_BY_CODE.get(error.code or "", InvoiceReason.INVALID_INVOICE)
        if reason is InvoiceReason.REFERENCE_NOT_FOUND:
            candidate.desk.references.forget()
        self._settler.refused(
            candidate,
            reason=reason,
            message=f"QuickBooks refused the invoice: {error}",
            error=error,
            rejections=sent.n + 1,
        )


def _never_arrived(error: QuickBooksError) -> bool:
    """401, 403 and what never left this machine: QuickBooks did not work on it."""
    return not isinstance(error, Rejected) and not outcome_unknown(error)


def _positive(remaining: timedelta) -> timedelta | None:
    return remaining if remaining > timedelta() else None


def is_replay(created: datetime | None, first_sent: datetime | None) -> bool:
    """Whether an answer tells of something that was there before we first sent it: an earlier answer again."""
    return created is not None and first_sent is not None and created < first_sent - REPLAY_TOLERANCE


def _body_hash(sent: Sent) -> str:
    return hashlib.sha256(dump_json(sent.body)).hexdigest()[:32]
