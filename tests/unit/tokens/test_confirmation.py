"""A process dies while it reads the company of a new grant: the next one reads it before the grant is used."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from qbsync.quickbooks.errors import AccessLost, QuickBooksError, ServerFailure, Unauthorized, WrongRealm
from qbsync.tokens.health import GrantHealth, RefreshOutcome
from qbsync.tokens.spec import GrantSpec
from unit.tokens.world import World, events, outcomes, requested

Inspect = Callable[[GrantSpec, SecretStr], Awaitable[None]]


async def dead_in_the_read(folder: Path, *, ours: bool) -> tuple[World, list[str]]:
    """A world in which a process died with an unread answer; and the tokens that were used for reading."""
    world, reading, read = World(), asyncio.Event(), list[str]()

    async def inspect(_: GrantSpec, access: SecretStr) -> None:
        read.append(access.get_secret_value())
        reading.set()
        await asyncio.Event().wait()

    keeper = await world.started(spool=folder, inspect=inspect)
    world.hand_over(world.endpoint.consent(ours=ours))
    spec, how = requested(world.spec, "connect")
    doomed = asyncio.ensure_future(keeper.ensure(spec, **how))
    await asyncio.wait_for(reading.wait(), 5)
    for task in (doomed, *keeper._flights):
        task.cancel()
    await asyncio.gather(doomed, *keeper._flights, return_exceptions=True)
    return world, read


def answering(error: Exception | None, read: list[str]) -> Inspect:
    async def inspect(_: GrantSpec, access: SecretStr) -> None:
        read.append(access.get_secret_value())
        if error is not None:
            raise error

    return inspect


async def succeeded(world: World, folder: Path, inspect: Inspect) -> GrantHealth:
    """What the next process says, once it was asked for a token."""
    return await world.run(world.keeper(spool=folder, inspect=inspect).ensure(world.spec))


@pytest.mark.parametrize("error", [WrongRealm("of another company", status=403), AccessLost("no admin")])
async def test_of_another_company_it_is_ended_and_the_old_grant_goes_on(
    tmp_path: Path, error: QuickBooksError
) -> None:
    world, read = await dead_in_the_read(tmp_path, ours=False)
    (elsewhere,) = world.endpoint.elsewhere
    health = await succeeded(world, tmp_path, answering(error, read))
    assert len(set(read)) == 1
    assert len(read) == 2
    assert health.usable
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current != elsewhere
    assert world.endpoint.elsewhere == set()
    assert "RealmMismatch" in events(health)
    assert outcomes(health)[-1] is RefreshOutcome.REFUSED
    assert world.code_secret() is None
    assert not world.grant().unconfirmed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [None, ServerFailure("503"), Unauthorized("ended"), RuntimeError("ours")])
async def test_else_the_new_grant_is_kept_and_the_person_is_told(
    tmp_path: Path, error: Exception | None
) -> None:
    world, read = await dead_in_the_read(tmp_path, ours=True)
    health = await succeeded(world, tmp_path, answering(error, read))
    grant = world.grant()
    assert grant.refresh_token.get_secret_value() == world.endpoint.current
    assert grant.refresh_token.get_secret_value().endswith("consented")
    assert (grant.unconfirmed, grant.standby) == (False, None)
    assert health.usable
    assert outcomes(health)[-1] is RefreshOutcome.CONNECTED


async def test_what_lay_in_the_spool_for_long_is_kept_unread(tmp_path: Path) -> None:
    """Its access token has ended: a 401 would say nothing."""
    world, read = await dead_in_the_read(tmp_path, ours=True)
    await world.advance(hours=2)
    health = await succeeded(world, tmp_path, answering(WrongRealm("never asked"), read))
    assert len(read) == 1
    assert health.usable
    assert world.sent()[-1] == world.endpoint.issued[-3], "the new grant's token, refreshed since"
