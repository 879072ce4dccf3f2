"""A cluster for the command line, in memory: the Secrets of `FakeSecrets`, and connections."""

from collections.abc import Sequence
from typing import Any

from fakes.secrets import FakeSecrets
from qbsync.kube.errors import Conflict
from qbsync.kube.secrets import Secret


class FakeDesk(FakeSecrets):
    """`kube.desk.Desk` without a cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []
        """The connections."""

    async def secrets_of_type(self, type_: str, namespaces: Sequence[str] = ()) -> list[Secret]:
        return [
            secret
            for secret in self._items.values()
            if secret.type == type_ and (not namespaces or secret.namespace in namespaces)
        ]

    async def connections(self, namespaces: Sequence[str] = ()) -> list[dict[str, Any]]:
        return [body for body in self.bodies if not namespaces or body["metadata"]["namespace"] in namespaces]

    async def delete(self, secret: Secret) -> None:  # type: ignore[override]
        lost = await self._arrive("delete", secret.name)
        current = self._existing(secret.namespace, secret.name)
        if (current.resource_version, current.uid) != (secret.resource_version, secret.uid):
            raise Conflict("the object has been modified", status=409)
        super().delete(secret.namespace, secret.name)
        await self._answer("delete", secret.name, lost)


def connection(
    name: str = "acme",
    *,
    namespace: str = "billing",
    realm: str = "9341453908123456",
    environment: str = "Sandbox",
    sequence: int = 0,
    **spec: Any,
) -> dict[str, Any]:
    """A QuickBooksConnection as the API server sends it."""
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-of-{name}"},
        "spec": {
            "realmId": realm,
            "environment": environment,
            "clientSecretRef": {"name": f"{name}-app"},
            **spec,
        },
        "status": {"encryption": {"keyId": "00000000", "sequence": sequence}},
    }
