"""The operator's processes of a history, and the API server that they share: what dies, lags and hands over."""

import asyncio
import random
from collections import deque
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from fakes.objects import MemoryObjects
from fakes.virtual_time import LoopClock
from fixtures.invoices_room import InvoicesRoom
from fixtures.quickbooks_in_process import SERVER_TIMEOUT, QuickBooks
from qbsync.api.meta import Kind
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.intake import Intake
from qbsync.engine.keys import Company
from qbsync.engine.store import Snapshot
from qbsync.invoices.batching import HANDFUL
from qbsync.leading import ROUND_LINGER
from qbsync.quickbooks.client import CLIENT_MARGIN, AccessToken, CompanyClient
from qbsync.quickbooks.limits import CompanyLimiter
from qbsync.quickbooks.transport import HttpRequest, HttpResponse

RESYNC_LAG = 0.5
"""Seconds that the watch may be behind."""


class World(Protocol):
    """What a process finds around it."""

    rng: random.Random
    quickbooks: QuickBooks
    cluster: "Cluster"
    connection: dict[str, Any]
    token: AccessToken
    over: bool

    def note(self, what: str) -> None:
        """For the reader of a failing history."""

    def sending(self, operation: str, request: HttpRequest) -> None:
        """A process sends something."""

    def released(self, uid: str) -> None:
        """An object was let go, and its invoice is left as it is."""


class Cluster(MemoryObjects):
    """The API server: everybody who watches hears of every change, a little later."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(now=lambda: LoopClock().now())
        self.rng = rng
        self.watchers: list[Intake] = []
        self._underway: deque[tuple[Intake, Kind, str, dict[str, Any]]] = deque()
        self.watcher = self.tell

    def tell(self, kind: Kind, type_: str, body: dict[str, Any]) -> None:
        """Deliver an event to every watcher, in order for each."""
        loop = asyncio.get_running_loop()
        for watcher in self.watchers:
            self._underway.append((watcher, kind, type_, body))
            # Timers of one moment fire in any order; the watch's events do not come in any order.
            loop.call_later(RESYNC_LAG, self._deliver)

    def _deliver(self) -> None:
        watcher, kind, type_, body = self._underway.popleft()
        if watcher in self.watchers:
            watcher.event(kind, type_, body)

    async def replace_status(
        self, kind: Kind, namespace: str, name: str, uid: str, status: dict[str, Any]
    ) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        body = await super().replace_status(kind, namespace, name, uid, status)
        self.tell(kind, "MODIFIED", body)
        return body


class Process:
    """One operator process as leader. `dead`: nothing it does reaches anybody any more, as after kill -9."""

    def __init__(self, model: World, grace: TakeoverGrace) -> None:
        clock, rng = LoopClock(), random.Random(model.rng.random())
        self.model, self.dead, self.leads = model, False, True
        self.grace = grace
        self.die_at: str | None = None
        client = CompanyClient(
            origin="https://quickbooks.example",
            realm=model.quickbooks.world.first_realm,
            transport=self,
            tokens=self,
            limiter=CompanyLimiter(clock=clock),
            timeout=SERVER_TIMEOUT + CLIENT_MARGIN,
            observer=self,
        )
        room = InvoicesRoom(
            clock=clock,
            rng=rng,
            objects=self,
            client=client,
            observer=self,
            fence=self,
            grace=grace,
            patience=timedelta(minutes=10),
            terminating=self._no,
            server_timeout=SERVER_TIMEOUT,
            linger=ROUND_LINGER,
            # A history has few objects: they shall meet in batches all the same.
            handful=rng.choice([HANDFUL, 1, 0]),
        )
        self.store, self.workers, self.intake = room.store, room.workers, room.intake
        self.reporter = room.reporter
        self._clockwork = asyncio.create_task(self.workers.queue.run())

    def begin(self) -> None:
        """List, then watch."""
        self.store.observe(Kind.CONNECTION, self.model.connection)
        for (kind, _, _), body in sorted(self.model.cluster.objects.items()):
            if kind is Kind.INVOICE:
                self.intake.event(kind, None, body)
        self.model.cluster.watchers.append(self.intake)

    def die(self) -> None:
        """kill -9."""
        self.dead, self.leads = True, False
        if self.intake in self.model.cluster.watchers:
            self.model.cluster.watchers.remove(self.intake)

    async def _alive(self, moment: str) -> None:
        if self.die_at == moment:
            self.model.note(f"dies at {moment}")
            self.die()
        if self.dead and self.model.over:
            raise asyncio.CancelledError
        if self.dead:
            await asyncio.Event().wait()

    # What the room is given

    def holds(self) -> bool:
        return self.leads

    async def token(self) -> AccessToken:
        return self.model.token

    async def rejected(self, token: AccessToken) -> None:
        raise AssertionError("the simulator refused a fresh token")

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        write = _operation(request)
        await self._alive(f"before {write}")
        self.model.sending(write, request)
        try:
            answer = await self.model.quickbooks.exchange(request, timeout)
        finally:
            await self._alive(f"after {write}")
        return answer

    async def read(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        await self._alive("read")
        return await self.model.cluster.read(kind, namespace, name)

    def list_metadata(self, kind: Kind) -> Any:
        return self.model.cluster.list_metadata(kind)

    async def replace_status(
        self, kind: Kind, namespace: str, name: str, uid: str, status: dict[str, Any]
    ) -> dict[str, Any]:
        await self._alive("status")
        return await self.model.cluster.replace_status(kind, namespace, name, uid, status)

    async def set_finalizer(
        self, kind: Kind, namespace: str, name: str, uid: str, finalizer: str, *, present: bool
    ) -> dict[str, Any]:
        await self._alive("finalizer")
        return await self.model.cluster.set_finalizer(kind, namespace, name, uid, finalizer, present=present)

    async def _no(self, _: str) -> bool:
        return False

    def observed(self, **_: object) -> None: ...

    def event_seen(self) -> None: ...

    def status_written(self) -> None: ...

    def status_failed(self) -> None: ...

    def result_orphaned(self) -> None: ...

    def reconcile_failed(self, error_class: str) -> None: ...

    def invoice_settled(self, company: Company, outcome: str, since_created: timedelta) -> None: ...

    def normal(self, snapshot: Snapshot, reason: str, note: str) -> None: ...

    def warning(self, snapshot: Snapshot, reason: str, note: str) -> None:
        if reason == "ReleasedWithoutVoid" and not self.dead:
            self.model.released(snapshot.key.uid)


def _operation(request: HttpRequest) -> str:
    url = urlsplit(request.url)
    if request.method == "GET" or url.path.endswith("/query"):
        return "look"
    for operation in ("send", "batch"):
        if url.path.endswith(f"/{operation}"):
            return operation
    for operation in ("void", "delete"):
        if f"operation={operation}" in url.query:
            return operation
    return "update" if b'"sparse":true' in request.body.replace(b" ", b"") else "create"
