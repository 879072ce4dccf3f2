"""What each kind of answer of the token endpoint leads to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from qbsync.api.reasons import ConnectionReason
from qbsync.tokens.health import RefreshOutcome
from qbsync.tokens.keeper import Keeper
from unit.tokens.endpoint import (
    CLIENT,
    FALSE_INVALID_GRANT,
    GATEWAY_TIMEOUT_SPENT,
    LOST_SPENT,
    LOST_UNSPENT,
    NOT_SENT,
    SERVER_ERROR,
    THROTTLED,
    Effect,
)
from unit.tokens.world import APP, FIRST, NAMESPACE, World, events, outcomes, requested

FRESH = ConnectionReason.TOKEN_FRESH


async def _due(world: World, **more: Any) -> Keeper:
    """A process whose token is due for its proactive refresh, with half an hour left."""
    keeper = await world.started(**more)
    await world.advance(minutes=30)
    return keeper


@pytest.mark.parametrize("effect", [NOT_SENT, THROTTLED])
async def test_not_processed_backs_off_and_takes_the_intent_back(effect: Effect) -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(effect)
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.NOT_PROCESSED]
    assert (health.reason, health.usable, health.consecutive_failures) == (FRESH, True, 1)
    assert "refresh fails" in health.message
    assert events(health) == ["RefreshFailed"]
    assert timedelta() < health.next_due - world.clock.now() <= timedelta(seconds=1)
    assert health.next_refresh == health.next_due
    assert world.intent() is None
    await world.until(health.next_due)
    health = await keeper.ensure(world.spec)
    assert (outcomes(health), health.consecutive_failures) == ([RefreshOutcome.REFRESHED], 0)


async def test_backoff_grows_and_nobody_gets_around_it() -> None:
    world = World()
    keeper = await _due(world, circuits=world.never_opens())
    world.endpoint.script.extend([NOT_SENT] * 12)
    health = await keeper.ensure(world.spec)
    pauses = []
    for _ in range(11):
        before = len(world.endpoint.script)
        await keeper.ensure(world.spec)
        assert len(world.endpoint.script) == before
        pauses.append(health.next_due - world.clock.now())
        await world.until(health.next_due)
        health = await keeper.ensure(world.spec)
    assert max(pauses[:3]) <= timedelta(seconds=4)
    assert max(pauses) > timedelta(seconds=30)
    assert max(pauses) <= timedelta(minutes=5)
    assert health.consecutive_failures == 12


async def test_dead_access_token_and_no_provider() -> None:
    world = World()
    keeper = await world.started()
    await world.advance(hours=2)
    world.endpoint.script.append(NOT_SENT)
    health = await keeper.ensure(world.spec)
    assert (health.reason, health.usable) == (ConnectionReason.PROVIDER_UNAVAILABLE, False)
    assert health.authorized.status is True
    assert "no connection" in health.message


@pytest.mark.parametrize("effect", [LOST_UNSPENT, GATEWAY_TIMEOUT_SPENT, SERVER_ERROR])
async def test_perhaps_processed_is_not_sent_again_for_the_server_timeout(effect: Effect) -> None:
    world = World()
    world.endpoint.grace = 86400.0
    keeper = await _due(world)
    sent_at = world.clock.now()
    world.endpoint.script.append(effect)
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.UNKNOWN]
    assert (health.reason, health.usable) == (FRESH, True)
    assert world.intent() is not None
    assert health.next_due >= sent_at + timedelta(seconds=120)
    spec, how = requested(world.spec, "impatient")
    for _ in range(11):
        await world.advance(seconds=10)
        impatient = await keeper.ensure(spec, **how)
        assert not impatient.handled
        spec, how = requested(world.spec, str(world.clock.now()))
    assert len(world.sent()) == 2
    await world.until(health.next_due)
    health = await keeper.ensure(world.spec)
    assert RefreshOutcome.REFRESHED in outcomes(health)
    assert health.handled
    assert world.intent() is None


async def test_perhaps_processed_with_a_dead_access_token_waits_a_quarter() -> None:
    world = World()
    world.endpoint.grace = 86400.0
    keeper = await world.started()
    await world.advance(hours=2)
    world.endpoint.script.append(LOST_SPENT)
    start = world.clock.now()
    health = await keeper.ensure(world.spec)
    wait = health.next_due - start
    assert timedelta(seconds=30) <= wait <= timedelta(seconds=31)
    await world.until(health.next_due)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


async def test_an_earlier_use_that_may_still_run_keeps_the_intent_open() -> None:
    world = World()
    keeper = await world.started()
    await world.advance(hours=2)
    world.endpoint.script.extend([LOST_UNSPENT, THROTTLED])
    health = await keeper.ensure(world.spec)
    await world.until(health.next_due)
    await keeper.ensure(world.spec)
    assert world.intent() is not None


async def test_token_lost_with_its_answer_ends_in_reauthorization() -> None:
    """Rotated, the answer lost, the old value dead at once: the one window that remains."""
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(LOST_SPENT)
    health = await keeper.ensure(world.spec)
    seen = set()
    for _ in range(300):
        await world.until(health.next_due)
        health = await keeper.ensure(world.spec)
        seen.add(health.reason)
        if health.reason is ConnectionReason.REAUTHORIZATION_REQUIRED:
            break
    assert health.reason is ConnectionReason.REAUTHORIZATION_REQUIRED
    assert not health.usable
    assert "spec.importTokensFrom" in health.message
    assert seen <= {FRESH, ConnectionReason.PROVIDER_UNAVAILABLE, ConnectionReason.REAUTHORIZATION_REQUIRED}


async def test_invalid_grant_once_is_tried_again_after_ten_minutes() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(FALSE_INVALID_GRANT)
    start = world.clock.now()
    before = world.grant()
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.INVALID_GRANT]
    assert (health.reason, health.usable) == (FRESH, True)
    assert health.authorized.status is None
    assert health.next_refresh == start + timedelta(minutes=10)
    assert world.grant() == before
    assert world.intent() is None
    while world.clock.now() < start + timedelta(minutes=9):
        await world.until(health.next_due)
        health = await keeper.ensure(world.spec)
        assert health.records == ()
    await world.until(start + timedelta(minutes=10))
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert health.authorized.status is True
    assert "refresh-refused" not in str(world.stored().annotations)


async def test_probing_schedule_then_requested_at_heals() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.alive = False
    start = world.clock.now()
    health = await keeper.ensure(world.spec)
    probes: list[float] = []
    said: list[str] = []
    while world.clock.now() < start + timedelta(days=3):
        await world.until(max(health.next_due, world.clock.now() + timedelta(minutes=5)))
        health = await keeper.ensure(world.spec)
        probes += [(record.time - start).total_seconds() / 60 for record in health.records]
        said += events(health)
    expected = [10, 70, 130, 190, 250, 310, 370, 370 + 1440, 370 + 2880]
    assert [round(minutes) for minutes in probes] == pytest.approx(expected, abs=10)
    assert health.reason is ConnectionReason.REAUTHORIZATION_REQUIRED
    assert health.authorized.status is False
    assert "ReauthorizationRequired" in said
    world.endpoint.alive = True
    spec, how = requested(world.spec, "reconnected")
    health = await keeper.ensure(spec, **how)
    assert (health.reason, health.handled) == (FRESH, True)


async def test_the_probing_schedule_survives_a_restart() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.alive = False
    start = world.clock.now()
    await keeper.ensure(world.spec)
    await world.advance(minutes=5)
    health = await world.keeper().ensure(world.spec)
    assert health.records == ()
    assert health.next_refresh == start + timedelta(minutes=10)
    assert len(world.sent()) == 2


async def test_a_changed_client_secret_probes_at_once() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.script.append(FALSE_INVALID_GRANT)
    await keeper.ensure(world.spec)
    world.endpoint.client = (CLIENT[0], "rotated")
    world.set_client(CLIENT[0], "rotated")
    await world.advance(seconds=30)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


async def test_probing_ends_with_the_refresh_token() -> None:
    world = World()
    world.endpoint.extra = {"x_refresh_token_expires_in": 3600, "x_refresh_token_hard_expires_in": 7200}
    keeper = await _due(world)
    world.endpoint.alive = False
    health = await keeper.ensure(world.spec)
    for _ in range(400):
        await world.until(health.next_due)
        health = await keeper.ensure(world.spec)
    assert health.next_refresh is None
    assert health.reason is ConnectionReason.REAUTHORIZATION_REQUIRED
    assert "expired" in health.message


async def test_invalid_grant_because_another_process_was_faster() -> None:
    world = World()
    keeper = await _due(world)

    async def overtake(verb: str, name: str) -> None:
        if world.endpoint.sends[1:] and verb == "get" and name == world.spec.tokens_secret_name:
            world.secrets.before = None
            world.endpoint.reissue()
            now = world.clock.now()
            world.rewrite(
                sequence=9,
                refresh_token=SecretStr(world.endpoint.current),
                access_issued_at=now,
                access_expires_at=now + timedelta(hours=1),
            )

    world.endpoint.script.append(FALSE_INVALID_GRANT)
    world.secrets.before = overtake
    health = await keeper.ensure(world.spec)
    assert health.sequence == 9
    assert health.authorized.status is True
    assert "refused" not in str(world.stored().annotations)
    assert len(world.sent()) == 2


async def test_invalid_client_then_corrected() -> None:
    world = World()
    world.set_client(CLIENT[0], "wrong")
    world.set_import()
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.IMPORTED, RefreshOutcome.INVALID_CLIENT]
    assert health.reason is ConnectionReason.CREDENTIALS_REJECTED
    assert health.next_due == world.clock.now() + timedelta(seconds=15)
    assert APP in health.message
    for _ in range(4):
        await world.until(health.next_due)
        health = await keeper.ensure(world.spec)
        assert health.records == ()
    assert len(world.sent()) == 1
    world.set_client(*CLIENT)
    await world.until(health.next_due)
    health = await keeper.ensure(world.spec)
    assert (health.reason, outcomes(health)) == (FRESH, [RefreshOutcome.REFRESHED])


async def test_unchanged_rejected_credentials_are_tried_again_after_an_hour() -> None:
    world = World()
    world.set_client(CLIENT[0], "wrong")
    world.set_import()
    keeper = world.keeper()
    await keeper.ensure(world.spec)
    world.endpoint.client = (CLIENT[0], "wrong")
    await world.advance(minutes=59)
    assert (await keeper.ensure(world.spec)).records == ()
    await world.advance(minutes=2)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


@pytest.mark.parametrize("keys", [None, {"client_id": b"x"}, {"client_id": b"x", "client_secret": b" \n"}])
async def test_client_secret_missing(keys: dict[str, bytes] | None) -> None:
    world = World()
    whole = world.secrets.peek(NAMESPACE, APP)
    assert whole is not None
    if keys is None:
        world.secrets.delete(NAMESPACE, APP)
    else:
        world.secrets.put(replace(whole, data=keys))
    world.set_import()
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.SECRET_NOT_FOUND
    assert APP in health.message
    assert health.next_due == world.clock.now() + timedelta(seconds=15)
    assert world.sent() == []
    world.secrets.put(whole)
    await world.until(health.next_due)
    assert (await keeper.ensure(world.spec)).reason is FRESH


async def test_another_refusal_is_reported_with_its_words() -> None:
    world = World()
    keeper = await world.started()
    await world.advance(hours=2)
    body = '{"error":"invalid_request","error_description":"no such thing"}'
    world.endpoint.script.append(Effect(kind="status", status=400, body=body, commit=False))
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.REFUSED]
    assert "invalid_request" in health.message
    assert health.records[0].intuit_tid == "1-5f733c5a-55d0ff60812923e8b22c622b"
    assert world.intent() is None


async def test_an_answer_with_a_refresh_token_only_is_kept() -> None:
    world = World()
    keeper = await _due(world)
    world.endpoint.omit = frozenset({"access_token"})
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.UNKNOWN]
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    world.endpoint.omit = frozenset()
    await world.until(health.next_due)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]
    assert world.endpoint.refusals == 0
    assert FIRST not in world.sent()[1:]


async def test_expiry_warning_thirty_days_before() -> None:
    world = World()
    world.endpoint.extra = {"x_refresh_token_hard_expires_in": 29 * 86400}
    world.set_import()
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert "reconnect the company before" in health.message
    assert health.reason is FRESH
    assert health.expiry_warning is not None
    assert health.expiry_warning in health.message


def _no_client(world: World) -> None:
    world.secrets.delete(NAMESPACE, APP)


def _wrong_client(world: World) -> None:
    world.set_client(CLIENT[0], "mistyped")


def _refusal(world: World) -> None:
    world.endpoint.script.append(FALSE_INVALID_GRANT)


@pytest.mark.parametrize("hindrance", [_no_client, _wrong_client, _refusal])
async def test_a_request_that_failed_early_in_a_tokens_life_never_makes_a_busy_loop(
    hindrance: Callable[[World], None],
) -> None:
    """The schedule is content with the token, the person's request is over: the pause must end all the same."""
    world = World()
    keeper = await world.started()
    hindrance(world)
    spec, how = requested(world.spec, "now")
    health = await keeper.ensure(spec, **how)
    assert health.handled
    assert health.usable
    looks = []
    for _ in range(8):
        assert health.next_due > world.clock.now()
        looks.append(health.next_due - world.clock.now())
        await world.until(health.next_due)
        health = await keeper.ensure(spec)
    assert max(looks) <= timedelta(seconds=30)


@pytest.mark.parametrize("hindrance", [_no_client, _wrong_client])
async def test_credentials_that_failed_a_request_are_picked_up_once_they_are_right(
    hindrance: Callable[[World], None],
) -> None:
    world = World()
    keeper = await world.started()
    hindrance(world)
    spec, how = requested(world.spec, "now")
    health = await keeper.ensure(spec, **how)
    world.set_client(*CLIENT)
    await world.until(health.next_due)
    health = await keeper.ensure(spec)
    assert outcomes(health)[-1:] == [RefreshOutcome.REFRESHED]
    assert health.authorized.status is True


async def test_a_grant_refused_at_a_request_is_tried_again_after_ten_minutes_though_its_token_lives() -> None:
    world = World()
    keeper = await world.started()
    world.endpoint.script.append(FALSE_INVALID_GRANT)
    spec, how = requested(world.spec, "now")
    health = await keeper.ensure(spec, **how)
    sends = len(world.sent())
    await world.advance(minutes=9, seconds=59)
    health = await keeper.ensure(spec)
    assert len(world.sent()) == sends
    await world.advance(seconds=2)
    health = await keeper.ensure(spec)
    assert outcomes(health)[-1:] == [RefreshOutcome.REFRESHED]
