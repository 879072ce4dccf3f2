"""Re-encryption to the primary key: nothing but the key changes, and nobody at work is disturbed."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.clock import FakeClock, settle
from fakes.desk import FakeDesk, connection
from qbsync.kube.errors import Unavailable
from qbsync.kube.secrets import Secret
from qbsync.tokens import envelope
from qbsync.tokens.claim import INTENT as INTENT_ANNOTATION
from qbsync.tokens.custody import owner_of
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.rewrap import Outcome, Rewrapped, Rewrapper
from qbsync.tokens.schedule import Rejection
from unit.tokens.stored import INTENT, NOW, TOKEN, binding, grant, keys, put

OLD, BOTH, OTHER = keys("o"), keys("n", "o"), keys("x")
NO_WAIT = timedelta()


def rewrapper(
    desk: FakeDesk, clock: FakeClock, keyring: Keyring = BOTH, *, dry_run: bool = False
) -> Rewrapper:
    return Rewrapper(
        secrets=desk,
        owners=[owner_of(body) for body in desk.bodies],
        keyring=keyring,
        clock=clock,
        patience=timedelta(seconds=180),
        dry_run=dry_run,
    )


async def run(desk: FakeDesk, clock: FakeClock, **more: bool) -> dict[str, Rewrapped]:
    found = await desk.secrets_of_type("qbsync.dev/tokens")
    return {one.name: one for one in await rewrapper(desk, clock, **more).run(found, wait=NO_WAIT)}


def stored(desk: FakeDesk, name: str = "acme-qbsync-tokens") -> Secret:
    secret = desk.peek("billing", name)
    assert secret is not None
    return secret


async def test_only_the_key_changes_and_a_second_run_changes_nothing() -> None:
    desk, clock = FakeDesk(), FakeClock()
    desk.bodies = [connection()]
    before = await put(desk, clock, OLD, rejection=Rejection(3, 2, NOW, "client"))
    result = await run(desk, clock)
    assert result["acme-qbsync-tokens"].outcome is Outcome.REWRAPPED
    assert result["acme-qbsync-tokens"].was == OLD.primary.kid
    after = stored(desk)
    text = after.data["envelope"].decode()
    assert envelope.kid_of(text) == BOTH.primary.kid
    assert envelope.open(text, binding=binding(), keyring=keys("n")) == grant()
    assert replace(after, data={}, resource_version="") == replace(before, data={}, resource_version="")

    again = await run(desk, clock)
    assert again["acme-qbsync-tokens"].outcome is Outcome.CURRENT
    assert stored(desk) == after


async def test_a_dry_run_writes_nothing() -> None:
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OLD)
    result = await run(desk, clock, dry_run=True)
    assert result["acme-qbsync-tokens"].outcome is Outcome.WOULD_REWRAP
    assert stored(desk) == before


async def test_whoever_writes_in_between_wins() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD)
    newer = grant(sequence=4)
    raced = False

    async def race(verb: str, name: str) -> None:
        nonlocal raced
        if verb == "replace" and not raced:
            raced = True
            text = envelope.seal(newer, binding=binding(), keyring=OLD)
            desk.put(replace(stored(desk), data={"envelope": text.encode()}))

    desk.before = race
    assert (await run(desk, clock))["acme-qbsync-tokens"].outcome is Outcome.REWRAPPED
    assert desk.count("replace") == 2
    text = stored(desk).data["envelope"].decode()
    assert envelope.open(text, binding=binding(), keyring=keys("n")) == newer


async def test_an_open_intent_is_left_alone_until_it_closes() -> None:
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OLD, intent=INTENT)
    busy = (await run(desk, clock))["acme-qbsync-tokens"]
    assert busy.outcome is Outcome.BUSY
    assert "refresh is under way" in busy.message
    assert stored(desk) == before

    work = asyncio.ensure_future(rewrapper(desk, clock).run([before], wait=timedelta(seconds=200)))
    await settle()
    await clock.advance(timedelta(seconds=30))
    assert not work.done()
    assert stored(desk) == before
    annotations = {key: value for key, value in before.annotations.items() if key != INTENT_ANNOTATION}
    desk.put(replace(before, annotations=annotations))
    await clock.advance(timedelta(seconds=2))
    await settle()
    assert [one.outcome for one in await work] == [Outcome.REWRAPPED]


async def test_an_intent_that_stood_still_for_as_long_as_an_operator_waits_is_kept_but_not_waited_for() -> (
    None
):
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OLD, intent=INTENT)
    work = asyncio.ensure_future(rewrapper(desk, clock).run([before], wait=timedelta(seconds=200)))
    await settle()
    await clock.advance(timedelta(seconds=179))
    assert stored(desk) == before
    await clock.advance(timedelta(seconds=2))
    assert [one.outcome for one in await work] == [Outcome.REWRAPPED]
    assert stored(desk).annotations == before.annotations


async def test_what_does_not_open_is_said_and_stays() -> None:
    desk, clock = FakeDesk(), FakeClock()
    before = await put(desk, clock, OTHER)
    await put(desk, clock, OLD, bound=binding("beta"))
    result = await run(desk, clock)
    assert result["acme-qbsync-tokens"].outcome is Outcome.DOES_NOT_OPEN
    assert OTHER.primary.kid in result["acme-qbsync-tokens"].message
    assert stored(desk) == before
    assert result["beta-qbsync-tokens"].outcome is Outcome.REWRAPPED
    assert TOKEN not in repr(result)


async def test_a_secret_that_vanished_or_is_empty() -> None:
    desk, clock = FakeDesk(), FakeClock()
    gone = await put(desk, clock, OLD)
    await desk.delete(gone)
    desk.put(Secret("billing", "empty", type="qbsync.dev/tokens", labels={"qbsync.dev/connection": "e"}))
    found = [gone, *await desk.secrets_of_type("qbsync.dev/tokens")]
    results = await rewrapper(desk, clock).run(found, wait=NO_WAIT)
    assert [one.outcome for one in results] == [Outcome.GONE, Outcome.CURRENT]


async def test_an_api_server_that_fails_is_not_taken_for_a_result() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, OLD)
    desk.fail("replace")
    with pytest.raises(Unavailable):
        await run(desk, clock)
