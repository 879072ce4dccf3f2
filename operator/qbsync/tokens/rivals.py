"""One connection per company works: the older one. Pure."""

from qbsync.api.conditions import ConnectionReason
from qbsync.api.meta import Kind
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.tokens.status import Verdict

_SAME = ("environment", "realmId")


def of(snapshot: Snapshot, store: ObjectStore) -> list[Snapshot]:
    """The other connections to the same company, without those that are being deleted."""
    return [
        other
        for other in store.all(Kind.CONNECTION)
        if other.key != snapshot.key
        and not other.deleting
        and all(other.spec.get(name) == snapshot.spec.get(name) for name in _SAME)
    ]


def conflict(snapshot: Snapshot, store: ObjectStore) -> Verdict | None:
    """The verdict on a connection that has an older rival."""
    older = min(of(snapshot, store), key=_seniority, default=None)
    if older is None or _seniority(older) >= _seniority(snapshot):
        return None
    return Verdict(
        ConnectionReason.REALM_CONFLICT,
        f"{older.key.namespace}/{older.key.name} is connected to this company already: "
        "delete one of the two connections",
    )


def _seniority(snapshot: Snapshot) -> tuple[str, str, str]:
    created = str(snapshot.metadata.get("creationTimestamp", ""))
    return (created, snapshot.key.namespace, snapshot.key.name)
