"""What a look found becomes the connection's status, metrics and Events, and the time of the next look."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from qbsync.api.conditions import ConditionType, ConnectionReason, ReadyStatus, find
from qbsync.api.connection import QuickBooksConnectionStatus
from qbsync.engine.backoff import Backoff
from qbsync.engine.breaker import Circuits, CircuitState, Endpoint
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.tokens.announcements import Announcements
from qbsync.tokens.counters import Counting
from qbsync.tokens.health import GrantHealth
from qbsync.tokens.inquiry import OPEN_LONG
from qbsync.tokens.look import Findings, Look
from qbsync.tokens.status import Occasion, Verdict, connection_status

CONFLICT_CHECK: Final = timedelta(minutes=1)
_SOON: Final = timedelta(seconds=1)


class ConnectionObserver(Protocol):
    """Keeps the metrics of a connection."""

    def connection_seen(
        self, company: Company, status: QuickBooksConnectionStatus, health: GrantHealth | None
    ) -> None: ...


class Publisher:
    """Tells everybody who is to know."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        store: ObjectStore,
        reporter: Reporter,
        announcements: Announcements,
        observer: ConnectionObserver,
        circuits: Circuits,
        counting: Counting,
        wake_invoices: Callable[[Company, bool], None],
        reads_blocked: Callable[[Company], timedelta | None],
    ) -> None:
        self._clock, self._rng, self._store, self._reporter = clock, rng, store, reporter
        self._announcements, self._observer = announcements, observer
        self._circuits, self._counting = circuits, counting
        self._wake_invoices, self._reads_blocked = wake_invoices, reads_blocked
        self._backoff = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=5))

    def publish(self, look: Look, found: Findings) -> timedelta | None:
        """Returns in how long the connection is looked at again; None: when something about it changes."""
        now = self._clock.now()
        status = self._with_what_others_wrote(look.snapshot, self._status(look, found, now))
        self._reporter.report(look.snapshot.key, status.document())
        self._observer.connection_seen(look.company, status, found.health)
        self._announcements.post(look, status, found.health)
        self._wake(look, found, status)
        return self._next_look(look, found, now)

    def _status(self, look: Look, found: Findings, now: datetime) -> QuickBooksConnectionStatus:
        health = found.health
        occasion = Occasion(
            now=now,
            generation=look.snapshot.generation,
            suspended=look.spec.suspend,
            handled_request=look.request if health is None or health.handled else None,
        )
        status = connection_status(
            look.status,
            occasion,
            verdict=_with_remark(found.verdict, look.remark),
            health=health,
            company=found.company,
            counters=self._counting.of(look.company),
            circuit=self._circuits.each(look.company)[0],
        )
        return status if found.tested is None else status.model_copy(update={"last_test": found.tested})

    def _with_what_others_wrote(
        self, snapshot: Snapshot, status: QuickBooksConnectionStatus
    ) -> QuickBooksConnectionStatus:
        """The parts that are not of this room may have moved since the look began."""
        now = self._store.get(snapshot.key)
        if now is None:
            return status
        newest = QuickBooksConnectionStatus.model_validate(now.status)
        return status.model_copy(update={"drift": newest.drift, "usage": newest.usage})

    def _wake(self, look: Look, found: Findings, status: QuickBooksConnectionStatus) -> None:
        """Invoices wait for a connection that becomes ready, and are looked at anew when it changes."""
        previous, ready = look.status, find(status.conditions, ConditionType.READY)
        changed = (
            previous.observed_generation != look.snapshot.generation or found.company != previous.company
        )
        closed = self._circuits.of(look.company, Endpoint.API).state is CircuitState.CLOSED
        is_ready = ready is not None and ready.status is ReadyStatus.TRUE and closed
        if changed or (is_ready and not look.memory.ready):
            self._wake_invoices(look.company, changed)
        look.memory.ready = is_ready

    def _next_look(self, look: Look, found: Findings, now: datetime) -> timedelta | None:
        if found.health is None:
            return CONFLICT_CHECK if found.verdict.reason is ConnectionReason.REALM_CONFLICT else None
        memory, due = look.memory, [found.health.next_due - now]
        if memory.failures:
            due.append(self._backoff.delay(memory.failures, self._rng))
        if memory.refused is not None and memory.probe_at is not None:
            due.append(memory.probe_at - now)
        blocked = self._reads_blocked(look.company)
        if blocked is not None:
            due.append(max(blocked, _SOON))
        due += self._circuit_due(look.company, now)
        return max(min(due), timedelta())

    def _circuit_due(self, company: Company, now: datetime) -> list[timedelta]:
        """One look when a call may be tried, and one when the circuit has been open for long."""
        breaker = self._circuits.of(company, Endpoint.API)
        opened, retry = breaker.opened_at, breaker.retry_at
        if opened is None or retry is None:
            return []
        long = opened + OPEN_LONG - now
        return [max(retry - now, _SOON), *([long] if long > timedelta() else [])]


def _with_remark(verdict: Verdict, remark: str) -> Verdict:
    return replace(verdict, message=f"{verdict.message}; {remark}") if remark else verdict
