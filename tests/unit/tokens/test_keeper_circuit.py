"""The circuit of the token endpoint: what opens it, what it holds back, how it closes."""

import random
from datetime import timedelta

import pytest

from qbsync.api.reasons import ConnectionReason
from qbsync.engine.breaker import Circuits, CircuitState, Endpoint
from qbsync.engine.keys import Company
from qbsync.tokens.health import GrantHealth, RefreshOutcome
from qbsync.tokens.keeper import Keeper
from unit.tokens.endpoint import (
    FALSE_INVALID_GRANT,
    GATEWAY_TIMEOUT_SPENT,
    NOT_SENT,
    SERVER_ERROR,
    THROTTLED,
    Effect,
)
from unit.tokens.world import NAMESPACE, World, outcomes, requested

ACME = Company(NAMESPACE, "acme")
WRONG_CLIENT = Effect(kind="status", status=401, body='{"error":"invalid_client"}', commit=False)
REFUSED = Effect(kind="status", status=400, body='{"error":"invalid_request"}', commit=False)


class Scene:
    def __init__(self) -> None:
        self.world = World()
        self.changes: list[Company] = []
        self.circuits = Circuits(clock=self.world.clock, rng=random.Random(1), on_change=self.changes.append)
        self.breaker = self.circuits.of(ACME, Endpoint.TOKEN)

    async def due(self) -> Keeper:
        keeper = await self.world.started(circuits=self.circuits)
        await self.world.advance(minutes=30)
        return keeper

    async def fail(self, keeper: Keeper, effect: Effect, times: int) -> GrantHealth:
        """So many refreshes in a row meet that."""
        world = self.world
        for number in range(times):
            world.endpoint.script.append(effect)
            spec, how = requested(world.spec, f"{effect} {number}")
            sends = len(world.endpoint.script)
            health = await keeper.ensure(spec, **how)
            while len(world.endpoint.script) == sends:
                await world.until(max(health.next_due, world.clock.now() + timedelta(seconds=1)))
                health = await keeper.ensure(spec)
        return health


async def test_five_failures_open_it_and_nothing_is_claimed_or_sent_while_it_is_open() -> None:
    scene = Scene()
    world, keeper = scene.world, await scene.due()
    await scene.fail(keeper, NOT_SENT, 5)
    assert (scene.breaker.state, scene.changes) == (CircuitState.OPEN, [ACME])
    writes, sends = world.secrets.count("replace"), len(world.sent())
    spec, how = requested(world.spec, "impatient")
    health = await keeper.ensure(spec, **how)
    while scene.breaker.state is CircuitState.OPEN:
        assert (world.secrets.count("replace"), len(world.sent())) == (writes, sends)
        assert (health.usable, health.handled) == (True, False)
        await world.advance(seconds=5)
        health = await keeper.ensure(spec)
    assert health.handled or (await keeper.ensure(spec)).handled
    assert (scene.breaker.state, scene.changes) == (CircuitState.CLOSED, [ACME, ACME])


async def test_open_with_a_dead_access_token_one_probe_at_a_time() -> None:
    scene = Scene()
    keeper = await scene.due()
    await scene.fail(keeper, NOT_SENT, 5)
    await scene.world.advance(hours=2)
    scene.world.endpoint.script.extend([NOT_SENT] * 2)
    health = await keeper.ensure(scene.world.spec)
    assert (health.reason, health.usable) == (ConnectionReason.PROVIDER_UNAVAILABLE, False)
    assert outcomes(health) == [RefreshOutcome.NOT_PROCESSED]
    assert scene.breaker.state is CircuitState.OPEN
    # The backoff ends first: 32 s at the most, and it opened for a minute at least.
    await scene.world.advance(seconds=33)
    health = await keeper.ensure(scene.world.spec)
    assert (outcomes(health), len(scene.world.endpoint.script)) == ([], 1)
    assert "left alone" in health.message
    assert health.next_due == health.next_refresh == scene.breaker.retry_at


@pytest.mark.parametrize("effect", [THROTTLED, FALSE_INVALID_GRANT, WRONG_CLIENT, REFUSED])
async def test_what_says_nothing_about_the_provider_does_not_open_it(effect: Effect) -> None:
    scene = Scene()
    keeper = await scene.due()
    await scene.fail(keeper, effect, 6)
    assert scene.breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize("effect", [GATEWAY_TIMEOUT_SPENT, SERVER_ERROR])
async def test_failures_far_apart_do_not_open_it(effect: Effect) -> None:
    """Each of them holds the token back for two minutes anyway."""
    scene = Scene()
    scene.world.endpoint.grace = 86400.0
    keeper = await scene.due()
    await scene.fail(keeper, effect, 6)
    assert scene.breaker.state is CircuitState.CLOSED
