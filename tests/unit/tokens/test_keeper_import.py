"""importTokensFrom: once, never over a working grant unasked, emptied afterwards."""

from dataclasses import replace
from datetime import timedelta

import pytest

from qbsync.api.reasons import ConnectionReason
from qbsync.kube.errors import Unavailable
from qbsync.tokens.health import RefreshOutcome
from qbsync.tokens.spec import ImportRef
from unit.tokens.endpoint import CLIENT, FALSE_INVALID_GRANT, NOT_SENT
from unit.tokens.world import APP, FIRST, IMPORT, NAMESPACE, World, events, outcomes, requested

FRESH = ConnectionReason.TOKEN_FRESH


def _left(world: World) -> dict[str, bytes]:
    secret = world.secrets.peek(NAMESPACE, IMPORT)
    assert secret is not None
    return dict(secret.data)


async def test_missing_secret_is_looked_for_every_15_seconds() -> None:
    world = World()
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.SECRET_NOT_FOUND
    assert IMPORT in health.message
    assert health.next_due == world.clock.now() + timedelta(seconds=15)
    world.set_import()
    await world.until(health.next_due)
    assert (await keeper.ensure(world.spec)).reason is FRESH


async def test_an_empty_one_says_how_to_connect() -> None:
    world = World()
    world.set_import("")
    health = await world.keeper().ensure(world.spec)
    assert health.reason is ConnectionReason.REAUTHORIZATION_REQUIRED
    assert "spec.importTokensFrom" in health.message


@pytest.mark.parametrize("content", ['{"refresh_token": "x"}', "two\nlines"])
async def test_content_that_cannot_be_a_token_is_not_sent(content: str) -> None:
    world = World()
    world.set_import(content)
    health = await world.keeper().ensure(world.spec)
    assert health.reason is ConnectionReason.IMPORT_REJECTED
    assert content not in health.message
    assert world.sent() == []


@pytest.mark.parametrize("expires", ["2026-11-23T09:50:00Z", "1795427400", "2026-11-23T09:50:00"])
async def test_a_living_access_token_is_used_and_refreshed_in_time(expires: str) -> None:
    world = World()
    world.set_import(keys={"access_token": "AT-imported", "expires_at": expires})
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert (health.reason, world.sent()) == (FRESH, [])
    assert health.authorized.status is None
    assert (await keeper.token_source(world.spec).token()).value.get_secret_value() == "AT-imported"
    await world.until(health.next_due)
    assert outcomes(await keeper.ensure(world.spec)) == [RefreshOutcome.REFRESHED]


@pytest.mark.parametrize("expires", [None, "2026-11-23T08:00:00Z", "soon", "2030-01-01T00:00:00Z"])
async def test_an_access_token_of_unknown_life_is_not_used(expires: str | None) -> None:
    world = World()
    keys = {"access_token": "AT-imported"} | ({"expires_at": expires} if expires else {})
    world.set_import(keys=keys)
    await world.keeper().ensure(world.spec)
    assert world.sent() == [FIRST]


async def test_whitespace_is_dropped() -> None:
    world = World()
    world.set_import(f"  {FIRST}\n")
    await world.keeper().ensure(world.spec)
    assert world.sent() == [FIRST]


async def test_gitops_brings_it_back_and_it_is_not_imported_again() -> None:
    world = World()
    keeper = await world.started()
    world.set_import()
    spec, how = requested(world.spec, "now")
    health = await keeper.ensure(spec, **how)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert FIRST not in world.sent()[1:]
    restarted = world.keeper()
    spec, how = requested(world.spec, "again")
    await restarted.ensure(spec, **how)
    assert FIRST not in world.sent()[1:]
    assert world.endpoint.refusals == 0


async def test_never_over_a_working_grant_unless_asked() -> None:
    world = World()
    keeper = await world.started()
    world.set_import("RT-unknown")
    await world.advance(minutes=40)
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert "RT-unknown" not in world.sent()
    fresh = world.endpoint.reissue()
    world.set_import(fresh)
    spec, how = requested(world.spec, "take it")
    health = await keeper.ensure(spec, **how)
    assert outcomes(health) == [RefreshOutcome.IMPORTED, RefreshOutcome.REFRESHED]
    assert health.handled
    assert world.sent()[-1] == fresh
    assert world.grant().standby is None


async def test_a_worthless_import_gives_way_to_the_grant_it_replaced() -> None:
    world = World()
    world.endpoint.reuse_revokes = False
    keeper = await world.started()
    before = world.grant()
    world.set_import("RT-worthless")
    spec, how = requested(world.spec, "try it")
    health = await keeper.ensure(spec, **how)
    assert world.sent()[-1] == "RT-worthless"
    assert world.grant().refresh_token == before.refresh_token
    assert (health.reason, health.usable) == (FRESH, True)
    assert "RefreshFailed" in events(health)
    world.set_import("RT-worthless")
    spec, how = requested(world.spec, "try again")
    await keeper.ensure(spec, **how)
    assert world.sent().count("RT-worthless") == 1


async def test_refused_at_first_use() -> None:
    world = World()
    world.set_import("RT-of-another-program")
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.IMPORT_REJECTED
    assert "another program" in health.message
    assert outcomes(health) == [RefreshOutcome.IMPORTED, RefreshOutcome.INVALID_GRANT]
    assert health.authorized.status is False
    world.set_import(world.endpoint.reissue())
    await world.until(health.next_due)
    health = await keeper.ensure(world.spec)
    assert (health.reason, outcomes(health)[-1]) == (FRESH, RefreshOutcome.REFRESHED)


async def test_unknown_content_ends_reauthorization_required() -> None:
    world = World()
    keeper = await world.started()
    world.endpoint.alive = False
    await world.advance(hours=2)
    health = await keeper.ensure(world.spec)
    await world.advance(minutes=11)
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.REAUTHORIZATION_REQUIRED
    world.set_import(world.endpoint.reissue())
    await world.until(health.next_due)
    health = await keeper.ensure(world.spec)
    assert (health.reason, health.authorized.status) == (FRESH, True)
    assert health.sequence == 4


async def test_keep_leaves_the_secret_as_it_is() -> None:
    world = World()
    world.spec = replace(world.spec, import_ref=ImportRef(IMPORT, scrub=False))
    health = await (await world.started()).ensure(world.spec)
    assert _left(world) == {"refresh_token": FIRST.encode()}
    assert "ImportNotScrubbed" not in events(health)
    assert world.secrets.count("empty_keys") == 0


async def test_scrub_empties_only_the_two_tokens() -> None:
    world = World()
    world.set_import(keys={"access_token": "AT-imported", "expires_at": "x", "note": "y"})
    await world.keeper().ensure(world.spec)
    assert _left(world) == {"refresh_token": b"", "access_token": b"", "expires_at": b"x", "note": b"y"}


@pytest.mark.parametrize(
    "marks",
    [
        {"controller_owner": True},
        {"labels": {"argocd.argoproj.io/instance": "billing"}},
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "billing"}},
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
        {"annotations": {"argocd.argoproj.io/tracking-id": "billing:/Secret:billing/acme"}},
    ],
)
async def test_what_would_come_back_is_not_scrubbed(marks: dict[str, object]) -> None:
    world = World()
    world.set_import(**marks)
    health = await world.keeper().ensure(world.spec)
    assert health.reason is FRESH
    assert "ImportNotScrubbed" in events(health)
    assert _left(world) == {"refresh_token": FIRST.encode()}


async def test_a_failed_scrub_is_made_up_for() -> None:
    world = World()
    world.set_import()
    world.secrets.fail("empty_keys", error=Unavailable("down"))
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is FRESH
    assert _left(world) == {"refresh_token": FIRST.encode()}
    assert health.next_due == world.clock.now() + timedelta(seconds=15)
    await world.until(health.next_due)
    health = await keeper.ensure(world.spec)
    assert _left(world) == {"refresh_token": b""}
    assert health.next_due - world.clock.now() > timedelta(minutes=20)


async def test_a_crash_before_the_scrub_is_made_up_for() -> None:
    world = World()
    world.set_import()
    world.secrets.fail("empty_keys", times=1)
    await world.keeper().ensure(world.spec)
    assert _left(world) != {"refresh_token": b""}
    await world.keeper().ensure(world.spec)
    assert _left(world) == {"refresh_token": b""}


async def test_new_content_is_not_scrubbed_unread() -> None:
    world = World()
    world.set_import()
    world.secrets.fail("empty_keys")
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    world.set_import("RT-put-there-since")
    await world.until(health.next_due)
    await keeper.ensure(world.spec)
    assert _left(world) == {"refresh_token": b"RT-put-there-since"}


async def test_stored_before_it_is_used_or_scrubbed() -> None:
    world = World()
    world.set_import()
    world.secrets.fail("create", times=1)
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.STORE_FAILING
    assert world.sent() == []
    assert _left(world) == {"refresh_token": FIRST.encode()}
    await world.until(health.next_due)
    assert (await keeper.ensure(world.spec)).reason is FRESH


async def test_imported_but_the_provider_is_away() -> None:
    world = World()
    world.set_import()
    world.endpoint.script.append(NOT_SENT)
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert (health.reason, health.authorized.status) == (ConnectionReason.PROVIDER_UNAVAILABLE, None)
    await world.until(health.next_due)
    assert (await keeper.ensure(world.spec)).reason is FRESH


async def test_a_false_invalid_grant_at_first_use_heals_by_itself() -> None:
    world = World()
    world.set_import()
    world.endpoint.script.append(FALSE_INVALID_GRANT)
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.IMPORT_REJECTED
    await world.advance(minutes=10)
    assert (await keeper.ensure(world.spec)).reason is FRESH


async def test_import_does_not_need_the_client_secret() -> None:
    world = World()
    world.secrets.delete(NAMESPACE, APP)
    world.set_import()
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.SECRET_NOT_FOUND
    assert _left(world) == {"refresh_token": b""}
    world.set_client(*CLIENT)
    await world.until(health.next_due)
    assert (await keeper.ensure(world.spec)).reason is FRESH


async def test_an_import_that_could_not_be_emptied_makes_no_busy_loop_when_the_store_goes_away() -> None:
    world = World()
    world.set_import()
    keeper = world.keeper()
    world.secrets.fail("empty_keys")
    health = await keeper.ensure(world.spec)
    world.secrets.outage = Unavailable("down")
    for _ in range(5):
        assert health.next_due > world.clock.now()
        await world.until(health.next_due)
        health = await keeper.ensure(world.spec)
    world.secrets.outage = None
    for _ in range(3):
        await world.until(health.next_due)
        health = await keeper.ensure(world.spec)
    emptied = world.secrets.peek(NAMESPACE, IMPORT)
    assert emptied is not None
    assert not any(emptied.data.values())
