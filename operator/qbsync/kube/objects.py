"""qbsync's own objects: read one, list what exists, replace a status."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qbsync.api.meta import GROUP, PLURALS, VERSION, Kind
from qbsync.kube.api import JsonObject, KubeApi, PatchOperations
from qbsync.kube.errors import NotFound

LIST_PAGE = 500


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What a metadata-only list says of one object."""

    namespace: str
    name: str
    uid: str
    resource_version: str


class ObjectsApi(Protocol):
    """What the engine does with qbsync's kinds. All methods raise a `KubeError`."""

    async def read(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """The newest version of one object; raises `NotFound`."""
        ...

    def list_metadata(self, kind: Kind) -> AsyncIterator[ObjectMeta]:
        """Every object of a kind in the watched namespaces, page by page."""
        ...

    async def replace_status(
        self, kind: Kind, namespace: str, name: str, uid: str, status: JsonObject
    ) -> JsonObject:
        """Write the whole status of exactly the object with that uid and return the object.

        Raises `NotFound` if it is gone and `Invalid` if it has another uid or the schema refuses the status.
        """
        ...

    async def set_finalizer(
        self, kind: Kind, namespace: str, name: str, uid: str, finalizer: str, *, present: bool
    ) -> JsonObject:
        """Put a finalizer on exactly the object with that uid, or take it off, and return the object.

        Raises `NotFound` if it is gone, and `Conflict` if it changed meanwhile.
        """
        ...


class KubeObjects:
    """`ObjectsApi` on a real API server; `namespaces` empty means all."""

    def __init__(self, api: KubeApi, *, namespaces: Sequence[str] = ()) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)

    async def read(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        return await self._api.get(_path(kind, namespace, name))

    async def list_metadata(self, kind: Kind) -> AsyncIterator[ObjectMeta]:
        for collection in self._collections(kind):
            following = ""
            while True:
                page = await self._api.get_metadata(collection, limit=LIST_PAGE, **_continue(following))
                for item in page["items"]:
                    yield _meta(item["metadata"])
                following = page["metadata"].get("continue", "")
                if not following:
                    break

    async def replace_status(
        self, kind: Kind, namespace: str, name: str, uid: str, status: JsonObject
    ) -> JsonObject:
        # A merge patch with a wrong uid is accepted by the API server; only a `test` refuses.
        operations: PatchOperations = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        return await self._api.json_patch(f"{_path(kind, namespace, name)}/status", operations)

    async def set_finalizer(
        self, kind: Kind, namespace: str, name: str, uid: str, finalizer: str, *, present: bool
    ) -> JsonObject:
        body = await self.read(kind, namespace, name)
        metadata = body["metadata"]
        if metadata["uid"] != uid:
            raise NotFound(f"{kind} {namespace}/{name} is another object now", status=404)
        known: list[str] = metadata.get("finalizers") or []
        if (finalizer in known) == present:
            return body
        wanted = [*known, finalizer] if present else [other for other in known if other != finalizer]
        operations: PatchOperations = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": wanted},
        ]
        return await self._api.json_patch(_path(kind, namespace, name), operations)

    async def missing(self) -> set[Kind]:
        """The kinds that the API server does not serve (yet): their CRDs are not installed."""
        try:
            found = await self._api.get(f"/apis/{GROUP}/{VERSION}")
        except NotFound:
            return set(Kind)
        served = {resource["name"] for resource in found["resources"]}
        return {kind for kind in Kind if PLURALS[kind] not in served}

    def _collections(self, kind: Kind) -> list[str]:
        root = f"/apis/{GROUP}/{VERSION}"
        if not self._namespaces:
            return [f"{root}/{PLURALS[kind]}"]
        return [f"{root}/namespaces/{namespace}/{PLURALS[kind]}" for namespace in self._namespaces]


def _path(kind: Kind, namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURALS[kind]}/{name}"


def _continue(token: str) -> dict[str, str]:
    return {"continue": token} if token else {}


def _meta(metadata: dict[str, Any]) -> ObjectMeta:
    return ObjectMeta(metadata["namespace"], metadata["name"], metadata["uid"], metadata["resourceVersion"])
