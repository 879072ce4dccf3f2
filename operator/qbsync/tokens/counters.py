"""How the InvoiceSyncs of a company stand, for its connection's status."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from qbsync.api.conditions import ConditionType, ReadyStatus
from qbsync.api.connection import InvoiceCounters
from qbsync.api.meta import Kind
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.engine.store import ObjectStore, Snapshot

COUNTED_EVERY: Final = timedelta(seconds=60)


class Counting:
    """Counts anew at most once a minute for each company."""

    def __init__(self, *, clock: Clock, store: ObjectStore) -> None:
        self._clock, self._store = clock, store
        self._counted: dict[Company, tuple[float, InvoiceCounters]] = {}

    def of(self, company: Company) -> InvoiceCounters:
        """The company's counters, at most a minute old."""
        now = self._clock.monotonic()
        at, counters = self._counted.get(company, (float("-inf"), None))
        if counters is None or now - at >= COUNTED_EVERY.total_seconds():
            counters = count(self._store.members(company, Kind.INVOICE))
            self._counted[company] = (now, counters)
        return counters

    def forget(self, company: Company) -> None:
        """The connection is gone, or is another one of that name."""
        self._counted.pop(company, None)


def count(members: Iterable[Snapshot]) -> InvoiceCounters:
    """How many InvoiceSyncs there are, and how they stand."""
    total = ready = stalled = 0
    oldest: str | None = None
    for snapshot in members:
        total += 1
        conditions = {
            condition["type"]: condition["status"] for condition in snapshot.status.get("conditions") or ()
        }
        if conditions.get(ConditionType.READY) == ReadyStatus.TRUE:
            ready += 1
        elif conditions.get(ConditionType.STALLED) == ReadyStatus.TRUE:
            stalled += 1
        else:
            created = str(snapshot.metadata.get("creationTimestamp", ""))
            oldest = min(oldest or created, created)
    return InvoiceCounters(
        total=total,
        ready=ready,
        stalled=stalled,
        waiting=total - ready - stalled,
        oldest_since=datetime.fromisoformat(oldest) if oldest else None,
    )
