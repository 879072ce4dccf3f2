"""Refreshes of one process do not crowd into one minute."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from qbsync.tokens.spread import Spread

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=6)


def _fullest(spread: Spread, names: int) -> int:
    minutes: Counter[int] = Counter()
    for number in range(names):
        share = spread.draw(("ns", str(number)), lambda share: NOW - WINDOW * share)
        assert 0 <= share <= 1
        minutes[int((NOW - WINDOW * share).timestamp() // 60)] += 1
    return max(minutes.values())


def test_three_hundred_at_once_fill_the_window_evenly() -> None:
    mean = 300 / 6
    assert _fullest(Spread(random.Random(1)), 300) <= mean * 1.1
    rng = random.Random(1)
    alone = Counter(int(rng.random() * 6) for _ in range(300))
    assert max(alone.values()) > mean * 1.1, "which drawing once does not"


def test_a_connection_counts_once_and_not_when_it_is_gone() -> None:
    spread = Spread(random.Random(1))
    for _ in range(100):
        spread.draw(("ns", "acme"), lambda _: NOW)
    assert spread._minutes.total() == 1
    spread.forget(("ns", "acme"))
    spread.forget(("ns", "acme"))
    assert not spread._minutes


def test_a_grant_without_an_access_token_has_no_minute() -> None:
    spread = Spread(random.Random(1))
    assert 0 <= spread.draw(("ns", "acme"), lambda _: None) <= 1
    assert not spread._minutes
