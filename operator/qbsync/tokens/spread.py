"""The jitter of refreshes, drawn so that those of one process do not crowd into the same minute."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

_DRAWS: Final = 8
"""The best of a few draws keeps the fullest minute close to the mean, where a single one does not."""


class Spread:
    """When the next refreshes of this process are due, by the minute."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._minutes: Counter[int] = Counter()
        self._minute_of: dict[tuple[str, str], int] = {}

    def draw(self, key: tuple[str, str], due: Callable[[float], datetime | None]) -> float:
        """A share of the jitter, 0 to 1; `due` says when that share would make the refresh due."""
        self.forget(key)
        drawn = [(share, due(share)) for share in (self._rng.random() for _ in range(_DRAWS))]
        share, moment = min(drawn, key=lambda draw: self._minutes[_minute(draw[1])])
        if moment is not None:
            self._minute_of[key] = _minute(moment)
            self._minutes[_minute(moment)] += 1
        return share

    def forget(self, key: tuple[str, str]) -> None:
        """That refresh was made, or its connection is gone."""
        minute = self._minute_of.pop(key, None)
        if minute is not None:
            self._minutes[minute] -= 1
            if not self._minutes[minute]:
                del self._minutes[minute]


def _minute(moment: datetime | None) -> int:
    return int(moment.timestamp() // 60) if moment is not None else 0
