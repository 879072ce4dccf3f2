"""One authenticated connection to a kube-apiserver, spoken to by path.

The generated classes of `kubernetes.aio` build a pydantic model per answer; the operator needs plain
JSON and exact control over patch types, so it uses the client's login, TLS and connection pool only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio import client, config
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME

from qbsync.kube import errors

JsonObject = dict[str, Any]
PatchOperations = list[JsonObject]

SERVICE_ACCOUNT_NAMESPACE = Path(SERVICE_TOKEN_FILENAME).with_name("namespace")
_JSON_PATCH = "application/json-patch+json"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Login:
    """How the operator reaches the API server, and what the login says of its own namespace."""

    configuration: Any
    in_cluster: bool
    namespace: str | None
    """Of the service account in a pod, of the kubeconfig's context elsewhere; None if neither says."""


def runs_in_cluster(environment: Mapping[str, str] = os.environ) -> bool:
    """True in a pod, unless KUBECONFIG points elsewhere."""
    return not environment.get("KUBECONFIG") and "KUBERNETES_SERVICE_HOST" in environment


async def login() -> Login:
    """Read KUBECONFIG, ~/.kube/config or the pod's service account.

    Raises `errors.Rejected` with what to do if none of them works.
    """
    configuration = client.Configuration()
    configuration.retries = 0
    try:
        if runs_in_cluster():
            config.load_incluster_config(client_configuration=configuration)
            return Login(configuration, True, _service_account_namespace())
        await config.load_kube_config(client_configuration=configuration)
        _, current = config.list_kube_config_contexts()
    except (config.ConfigException, OSError) as error:
        raise errors.Rejected(
            f"cannot log in to Kubernetes: {error}. Set KUBECONFIG, or run in a pod with a service account."
        ) from error
    return Login(configuration, False, current["context"].get("namespace"))


def _service_account_namespace() -> str | None:
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or None
    except OSError:
        return None


class KubeApi:
    """Requests to one API server. Bound to the event loop it is first used in."""

    def __init__(self, configuration: Any, *, timeout: timedelta = timedelta(seconds=30)) -> None:
        self._client = client.ApiClient(configuration=configuration)
        self._host = str(configuration.host).rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, path: str, **query: str | int) -> JsonObject:
        """Read one object or list."""
        return await self.request("GET", path, query=query)

    async def get_metadata(self, path: str, **query: str | int) -> JsonObject:
        """Read a list as `PartialObjectMetadataList`: names, uids and versions only."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        return await self.request("GET", path, query=query, accept=accept)

    async def post(self, path: str, body: JsonObject) -> JsonObject:
        """Create an object."""
        return await self.request("POST", path, body=body)

    async def put(self, path: str, body: JsonObject) -> JsonObject:
        """Replace an object; with a resourceVersion in it, only that version."""
        return await self.request("PUT", path, body=body)

    async def json_patch(self, path: str, operations: PatchOperations) -> JsonObject:
        """Apply a JSON patch (RFC 6902) as a whole or not at all."""
        return await self.request("PATCH", path, body=operations, content_type=_JSON_PATCH)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: JsonObject | PatchOperations | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> JsonObject:
        """Send one request and return the decoded answer.

        Raises a `KubeError`: never anything of aiohttp's.
        """
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": "qbsync"}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = await self._client.call_api(
                method, url, header_params=headers, body=body, _request_timeout=self._timeout
            )
            content = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unavailable(
                f"{method} {path}: the Kubernetes API server did not answer ({type(error).__name__})"
            ) from error
        if not 200 <= answer.status < 300:
            raise errors.from_status(answer.status, f"{method} {path}: {answer.status} {_reason(content)}")
        decoded: JsonObject = msgspec.json.decode(content) if content else {}
        return decoded


def _reason(content: bytes) -> str:
    """The API server's own message; a Secret's content is never part of it."""
    try:
        status = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return "(no readable answer)"
    return str(status.get("message", "")) if isinstance(status, dict) else "(no readable answer)"
