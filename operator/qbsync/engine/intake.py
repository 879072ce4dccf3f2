"""Where the watch's events come in and keys go out."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from qbsync.api.meta import INSTANCE_LABEL, Kind
from qbsync.engine.queue import WorkQueue
from qbsync.engine.store import ObjectStore, Snapshot

logger = logging.getLogger(__name__)


class WatchObserver(Protocol):
    """Notes that the watch is alive."""

    def event_seen(self) -> None: ...


class Intake:
    """Takes watch events in the main loop, keeps the store current and enqueues what has to be looked at."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        queue: WorkQueue,
        observer: WatchObserver,
        instance: str | None,
        on_gone: Callable[[Snapshot], None],
    ) -> None:
        """`instance`: only objects with that label are ours; None: only those without the label."""
        self._store, self._queue, self._observer = store, queue, observer
        self._instance, self._on_gone = instance, on_gone
        store.listen(self.seen)

    def event(self, kind: Kind, type_: str | None, body: Mapping[str, Any]) -> None:
        """One event of the watch; `type_` None is an entry of a list, which may be older than this process."""
        self._observer.event_seen()
        metadata = body["metadata"]
        if type_ == "DELETED" or (metadata.get("labels") or {}).get(INSTANCE_LABEL) != self._instance:
            gone = self._store.forget(kind, metadata["namespace"], metadata["name"], uid=metadata["uid"])
            if gone is not None:
                self.gone(gone)
            return
        snapshot = self._store.observe(kind, body, inherited=type_ is None)
        if snapshot is not None:
            self.seen(snapshot)

    def seen(self, snapshot: Snapshot) -> None:
        """An object is new or has changed."""
        self._queue.add(snapshot.company, snapshot.key)

    def gone(self, snapshot: Snapshot) -> None:
        """An object has left the store."""
        self._queue.forget(snapshot.key)
        self._on_gone(snapshot)
