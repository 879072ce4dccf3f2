"""Nothing that was written anywhere in a run holds a token; and the Secret opens for its own connection only."""

import base64
from typing import Any

from cluster.harness import manifests
from cluster.harness.eavesdropper import Eavesdropper, leaks, shapes, stored
from cluster.harness.stage import Stage
from cluster.harness.watching import Watch, handled, is_ready, ready
from cluster.operator_process import MASTER_KEY

pytest_plugins = ["cluster.harness.plugin"]


def test_no_token_stands_anywhere_after_a_full_run(stage: Stage) -> None:
    simulator = stage.simulator
    # A rotation whose answer is lost shall not end the run.
    simulator.switch(rotateAlways=True, refreshGraceHours=24)
    with Eavesdropper(simulator.base_url) as heard:
        operator = stage.operator("--log-level", "debug", "--invoice-events", "all")
        watch = stage.watch()
        connections = stage.watch("quickbooksconnections")
        grant = simulator.tokens()
        stage.apply(
            manifests.client_secret("acme", grant),
            manifests.import_secret("acme", grant),
            stage.connection(token_url=heard.token_url),
        )
        connections.object("acme", is_ready, what="Ready")
        _go_through_everything(stage, watch, connections)
        metrics = operator.metrics().text
        assert operator.terminate() == 0

    secrets = heard.secrets | {
        grant["access_token"],
        grant["refresh_token"],
        grant["client_secret"],
        MASTER_KEY[7:],
    }
    assert len({answer["refresh_token"] for answer in heard.answers if "refresh_token" in answer}) >= 3, (
        "the run has seen refreshes and rotations"
    )
    texts = {**stored(stage), "logs": stage.logs(), "metrics": metrics}
    assert len([name for name in texts if name.startswith("secrets/")]) >= 2
    assert any("Events" in name or name.startswith("events") for name in texts)
    assert {name: found for name, text in texts.items() if (found := leaks(text, secrets))} == {}


def _go_through_everything(stage: Stage, watch: Watch, connections: Watch) -> None:
    simulator = stage.simulator
    stage.apply(manifests.invoice("inv-1"), manifests.invoice("inv-2", customer={"name": "Nobody"}))
    watch.object("inv-1", is_ready, what="Ready")
    watch.reason("inv-2", "ReferenceNotFound")
    # A 401, whose real body holds the access token.
    simulator.advance(3700)
    stage.apply(manifests.invoice("inv-3"))
    watch.object("inv-3", is_ready, what="Ready")
    # Refreshes that go wrong in several ways.
    failing: tuple[dict[str, Any], ...] = ({"status": 503}, {"html": True}, {"truncated": True})
    for effect in failing:
        simulator.fault({"operation": "refresh"}, effect)
        request = f"after {effect}"
        stage.annotate("qbconnection", "acme", requested_at=request)
        connections.object("acme", handled(request), what="refreshed in the end", timeout=90)
    # Calls that go wrong in several ways.
    failing = ({"drop": "after"}, {"status": 500}, {"truncated": True}, {"fault": "6240"})
    for effect in failing:
        simulator.fault({"operation": "create"}, effect)
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(4, 9)))
    for n in range(4, 9):
        watch.object(
            f"inv-{n}", lambda body: ready(body).get("status") in {"True", "False"}, what="concluded"
        )


def test_a_leak_would_be_found() -> None:
    token = "eyJlbmMiOiJBMTI4Q0JDLUhTMjU2IiwiYWxnIjoiZGlyIn0..abcdefghijklmnopqrstuvwxyz0123456789"
    assert leaks("nothing", {token}) == []
    for text in (
        token,
        base64.b64encode(b"x" + token.encode()).decode(),
        f"…{token[-70:]}",
        token[:60] + "[cut]",
    ):
        assert leaks(f"before {text} after", {token}), text
    assert all(len(shape) >= 16 for shape in shapes(token))


def test_the_secret_of_a_connection_holds_no_plaintext_and_an_import_is_emptied(stage: Stage) -> None:
    stage.operator()
    grant = stage.simulator.tokens()
    watch = stage.watch("quickbooksconnections")
    stage.apply(
        manifests.client_secret("acme", grant), manifests.import_secret("acme", grant), stage.connection()
    )
    watch.object("acme", is_ready, what="Ready")

    secret = stage.get("secret", "acme-qbsync-tokens")
    assert secret["type"] == "qbsync.dev/tokens"
    assert list(secret["data"]) == ["envelope"]
    assert "ownerReferences" not in secret["metadata"]
    envelope = base64.b64decode(secret["data"]["envelope"]).decode()
    version, kid, salt, nonce, ciphertext = envelope.split(".")
    assert version == "v1"
    assert stage.get("qbconnection", "acme")["status"]["encryption"]["keyId"] == kid
    plain = b"".join(base64.urlsafe_b64decode(part + "==") for part in (salt, nonce, ciphertext))
    assert not leaks(plain.decode("latin-1"), {grant["refresh_token"], grant["access_token"]})
    imported = stage.get("secret", "acme-tokens-import")
    assert imported["data"]["refresh_token"] == ""


def test_a_secret_copied_to_another_connection_does_not_open(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    stolen = stage.get("secret", "acme-qbsync-tokens")
    realm = stage.simulator.realm()
    labels = {
        key: value.replace("acme", "thief").replace(stage.simulator.realm_id, realm)
        for key, value in stolen["metadata"]["labels"].items()
    }
    copy = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": stolen["type"],
        "metadata": {"name": "thief-qbsync-tokens", "labels": labels},
        "data": stolen["data"],
    }
    calls = stage.simulator.counters()["refreshes"]
    thief = stage.connection("thief", realm=realm, importTokensFrom=None)
    del thief["spec"]["importTokensFrom"]
    watch = stage.watch("quickbooksconnections")
    stage.apply(copy, manifests.client_secret("thief", stage.simulator.ready), thief)
    body = watch.reason("thief", "DecryptionFailed")
    assert ready(body)["status"] == "False"
    assert stage.simulator.counters()["refreshes"] == calls
    assert stage.get("secret", "thief-qbsync-tokens")["data"] == stolen["data"], (
        "what cannot be read is not touched"
    )


def test_another_master_key_does_not_open_it_and_says_which_key_would(stage: Stage) -> None:
    first = stage.operator()
    stage.connected()
    kid = stage.get("qbconnection", "acme")["status"]["encryption"]["keyId"]
    assert first.terminate() == 0
    before = stage.get("secret", "acme-qbsync-tokens")["data"]
    other = "base64:" + base64.b64encode(b"quite another key of 32 letters!").decode()
    watch = stage.watch("quickbooksconnections")
    second = stage.operator(environment={"ENCRYPTION_MASTER_KEY": other})
    body = watch.reason("acme", "DecryptionFailed")
    assert kid in ready(body)["message"]
    assert stage.get("secret", "acme-qbsync-tokens")["data"] == before
    assert second.terminate() == 0

    stage.operator()
    watch.object("acme", is_ready, what="Ready again with the right key")


def test_secrets_that_are_not_ours_and_namespaces_that_are_closed(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    grant = stage.simulator.tokens()
    precious = manifests.secret("acme-qbsync-tokens", password="precious")
    stage.apply(
        precious,
        manifests.client_secret("acme", grant),
        manifests.import_secret("acme", grant),
        stage.connection(),
    )
    assert ready(watch.reason("acme", "SecretConflict"))["status"] == "False"
    data = stage.get("secret", "acme-qbsync-tokens")["data"]
    assert base64.b64decode(data["password"]).decode() == "precious"
    assert (
        base64.b64decode(stage.get("secret", "acme-tokens-import")["data"]["refresh_token"]).decode()
        == (grant["refresh_token"])
    )
