"""What a person does at the command line and the operator never: list whole objects, delete Secrets, apply documents.

Secrets are asked for by type, which the API server filters: others never leave it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from qbsync.api.meta import API_VERSION, GROUP, PLURALS, VERSION, Kind
from qbsync.kube.api import JsonObject, KubeApi
from qbsync.kube.errors import NotFound, Rejected
from qbsync.kube.objects import LIST_PAGE
from qbsync.kube.secrets import KubeSecrets, Secret, from_json

FIELD_MANAGER = "qbsync"
_APPLY = "application/apply-patch+yaml"
_OBJECTS = f"/apis/{GROUP}/{VERSION}"
INVOICE_PAGE: Final = 200
"""An InvoiceSync of 750 lines has 250 kB, so a page of them stays below 50 MB."""


class Desk(KubeSecrets):
    """Secrets, connections and server-side apply. All methods raise a `KubeError`."""

    def __init__(self, api: KubeApi) -> None:
        super().__init__(api)
        self._kube = api

    async def secrets_of_type(self, type_: str, namespaces: Sequence[str] = ()) -> list[Secret]:
        """All Secrets of a type in these namespaces, or in all."""
        found: list[Secret] = []
        for root in _roots("/api/v1", namespaces):
            found += map(from_json, await self._list(f"{root}/secrets", fieldSelector=f"type={type_}"))
        return found

    async def connections(self, namespaces: Sequence[str] = ()) -> list[JsonObject]:
        """All QuickBooksConnections in these namespaces, or in all.

        Raises `Rejected` where the kind is not served: that is not the same as none.
        """
        found: list[JsonObject] = []
        for root in _roots(_OBJECTS, namespaces):
            try:
                found += await self._list(f"{root}/{PLURALS[Kind.CONNECTION]}")
            except NotFound:
                raise _unserved(Kind.CONNECTION) from None
        return found

    async def invoices(
        self, namespace: str | None, *, connection: str | None = None
    ) -> AsyncIterator[list[JsonObject]]:
        """All InvoiceSyncs of a namespace, or of all (None), page by page; `connection`: only of one so called.

        Raises `Rejected` where the kind is not served, or if the list was read for so long that the API server
        has forgotten what it began with.
        """
        (root,) = _roots(_OBJECTS, [namespace] if namespace is not None else [])
        query = {"fieldSelector": f"spec.connectionRef.name={connection}"} if connection is not None else {}
        path = f"{root}/{PLURALS[Kind.INVOICE]}"
        try:
            async for page in self._pages(path, INVOICE_PAGE, **query):
                yield page
        except NotFound:
            raise _unserved(Kind.INVOICE) from None
        except Rejected as error:
            if error.status != HTTPStatus.GONE:
                raise
            raise Rejected(
                "reading took longer than the API server remembers a list: run the command again",
                status=error.status,
            ) from None

    async def delete(self, secret: Secret) -> None:
        """Delete exactly that version; raises `Conflict` if somebody wrote in between, `NotFound` if it is gone."""
        version = {"resourceVersion": secret.resource_version, "uid": secret.uid}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": version}
        await self._kube.request(
            "DELETE", f"/api/v1/namespaces/{secret.namespace}/secrets/{secret.name}", body=body
        )

    async def find(self, document: JsonObject) -> JsonObject | None:
        """The object that a document would be applied to; None if there is none."""
        try:
            return await self._kube.get(_place(document))
        except NotFound:
            return None

    async def apply(self, document: JsonObject, *, force: bool = False, dry_run: bool = False) -> JsonObject:
        """Server-side apply with field manager `qbsync`; `dry_run` has the API server only check it."""
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        return await self._kube.request(
            "PATCH", _place(document), query=query, body=document, content_type=_APPLY
        )

    async def annotate(self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of one of our objects.

        No server-side apply: one with the same field manager would give up the spec that it applied before.
        """
        await self._kube.request(
            "PATCH",
            f"{_OBJECTS}/namespaces/{namespace}/{PLURALS[kind]}/{name}",
            body={"metadata": {"annotations": dict(annotations)}},
            content_type="application/merge-patch+json",
        )

    async def _list(self, path: str, **query: str) -> list[JsonObject]:
        return [item async for page in self._pages(path, LIST_PAGE, **query) for item in page]

    async def _pages(self, path: str, size: int, **query: str) -> AsyncIterator[list[JsonObject]]:
        following: dict[str, str] = {}
        while True:
            page = await self._kube.get(path, limit=size, **query, **following)
            yield page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return
            following = {"continue": token}


def _unserved(kind: Kind) -> Rejected:
    return Rejected(
        f"this cluster does not serve {kind}s: install the chart's CustomResourceDefinitions first (qbsync crds)"
    )


def _roots(root: str, namespaces: Sequence[str]) -> list[str]:
    return [f"{root}/namespaces/{namespace}" for namespace in namespaces] or [root]


def _place(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    root, plural = (
        (_OBJECTS, PLURALS[Kind(document["kind"])])
        if document["apiVersion"] == API_VERSION
        else ("/api/v1", "secrets")
    )
    return f"{root}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
