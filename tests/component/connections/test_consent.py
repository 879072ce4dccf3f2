"""From the consent page to a stored grant, and back: exchange, reconnect, revoke, test. The simulator on the wire."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from component.connections.test_connection import Scene, ready
from fixtures.simulator_server import RunningSimulator
from qbsync.api.meta import IN_USE_FINALIZER, INVOICE_FINALIZER, REVOKE_FINALIZER, TEST, Kind
from qbsync.kube.errors import Unavailable
from qbsync.kube.secrets import Secret
from qbsync.tokens.authorization import AUTHORIZED_AT, SECRET_TYPE
from sdk.consent import Person

CODE_SECRET = "acme-qbsync-authorization"
TOKENS = "acme-qbsync-tokens"
CALLBACK = "http://localhost:8000/callback"


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


def consent(scene: Scene, realm: str | None = None) -> dict[str, str]:
    """A person approves; what the callback got: code and realmId."""
    query = (
        f"client_id={scene.grant['client_id']}&response_type=code&state=any"
        f"&scope=com.intuit.quickbooks.accounting&redirect_uri={CALLBACK}"
    )
    with Person() as person:
        back = person.decide(f"{scene.simulator.base_url}/connect/oauth2?{query}", company=realm)
    given = {key: values[0] for key, values in parse_qs(urlsplit(back).query).items()}
    return {"code": given["code"], "realmId": given["realmId"], "redirectUri": CALLBACK}


def hand_over(scene: Scene, content: dict[str, str], request: str = "connect", **more: Any) -> None:
    """What `qbsync connect` leaves for the operator."""
    data = {key: value.encode() for key, value in content.items()}
    scene.secrets.put(Secret("ns", CODE_SECRET, type=SECRET_TYPE, data=data, **more))
    scene.annotate(request)


def apply_without_tokens(scene: Scene, **spec: Any) -> None:
    scene.apply(**spec)
    body = scene.objects.objects[Kind.CONNECTION, "ns", "acme"]
    del body["spec"]["importTokensFrom"]


def exchanges(scene: Scene) -> list[dict[str, Any]]:
    return [entry for entry in scene.simulator.requests("token") if entry["operation"] == "token"]


async def test_a_consent_becomes_a_ready_connection(scene: Scene) -> None:
    apply_without_tokens(scene)
    status = await scene.look()
    assert ready(status)[:2] == ("False", "ReauthorizationRequired")
    assert "qbsync connect" in ready(status)[2]
    hand_over(scene, consent(scene))
    status = await scene.look()
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert status["company"]["currency"] == "USD"
    assert status["lastHandledRequest"] == "connect"
    assert status["refreshHistory"][0]["outcome"] == "Connected"
    assert status["refreshHistory"][0]["trigger"] == "Authorization"
    assert status["refreshTokenHardExpiresAt"]
    assert "Connected" in scene.noted.events
    assert scene.secrets.peek("ns", CODE_SECRET) is None


async def test_a_reconnect_replaces_a_working_grant_in_place(scene: Scene) -> None:
    scene.apply()
    before = await scene.look()
    refreshes = scene.simulator.counters()["refreshes"]
    hand_over(scene, consent(scene))
    status = await scene.look()
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert status["encryption"]["sequence"] == before["encryption"]["sequence"] + 1
    assert scene.simulator.counters()["refreshes"] == refreshes
    scene.annotate("refresh")
    status = await scene.look()
    assert status["refreshHistory"][0]["outcome"] == "Refreshed"


async def test_another_companys_consent_changes_nothing(scene: Scene) -> None:
    other = scene.simulator.realm()
    apply_without_tokens(scene)
    hand_over(scene, consent(scene, other))
    status = await scene.look()
    assert ready(status)[:2] == ("False", "RealmMismatch")
    assert other in ready(status)[2]
    assert exchanges(scene) == []
    assert scene.secrets.peek("ns", CODE_SECRET) is None
    assert scene.secrets.peek("ns", TOKENS) is None
    status = await scene.look()
    assert ready(status)[1] == "RealmMismatch"
    hand_over(scene, consent(scene, scene.simulator.realm_id), "right")
    assert ready(await scene.look())[:2] == ("True", "TokenFresh")


async def test_a_callback_that_names_the_wrong_company_is_found_out(scene: Scene) -> None:
    """The code is another company's, whatever the Secret says: its grant is revoked, the old one kept."""
    other = scene.simulator.realm()
    scene.apply()
    before = await scene.look()
    content = consent(scene, other)
    hand_over(scene, {**content, "realmId": scene.simulator.realm_id})
    status = await scene.look()
    assert ready(status)[0] == "True"
    assert "RealmMismatch" in scene.noted.events
    assert "another company" in status["refreshHistory"][1]["error"]
    assert len(scene.simulator.requests("revoke")) == 1
    assert status["encryption"]["sequence"] == before["encryption"]["sequence"] + 1
    assert status["refreshHistory"][0]["outcome"] == "Refreshed"


async def test_a_code_is_sent_once(scene: Scene) -> None:
    apply_without_tokens(scene)
    content = consent(scene)
    hand_over(scene, content)
    await scene.look()
    hand_over(scene, content, "again")
    status = await scene.look()
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert len(exchanges(scene)) == 1
    assert scene.secrets.peek("ns", CODE_SECRET) is None


@pytest.mark.parametrize("failure", ["lost", "crash"])
async def test_a_code_whose_answer_was_lost_is_not_sent_again(scene: Scene, failure: str) -> None:
    apply_without_tokens(scene)
    content = consent(scene)
    if failure == "lost":
        scene.simulator.fault({"operation": "token"}, {"status": 500})
        hand_over(scene, content)
        status = await scene.look()
        assert ready(status)[:2] == ("False", "ReauthorizationRequired")
        hand_over(scene, content, "again")
    else:
        hand_over(scene, content)
        # The envelope cannot be written any more; the process ends with the answer in its hands.
        scene.secrets.fail("replace", error=Unavailable("down"), times=10**6)
        status = await scene.look()
        assert ready(status)[1] == "StoreFailing"
        scene.secrets._faults.clear()
    sent = len(exchanges(scene))
    restarted = Scene(scene.simulator, after=scene)
    status = await restarted.look()
    assert ready(status)[:2] == ("False", "ReauthorizationRequired")
    assert "sent before" in ready(status)[2]
    assert len(exchanges(scene)) == sent == 1
    assert restarted.secrets.peek("ns", CODE_SECRET) is None
    hand_over(restarted, consent(restarted), "new")
    assert ready(await restarted.look())[:2] == ("True", "TokenFresh")
    await restarted.keeper.drain()
    await restarted.transport.aclose()


async def test_a_code_that_could_not_be_sent_waits(scene: Scene) -> None:
    apply_without_tokens(scene)
    scene.secrets.delete("ns", "app")
    hand_over(scene, consent(scene))
    status = await scene.look()
    assert ready(status)[:2] == ("Unknown", "SecretNotFound")
    scene.secret("app", client_id=scene.grant["client_id"], client_secret=scene.grant["client_secret"])
    scene.clock.forward += 16
    assert ready(await scene.look())[:2] == ("True", "TokenFresh")


async def test_an_old_code_is_deleted_unsent(scene: Scene) -> None:
    apply_without_tokens(scene)
    then = (scene.clock.now() - timedelta(minutes=11)).isoformat()
    hand_over(scene, consent(scene), annotations={AUTHORIZED_AT: then})
    status = await scene.look()
    assert ready(status)[:2] == ("False", "ReauthorizationRequired")
    assert "older than 10 minutes" in ready(status)[2]
    assert exchanges(scene) == []
    assert scene.secrets.peek("ns", CODE_SECRET) is None


async def test_a_secret_of_another_type_is_left_alone(scene: Scene) -> None:
    apply_without_tokens(scene)
    scene.secret(CODE_SECRET, code="x")
    scene.annotate("connect")
    status = await scene.look()
    assert ready(status)[:2] == ("False", "SecretConflict")
    assert scene.secrets.peek("ns", CODE_SECRET) is not None


async def test_a_refused_code_says_what_to_do(scene: Scene) -> None:
    apply_without_tokens(scene)
    hand_over(scene, {**consent(scene), "code": "made-up"})
    status = await scene.look()
    assert ready(status)[:2] == ("False", "ReauthorizationRequired")
    assert "connect the company again" in ready(status)[2]
    assert "made-up" not in str(status)


async def test_wrong_credentials_are_said(scene: Scene) -> None:
    apply_without_tokens(scene)
    scene.secret("app", client_id=scene.grant["client_id"], client_secret="wrong")
    hand_over(scene, consent(scene))
    assert ready(await scene.look())[:2] == ("False", "CredentialsRejected")


async def test_the_test_annotation_reads_the_company_once(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    reads = scene.simulator.counters()["requests"]["read"]
    scene.annotate("t1", annotation=TEST)
    status = await scene.look()
    assert status["lastTest"]["result"].startswith("ok: ")
    assert status["lastTest"]["request"] == "t1"
    await scene.look()
    assert scene.simulator.counters()["requests"]["read"] == reads + 1
    scene.simulator.fault({"operation": "read"}, {"status": 500}, times=None)
    scene.annotate("t2", annotation=TEST)
    status = await scene.look()
    assert status["lastTest"]["result"].startswith("failed: ")
    scene.simulator.clear_faults()


async def test_a_test_without_a_grant_says_why_nobody_was_asked(scene: Scene) -> None:
    apply_without_tokens(scene)
    scene.annotate("t1", annotation=TEST)
    status = await scene.look()
    assert status["lastTest"]["result"].startswith("failed: not asked, ")


# -- deletion ------------------------------------------------------------------------------------------------


async def deleted(scene: Scene, **spec: Any) -> None:
    scene.apply(deletionPolicy="Revoke", **spec)
    status = await scene.look()
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert REVOKE_FINALIZER in scene.objects.objects[Kind.CONNECTION, "ns", "acme"]["metadata"]["finalizers"]
    scene.delete()


async def test_revoke_ends_the_grant_and_deletes_the_tokens(scene: Scene) -> None:
    await deleted(scene)
    await scene.look()
    assert not scene.exists()
    assert [entry["status"] for entry in scene.simulator.requests("revoke")] == [200]
    assert scene.secrets.peek("ns", TOKENS) is None
    assert "TokensRevoked" in scene.noted.events


async def test_retain_keeps_the_tokens_and_needs_no_finalizer(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    assert not scene.objects.objects[Kind.CONNECTION, "ns", "acme"]["metadata"].get("finalizers")
    scene.delete()
    await scene.look()
    assert not scene.exists()
    assert scene.simulator.requests("revoke") == []
    assert scene.secrets.peek("ns", TOKENS) is not None


async def test_an_unknown_outcome_is_repeated(scene: Scene) -> None:
    await deleted(scene)
    scene.simulator.fault({"operation": "revoke"}, {"status": 500})
    status = await scene.look()
    assert ready(status)[:2] == ("Unknown", "ProviderUnavailable")
    assert "the deletion waits" in ready(status)[2]
    assert scene.again is not None
    await scene.look()
    assert not scene.exists()
    assert scene.secrets.peek("ns", TOKENS) is None


async def test_a_grant_that_ended_before_is_let_go(scene: Scene) -> None:
    await deleted(scene)
    for grant in scene.simulator.get("/_simulator/grants")["grants"]:
        scene.simulator.post(f"/_simulator/grants/{grant['number']}/revoke")
    await scene.look()
    assert not scene.exists()


async def test_after_the_patience_it_is_released_with_a_warning(scene: Scene) -> None:
    await deleted(scene)
    scene.simulator.fault({"operation": "revoke"}, {"status": 500}, times=None)
    await scene.look()
    assert scene.exists()
    scene.clock.forward += 601
    await scene.look()
    assert not scene.exists()
    assert "ReleasedWithoutRevoke" in scene.noted.events
    assert scene.secrets.peek("ns", TOKENS) is not None
    scene.simulator.clear_faults()


async def test_a_namespace_that_goes_is_not_held_up(scene: Scene) -> None:
    await deleted(scene)
    scene.secrets.delete("ns", "app")
    assert ready(await scene.look())[1] == "SecretNotFound"
    scene.terminating = True
    await scene.look()
    assert not scene.exists()
    assert "ReleasedWithoutRevoke" in scene.noted.events


async def test_force_delete_releases_at_once(scene: Scene) -> None:
    await deleted(scene)
    scene.annotate("true", annotation="qbsync.dev/force-delete")
    await scene.look()
    assert not scene.exists()
    assert scene.simulator.requests("revoke") == []


async def test_revoking_waits_for_another_connection_of_the_company(scene: Scene) -> None:
    scene.apply(deletionPolicy="Revoke")
    await scene.look()
    scene.apply("zwei")
    scene.delete()
    status = await scene.look()
    assert ready(status)[1] == "RealmConflict"
    assert "ns/zwei" in ready(status)[2]
    assert scene.simulator.requests("revoke") == []
    scene.secret("app-of-zwei", client_id="another app", client_secret="x")
    body = scene.objects.touch(Kind.CONNECTION, "zwei", clientSecretRef={"name": "app-of-zwei"})
    scene.store.observe(Kind.CONNECTION, body)
    await scene.look()
    assert not scene.exists()
    assert len(scene.simulator.requests("revoke")) == 1


async def test_a_connection_stays_for_the_invoices_that_need_it(scene: Scene) -> None:
    invoice = scene.objects.add(Kind.INVOICE, "inv", connectionRef={"name": "acme"}, deletionPolicy="Void")
    invoice["metadata"]["finalizers"] = [INVOICE_FINALIZER]
    scene.store.observe(Kind.INVOICE, invoice)
    scene.apply()
    await scene.look()
    assert scene.objects.objects[Kind.CONNECTION, "ns", "acme"]["metadata"]["finalizers"] == [
        IN_USE_FINALIZER
    ]
    scene.delete()
    status = await scene.look()
    assert scene.exists()
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert "until 1 InvoiceSync" in ready(status)[2]
    scene.due.clear()
    assert scene.store.forget(Kind.INVOICE, "ns", "inv", uid="uid-inv") is not None
    found = scene.store.find(Kind.CONNECTION, "ns", "acme")
    assert found is not None
    scene.reconciler.referred(found.company)
    assert [key.name for key in scene.due] == ["acme"]
    await scene.look()
    assert not scene.exists()
