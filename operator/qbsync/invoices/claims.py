"""One invoice, one object at a time.

Two InvoiceSyncs may ask for the same number, or, without one, come from the same source. Whoever claims it
first looks it up, decides and acts; the other waits until that is settled, and is then decided by the owner
mark like everybody else. What is claimed: `labels.claim_of`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from qbsync.engine.keys import Key
from qbsync.engine.store import Snapshot


@dataclass(slots=True)
class Claims:
    """Who holds what in one company. A holder may be gone already: its request may not be."""

    _holders: dict[str, Key] = field(default_factory=dict)
    _waiting: dict[str, dict[Key, None]] = field(default_factory=dict)

    def claim(self, claimed: str, key: Key, rivals: Iterable[Snapshot]) -> bool:
        """True if `key` may act on this now; else it is woken by the holder's `release`.

        `rivals` are the other live objects that claim it and whose outcome is open.
        """
        holder = self._holders.get(claimed)
        if holder == key:
            return True
        first = min((rank(rival) for rival in rivals), default=None)
        if holder is not None or (first is not None and first[2] != key):
            self._waiting.setdefault(claimed, {})[key] = None
            return False
        self._holders[claimed] = key
        self._waiting.get(claimed, {}).pop(key, None)
        return True

    def hold(self, claimed: str, key: Key) -> None:
        """Keep a claim for an object that is gone; no effect if somebody has it already."""
        self._holders.setdefault(claimed, key)

    def release(self, claimed: str, key: Key) -> list[Key]:
        """The outcome is settled; returns who waited for it, to be woken."""
        if self._holders.get(claimed) != key:
            return []
        del self._holders[claimed]
        return list(self._waiting.pop(claimed, ()))


def rank(snapshot: Snapshot) -> tuple[bool, str, Key]:
    """Who comes first: the one with a recorded invoice, then the oldest, then by name."""
    recorded = bool(snapshot.status.get("quickbooksId"))
    created = str(snapshot.metadata.get("creationTimestamp", ""))
    return (not recorded, created, snapshot.key)
