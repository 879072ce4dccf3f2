"""Taking, keeping and releasing the Lease, in a thread of its own.

A thread with its own loop and its own connection, so that a busy or blocked main loop cannot make a
living leader look dead, nor a dead one alive.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from qbsync.kube import errors
from qbsync.kube.api import JsonObject, KubeApi
from qbsync.kube.lease import LeaseRecord, LeaseTimes, RivalWatch, Takeover, claimed, released

logger = logging.getLogger(__name__)

_CALL_TIMEOUT_SHARE = 3
_COMPLAIN_EVERY = 60.0


class Election:
    """One candidate. `start` it, await `won`, ask `holds` before every call that changes something."""

    def __init__(
        self,
        *,
        connect: Callable[[timedelta], Awaitable[KubeApi]],
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes,
        webhooks: str | None = None,
    ) -> None:
        """`connect` opens a connection with the given timeout per call, inside the election's own loop.
        `webhooks`: host:port where this process takes webhooks once it leads.
        """
        self._connect = connect
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace, self._name, self._identity, self._times = namespace, name, identity, times
        self._webhooks = webhooks
        self.leader_webhooks: str | None = None
        """host:port where the leader takes webhooks, as far as this candidate has seen."""
        self._holds_until = 0.0
        self.last_contact: float | None = None
        """Monotonic seconds of the API server's last good answer; None before the first."""
        self._release = False
        self._quiet_until = float("-inf")
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._main: asyncio.AbstractEventLoop
        self._won: asyncio.Future[Takeover]
        self._lost: asyncio.Event
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()

    def start(self) -> None:
        """Begin to stand for election. Call inside the main loop."""
        self._main = asyncio.get_running_loop()
        self._won = self._main.create_future()
        self._lost = asyncio.Event()
        self._thread.start()

    async def won(self) -> Takeover:
        """Wait until this process leads. Raises a `KubeError` if it may not use Leases at all."""
        return await asyncio.shield(self._won)

    async def lost(self) -> None:
        """Wait until leadership, once won, is gone."""
        await self._lost.wait()

    def holds(self) -> bool:
        """True while nobody else can have taken over, by this process's own clock."""
        return time.monotonic() < self._holds_until

    async def stop(self, *, release: bool) -> None:
        """End the election; with `release`, the next candidate need not wait for an expiry."""
        self._release = release
        await asyncio.to_thread(self._ready.wait)
        if self._loop is not None:
            # The election may be over already, or end right now.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            asyncio.run(self._stand())
        except errors.KubeError as error:
            self._tell(self._fail, error)
        finally:
            self._holds_until = 0.0
            self._ready.set()
            self._tell(self._lost.set)

    def _fail(self, error: errors.KubeError) -> None:
        if not self._won.done():
            self._won.set_exception(error)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        if not self._main.is_closed():
            self._main.call_soon_threadsafe(call, *arguments)

    async def _stand(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        api = await self._connect(self._times.renew_deadline / _CALL_TIMEOUT_SHARE)
        try:
            takeover = await self._acquire(api)
            if takeover is not None:
                logger.info("leading", extra={"lease": self._name, "clean": takeover.clean})
                self._tell(self._won.set_result, takeover)
                await self._keep(api)
        finally:
            await api.aclose()

    async def _acquire(self, api: KubeApi) -> Takeover | None:
        rival = RivalWatch()
        while not self._stop.is_set():
            try:
                takeover = await self._try(api, rival)
            except errors.Conflict:
                takeover = None
            except (errors.Unavailable, errors.NotFound) as error:
                self._complain(error)
                takeover = None
            if takeover is not None:
                return takeover
            await self._pause()
        return None

    def _complain(self, error: errors.KubeError) -> None:
        if time.monotonic() < self._quiet_until:
            return
        self._quiet_until = time.monotonic() + _COMPLAIN_EVERY
        logger.warning(
            "cannot stand for the lease %s in namespace %s, is there such a namespace? %s",
            self._name,
            self._namespace,
            error,
        )

    async def _try(self, api: KubeApi, rival: RivalWatch) -> Takeover | None:
        started = time.monotonic()
        lease = await self._read(api)
        if lease is None:
            await api.post(self._path, self._claim(None))
            return self._took(started, Takeover(clean=True))
        record = LeaseRecord.parse(lease)
        self.leader_webhooks = record.webhooks if record.holder else None
        if not record.holder:
            await self._write(api, self._claim(lease))
            return self._took(started, Takeover(clean=True))
        if not rival.expired(record, monotonic=time.monotonic()):
            return None
        started = time.monotonic()
        await self._write(api, self._claim(lease))
        return self._took(started, Takeover(False, rival.since, record.duration))

    async def _keep(self, api: KubeApi) -> None:
        while self.holds():
            await self._pause()
            if self._stop.is_set():
                break
            started = time.monotonic()
            try:
                lease = await self._read(api)
                if lease is None or LeaseRecord.parse(lease).holder != self._identity:
                    logger.error("lease lost to another holder", extra={"lease": self._name})
                    return
                await self._write(api, self._claim(lease))
                self._extend(started)
            except errors.KubeError as error:
                logger.warning("lease not renewed: %s", error)
        if self._stop.is_set() and self._release:
            await self._give_up(api)

    async def _give_up(self, api: KubeApi) -> None:
        self._holds_until = 0.0
        try:
            lease = await self._read(api)
            if lease is not None and LeaseRecord.parse(lease).holder == self._identity:
                await self._write(api, released(lease, now=datetime.now(UTC)))
        except errors.KubeError as error:
            logger.warning("lease not released, the next leader waits for its expiry: %s", error)

    async def _read(self, api: KubeApi) -> JsonObject | None:
        try:
            lease = await api.get(f"{self._path}/{self._name}")
        except errors.NotFound:
            lease = None
        self.last_contact = time.monotonic()
        return lease

    async def _write(self, api: KubeApi, lease: JsonObject) -> None:
        await api.put(f"{self._path}/{self._name}", lease)

    def _claim(self, lease: JsonObject | None) -> JsonObject:
        return claimed(
            lease,
            identity=self._identity,
            namespace=self._namespace,
            name=self._name,
            times=self._times,
            now=datetime.now(UTC),
            webhooks=self._webhooks,
        )

    def _took(self, started: float, takeover: Takeover) -> Takeover:
        self._extend(started)
        return takeover

    def _extend(self, started: float) -> None:
        # From before the call: the API server may have counted from any moment after it.
        self._holds_until = started + self._times.renew_deadline.total_seconds()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), self._times.retry_period.total_seconds())
        except TimeoutError:
            return
