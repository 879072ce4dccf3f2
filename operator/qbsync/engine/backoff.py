"""Exponential backoff with full jitter (AWS: delay = random(0, min(cap, base x 2^n)))."""

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after the n-th failure in a row."""

    base: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(minutes=5)
    floor: timedelta = timedelta(milliseconds=200)
    """Never less than this: full jitter may otherwise come out as a busy loop."""

    def delay(self, failures: int, rng: random.Random) -> timedelta:
        """The pause after `failures` ≥ 1 failures in a row."""
        ceiling = min(self.cap, self.base * (1 << min(failures - 1, 30)))
        return max(self.floor, ceiling * rng.random())
