"""Progress lines on standard error."""

import sys
import time
from collections.abc import Callable


def say(message: str) -> None:
    """Print one line to standard error, at once."""
    print(f"controlplane: {message}", file=sys.stderr, flush=True)


class Ticker:
    """Says how far a long job is, at most once per `every` seconds; silent if the job ends before that."""

    def __init__(self, every: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._start = clock()
        self._last = self._start

    def elapsed(self) -> str:
        """Time since the job began, as m:ss."""
        minutes, seconds = divmod(int(self._clock() - self._start), 60)
        return f"{minutes}:{seconds:02}"

    def tick(self, message: str) -> None:
        """Say `message` with the elapsed time, if it is time for a line."""
        now = self._clock()
        if now - self._last >= self._every:
            self._last = now
            say(f"{message} ({self.elapsed()})")
