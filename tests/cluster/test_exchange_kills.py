"""SIGKILL at each step of a code's exchange: the next start has the grant, or says that a person has to connect again.

A code is sent once. What the provider gave for it is lost only with an answer that never arrived; then a new
consent heals it. When to kill is told by what a step leaves outside the process.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.harness.connecting import CODE_SECRET, TOKENS, Connecting, connect, unconnected
from cluster.harness.gate import Gate
from cluster.harness.refusals import SECRETS, SECRETS_DELETED, STATUS, TOKENS_CREATED, refusals
from cluster.harness.stage import NewStage, Stage
from cluster.harness.watching import Watch, eventually, handled, is_ready, ready
from cluster.operator_process import RunningOperator

pytest_plugins = ["cluster.harness.plugin"]

INTENT = "qbsync.dev/refresh-intent"
SENT = "qbsync.dev/codes-sent"


class Scene:
    """A connection whose consent is on its way, and the operator that exchanges it."""

    def __init__(self, stage: Stage, tokens: Gate, api: Gate, spool: Path) -> None:
        self.stage, self.tokens, self.api, self.spool = stage, tokens, api, spool
        self.operator = self.start()
        self.watch: Watch = stage.watch("quickbooksconnections")
        unconnected(stage, token_url=tokens.token_url, api_url=api.origin)
        # A grant whose tokens are not the newest shows at its next refresh; a code sent twice ends its grant.
        stage.simulator.switch(
            rotateAlways=True, refreshGraceHours=0, reuseRevokesFamily=True, codeReuseRevokes=True
        )
        self.watch.reason("acme", "ReauthorizationRequired")
        self.earlier = 0
        """Codes that were sent before the one that this is about."""

    def start(self) -> RunningOperator:
        """The next operator process, on the same node."""
        return self.stage.operator("--token-timeout", "5s", "--spool-dir", str(self.spool))

    def connected_before(self) -> None:
        """There is a grant already: what follows is a reconnect in place."""
        code, said, _ = connect(self.stage)
        assert code == 0, said
        self.watch.object("acme", is_ready, what="connected before")
        self.earlier = 1

    def consent(self) -> Connecting:
        """A person has consented, and their code is handed over."""
        connecting = Connecting(self.stage)
        assert connecting.follow(connecting.consent()).status_code == 303
        return connecting

    def sent(self) -> int:
        """How often this code reached the provider."""
        return len(self.stage.simulator.requests("token")) - self.earlier

    def notes(self) -> dict[str, Any]:
        """The annotations of the token Secret; empty if there is none."""
        secret = self.stage.all("secret").get(TOKENS)
        return dict(secret["metadata"].get("annotations") or {}) if secret is not None else {}

    def announced(self) -> bool:
        """It is written down that this code is sent, and the flight is not over."""
        notes = self.notes()
        known = notes.get(SENT, ":").partition(":")[2].split(",")
        return INTENT in notes and len([code for code in known if code]) == self.earlier + 1

    def kill(self) -> None:
        self.operator.kill()

    def is_well(self, connecting: Connecting | None, *, sent: int) -> None:
        """The next process has the provider's newest tokens, a waiting person hears so, and nothing lies about."""
        self.operator = self.start().leads()
        if connecting is not None:
            code, said = connecting.end()
            assert code == 0, said
            assert "is connected to" in said
        self.watch.object("acme", is_ready, what="Ready", timeout=90)
        self.is_settled(sent)

    def needs_a_person(self, connecting: Connecting, *, sent: int) -> None:
        """The next process says so, to whoever looks at it and to the waiting person; another consent heals it."""
        self.operator = self.start().leads()
        code, said = connecting.end()
        assert code == 1, said
        assert "sent before" in said
        assert "qbsync connect" in said
        if self.earlier:
            # The grant that there was goes on.
            self.watch.object("acme", is_ready, what="Ready", timeout=90)
        else:
            body = self.watch.reason("acme", "ReauthorizationRequired")
            assert "qbsync connect" in ready(body)["message"]
        assert CODE_SECRET not in self.stage.all("secret")
        assert self.sent() == sent
        code, said, _ = connect(self.stage)
        assert code == 0, said
        self.watch.object("acme", is_ready, what="Ready", timeout=90)
        self.is_settled(sent + 1)

    def is_settled(self, sent: int) -> None:
        self.stage.annotate("qbconnection", "acme", requested_at="once more")
        body = self.watch.object("acme", handled("once more"), what="refreshed once more", timeout=90)
        assert is_ready(body), ready(body)
        eventually(lambda: CODE_SECRET not in self.stage.all("secret"), what="the code deleted")
        assert self.sent() == sent
        assert [entry["status"] for entry in self.stage.simulator.requests("refresh")][-1] == 200
        assert INTENT not in self.notes()
        assert list(self.spool.iterdir()) == []


@pytest.fixture
def scene(new_stage: NewStage, tmp_path: Path) -> Iterator[Scene]:
    stage = new_stage()
    base = stage.simulator.base_url
    with Gate(base) as tokens, Gate(base) as api:
        yield Scene(stage, tokens, api, tmp_path / "spool")


@pytest.fixture(params=["first", "again"])
def either(request: pytest.FixtureRequest, scene: Scene) -> Scene:
    """A scene for a company's first consent, and for one in place of a grant that works."""
    if request.param == "again":
        scene.connected_before()
    return scene


def test_killed_before_the_code_was_announced(scene: Scene) -> None:
    """It waits for its client Secret, which comes before the announcement."""
    connecting = Connecting(scene.stage)
    app = scene.stage.get("secret", "acme-intuit-app")
    scene.stage.delete("secret", "acme-intuit-app")
    assert connecting.follow(connecting.consent()).status_code == 303
    code, said = connecting.end()
    assert code == 1
    assert "acme-intuit-app" in said
    assert SENT not in scene.notes()
    scene.kill()
    kept = {key: app[key] for key in ("apiVersion", "kind", "type", "data")}
    scene.stage.apply({**kept, "metadata": {"name": "acme-intuit-app"}})
    # The person was told that the Secret is missing; their code is good all the same.
    scene.is_well(None, sent=1)


def test_killed_before_the_announcement_could_be_written(scene: Scene) -> None:
    with refusals(scene.stage) as refuse:
        refuse(TOKENS_CREATED)
        connecting = scene.consent()
        scene.watch.reason("acme", "StoreFailing")
        scene.kill()
    assert scene.sent() == 0
    scene.is_well(connecting, sent=1)


def test_killed_with_the_code_announced_and_not_sent(either: Scene) -> None:
    """Nobody can tell that it was not: it counts as sent."""
    either.tokens.shut()
    connecting = either.consent()
    eventually(either.announced, what="the announcement")
    either.kill()
    either.tokens.let_pass()
    either.needs_a_person(connecting, sent=0)


def test_killed_where_the_code_was_certainly_not_sent(new_stage: NewStage, tmp_path: Path) -> None:
    """Nobody listens there: the announcement is taken back, and the next process sends the code."""
    stage = new_stage()
    base = stage.simulator.base_url
    with Gate(base, listening=False) as tokens, Gate(base) as api:
        scene = Scene(stage, tokens, api, tmp_path / "spool")
        connecting = scene.consent()
        scene.watch.object("acme", lambda body: "waits to be sent" in ready(body)["message"], what="not sent")
        scene.kill()
        assert not scene.announced()
        tokens.let_pass()
        scene.is_well(connecting, sent=1)


def test_killed_before_the_provider_has_heard_of_the_code(either: Scene) -> None:
    either.tokens.hold_requests()
    connecting = either.consent()
    assert either.tokens.held.wait(30)
    assert either.announced()
    either.kill()
    either.tokens.lose()
    either.needs_a_person(connecting, sent=0)


def test_killed_with_the_exchange_at_work_and_then_lost(scene: Scene) -> None:
    scene.stage.simulator.fault({"operation": "token"}, {"delaySeconds": 2, "drop": "before"})
    connecting = scene.consent()
    eventually(scene.sent, what="the code at the provider")
    scene.kill()
    scene.needs_a_person(connecting, sent=1)


def test_killed_with_the_answer_on_its_way(either: Scene) -> None:
    """The provider gave a grant that nobody has."""
    either.tokens.hold_answers()
    connecting = either.consent()
    assert either.tokens.held.wait(30)
    assert either.announced()
    either.kill()
    either.tokens.lose()
    either.needs_a_person(connecting, sent=1)


def test_killed_with_the_answer_in_hand_and_the_company_not_read_yet(either: Scene) -> None:
    """It lies in the spool; the next process stores it, and reads the company before it is used."""
    either.api.hold_requests()
    connecting = either.consent()
    (file,) = eventually(lambda: list(either.spool.glob("*.answer")), what="the answer in the spool")
    assert either.api.held.wait(30)
    assert file.stat().st_mode & 0o777 == 0o600
    either.kill()
    either.api.lose()
    either.is_well(connecting, sent=1)


def test_killed_with_the_answer_of_another_company_in_hand(either: Scene) -> None:
    """The callback named ours. The next process reads the company, and goes back to the grant that there was."""
    simulator = either.stage.simulator
    either.api.hold_requests()
    connecting = Connecting(either.stage)
    other = simulator.realm()
    address = connecting.consent(other).replace(f"realmId={other}", f"realmId={simulator.realm_id}")
    assert connecting.follow(address).status_code == 303
    eventually(lambda: list(either.spool.glob("*.answer")), what="the answer in the spool")
    assert either.api.held.wait(30)
    either.kill()
    either.api.lose()
    either.operator = either.start().leads()
    if either.earlier:
        code, said = connecting.end()
        assert code == 1
        assert "the consent is for another company" in said
        either.watch.object("acme", is_ready, what="Ready", timeout=90)
        either.is_settled(sent=1)
        return
    body = either.watch.reason("acme", "RealmMismatch")
    assert "check both, then reconnect" in ready(body)["message"]
    connecting.end()
    code, said, _ = connect(either.stage)
    assert code == 0, said
    either.watch.object("acme", is_ready, what="Ready", timeout=90)
    either.is_settled(sent=2)


def test_killed_with_an_answer_that_the_api_server_does_not_take(either: Scene) -> None:
    either.stage.tolerated += ["cannot be stored"]
    with refusals(either.stage) as refuse:
        either.tokens.hold_answers()
        connecting = either.consent()
        assert either.tokens.held.wait(30)
        refuse(SECRETS)
        either.tokens.let_pass()
        either.watch.reason("acme", "StoreFailing")
        either.kill()
    assert len(list(either.spool.glob("*.answer"))) == 1
    either.is_well(connecting, sent=1)


def test_killed_with_the_grant_stored_and_the_code_not_deleted(either: Scene) -> None:
    with refusals(either.stage) as refuse:
        refuse(SECRETS_DELETED)
        connecting = either.consent()
        either.operator.await_line(
            lambda line: "not deleted yet" in line.get("message", ""), what="it could not delete the code"
        )
        assert CODE_SECRET in either.stage.all("secret")
        either.kill()
    either.is_well(connecting, sent=1)


def test_killed_with_the_code_deleted_and_the_status_not_written(either: Scene) -> None:
    either.stage.tolerated += ["status of"]
    with refusals(either.stage) as refuse:
        refuse(STATUS)
        connecting = either.consent()
        eventually(lambda: either.sent() == 1, what="the code at the provider")
        eventually(lambda: CODE_SECRET not in either.stage.all("secret"), what="the code deleted")
        either.kill()
    if either.earlier == 0:
        either.is_well(connecting, sent=1)
        return
    # Nothing that a person can read tells the new grant from the old one.
    either.start().leads()
    code, said = connecting.end()
    assert code == 1
    assert "if in doubt" in said
    either.is_settled(sent=1)


def test_an_answer_lies_sealed_in_the_spool_before_its_company_is_read(scene: Scene) -> None:
    scene.api.hold_requests()
    connecting = scene.consent()
    assert scene.api.held.wait(60)
    (file,) = scene.spool.glob("*.answer")
    assert json.loads(file.read_text())["envelope"].startswith("v1.")
    assert "RT1-" not in file.read_text()
    scene.api.let_pass()
    assert connecting.end()[0] == 0
    assert list(scene.spool.iterdir()) == []
