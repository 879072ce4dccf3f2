"""No token, client secret or key in anything that leaves the room."""

import logging
import traceback
from dataclasses import replace

import pytest

from qbsync.kube.errors import Unavailable
from qbsync.quickbooks.oauth import TokenAnswer
from qbsync.tokens.errors import TokenUnavailable
from qbsync.tokens.keeper import Keeper
from unit.tokens.endpoint import (
    CLIENT,
    FALSE_INVALID_GRANT,
    GATEWAY_TIMEOUT_SPENT,
    LOST_UNSPENT,
    NOT_SENT,
    THROTTLED,
    Effect,
)
from unit.tokens.world import APP, FIRST, IMPORT, KEYS, NAMESPACE, World, requested

TALKATIVE = [
    NOT_SENT,
    LOST_UNSPENT,
    THROTTLED,
    FALSE_INVALID_GRANT,
    GATEWAY_TIMEOUT_SPENT,
    Effect(kind="status", status=400, body='{"error":"x","error_description":"Token invalid: TOKEN"}'),
    Effect(kind="status", status=401, body='{"error":"invalid_client"}', commit=False),
    Effect(kind="status", status=200, body='{"access_token": ""}'),
]


def _secrets(world: World) -> list[str]:
    key = KEYS["ENCRYPTION_MASTER_KEY"].removeprefix("base64:")
    return [FIRST, "RT-of-a-person", CLIENT[1], key, *world.endpoint.issued]


def _written(world: World, caplog: pytest.LogCaptureFixture, said: list[object]) -> str:
    lines = [f"{record.getMessage()} {record.__dict__} {record.exc_text}" for record in caplog.records]
    kept = world.secrets.peek(NAMESPACE, world.spec.tokens_secret_name)
    assert kept is not None
    meta = [str(kept.annotations), str(kept.labels), repr(kept), kept.data["envelope"].decode()]
    return "\n".join([*lines, *meta, *(repr(thing) + str(thing) for thing in said)])


async def _trouble(world: World, keeper: Keeper, effect: Effect) -> list[object]:
    said: list[object] = []
    world.endpoint.script.append(effect)
    source = keeper.token_source(world.spec)
    try:
        token = await source.token()
        said.append(token)
        await source.rejected(token)
    except TokenUnavailable as error:
        said += ["".join(traceback.format_exception(error)), error]
    spec, how = requested(world.spec, str(world.clock.now()))
    said.append(await keeper.ensure(spec, **how))
    await world.advance(minutes=11)
    said.append(await keeper.ensure(world.spec))
    session = keeper._sessions[world.spec.key]
    said += [session.grant, session.trouble, session.rejection, session.spent, keeper, source, session]
    return said


@pytest.mark.parametrize("effect", TALKATIVE)
async def test_nothing_is_written_that_must_not_be(effect: Effect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = World()
    keeper = await world.started()
    said = await _trouble(world, keeper, effect)
    written = _written(world, caplog, said)
    assert "qbsync.audit" in {record.name for record in caplog.records}
    assert [secret for secret in _secrets(world) if secret in written] == []


async def test_not_on_the_paths_of_store_and_import_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = World()
    keeper = await world.started()
    said: list[object] = []
    world.set_import(
        "RT-of-a-person", keys={"access_token": "AT-of-a-person", "expires_at": "2026-11-23T09:59:00Z"}
    )
    world.secrets.fail("replace", error=Unavailable("down"))
    spec, how = requested(world.spec, "1")
    said.append(await keeper.ensure(spec, **how))
    await world.advance(seconds=2)
    said.append(await keeper.ensure(spec, **how))
    world.secrets.put(replace(world.stored(), data={"envelope": b"v1.damaged"}))
    await world.advance(minutes=50)
    said += [
        await keeper.ensure(world.spec),
        world.secrets.peek(NAMESPACE, IMPORT),
        world.secrets.peek(NAMESPACE, APP),
    ]
    written = _written(world, caplog, said)
    assert [secret for secret in [*_secrets(world), "AT-of-a-person"] if secret in written] == []


async def test_an_unforeseen_error_is_told_by_kind_and_place_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = World()
    keeper = await world.started()
    await world.advance(hours=2)

    async def explode(**_: object) -> TokenAnswer:
        raise RuntimeError(f"could not parse {world.grant().refresh_token.get_secret_value()}")

    keeper._refresher._oauth.refresh = explode  # type: ignore[method-assign]
    health = await keeper.ensure(world.spec)
    assert "RuntimeError at test_secrecy.py" in health.message
    written = _written(world, caplog, [health])
    assert [secret for secret in _secrets(world) if secret in written] == []


async def test_audit_lines_have_a_stable_schema(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="qbsync.audit")
    world = World()
    keeper = await world.started()
    lines = [record for record in caplog.records if record.name == "qbsync.audit"]
    assert [line.__dict__["action"] for line in lines] == ["token.import", "token.scrub", "token.refresh"]
    refresh = lines[-1].__dict__
    expected = {
        "audit": True,
        "who": keeper._sessions[world.spec.key].holder,
        "outcome": "Refreshed",
        "namespace": NAMESPACE,
        "connection": "acme",
        "realm": world.spec.realm,
        "uid": world.spec.uid,
        "trigger": "Scheduled",
        "sequence": 2,
        "key_id": world.keyring.primary.kid,
        "intuit_tid": "1-5f733c5a-55d0ff60812923e8b22c622b",
    }
    assert {key: refresh[key] for key in expected} == expected
    assert refresh["stored_ms"] >= 0
