"""The newest version of every object, as the watch and our own writes have shown it.

Keys carry no content: whoever acts reads the object here, right before it acts. What was recorded but
not yet stored by the API server overlays what the watch says, so that no result is decided on twice.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qbsync.api.meta import Kind
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key

JsonObject = Mapping[str, Any]

_UNREAD = ("managedFields",)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One object at one moment."""

    key: Key
    company: Company
    body: JsonObject
    heard_at: float
    """Monotonic seconds when the API server last told us of this object."""
    inherited: bool
    """It may have existed before this process led: a predecessor may have sent for it."""

    @property
    def spec(self) -> JsonObject:
        spec: JsonObject = self.body.get("spec") or {}
        return spec

    @property
    def status(self) -> JsonObject:
        status: JsonObject = self.body.get("status") or {}
        return status

    @property
    def metadata(self) -> JsonObject:
        metadata: JsonObject = self.body["metadata"]
        return metadata

    @property
    def generation(self) -> int:
        return int(self.metadata.get("generation", 0))

    @property
    def annotations(self) -> Mapping[str, str]:
        annotations: Mapping[str, str] = self.metadata.get("annotations") or {}
        return annotations

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.metadata

    @property
    def finalizers(self) -> Sequence[str]:
        finalizers: Sequence[str] = self.metadata.get("finalizers") or ()
        return finalizers


class ObjectStore:
    """All objects of both kinds, by name and by company."""

    def __init__(
        self,
        *,
        clock: Clock,
        company_of: Callable[[Kind, JsonObject], Company],
        labels_of: Callable[[Kind, JsonObject], Iterable[str]] = lambda _kind, _body: (),
    ) -> None:
        """`labels_of` says under which labels an object is found by `labelled`."""
        self._clock = clock
        self._company_of = company_of
        self._labels_of = labels_of
        self._labels: dict[Key, frozenset[str]] = {}
        self._labelled: defaultdict[tuple[Company, str], dict[Key, None]] = defaultdict(dict)
        self._listener: Callable[[Snapshot], None] = lambda _: None
        self._objects: dict[tuple[Kind, str, str], Snapshot] = {}
        self._overlays: dict[Key, JsonObject] = {}
        self._members: defaultdict[Company, dict[Key, None]] = defaultdict(dict)

    def observe(self, kind: Kind, body: JsonObject, *, inherited: bool = False) -> Snapshot | None:
        """Take in a version that the API server showed; None if it is not newer than what is known."""
        metadata = body["metadata"]
        place = (kind, metadata["namespace"], metadata["name"])
        known = self._objects.get(place)
        if known is not None and _version(body) <= _version(known.body):
            if known.key.uid == metadata["uid"]:
                self._objects[place] = replace(known, heard_at=self._clock.monotonic())
            return None
        if known is not None and known.key.uid != metadata["uid"]:
            self._remove(place)
            known = None
        slim = _slim(body)
        snapshot = Snapshot(
            key=Key(kind, metadata["namespace"], metadata["name"], metadata["uid"]),
            company=self._company_of(kind, slim),
            body=slim,
            heard_at=self._clock.monotonic(),
            inherited=known.inherited if known is not None else inherited,
        )
        self._objects[place] = snapshot
        self._members[snapshot.company][snapshot.key] = None
        self._label(self._overlaid(snapshot))
        return snapshot

    def forget(self, kind: Kind, namespace: str, name: str, *, uid: str) -> Snapshot | None:
        """Drop a deleted object; returns its last version, None if it was not that one any more."""
        known = self._objects.get((kind, namespace, name))
        if known is None or known.key.uid != uid:
            return None
        self._remove((kind, namespace, name))
        return known

    def get(self, key: Key) -> Snapshot | None:
        """The newest version of exactly this object (same uid), with what was recorded for it."""
        snapshot = self._objects.get((key.kind, key.namespace, key.name))
        return self._overlaid(snapshot) if snapshot is not None and snapshot.key == key else None

    def find(self, kind: Kind, namespace: str, name: str) -> Snapshot | None:
        """The newest version of whatever has this name now."""
        snapshot = self._objects.get((kind, namespace, name))
        return self._overlaid(snapshot) if snapshot is not None else None

    def members(self, company: Company, kind: Kind) -> Iterator[Snapshot]:
        """Every live object of one company and kind."""
        for key in tuple(self._members.get(company, ())):
            snapshot = self.get(key) if key.kind is kind else None
            if snapshot is not None:
                yield snapshot

    def all(self, kind: Kind) -> Iterator[Snapshot]:
        """Every live object of one kind."""
        for place, snapshot in tuple(self._objects.items()):
            if place[0] is kind:
                yield self._overlaid(snapshot)

    def labelled(self, company: Company, label: str) -> list[Snapshot]:
        """Every live object of a company that has this label."""
        found = (self.get(key) for key in tuple(self._labelled.get((company, label), ())))
        return [snapshot for snapshot in found if snapshot is not None]

    def overlay(self, key: Key, status: JsonObject) -> None:
        """From now on this object has this status, until `stored` or `discard`."""
        self._overlays[key] = status
        snapshot = self.get(key)
        if snapshot is not None:
            self._label(snapshot)

    def listen(self, listener: Callable[[Snapshot], None]) -> None:
        """Be told of changes that are not learnt from the watch."""
        self._listener = listener

    def learned(self, kind: Kind, body: JsonObject) -> None:
        """Take in an answer to a call of ours.

        It may hold a change that the watch has not brought yet; that event is old news when it comes, so whoever
        listens is told now.
        """
        metadata = body["metadata"]
        known = self._objects.get((kind, metadata["namespace"], metadata["name"]))
        newer = self.observe(kind, body)
        if newer is not None and (known is None or _wanted(known) != _wanted(newer)):
            self._listener(newer)

    def stored(self, key: Key, status: JsonObject, body: JsonObject) -> None:
        """The API server took `status` and answered with `body`."""
        self.learned(key.kind, body)
        if self._overlays.get(key) is status:
            del self._overlays[key]

    def discard(self, key: Key) -> None:
        """The object is gone, and so is what was recorded for it."""
        self._overlays.pop(key, None)

    def _overlaid(self, snapshot: Snapshot) -> Snapshot:
        status = self._overlays.get(snapshot.key)
        return snapshot if status is None else replace(snapshot, body={**snapshot.body, "status": status})

    def _label(self, snapshot: Snapshot) -> None:
        new = frozenset(self._labels_of(snapshot.key.kind, snapshot.body))
        old = self._labels.get(snapshot.key, frozenset())
        for label in old - new:
            self._unlabel(snapshot, label)
        for label in new - old:
            self._labelled[snapshot.company, label][snapshot.key] = None
        self._labels[snapshot.key] = new

    def _unlabel(self, snapshot: Snapshot, label: str) -> None:
        members = self._labelled[snapshot.company, label]
        members.pop(snapshot.key, None)
        if not members:
            del self._labelled[snapshot.company, label]

    def _remove(self, place: tuple[Kind, str, str]) -> None:
        gone = self._objects.pop(place)
        for label in self._labels.pop(gone.key, ()):
            self._unlabel(gone, label)
        members = self._members[gone.company]
        members.pop(gone.key, None)
        if not members:
            del self._members[gone.company]


def _wanted(snapshot: Snapshot) -> tuple[object, ...]:
    """All that a person can ask for: what moves without this is our own doing."""
    metadata = snapshot.metadata
    marks = (metadata.get("annotations"), metadata.get("labels"), metadata.get("finalizers"))
    return snapshot.key, snapshot.generation, snapshot.deleting, marks


def _version(body: JsonObject) -> int:
    # Comparable as integers within one API server (Kubernetes 1.35, KEP-5504; etcd revisions before).
    return int(body["metadata"]["resourceVersion"])


def _slim(body: JsonObject) -> JsonObject:
    metadata = {name: value for name, value in body["metadata"].items() if name not in _UNREAD}
    annotations = metadata.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    return {**body, "metadata": metadata}
