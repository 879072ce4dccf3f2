"""Events about objects, from the engine's snapshots to the recorder."""

from qbsync.api.meta import API_VERSION
from qbsync.engine.store import Snapshot
from qbsync.kube.events import EventRecorder, EventType, Occurrence, Regarding

ACTION = "Reconcile"


class ObjectAnnouncer:
    """Posts Normal and Warning Events on an object."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def normal(self, snapshot: Snapshot, reason: str, note: str) -> None:
        """Something good, or worth knowing."""
        self._post(snapshot, EventType.NORMAL, reason, note)

    def warning(self, snapshot: Snapshot, reason: str, note: str) -> None:
        """Something that somebody should look at."""
        self._post(snapshot, EventType.WARNING, reason, note)

    def _post(self, snapshot: Snapshot, type_: EventType, reason: str, note: str) -> None:
        key = snapshot.key
        regarding = Regarding(API_VERSION, key.kind.value, key.namespace, key.name, key.uid)
        self._recorder.record(Occurrence(regarding, type_, reason, ACTION, note))
