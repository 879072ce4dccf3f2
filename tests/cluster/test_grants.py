"""Grants against a real API server: refreshed in time, forced by a 401 once, and honest about what is wrong."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx2

from cluster.harness import manifests
from cluster.harness.eavesdropper import Eavesdropper
from cluster.harness.stage import NewStage, Stage
from cluster.harness.watching import condition, eventually, handled, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]


def moment(text: str) -> datetime:
    """A status's time."""
    return datetime.fromisoformat(text).astimezone(UTC)


def test_one_401_forces_one_refresh_however_many_calls_it_hit(new_stage: NewStage) -> None:
    stage = new_stage("--latency", "100,200")
    stage.simulator.switch(limitPerSecond=0)
    stage.operator()
    connections = stage.connected(limits={"requestsPerSecond": 100})
    watch = stage.watch()
    stage.apply(manifests.invoice("first"))
    watch.object("first", is_ready, what="Ready")
    before = stage.simulator.counters()

    # QuickBooks' clock runs ahead: the token is dead there, and alive for the operator.
    stage.simulator.advance(3700)
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(10)))
    watch.until(lambda objects: sum(map(is_ready, objects.values())) == 11, what="all Ready")
    after = stage.simulator.counters()
    assert after["refreshes"] == before["refreshes"] + 1
    assert stage.more_than_sample() == 11
    refused = [entry for entry in stage.simulator.requests() if entry["status"] == 401]
    assert refused
    body = connections.object(
        "acme",
        lambda body: body["status"]["refreshHistory"][0]["trigger"] == "Unauthorized",
        what="the forced refresh in its history",
    )
    assert ready(body)["status"] == "True"


def test_ten_401s_at_once_force_one_refresh(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.operator()
    stage.connected(limits={"requestsPerSecond": 100})
    watch = stage.watch()
    before = stage.simulator.counters()["refreshes"]
    # All ten are under way before the first of them is refused.
    stage.simulator.fault({"operation": "create"}, {"delaySeconds": 2.9, "status": 401}, times=10)
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(10)))
    watch.until(lambda objects: sum(map(is_ready, objects.values())) == 10, what="all Ready")
    assert stage.simulator.counters()["refreshes"] == before + 1
    assert len(stage.simulator.requests("create")) == 20
    assert stage.more_than_sample() == 10


def test_a_token_is_refreshed_before_it_ends_again_and_again(stage: Stage) -> None:
    stage.simulator.switch(accessTokenSeconds=80)
    stage.operator()
    watch = stage.connected(tokens={"refreshBefore": "74s"})
    body = watch.object(
        "acme",
        lambda body: [e["trigger"] for e in body["status"].get("refreshHistory", [])].count("Scheduled") >= 2,
        what="two scheduled refreshes",
        timeout=90,
    )
    status = body["status"]
    assert ready(body)["status"] == "True"
    for event in watch.modifications("acme"):
        told = event.body["status"]
        if "nextRefreshTime" in told and "accessTokenExpiresAt" in told:
            assert moment(told["nextRefreshTime"]) < moment(told["accessTokenExpiresAt"])
    sequences = [
        event.body["status"]["encryption"]["sequence"]
        for event in watch.modifications("acme")
        if "encryption" in event.body["status"]
    ]
    assert sequences == sorted(sequences)
    assert status["encryption"]["sequence"] == sequences[-1]
    assert {entry["outcome"] for entry in status["refreshHistory"]} == {"Imported", "Refreshed"}


def test_a_restart_continues_with_the_stored_grant(stage: Stage) -> None:
    first = stage.operator()
    watch = stage.connected()
    before = stage.get("qbconnection", "acme")["status"]
    refreshes = stage.simulator.counters()["refreshes"]
    assert first.terminate() == 0
    stage.operator().leads()
    invoices = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    invoices.object("inv-1", is_ready, what="Ready")
    after = stage.get("qbconnection", "acme")["status"]
    assert stage.simulator.counters()["refreshes"] == refreshes
    assert after["nextRefreshTime"] == before["nextRefreshTime"]
    assert after["accessTokenExpiresAt"] == before["accessTokenExpiresAt"]
    assert watch.modifications("acme")[-1].body["status"]["encryption"] == before["encryption"]


def test_a_refresh_that_fails_while_the_token_is_alive_leaves_ready_true(stage: Stage) -> None:
    stage.operator()
    watch = stage.connected()
    stage.simulator.fault({"operation": "refresh"}, {"status": 503}, times=None)
    stage.annotate("qbconnection", "acme", requested_at="now")
    body = watch.object(
        "acme",
        lambda body: body["status"].get("consecutiveRefreshFailures", 0) >= 1,
        what="a failure counted",
    )
    assert ready(body)["status"] == "True"
    assert "refresh" in ready(body)["message"]
    invoices = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    invoices.object("inv-1", is_ready, what="Ready with the old token")
    stage.simulator.clear_faults()
    body = watch.object("acme", handled("now"), what="refreshed in the end")
    assert body["status"]["consecutiveRefreshFailures"] == 0


def test_an_import_that_others_write_or_that_shall_stay_is_not_emptied(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    realm = stage.simulator.realm()
    argo, keep = stage.simulator.tokens(), stage.simulator.tokens(realm)
    owned = manifests.import_secret("argo", argo)
    owned["metadata"]["labels"] = {"argocd.argoproj.io/instance": "billing"}
    stage.apply(
        manifests.client_secret("argo", argo),
        owned,
        stage.connection("argo"),
        manifests.client_secret("keep", keep),
        manifests.import_secret("keep", keep),
        stage.connection(
            "keep", realm=realm, importTokensFrom={"name": "keep-tokens-import", "policy": "Keep"}
        ),
    )
    for name, grant in (("argo", argo), ("keep", keep)):
        watch.object(name, is_ready, what="Ready")
        data = stage.get("secret", f"{name}-tokens-import")["data"]["refresh_token"]
        assert base64.b64decode(data).decode() == grant["refresh_token"]

    def told() -> set[str]:
        events = stage.kubectl.json("get", "events.events.k8s.io", "-n", stage.namespace)["items"]
        return {event["reason"] for event in events if event["regarding"]["name"] == "argo"} & {
            "ImportNotScrubbed"
        }

    eventually(told, what="the Event ImportNotScrubbed")


def test_a_revoked_grant_stops_its_company_and_comes_back_with_a_new_import(stage: Stage) -> None:
    """Somebody disconnected the app in QuickBooks."""
    stage.operator()
    grant = stage.simulator.tokens()
    connections = stage.watch("quickbooksconnections")
    stage.apply(
        manifests.client_secret("acme", grant), manifests.import_secret("acme", grant), stage.connection()
    )
    connections.object("acme", is_ready, what="Ready")
    basic = httpx2.BasicAuth(grant["client_id"], grant["client_secret"])
    url = f"{stage.simulator.base_url}/v2/oauth2/tokens/revoke"
    revoked = httpx2.post(url, json={"token": grant["refresh_token"]}, auth=basic, trust_env=False)
    assert revoked.status_code == 200, revoked.text

    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    body = connections.object("acme", lambda body: ready(body)["status"] != "True", what="not Ready any more")
    assert "invalid_grant" in json.dumps(body["status"])
    assert stage.simulator.invoices("INV-1") == []
    stage.apply(manifests.import_secret("acme", stage.simulator.tokens()))
    connections.object("acme", is_ready, what="Ready with the new grant", timeout=90)
    watch.object("inv-1", is_ready, what="Ready")


def test_wrong_client_credentials_are_said_and_a_correction_is_picked_up(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    grant = stage.simulator.tokens()
    wrong = manifests.client_secret("acme", {**grant, "client_secret": "wrong-client-secret"})
    stage.apply(wrong, manifests.import_secret("acme", grant), stage.connection())
    body = watch.reason("acme", "CredentialsRejected")
    assert ready(body)["status"] == "False"
    assert "wrong-client-secret" not in json.dumps(body)
    stage.apply(manifests.client_secret("acme", grant))
    watch.object("acme", is_ready, what="Ready", timeout=60)


def test_what_is_missing_is_named_and_comes_late(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    stage.apply(stage.connection())
    body = watch.reason("acme", "SecretNotFound")
    assert ready(body)["status"] == "Unknown"
    assert "acme-tokens-import" in ready(body)["message"]
    assert "create it" in ready(body)["message"]
    grant = stage.simulator.tokens()
    stage.apply(manifests.client_secret("acme", grant), manifests.import_secret("acme", grant))
    watch.object("acme", is_ready, what="Ready", timeout=60)


def test_a_used_up_import_is_rejected(stage: Stage) -> None:
    """Another program goes on using the grant: its refresh token is no longer good."""
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    grant = {**stage.simulator.tokens(), "refresh_token": "RT1-00-H0-0000000000unknowntoken000000"}
    stage.apply(
        manifests.client_secret("acme", grant), manifests.import_secret("acme", grant), stage.connection()
    )
    body = watch.reason("acme", "ImportRejected")
    assert ready(body)["status"] == "False"
    assert condition(body, "Authorized")["status"] == "False"
    # New content ends it, without touching the connection.
    stage.apply(manifests.import_secret("acme", stage.simulator.tokens()))
    watch.object("acme", is_ready, what="Ready", timeout=90)


def test_a_grant_for_another_company_is_a_realm_mismatch(stage: Stage) -> None:
    stage.operator()
    other = stage.simulator.realm()
    watch = stage.watch("quickbooksconnections")
    grant = stage.simulator.tokens(other)
    stage.apply(
        manifests.client_secret("acme", grant), manifests.import_secret("acme", grant), stage.connection()
    )
    body = watch.reason("acme", "RealmMismatch")
    assert ready(body)["status"] == "False"


def test_two_connections_to_one_company_the_older_one_works(stage: Stage) -> None:
    stage.operator()
    watch = stage.connected()
    grant = stage.simulator.tokens()
    stage.apply(
        manifests.client_secret("twin", grant),
        manifests.import_secret("twin", grant),
        stage.connection("twin"),
    )
    body = watch.reason("twin", "RealmConflict")
    assert f"{stage.namespace}/acme" in ready(body)["message"]
    stage.delete("qbconnection", "acme")
    watch.object("twin", is_ready, what="Ready when the other one is gone")


def test_custom_endpoints_need_the_flag(stage: Stage) -> None:
    grant = stage.simulator.tokens()
    watch = stage.watch("quickbooksconnections")
    stage.apply(
        manifests.client_secret("acme", grant),
        manifests.import_secret("acme", grant),
        stage.connection(token_url="http://127.0.0.1:1/token"),
    )
    stage.operator(allow_custom=False)
    body = watch.reason("acme", "EndpointNotAllowed")
    assert ready(body)["status"] == "False"
    assert "--allow-custom-endpoints" in ready(body)["message"]
    assert stage.simulator.counters()["requests"].get("refresh", 0) == 0


def test_the_secret_deleted_while_it_works_is_made_again(stage: Stage) -> None:
    stage.operator()
    watch = stage.connected()
    stage.delete("secret", "acme-qbsync-tokens")
    stage.annotate("qbconnection", "acme", requested_at="now")
    body = watch.object(
        "acme",
        lambda body: body["status"].get("lastHandledRequest") == "now" or ready(body)["status"] == "False",
        what="an answer to requested-at",
    )
    # Without its Secret the grant is lost to everybody but this process: it must not pretend.
    exists = stage.kubectl("get", "secret", "acme-qbsync-tokens", "-n", stage.namespace, "--ignore-not-found")
    assert bool(exists) == (ready(body)["status"] == "True"), ready(body)


def test_parallel_refreshes_never_happen(stage: Stage) -> None:
    """Restarts, 401s and requests together: no two refreshes with one value are ever under way at a time."""
    stage.simulator.switch(parallelRefreshRevokes=True, reuseKillsAccessTokens=True, rotateAlways=True)
    first = stage.operator()
    watch = stage.connected()
    invoices = stage.watch()
    stage.simulator.fault({"operation": "refresh"}, {"delaySeconds": 1}, times=None)
    stage.annotate("qbconnection", "acme", requested_at="one")
    eventually(lambda: _refreshing(stage), what="a refresh under way")
    stage.annotate("qbconnection", "acme", requested_at="two")
    stage.simulator.advance(3700)
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(5)))
    first.ask_to_end()
    second = stage.operator()
    second.leads()
    invoices.until(lambda objects: sum(map(is_ready, objects.values())) == 5, what="all Ready")
    assert first.wait() == 0
    body = watch.object("acme", handled("two"), what="two handled")
    assert ready(body)["status"] == "True"
    assert stage.more_than_sample() == 5


def _refreshing(stage: Stage) -> list[dict[str, Any]]:
    return [entry for entry in stage.simulator.requests("refresh") if "outcome" not in entry]


def test_killed_while_a_rotation_is_under_way_the_old_token_is_not_spent_twice_at_once(stage: Stage) -> None:
    """The next operator waits until the dead one's request can no longer be at work."""
    stage.simulator.switch(parallelRefreshRevokes=True, refreshGraceHours=24)
    with Eavesdropper(stage.simulator.base_url) as heard:
        first = stage.operator("--token-timeout", "3s")
        watch = stage.connected(token_url=heard.token_url)
        stage.simulator.fault({"operation": "refresh"}, {"delaySeconds": 2})
        refreshes = stage.simulator.counters()["requests"]["refresh"]
        stage.annotate("qbconnection", "acme", requested_at="now")
        eventually(lambda: _refreshing(stage), what="a refresh under way")
        first.kill()
        stage.operator("--token-timeout", "3s").leads()
        body = watch.object(
            "acme",
            handled("now"),
            what="refreshed in the end",
        )
        assert ready(body)["status"] == "True"
        assert stage.simulator.counters()["requests"]["refresh"] == refreshes + 2
