"""Token Secrets whose connection no longer exists: found, and deleted one by one. Intuit is not told.

A Secret counts as in use as long as any connection of its namespace has its label's name, or names it in
`spec.tokens.secretName`; that is looked up again right before each one is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from qbsync.kube.errors import Conflict, NotFound
from qbsync.kube.secrets import Secret
from qbsync.tokens import claim
from qbsync.tokens.custody import Owner, find_owner, owner_of
from qbsync.tokens.store import BOUND_TO, CONNECTION_LABEL, REALM_LABEL, SECRET_TYPE, parse_binding


class PurgeDesk(Protocol):
    """What purging needs of the cluster. All methods raise a `KubeError`."""

    async def get(self, namespace: str, name: str) -> Secret: ...

    async def secrets_of_type(self, type_: str, namespaces: Sequence[str] = ()) -> list[Secret]: ...

    async def connections(self, namespaces: Sequence[str] = ()) -> list[dict[str, Any]]: ...

    async def delete(self, secret: Secret) -> None: ...


class Fate(StrEnum):
    """What became of one Secret."""

    DELETED = "Deleted"
    IN_USE = "InUse"
    """Its connection exists again."""
    BUSY = "Busy"
    """It was written meanwhile, or a refresh is under way."""
    GONE = "Gone"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A token Secret without a connection."""

    secret: Secret
    connection: str
    realm: str
    environment: str
    """Empty if it does not say."""

    @property
    def where(self) -> str:
        """Namespace and name of the Secret."""
        return f"{self.secret.namespace}/{self.secret.name}"


async def find_orphans(desk: PurgeDesk, namespaces: Sequence[str] = ()) -> list[Orphan]:
    """All of them. Secrets are read before the connections: one that comes up in between counts."""
    found = await desk.secrets_of_type(SECRET_TYPE, namespaces)
    owners = await _owners(desk, namespaces)
    return [_orphan(secret) for secret in found if not _in_use(secret, owners)]


async def purge(desk: PurgeDesk, orphan: Orphan) -> Fate:
    """Delete one, in exactly the version that was found, unless a connection wants it after all."""
    namespace = orphan.secret.namespace
    if _in_use(orphan.secret, await _owners(desk, (namespace,))):
        return Fate.IN_USE
    if orphan.secret.annotations.get(claim.INTENT):
        # Perhaps the last refresh of a connection that was deleted just now: its answer would come back.
        return Fate.BUSY
    try:
        await desk.delete(orphan.secret)
    except Conflict:
        return Fate.BUSY
    except NotFound:
        return Fate.GONE
    return Fate.DELETED


async def _owners(desk: PurgeDesk, namespaces: Sequence[str]) -> list[Owner]:
    return [owner_of(body) for body in await desk.connections(namespaces)]


def _in_use(secret: Secret, owners: Sequence[Owner]) -> bool:
    named = (secret.namespace, secret.name)
    return find_owner(secret, owners) is not None or any(
        (owner.binding.namespace, owner.secret_name) == named for owner in owners
    )


def _orphan(secret: Secret) -> Orphan:
    hint = parse_binding(secret.annotations.get(BOUND_TO))
    label = secret.labels.get(CONNECTION_LABEL, "")
    return Orphan(
        secret=secret,
        connection=hint.name if hint is not None else label,
        realm=secret.labels.get(REALM_LABEL, ""),
        environment=hint.environment if hint is not None else "",
    )
