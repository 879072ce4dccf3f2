"""Token Secrets of connections that no longer exist, and never any other."""

from dataclasses import replace

from fakes.clock import FakeClock
from fakes.desk import FakeDesk, connection
from qbsync.tokens.purge import Fate, find_orphans, purge
from unit.tokens.stored import INTENT, TOKEN, binding, keys, put

KEYS = keys("o")


async def test_only_those_without_a_connection_are_found() -> None:
    desk, clock = FakeDesk(), FakeClock()
    for name in ("acme", "beta", "gone"):
        await put(desk, clock, KEYS, bound=binding(name))
    # Named by a connection, though its label is another's.
    await put(desk, clock, KEYS, bound=binding("renamed"), secret_name="chosen")
    desk.bodies = [connection("acme"), connection("beta", tokens={"secretName": "chosen"})]
    orphans = await find_orphans(desk)
    assert [orphan.where for orphan in orphans] == ["billing/gone-qbsync-tokens"]
    assert (orphans[0].connection, orphans[0].realm, orphans[0].environment) == (
        "gone",
        "9341453908123456",
        "Sandbox",
    )
    assert TOKEN not in repr(orphans)
    assert await purge(desk, orphans[0]) is Fate.DELETED
    assert desk.peek("billing", "gone-qbsync-tokens") is None
    assert desk.count("delete") == 1


async def test_a_connection_that_came_back_before_the_answer_keeps_its_grant() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, KEYS)
    orphans = await find_orphans(desk)
    desk.bodies = [connection()]
    assert await purge(desk, orphans[0]) is Fate.IN_USE
    assert desk.peek("billing", "acme-qbsync-tokens") is not None


async def test_what_was_written_since_it_was_listed_or_is_at_work_stays() -> None:
    desk, clock = FakeDesk(), FakeClock()
    await put(desk, clock, KEYS)
    orphans = await find_orphans(desk)
    desk.touch("billing", "acme-qbsync-tokens")
    assert await purge(desk, orphans[0]) is Fate.BUSY
    await put(desk, clock, KEYS, bound=binding("beta"), intent=INTENT)
    beta = next(orphan for orphan in await find_orphans(desk) if orphan.connection == "beta")
    assert await purge(desk, beta) is Fate.BUSY
    assert desk.peek("billing", "beta-qbsync-tokens") is not None
    assert (
        await purge(desk, replace(beta, secret=replace(beta.secret, name="x", annotations={}))) is Fate.GONE
    )
