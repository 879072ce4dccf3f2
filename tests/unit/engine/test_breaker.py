"""When a breaker opens, for how long, and how it closes."""

import random
from datetime import timedelta
from itertools import pairwise

import pytest

from fakes.clock import FakeClock
from qbsync.engine.breaker import Breaker, BreakerSettings, CircuitOpen, Circuits, CircuitState, Endpoint
from qbsync.engine.keys import Company

ACME, OTHER = Company("ns", "acme"), Company("ns", "other")


class Scene:
    def __init__(self, **settings: object) -> None:
        self.clock = FakeClock()
        self.changes = 0
        self.breaker = Breaker(
            clock=self.clock,
            rng=random.Random(1),
            settings=BreakerSettings(**settings),  # type: ignore[arg-type]
            on_change=self._changed,
        )

    def _changed(self) -> None:
        self.changes += 1

    def calls(self, *outcomes: bool | None) -> None:
        for failed in outcomes:
            with self.breaker.call() as call:
                call.failed = failed

    async def half_open(self) -> timedelta:
        """Wait until a call is let through again; returns how long that took."""
        wait = self.breaker.retry_in()
        assert wait is not None
        await self.clock.advance(wait)
        assert self.breaker.state is CircuitState.HALF_OPEN
        return wait


def test_fewer_than_five_calls_say_nothing() -> None:
    scene = Scene()
    scene.calls(True, True, True, True)
    assert scene.breaker.state is CircuitState.CLOSED
    scene.calls(False)
    assert scene.breaker.state is CircuitState.OPEN, "four of five"


def test_half_of_the_calls_is_enough_and_less_is_not() -> None:
    scene = Scene()
    scene.calls(False, True, False, True, False, False)
    assert scene.breaker.state is CircuitState.CLOSED
    scene.calls(True, True)
    assert scene.breaker.state is CircuitState.OPEN


def test_good_calls_open_nothing() -> None:
    scene = Scene(failure_rate=0.0001)
    scene.calls(*[False] * 20)
    assert (scene.breaker.state, scene.changes) == (CircuitState.CLOSED, 0)


async def test_what_is_older_than_the_window_does_not_count() -> None:
    scene = Scene()
    scene.calls(True, True, True, True)
    await scene.clock.advance(timedelta(seconds=60))
    scene.calls(True)
    assert scene.breaker.state is CircuitState.CLOSED


def test_what_says_nothing_about_the_provider_does_not_count() -> None:
    scene = Scene()
    scene.calls(*[None] * 20, True, True, True, True)
    assert scene.breaker.state is CircuitState.CLOSED


async def test_open_lets_nothing_through_then_one_probe_which_closes_it() -> None:
    scene = Scene()
    scene.calls(*[True] * 5)
    opened_at = scene.clock.now()
    with pytest.raises(CircuitOpen) as refused:
        scene.calls(False)
    assert timedelta(seconds=30) <= refused.value.retry_in <= timedelta(seconds=45)
    assert scene.breaker.opened_at == opened_at
    assert scene.breaker.retry_at == opened_at + refused.value.retry_in
    await scene.half_open()
    with scene.breaker.call() as probe:
        with pytest.raises(CircuitOpen):
            scene.calls(False)
        probe.failed = False
    assert (scene.breaker.state, scene.breaker.opened_at, scene.changes) == (CircuitState.CLOSED, None, 2)
    scene.calls(True, True, True, True)
    assert scene.breaker.state is CircuitState.CLOSED, "it starts anew"


async def test_each_failed_probe_doubles_the_open_time_up_to_the_longest() -> None:
    scene = Scene()
    scene.calls(*[True] * 5)
    since = scene.breaker.opened_at
    waits = []
    for _ in range(7):
        waits.append((await scene.half_open()).total_seconds())
        scene.calls(True)
    for nominal, wait in zip([30, 60, 120, 240, 300, 300, 300], waits, strict=True):
        assert nominal <= wait <= nominal * 1.5
    assert len({round(wait / nominal, 3) for wait, nominal in zip(waits[4:], [300] * 3, strict=True)}) == 3
    assert scene.breaker.opened_at == since, "one series"
    assert all(one != other for one, other in pairwise(waits))


async def test_a_probe_that_says_nothing_gives_its_place_up() -> None:
    scene = Scene()
    scene.calls(*[True] * 5)
    await scene.half_open()
    with pytest.raises(KeyError), scene.breaker.call():
        raise KeyError
    assert scene.breaker.state is CircuitState.HALF_OPEN
    scene.calls(False)
    assert scene.breaker.state is CircuitState.CLOSED


async def test_opening_again_soon_goes_on_doubling_and_later_starts_anew() -> None:
    scene = Scene()
    scene.calls(*[True] * 5)
    await scene.half_open()
    scene.calls(False)
    scene.calls(*[True] * 5)
    assert await scene.half_open() >= timedelta(seconds=60)
    scene.calls(False)
    await scene.clock.advance(timedelta(minutes=6))
    scene.calls(*[True] * 5)
    assert await scene.half_open() <= timedelta(seconds=45)


def test_calls_that_were_under_way_when_it_opened_neither_close_nor_prolong_it() -> None:
    scene = Scene()
    with scene.breaker.call() as slow:
        scene.calls(*[True] * 5)
        before = scene.breaker.retry_in()
        slow.failed = False
    assert (scene.breaker.state, scene.breaker.retry_in()) == (CircuitState.OPEN, before)


def test_companies_and_endpoints_fail_on_their_own() -> None:
    told: list[Company] = []
    circuits = Circuits(clock=FakeClock(), rng=random.Random(1), on_change=told.append)
    for _ in range(5):
        with circuits.of(ACME, Endpoint.TOKEN).call() as call:
            call.failed = True
    assert told == [ACME]
    worst, other = circuits.each(ACME)
    assert (worst.endpoint, worst.state) == (Endpoint.TOKEN, CircuitState.OPEN)
    assert other.state is CircuitState.CLOSED
    assert {circuit.state for circuit in circuits.each(OTHER)} == {CircuitState.CLOSED}
    circuits.forget(ACME)
    assert circuits.each(ACME)[0].state is CircuitState.CLOSED
