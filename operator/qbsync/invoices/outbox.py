"""Sending creates, one by one or in batches.

From before the first send until the outcome is definite, requestid and body are frozen; what came back
without a complete answer is looked up, and sent again only when QuickBooks can no longer be at it.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from qbsync.api.conditions import InvoiceReason
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import NotRecorded
from qbsync.engine.store import ObjectStore
from qbsync.invoices.batching import Batch, sort_out
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import Connection
from qbsync.invoices.desk import Change, Sent
from qbsync.invoices.errors import NotSending
from qbsync.invoices.fields import statements
from qbsync.invoices.identity import requestid
from qbsync.invoices.mapping import create_body, transaction_date
from qbsync.invoices.outcomes import Letter, Outcomes, never_arrived
from qbsync.invoices.references import Resolved
from qbsync.invoices.search import doubtful, needs_intent
from qbsync.invoices.settle import Settler
from qbsync.kube import errors as kube_errors
from qbsync.kube.objects import ObjectsApi
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Entity
from qbsync.quickbooks.errors import NoAccessToken, QuickBooksError, Rejected

logger = logging.getLogger(__name__)

LOOKUP_LAG = timedelta(seconds=5)
"""A query may miss an invoice for so long after its commit: absence is concluded no earlier."""
HEARD_LATELY = timedelta(seconds=60)
"""A create for an object not heard of for longer reads it first: the watch may have a gap."""


class Fence(Protocol):
    """Says whether this process may still send: it leads, by its own clock, and is not stopping."""

    def holds(self) -> bool: ...


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
        handful: int | None = None,
    ) -> None:
        """`server_timeout`: how long QuickBooks may be at work on a request (Intuit: 120 s). `handful`: more
        creates than that at once go out in batches; None: none ever does.
        """
        self.lookup_lag, self._handful = lookup_lag, handful
        self._clock, self._store, self._objects = clock, store, objects
        self._settler, self._fence, self._server_timeout = settler, fence, server_timeout
        self._access_failed = access_failed
        self._outcomes = Outcomes(clock, rng, settler, server_timeout, lookup_lag, access_failed)
        self._ready: defaultdict[Company, list[Letter]] = defaultdict(list)
        """What was asked for in this turn of the event loop: it goes out together."""
        self._sending: set[Key] = set()
        """One send of an object at a time, whoever asks for another."""
        self._tasks: set[asyncio.Task[None]] = set()

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
        sent = candidate.desk.sent.get(candidate.key) or self._freeze(candidate, connection, resolved)
        self._sending.add(candidate.key)
        ready = self._ready[candidate.company]
        if not ready:
            asyncio.get_running_loop().call_soon(self._dispatch, candidate.company)
        ready.append(Letter(candidate, sent, connection, client))

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
        self._outcomes.retry_later(candidate, error, reason=reason)

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

    # -- one by one, or together -----------------------------------------------------------------------------

    def _dispatch(self, company: Company) -> None:
        letters = self._ready.pop(company)
        together = [letter for letter in letters if _may_share(letter)]
        alone = [letter for letter in letters if not _may_share(letter)]
        singles, batches = sort_out(together, handful=self._handful)
        for letter in (*alone, *singles):
            self._start(self._send(letter), f"create for {letter.candidate.key}")
        for batch in batches:
            self._start(self._send_together(batch), f"{len(batch)} creates of {company}")

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, letter: Letter) -> None:
        await self._ending(letter, self._attempt(letter))

    async def _ending(self, letter: Letter, work: Coroutine[None, None, None]) -> None:
        """Whatever happens, the object comes to an end, and from then on may be asked for again."""
        try:
            await work
        except NotSending as reason:
            self.not_sent(letter.candidate, reason)
        except Exception as error:
            # A fault of ours: it is looked up again.
            logger.exception("create failed", extra={"object": str(letter.candidate.key)})
            self.retry_later(letter.candidate, error)
        finally:
            self._sending.discard(letter.candidate.key)

    async def _attempt(self, letter: Letter) -> None:
        candidate, sent = letter.candidate, letter.sent
        intending = letter
        try:
            await self.confirm_alive(candidate)
            if needs_intent(candidate, letter.connection):
                intending = replace(letter, candidate=await self._intend(candidate, sent))
            row = await letter.client.create(
                "Invoice",
                sent.body,
                requestid=sent.requestid,
                before_send=lambda: self._before_send(letter),
            )
            await self._outcomes.created(intending, row)
        except NotSending as reason:
            self.not_sent(self._unintended(letter, intending).candidate, reason)
        except QuickBooksError as error:
            if never_arrived(error):
                letter.thaw()
            self._outcomes.failed(self._unintended(letter, intending), error)

    async def _send_together(self, letters: Sequence[Letter]) -> None:
        batch = Batch(await self._living(letters), self._before_sharing)
        if not batch.letters:
            return
        try:
            outcomes = await batch.client.batch(batch.compose)
        except NotSending:
            logger.info("nothing was left of a batch")
        except QuickBooksError as error:
            await self._batch_failed(batch, error)
        except Exception as error:
            for letter in batch.letters:
                await self._ending(letter, _raising(error))
        else:
            for bid, letter in batch.going.items():
                await self._ending(letter, self._item_came_back(letter, outcomes[bid]))
        for letter, reason in batch.left_behind:
            await self._ending(letter, _raising(reason))

    async def _living(self, letters: Sequence[Letter]) -> list[Letter]:
        living: list[Letter] = []
        for letter in letters:
            try:
                await self.confirm_alive(letter.candidate)
            except Exception as error:
                await self._ending(letter, _raising(error))
            else:
                living.append(letter)
        return living

    async def _batch_failed(self, batch: Batch, error: QuickBooksError) -> None:
        """What became of the call became of every item."""
        if isinstance(error, Rejected) and error.definite:
            # Nothing was executed, perhaps for the sake of one item: each hears for itself.
            for letter in batch.letters:
                letter.thaw()
            await asyncio.gather(*map(self._send, batch.letters))
            return
        for letter in batch.letters:
            await self._ending(letter, self._came_back(letter, error))

    async def _item_came_back(self, letter: Letter, outcome: Entity | QuickBooksError) -> None:
        if isinstance(outcome, QuickBooksError) and never_arrived(outcome):
            # Refused as if at the door; but its batch was let in, so that says nothing of the company.
            letter.thaw()
            self.retry_later(letter.candidate, outcome)
        else:
            await self._came_back(letter, outcome)

    async def _came_back(self, letter: Letter, outcome: Entity | QuickBooksError) -> None:
        if isinstance(outcome, Entity):
            await self._outcomes.created(letter, outcome)
            return
        if never_arrived(outcome):
            letter.thaw()
        self._outcomes.failed(letter, outcome)

    async def _intend(self, candidate: Candidate, sent: Sent) -> Candidate:
        """Have the intent stored before the first send. Raises NotSending if that cannot be had.

        Should this process die, the next one knows by it that there may be an invoice, and where to search.
        """
        known = candidate.status.intent
        if sent.last_sent is not None or (known is not None and known.request_id == sent.requestid):
            return candidate
        try:
            return await self._settler.intend(candidate, self._outcomes.intent(sent))
        except NotRecorded as error:
            self._settler.withdraw(candidate)
            raise NotSending(str(error)) from error

    def _unintended(self, letter: Letter, intending: Letter) -> Letter:
        """As it goes on: where nothing was sent, the intent is taken back."""
        if intending.candidate is letter.candidate or letter.sent.last_sent is not None:
            return intending
        self._settler.withdraw(letter.candidate)
        return letter

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

    def _before_send(self, letter: Letter, *, in_batch: bool = False) -> None:
        """The last moment: an object deleted, suspended or changed meanwhile is not acted on in its old form."""
        candidate, sent = letter.candidate, letter.sent
        self.check(candidate, generation=sent.generation if sent.last_sent is None else None)
        candidate.desk.sent[candidate.key] = sent
        earlier = candidate.desk.attempts.get(candidate.key, candidate.status.attempts or 0)
        candidate.desk.attempts[candidate.key] = earlier + 1
        sent.first_sent = sent.first_sent or self._clock.now()
        sent.last_sent = self._clock.monotonic()
        sent.rest = None
        sent.in_flight, sent.in_batch = True, in_batch

    def _before_sharing(self, letter: Letter) -> None:
        self._before_send(letter, in_batch=True)


async def _raising(error: Exception) -> None:
    raise error


def _may_share(letter: Letter) -> bool:
    """Whether it may go in a batch, whose items have no requestid: only what was never sent, and is found by number."""
    return not (doubtful(letter.candidate) or needs_intent(letter.candidate, letter.connection))


def _positive(remaining: timedelta) -> timedelta | None:
    return remaining if remaining > timedelta() else None
