"""Encryption keys on a real API server: listed, checked, rotated from end to end, beside a running operator."""

import base64
import threading
from pathlib import Path
from typing import Any

from cluster.harness.commands import CommandLine, envelope_of, key_dir, kid_of, master_key
from cluster.harness.eavesdropper import Eavesdropper, leaks
from cluster.harness.stage import Stage
from cluster.harness.watching import Watch, handled, is_ready
from cluster.operator_process import RunningOperator

pytest_plugins = ["cluster.harness.plugin"]

OLD, NEW = master_key("o"), master_key("n")


def operator_with(stage: Stage, folder: Path, *flags: str) -> RunningOperator:
    environment = {"ENCRYPTION_MASTER_KEY": None, "ENCRYPTION_KEY_DIR": str(folder)}
    return stage.operator(*flags, environment=environment)


def refresh(stage: Stage, watch: Watch, request: str) -> None:
    stage.annotate("qbconnection", "acme", requested_at=request)
    watch.object("acme", handled(request), what=f"refreshed ({request})")


def test_a_rotation_from_end_to_end(stage: Stage, tmp_path: Path) -> None:
    """Add → roll out → promote → rewrap → remove; at no step does a person have to connect the company."""
    qbsync = CommandLine(stage)
    stage.simulator.switch(rotateAlways=True)
    folder = key_dir(tmp_path / "keys", b_old=OLD)
    scope = ("-n", stage.namespace, "--key-dir", str(folder))
    with Eavesdropper(stage.simulator.base_url) as heard:
        operator = operator_with(stage, folder)
        watch = stage.connected(token_url=heard.token_url)
        old = kid_of(stage)

        key_dir(folder, b_old=OLD, c_new=NEW)  # added: it opens only
        assert operator.terminate() == 0
        operator = operator_with(stage, folder)
        refresh(stage, watch, "added")
        assert kid_of(stage) == old

        key_dir(folder, a_new=NEW, b_old=OLD)  # promoted
        listed = {
            row["use"]: row for row in qbsync("keys", "list", *scope, "-o", "json", key=None).json()["keys"]
        }
        assert (listed["opens only"]["key"], listed["opens only"]["secrets"]) == (old, 1)
        new = listed["primary"]["key"]
        assert operator.terminate() == 0
        operator = operator_with(stage, folder)
        operator.leads()

        dry = qbsync("keys", "rewrap", "--dry-run", *scope, key=None)
        assert (dry.code, kid_of(stage)) == (0, old)
        assert "WouldRewrap" in dry.out
        done = qbsync("keys", "rewrap", *scope, "-o", "json", key=None)
        assert done.code == 0, done.said
        assert kid_of(stage) == new
        envelope = envelope_of(stage)
        assert qbsync("keys", "rewrap", *scope, key=None).code == 0
        assert envelope_of(stage) == envelope, "a second run changes nothing"

        key_dir(folder, a_new=NEW)  # removed
        assert qbsync("keys", "check", *scope, key=None).code == 0
        assert operator.terminate() == 0
        operator = operator_with(stage, folder)
        refresh(stage, watch, "removed")
        assert operator.metrics().total("qbsync_secrets_by_key", key_id=new) == 1
        assert operator.metrics().total("qbsync_secrets_by_key", key_id=old) == 0
        assert set(watch.reasons("acme")) <= {"Importing", "TokenFresh", "SecretNotFound"}
    secrets = heard.secrets | {OLD.removeprefix("base64:"), NEW.removeprefix("base64:")}
    assert len(heard.answers) >= 3
    assert leaks(qbsync.everything + stage.logs(), secrets) == []


def test_a_refresh_rewraps_by_itself(stage: Stage, tmp_path: Path) -> None:
    first = operator_with(stage, key_dir(tmp_path / "one", b_old=OLD))
    watch = stage.connected()
    old = kid_of(stage)
    assert first.terminate() == 0
    operator_with(stage, key_dir(tmp_path / "two", a_new=NEW, b_old=OLD))
    refresh(stage, watch, "with the new key")
    assert kid_of(stage) != old
    assert stage.get("qbconnection", "acme")["status"]["encryption"]["keyId"] == kid_of(stage)


def test_rewrap_while_an_operator_refreshes_all_the_time(stage: Stage, tmp_path: Path) -> None:
    """Back and forth between two keys, against a refresh every instant: no token is lost or spent twice."""
    qbsync = CommandLine(stage)
    stage.simulator.switch(rotateAlways=True, parallelRefreshRevokes=True, reuseKillsAccessTokens=True)
    operator_with(stage, key_dir(tmp_path / "both", a_new=NEW, b_old=OLD))
    watch = stage.connected()
    others = [key_dir(tmp_path / "old-first", a_old=OLD, b_new=NEW), tmp_path / "both"]
    stop = threading.Event()
    results: list[Any] = []

    def rewrap_again_and_again() -> None:
        turn = 0
        while not stop.is_set():
            scope = ("-n", stage.namespace, "--key-dir", str(others[turn % 2]))
            results.append(qbsync("keys", "rewrap", *scope, "-o", "json", key=None))
            turn += 1

    thread = threading.Thread(target=rewrap_again_and_again)
    before = stage.simulator.counters()["refreshes"]
    thread.start()
    try:
        for number in range(25):
            refresh(stage, watch, f"request {number}")
    finally:
        stop.set()
        thread.join(120)
    assert stage.simulator.counters()["refreshes"] == before + 25
    assert [result.said for result in results if result.code != 0] == []
    outcomes = [one["outcome"] for result in results for one in result.json()["secrets"]]
    assert outcomes.count("Rewrapped") >= 2
    assert "ReauthorizationRequired" not in watch.reasons("acme")
    assert is_ready(stage.get("qbconnection", "acme"))


def test_check_tells_a_wrong_key_a_damaged_envelope_and_a_wrong_connection_apart(stage: Stage) -> None:
    qbsync = CommandLine(stage)
    operator = stage.operator()
    stage.connected()
    assert operator.terminate() == 0
    scope = ("-n", stage.namespace)
    good = stage.get("secret", "acme-qbsync-tokens")
    assert qbsync("keys", "check", *scope).code == 0

    wrong = qbsync("keys", "check", *scope, key=NEW)
    assert wrong.code == 1
    assert "WrongKey" in wrong.out
    assert kid_of(stage) in wrong.out
    listed = qbsync("keys", "list", *scope, key=NEW)
    assert (listed.code, "missing" in listed.out) == (1, True)
    refused = qbsync("keys", "rewrap", *scope, key=NEW)
    assert (refused.code, "DoesNotOpen" in refused.out) == (1, True)

    text = envelope_of(stage)
    flipped = text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:]
    stage.delete("secret", "acme-qbsync-tokens")
    copied = {key: value.replace("acme", "thief") for key, value in good["metadata"]["labels"].items()}
    stage.apply(
        _secret("acme-qbsync-tokens", good, good["metadata"]["labels"], flipped),
        _secret("thief-qbsync-tokens", good, copied, text),
        {
            **stage.connection("thief"),
            "spec": {**stage.connection("thief")["spec"], "realmId": stage.simulator.realm_id},
        },
    )
    found = qbsync("keys", "check", *scope, "-o", "json")
    assert found.code == 1
    problems = {one["secret"]: one["problem"] for one in found.json()["problems"]}
    assert problems == {"acme-qbsync-tokens": "Damaged", "thief-qbsync-tokens": "WrongConnection"}
    before = {name: envelope_of(stage, name) for name in problems}
    assert qbsync("keys", "rewrap", *scope).code == 1
    assert {name: envelope_of(stage, name) for name in problems} == before, (
        "what does not open is not touched"
    )
    grant = stage.simulator.tokens()
    assert leaks(qbsync.everything, {grant["client_secret"], NEW.removeprefix("base64:")}) == []


def _secret(name: str, like: dict[str, Any], labels: dict[str, str], envelope: str) -> dict[str, Any]:
    data = {"envelope": base64.b64encode(envelope.encode()).decode()}
    annotations = {
        key: value for key, value in like["metadata"]["annotations"].items() if key.startswith("qbsync.dev/")
    }
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Secret", "type": like["type"], "metadata": metadata, "data": data}


def test_without_a_key_or_a_cluster_it_says_what_to_do(stage: Stage, tmp_path: Path) -> None:
    qbsync = CommandLine(stage)
    operator = stage.operator()
    stage.connected()
    assert operator.terminate() == 0
    scope = ("-n", stage.namespace)
    listed = qbsync("keys", "list", *scope, key=None)
    assert listed.code == 0
    assert kid_of(stage) in listed.out
    for command in ("check", "rewrap"):
        refused = qbsync("keys", command, *scope, key=None)
        assert refused.code == 2
        assert "set ENCRYPTION_MASTER_KEY" in refused.err
    short = qbsync("keys", "check", *scope, key="short")
    assert (short.code, "ENCRYPTION_MASTER_KEY is too short" in short.err) == (2, True)
    empty = qbsync("keys", "list", *scope, "--key-dir", str(tmp_path / "none"))
    assert (empty.code, "cannot read" in empty.err) == (2, True)
    assert qbsync("keys", "rewrap", "--wait", "long").code == 2
