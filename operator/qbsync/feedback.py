"""What comes back from QuickBooks by itself, composed: changes, webhooks, and what the calls cost."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from qbsync.api.meta import Kind
from qbsync.engine.announcer import Announcer
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.worker import Lane, Reconciler, Workers
from qbsync.invoices.drift import Drift
from qbsync.invoices.news import News
from qbsync.kube.secrets import SecretsApi
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.errors import QuickBooksError
from qbsync.quickbooks.metering import Meter
from qbsync.settings import OperatorSettings
from qbsync.telemetry.metrics import Metrics
from qbsync.tokens.apps import Apps
from qbsync.usage import UsageBook
from qbsync.webhooks.inbox import Inbox


class Feedback:
    """One term as leader's worth of it. Its work is about connections, in queues of its own."""

    def __init__(
        self,
        *,
        settings: OperatorSettings,
        secrets: SecretsApi,
        store: ObjectStore,
        reporter: Reporter,
        announcer: Announcer,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        closed_namespace: str | None,
        client_of: Callable[[Company], CompanyClient | None],
        tell: Callable[[Company, Key, News], None],
        echoes: Callable[[Company, str], bool],
        access_failed: Callable[[Company, QuickBooksError], None],
        touch: Callable[[Company], None],
    ) -> None:
        """`touch`: have a connection looked at, since what stands about its reads has changed."""
        self._store, self._metrics, self._touch = store, metrics, touch
        apps = Apps(secrets=secrets, clock=clock)
        self.meter = Meter(clock=clock, budget=settings.read_budget, on_block=self._blocked)
        self.usage = UsageBook(
            clock=clock,
            meter=self.meter,
            apps=apps,
            store=store,
            reporter=reporter,
            announcer=announcer,
            closed_namespace=closed_namespace,
            enqueue=lambda company, key, delay: self._telling.queue.add(company, key, delay=delay),
        )
        self._drift = Drift(
            clock=clock,
            rng=rng,
            store=store,
            reporter=reporter,
            interval=settings.drift_interval,
            client_of=client_of,
            tell=tell,
            affords=self.usage.affords,
            access_failed=access_failed,
            enqueue=lambda company, key, delay: self._looking.queue.add(company, key, delay=delay),
        )
        self._inbox = Inbox(
            clock=clock,
            store=store,
            apps=apps,
            observer=metrics,
            closed_namespace=closed_namespace,
            echoes=echoes,
            notified=lambda company, named: self._drift.notified(company, named=named),
        )
        self._telling, self._looking = (
            Workers(clock=clock, rng=rng, lanes={Kind.CONNECTION: Lane(one, round_size=1, outstanding=0)})
            for one in _reconcilers(self.usage, self._drift)
        )

    def running(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run for as long as this term lasts."""
        return [self._telling.queue.run(), self._looking.queue.run()]

    async def webhook(self, app: str, signature: str, body: bytes) -> int:
        """Take a webhook; returns the HTTP status of the answer."""
        return await self._inbox.receive(app, signature=signature, body=body)

    def woken(self, company: Company) -> None:
        """A connection became ready, or its spec has changed."""
        self._inbox.connections_changed()
        self.usage.woken(company)
        self._drift.woken(company)

    def settled(self, company: Company) -> None:
        """An invoice of that company was settled."""
        self._drift.settled(company)

    def reads_blocked(self, company: Company) -> timedelta | None:
        """In how long a read is tried again where the app's allowance is used up."""
        return self.meter.probe_in(company)

    def gone(self, snapshot: Snapshot) -> None:
        """A connection was deleted."""
        for workers in (self._telling, self._looking):
            workers.queue.forget(snapshot.key)
        self._inbox.connections_changed()
        self.usage.forget(snapshot.company)
        self._drift.forget(snapshot.company)

    def measure(self, company: Company) -> None:
        """Bring the gauges of a company up to date."""
        self._metrics.measure_budget(company, self.meter.remaining(company))

    def stop_taking(self) -> None:
        """Start nothing new."""
        for workers in (self._telling, self._looking):
            workers.stop_taking()

    async def drained(self) -> None:
        """Wait until what was asked is answered; after `stop_taking`."""
        await asyncio.gather(self._telling.drained(), self._looking.drained())

    def close(self) -> None:
        """Wait for nothing any more."""
        self._drift.close()

    def _blocked(self) -> None:
        for connection in self._store.all(Kind.CONNECTION):
            self._touch(connection.company)


def _reconcilers(*reconcilers: Reconciler) -> tuple[Reconciler, ...]:
    return reconcilers
