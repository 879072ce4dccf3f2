"""One company's share of QuickBooks: 10 requests per second, 500 per minute, 10 at once; 40 batches per minute.

Source: Intuit, "Limits and throttles". One request too many costs the whole company 60 s, so the limiter
leaves nothing to chance. QuickBooks counts a request when it arrives, which cannot be seen from here: a call
counts from the moment its slot is granted until one second (one minute) after it *ended*. Whenever it really
arrived, no window of QuickBooks holds more than allowed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

_SHORTEST_SLEEP: Final = timedelta(milliseconds=1)


class Clock(Protocol):
    """The parts of a clock that limiting needs."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        ...

    async def sleep(self, duration: timedelta) -> None:
        """Return once `duration` has passed."""
        ...


class CompanyLimiter:
    """Hands out slots in the order asked, as fast as the limits allow."""

    def __init__(
        self,
        *,
        clock: Clock,
        per_second: int = 10,
        per_minute: int = 500,
        concurrent: int = 10,
        batches_per_minute: int = 40,
    ) -> None:
        if min(per_second, per_minute, concurrent, batches_per_minute) < 1:
            raise ValueError("every limit must be at least 1")
        self.clock: Final = clock
        self._calls = _Slots(clock, concurrent, (_Window(per_second, 1.0), _Window(per_minute, 60.0)))
        # What is left over is for single calls, so that a bulk load never holds a new invoice back.
        self._batches = _Slots(
            clock,
            _less(concurrent, 1),
            (_Window(_less(per_second, 2), 1.0), _Window(batches_per_minute, 60.0)),
        )

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one slot for the duration of one call; waits its turn, first come first served.

        Cancelling while waiting gives the place up and holds nobody else back.
        """
        async with self._calls.one():
            yield

    @asynccontextmanager
    async def batch_slot(self) -> AsyncIterator[None]:
        """The same for a batch, which counts as one call; batches never take the last slots."""
        async with self._batches.one(), self._calls.one():
            yield

    def pause(self, duration: timedelta) -> None:
        """Grant no slot before `duration` has passed; never shortens an earlier pause."""
        self._calls.pause(duration)

    @property
    def waiting(self) -> int:
        """How many calls wait for a slot."""
        return self._calls.waiting + self._batches.waiting


def _less(limit: int, kept: int) -> int:
    """A limit without what is kept of every ten for single calls; at least one."""
    return max(1, limit - -(-limit * kept // 10))


class _Slots:
    """Places under several limits at once."""

    def __init__(self, clock: Clock, concurrent: int, windows: "tuple[_Window, ...]") -> None:
        self._clock, self._concurrent, self._windows = clock, concurrent, windows
        self._in_flight = 0
        self._paused_until = 0.0
        self._queue: deque[asyncio.Event] = deque()
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    def pause(self, duration: timedelta) -> None:
        self._paused_until = max(self._paused_until, self._clock.monotonic() + duration.total_seconds())

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def _acquire(self) -> None:
        turn = asyncio.Event()
        self._queue.append(turn)
        try:
            if self._queue[0] is not turn:
                await turn.wait()
            await self._until_free()
            self._in_flight += 1
        finally:
            self._queue.remove(turn)
            if self._queue:
                self._queue[0].set()

    async def _until_free(self) -> None:
        """Only the first of the queue is here, so whatever is free is its own."""
        while True:
            delay = self._delay(self._clock.monotonic())
            if delay is None:
                self._ended.clear()
                await self._ended.wait()
            elif delay > 0:
                await self._clock.sleep(max(timedelta(seconds=delay), _SHORTEST_SLEEP))
            else:
                return

    def _delay(self, now: float) -> float | None:
        """Seconds until it is worth looking again; None if only the end of a call can help."""
        delay = max(0.0, self._paused_until - now)
        if self._in_flight >= self._concurrent:
            return None
        for window in self._windows:
            wait = window.delay(self._in_flight, now)
            if wait is None:
                return None
            delay = max(delay, wait)
        return delay

    def _release(self) -> None:
        now = self._clock.monotonic()
        self._in_flight -= 1
        for window in self._windows:
            window.ended.append(now)
        self._ended.set()


@dataclass(slots=True)
class _Window:
    limit: int
    seconds: float
    ended: deque[float] = field(default_factory=deque)
    """When calls ended, oldest first; those that left the window are dropped."""

    def delay(self, in_flight: int, now: float) -> float | None:
        while self.ended and self.ended[0] + self.seconds <= now:
            self.ended.popleft()
        if in_flight + len(self.ended) < self.limit:
            return 0.0
        return self.ended[0] + self.seconds - now if self.ended else None
