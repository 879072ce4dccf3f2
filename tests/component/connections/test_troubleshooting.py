"""What a person meets, made to happen: the condition names it, and docs/troubleshooting.md has a section for it.

One row per case. The section has to hold the reason, and the words of the message that the row looks for.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from component.connections.test_connection import KEYS, Scene, ready
from fixtures.simulator_server import RunningSimulator
from qbsync.engine.breaker import CircuitState, Endpoint
from qbsync.engine.keys import Company
from qbsync.kube.errors import Forbidden
from qbsync.kube.secrets import Secret
from qbsync.tokens.claim import Intent
from qbsync.tokens.keyring import Keyring

PAGE = Path(__file__).resolve().parents[3] / "docs" / "troubleshooting.md"
TOKENS = "acme-qbsync-tokens"
OTHER_KEYS = Keyring.from_environment({"ENCRYPTION_MASTER_KEY": "base64:" + "QkJC" * 10 + "QkI="})

NOT_REFRESHED = "A token is not refreshed"
STALLED = "Nothing is refreshed although the pod runs"
RECONNECT = "A company has to be connected again"
WRONG_COMPANY = "Wrong company or environment"
WRONG_KEYS = "Sandbox keys against production"
ENCRYPTION = "The encryption key is missing, wrong or changed"

Status = dict[str, Any]


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator() as started:
        yield started


@pytest.fixture
async def scene(simulator: RunningSimulator) -> AsyncIterator[Scene]:
    simulator.reset()
    made = Scene(simulator)
    yield made
    await made.keeper.drain()
    await made.transport.aclose()


# -- how each case comes about -----------------------------------------------------------------------------


async def connected(scene: Scene) -> Scene:
    """A connection that works."""
    scene.apply()
    assert ready(await scene.look())[:2] == ("True", "TokenFresh")
    return scene


async def refreshing(scene: Scene, *, seconds: float = 2400) -> Status:
    """Later, when the token is due; an hour or more, and it has ended."""
    scene.clock.forward += seconds
    scene.simulator.advance(seconds)
    return await scene.look()


def intuit_fails(scene: Scene) -> None:
    scene.simulator.fault({"operation": "refresh"}, {"status": 503}, times=None)


def disconnect(scene: Scene) -> None:
    """The company's administrator takes the app away in QuickBooks."""
    for grant in scene.simulator.get("/_simulator/grants")["grants"]:
        scene.simulator.post(f"/_simulator/grants/{grant['number']}/revoke")


def token_secret(scene: Scene) -> Secret:
    found = scene.secrets.peek("ns", TOKENS)
    assert found is not None
    return found


async def refresh_fails(scene: Scene) -> Status:
    intuit_fails(await connected(scene))
    return await refreshing(scene)


async def refresh_fails_too_long(scene: Scene) -> Status:
    intuit_fails(await connected(scene))
    return await refreshing(scene, seconds=4000)


async def refresh_fails_again_and_again(scene: Scene) -> Status:
    await connected(scene)
    scene.clock.forward += 4000
    breaker = scene.circuits.of(Company("ns", "acme"), Endpoint.TOKEN)
    while breaker.state is CircuitState.CLOSED:
        with breaker.call() as call:
            call.failed = True
    return await scene.look()


async def another_process_refreshes(scene: Scene) -> Status:
    secret = token_secret(await connected(scene))
    intent = Intent("another", "nonce", sequence=1, claim=9, time="2026-11-23T09:00:00Z")
    annotations = {**secret.annotations, "qbsync.dev/refresh-intent": intent.dump()}
    scene.secrets.put(replace(secret, annotations=annotations))
    return await refreshing(scene, seconds=4000)


async def client_secret_is_gone(scene: Scene) -> Status:
    await connected(scene)
    scene.secrets.delete("ns", "app")
    return await refreshing(scene, seconds=4000)


async def answer_cannot_be_stored(scene: Scene) -> Status:
    await connected(scene)

    async def refuse(verb: str, _: str) -> None:
        if verb == "replace" and scene.simulator.counters()["refreshes"] > 1:
            raise Forbidden("not allowed", status=403)

    scene.secrets.before = refuse
    status = await refreshing(scene)
    scene.secrets.before = None
    return status


async def leadership_is_lost(scene: Scene) -> Status:
    await connected(scene)
    scene.fence.leads = False
    return await refreshing(scene, seconds=4000)


async def secrets_cannot_be_read(scene: Scene) -> Status:
    scene.apply()
    scene.secrets.outage = Forbidden("not allowed", status=403)
    return await scene.look()


async def nobody_connected_it(scene: Scene) -> Status:
    scene.apply()
    scene.secrets.delete("ns", "acme-import")
    body = next(iter(scene.objects.objects.values()))
    del body["spec"]["importTokensFrom"]
    return await scene.look()


async def disconnected_in_quickbooks(scene: Scene) -> Status:
    disconnect(await connected(scene))
    await refreshing(scene, seconds=4000)
    return await refreshing(scene, seconds=700)


async def used_elsewhere(scene: Scene) -> Status:
    scene.apply()
    disconnect(scene)
    await scene.look()
    return await refreshing(scene, seconds=700)


async def access_taken_away(scene: Scene) -> Status:
    await connected(scene)
    scene.simulator.fault({"operation": "read"}, {"status": 401, "fault": {"code": "120"}}, times=None)
    scene.annotate("now")
    return await scene.look()


async def another_company(scene: Scene) -> Status:
    scene.apply(realm=scene.simulator.realm())
    return await scene.look()


async def sandbox_keys_of_a_production_company(scene: Scene) -> Status:
    realm = scene.simulator.post("/_simulator/realms", {"environment": "production"})["realmId"]
    scene.grant = scene.simulator.tokens(realm)
    scene.apply(realm=realm)
    return await scene.look()


async def half_of_the_other_keys(scene: Scene) -> Status:
    app = scene.simulator.post("/_simulator/apps", {"environment": "production"})
    scene.grant = {**scene.grant, "client_secret": app["clientSecret"]}
    scene.apply()
    return await scene.look()


async def a_token_of_the_other_keys(scene: Scene) -> Status:
    app = scene.simulator.post("/_simulator/apps", {"environment": "production"})
    scene.grant = {**scene.grant, "client_id": app["clientId"], "client_secret": app["clientSecret"]}
    scene.apply()
    await scene.look()
    return await refreshing(scene, seconds=700)


async def next_process(scene: Scene, keyring: Keyring = KEYS) -> Status:
    after = Scene(scene.simulator, after=scene, keyring=keyring)
    try:
        return await after.look()
    finally:
        await after.transport.aclose()


async def another_key(scene: Scene) -> Status:
    return await next_process(await connected(scene), OTHER_KEYS)


async def a_damaged_envelope(scene: Scene) -> Status:
    secret = token_secret(await connected(scene))
    envelope = bytearray(secret.data["envelope"])
    envelope[-8] ^= 1
    scene.secrets.put(replace(secret, data={"envelope": bytes(envelope)}))
    return await next_process(scene)


# -- the cases ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    happens: Callable[[Scene], Awaitable[Status]]
    reason: str
    says: str
    """Part of the message: what is the matter, or what to do."""
    section: str


CASES = [
    Case(refresh_fails, "TokenFresh", "its refresh fails: ", NOT_REFRESHED),
    Case(refresh_fails_too_long, "ProviderUnavailable", "the refresh token may be spent", NOT_REFRESHED),
    Case(
        refresh_fails_again_and_again,
        "ProviderUnavailable",
        "the token endpoint is left alone for a while",
        NOT_REFRESHED,
    ),
    Case(
        another_process_refreshes,
        "ProviderUnavailable",
        "another process began a refresh",
        NOT_REFRESHED,
    ),
    Case(client_secret_is_gone, "SecretNotFound", "does not exist", NOT_REFRESHED),
    Case(answer_cannot_be_stored, "StoreFailing", "new tokens are in memory", NOT_REFRESHED),
    Case(leadership_is_lost, "ProviderUnavailable", "this process no longer leads", STALLED),
    Case(secrets_cannot_be_read, "StoreFailing", "cannot be read or written", STALLED),
    Case(
        nobody_connected_it, "ReauthorizationRequired", "connect the company with qbsync connect", RECONNECT
    ),
    Case(
        disconnected_in_quickbooks,
        "ReauthorizationRequired",
        "refuses the refresh token (invalid_grant, 2 times)",
        RECONNECT,
    ),
    Case(used_elsewhere, "ImportRejected", "at first use", RECONNECT),
    Case(access_taken_away, "AccessLost", "an admin must reconnect it", RECONNECT),
    Case(
        another_company,
        "RealmMismatch",
        "the grant is not for this realm and environment",
        WRONG_COMPANY,
    ),
    Case(
        sandbox_keys_of_a_production_company,
        "RealmMismatch",
        "sandbox keys open no production company",
        WRONG_KEYS,
    ),
    Case(half_of_the_other_keys, "CredentialsRejected", "(invalid_client)", WRONG_KEYS),
    Case(a_token_of_the_other_keys, "ImportRejected", "at first use", WRONG_KEYS),
    Case(another_key, "DecryptionFailed", "this operator has", ENCRYPTION),
    Case(
        a_damaged_envelope,
        "DecryptionFailed",
        "the envelope was changed, or was made for another",
        ENCRYPTION,
    ),
]


def sections() -> dict[str, str]:
    """The troubleshooting page by its headings."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.happens.__name__)
async def test_the_connection_says_what_is_the_matter(scene: Scene, case: Case) -> None:
    _, reason, message = ready(await case.happens(scene))
    assert reason == case.reason, message
    assert case.says in message
    scene.secrets.outage = None
    scene.simulator.clear_faults()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.happens.__name__)
def test_the_page_treats_it(case: Case) -> None:
    text = " ".join(sections()[case.section].split())
    assert f"`{case.reason}`" in text
    assert case.says.strip() in text


def test_the_page_s_links_to_itself_lead_to_a_section() -> None:
    headings = {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in sections()}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE.read_text(encoding="utf-8"))) <= headings


async def test_a_mismatch_names_what_has_to_be_compared(scene: Scene) -> None:
    realm = scene.simulator.realm()
    scene.apply(realm=realm)
    _, _, message = ready(await scene.look())
    for named in (f"spec.realmId {realm}", "environment Custom", "Secret app"):
        assert named in message
    assert ready(await scene.look())[2] == message
    restarted = Scene(scene.simulator, after=scene)
    restarted.simulator.fault({"operation": "read"}, {"status": 503}, times=None)
    assert ready(await restarted.look())[2] == message
    await restarted.transport.aclose()
    scene.simulator.clear_faults()
