"""What is known of one company's invoices between two rounds, in memory only."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from qbsync.engine.clock import Clock
from qbsync.engine.keys import Key
from qbsync.invoices.claims import Claims
from qbsync.invoices.identity import docnumber_claim
from qbsync.invoices.references import References
from qbsync.quickbooks.entities import Invoice

REMEMBER_CREATED = timedelta(minutes=1)


@dataclass(slots=True)
class Sent:
    """One intended create: frozen from before its first send until its outcome is definite."""

    requestid: str
    n: int
    number: str
    body: dict[str, Any]
    content_hash: str
    generation: int
    first_sent: datetime | None = None
    last_sent: float | None = None
    """Monotonic seconds."""
    rest: timedelta | None = None
    """How long after that its absence proves nothing, where it is not the server's time limit."""
    in_flight: bool = False


@dataclass(slots=True)
class Desk:
    """One company's claims, names, sends whose outcome is open, and waits."""

    clock: Clock
    references: References
    claims: Claims = field(default_factory=Claims)
    sent: dict[Key, Sent] = field(default_factory=dict)
    failures: dict[Key, int] = field(default_factory=dict)
    attempts: dict[Key, int] = field(default_factory=dict)
    """How often each object's create was sent, earlier processes included."""
    waiting_since: dict[Key, float] = field(default_factory=dict)
    reconsider: set[Key] = field(default_factory=set)
    """Stalled objects that get another try, since their connection changed."""
    gone: dict[Key, tuple[str, float]] = field(default_factory=dict)
    """Deleted objects whose number is not free yet, and until when at least (monotonic seconds)."""
    _created: dict[str, tuple[float, Invoice]] = field(default_factory=dict)

    def remember(self, invoice: Invoice) -> None:
        """A query may miss for a while what was just created; this does not."""
        until = self.clock.monotonic() + REMEMBER_CREATED.total_seconds()
        self._created[docnumber_claim(invoice.doc_number or "")] = (until, invoice)

    def remembered(self, number: str) -> Invoice | None:
        """The invoice that this process created or saw with that number a short while ago."""
        now = self.clock.monotonic()
        for gone in [claimed for claimed, (until, _) in self._created.items() if until <= now]:
            del self._created[gone]
        entry = self._created.get(docnumber_claim(number))
        return entry[1] if entry is not None else None

    def waited(self, key: Key) -> timedelta:
        """How long this object has been waiting, counted from the first time this is asked."""
        now = self.clock.monotonic()
        return timedelta(seconds=now - self.waiting_since.setdefault(key, now))

    def failed(self, key: Key) -> int:
        """Count one more failure in a row."""
        self.failures[key] = self.failures.get(key, 0) + 1
        return self.failures[key]

    def settled(self, key: Key) -> None:
        """Nothing is open for this object any more."""
        for memory in (self.sent, self.failures, self.attempts, self.waiting_since):
            memory.pop(key, None)
        self.reconsider.discard(key)
