"""From the first import through a day of refreshes."""

from dataclasses import replace
from datetime import timedelta

from qbsync.api.reasons import ConnectionReason
from qbsync.tokens.health import RefreshOutcome
from qbsync.tokens.spec import Trigger
from unit.tokens.endpoint import Effect
from unit.tokens.world import FIRST, IMPORT, NAMESPACE, TOKENS, World, events, outcomes, requested


async def test_import_then_first_refresh() -> None:
    world = World()
    world.set_import()
    health = await world.keeper().ensure(world.spec)
    assert (health.reason, health.usable) == (ConnectionReason.TOKEN_FRESH, True)
    assert outcomes(health) == [RefreshOutcome.IMPORTED, RefreshOutcome.REFRESHED]
    assert events(health) == ["TokensImported", "TokenRefreshed"]
    assert health.authorized.status is True
    assert world.sent() == [FIRST]
    assert health.sequence == 2
    assert health.key_id == world.keyring.primary.kid
    assert health.access_expires_at == world.clock.now() + timedelta(hours=1)
    assert health.refresh_expires_at == world.clock.now() + timedelta(seconds=8726400)
    assert health.refresh_hard_expires_at == world.clock.now() + timedelta(seconds=156032154)
    assert health.last_refresh == world.clock.now()
    emptied = world.secrets.peek(NAMESPACE, IMPORT)
    assert emptied is not None
    assert emptied.data == {"refresh_token": b""}


async def test_the_secret_is_ours_and_holds_no_plaintext() -> None:
    world = World()
    await world.started()
    secret = world.stored()
    assert secret.type == "qbsync.dev/tokens"
    assert secret.labels == {"qbsync.dev/connection": "acme", "qbsync.dev/realm": world.spec.realm}
    assert world.intent() is None
    assert set(secret.data) == {"envelope"}
    text = secret.data["envelope"].decode() + str(secret.annotations)
    assert not [token for token in [FIRST, *world.endpoint.issued] if token in text]


async def test_nothing_due_means_no_io() -> None:
    world = World()
    keeper = await world.started()
    before = list(world.secrets.calls)
    health = await keeper.ensure(world.spec)
    assert world.secrets.calls == before
    assert health.records == health.events == ()


async def test_one_refresh_costs_a_read_a_claim_and_a_store() -> None:
    world = World()
    keeper = await world.started()
    world.secrets.calls.clear()
    await world.advance(minutes=40)
    await keeper.ensure(world.spec)
    assert world.secrets.calls == [
        ("get", TOKENS),
        ("get", "acme-app"),
        ("replace", TOKENS),
        ("replace", TOKENS),
    ]


async def test_due_time_is_expiry_minus_margin_minus_jitter_and_survives_a_restart() -> None:
    world = World()
    keeper = await world.started()
    health = await keeper.ensure(world.spec)
    assert health.next_refresh == health.next_due
    assert health.access_expires_at is not None
    early = health.access_expires_at - health.next_due
    assert timedelta(minutes=30) <= early <= timedelta(minutes=36)
    again = await world.keeper().ensure(world.spec)
    assert again.next_due == health.next_due
    assert len(world.sent()) == 1


async def test_a_day_of_refreshes_is_proactive_and_each_token_is_sent_once() -> None:
    world = World()
    keeper = await world.started()
    end = world.clock.now() + timedelta(days=1)
    health = await keeper.ensure(world.spec)
    while world.clock.now() < end:
        await world.until(health.next_due)
        assert health.access_expires_at is not None
        assert world.clock.now() < health.access_expires_at - timedelta(minutes=29)
        health = await keeper.ensure(world.spec)
        assert outcomes(health) == [RefreshOutcome.REFRESHED]
        assert health.records[0].trigger == Trigger.SCHEDULED
    assert len(world.sent()) == len(set(world.sent()))
    assert world.endpoint.refusals == 0


async def test_suspended_connection_keeps_its_grant_alive() -> None:
    world = World()
    keeper = await world.started()
    await world.advance(minutes=40)
    health = await keeper.ensure(replace(world.spec, suspended=True))
    assert outcomes(health) == [RefreshOutcome.REFRESHED]


async def test_margin_beyond_the_lifetime_falls_back() -> None:
    world = World()
    world.spec = replace(world.spec, refresh_before=timedelta(hours=5))
    keeper = await world.started()
    health = await keeper.ensure(world.spec)
    assert timedelta(minutes=10) <= health.next_due - world.clock.now() <= timedelta(minutes=20)


async def test_refresh_now_is_done_once_per_request() -> None:
    world = World()
    keeper = await world.started()
    spec, how = requested(world.spec, "2026-11-23T10:00:00Z")
    health = await keeper.ensure(spec, **how)
    assert health.handled
    assert [record.trigger for record in health.records] == [Trigger.REQUESTED]
    again = await keeper.ensure(spec, **how)
    assert again.handled
    assert again.records == ()
    assert len(world.sent()) == 2


async def test_refresh_now_after_a_restart_counts_from_what_is_stored() -> None:
    world = World()
    await world.started()
    spec, how = requested(world.spec, "now")
    health = await world.keeper().ensure(spec, **how)
    assert health.handled
    assert len(world.sent()) == 2
    assert health.sequence == 3


async def test_same_value_within_a_day_still_moves_the_sequence() -> None:
    world = World()
    world.endpoint.rotate = False
    keeper = await world.started()
    spec, how = requested(world.spec, "now")
    health = await keeper.ensure(spec, **how)
    assert health.sequence == 3
    assert world.sent() == [FIRST, FIRST]


async def test_an_answer_without_refresh_token_keeps_the_old_one() -> None:
    world = World()
    keeper = await world.started()
    kept = world.grant().refresh_token
    world.endpoint.rotate = False
    world.endpoint.omit = frozenset(
        {"refresh_token", "x_refresh_token_expires_in", "x_refresh_token_hard_expires_in"}
    )
    await world.advance(minutes=40)
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert world.grant().refresh_token == kept
    assert health.refresh_hard_expires_at is not None
    assert health.refresh_expires_at is not None


async def test_expiry_counts_from_sending() -> None:
    world = World()
    keeper = await world.started()
    await world.advance(minutes=40)
    start = world.clock.now()
    world.endpoint.script.append(Effect(answer_after=30.0))
    health = await world.run(keeper.ensure(world.spec), step=1)
    await world.advance(seconds=30)
    health = await keeper.ensure(world.spec)
    assert health.access_expires_at == start + timedelta(hours=1)


async def test_a_slow_refresh_does_not_hold_the_connection_up_while_its_token_serves() -> None:
    world = World()
    keeper = await world.started()
    await world.advance(minutes=40)
    world.endpoint.script.append(Effect(answer_after=50.0))
    start = world.clock.monotonic()
    health = await world.run(keeper.ensure(world.spec), step=1)
    assert world.clock.monotonic() - start <= 6
    assert (health.reason, health.usable, health.in_progress) == (ConnectionReason.TOKEN_FRESH, True, True)
    await world.advance(seconds=60)
    assert [spec.name for spec in world.changed] == ["acme"]
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert len(world.sent()) == 2


async def test_a_suspended_connection_keeps_its_grant_alive() -> None:
    world = World()
    keeper = await world.started()
    suspended = replace(world.spec, suspended=True)
    for _ in range(5):
        await world.advance(minutes=31)
        health = await keeper.ensure(suspended)
        assert (health.usable, outcomes(health)) == (True, [RefreshOutcome.REFRESHED])
