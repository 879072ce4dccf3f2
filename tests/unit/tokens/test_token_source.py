"""Tokens for API calls: from memory in microseconds, refreshed when they have to be."""

import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fakes.clock import FakeClock
from qbsync.api.reasons import ConnectionReason
from qbsync.engine.clock import SystemClock
from qbsync.quickbooks.client import AccessToken, TokenSource
from qbsync.tokens.errors import TokenUnavailable
from unit.tokens.endpoint import LOST_UNSPENT, NOT_SENT
from unit.tokens.world import World


async def test_it_is_what_the_client_wants() -> None:
    world = World()
    source: TokenSource = (await world.started()).token_source(world.spec)
    token = await source.token()
    assert token == AccessToken(world.grant().access_token, 2)  # type: ignore[arg-type]


async def test_fresh_means_memory_only() -> None:
    world = World()
    source = (await world.started()).token_source(world.spec)
    before = len(world.secrets.calls)
    await world.advance(minutes=58.9)
    await source.token()
    assert len(world.secrets.calls) == before
    assert len(world.sent()) == 1


async def test_less_than_a_minute_left_is_refreshed_first() -> None:
    world = World()
    source = (await world.started()).token_source(world.spec)
    await world.advance(minutes=59, seconds=1)
    assert (await source.token()).sequence == 3
    assert world.changed == [world.spec]


async def test_a_token_with_little_left_serves_while_its_refresh_fails() -> None:
    world = World()
    source = (await world.started()).token_source(world.spec)
    await world.advance(minutes=59, seconds=50)
    world.endpoint.script.append(LOST_UNSPENT)
    assert (await source.token()).sequence == 2
    assert (await source.token()).sequence == 2
    assert len(world.sent()) == 2
    await world.advance(seconds=11)
    with pytest.raises(TokenUnavailable) as unavailable:
        await source.token()
    assert unavailable.value.reason == ConnectionReason.PROVIDER_UNAVAILABLE
    assert len(world.sent()) == 2


async def test_a_short_lived_token_makes_no_busy_loop() -> None:
    world = World()
    world.endpoint.lifetime = 30
    keeper = await world.started()
    source = keeper.token_source(world.spec)
    await world.advance(seconds=9)
    assert (await source.token()).sequence == 2
    await world.advance(seconds=12)
    assert (await source.token()).sequence == 3
    health = await keeper.ensure(world.spec)
    assert health.next_due > world.clock.now()
    assert len(world.sent()) == 2


async def test_loads_by_itself_after_a_restart() -> None:
    world = World()
    await world.started()
    source = world.keeper().token_source(world.spec)
    assert (await source.token()).sequence == 2
    assert len(world.sent()) == 1


async def test_no_grant() -> None:
    world = World()
    source = world.keeper().token_source(replace(world.spec, import_ref=None))
    with pytest.raises(TokenUnavailable, match="no grant yet") as unavailable:
        await source.token()
    assert unavailable.value.reason == ConnectionReason.REAUTHORIZATION_REQUIRED


async def test_dead_and_no_provider_does_not_hammer() -> None:
    world = World()
    source = (await world.started()).token_source(world.spec)
    await world.advance(hours=2)
    world.endpoint.script.extend([NOT_SENT] * 5)
    for _ in range(20):
        with pytest.raises(TokenUnavailable):
            await source.token()
    assert len(world.endpoint.script) == 4


async def test_an_old_tokens_401_changes_nothing() -> None:
    world = World()
    source = (await world.started()).token_source(world.spec)
    await source.rejected(AccessToken((await source.token()).value, 1))
    assert len(world.sent()) == 1


async def test_a_source_outlives_a_forgotten_session() -> None:
    world = World()
    keeper = await world.started()
    source = keeper.token_source(world.spec)
    keeper.forget(*world.spec.key)
    await world.advance(minutes=90)
    assert (await source.token()).sequence == 3


async def test_a_wall_clock_set_back_does_not_lengthen_a_token() -> None:
    world = World()
    clock = _Adjustable(world.clock)
    keeper = world.keeper(clock=clock)  # type: ignore[arg-type]
    world.set_import()
    await keeper.ensure(world.spec)
    clock.offset = timedelta(minutes=-50)
    await world.advance(minutes=59, seconds=30)
    assert (await keeper.token_source(world.spec).token()).sequence == 3


class _Adjustable:
    """A clock whose wall time somebody adjusts."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.offset = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self.offset

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, duration: timedelta) -> None:
        await self._clock.sleep(duration)


async def test_microseconds() -> None:
    """The median only: this shares its machine. The benchmark measures the 99th percentile."""
    world = World()
    clock = SystemClock()
    keeper = world.keeper(clock=clock)  # type: ignore[arg-type]
    world.set_import()
    await keeper.ensure(world.spec)
    source = keeper.token_source(world.spec)
    took = []
    for _ in range(2000):
        start = time.perf_counter_ns()
        await source.token()
        took.append(time.perf_counter_ns() - start)
    assert sorted(took)[len(took) // 2] < 20_000
