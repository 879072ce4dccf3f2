"""The simulator's time: the machine's clock plus what the control door has added."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime


class SimulatorClock:
    """Business time and waiting, both moved on by `advance`.

    A sleeper wakes when its time has passed, whether on the machine's clock or because the door moved time on.
    """

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset = 0.0
        self._sleepers: dict[asyncio.Future[None], tuple[float, asyncio.TimerHandle]] = {}

    @property
    def offset(self) -> float:
        """Seconds added so far."""
        return self._offset

    def timestamp(self) -> float:
        """Seconds since the epoch, in business time."""
        return self._wall() + self._offset

    def now(self) -> datetime:
        """Business time, aware, in UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def advance(self, seconds: float) -> None:
        """Move business time on by `seconds` (not negative) and wake whoever has waited long enough."""
        if seconds < 0:
            raise ValueError("time cannot be turned back: a realm would hold transactions of the future")
        self._offset += seconds
        for future, (due, handle) in list(self._sleepers.items()):
            handle.cancel()
            self._arm(future, due)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of business time."""
        if seconds <= 0:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arm(future, self.timestamp() + seconds)
        try:
            await future
        finally:
            _, handle = self._sleepers.pop(future)
            handle.cancel()

    def _arm(self, future: asyncio.Future[None], due: float) -> None:
        loop = asyncio.get_running_loop()
        handle = loop.call_later(max(due - self.timestamp(), 0.0), _wake, future)
        self._sleepers[future] = (due, handle)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
