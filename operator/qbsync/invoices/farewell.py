"""InvoiceSyncs that are being deleted: what their policy asks for is done in QuickBooks before they may go."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import InvoiceDeletionPolicy, Mode
from qbsync.api.meta import INVOICE_FINALIZER
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.keys import Key
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import LOOK_AGAIN, Connection
from qbsync.invoices.decide import Refuse, Wait
from qbsync.invoices.desk import Change
from qbsync.invoices.errors import NotSending
from qbsync.invoices.identity import requestid
from qbsync.invoices.lookup import existing
from qbsync.invoices.mapping import mark_of
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.refusals import reason_of
from qbsync.invoices.report import has_parted
from qbsync.invoices.search import ask, question
from qbsync.invoices.settle import Settler
from qbsync.invoices.standing import Delete, LetGo, Recorded, Void, decide_farewell
from qbsync.kube import errors as kube_errors
from qbsync.kube.objects import ObjectsApi
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice, parse_invoice
from qbsync.quickbooks.errors import NoAccessToken, QuickBooksError, Rejected, outcome_unknown
from qbsync.quickbooks.faults import ErrorClass

logger = logging.getLogger(__name__)

_HOPELESS = frozenset(
    {
        InvoiceReason.CONNECTION_NOT_FOUND,
        InvoiceReason.CONNECTION_NOT_ALLOWED,
        InvoiceReason.NOT_PERMITTED,
    }
)
"""Waiting for these alone helps nobody: after the patience the object is released."""


class Farewell:
    """Carries out `spec.deletionPolicy` for one operator process."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        objects: ObjectsApi,
        settler: Settler,
        outbox: Outbox,
        grace: TakeoverGrace,
        patience: timedelta,
        terminating: Callable[[str], Awaitable[bool]],
        access_failed: Callable[[Candidate, QuickBooksError], None],
    ) -> None:
        """`patience`: how long a deletion waits for a connection that cannot be used. `terminating`: whether a
        namespace is being deleted.
        """
        self._clock, self._rng, self._objects = clock, rng, objects
        self._settler, self._outbox, self._grace = settler, outbox, grace
        self._patience, self._terminating = patience, terminating
        self._access_failed = access_failed
        self._backoff = Backoff(cap=timedelta(minutes=2))
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._released: set[Key] = set()
        """Whose release is told, and who are still there."""

    # -- before anything was sent --------------------------------------------------------------------------

    def prepare(self, candidate: Candidate) -> bool:
        """True if the object has the finalizer that its policy asks for; else it is being put on or taken off."""
        if is_prepared(candidate):
            return True
        self._start(candidate, self._set_finalizer(candidate, present=_wants_finalizer(candidate)))
        return False

    async def _set_finalizer(self, candidate: Candidate, *, present: bool) -> None:
        key = candidate.key
        try:
            await self._objects.set_finalizer(
                key.kind, key.namespace, key.name, key.uid, INVOICE_FINALIZER, present=present
            )
        except kube_errors.NotFound:
            self._released.discard(key)
            candidate.done(key, None)
        except kube_errors.KubeError as error:
            logger.warning("finalizer of %s: %s", key, error)
            candidate.done(key, self._backoff.delay(candidate.desk.failed(key), self._rng))
        else:
            self._released.discard(key)
            # The watch shows the object with it, which is due then; should that get lost, it is looked at again.
            candidate.done(key, LOOK_AGAIN)

    # -- the deletion --------------------------------------------------------------------------------------

    def begin(
        self,
        candidate: Candidate,
        *,
        closed: Wait | Refuse | None,
        connection: Connection | None,
        client: CompanyClient | None,
    ) -> None:
        """Bring a deletion forward; returns at once. `closed`: why the connection cannot be used now."""
        if candidate.key not in self._tasks:
            self._start(candidate, self._deletion(candidate, closed, connection, client))

    def _start(self, candidate: Candidate, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._guarded(candidate, work), name=f"farewell of {candidate.key}")
        self._tasks[candidate.key] = task
        task.add_done_callback(lambda _: self._tasks.pop(candidate.key, None))

    async def _guarded(self, candidate: Candidate, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:
            logger.exception("deletion failed", extra={"object": str(candidate.key)})
            self._outbox.retry_later(candidate, error)

    async def _deletion(
        self,
        candidate: Candidate,
        closed: Wait | Refuse | None,
        connection: Connection | None,
        client: CompanyClient | None,
    ) -> None:
        policy = candidate.spec.deletion_policy
        if policy is InvoiceDeletionPolicy.RETAIN or candidate.adopted or self._never_sent(candidate):
            await self._let_go(candidate)
        elif candidate.spec.mode is Mode.OBSERVE:
            await self._release(candidate, "spec.mode is Observe, which writes nothing to QuickBooks")
        elif candidate.spec.suspend:
            await self._release(candidate, "spec.suspend is true, which leaves the invoice alone")
        elif candidate.forced:
            await self._release(candidate, "a person asked for it (qbsync.dev/force-delete)")
        elif closed is not None or connection is None or client is None:
            await self._without_connection(candidate, closed)
        else:
            await self._with_connection(candidate, connection, client)

    def _never_sent(self, candidate: Candidate) -> bool:
        """Nothing of this object can stand in QuickBooks, now or later."""
        monotonic = self._clock.monotonic()
        return (
            candidate.status.quickbooks_id is None
            and candidate.status.intent is None
            and not candidate.status.attempts
            and candidate.key not in candidate.desk.sent
            and not candidate.desk.attempts.get(candidate.key)
            and self._grace.remaining(candidate.snapshot, monotonic=monotonic) is None
        )

    async def _without_connection(self, candidate: Candidate, closed: Wait | Refuse | None) -> None:
        reason = closed.reason if closed is not None else InvoiceReason.CONNECTION_NOT_READY
        message = closed.message if closed is not None else f"connection {candidate.company} is being opened"
        hopeless = reason in _HOPELESS or (isinstance(closed, Wait) and closed.hopeless)
        if hopeless and (
            self._waited(candidate) >= self._patience or await self._terminating(candidate.key.namespace)
        ):
            await self._release(candidate, message)
            return
        delay = (
            max(self._patience - self._waited(candidate), timedelta(seconds=1)) if hopeless else LOOK_AGAIN
        )
        self._settler.wait(
            candidate,
            reason=InvoiceReason.CONNECTION_NOT_READY,
            message=f"the deletion waits: {message}",
            delay=min(delay, LOOK_AGAIN),
        )

    def _waited(self, candidate: Candidate) -> timedelta:
        asked = datetime.fromisoformat(candidate.snapshot.metadata["deletionTimestamp"])
        return self._clock.now() - asked

    async def _with_connection(
        self, candidate: Candidate, connection: Connection, client: CompanyClient
    ) -> None:
        open_for = self._open_for(candidate)
        try:
            invoice = await self._invoice(candidate, connection, client)
        except QuickBooksError as error:
            self._outbox.put_off(candidate, error)
            return
        if invoice is None and open_for is not None:
            self._settler.wait(
                candidate,
                reason=InvoiceReason.OUTCOME_UNKNOWN,
                message="QuickBooks may still be creating the invoice; the deletion waits for that",
                delay=candidate.desk.look_again_in(candidate.key, at_most=open_for),
            )
            return
        action = decide_farewell(self._recorded(candidate), candidate.spec.deletion_policy, invoice)
        if isinstance(action, LetGo):
            await self._tell_end(candidate, invoice)
            await self._let_go(candidate)
        elif isinstance(action, Refuse):
            self._settler.refused(candidate, reason=action.reason, message=action.message)
        elif isinstance(action, Wait):
            self._settler.wait(candidate, reason=action.reason, message=action.message, delay=action.delay)
        else:
            await self._carry_out(candidate, action, client)

    async def _tell_end(self, candidate: Candidate, invoice: Invoice | None) -> None:
        """The invoice is found as the policy wants it. Whose answer was lost, be it another process', it is told
        here; once, however often the object is looked at before it goes.
        """
        id_ = invoice.id if invoice is not None else candidate.status.quickbooks_id
        if id_ is None or candidate.adopted or has_parted(candidate.status):
            return
        change = candidate.desk.changes.get(candidate.key)
        ours = change is not None and change.parting
        await self._settler.parted(
            candidate, quickbooks_id=id_, left=invoice, intuit_tid=None, found_so=not ours
        )

    def _open_for(self, candidate: Candidate) -> timedelta | None:
        """How long a create of this object may still arrive."""
        inherited = self._grace.remaining(candidate.snapshot, monotonic=self._clock.monotonic())
        return max(
            (wait for wait in (self._outbox.absence_proven_in(candidate), inherited) if wait is not None),
            default=None,
        )

    async def _invoice(
        self, candidate: Candidate, connection: Connection, client: CompanyClient
    ) -> Invoice | None:
        """The object's invoice as it is now: the recorded one, else the one with its mark."""
        if candidate.status.quickbooks_id is not None:
            return await existing(client, candidate.status.quickbooks_id)
        asked = question(candidate, connection, suspect=True)
        (rows,) = await ask(client, [candidate], [asked], connection)
        return next((row for row in rows if mark_of(row.row) == candidate.mark), None)

    def _recorded(self, candidate: Candidate) -> Recorded:
        change = candidate.desk.changes.get(candidate.key)
        return Recorded(
            quickbooks_id=candidate.status.quickbooks_id or "",
            adopted=candidate.adopted,
            stated_net=candidate.stated_net,
            spec_moved=False,
            change_at_work_on=change.sync_token if change is not None else None,
            change_at_work_for=self._outbox.change_at_work_for(change) if change is not None else None,
        )

    async def _carry_out(self, candidate: Candidate, action: Void | Delete, client: CompanyClient) -> None:
        operation = "void" if isinstance(action, Void) else "delete"
        invoice = action.invoice
        call = client.void if isinstance(action, Void) else client.delete
        try:
            row = await call(
                "Invoice",
                invoice.id,
                invoice.sync_token,
                requestid=requestid(
                    uid=candidate.key.uid,
                    recreate=candidate.recreate,
                    operation=operation,
                    n=invoice.sync_token,
                ),
                before_send=lambda: self._before_send(candidate, invoice.sync_token),
            )
        except NotSending as reason:
            self._outbox.not_sent(candidate, reason)
        except QuickBooksError as error:
            await self._failed(candidate, error)
        else:
            # The answer to a delete holds the id and nothing else of the invoice.
            left = parse_invoice(row) if isinstance(action, Void) else None
            await self._settler.parted(
                candidate, quickbooks_id=invoice.id, left=left, intuit_tid=row.intuit_tid
            )
            await self._let_go(candidate)

    def _before_send(self, candidate: Candidate, sync_token: str) -> None:
        self._outbox.check(candidate, generation=None, deleting=True)
        candidate.desk.changes[candidate.key] = Change(sync_token, self._clock.monotonic(), parting=True)

    async def _failed(self, candidate: Candidate, error: QuickBooksError) -> None:
        self._access_failed(candidate, error)
        if isinstance(error, NoAccessToken):
            self._outbox.retry_later(candidate, error, reason=InvoiceReason.CONNECTION_NOT_READY)
        elif outcome_unknown(error) and candidate.key in candidate.desk.changes:
            self._settler.wait(
                candidate,
                reason=InvoiceReason.OUTCOME_UNKNOWN,
                message=f"QuickBooks did not say what became of the invoice ({error}); it is read again",
                delay=self._backoff.delay(candidate.desk.failed(candidate.key), self._rng),
                error=error,
            )
        elif _is_final(error):
            candidate.desk.changes.pop(candidate.key, None)
            self._settler.refused(
                candidate,
                reason=reason_of(error, InvoiceReason.VOID_REFUSED),
                message="QuickBooks keeps the invoice as it is. Clear there what it names and request a sync "
                "(annotation qbsync.dev/requested-at), or annotate this object with "
                f"qbsync.dev/force-delete=true. {error}",
                error=error,
            )
        else:
            # 5010 and 610 among them: somebody was quicker; the next look decides again.
            candidate.desk.changes.pop(candidate.key, None)
            self._outbox.retry_later(candidate, error)

    async def _release(self, candidate: Candidate, why: str) -> None:
        if candidate.key not in self._released:
            self._released.add(candidate.key)
            self._settler.released(candidate, why)
        await self._let_go(candidate)

    async def _let_go(self, candidate: Candidate) -> None:
        await self._set_finalizer(candidate, present=False)


def is_prepared(candidate: Candidate) -> bool:
    """Whether the object has the finalizer that its policy asks for, and no other."""
    return _wants_finalizer(candidate) == (INVOICE_FINALIZER in candidate.snapshot.finalizers)


def _wants_finalizer(candidate: Candidate) -> bool:
    return candidate.spec.deletion_policy is not InvoiceDeletionPolicy.RETAIN


def _is_final(error: QuickBooksError) -> bool:
    """QuickBooks refuses that for good. 610: it is gone, which the next look tells."""
    if not isinstance(error, Rejected) or not error.definite or error.code == "610":
        return False
    return error.error_class is ErrorClass.PERMANENT
