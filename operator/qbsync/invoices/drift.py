"""What people do in QuickBooks by themselves: payments, edits, voids, deletions. One call per company and interval.

Intuit's change data capture tells what changed since a moment; a webhook only says that it is time to ask.
What it tells becomes news for the objects that keep those invoices (`follow`); the moment from which the next
look starts is kept in the connection's status once that news is stored.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from qbsync.api.conditions import ConditionType, InvoiceReason, ReadyStatus, find
from qbsync.api.connection import DriftMode, DriftStatus
from qbsync.api.invoice import InvoiceSyncStatus
from qbsync.api.meta import Kind
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.worker import Done
from qbsync.invoices.connection import Connection
from qbsync.invoices.follow import is_news
from qbsync.invoices.labels import by_id
from qbsync.invoices.news import News
from qbsync.invoices.overdue import is_open
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice, parse_invoice, parse_moment
from qbsync.quickbooks.errors import IncompleteAnswer, QuickBooksError, Rejected
from qbsync.quickbooks.query import select_by, select_since

logger = logging.getLogger(__name__)

OVERLAP: Final = timedelta(minutes=5)
"""Each look starts so long before the last one: a feed may lag, and clocks differ."""
LOOK_BACK: Final = timedelta(days=29)
"""Intuit's change data capture looks back 30 days."""
DEBOUNCE: Final = timedelta(seconds=2)
"""Webhooks cause at most one call in so long a time."""
GATHER: Final = timedelta(milliseconds=300)
"""A payment and its invoice are told by two webhooks: both come to one call."""
SECOND_LOOK: Final = timedelta(seconds=15)
"""A webhook that shows nothing new may have been quicker than the feed: looked at once more."""
RECORDED_EVERY: Final = timedelta(seconds=60)
_EARLIEST: Final = 0.8
"""The first look comes after 80 to 100 % of the interval: a new fleet does not ask all at once."""
_LATE_START: Final = timedelta(minutes=5)
"""Looks that are due when a process starts are spread over so long a time."""


class Effort(StrEnum):
    """What reads are spent on; given up in this order when they run short."""

    DRIFT = "drift"
    """The look at each interval."""
    PAYMENTS = "payment status"
    """The look that a webhook asks for."""


@dataclass(slots=True)
class _Memory:
    """What is known of one company between two looks."""

    uid: str
    due: float
    """Monotonic seconds of the next look that nobody asks for."""
    cursor: datetime | None
    """From when on changes have not been seen."""
    told: bool = False
    """A webhook asks for a look."""
    named: bool = False
    """It named an invoice that is recorded here."""
    second: bool = False
    """The look before was asked for, and showed nothing."""
    looked: float = float("-inf")
    recorded: float = float("-inf")
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look brought home."""

    rows: Sequence[Mapping[str, Any]]
    gone: Iterable[str]
    """Ids of invoices that seem to be deleted."""
    time: datetime
    """QuickBooks' clock when it looked."""


class Drift:
    """Follows the changes of all companies (engine.worker.Reconciler over connections, in lanes of its own)."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        store: ObjectStore,
        reporter: Reporter,
        interval: timedelta,
        client_of: Callable[[Company], CompanyClient | None],
        tell: Callable[[Company, Key, News], None],
        affords: Callable[[Company, Effort], bool],
        access_failed: Callable[[Company, QuickBooksError], None],
        enqueue: Callable[[Company, Key, timedelta], None],
    ) -> None:
        """`interval`: where the connection names none. `tell` hands news to the object that has that key.
        `affords`: whether a metered read may be spent.
        """
        self._clock, self._rng, self._store, self._reporter = clock, rng, store, reporter
        self._interval, self._client_of, self._tell = interval, client_of, tell
        self._affords, self._access_failed, self._enqueue = affords, access_failed, enqueue
        self._backoff = Backoff(base=timedelta(seconds=5), cap=timedelta(minutes=10))
        self._memory: dict[Company, _Memory] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what makes a company due -----------------------------------------------------------------------

    def woken(self, company: Company) -> None:
        """Its connection became ready, or its spec has changed."""
        self._due(company, timedelta())

    def settled(self, company: Company) -> None:
        """One of its invoices was settled: there may be something to follow now."""
        memory = self._memory.get(company)
        if memory is not None:
            self._due(company, timedelta(seconds=memory.due - self._clock.monotonic()))

    def notified(self, company: Company, *, named: bool) -> None:
        """A webhook says that something changed; `named`: an invoice that one of our objects keeps."""
        memory = self._memory.get(company)
        if memory is None:
            return
        memory.told = True
        memory.named = memory.named or named
        memory.second = False
        left = memory.looked + DEBOUNCE.total_seconds() - self._clock.monotonic()
        self._due(company, timedelta(seconds=max(left, GATHER.total_seconds())))

    def forget(self, company: Company) -> None:
        """The connection is gone."""
        self._memory.pop(company, None)

    def close(self) -> None:
        """Stop waiting for news to be stored: the next process sees it again."""
        for task in self._tasks:
            task.cancel()

    def _due(self, company: Company, delay: timedelta) -> None:
        connection = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if connection is not None:
            self._enqueue(company, connection.key, delay)

    # -- one look ---------------------------------------------------------------------------------------

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        """Look at what changed in a company, if that is due."""
        for key in keys:
            snapshot = self._store.get(key)
            if snapshot is None or snapshot.deleting:
                done(key, None)
            else:
                done(key, await self._look_if_due(company, Connection.parse(snapshot)))

    async def _look_if_due(self, company: Company, connection: Connection) -> timedelta | None:
        """Returns when it is due again; None: when something changes."""
        memory = self._memory_of(connection)
        client = self._client_of(company)
        if client is None or not _is_usable(connection):
            return None
        now = self._clock.monotonic()
        following = _mode(connection) is DriftMode.REPORT
        wait = memory.due - now
        if not memory.told and (wait > 0 or not following):
            return timedelta(seconds=wait) if following else None
        asked, named = memory.told, memory.named
        memory.told = memory.named = False
        opened = list(self._open(company))
        affordable = self._affords(company, Effort.PAYMENTS if asked else Effort.DRIFT)
        if not affordable or not (opened or named):
            if wait <= 0:
                memory.due = now + self._interval_of(connection).total_seconds()
            # Nobody to follow: the next invoice that is settled comes back to this.
            return timedelta(seconds=memory.due - now) if opened and following else None
        memory.looked = now
        return await self._look(connection, client, memory, opened, asked=asked)

    async def _look(
        self,
        connection: Connection,
        client: CompanyClient,
        memory: _Memory,
        opened: Sequence[Snapshot],
        *,
        asked: bool,
    ) -> timedelta | None:
        company = connection.snapshot.company
        try:
            seen = await self._seen(company, client, self._since(memory, opened), opened)
        except QuickBooksError as error:
            return self._failed(company, memory, error, asked=asked)
        memory.failures = 0
        memory.due = self._clock.monotonic() + self._interval_of(connection).total_seconds()
        figures_only = _mode(connection) is DriftMode.OFF
        news = dict(self._news(company, seen, figures_only=figures_only))
        for key, item in news.items():
            self._tell(company, key, item)
        memory.cursor = max(seen.time - OVERLAP, memory.cursor or seen.time - OVERLAP)
        self._record_later(connection.snapshot.key, memory, news, asked=asked)
        if asked and not news and not memory.second:
            memory.told = memory.named = memory.second = True
            return SECOND_LOOK
        following = not figures_only and opened
        return self._interval_of(connection) if following else None

    def _failed(self, company: Company, memory: _Memory, error: QuickBooksError, *, asked: bool) -> timedelta:
        """The cursor stays: nothing is missed, only later."""
        logger.warning(
            "changes in QuickBooks not seen yet: %s", error, extra={"company": str(company), "asked": asked}
        )
        self._access_failed(company, error)
        memory.told = memory.named = asked or memory.told
        memory.failures += 1
        pause = self._backoff.delay(memory.failures, self._rng)
        memory.due = max(memory.due, self._clock.monotonic() + pause.total_seconds())
        return pause

    # -- asking QuickBooks ------------------------------------------------------------------------------

    async def _seen(
        self, company: Company, client: CompanyClient, since: datetime, opened: Sequence[Snapshot]
    ) -> _Seen:
        """The changed invoices since then; the gaps of change data capture are filled by queries."""
        gone: set[str] = set()
        if self._clock.now() - since < LOOK_BACK:
            try:
                changes = await client.changes(["Invoice"], since=since)
            except Rejected as error:
                # QuickBooks' clock may be ahead of ours, and the moment too old for it.
                logger.info("change data capture refused: %s", error)
            else:
                gone |= changes.deleted.get("Invoice", frozenset())
                if changes.complete:
                    return _Seen(changes.rows.get("Invoice", ()), gone, changes.time)
        return await self._queried(company, client, since, opened, gone)

    async def _queried(
        self,
        company: Company,
        client: CompanyClient,
        since: datetime,
        opened: Sequence[Snapshot],
        gone: set[str],
    ) -> _Seen:
        ours = {str(snapshot.status["quickbooksId"]) for snapshot in opened}

        def kept_here(row: Mapping[str, Any]) -> bool:
            return bool(self._store.labelled(company, by_id(str(row.get("Id")))))

        updates = await select_since(client, entity="Invoice", since=since, wanted=kept_here)
        unseen = sorted(ours - {str(row["Id"]) for row in updates.rows} - gone)
        standing = await select_by(client, entity="Invoice", fields=("Id",), field="Id", values=unseen)
        gone |= set(unseen) - {str(row["Id"]) for row in standing}
        return _Seen(updates.rows, gone, updates.time or self._clock.now())

    def _since(self, memory: _Memory, opened: Iterable[Snapshot]) -> datetime:
        """What was not seen yet begins at the cursor, or with the oldest invoice that is followed.

        An old cursor means that nobody was followed for long: what then was not seen concerned nobody.
        """
        now = self._clock.now()
        synced = [_synced_at(snapshot) for snapshot in opened]
        oldest = min(synced, default=now) - OVERLAP
        if memory.cursor is None:
            return oldest
        return memory.cursor if now - memory.cursor < LOOK_BACK else max(memory.cursor, oldest)

    # -- whom it concerns -------------------------------------------------------------------------------

    def _open(self, company: Company) -> Iterator[Snapshot]:
        """The objects whose invoices may still change in a way that somebody waits for."""
        for snapshot in self._store.members(company, Kind.INVOICE):
            if snapshot.status.get("quickbooksId") and not snapshot.deleting and not _is_lost(snapshot):
                status = InvoiceSyncStatus.model_validate(snapshot.status)
                if is_open(status) or status.payment_status is None:
                    yield snapshot

    def _news(self, company: Company, seen: _Seen, *, figures_only: bool) -> Iterator[tuple[Key, News]]:
        for row in seen.rows:
            for snapshot in self._store.labelled(company, by_id(str(row.get("Id")))):
                if not snapshot.deleting and _says_more(row, snapshot):
                    yield snapshot.key, News(_parsed(row), figures_only)
        for id_ in seen.gone:
            for snapshot in self._store.labelled(company, by_id(id_)):
                if not snapshot.deleting and not _is_lost(snapshot):
                    yield snapshot.key, News(None, figures_only)

    # -- the cursor ---------------------------------------------------------------------------------------

    def _record_later(self, key: Key, memory: _Memory, news: Mapping[Key, News], *, asked: bool) -> None:
        recently = self._clock.monotonic() - memory.recorded < RECORDED_EVERY.total_seconds()
        if asked and recently:
            return
        memory.recorded = self._clock.monotonic()
        looked_at, cursor = self._clock.now(), memory.cursor
        if not news:
            self._record(key, cursor, looked_at)
            return
        task = asyncio.create_task(self._record_after(key, cursor, looked_at, news), name=f"cursor of {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record_after(
        self, key: Key, cursor: datetime | None, looked_at: datetime, news: Mapping[Key, News]
    ) -> None:
        for item in news.values():
            await item.recorded.wait()
        await self._reporter.stored(news)
        self._record(key, cursor, looked_at)

    def _record(self, key: Key, cursor: datetime | None, looked_at: datetime) -> None:
        snapshot = self._store.get(key)
        if snapshot is None or cursor is None:
            return
        connection = Connection.parse(snapshot)
        before = connection.status.drift
        known = parse_moment(before.cursor) if before is not None else None
        if known is None or known < cursor:
            drift = DriftStatus(
                cursor=cursor.astimezone(UTC).isoformat(timespec="seconds"), last_check_time=looked_at
            )
            self._reporter.report(key, connection.status.model_copy(update={"drift": drift}).document())

    # -- time ---------------------------------------------------------------------------------------------

    def _memory_of(self, connection: Connection) -> _Memory:
        company, uid = connection.snapshot.company, connection.snapshot.key.uid
        memory = self._memory.get(company)
        if memory is None or memory.uid != uid:
            drift = connection.status.drift
            cursor = parse_moment(drift.cursor) if drift is not None else None
            due = self._clock.monotonic() + self._first_look_in(connection).total_seconds()
            memory = self._memory[company] = _Memory(uid, due, cursor)
        interval = self._interval_of(connection).total_seconds()
        # A shorter interval holds at once.
        memory.due = min(memory.due, self._clock.monotonic() + interval)
        return memory

    def _first_look_in(self, connection: Connection) -> timedelta:
        """This process's first look: the schedule of an earlier one goes on."""
        now, interval = self._clock.now(), self._interval_of(connection)
        drift, ready = connection.status.drift, find(connection.status.conditions, ConditionType.READY)
        if drift is not None and drift.last_check_time is not None:
            remaining = drift.last_check_time + interval - now
        elif ready is not None:
            share = self._rng.uniform(_EARLIEST, 1)
            remaining = ready.last_transition_time + interval * share - now
        else:
            return interval
        return remaining if remaining > timedelta() else min(_LATE_START, interval / 10) * self._rng.random()

    def _interval_of(self, connection: Connection) -> timedelta:
        settings = connection.spec.invoices.drift if connection.spec.invoices is not None else None
        return (settings.interval if settings is not None else None) or self._interval


def _mode(connection: Connection) -> DriftMode:
    settings = connection.spec.invoices.drift if connection.spec.invoices is not None else None
    return (settings.mode if settings is not None else None) or DriftMode.REPORT


def _is_usable(connection: Connection) -> bool:
    ready = find(connection.status.conditions, ConditionType.READY)
    return ready is not None and ready.status is ReadyStatus.TRUE and not connection.spec.suspend


def _is_lost(snapshot: Snapshot) -> bool:
    """Its invoice was deleted in QuickBooks, and it says so."""
    return any(
        condition.get("type") == ConditionType.READY
        and condition.get("reason") == InvoiceReason.DELETED_IN_QUICKBOOKS
        for condition in snapshot.status.get("conditions") or ()
    )


def _synced_at(snapshot: Snapshot) -> datetime:
    return datetime.fromisoformat(
        snapshot.status.get("lastSyncTime") or snapshot.metadata["creationTimestamp"]
    )


def _says_more(row: Mapping[str, Any], snapshot: Snapshot) -> bool:
    try:
        return is_news(parse_invoice(row), InvoiceSyncStatus.model_validate(snapshot.status))
    except IncompleteAnswer:
        return True


def _parsed(row: Mapping[str, Any]) -> Invoice | None:
    """None for a row that cannot be read: then the invoice itself is."""
    try:
        return parse_invoice(row)
    except IncompleteAnswer:
        return None
