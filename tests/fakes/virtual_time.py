"""An event loop whose time is its own: when nothing is left to do, it is the next timer's time at once.

Minutes of waiting pass in microseconds, in the order they would really pass; nothing outside the loop may be
awaited (no sockets, no threads).
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
LONGEST_FAREWELL = 3600.0
"""Seconds of its own time that a cancelled task may take."""
BEGIN = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class NothingLeftToWaitFor(RuntimeError):
    """Everybody waits for something that no timer will bring."""


class _Selector(selectors.SelectSelector):
    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeftToWaitFor("every task waits, and no timer is set")
        self.loop.skip(max(timeout, 0.0))
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time()` starts at 0 and moves only while everybody waits."""

    def __init__(self) -> None:
        self._skipped = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._skipped

    def skip(self, seconds: float) -> None:
        """Move time on."""
        self._skipped += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time. Whoever still waits when `main` ends is cancelled."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.run_until_complete(_cancel_all())
        loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=LONGEST_FAREWELL)


class LoopClock:
    """The operator's clock (`engine.clock.Clock`) on the running loop's time."""

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, duration: timedelta) -> None:
        await asyncio.sleep(max(duration.total_seconds(), 0.0))
