"""The spool directory: what lies in it, who reads it, and what becomes of it."""

import asyncio
import json
import logging
import random
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from fakes.clock import settle
from qbsync.api.reasons import ConnectionReason
from qbsync.kube.errors import Conflict, Forbidden, Unavailable
from qbsync.tokens.health import GrantHealth
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spool import Recovery, Spool, SpooledAnswer, parse
from qbsync.tokens.store import TokenStore
from unit.tokens.world import NAMESPACE, TOKENS, World, events, requested

DOWN = Unavailable("no answer")
OTHER_KEY = {"ENCRYPTION_MASTER_KEY": "base64:" + "B" * 43 + "="}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def _asked(world: World, folder: Path) -> tuple[Keeper, "asyncio.Task[GrantHealth]"]:
    """A process that has got an answer which it cannot store."""
    keeper = await world.started(spool=folder)
    await world.advance(minutes=30)

    async def go_down(verb: str, name: str) -> None:
        if len(world.sent()) == 2:
            world.secrets.outage = DOWN

    world.secrets.before = go_down
    task = asyncio.ensure_future(keeper.ensure(world.spec))
    await settle(60)
    assert len(world.sent()) == 2
    return keeper, task


async def _killed(world: World, folder: Path) -> None:
    """A process died between the answer and the Secret; the API server is well again."""
    keeper, task = await _asked(world, folder)
    for doomed in (task, *keeper._flights):
        doomed.cancel()
    await settle()
    world.secrets.before = world.secrets.outage = None


def _recovery(world: World, folder: Path, *, keyring: Keyring | None = None) -> Recovery:
    store = TokenStore(secrets=world.secrets, keyring=keyring or world.keyring, clock=world.clock)
    return Recovery(spool=Spool(folder), store=store, clock=world.clock, rng=random.Random(1))


async def test_nothing_stays_in_it_when_all_is_well(tmp_path: Path) -> None:
    world = World()
    await world.started(spool=tmp_path)
    assert _files(tmp_path) == []
    assert stat.S_IMODE(tmp_path.stat().st_mode) & 0o700 == 0o700


async def test_an_answer_lies_there_encrypted_and_for_us_only_until_it_is_stored(tmp_path: Path) -> None:
    world = World()
    folder = tmp_path / "made" / "when needed"
    keeper, task = await _asked(world, folder)
    (file,) = _files(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    text = file.read_text()
    assert not [token for token in world.endpoint.issued if token in text]
    assert json.loads(text)["connection"] == "acme"
    health = await task
    assert health.reason is ConnectionReason.STORE_FAILING
    world.secrets.before = world.secrets.outage = None
    await world.advance(seconds=20)
    await keeper.drain()
    assert _files(folder) == []
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current


async def test_killed_before_the_secret_was_written_the_next_process_stores_it(tmp_path: Path) -> None:
    world = World()
    await _killed(world, tmp_path)
    assert len(_files(tmp_path)) == 1
    successor = world.keeper(spool=tmp_path)
    health = await successor.ensure(world.spec)
    assert (health.usable, health.sequence, len(world.sent())) == (True, 3, 2)
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    assert (world.intent(), _files(tmp_path)) == (None, [])
    assert world.endpoint.refusals == 0
    spec, how = requested(world.spec, "again")
    assert (await successor.ensure(spec, **how)).handled


async def test_a_standby_stores_it_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its token is spent: whoever leads now must not go on with the older one."""
    caplog.set_level(logging.INFO, logger="qbsync.audit")
    world = World()
    await _killed(world, tmp_path)
    recovery = _recovery(world, tmp_path)
    world.secrets.fail("get", times=2)
    running = asyncio.ensure_future(recovery.run())
    await world.advance(seconds=60)
    await running
    assert (recovery.waiting, _files(tmp_path)) == (0, [])
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    (line,) = [r for r in caplog.records if r.__dict__.get("action") == "token.recover"]
    assert (line.__dict__["outcome"], line.__dict__["sequence"]) == ("Stored", 3)
    # A leader that had waited for the dead process's intent goes on with it.
    assert (await world.keeper().ensure(world.spec)).sequence == 3


async def test_the_older_token_is_not_spent_while_the_spooled_one_cannot_be_stored(tmp_path: Path) -> None:
    world = World()
    await _killed(world, tmp_path)
    await world.advance(hours=2)
    successor = world.keeper(spool=tmp_path)
    world.secrets.fail("replace", error=Forbidden("no", status=403), times=10)
    for _ in range(5):
        health = await successor.ensure(world.spec)
        assert health.reason is ConnectionReason.STORE_FAILING
        await world.until(health.next_due)
    assert len(world.sent()) == 2
    world.secrets._faults.clear()
    await world.until(health.next_due)
    assert (await successor.ensure(world.spec)).usable
    assert world.endpoint.refusals == 0


async def test_conflicts_while_it_is_stored(tmp_path: Path) -> None:
    world = World()
    await _killed(world, tmp_path)
    world.secrets.fail("replace", error=Conflict("again", status=409), times=3)
    assert (await world.keeper(spool=tmp_path).ensure(world.spec)).sequence == 3


async def test_of_a_deleted_secret_the_leader_makes_a_new_one_and_a_standby_does_not(tmp_path: Path) -> None:
    world = World()
    await _killed(world, tmp_path)
    world.secrets.delete(NAMESPACE, TOKENS)
    await _recovery(world, tmp_path).run()
    assert world.secrets.peek(NAMESPACE, TOKENS) is None
    assert len(_files(tmp_path)) == 1
    assert (await world.keeper(spool=tmp_path).ensure(world.spec)).usable
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current


async def test_what_was_stored_since_is_newer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="qbsync.audit")
    world = World()
    await _killed(world, tmp_path)
    world.rewrite(sequence=7, refresh_token=SecretStr("RT-of-a-person"))
    await _recovery(world, tmp_path).run()
    assert world.grant().refresh_token.get_secret_value() == "RT-of-a-person"
    assert _files(tmp_path) == []
    assert "Superseded" in {record.__dict__.get("outcome") for record in caplog.records}


async def test_a_refusal_of_the_older_token_meanwhile_is_forgotten(tmp_path: Path) -> None:
    """Another process without this directory took the intent for abandoned."""
    world = World()
    world.endpoint.reuse_revokes = False
    await _killed(world, tmp_path)
    other = world.keeper()
    await other.ensure(world.spec)
    await world.advance(seconds=185)
    assert "invalid_grant" in (await other.ensure(world.spec)).message
    await _recovery(world, tmp_path).run()
    await world.advance(seconds=30)
    health = await other.ensure(world.spec)
    assert (health.authorized.status, health.usable) == (True, True)


async def test_with_the_wrong_key_nothing_is_spent_or_removed(tmp_path: Path) -> None:
    world = World()
    await _killed(world, tmp_path)
    both = Keyring([world.keyring.primary, Keyring.from_environment(OTHER_KEY).primary])
    sealed = Keyring([both._keys[1], both._keys[0]])
    (file,) = _files(tmp_path)
    answer = parse(file.read_bytes())
    fresh = TokenStore(secrets=world.secrets, keyring=both, clock=world.clock).open(
        answer.place, answer.envelope
    )
    other = TokenStore(secrets=world.secrets, keyring=sealed, clock=world.clock).seal(answer.place, fresh)
    file.write_bytes(replace(answer, envelope=other).dump())
    await _recovery(world, tmp_path).run()
    await world.advance(hours=2)
    health = await world.keeper(spool=tmp_path).ensure(world.spec)
    assert health.reason is ConnectionReason.DECRYPTION_FAILED
    assert sealed.primary.kid in health.message
    assert (len(world.sent()), _files(tmp_path)) == (2, [file])
    assert (await world.keeper(spool=tmp_path, keyring=both).ensure(world.spec)).usable
    assert world.endpoint.refusals == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{}", b'{"format": 2}', b'{"format": 1}'])
async def test_foreign_files_are_reported_and_left(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    await _killed(world, tmp_path)
    for name in ("README", "0.answer"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "dead.part-7").write_bytes(b"half of an ans")
    (tmp_path / "lost+found").mkdir()
    assert (await world.keeper(spool=tmp_path).ensure(world.spec)).sequence == 3
    assert {path.name for path in _files(tmp_path)} == {"README", "0.answer", "dead.part-7", "lost+found"}
    reported = [record.getMessage() for record in caplog.records if "not an answer" in record.getMessage()]
    assert [text.split()[0] for text in reported] == ["0.answer", "README"]


async def test_a_damaged_envelope_is_reported_left_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    await _killed(world, tmp_path)
    (file,) = _files(tmp_path)
    answer = parse(file.read_bytes())
    file.write_bytes(replace(answer, envelope=answer.envelope[:-4] + "AAAA").dump())
    assert (await world.keeper(spool=tmp_path).ensure(world.spec)).usable
    assert _files(tmp_path) == [file]
    assert file.name in caplog.text


async def test_a_directory_that_cannot_be_used_is_said_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    file = tmp_path / "file"
    file.write_text("")
    keeper = await world.started(spool=file)
    await world.advance(minutes=30)
    assert (await keeper.ensure(world.spec)).sequence == 3
    assert "--spool-dir" in caplog.text


async def test_the_last_act_says_what_it_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="qbsync.audit")
    world = World()
    keeper, task = await _asked(world, tmp_path)
    await task
    assert keeper.give_up() == 1
    (line,) = [r for r in caplog.records if r.__dict__.get("action") == "token.spool"]
    assert (line.__dict__["connection"], line.__dict__["outcome"]) == ("acme", "Spooled")
    assert parse(_files(tmp_path)[0].read_bytes()).place.realm == world.spec.realm
    world.secrets.before = world.secrets.outage = None
    await world.advance(seconds=20)
    assert keeper.give_up() == 0


async def test_without_a_directory_nothing_is_kept(tmp_path: Path) -> None:
    world = World()
    keeper, task = await _asked(world, tmp_path)
    (answer,) = [parse(path.read_bytes()) for path in _files(tmp_path)]
    await task
    spool = Spool(None)
    spool.keep(answer)
    assert (spool.sync(), list(spool.scan())) == ((), [])
    assert "envelope" not in repr(answer)
    world.secrets.before = world.secrets.outage = None
    await world.advance(seconds=20)
    await keeper.drain()


async def test_another_connection_of_that_name_does_not_get_it(tmp_path: Path) -> None:
    """Deleted and made anew for another company: the answer belongs to a Secret of the old one."""
    world = World()
    await _killed(world, tmp_path)
    world.secrets.delete(NAMESPACE, TOKENS)
    world.spec = replace(world.spec, realm="1", uid="another")
    world.endpoint.reissue()
    world.set_import(world.endpoint.current)
    keeper = world.keeper(spool=tmp_path)
    assert "TokensImported" in events(await keeper.ensure(world.spec))
    assert len(_files(tmp_path)) == 1


async def test_unwritable_is_counted_from_the_first_failure_until_any_write_succeeds() -> None:
    world = World()
    keeper = await world.started()
    await world.advance(minutes=30)
    world.secrets.fail("replace", error=Forbidden("no", status=403), times=1)
    health = await keeper.ensure(world.spec)
    await world.advance(seconds=0.1)
    assert keeper.unwritable_for == timedelta(seconds=0.1)
    await world.until(health.next_due)
    await keeper.ensure(world.spec)
    assert keeper.unwritable_for == timedelta()


async def test_of_two_left_by_two_processes_the_later_claim_counts(tmp_path: Path) -> None:
    """Order in the directory is by name, which says nothing."""
    world = World()
    await _killed(world, tmp_path)
    (file,) = _files(tmp_path)
    answer = parse(file.read_bytes())
    store = TokenStore(secrets=world.secrets, keyring=world.keyring, clock=world.clock)
    older = replace(store.open(answer.place, answer.envelope), claim=answer.intent.claim - 1)
    older = replace(older, refresh_token=SecretStr("RT-older"))
    for nonce in "abc":
        intent = replace(answer.intent, claim=answer.intent.claim - 1, nonce=nonce)
        other = SpooledAnswer(answer.place, intent, store.seal(answer.place, older))
        (tmp_path / other.file_name).write_bytes(other.dump())
    await _recovery(world, tmp_path).run()
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current
    assert _files(tmp_path) == []
