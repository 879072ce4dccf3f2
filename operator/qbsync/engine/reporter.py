"""One reporter for all status: each object's result is written once, and until it is stored.

A result waits in memory, overlaying the cached object, for as long as the API server does not take it;
only the death of the object ends that.
"""

import asyncio
import logging
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Protocol

from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Key
from qbsync.engine.store import ObjectStore
from qbsync.kube import errors
from qbsync.kube.objects import ObjectsApi

logger = logging.getLogger(__name__)
audit = logging.getLogger("qbsync.audit")

JsonObject = dict[str, Any]


class ReportObserver(Protocol):
    """Counts what the reporter did."""

    def status_written(self) -> None: ...

    def result_orphaned(self) -> None: ...

    def status_failed(self) -> None: ...


class NotRecorded(Exception):
    """What was reported is not stored."""


class Reporter:
    """Writes statuses in the background, the newest one of each object, a few at a time."""

    def __init__(
        self,
        *,
        objects: ObjectsApi,
        store: ObjectStore,
        clock: Clock,
        rng: random.Random,
        observer: ReportObserver,
        concurrency: int = 16,
    ) -> None:
        self._objects, self._store, self._clock, self._rng = objects, store, clock, rng
        self._observer = observer
        self._slots = asyncio.Semaphore(concurrency)
        self._pending: dict[Key, JsonObject] = {}
        self._writers: dict[Key, asyncio.Task[bool]] = {}
        self._backoff = Backoff(cap=timedelta(seconds=30))

    @property
    def waiting(self) -> int:
        """How many results are not stored yet."""
        return len(self._writers)

    def report(self, key: Key, status: JsonObject) -> bool:
        """Record a status; returns at once. False if it is what the object already has: nothing is written."""
        snapshot = self._store.get(key)
        if snapshot is not None and snapshot.status == status:
            return False
        self._store.overlay(key, status)
        self._pending[key] = status
        if key not in self._writers:
            self._writers[key] = asyncio.create_task(self._write_all(key), name=f"report of {key}")
        return True

    async def stored(self, keys: Iterable[Key]) -> None:
        """Wait until what was reported for these objects so far is stored, or they are gone."""
        writers = [self._writers[key] for key in keys if key in self._writers]
        if writers:
            await asyncio.wait(writers)

    async def recorded(self, key: Key, *, within: timedelta) -> None:
        """Return once the API server has stored what was last reported for an object.

        Raises `NotRecorded` if the object is gone, or if that takes longer; what was reported is still written.
        """
        writer = self._writers.get(key)
        if writer is None:
            return
        done, _ = await asyncio.wait([writer], timeout=within.total_seconds())
        if not done:
            raise NotRecorded(f"the status of {key} could not be stored yet")
        if not writer.result():
            raise NotRecorded(f"{key} is gone")

    async def flush(self) -> None:
        """Wait until every result is stored or its object is gone."""
        while self._writers:
            await asyncio.wait(tuple(self._writers.values()))

    async def _write_all(self, key: Key) -> bool:
        """True once the newest status is stored, False once the object is gone."""
        failures = 0
        stored = False
        while key in self._pending:
            status = self._pending[key]
            settled = await self._write(key, status)
            if settled:
                failures = 0
                stored = self._pending.get(key) is status
                if stored:
                    del self._pending[key]
            else:
                failures += 1
                self._observer.status_failed()
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
        # Here and not in a callback: what is reported a moment later must find no writer that has ended.
        del self._writers[key]
        return stored

    async def _write(self, key: Key, status: JsonObject) -> bool:
        async with self._slots:
            try:
                body = await self._objects.replace_status(key.kind, key.namespace, key.name, key.uid, status)
            except errors.NotFound:
                return self._orphaned(key, status)
            except errors.Invalid as error:
                return await self._refused(key, status, error)
            except errors.KubeError as error:
                logger.warning("status of %s not stored yet: %s", key, error)
                return False
        self._observer.status_written()
        self._store.stored(key, status, body)
        return True

    async def _refused(self, key: Key, status: JsonObject, error: errors.Invalid) -> bool:
        try:
            body = await self._objects.read(key.kind, key.namespace, key.name)
        except errors.NotFound:
            return self._orphaned(key, status)
        except errors.KubeError:
            return False
        if body["metadata"]["uid"] != key.uid:
            return self._orphaned(key, status)
        logger.error("the schema refuses the status of %s, are the CRDs of this release? %s", key, error)
        return False

    def _orphaned(self, key: Key, status: JsonObject) -> bool:
        self._observer.result_orphaned()
        self._store.discard(key)
        self._pending.pop(key, None)
        audit.info(
            "result.orphaned %s/%s",
            key.namespace,
            key.name,
            extra={
                "audit": True,
                "action": "result.orphaned",
                "outcome": str(status.get("outcome", "")),
                "uid": key.uid,
                "object": f"{key.namespace}/{key.name}",
                "quickbooks_id": status.get("quickbooksId"),
                "doc_number": status.get("docNumber"),
            },
        )
        return True
