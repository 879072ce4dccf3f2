"""The delayed queue: due times, lanes, one worker for a key at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from fakes.clock import FakeClock, settle
from qbsync.api.meta import Kind
from qbsync.engine.keys import Company, Key
from qbsync.engine.queue import WorkQueue

ACME = Company("ns", "acme")
GLOBEX = Company("ns", "globex")


def key(name: str) -> Key:
    return Key(Kind.INVOICE, "ns", name, f"uid-{name}")


class Running:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.due: list[Company] = []
        self.queue = WorkQueue(clock=self.clock, on_due=lambda company, _: self.due.append(company))

    def take(self, company: Company = ACME, limit: int = 10) -> list[str]:
        return [taken.name for taken in self.queue.take(company, Kind.INVOICE, limit)]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = Running()
    task = asyncio.create_task(made.queue.run())
    await settle()
    yield made
    task.cancel()


async def test_what_is_due_now_is_there_at_once(running: Running) -> None:
    running.queue.add(ACME, key("a"))
    assert running.due == [ACME]
    assert running.take() == ["a"]


async def test_what_is_due_later_comes_later_and_in_order(running: Running) -> None:
    running.queue.add(ACME, key("late"), delay=timedelta(seconds=9))
    running.queue.add(ACME, key("soon"), delay=timedelta(seconds=3))
    await running.clock.advance(timedelta(seconds=2))
    assert running.take() == []
    await running.clock.advance(timedelta(seconds=8))
    assert running.take() == ["soon", "late"]


async def test_an_earlier_time_wins_and_a_later_one_does_not_postpone(running: Running) -> None:
    running.queue.add(ACME, key("a"), delay=timedelta(seconds=60))
    running.queue.add(ACME, key("a"), delay=timedelta(seconds=5))
    running.queue.add(ACME, key("a"), delay=timedelta(seconds=90))
    await running.clock.advance(timedelta(seconds=5))
    assert running.take() == ["a"]
    running.queue.done(ACME, key("a"))
    await running.clock.advance(timedelta(seconds=100))
    assert running.take() == []


async def test_a_key_in_work_is_not_given_out_twice_and_comes_back_afterwards(running: Running) -> None:
    running.queue.add(ACME, key("a"))
    assert running.take() == ["a"]
    running.queue.add(ACME, key("a"))
    assert running.take() == []
    running.queue.done(ACME, key("a"), again=timedelta(hours=1))
    assert running.take() == ["a"]


async def test_companies_and_limits_are_separate(running: Running) -> None:
    for name in "abc":
        running.queue.add(ACME, key(name))
    running.queue.add(GLOBEX, key("x"))
    assert running.take(limit=2) == ["a", "b"]
    assert running.take(GLOBEX) == ["x"]
    assert running.queue.depth(ACME, Kind.INVOICE) == 1
    await running.clock.advance(timedelta(seconds=7))
    assert running.queue.oldest(ACME, Kind.INVOICE) == timedelta(seconds=7)


async def test_what_is_forgotten_never_comes(running: Running) -> None:
    running.queue.add(ACME, key("due"))
    running.queue.add(ACME, key("later"), delay=timedelta(seconds=5))
    running.queue.forget(key("due"))
    running.queue.forget(key("later"))
    await running.clock.advance(timedelta(seconds=10))
    assert running.take() == []
