"""What is known of one company's invoices between two rounds, in memory only."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from qbsync.engine.clock import Clock
from qbsync.engine.keys import Key
from qbsync.invoices.claims import Claims
from qbsync.invoices.fields import Statement
from qbsync.invoices.identity import docnumber_claim
from qbsync.invoices.news import Echoes, Newsstand
from qbsync.invoices.references import References
from qbsync.quickbooks.entities import Invoice

REMEMBER_CREATED = timedelta(minutes=1)


@dataclass(slots=True)
class Sent:
    """One intended create: frozen from before its first send until its outcome is definite."""

    requestid: str
    n: int
    number: str | None
    body: dict[str, Any]
    stated: tuple[Statement, ...]
    content_hash: str
    generation: int
    first_sent: datetime | None = None
    last_sent: float | None = None
    """Monotonic seconds."""
    rest: timedelta | None = None
    """How long after that its absence proves nothing, where it is not the server's time limit."""
    in_flight: bool = False
    in_batch: bool = False
    """It went out as an item of a batch, without its requestid."""

    @property
    def customer_id(self) -> str:
        return str(self.body["CustomerRef"]["value"])

    @property
    def day(self) -> date:
        return date.fromisoformat(self.body["TxnDate"])


@dataclass(frozen=True, slots=True)
class Change:
    """An update, void or delete that was sent, and whose outcome is open."""

    sync_token: str
    """Of the invoice that it was made for: once that has moved, the change can no longer arrive."""
    sent: float
    """Monotonic seconds."""
    parting: bool = False
    """It is what the deletion policy asks for."""


@dataclass(slots=True)
class Making:
    """A customer or item that is being created, by whichever of the objects that name it."""

    claims: frozenset[tuple[str, str]]
    """All its names."""
    n: int = 0
    """How many requestids of it are used up."""
    first_sent: datetime | None = None
    last_sent: float | None = None
    """Monotonic seconds; None: nothing is open."""
    rest: timedelta | None = None
    """As in `Sent`."""

    @property
    def open(self) -> bool:
        """It was sent, and its outcome is not known."""
        return self.last_sent is not None

    def sent(self, *, now: datetime, monotonic: float) -> None:
        """It goes out now."""
        self.first_sent = self.first_sent or now
        self.last_sent, self.rest = monotonic, None

    def close(self) -> None:
        """It did not arrive."""
        self.last_sent = None

    def used_up(self) -> None:
        """QuickBooks refused it, or gave that requestid to something else."""
        self.n += 1
        self.first_sent = self.last_sent = None


@dataclass(slots=True)
class Desk:
    """One company's claims, names, sends whose outcome is open, and waits."""

    clock: Clock
    references: References
    claims: Claims = field(default_factory=Claims)
    sent: dict[Key, Sent] = field(default_factory=dict)
    changes: dict[Key, Change] = field(default_factory=dict)
    failures: dict[Key, int] = field(default_factory=dict)
    attempts: dict[Key, int] = field(default_factory=dict)
    """How often each object's create was sent, earlier processes included."""
    waiting_since: dict[Key, float] = field(default_factory=dict)
    adopt_tried: dict[Key, str] = field(default_factory=dict)
    """Which invoice a person named for an object that was refused nevertheless."""
    news: Newsstand = field(default_factory=Newsstand)
    echoes: Echoes = field(default_factory=Echoes)
    time_zone: str = "UTC"
    """Of the connection, as it was last seen."""
    reconsider: set[Key] = field(default_factory=set)
    """Stalled objects that get another try, since their connection changed."""
    gone: dict[Key, tuple[str, float]] = field(default_factory=dict)
    """Deleted objects whose claim is not free yet, and until when at least (monotonic seconds)."""
    renumbers: bool = False
    """The company gave an invoice another number than asked for: numbers find nothing there."""
    _created: dict[str, tuple[float, Invoice]] = field(default_factory=dict)
    _making: dict[tuple[str, str], Making] = field(default_factory=dict)
    _makers: dict[tuple[str, str, str], asyncio.Future[None]] = field(default_factory=dict)

    def remember(self, claim: str, invoice: Invoice) -> None:
        """A query may miss for a while what was just created; this does not."""
        until = self.clock.monotonic() + REMEMBER_CREATED.total_seconds()
        self._created[claim] = (until, invoice)
        if invoice.doc_number:
            self._created[docnumber_claim(invoice.doc_number)] = (until, invoice)

    def remembered(self, claim: str) -> Invoice | None:
        """The invoice that this process created or saw for that claim a short while ago."""
        now = self.clock.monotonic()
        for gone in [claimed for claimed, (until, _) in self._created.items() if until <= now]:
            del self._created[gone]
        entry = self._created.get(claim)
        return entry[1] if entry is not None else None

    def making(self, entity: str, name: str, claims: frozenset[tuple[str, str]]) -> Making:
        """What is known of the creation of a customer or item."""
        making = self._making.setdefault((entity, name), Making(claims))
        making.claims |= claims
        return making

    def open_makings(self, entity: str, claims: frozenset[tuple[str, str]]) -> list[Making]:
        """What was sent for one of these names, and has no outcome yet: it may be there under another one."""
        known = (making for (kind, _), making in self._making.items() if kind == entity)
        return [making for making in known if making.open and making.claims & claims]

    def made(self, entity: str, name: str) -> None:
        """It is there."""
        self._making.pop((entity, name), None)

    def makers(self, entity: str, claims: Iterable[tuple[str, str]]) -> set[asyncio.Future[None]]:
        """Who is creating something of one of these names right now."""
        keys = ((entity, *claim) for claim in claims)
        return {self._makers[key] for key in keys if key in self._makers}

    def begin_making(self, entity: str, claims: Iterable[tuple[str, str]]) -> Callable[[], None]:
        """From now on nobody else creates anything of these names; returns what ends that."""
        ended = asyncio.get_running_loop().create_future()
        keys = [(entity, *claim) for claim in claims]
        self._makers.update(dict.fromkeys(keys, ended))

        def end() -> None:
            for key in keys:
                del self._makers[key]
            ended.set_result(None)

        return end

    def waited(self, key: Key) -> timedelta:
        """How long this object has been waiting, counted from the first time this is asked."""
        now = self.clock.monotonic()
        return timedelta(seconds=now - self.waiting_since.setdefault(key, now))

    def failed(self, key: Key) -> int:
        """Count one more failure in a row."""
        self.failures[key] = self.failures.get(key, 0) + 1
        return self.failures[key]

    def look_again_in(self, key: Key, *, at_most: timedelta) -> timedelta:
        """The pause before the next look for what may turn up earlier: soon, then less and less often.

        Counts as one more failure in a row.
        """
        return min(at_most, timedelta(seconds=2 ** min(self.failed(key), 6)))

    def settled(self, key: Key) -> None:
        """Nothing is open for this object any more."""
        for memory in (self.sent, self.changes, self.failures, self.attempts, self.waiting_since):
            memory.pop(key, None)
        self.reconsider.discard(key)
