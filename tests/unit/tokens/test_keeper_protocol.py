"""Steps 1 to 5: claim, lock, fence, and an answer that is stored whatever happens."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.clock import settle
from qbsync.api.reasons import ConnectionReason
from qbsync.kube.errors import Forbidden, KubeError, Unavailable
from qbsync.quickbooks.client import AccessToken
from qbsync.tokens.errors import TokenUnavailable
from qbsync.tokens.health import GrantHealth, RefreshOutcome
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.spec import KeeperSettings
from unit.tokens.endpoint import LOST_UNSPENT, NOT_SENT, Effect
from unit.tokens.world import NAMESPACE, TOKENS, Lease, World, events, outcomes, requested

FRESH = ConnectionReason.TOKEN_FRESH
IMPATIENT = KeeperSettings(patience=timedelta(seconds=1))


async def _due(world: World, minutes: float = 30) -> Keeper:
    keeper = await world.started()
    await world.advance(minutes=minutes)
    return keeper


async def _claims(world: World, keeper: Keeper) -> "asyncio.Task[GrantHealth]":
    """A refresh under way, right after its claim and before its answer."""
    task = asyncio.ensure_future(keeper.ensure(world.spec))
    await settle()
    assert world.intent() is not None
    return task


# Step 1: single flight.


async def test_many_callers_one_refresh() -> None:
    world = World()
    keeper = await _due(world, minutes=90)
    source = keeper.token_source(world.spec)
    world.endpoint.script.append(Effect(answer_after=2.0))
    waiting = [asyncio.ensure_future(source.token()) for _ in range(10)]
    ensured = asyncio.ensure_future(keeper.ensure(world.spec))
    await settle()
    await world.advance(seconds=2)
    tokens = [await task for task in waiting]
    assert len({token.sequence for token in tokens}) == 1
    assert (await ensured).reason is FRESH
    assert len(world.sent()) == 2


async def test_ten_parallel_401s_cause_one_refresh() -> None:
    world = World()
    keeper = await world.started()
    source = keeper.token_source(world.spec)
    token = await source.token()
    world.endpoint.script.append(Effect(answer_after=1.0))
    waiting = [asyncio.ensure_future(source.rejected(token)) for _ in range(10)]
    await settle()
    await world.advance(seconds=1)
    await asyncio.gather(*waiting)
    await source.rejected(token)
    assert len(world.sent()) == 2
    assert (await source.token()).sequence == token.sequence + 1
    assert world.changed == [world.spec]
    health = await keeper.ensure(world.spec)
    assert [record.trigger for record in health.records] == ["Unauthorized"]


async def test_a_401_while_another_process_has_refreshed_uses_what_is_stored() -> None:
    world = World()
    keeper = await world.started()
    source = keeper.token_source(world.spec)
    token = await source.token()
    spec, how = requested(world.spec, "now")
    await world.keeper().ensure(spec, **how)
    await source.rejected(token)
    assert len(world.sent()) == 2
    assert (await source.token()).sequence == token.sequence + 1


async def test_a_401_and_no_refresh_possible() -> None:
    world = World()
    keeper = await world.started()
    source = keeper.token_source(world.spec)
    token = await source.token()
    world.endpoint.script.append(NOT_SENT)
    with pytest.raises(TokenUnavailable) as unavailable:
        await source.rejected(token)
    assert unavailable.value.reason == ConnectionReason.PROVIDER_UNAVAILABLE
    with pytest.raises(TokenUnavailable):
        await source.token()
    health = await keeper.ensure(world.spec)
    assert (health.usable, health.reason) == (False, ConnectionReason.PROVIDER_UNAVAILABLE)
    await world.until(health.next_due)
    assert (await keeper.ensure(world.spec)).reason is FRESH


# Step 2: what is stored counts.


async def test_fresh_tokens_of_another_process_are_used() -> None:
    world = World()
    keeper = await _due(world)
    await world.keeper().ensure(world.spec)
    health = await keeper.ensure(world.spec)
    assert len(world.sent()) == 2
    assert (health.sequence, health.records) == (3, ())


# Step 3: claim.


async def test_the_store_proves_writable_before_the_token_is_spent() -> None:
    world = World()
    keeper = await _due(world)
    world.secrets.fail("replace", times=3)
    for _ in range(3):
        health = await keeper.ensure(world.spec)
        assert len(world.sent()) == 1
        assert (health.reason, health.usable) == (FRESH, True)
        assert "Kubernetes API" in health.message
        await world.until(health.next_due)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


async def test_store_down_and_token_dead() -> None:
    world = World()
    keeper = await _due(world, minutes=90)
    world.secrets.outage = Forbidden("no", status=403)
    health = await keeper.ensure(world.spec)
    assert (health.reason, health.usable) == (ConnectionReason.STORE_FAILING, False)
    assert "RBAC" in health.message
    assert len(world.sent()) == 1


async def test_a_conflict_on_the_claim_reads_anew() -> None:
    world = World()
    keeper = await _due(world)
    count = 0

    async def meddle(verb: str, name: str) -> None:
        nonlocal count
        if verb == "replace" and count < 3:
            count += 1
            world.secrets.touch(NAMESPACE, TOKENS)

    world.secrets.before = meddle
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]
    assert len(world.sent()) == 2


async def test_a_claim_whose_answer_was_lost_is_ours() -> None:
    world = World()
    keeper = await _due(world)
    world.secrets.fail("replace", applied=True)
    health = await keeper.ensure(world.spec)
    assert world.intent() is not None
    await world.until(health.next_due)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


async def test_intent_says_who_when_and_what() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(LOST_UNSPENT)
    await keeper.ensure(world.spec)
    intent = json.loads(world.intent() or "")
    assert set(intent) == {"holder", "nonce", "sequence", "claim", "time"}
    assert intent["sequence"] == 2
    assert intent["time"] == "2026-11-23T09:30:00.000000Z"


async def test_a_foreign_intent_is_a_lock_until_seen_unchanged_for_both_timeouts() -> None:
    world = World()
    crashed = await _due(world)
    world.endpoint.script.append(LOST_UNSPENT)
    await crashed.ensure(world.spec)
    survivor = world.keeper()
    start = world.clock.now()
    health = await survivor.ensure(world.spec)
    while len(world.sent()) == 2:
        assert (health.reason, health.records) == (FRESH, ())
        assert health.next_due - world.clock.now() <= timedelta(seconds=5)
        await world.until(health.next_due)
        health = await survivor.ensure(world.spec)
    assert timedelta(seconds=180) <= world.clock.now() - start <= timedelta(seconds=185)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert world.intent() is None


async def test_the_lock_ends_when_the_sequence_moves() -> None:
    world = World()
    first = await _due(world)
    world.endpoint.script.append(Effect(answer_after=20.0))
    task = await _claims(world, first)
    second = world.keeper()
    health = await second.ensure(world.spec)
    assert "another process" in health.message
    await world.advance(seconds=20)
    await task
    health = await second.ensure(world.spec)
    assert (health.sequence, len(world.sent())) == (3, 2)


async def test_a_changing_intent_starts_the_wait_anew() -> None:
    world = World()
    crashed = await _due(world)
    world.endpoint.script.append(LOST_UNSPENT)
    await crashed.ensure(world.spec)
    survivor = world.keeper()
    await survivor.ensure(world.spec)
    await world.advance(seconds=170)
    secret = world.stored()
    other = json.dumps({**json.loads(world.intent() or ""), "nonce": "another"})
    world.secrets.put(replace(secret, annotations={"qbsync.dev/refresh-intent": other}))
    await survivor.ensure(world.spec)
    await world.advance(seconds=175)
    await survivor.ensure(world.spec)
    assert len(world.sent()) == 2
    await world.advance(seconds=6)
    assert outcomes(await survivor.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


async def test_an_unreadable_intent_is_a_lock_all_the_same() -> None:
    world = World()
    keeper = await _due(world)
    world.secrets.put(replace(world.stored(), annotations={"qbsync.dev/refresh-intent": "???"}))
    await keeper.ensure(world.spec)
    await world.advance(seconds=179)
    await keeper.ensure(world.spec)
    assert len(world.sent()) == 1
    await world.advance(seconds=6)
    await keeper.ensure(world.spec)
    assert len(world.sent()) == 2


async def test_deleted_and_recreated_connection_does_not_trust_its_predecessors_intent() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(LOST_UNSPENT)
    await keeper.ensure(world.spec)
    keeper.forget(*world.spec.key)
    world.spec = replace(world.spec, uid="uid-of-the-next")
    health = await keeper.ensure(world.spec)
    assert "another process" in health.message
    assert "TokensAdopted" in events(health)
    await world.advance(seconds=181)
    await keeper.ensure(world.spec)
    assert world.grant().uid == "uid-of-the-next"


# The fence.


async def test_lost_lease_sends_nothing() -> None:
    world = World()
    lease = Lease()
    await world.started()
    await world.advance(minutes=30)
    keeper = world.keeper(fence=lease)
    lease.held = False
    health = await keeper.ensure(world.spec)
    assert len(world.sent()) == 1
    assert world.intent() is None
    assert "no longer leads" in health.message
    lease.held = True
    await world.until(health.next_due)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


async def test_a_claim_that_grew_old_is_released_and_made_again() -> None:
    world = World()
    keeper = await _due(world)
    writes: list[float] = []

    async def slow(verb: str, name: str) -> None:
        if verb == "replace":
            writes.append(world.clock.monotonic())
            if len(writes) == 1:
                await world.clock.sleep(timedelta(seconds=11))

    world.secrets.before = slow
    task = asyncio.ensure_future(keeper.ensure(world.spec))
    await settle()
    await world.advance(seconds=12)
    await task
    health = await keeper.ensure(world.spec)
    assert len(writes) == 4
    assert len(world.sent()) == 2
    assert health.sequence == 3


async def test_a_claim_that_sends_nothing_leaves_the_lock_of_a_use_that_may_be_running() -> None:
    """With a dead access token it is claimed again after a quarter of QuickBooks' limit; others wait for all of it."""
    world = World()
    keeper = await _due(world, minutes=61)
    world.endpoint.script.append(LOST_UNSPENT)
    health = await keeper.ensure(world.spec)
    assert world.intent() is not None

    async def lose(verb: str, name: str) -> None:
        world.fence.held = verb != "replace"

    world.secrets.before = lose
    await world.until(health.next_due)
    await keeper.ensure(world.spec)
    assert len(world.sent()) == 2
    assert world.intent() is not None


async def test_the_call_gets_what_is_left_of_the_deadline() -> None:
    world = World()
    keeper = await _due(world)

    async def slow(verb: str, name: str) -> None:
        if verb == "replace" and len(world.sent()) == 1:
            await world.clock.sleep(timedelta(seconds=4))

    world.secrets.before = slow
    task = asyncio.ensure_future(keeper.ensure(world.spec))
    await settle()
    await world.advance(seconds=5)
    await task
    assert [send.timeout for send in world.endpoint.sends] == [timedelta(seconds=60), timedelta(seconds=56)]


# Cancellation, and step 5.


@pytest.mark.parametrize("cancelled_at", range(1, 30))
async def test_cancelling_the_caller_never_loses_the_answer(cancelled_at: int) -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(Effect(answer_after=3.0))
    task = asyncio.ensure_future(keeper.ensure(world.spec))
    for _ in range(cancelled_at):
        await asyncio.sleep(0)
    task.cancel()
    await settle()
    await world.advance(seconds=5)
    health = await keeper.ensure(world.spec)
    assert len(world.sent()) == 2
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    assert health.sequence == 3


@pytest.mark.parametrize("error", [Unavailable("down"), Forbidden("no", status=403)])
async def test_store_outage_after_the_answer(error: KubeError) -> None:
    world = World()
    keeper = await _due(world)

    async def outage(verb: str, name: str) -> None:
        if len(world.sent()) == 2:
            world.secrets.outage = error

    world.secrets.before = outage
    health = await keeper.ensure(world.spec)
    assert (health.reason, health.usable) == (ConnectionReason.STORE_FAILING, True)
    assert (health.in_progress, health.authorized.status) == (True, True)
    assert keeper.unstored() == (world.spec,)
    assert world.changed == []
    for _ in range(20):
        await world.advance(minutes=1)
        health = await keeper.ensure(world.spec)
        assert health.reason is ConnectionReason.STORE_FAILING
    assert len(world.sent()) == 2
    world.secrets.before, world.secrets.outage = None, None
    await world.advance(seconds=20)
    assert world.changed == [world.spec]
    health = await keeper.ensure(world.spec)
    assert (health.reason, outcomes(health)) == (FRESH, [RefreshOutcome.REFRESHED])
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    assert keeper.unstored() == ()


async def test_a_stored_answer_whose_confirmation_was_lost_is_recognized() -> None:
    world = World()
    keeper = await _due(world)

    async def lose(verb: str, name: str) -> None:
        if verb == "replace" and len(world.sent()) == 2:
            world.secrets.before = None
            world.secrets.fail("replace", applied=True)

    world.secrets.before = lose
    task = asyncio.ensure_future(keeper.ensure(world.spec))
    await settle()
    await world.advance(seconds=20)
    await task
    health = await keeper.ensure(world.spec)
    assert (health.sequence, health.reason) == (3, FRESH)
    assert world.grant().sequence == 3


async def test_a_conflict_after_the_answer_never_discards_it() -> None:
    world = World()
    keeper = await _due(world)
    meddled = 0

    async def meddle(verb: str, name: str) -> None:
        nonlocal meddled
        if verb == "replace" and len(world.sent()) == 2 and meddled < 20:
            meddled += 1
            world.secrets.touch(NAMESPACE, TOKENS)

    world.secrets.before = meddle
    health = await world.run(keeper.ensure(world.spec))
    await world.advance(minutes=5)
    health = await keeper.ensure(world.spec)
    assert health.sequence == 3
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current


async def test_secret_deleted_after_the_claim_is_made_again() -> None:
    world = World()
    keeper = await _due(world)

    async def remove(verb: str, name: str) -> None:
        if verb == "replace" and len(world.sent()) == 2:
            world.secrets.before = None
            world.secrets.delete(NAMESPACE, TOKENS)

    world.secrets.before = remove
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    assert world.grant().sequence > 2


async def test_connection_and_secret_deleted_while_the_answer_is_under_way() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(Effect(answer_after=2.0))
    task = await _claims(world, keeper)
    keeper.forget(*world.spec.key)
    world.secrets.delete(NAMESPACE, TOKENS)
    await world.advance(seconds=3)
    await task
    assert [grant.refresh_token.get_secret_value() for grant in world.abandoned] == [world.endpoint.current]
    assert world.secrets.peek(NAMESPACE, TOKENS) is None


async def test_connection_deleted_but_its_secret_retained() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(Effect(answer_after=2.0))
    task = await _claims(world, keeper)
    keeper.forget(*world.spec.key)
    await world.advance(seconds=3)
    await task
    assert world.abandoned == []
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current


async def test_two_answers_the_later_claim_wins() -> None:
    """The first process cannot store for so long that a second one takes its claim for abandoned."""
    world = World()
    world.endpoint.rotate = False
    first = await _due(world)
    cut_off = asyncio.Event()

    async def partition(verb: str, name: str) -> None:
        if len(world.sent()) == 2:
            await cut_off.wait()

    world.secrets.before = partition
    task = asyncio.ensure_future(first.ensure(world.spec))
    await settle()
    await world.advance(seconds=6)
    await task
    world.secrets.before = None
    second = world.keeper()
    for _ in range(40):
        health = await second.ensure(world.spec)
        await world.until(health.next_due if health.sequence == 2 else world.clock.now())
    assert len(world.sent()) == 3
    stored = world.grant()
    cut_off.set()
    await settle()
    await world.advance(seconds=20)
    assert world.grant() == stored
    health = await first.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.SUPERSEDED]
    assert health.sequence == stored.sequence
    token = await first.token_source(world.spec).token()
    assert token.value == stored.access_token


async def test_two_answers_where_the_second_has_not_stored_yet() -> None:
    """The late one leaves the other's open intent alone, and the other's answer ends up as current."""
    world = World()
    world.endpoint.rotate = False
    first = await _due(world)
    cut_off = asyncio.Event()

    async def partition(verb: str, name: str) -> None:
        if len(world.sent()) == 2:
            await cut_off.wait()

    world.secrets.before = partition
    task = asyncio.ensure_future(first.ensure(world.spec))
    await settle()
    await world.advance(seconds=6)
    await task
    world.secrets.before = None
    second = world.keeper()
    world.endpoint.script.append(Effect(answer_after=30.0))
    while len(world.sent()) == 2:
        ensured = asyncio.ensure_future(second.ensure(world.spec))
        await settle()
        await world.advance(seconds=5)
        await ensured
    cut_off.set()
    await settle()
    assert world.grant().sequence == 3
    assert world.intent() is not None
    await world.advance(seconds=60)
    assert world.grant().sequence == 4
    assert world.intent() is None
    health = await second.ensure(world.spec)
    token = await second.token_source(world.spec).token()
    assert token == AccessToken(world.grant().access_token, 4)  # type: ignore[arg-type]
    assert health.sequence == 4


async def test_drain_sends_nothing_new_and_waits_for_what_was_sent() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(Effect(answer_after=20.0))
    task = await _claims(world, keeper)
    draining = asyncio.ensure_future(keeper.drain())
    await settle()
    assert not draining.done()
    await world.advance(seconds=21)
    await draining
    await task
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    await world.advance(hours=1)
    health = await keeper.ensure(world.spec)
    assert len(world.sent()) == 2
    assert "spends no token" in health.message
