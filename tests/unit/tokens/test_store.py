"""The Secret's own rules: versions, annotations, what is somebody else's."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from qbsync.kube.errors import Conflict, NotFound, Unavailable
from qbsync.tokens.claim import Intent
from qbsync.tokens.errors import DamagedEnvelope, SecretConflict
from qbsync.tokens.grant import Grant, ImportMemory
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.store import BOUND_TO, Draft, Stored, TokenStore, dump_binding
from unit.tokens.world import NAMESPACE, TOKENS, World

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
GRANT = Grant(SecretStr("RT"), 1, "uid", ImportMemory(b"k" * 32), NOW)
INTENT = Intent("holder", "nonce", 1, 1, "time")
REJECTION = Rejection(1, 3, NOW, "client")


def _store(world: World) -> TokenStore:
    return TokenStore(secrets=world.secrets, keyring=world.keyring, clock=world.clock)


async def test_nothing_there() -> None:
    world = World()
    assert await _store(world).read(world.spec) == Stored()


async def test_written_and_read_back() -> None:
    world = World()
    store = _store(world)
    draft = Draft(GRANT, INTENT, REJECTION)
    written = await store.write(world.spec, Stored(), draft)
    assert await store.read(world.spec) == written
    assert (written.grant, written.intent, written.rejection) == (GRANT, INTENT, REJECTION)
    assert written.kid == world.keyring.primary.kid


async def test_annotations_are_taken_away_and_an_unchanged_grant_is_not_sealed_anew() -> None:
    world = World()
    store = _store(world)
    written = await store.write(world.spec, Stored(), Draft(GRANT, INTENT, REJECTION))
    before = world.stored().data
    bare = await store.write(world.spec, written, Draft(GRANT))
    assert world.stored().annotations == {BOUND_TO: dump_binding(world.spec.binding)}
    assert world.stored().data == before
    await store.write(world.spec, bare, Draft(replace(GRANT, sequence=2)))
    assert world.stored().data != before


async def test_only_the_version_that_was_read_is_replaced() -> None:
    world = World()
    store = _store(world)
    written = await store.write(world.spec, Stored(), Draft(GRANT))
    world.secrets.touch(NAMESPACE, TOKENS)
    with pytest.raises(Conflict):
        await store.write(world.spec, written, Draft(GRANT))
    with pytest.raises(Conflict):
        await store.write(world.spec, Stored(), Draft(GRANT))
    world.secrets.delete(NAMESPACE, TOKENS)
    with pytest.raises(NotFound):
        await store.write(world.spec, written, Draft(GRANT))


async def test_long_names_and_their_labels() -> None:
    world = World()
    spec = replace(world.spec, name="a" * 200)
    await _store(world).write(spec, Stored(), Draft(GRANT))
    assert len(world.stored().labels["qbsync.dev/connection"]) <= 63
    assert (await _store(world).read(spec)).grant == GRANT
    with pytest.raises(SecretConflict):
        await _store(world).read(replace(spec, name="a" * 199))


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"v1.x", b"v2.00000000.a.b.c"])
async def test_what_is_no_envelope_does_not_open(raw: bytes) -> None:
    world = World()
    store = _store(world)
    await store.write(world.spec, Stored(), Draft(GRANT))
    world.secrets.put(replace(world.stored(), data={"envelope": raw}))
    stored = await store.read(world.spec)
    assert isinstance(stored.unopened, DamagedEnvelope)
    assert stored.grant is None


async def test_an_empty_secret_of_ours_holds_no_grant() -> None:
    world = World()
    store = _store(world)
    await store.write(world.spec, Stored(), Draft(GRANT))
    world.secrets.put(replace(world.stored(), data={}))
    stored = await store.read(world.spec)
    assert (stored.grant, stored.unopened) == (None, None)
    assert (await store.write(world.spec, stored, Draft(GRANT))).grant == GRANT


@pytest.mark.parametrize("text", ["", "x", "{}", '{"sequence":1,"count":1,"time":"x","client":""}'])
async def test_an_unreadable_refusal_is_none(text: str) -> None:
    world = World()
    store = _store(world)
    await store.write(world.spec, Stored(), Draft(GRANT, rejection=REJECTION))
    world.secrets.put(replace(world.stored(), annotations={"qbsync.dev/refresh-refused": text}))
    assert (await store.read(world.spec)).rejection is None


@pytest.mark.parametrize("there", [True, False])
async def test_a_mark_tells_as_well_as_a_whole_write_whether_secrets_can_be_written(there: bool) -> None:
    world = World()
    store = _store(world)
    stored = await store.write(world.spec, Stored(), Draft(GRANT)) if there else Stored()
    world.secrets.fail("create", "replace")
    with pytest.raises(Unavailable):
        await store.mark(world.spec, stored, intent=INTENT, notes={})
    await world.advance(seconds=61)
    assert store.unwritable_for == timedelta(seconds=61)
    await store.mark(world.spec, stored, intent=INTENT, notes={})
    assert store.unwritable_for == timedelta()
