"""What calls to QuickBooks cost, told: in `status.usage`, as an Event when they run short, to whoever may save some."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from qbsync.api.connection import (
    Environment,
    QuickBooksConnectionSpec,
    QuickBooksConnectionStatus,
    UsageStatus,
)
from qbsync.api.meta import Kind
from qbsync.engine.announcer import Announcer
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.worker import Done
from qbsync.invoices.drift import Effort
from qbsync.quickbooks.client import RequestObserver
from qbsync.quickbooks.metering import LOW, Meter, Thrift, Usage
from qbsync.tokens.apps import Apps

TOLD_EVERY: Final = timedelta(seconds=60)
_GIVEN_UP_FROM: Final = {Effort.DRIFT: Thrift.NO_DRIFT, Effort.PAYMENTS: Thrift.NO_PAYMENTS}


class UsageBook:
    """Keeps `status.usage` of all connections (engine.worker.Reconciler, in lanes of its own)."""

    def __init__(
        self,
        *,
        clock: Clock,
        meter: Meter,
        apps: Apps,
        store: ObjectStore,
        reporter: Reporter,
        announcer: Announcer,
        closed_namespace: str | None,
        enqueue: Callable[[Company, Key, timedelta], None],
    ) -> None:
        """`closed_namespace`: its Secrets are not for connections."""
        self._clock, self._meter, self._apps, self._store = clock, meter, apps, store
        self._reporter, self._announcer, self._closed = reporter, announcer, closed_namespace
        self._enqueue = enqueue
        self._dirty: set[Company] = set()
        self._told: dict[Company, float] = {}

    # -- asked by others ----------------------------------------------------------------------------------

    def observing(self, company: Company, then: RequestObserver) -> RequestObserver:
        """Count a company's calls."""
        return self._meter.observing(company, _Dirtying(self, company, then))

    def affords(self, company: Company, effort: Effort) -> bool:
        """Whether reads may be spent on that."""
        return self._meter.thrift(company) < _GIVEN_UP_FROM[effort] and not self._meter.blocked(company)

    def saves_names(self, company: Company) -> bool:
        """Whether known names are good enough."""
        return self._meter.thrift(company) >= Thrift.NO_NAMES or self._meter.blocked(company)

    def woken(self, company: Company) -> None:
        """A connection is there: its app and what was counted before are looked up."""
        self._due(company, timedelta())

    def called(self, company: Company) -> None:
        """A call ended: it is told within a minute."""
        if company in self._dirty:
            return
        self._dirty.add(company)
        told = self._told.get(company, float("-inf"))
        left = told + TOLD_EVERY.total_seconds() - self._clock.monotonic()
        self._due(company, timedelta(seconds=max(left, 1.0)))

    def forget(self, company: Company) -> None:
        """The connection is gone."""
        self._dirty.discard(company)
        self._told.pop(company, None)
        self._meter.forget(company)

    def _due(self, company: Company, delay: timedelta) -> None:
        connection = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if connection is not None:
            self._enqueue(company, connection.key, delay)

    # -- telling --------------------------------------------------------------------------------------------

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        """Bring a connection's `status.usage` up to date."""
        for key in keys:
            snapshot = self._store.get(key)
            if snapshot is not None and not snapshot.deleting and key.namespace != self._closed:
                await self._assign(company, snapshot)
                self._tell(company, key)
            done(key, None)

    async def _assign(self, company: Company, snapshot: Snapshot) -> None:
        spec = QuickBooksConnectionSpec.model_validate(snapshot.spec)
        status = QuickBooksConnectionStatus.model_validate(snapshot.status)
        self._meter.resume(company, _known(status.usage))
        app = await self._apps.of(company.namespace, spec.client_secret_ref.name)
        if app is not None:
            self._meter.assign(company, app.id, metered=spec.environment is not Environment.SANDBOX)

    def _tell(self, company: Company, key: Key) -> None:
        snapshot = self._store.get(key)
        if snapshot is None:
            return
        self._dirty.discard(company)
        status = QuickBooksConnectionStatus.model_validate(snapshot.status)
        usage, before = self._meter.usage(company), status.usage
        if not (usage.reads or usage.writes or usage.app_reads) and before is None:
            return
        new = UsageStatus(
            month=usage.month,
            reads=usage.reads,
            writes=usage.writes,
            app_reads=usage.app_reads,
            app_budget=self._meter.budget,
        )
        if new == before:
            return
        self._told[company] = self._clock.monotonic()
        self._reporter.report(key, status.model_copy(update={"usage": new}).document())
        known = _known(before)
        earlier = known.app_reads if known is not None and known.month == usage.month else 0
        mark = LOW * self._meter.budget
        if earlier < mark <= usage.app_reads and self._meter.thrift(company):
            self._announcer.warning(
                snapshot,
                "ReadBudgetLow",
                f"the Intuit app has used {usage.app_reads} of the {self._meter.budget} metered reads of "
                f"{usage.month}: changes in QuickBooks are no longer looked for by themselves; from 90 % payments "
                "are not followed either, from 95 % names are not looked up again",
            )


class _Dirtying:
    def __init__(self, book: UsageBook, company: Company, then: RequestObserver) -> None:
        self._book, self._company, self._then = book, company, then

    def observed(
        self, *, operation: str, status: int | None, code: str | None, seconds: float, metered: bool
    ) -> None:
        self._then.observed(operation=operation, status=status, code=code, seconds=seconds, metered=metered)
        self._book.called(self._company)


def _known(usage: UsageStatus | None) -> Usage | None:
    if usage is None or usage.month is None:
        return None
    return Usage(usage.month, usage.reads or 0, usage.writes or 0, usage.app_reads or 0)
