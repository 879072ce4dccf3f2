"""SIGKILL at each step of a deletion with `deletionPolicy: Revoke`: the next start brings it to its end.

The grant is ended at the provider, its Secret deleted, and the object gone; nothing waits for a person.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness.connecting import CODE_SECRET, REVOKE_PATH, TOKENS, Connecting, connect, unconnected
from cluster.harness.gate import Gate
from cluster.harness.refusals import CONNECTIONS, SECRETS, SECRETS_DELETED, refusals
from cluster.harness.stage import NewStage, Stage
from cluster.harness.watching import Watch, eventually, is_ready, ready
from cluster.operator_process import RunningOperator

pytest_plugins = ["cluster.harness.plugin"]


class Scene:
    """A connection that a person connected and that is to be revoked, and the operator that does it."""

    def __init__(self, stage: Stage, gate: Gate, spool: Path) -> None:
        self.stage, self.gate, self.spool = stage, gate, spool
        self.operator = self.start()
        self.watch: Watch = stage.watch("quickbooksconnections")
        unconnected(
            stage,
            token_url=gate.token_url,
            revoke_url=gate.origin + REVOKE_PATH,
            deletionPolicy="Revoke",
        )

    def start(self) -> RunningOperator:
        """The next operator process, on the same node."""
        return self.stage.operator("--token-timeout", "5s", "--spool-dir", str(self.spool))

    def connect(self) -> None:
        """A person connects the company."""
        code, said, _ = connect(self.stage)
        assert code == 0, said
        self.watch.object("acme", is_ready, what="Ready")

    def delete(self) -> None:
        """Somebody deletes it, and does not wait."""
        self.stage.kubectl("delete", "qbconnection", "acme", "-n", self.stage.namespace, "--wait=false")

    def answered(self) -> list[int | None]:
        """How the provider answered each revocation that it heard of; None: not."""
        return [entry.get("status") for entry in self.stage.simulator.requests("revoke")]

    def states(self) -> set[str]:
        """Of all grants that the app was ever given."""
        return {grant["state"] for grant in self.stage.simulator.get("/_simulator/grants")["grants"]}

    def kill(self) -> None:
        self.operator.kill()

    def goes(self, *, refreshes: int = 0) -> None:
        """The next process ends it all: the object, the grant, what was stored of it."""
        self.operator = self.start().leads()
        eventually(lambda: self.stage.all("qbconnection") == {}, what="the connection's end", timeout=90)
        assert self.states() == {"revoked"}
        assert not {TOKENS, CODE_SECRET} & set(self.stage.all("secret"))
        assert list(self.spool.iterdir()) == []
        assert len(self.stage.simulator.requests("refresh")) == refreshes, "a revoked token is not tried"
        assert ("Warning", "ReleasedWithoutRevoke") not in self.stage.events("acme")


@pytest.fixture
def scene(new_stage: NewStage, tmp_path: Path) -> Iterator[Scene]:
    stage = new_stage()
    with Gate(stage.simulator.base_url) as gate:
        yield Scene(stage, gate, tmp_path / "spool")


def test_killed_before_the_revocation_was_sent(scene: Scene) -> None:
    """It waits for its client Secret."""
    scene.connect()
    app = scene.stage.get("secret", "acme-intuit-app")
    scene.stage.delete("secret", "acme-intuit-app")
    scene.delete()
    scene.watch.object(
        "acme", lambda body: "the deletion waits: Secret" in ready(body)["message"], what="it waits"
    )
    scene.kill()
    assert scene.answered() == []
    assert TOKENS in scene.stage.all("secret")
    kept = {key: app[key] for key in ("apiVersion", "kind", "type", "data")}
    scene.stage.apply({**kept, "metadata": {"name": "acme-intuit-app"}})
    scene.goes()
    assert scene.answered() == [200]


def test_killed_before_the_provider_has_heard_of_it(scene: Scene) -> None:
    scene.connect()
    scene.gate.hold_requests()
    scene.delete()
    assert scene.gate.held.wait(30)
    scene.kill()
    scene.gate.lose()
    assert scene.answered() == []
    scene.goes()
    assert scene.answered() == [200]


def test_killed_with_the_revocation_at_work_and_then_lost(scene: Scene) -> None:
    scene.connect()
    scene.stage.simulator.fault({"operation": "revoke"}, {"delaySeconds": 2, "drop": "before"})
    scene.delete()
    eventually(scene.answered, what="the request at the provider")
    scene.kill()
    scene.goes()
    assert scene.answered()[-1] == 200


def test_killed_with_the_answer_on_its_way(scene: Scene) -> None:
    """The provider has ended the grant, and says so to nobody: the second time it does not know the token."""
    scene.connect()
    scene.gate.hold_answers()
    scene.delete()
    assert scene.gate.held.wait(30)
    scene.kill()
    scene.gate.lose()
    assert scene.states() == {"revoked"}
    assert TOKENS in scene.stage.all("secret")
    scene.goes()
    assert scene.answered() == [200, 400]


def test_killed_with_the_grant_ended_and_its_secret_not_deleted(scene: Scene) -> None:
    scene.connect()
    with refusals(scene.stage) as refuse:
        refuse(SECRETS_DELETED)
        scene.delete()
        scene.watch.reason("acme", "StoreFailing")
        scene.kill()
    assert scene.states() == {"revoked"}
    assert TOKENS in scene.stage.all("secret")
    scene.goes()


def test_killed_with_the_secret_deleted_and_the_finalizer_still_there(scene: Scene) -> None:
    scene.connect()
    with refusals(scene.stage) as refuse:
        refuse(CONNECTIONS)
        scene.delete()
        eventually(lambda: TOKENS not in scene.stage.all("secret"), what="the token Secret deleted")
        scene.kill()
    assert scene.stage.get("qbconnection", "acme")["metadata"]["finalizers"] == ["qbsync.dev/revoke"]
    scene.goes()
    assert scene.answered() == [200]


def test_killed_while_a_rotated_token_was_on_its_way_to_the_secret(scene: Scene) -> None:
    """Deleted after that: what lies in the spool is the token that ends the grant."""
    scene.connect()
    scene.stage.tolerated += ["cannot be stored"]
    scene.stage.simulator.switch(rotateAlways=True, refreshGraceHours=0, reuseRevokesFamily=False)
    with refusals(scene.stage) as refuse:
        scene.gate.hold_answers()
        scene.stage.annotate("qbconnection", "acme", requested_at="now")
        assert scene.gate.held.wait(30)
        refuse(SECRETS)
        scene.gate.let_pass()
        eventually(lambda: list(scene.spool.glob("*.answer")), what="the answer in the spool")
        scene.kill()
    scene.delete()
    scene.goes(refreshes=1)


def test_a_deletion_in_the_middle_of_an_exchange(scene: Scene) -> None:
    """Nobody has what the provider gave for that code; whatever there is of it here goes with the object."""
    scene.gate.hold_answers()
    connecting = Connecting(scene.stage)
    assert connecting.follow(connecting.consent()).status_code == 303
    assert scene.gate.held.wait(30)
    scene.delete()
    scene.kill()
    scene.gate.lose()
    scene.operator = scene.start().leads()
    eventually(lambda: scene.stage.all("qbconnection") == {}, what="the connection's end", timeout=90)
    assert not {TOKENS, CODE_SECRET} & set(scene.stage.all("secret"))
    assert len(scene.stage.simulator.requests("token")) == 1
    assert connecting.end()[0] != 0
