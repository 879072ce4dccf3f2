"""One worker per company: rounds, room, failures, drain."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from fakes.clock import FakeClock, settle
from qbsync.api.meta import Kind
from qbsync.engine.keys import Company, Key
from qbsync.engine.worker import Done, Lane, Workers

ACME = Company("ns", "acme")
GLOBEX = Company("ns", "globex")
LINGER = timedelta(milliseconds=100)


def key(name: str, company: Company = ACME) -> Key:
    return Key(Kind.INVOICE, company.namespace, name, f"uid-{name}")


class Recording:
    """A reconciler that notes its rounds; keys whose name starts with `slow` end when a test says so."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []
        self.open: dict[str, tuple[Key, Done]] = {}
        self.fail = False

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        self.rounds.append([one.name for one in keys])
        if self.fail:
            raise RuntimeError("broken")
        for one in keys:
            if one.name.startswith("slow"):
                self.open[one.name] = (one, done)
            else:
                done(one, None)

    def end(self, name: str) -> None:
        one, done = self.open.pop(name)
        done(one, None)


class Running:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reconciler = Recording()
        lane = Lane(self.reconciler, round_size=3, outstanding=1, linger=LINGER)
        self.workers = Workers(clock=self.clock, rng=random.Random(1), lanes={Kind.INVOICE: lane})

    def add(self, *names: str, company: Company = ACME) -> None:
        for name in names:
            self.workers.queue.add(company, key(name))

    async def linger(self, seconds: float = 0.1) -> None:
        await settle()
        await self.clock.advance(timedelta(seconds=seconds))


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = Running()
    task = asyncio.create_task(made.workers.queue.run())
    await settle()
    yield made
    task.cancel()


async def test_what_comes_together_is_worked_on_together(running: Running) -> None:
    running.add("a", "b", "c", "d")
    await running.linger()
    await running.linger()
    assert running.reconciler.rounds == [["a", "b", "c"], ["d"]]


async def test_no_new_round_while_too_much_is_open(running: Running) -> None:
    running.add("slow1", "slow2", "slow3")
    await running.linger()
    running.add("a")
    await running.linger()
    assert running.reconciler.rounds == [["slow1", "slow2", "slow3"]]
    running.reconciler.end("slow1")
    running.reconciler.end("slow2")
    await running.linger()
    assert running.reconciler.rounds[1:] == [["a"]]


async def test_a_slow_company_holds_no_other_back(running: Running) -> None:
    running.add("slow1", "slow2")
    running.add("quick", company=GLOBEX)
    await running.linger()
    assert ["quick"] in running.reconciler.rounds


async def test_a_round_that_breaks_is_tried_again_later(running: Running) -> None:
    running.reconciler.fail = True
    running.add("a")
    await running.linger()
    assert running.reconciler.rounds == [["a"]]
    running.reconciler.fail = False
    await running.linger(5)
    assert running.reconciler.rounds == [["a"], ["a"]]


async def test_a_drain_starts_nothing_and_waits_for_what_is_open(running: Running) -> None:
    running.add("slow1")
    await running.linger()
    running.workers.stop_taking()
    running.add("a")
    drained = asyncio.create_task(running.workers.drained())
    await running.linger()
    assert not drained.done()
    running.reconciler.end("slow1")
    await settle()
    assert drained.done()
    assert running.reconciler.rounds == [["slow1"]]


async def test_a_drain_with_nothing_open_is_over_at_once(running: Running) -> None:
    running.workers.stop_taking()
    await running.workers.drained()
    assert running.workers.in_work == 0
