"""Secrets: read one, create one, replace a known version, empty keys, remove one. Never listed, never watched."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from qbsync.kube import errors
from qbsync.kube.api import JsonObject, KubeApi


@dataclass(frozen=True, slots=True)
class Secret:
    """A Secret as the operator sees it; `data` is decoded and never shown."""

    namespace: str
    name: str
    type: str = "Opaque"
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict, repr=False)
    resource_version: str = ""
    uid: str = ""
    controller_owner: bool = False
    """Another controller owns it and would write its content back."""
    created: str = ""
    """When, by the API server's clock; RFC 3339."""


class SecretsApi(Protocol):
    """What the operator does with Secrets. All methods raise a `KubeError`."""

    async def get(self, namespace: str, name: str) -> Secret:
        """Read one; raises `NotFound`."""
        ...

    async def create(self, secret: Secret) -> Secret:
        """Create it; raises `Conflict` if the name is taken."""
        ...

    async def replace(self, secret: Secret) -> Secret:
        """Write data, labels and annotations over exactly `secret.resource_version`.

        Raises `Conflict` if somebody wrote in between, `NotFound` if it is gone.
        """
        ...

    async def empty_keys(self, secret: Secret, keys: Sequence[str]) -> Secret:
        """Set the values of `keys` to nothing, in exactly that version; raises `Conflict`, `NotFound`."""
        ...

    async def remove(self, secret: Secret) -> None:
        """Delete exactly that version; raises `Conflict` if somebody wrote in between, `NotFound` if it is gone."""
        ...


class KubeSecrets:
    """`SecretsApi` on a real API server."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def get(self, namespace: str, name: str) -> Secret:
        return from_json(await self._api.get(_path(namespace, name)))

    async def create(self, secret: Secret) -> Secret:
        path = f"/api/v1/namespaces/{secret.namespace}/secrets"
        # A Secret that was read and has been deleted since: the API server refuses the old version's number.
        fresh = replace(secret, resource_version="", uid="")
        return from_json(await self._api.post(path, _to_json(fresh)))

    async def replace(self, secret: Secret) -> Secret:
        return from_json(await self._api.put(_path(secret.namespace, secret.name), _to_json(secret)))

    async def empty_keys(self, secret: Secret, keys: Sequence[str]) -> Secret:
        held: JsonObject = {
            "op": "test",
            "path": "/metadata/resourceVersion",
            "value": secret.resource_version,
        }
        emptied: list[JsonObject] = [
            {"op": "replace", "path": f"/data/{_pointer(key)}", "value": ""}
            for key in keys
            if key in secret.data
        ]
        path = _path(secret.namespace, secret.name)
        try:
            return from_json(await self._api.json_patch(path, [held, *emptied]))
        except errors.Invalid as error:
            # That is how a `test` that does not hold is answered.
            raise errors.Conflict(str(error), status=error.status) from error

    async def remove(self, secret: Secret) -> None:
        version = {"resourceVersion": secret.resource_version, "uid": secret.uid}
        body: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": version}
        await self._api.request("DELETE", _path(secret.namespace, secret.name), body=body)


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def _pointer(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _to_json(secret: Secret) -> JsonObject:
    metadata: JsonObject = {
        "namespace": secret.namespace,
        "name": secret.name,
        "labels": dict(secret.labels),
        "annotations": dict(secret.annotations),
    }
    if secret.resource_version:
        metadata |= {"resourceVersion": secret.resource_version, "uid": secret.uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": secret.type,
        "metadata": metadata,
        "data": {key: base64.b64encode(value).decode() for key, value in secret.data.items()},
    }


def from_json(body: Mapping[str, Any]) -> Secret:
    """A Secret as the API server sent it."""
    metadata = body["metadata"]
    return Secret(
        namespace=metadata["namespace"],
        name=metadata["name"],
        type=body.get("type", "Opaque"),
        data={key: base64.b64decode(value or "") for key, value in (body.get("data") or {}).items()},
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        resource_version=metadata["resourceVersion"],
        uid=metadata["uid"],
        created=metadata.get("creationTimestamp") or "",
        controller_owner=any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()),
    )
