"""Creating the customers and items that an invoice names and QuickBooks does not have: each once.

Whoever asks first creates it; others that name the same wait and look again. QuickBooks keeps the names of
customers, vendors and employees apart, and those of items (Intuit: fault 6240); the requestid is made from
the name, so that two processes that ask for one name ask for one thing. An outcome that is unknown is looked
up, and sent again only when the first request can no longer arrive.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Intent
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.keys import Key
from qbsync.engine.store import ObjectStore
from qbsync.invoices import refusals
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import Connection
from qbsync.invoices.desk import Making
from qbsync.invoices.entries import Entry
from qbsync.invoices.errors import NotSending
from qbsync.invoices.identity import name_requestid, normalized_name
from qbsync.invoices.labels import ENTRY_OPEN
from qbsync.invoices.lookup import CompanyDirectory
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.outcomes import THROTTLE_WAIT, is_replay
from qbsync.invoices.references import MISSING_FOR
from qbsync.invoices.report import CREATE_ENTRY
from qbsync.invoices.settle import Settler
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Entity, NamedRow, parse_moment, parse_named
from qbsync.quickbooks.errors import (
    QuickBooksError,
    Rejected,
    Throttled,
    outcome_unknown,
)

logger = logging.getLogger(__name__)

_LISTS = {
    "Customer": (("Customer", "DisplayName"), ("Vendor", "DisplayName"), ("Employee", "DisplayName")),
    "Item": (("Item", "Name"),),
}
"""Where a name may be taken (Intuit: DisplayName is unique among customers, vendors and employees)."""
_TAKEN = frozenset({"6240", "600"})
"""Intuit: Duplicate Name Exists; Duplicate Request ID."""


class _Later(Exception):
    """It is not there yet, and nothing is to be done before `delay` is over."""

    def __init__(
        self,
        reason: InvoiceReason,
        message: str,
        delay: timedelta,
        *,
        error: QuickBooksError | None = None,
        intent: Intent | None = None,
    ) -> None:
        super().__init__(message)
        self.reason, self.delay, self.error, self.intent = reason, delay, error, intent


class _Never(Exception):
    """It is not to be had without a person."""

    def __init__(self, reason: InvoiceReason, message: str, error: QuickBooksError) -> None:
        super().__init__(message)
        self.reason, self.error = reason, error


@dataclass(frozen=True, slots=True)
class _Job:
    """One entry, and the object on whose behalf it is created."""

    candidate: Candidate
    entry: Entry
    making: Making
    realm: str
    client: CompanyClient

    @property
    def requestid(self) -> str:
        entry = self.entry
        return name_requestid(realm=self.realm, kind=entry.entity, name=entry.name, n=self.making.n)


class Creation:
    """Creates entries of the name lists for one operator process."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        store: ObjectStore,
        settler: Settler,
        outbox: Outbox,
        grace: TakeoverGrace,
        access_failed: Callable[[Candidate, QuickBooksError], None],
    ) -> None:
        self._clock, self._rng, self._store = clock, rng, store
        self._settler, self._outbox = settler, outbox
        self._grace, self._access_failed = grace, access_failed
        self._backoff = Backoff(cap=timedelta(minutes=2))
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._asked_for: set[str] = set()
        """The requestids that this process has sent."""

    def begin(
        self, candidate: Candidate, entries: Sequence[Entry], connection: Connection, client: CompanyClient
    ) -> None:
        """Create what is missing, then look at the object again; returns at once."""
        if candidate.key in self._tasks:
            return
        work = self._guarded(candidate, self._work(candidate, entries, connection, client))
        task = asyncio.create_task(work, name=f"names for {candidate.key}")
        self._tasks[candidate.key] = task
        task.add_done_callback(lambda _: self._tasks.pop(candidate.key, None))

    async def _guarded(self, candidate: Candidate, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except NotSending as why:
            self._outbox.not_sent(candidate, why)
        except _Later as later:
            self._settler.wait(
                candidate,
                reason=later.reason,
                message=str(later),
                delay=later.delay,
                error=later.error,
                intent=later.intent,
            )
        except _Never as never:
            self._settler.refused(candidate, reason=never.reason, message=str(never), error=never.error)
        except QuickBooksError as error:
            self._outbox.put_off(candidate, error)
        except Exception as error:
            logger.exception("creating a name failed", extra={"object": str(candidate.key)})
            self._outbox.retry_later(candidate, error)
        else:
            self._settler.again(candidate)

    async def _work(
        self, candidate: Candidate, entries: Sequence[Entry], connection: Connection, client: CompanyClient
    ) -> None:
        self._await_grace()
        self._await_predecessor(candidate)
        await self._outbox.confirm_alive(candidate)
        desk = candidate.desk
        for entry in entries:
            busy = desk.makers(entry.entity, entry.claims)
            if busy:
                # Somebody else is at it: what comes of that, the next look tells.
                await asyncio.wait(busy)
                return
            making = desk.making(entry.entity, normalized_name(entry.name), entry.claims)
            job = _Job(candidate, entry, making, connection.spec.realm_id, client)
            ended = desk.begin_making(entry.entity, entry.claims)
            try:
                row = await self._row(job)
            finally:
                ended()
            desk.made(entry.entity, normalized_name(entry.name))
            for name in entry.names:
                desk.references.know(name, row)

    def _await_grace(self) -> None:
        """A predecessor may have sent it, for whichever object: what was looked up before that ends proves nothing."""
        left = self._grace.until + MISSING_FOR.total_seconds() - self._clock.monotonic()
        if left > 0:
            raise _Later(
                InvoiceReason.QUEUED,
                "an earlier operator process ended without a word; whatever it had sent gets time to arrive",
                timedelta(seconds=left),
            )

    def _await_predecessor(self, candidate: Candidate) -> None:
        """What an earlier process asked for, and left open, may still arrive: nobody knows its names any more."""
        for snapshot in self._store.labelled(candidate.company, ENTRY_OPEN):
            intent = Intent.model_validate(snapshot.status["intent"])
            if intent.time is None or intent.request_id in self._asked_for:
                continue
            left = intent.time + self._outbox.at_work_at_most + MISSING_FOR - self._clock.now()
            if left > timedelta():
                raise _Later(
                    InvoiceReason.QUEUED,
                    "an earlier operator process may still be creating a customer or item; whatever it had sent "
                    "gets time to arrive",
                    candidate.desk.look_again_in(candidate.key, at_most=left),
                )

    async def _row(self, job: _Job) -> NamedRow:
        """The entry as it stands in the end. Raises _Later, _Never, NotSending and QuickBooksError."""
        open_ones = job.candidate.desk.open_makings(job.entry.entity, job.entry.claims)
        if open_ones:
            left = max((self._outbox.left_of(one.last_sent, one.rest) or timedelta()) for one in open_ones)
            found = await self._look(job)
            if found is not None:
                return found
            self._await_outcome(job, left)
        try:
            row = await job.client.create(
                job.entry.entity,
                job.entry.body,
                requestid=job.requestid,
                before_send=lambda: self._before_send(job),
            )
        except QuickBooksError as error:
            return await self._failed(job, error)
        made = await self._as_it_is_now(row, job)
        if made is None:
            # That requestid belongs to an entry that has another name now, or is gone.
            job.making.used_up()
            message = f"{job.entry} was created before, and renamed or removed since; creating another"
            raise _Later(InvoiceReason.RETRYING, message, timedelta())
        return made

    def _before_send(self, job: _Job) -> None:
        self._outbox.check(job.candidate, generation=job.candidate.snapshot.generation)
        self._asked_for.add(job.requestid)
        job.making.sent(now=self._clock.now(), monotonic=self._clock.monotonic())

    def _await_outcome(self, job: _Job, left: timedelta) -> None:
        if left > timedelta():
            raise _Later(
                InvoiceReason.OUTCOME_UNKNOWN,
                f"QuickBooks did not say whether it created {job.entry}; it is looked for before it is sent again",
                job.candidate.desk.look_again_in(job.candidate.key, at_most=left),
            )

    async def _as_it_is_now(self, row: Entity, job: _Job) -> NamedRow | None:
        """What was created. An answer from before the first send is a replay: one read tells what became of it."""
        if not is_replay(_created(row), job.making.first_sent):
            return parse_named(row)
        try:
            current = await job.client.read(job.entry.entity, str(row["Id"]))
        except Rejected as error:
            if error.code == "610" and error.definite:
                return None
            raise
        found = parse_named(current)
        same = normalized_name(found.full_name or found.name) == normalized_name(job.entry.name)
        return found if found.active and same else None

    async def _failed(self, job: _Job, error: QuickBooksError) -> NamedRow:
        """The entry, if it turns out to be there; else raises what the error means."""
        making = job.making
        if making.open and outcome_unknown(error):
            throttled = isinstance(error, Throttled)
            making.rest = THROTTLE_WAIT + self._outbox.lookup_lag if throttled else None
            self._access_failed(job.candidate, error)
            raise self._unknown(job, error)
        if not isinstance(error, Rejected):
            making.close()
            raise error
        making.used_up()
        if error.code not in _TAKEN:
            message = refusals.told(f"{job.entry.path}: creating {job.entry}", error)
            raise _Never(refusals.reason_of(error), message, error)
        # By what a query may not show yet.
        await self._clock.sleep(self._outbox.lookup_lag)
        found = await self._look(job)
        if found is not None:
            return found
        if error.code == "6240":
            raise _Never(InvoiceReason.REFERENCE_NOT_FOUND, await self._whose(job, error), error)
        raise error

    def _unknown(self, job: _Job, error: QuickBooksError) -> _Later:
        failures = job.candidate.desk.failed(job.candidate.key)
        return _Later(
            InvoiceReason.OUTCOME_UNKNOWN,
            f"{job.entry} was sent, but QuickBooks gave no usable answer ({error}). "
            "It is looked up, and sent again only when the first request can no longer arrive.",
            min(self._backoff.delay(failures, self._rng), self._outbox.at_work_at_most),
            error=error,
            # Should this process end, the next one leaves the name alone for as long.
            intent=Intent(
                operation=f"{CREATE_ENTRY}{job.entry.entity}",
                request_id=job.requestid,
                time=self._clock.now(),
            ),
        )

    async def _look(self, job: _Job) -> NamedRow | None:
        """The active entry that has the name asked for; None if there is none."""
        wanted = job.entry.names[0]
        rows = await _named(job.client, [(wanted.entity, wanted.field)], wanted.text)
        active = [row for _, row in rows if row.active]
        return active[0] if len(active) == 1 else None

    async def _whose(self, job: _Job, error: Rejected) -> str:
        """Who has the name, for people."""
        entry = job.entry
        rows = await _named(job.client, _LISTS[entry.entity], entry.own_name)
        holders = ", ".join(f"{'' if row.active else 'inactive '}{kind} {row.id}" for kind, row in rows)
        return (
            f"{entry.path}: {entry} cannot be created: the name belongs to {holders or 'another list entry'}. "
            f"Write another name, or change that one in QuickBooks. {error}"
        )


async def _named(
    client: CompanyClient, lists: Iterable[tuple[str, str]], text: str
) -> list[tuple[str, NamedRow]]:
    """Every entry of these lists that has the text in that field, with what it is."""
    directory, found = CompanyDirectory(client), []
    for entity, by in lists:
        rows = await directory.named(entity, by, [text])
        same = (row for value, row in rows if normalized_name(value) == normalized_name(text))
        found += [(entity.lower(), row) for row in same]
    return found


def _created(row: Entity) -> datetime | None:
    metadata = row.get("MetaData")
    return parse_moment(metadata.get("CreateTime")) if isinstance(metadata, Mapping) else None
