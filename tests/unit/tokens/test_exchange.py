"""Exchanging a code: what must hold when the store, a neighbour or the company's read fail in between."""

from dataclasses import replace
from datetime import timedelta

import pytest

from qbsync.kube.errors import KubeError, Unavailable
from qbsync.tokens import claim
from qbsync.tokens.health import GrantHealth, RefreshOutcome
from qbsync.tokens.keeper import Keeper
from unit.tokens.endpoint import CLIENT, LOST_UNSPENT, NOT_SENT, Effect
from unit.tokens.world import APP, NAMESPACE, TOKENS, World, outcomes, requested

REFUSED = Effect(kind="status", status=400, body='{"error":"invalid_grant"}', commit=False)


async def _connect(world: World, keeper: Keeper, request: str = "connect") -> GrantHealth:
    spec, how = requested(world.spec, request)
    return await world.run(keeper.ensure(spec, **how))


async def test_a_company_that_cannot_be_read_for_whatever_reason_costs_no_consent() -> None:
    async def inspect(*_: object) -> None:
        raise RuntimeError("our own mistake")

    world = World()
    keeper = await world.started(inspect=inspect)
    world.hand_over(world.endpoint.consent())
    health = await _connect(world, keeper)
    assert outcomes(health)[-1] is RefreshOutcome.CONNECTED
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current


async def test_a_refresh_of_another_process_is_waited_for() -> None:
    """Its intent is a lock for a consent, too: overwritten, it would protect nobody any more."""
    world = World()
    keeper = await world.started()
    theirs = claim.claim(world.grant(), None, holder="another", now=world.clock.now())
    stored = world.stored()
    world.secrets.put(
        type(stored)(
            NAMESPACE,
            TOKENS,
            type=stored.type,
            data=stored.data,
            labels=stored.labels,
            annotations={**stored.annotations, claim.INTENT: theirs.dump()},
        )
    )
    world.hand_over(world.endpoint.consent())
    health = await _connect(world, keeper)
    assert not health.handled
    assert world.endpoint.exchanges == []
    assert world.intent() == theirs.dump()
    for _ in range(40):
        await world.until(health.next_due)
        health = await world.run(keeper.ensure(world.spec))
    assert len(world.endpoint.exchanges) == 1
    assert world.code_secret() is None


async def test_a_failed_exchange_leaves_the_intent_of_our_own_open_refresh() -> None:
    world = World()
    keeper = await world.started()
    world.endpoint.script.extend([LOST_UNSPENT, REFUSED])
    spec, how = requested(world.spec, "refresh")
    await world.run(keeper.ensure(spec, **how))
    opened = world.intent()
    assert opened is not None
    world.hand_over(world.endpoint.consent())
    await _connect(world, keeper)
    assert len(world.endpoint.exchanges) == 1
    assert world.intent() == opened


@pytest.mark.parametrize("applied", [True, False])
async def test_a_code_whose_announcement_was_not_answered_is_sent_all_the_same(applied: bool) -> None:
    world = World()
    keeper = await world.started()
    code = world.endpoint.consent()
    world.hand_over(code)
    world.secrets.fail("replace", error=Unavailable("no answer"), applied=applied)
    health = await _connect(world, keeper)
    assert world.endpoint.exchanges == []
    await world.until(health.next_due)
    await world.run(keeper.ensure(requested(world.spec, "connect")[0]))
    assert [send.token for send in world.endpoint.exchanges] == [code]


async def test_a_code_that_was_not_sent_is_sent_later_though_the_note_could_not_be_taken_back() -> None:
    world = World()
    keeper = await world.started()
    code = world.endpoint.consent()
    world.hand_over(code)
    world.endpoint.script.append(NOT_SENT)

    async def meddle(verb: str, name: str) -> None:
        if verb == "replace" and world.intent() is not None and not world.endpoint.script:
            world.secrets.before = None
            world.secrets.fail("replace")

    world.secrets.before = meddle
    health = await _connect(world, keeper)
    assert world.secrets.before is None
    await world.until(health.next_due)
    await world.run(keeper.ensure(requested(world.spec, "connect")[0]))
    assert [send.token for send in world.endpoint.exchanges] == [code]


@pytest.mark.parametrize("lost", [False, True])
async def test_a_used_code_that_could_not_be_deleted_is_deleted_a_little_later(lost: bool) -> None:
    world = World()
    keeper = await world.started()
    world.hand_over(world.endpoint.consent())
    world.secrets.fail("remove", error=_no_answer(), applied=lost)
    health = await _connect(world, keeper)
    assert health.handled
    assert health.next_due - world.clock.now() <= timedelta(seconds=15)
    await world.until(health.next_due)
    health = await world.run(keeper.ensure(world.spec))
    assert world.code_secret() is None
    assert health.next_due - world.clock.now() > timedelta(minutes=10)
    assert len(world.endpoint.exchanges) == 1


def _no_answer() -> KubeError:
    return Unavailable("no answer")


async def test_a_code_that_waits_for_the_apps_secret_is_exchanged_when_that_comes() -> None:
    """The person's request is over by then, and the grant before would do."""
    world = World()
    keeper = await world.started()
    world.secrets.delete(NAMESPACE, APP)
    world.hand_over(world.endpoint.consent())
    health = await _connect(world, keeper)
    assert health.handled
    world.set_client(*CLIENT)
    await world.until(health.next_due)
    await world.run(keeper.ensure(requested(world.spec, "connect")[0]))
    assert len(world.endpoint.exchanges) == 1
    assert world.code_secret() is None


async def test_a_code_that_waited_in_vain_is_deleted_unsent() -> None:
    world = World()
    keeper = await world.started()
    world.secrets.delete(NAMESPACE, APP)
    world.hand_over(world.endpoint.consent())
    health = await _connect(world, keeper)
    for _ in range(50):
        await world.until(health.next_due)
        health = await world.run(keeper.ensure(requested(world.spec, "connect")[0]))
    assert world.endpoint.exchanges == []
    assert world.code_secret() is None


async def test_a_code_that_came_while_the_tokens_could_not_be_read_is_not_forgotten() -> None:
    world = World()
    keeper = await world.started()
    whole = world.stored()
    world.secrets.put(replace(whole, data={"envelope": b"damaged"}))
    world.hand_over(world.endpoint.consent())
    health = await _connect(world, keeper)
    assert health.handled
    world.secrets.put(whole)
    for _ in range(5):
        assert health.next_due > world.clock.now()
        await world.until(health.next_due)
        health = await world.run(keeper.ensure(requested(world.spec, "connect")[0]))
    assert len(world.endpoint.exchanges) == 1
    assert world.code_secret() is None
