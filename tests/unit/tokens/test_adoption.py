"""A grant moves to another name: at no moment do two connections hold it, and no crash loses it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.clock import FakeClock, settle
from fakes.desk import FakeDesk, connection
from qbsync.kube.errors import KubeError, Unavailable
from qbsync.tokens import envelope
from qbsync.tokens.adoption import Adopted, Adopter, Adoption, AdoptionRefused, Name
from qbsync.tokens.claim import INTENT as INTENT_ANNOTATION
from qbsync.tokens.grant import Grant, ImportMemory
from qbsync.tokens.schedule import Rejection
from unit.tokens.stored import INTENT, NOW, TOKEN, binding, grant, keys, put

KEYS = keys("n", "o")
OLD = keys("o")
SOURCE, TARGET = Name("billing", "acme"), Name("sales", "acme-two")
SOURCE_SECRET, TARGET_SECRET = ("billing", "acme-qbsync-tokens"), ("sales", "acme-two-qbsync-tokens")
MOVED = binding("acme-two", namespace="sales")


def adopter(desk: FakeDesk, clock: FakeClock, *, wait: timedelta = timedelta()) -> Adopter:
    return Adopter(desk=desk, keyring=KEYS, clock=clock, patience=timedelta(seconds=180), wait=wait)


async def adopt(desk: FakeDesk, clock: FakeClock, **more: bool) -> Adoption:
    return await adopter(desk, clock).adopt(SOURCE, TARGET, **more)


def at_target(desk: FakeDesk) -> Grant:
    secret = desk.peek(*TARGET_SECRET)
    assert secret is not None
    return envelope.open(secret.data["envelope"].decode(), binding=MOVED, keyring=KEYS)


async def test_it_moves_to_a_name_that_does_not_exist_yet() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD, rejection=Rejection(3, 2, NOW, "client"))
    done = await adopt(desk, clock)
    assert (done.what, done.waits_for_connection, done.refused_before) == (Adopted.MOVED, True, True)
    assert desk.peek(*SOURCE_SECRET) is None
    assert at_target(desk) == replace(grant(), sequence=4)
    secret = desk.peek(*TARGET_SECRET)
    assert secret is not None
    assert secret.labels["qbsync.dev/connection"] == "acme-two"
    assert INTENT_ANNOTATION not in secret.annotations
    assert '"sequence":4' in secret.annotations["qbsync.dev/refresh-refused"]
    assert TOKEN not in repr(done)


async def test_the_target_is_stored_before_the_source_goes_and_the_source_is_locked_meanwhile() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD)
    seen: list[str] = []

    async def look(verb: str, name: str) -> None:
        if verb in {"create", "delete"}:
            source = desk.peek(*SOURCE_SECRET)
            assert source is not None
            assert "adopt-" in source.annotations[INTENT_ANNOTATION]
            seen.append(f"{verb} {desk.peek(*TARGET_SECRET) is not None}")

    desk.before = look
    await adopt(desk, clock)
    assert seen == ["create False", "delete True"]


async def test_an_existing_connection_is_never_taken_from() -> None:
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OLD)
    desk.bodies = [connection()]
    with pytest.raises(AdoptionRefused, match="two connections must not use one grant: delete it first"):
        await adopt(desk, clock)
    desk.bodies = [connection(deletionPolicy="Revoke")]
    with pytest.raises(AdoptionRefused, match="set Retain first"):
        await adopt(desk, clock)
    assert desk.peek(*SOURCE_SECRET) == before


async def test_one_that_comes_back_while_it_moves_gets_its_grant_back() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD)

    async def restore(verb: str, name: str) -> None:
        if verb == "replace":
            desk.bodies = [connection()]

    desk.after = restore
    with pytest.raises(AdoptionRefused):
        await adopt(desk, clock)
    source = desk.peek(*SOURCE_SECRET)
    assert source is not None
    assert INTENT_ANNOTATION not in source.annotations
    assert desk.peek(*TARGET_SECRET) is None


async def test_a_connection_for_another_company_environment_or_endpoint_is_refused() -> None:
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OLD)
    for body in (
        connection("acme-two", namespace="sales", realm="1"),
        connection("acme-two", namespace="sales", environment="Production"),
    ):
        desk.bodies = [body]
        with pytest.raises(AdoptionRefused, match="must be the same"):
            await adopt(desk, clock)
    assert desk.peek(*SOURCE_SECRET) == before


async def test_a_target_that_was_further_does_not_take_it_for_a_restored_backup() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD)
    desk.bodies = [connection("acme-two", namespace="sales", sequence=40)]
    done = await adopt(desk, clock)
    assert not done.waits_for_connection
    assert at_target(desk).sequence == 41


async def test_a_grant_of_the_targets_own_is_given_up_only_when_told_to() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD)
    own = grant(memory=ImportMemory(b"other" * 7), sequence=9)
    await put(desk, clock, OLD, bound=MOVED, stored=own)
    with pytest.raises(AdoptionRefused, match="--replace"):
        await adopt(desk, clock)
    assert at_target(desk) == own
    await adopt(desk, clock, replace_grant=True)
    assert at_target(desk) == replace(grant(), sequence=10)


async def test_a_dry_run_writes_nothing() -> None:
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OLD)
    assert (await adopt(desk, clock, dry_run=True)).what is Adopted.WOULD_MOVE
    assert desk.peek(*SOURCE_SECRET) == before
    assert desk.peek(*TARGET_SECRET) is None


async def test_a_refresh_under_way_is_refused_or_waited_for() -> None:
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OLD, intent=INTENT)
    with pytest.raises(AdoptionRefused, match="under way"):
        await adopt(desk, clock)
    assert desk.peek(*SOURCE_SECRET) == before
    work = asyncio.ensure_future(adopter(desk, clock, wait=timedelta(seconds=200)).adopt(SOURCE, TARGET))
    await settle()
    await clock.advance(timedelta(seconds=179))
    assert desk.peek(*SOURCE_SECRET) == before
    await clock.advance(timedelta(seconds=2))
    assert (await work).what is Adopted.MOVED


@pytest.mark.parametrize("verb", ["get", "replace", "create", "delete"])
@pytest.mark.parametrize("applied", [False, True])
async def test_cut_off_anywhere_the_next_run_ends_it_with_one_grant(verb: str, *, applied: bool) -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD)
    # From then on the process reaches nothing any more, as if it were killed.
    desk.fail(verb, applied=applied)

    async def dead(later: str, name: str) -> None:
        if verb in [called for called, _ in desk.calls[:-1]]:
            desk.outage = Unavailable("gone")

    desk.before = dead
    with pytest.raises(KubeError):
        await adopt(desk, clock)
    desk.before = desk.outage = None
    assert desk.peek(*SOURCE_SECRET) is not None or desk.peek(*TARGET_SECRET) is not None
    if desk.peek(*SOURCE_SECRET) is not None:
        await adopt(desk, clock)
    assert desk.peek(*SOURCE_SECRET) is None
    assert at_target(desk).refresh_token.get_secret_value() == TOKEN


async def test_what_cannot_be_found_or_opened_is_said() -> None:
    desk, clock = FakeDesk(), FakeClock()
    with pytest.raises(AdoptionRefused, match="no token Secret"):
        await adopt(desk, clock)
    with pytest.raises(AdoptionRefused, match="same connection"):
        await adopter(desk, clock).adopt(SOURCE, SOURCE)
    await put(desk, clock, keys("x"))
    with pytest.raises(AdoptionRefused, match="add that key"):
        await adopt(desk, clock)
    await put(desk, clock, OLD, secret_name="second")
    with pytest.raises(AdoptionRefused, match="--from-secret"):
        await adopt(desk, clock)
    done = await adopter(desk, clock).adopt(SOURCE, TARGET, source_secret="second")
    assert done.source == "billing/second"
