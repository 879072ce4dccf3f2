"""qbsync's objects in memory, with the API server's own rules: resourceVersions, uids, outages."""

import itertools
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from qbsync.api.meta import API_VERSION, Kind
from qbsync.kube import errors
from qbsync.kube.objects import ObjectMeta


class MemoryObjects:
    """`kube.objects.ObjectsApi` without a server; `outages` answers are refused as unavailable."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self.objects: dict[tuple[Kind, str, str], dict[str, Any]] = {}
        self.writes = 0
        self.outages = 0
        self.no_finalizers = 0
        """So many changes of finalizers are refused as unavailable."""
        self.last: dict[str, Any] = {}
        """The object that went last, as it was."""
        self.invalid = False
        self.watcher: Callable[[Kind, str, dict[str, Any]], None] | None = None
        """Hears of what the operator itself changes but for statuses."""
        self._versions = itertools.count(100)

    def add(
        self, kind: Kind, name: str, *, namespace: str = "ns", uid: str = "", **spec: Any
    ) -> dict[str, Any]:
        """Create an object and return it as the watch would show it."""
        body = {
            "apiVersion": API_VERSION,
            "kind": kind.value,
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": uid or f"uid-{name}",
                "generation": 1,
                "resourceVersion": str(next(self._versions)),
                "creationTimestamp": "2026-11-23T09:00:00Z",
            },
            "spec": spec,
        }
        self.objects[kind, namespace, name] = body
        return body

    def touch(self, kind: Kind, name: str, *, namespace: str = "ns", **spec: Any) -> dict[str, Any]:
        """Change an object's spec."""
        old = self.objects[kind, namespace, name]
        metadata = {
            **old["metadata"],
            "resourceVersion": str(next(self._versions)),
            "generation": old["metadata"]["generation"] + 1,
        }
        body = {**old, "metadata": metadata, "spec": {**old["spec"], **spec}}
        self.objects[kind, namespace, name] = body
        return body

    def delete(self, kind: Kind, name: str, *, namespace: str = "ns") -> dict[str, Any]:
        """Delete an object and return it as the event would show it: still there while it has finalizers."""
        old = self.objects[kind, namespace, name]
        if old["metadata"].get("finalizers"):
            now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
            if "deletionTimestamp" not in old["metadata"]:
                old["metadata"] |= {"deletionTimestamp": now, "generation": old["metadata"]["generation"] + 1}
        else:
            del self.objects[kind, namespace, name]
        return {**old, "metadata": {**old["metadata"], "resourceVersion": str(next(self._versions))}}

    async def read(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        self._answer()
        try:
            return self.objects[kind, namespace, name]
        except KeyError:
            raise errors.NotFound("gone", status=404) from None

    async def list_metadata(self, kind: Kind) -> AsyncIterator[ObjectMeta]:
        self._answer()
        for (listed, namespace, name), body in list(self.objects.items()):
            if listed is kind:
                metadata = body["metadata"]
                yield ObjectMeta(namespace, name, metadata["uid"], metadata["resourceVersion"])

    async def replace_status(
        self, kind: Kind, namespace: str, name: str, uid: str, status: dict[str, Any]
    ) -> dict[str, Any]:
        body = await self.read(kind, namespace, name)
        if self.invalid or body["metadata"]["uid"] != uid:
            raise errors.Invalid("the test did not hold", status=422)
        self.writes += 1
        metadata = {**body["metadata"], "resourceVersion": str(next(self._versions))}
        self.objects[kind, namespace, name] = {**body, "metadata": metadata, "status": status}
        return self.objects[kind, namespace, name]

    async def set_finalizer(
        self, kind: Kind, namespace: str, name: str, uid: str, finalizer: str, *, present: bool
    ) -> dict[str, Any]:
        body = await self.read(kind, namespace, name)
        if body["metadata"]["uid"] != uid:
            raise errors.NotFound("another object", status=404)
        if self.no_finalizers:
            self.no_finalizers -= 1
            raise errors.Unavailable("no answer")
        others = [known for known in body["metadata"].get("finalizers", ()) if known != finalizer]
        metadata = {
            **body["metadata"],
            "finalizers": [*others, finalizer] if present else others,
            "resourceVersion": str(next(self._versions)),
        }
        body = self.objects[kind, namespace, name] = {**body, "metadata": metadata}
        gone = "deletionTimestamp" in metadata and not metadata["finalizers"]
        if gone:
            self.last = self.objects.pop((kind, namespace, name))
        if self.watcher is not None:
            self.watcher(kind, "DELETED" if gone else "MODIFIED", body)
        return body

    def _answer(self) -> None:
        if self.outages:
            self.outages -= 1
            raise errors.Unavailable("no answer")
