"""A person connects a company with `qbsync connect`, at the simulator's consent page; and it is taken away again."""

from pathlib import Path
from typing import Any

from cluster.harness import manifests
from cluster.harness.commands import CommandLine
from cluster.harness.connecting import CODE_SECRET, TOKENS, Connecting, connect, unconnected
from cluster.harness.gate import Gate
from cluster.harness.stage import Stage
from cluster.harness.watching import eventually, handled, is_ready, ready
from qbsync.tokens.authorization import SECRET_TYPE

pytest_plugins = ["cluster.harness.plugin"]


def test_a_company_is_connected_at_its_consent_page(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    unconnected(stage)
    watch.reason("acme", "ReauthorizationRequired")
    exit_code, said, code = connect(stage)
    assert exit_code == 0, said
    assert "is connected to" in said
    body = watch.object("acme", is_ready, what="Ready")
    assert CODE_SECRET not in stage.all("secret")
    eventually(lambda: ("Normal", "Connected") in stage.events("acme"), what="the Event")
    events = stage.kubectl("get", "events.events.k8s.io", "-n", stage.namespace, "-o", "json")
    for place in (stage.logs(), str(body), events, said):
        assert code not in place


def test_a_dead_grant_is_connected_again_by_pasting(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    unconnected(stage)
    assert connect(stage)[0] == 0
    for grant in stage.simulator.get("/_simulator/grants")["grants"]:
        stage.simulator.post(f"/_simulator/grants/{grant['number']}/revoke")
    stage.delete("secret", TOKENS)
    stage.annotate("qbconnection", "acme", requested_at="now")
    watch.object("acme", handled("now"), what="looked at")
    connecting = Connecting(stage, "--paste", "--redirect-uri", "https://example.com/callback")
    exit_code, said = connecting.end(connecting.consent() + "\n")
    assert exit_code == 0, said
    watch.object("acme", is_ready, what="Ready")
    stage.annotate("qbconnection", "acme", requested_at="once more")
    assert is_ready(watch.object("acme", handled("once more"), what="refreshed"))


def test_the_wrong_company_is_said_and_changes_nothing(stage: Stage) -> None:
    other = stage.simulator.realm()
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    unconnected(stage)
    exit_code, said, _ = connect(stage, other)
    assert exit_code == 1
    assert other in said
    watch.reason("acme", "RealmMismatch")
    assert stage.simulator.requests("token") == []
    assert not {CODE_SECRET, TOKENS} & set(stage.all("secret"))


def test_a_person_who_declines_is_heard(stage: Stage) -> None:
    unconnected(stage)
    connecting = Connecting(stage)
    answer = connecting.follow(connecting.consent(button="Deny"))
    assert answer.status_code == 400
    exit_code, said = connecting.end()
    assert exit_code == 2
    assert "did not consent" in said


def test_without_an_operator_the_code_is_taken_back(stage: Stage) -> None:
    unconnected(stage)
    connecting = Connecting(stage, "--wait", "1")
    assert connecting.follow(connecting.consent()).status_code == 303
    exit_code, said = connecting.end()
    assert exit_code == 2
    assert "has not taken it up" in said
    assert CODE_SECRET not in stage.all("secret")


def test_a_code_goes_with_its_connection(stage: Stage) -> None:
    unconnected(stage)
    connecting = Connecting(stage)
    assert connecting.follow(connecting.consent()).status_code == 303
    eventually(lambda: CODE_SECRET in stage.all("secret"), what="the code handed over")
    stage.delete("qbconnection", "acme")
    eventually(lambda: CODE_SECRET not in stage.all("secret"), what="the code gone")
    exit_code, said = connecting.end()
    assert exit_code != 0, said


def test_killed_between_exchange_and_store_the_code_is_not_sent_again(stage: Stage) -> None:
    with Gate(stage.simulator.base_url) as gate:
        operator = stage.operator()
        watch = stage.watch("quickbooksconnections")
        unconnected(stage, token_url=gate.token_url)
        watch.reason("acme", "ReauthorizationRequired")
        gate.hold_answers()
        connecting = Connecting(stage)
        assert connecting.follow(connecting.consent()).status_code == 303
        assert gate.held.wait(60)
        operator.kill()
        gate.lose()
        stage.operator().leads()
        exit_code, said = connecting.end()
        assert exit_code == 1
        assert "sent before" in said
        assert len(stage.simulator.requests("token")) == 1
        assert CODE_SECRET not in stage.all("secret")
        assert connect(stage)[0] == 0
        watch.object("acme", is_ready, what="Ready")


def test_a_deleted_connection_is_revoked(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    unconnected(stage, deletionPolicy="Revoke")
    assert connect(stage)[0] == 0
    watch.object("acme", is_ready, what="Ready")
    stage.delete("qbconnection", "acme")
    assert [entry["status"] for entry in stage.simulator.requests("revoke")] == [200]
    assert TOKENS not in stage.all("secret")
    assert '"token.revoke"' in stage.logs()


def test_a_connection_outlives_the_invoices_that_it_has_to_void(stage: Stage) -> None:
    stage.operator()
    watch = stage.connected()
    invoices = stage.watch()
    stage.apply(manifests.invoice("inv-1", deletionPolicy="Void"))
    invoices.object("inv-1", is_ready, what="Ready")
    eventually(
        lambda: stage.get("qbconnection", "acme")["metadata"].get("finalizers") == ["qbsync.dev/in-use"],
        what="the finalizer",
    )
    stage.kubectl("delete", "qbconnection", "acme", "-n", stage.namespace, "--wait=false")
    watch.object("acme", lambda body: "until 1 InvoiceSync" in ready(body)["message"], what="waiting")
    stage.delete("invoicesync", "inv-1")
    (voided,) = stage.simulator.invoices("INV-1")
    assert float(voided["TotalAmt"]) == 0
    eventually(lambda: stage.all("qbconnection") == {}, what="the connection's end")


def test_the_test_annotation_is_answered(stage: Stage, tmp_path: Path) -> None:
    stage.operator()
    watch = stage.connected()
    stage.annotate("qbconnection", "acme", test="t1")

    def tested(body: dict[str, Any]) -> bool:
        return bool((body["status"].get("lastTest") or {}).get("request") == "t1")

    body = watch.object("acme", tested, what="tested")
    assert body["status"]["lastTest"]["result"].startswith("ok: ")


def test_production_is_told_to_paste(stage: Stage) -> None:
    document = stage.connection()
    document["spec"] |= {"environment": "Production"}
    del document["spec"]["endpoints"], document["spec"]["importTokensFrom"]
    stage.apply(manifests.secret("acme-intuit-app", client_id="x", client_secret="y"), document)
    done = CommandLine(stage)("connect", f"{stage.namespace}/acme", "--no-browser")
    assert done.code == 2
    assert "--paste" in done.said


def test_a_code_of_another_type_of_secret_is_left_alone(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    unconnected(stage)
    stage.apply(manifests.secret(CODE_SECRET, code="x"))
    stage.annotate("qbconnection", "acme", requested_at="now")
    body = watch.reason("acme", "SecretConflict")
    assert SECRET_TYPE in ready(body)["message"]
    assert CODE_SECRET in stage.all("secret")
