"""Circuit breakers: an endpoint that fails for one company is left alone for a while, then asked once.

One breaker per company and endpoint. A sliding window of calls; once half of at least five have failed, it
opens. What counts as a failure the caller decides: only what says something about the provider.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company

_JITTER: Final = 0.5
_ROUNDING: Final = 0.001
"""Seconds: due times are rounded to microseconds, so that who comes in time may come a trifle early."""


class Endpoint(StrEnum):
    """What a breaker guards."""

    TOKEN = "token"  # noqa: S105 - an endpoint
    API = "api"


class CircuitState(StrEnum):
    """How a breaker stands."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"
    """The open time is over: one call is let through to see."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """The operator's figures for all breakers."""

    window: timedelta = timedelta(seconds=60)
    """Calls that ended longer ago do not count."""
    failure_rate: float = 0.5
    """Share of failed calls that opens it, above 0 and up to 1."""
    minimum_calls: int = 5
    """With fewer calls in the window it does not open."""
    open_time: timedelta = timedelta(seconds=30)
    """How long it stays open the first time, plus up to half of that as jitter; doubled each time after."""
    longest_open_time: timedelta = timedelta(minutes=5)
    """The doubling ends here."""


class CircuitOpen(Exception):
    """No call now; `retry_in` says when one may be tried."""

    def __init__(self, retry_in: timedelta) -> None:
        super().__init__("many calls failed lately: the next one is tried later")
        self.retry_in = retry_in


@dataclass(slots=True)
class Call:
    """One call let through. Whoever made it says how it went."""

    failed: bool | None = None
    """None: it says nothing about the provider."""


class Breaker:
    """The breaker of one endpoint for one company."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        settings: BreakerSettings,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called when it opens and when it closes."""
        self._clock, self._rng, self._settings, self._on_change = clock, rng, settings, on_change
        self._ended: deque[tuple[float, bool]] = deque()
        self._open_until: float | None = None
        self._closed_at = float("-inf")
        self._openings = 0
        self._probing = False
        self.opened_at: datetime | None = None
        """Since when it has not been closed; None while it is."""

    @property
    def state(self) -> CircuitState:
        """How it stands now."""
        if self._open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if self._left() > _ROUNDING else CircuitState.HALF_OPEN

    @property
    def retry_at(self) -> datetime | None:
        """When the next call is tried; None while it is closed."""
        if self._open_until is None:
            return None
        return self._clock.now() + timedelta(seconds=max(self._left(), 0.0))

    def retry_in(self) -> timedelta | None:
        """How long no call is let through; None if one may go now."""
        if self._open_until is None:
            return None
        if self._left() > _ROUNDING:
            return timedelta(seconds=self._left())
        return self._settings.open_time if self._probing else None

    @contextmanager
    def call(self) -> Iterator[Call]:
        """Let one call through; the caller sets `failed` before it leaves. Raises `CircuitOpen`."""
        wait = self.retry_in()
        if wait is not None:
            raise CircuitOpen(wait)
        probe = self._probing = self._open_until is not None
        call = Call()
        try:
            yield call
        finally:
            if probe:
                self._probing = False
                self._probed(call)
            elif self._open_until is None and call.failed is not None:
                self._count(failed=call.failed)

    def _left(self) -> float:
        return (self._open_until or 0.0) - self._clock.monotonic()

    def _count(self, *, failed: bool) -> None:
        now = self._clock.monotonic()
        self._ended.append((now, failed))
        while self._ended[0][0] <= now - self._settings.window.total_seconds():
            self._ended.popleft()
        failures = sum(failed for _, failed in self._ended)
        enough = len(self._ended) >= self._settings.minimum_calls
        if enough and failures >= self._settings.failure_rate * len(self._ended) and failures:
            self._open()

    def _probed(self, call: Call) -> None:
        if call.failed is None:
            return
        if call.failed:
            self._open()
            return
        self._open_until = self.opened_at = None
        self._closed_at = self._clock.monotonic()
        self._ended.clear()
        self._on_change()

    def _open(self) -> None:
        settings, now = self._settings, self._clock.monotonic()
        if self.opened_at is None:
            self.opened_at = self._clock.now()
            # One that opens again right after it closed goes on doubling.
            if now - self._closed_at > settings.longest_open_time.total_seconds():
                self._openings = 0
        nominal = min(settings.open_time * (1 << min(self._openings, 30)), settings.longest_open_time)
        self._openings += 1
        self._open_until = now + nominal.total_seconds() * (1 + _JITTER * self._rng.random())
        self._on_change()


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is told of a company's breakers: the one that stands worst."""

    endpoint: Endpoint
    state: CircuitState
    opened_at: datetime | None
    retry_at: datetime | None


_WORST: Final = (CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED)


class Circuits:
    """The breakers of all companies of one process."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        settings: BreakerSettings | None = None,
        on_change: Callable[[Company], None] = lambda _: None,
    ) -> None:
        self._clock, self._rng = clock, rng
        self._settings = settings or BreakerSettings()
        self._on_change = on_change
        self._breakers: dict[tuple[Company, Endpoint], Breaker] = {}

    def of(self, company: Company, endpoint: Endpoint) -> Breaker:
        """The breaker of that company's endpoint; made when first asked for."""
        breaker = self._breakers.get((company, endpoint))
        if breaker is None:
            breaker = self._breakers[company, endpoint] = Breaker(
                clock=self._clock,
                rng=self._rng,
                settings=self._settings,
                on_change=lambda: self._on_change(company),
            )
        return breaker

    def each(self, company: Company) -> tuple[Circuit, ...]:
        """How the company's endpoints stand, the worst first; the API before the token endpoint."""
        found = [_look(endpoint, self.of(company, endpoint)) for endpoint in (Endpoint.API, Endpoint.TOKEN)]
        return tuple(sorted(found, key=lambda circuit: _WORST.index(circuit.state)))

    def forget(self, company: Company) -> None:
        """The connection is gone."""
        for endpoint in Endpoint:
            self._breakers.pop((company, endpoint), None)


def _look(endpoint: Endpoint, breaker: Breaker) -> Circuit:
    return Circuit(endpoint, breaker.state, breaker.opened_at, breaker.retry_at)
