"""The safety net under the watch: what vanished or appeared in a gap is found by listing names.

After a 410 the watch starts over from a list and says nothing of what vanished meanwhile.
"""

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from qbsync.api.meta import Kind
from qbsync.engine.clock import Clock
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.kube import errors
from qbsync.kube.objects import ObjectMeta, ObjectsApi

logger = logging.getLogger(__name__)

SWEEP_INTERVAL = timedelta(minutes=10)
_JITTER = 0.1


class GapObserver(Protocol):
    """Counts what the watch had missed."""

    def gap_pruned(self) -> None: ...


class Sweep:
    """Compares the store with what the API server has, every ten minutes."""

    def __init__(
        self,
        *,
        objects: ObjectsApi,
        store: ObjectStore,
        clock: Clock,
        rng: random.Random,
        observer: GapObserver,
        on_found: Callable[[Snapshot], None],
        on_gone: Callable[[Snapshot], None],
    ) -> None:
        self._objects, self._store, self._clock, self._rng = objects, store, clock, rng
        self._observer, self._on_found, self._on_gone = observer, on_found, on_gone

    async def run(self) -> None:
        """Sweep again and again, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_INTERVAL * self._rng.uniform(1 - _JITTER, 1 + _JITTER))
            for kind in Kind:
                try:
                    await self.sweep(kind)
                except errors.KubeError as error:
                    logger.warning("sweep of %s put off: %s", kind, error)

    async def sweep(self, kind: Kind) -> None:
        """Make the store agree with one complete list of a kind. Raises a `KubeError`."""
        started = self._clock.monotonic()
        listed = {(meta.namespace, meta.name): meta async for meta in self._objects.list_metadata(kind)}
        for snapshot in self._store.all(kind):
            meta = listed.get((snapshot.key.namespace, snapshot.key.name))
            if snapshot.heard_at < started and (meta is None or meta.uid != snapshot.key.uid):
                self._drop(snapshot)
        for meta in listed.values():
            known = self._store.find(kind, meta.namespace, meta.name)
            if known is None or known.key.uid != meta.uid:
                await self._fetch(kind, meta)

    def _drop(self, snapshot: Snapshot) -> None:
        key = snapshot.key
        if self._store.forget(key.kind, key.namespace, key.name, uid=key.uid) is not None:
            self._observer.gap_pruned()
            self._on_gone(snapshot)

    async def _fetch(self, kind: Kind, meta: ObjectMeta) -> None:
        try:
            body = await self._objects.read(kind, meta.namespace, meta.name)
        except errors.NotFound:
            return
        found = self._store.observe(kind, body, inherited=True)
        if found is not None:
            self._on_found(found)
