"""A clock that moves only when a test says so."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class FakeClock:
    """Wall and monotonic time in step; `advance` wakes the sleepers whose time has come, in order."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._start = start
        self._elapsed = timedelta()
        self._sleepers: list[tuple[timedelta, int, asyncio.Future[None]]] = []
        self._tickets = itertools.count()

    def now(self) -> datetime:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    async def sleep(self, duration: timedelta) -> None:
        if duration <= timedelta():
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + duration, next(self._tickets), waiter))
        await waiter

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock."""
        return sum(not waiter.done() for _, _, waiter in self._sleepers)

    async def advance(self, duration: timedelta) -> None:
        """Move time on, stopping at every sleeper on the way so that what it starts happens in order."""
        target = self._elapsed + duration
        while self._sleepers and self._sleepers[0][0] <= target:
            self._elapsed, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                waiter.set_result(None)
            await settle()
        self._elapsed = target
        await settle()


async def settle(rounds: int = 20) -> None:
    """Let every ready task of the loop run, without time passing."""
    for _ in range(rounds):
        await asyncio.sleep(0)
