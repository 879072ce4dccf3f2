"""SIGKILL at each step of a refresh: the next start goes on without a person, wherever that is possible at all.

When to kill is told by what the step leaves outside the process: the intent on the Secret, a held connection,
the simulator's journal, the spool directory. Nothing in the operator helps.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.harness import manifests
from cluster.harness.gate import Gate
from cluster.harness.refusals import STATUS, refusals
from cluster.harness.stage import NewStage, OwnPlane, Stage
from cluster.harness.watching import Watch, condition, eventually, handled, is_ready, ready
from cluster.operator_process import RunningOperator

pytest_plugins = ["cluster.harness.plugin"]

INTENT = "qbsync.dev/refresh-intent"
SECRET = "acme-qbsync-tokens"


class Scene:
    """A connection whose token calls go through a gate, and the operator that refreshes it."""

    def __init__(self, stage: Stage, gate: Gate, spool: Path) -> None:
        self.stage, self.gate, self.spool = stage, gate, spool
        self.operator = self.start()
        self.watch: Watch = stage.connected(token_url=gate.token_url)
        # From now on every refresh rotates, the old value is dead at once, and its use ends the grant.
        stage.simulator.switch(
            rotateAlways=True, refreshGraceHours=0, parallelRefreshRevokes=True, reuseRevokesFamily=True
        )

    def start(self) -> RunningOperator:
        """The next operator process, on the same node."""
        return self.stage.operator("--token-timeout", "5s", "--spool-dir", str(self.spool))

    def ask(self, request: str = "now") -> None:
        self.stage.annotate("qbconnection", "acme", requested_at=request)

    def intent(self) -> dict[str, Any] | None:
        """The open intent on the token Secret."""
        text = self.stage.get("secret", SECRET)["metadata"].get("annotations", {}).get(INTENT)
        return dict(json.loads(text)) if text else None

    def sequence(self) -> int:
        return int(self.stage.get("qbconnection", "acme")["status"]["encryption"]["sequence"])

    def refreshes(self) -> int:
        """Refreshes that reached the provider."""
        return len(self.stage.simulator.requests("refresh"))

    def at_work(self) -> bool:
        """The provider is at work on a refresh."""
        return any("outcome" not in entry for entry in self.stage.simulator.requests("refresh"))

    def refused(self) -> list[dict[str, Any]]:
        return [entry for entry in self.stage.simulator.requests("refresh") if entry["status"] == 400]

    def kill(self) -> None:
        self.operator.kill()

    def recovers(self) -> dict[str, Any]:
        """The next process brings the request to its end, and another one after that, without a person."""
        self.operator = self.start().leads()
        body = self.watch.object("acme", handled("now"), what="refreshed in the end", timeout=90)
        assert ready(body)["status"] == "True", ready(body)
        self.ask("once more")
        body = self.watch.object("acme", handled("once more"), what="refreshed once more", timeout=90)
        assert is_ready(body), ready(body)
        assert condition(body, "Authorized")["status"] == "True"
        assert self.refused() == []
        assert self.intent() is None
        assert list(self.spool.iterdir()) == []
        return body


@pytest.fixture
def scene(new_stage: NewStage, tmp_path: Path) -> Iterator[Scene]:
    stage = new_stage()
    with Gate(stage.simulator.base_url) as gate:
        yield Scene(stage, gate, tmp_path / "spool")


def test_killed_before_the_claim(scene: Scene) -> None:
    """It waits for its client Secret, which comes before the claim."""
    app = scene.stage.get("secret", "acme-intuit-app")
    scene.stage.delete("secret", "acme-intuit-app")
    before = scene.refreshes()
    scene.ask()
    scene.watch.object(
        "acme", lambda body: "acme-intuit-app" in ready(body)["message"], what="it has noticed"
    )
    assert scene.intent() is None
    scene.kill()
    kept = {key: app[key] for key in ("apiVersion", "kind", "type", "data")}
    scene.stage.apply({**kept, "metadata": {"name": "acme-intuit-app"}})
    scene.recovers()
    # The first request had been answered: that Secret is missing.
    assert scene.refreshes() == before + 1


def test_killed_after_the_claim_before_the_provider_has_heard_of_it(scene: Scene) -> None:
    before = scene.refreshes()
    scene.gate.hold_requests()
    scene.ask()
    assert scene.gate.held.wait(30)
    intent = scene.intent()
    assert intent is not None
    assert intent["sequence"] == scene.sequence()
    scene.kill()
    scene.gate.lose()
    assert scene.refreshes() == before
    scene.recovers()
    assert scene.refreshes() == before + 2


def test_killed_with_the_request_at_work_and_then_lost(scene: Scene) -> None:
    """The provider drops it in the end: nothing was spent. Nobody sends the token before that is certain."""
    before = scene.refreshes()
    scene.stage.simulator.fault({"operation": "refresh"}, {"delaySeconds": 2.5, "drop": "before"})
    scene.ask()
    eventually(scene.at_work, what="a refresh at work")
    assert scene.intent() is not None
    scene.kill()
    scene.recovers()
    # The simulator ends a grant where two refreshes with one value overlap: they did not.
    assert scene.refreshes() == before + 3


@pytest.mark.parametrize("moment", ["at work", "answered"])
def test_killed_with_the_answer_on_its_way_where_the_old_value_still_works(scene: Scene, moment: str) -> None:
    scene.stage.simulator.switch(refreshGraceHours=24)
    _lose_an_answer(scene, moment)
    scene.recovers()


def test_killed_with_the_answer_on_its_way_where_it_does_not_is_the_one_end_that_needs_a_person(
    scene: Scene,
) -> None:
    """The new value was never ours. It is said, and a new import in place heals it."""
    _lose_an_answer(scene, "answered")
    scene.operator = scene.start().leads()
    body = scene.watch.object("acme", handled("now"), what="the provider's refusal", timeout=90)
    assert "invalid_grant" in ready(body)["message"]
    assert scene.stage.get("secret", SECRET)["data"]["envelope"], "kept all the same"
    scene.ask("still?")
    body = scene.watch.object(
        "acme",
        lambda body: (
            condition(body, "Authorized").get("reason") == "ReauthorizationRequired"
            and condition(body, "Authorized")["status"] == "False"
        ),
        what="said so",
    )
    assert "importTokensFrom" in condition(body, "Authorized")["message"]

    def told() -> list[str]:
        events = scene.stage.kubectl.json("get", "events.events.k8s.io", "-n", scene.stage.namespace)["items"]
        return [event["note"] for event in events if event["reason"] == "ReauthorizationRequired"]

    eventually(told, what="the Event")
    scene.stage.apply(manifests.import_secret("acme", scene.stage.simulator.tokens()))
    scene.ask("reconnected")
    body = scene.watch.object("acme", handled("reconnected"), what="reconnected in place", timeout=90)
    assert is_ready(body), ready(body)


def _lose_an_answer(scene: Scene, moment: str) -> None:
    before = scene.refreshes()
    if moment == "answered":
        scene.gate.hold_answers()
    else:
        scene.stage.simulator.fault({"operation": "refresh"}, {"delaySeconds": 2})
    scene.ask()
    eventually(lambda: scene.refreshes() > before, what="the request at the provider")
    if moment == "answered":
        assert scene.gate.held.wait(30)
    assert scene.intent() is not None
    scene.kill()
    eventually(lambda: not scene.at_work(), what="the provider done with it")
    scene.gate.lose()


def test_killed_after_the_secret_before_the_status(scene: Scene) -> None:
    scene.stage.tolerated += ["status of", "the schema refuses the status"]
    before, sequence = scene.refreshes(), scene.sequence()
    version = scene.stage.get("secret", SECRET)["data"]["envelope"]
    with refusals(scene.stage) as refuse:
        refuse(STATUS)
        scene.ask()
        eventually(lambda: scene.stage.get("secret", SECRET)["data"]["envelope"] != version, what="stored")
        assert scene.sequence() == sequence, "the status still speaks of the time before"
        scene.kill()
    body = scene.recovers()
    assert body["status"]["encryption"]["sequence"] == sequence + 3
    # The request was not recorded as handled: the next process carries it out again.
    assert scene.refreshes() == before + 3


def test_killed_with_the_answer_in_hand_and_no_api_server_to_store_it(
    own_plane: OwnPlane, tmp_path: Path
) -> None:
    own_plane.install_crds()
    stage = own_plane.stage()
    with Gate(stage.simulator.base_url) as gate:
        scene = Scene(stage, gate, tmp_path / "spool")
        before = scene.refreshes()
        gate.hold_requests()
        scene.ask()
        assert gate.held.wait(30)
        own_plane.freeze_api_server()
        gate.let_pass()
        (file,) = eventually(lambda: list(scene.spool.glob("*.answer")), what="the answer in the spool")
        scene.kill()
        assert file.stat().st_mode & 0o777 == 0o600
        # What the dead process had put on the wire may still be carried out now: the spool agrees with either.
        own_plane.thaw_api_server()
        scene.recovers()
        # One that was answered before the kill, the request carried out anew, and one more.
        assert scene.refreshes() == before + 3


def test_terminated_with_an_answer_that_cannot_be_stored_leaves_it_encrypted_for_the_next_one(
    own_plane: OwnPlane, tmp_path: Path
) -> None:
    """SIGTERM, and no API server for as long as the drain lasts: the last act goes to the disk."""
    own_plane.install_crds()
    stage = own_plane.stage()
    stage.tolerated += ["cannot be stored", "not everything was finished in time", "lease"]
    with Gate(stage.simulator.base_url) as gate:
        scene = Scene(stage, gate, tmp_path / "spool")
        gate.hold_requests()
        scene.ask()
        assert gate.held.wait(30)
        own_plane.freeze_api_server()
        gate.let_pass()
        eventually(lambda: list(scene.spool.glob("*.answer")), what="the answer in the spool")
        scene.operator.ask_to_end()
        assert scene.operator.wait(timeout=90) == 1 or scene.operator.process.returncode == 0
        own_plane.thaw_api_server()
        spooled = [line for line in scene.operator.lines if line.get("action") == "token.spool"]
        assert [line["connection"] for line in spooled] == ["acme"]
        scene.recovers()
