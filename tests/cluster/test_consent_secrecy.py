"""Nothing that was written anywhere shows an authorization code, or a token that came of one, however it ended."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from cluster.harness import manifests
from cluster.harness.connecting import CODE_SECRET, REVOKE_PATH, TOKENS, Connecting, unconnected
from cluster.harness.eavesdropper import Eavesdropper, leaks, stored, text_of
from cluster.harness.stage import Stage
from cluster.harness.watching import Watch, eventually, handled, is_ready, ready
from cluster.operator_process import MASTER_KEY

pytest_plugins = ["cluster.harness.plugin"]

REDIRECT = "https://example.com/callback"
FORGED = "AB11" + "a0b1c2d3e4" * 5
NOT_THE_SECRET = "notTheClientSecretOfThisApp0123456789abc"


class People:
    """Those who connect the company with `qbsync connect --paste`: what they held in hand, and what they were told."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.codes: set[str] = set()
        self.states: set[str] = set()
        self.told: list[str] = []

    def paste(self, company: str | None = None, **changed: str) -> int:
        """Consent, and paste the address that it ended at, with some of its parts changed; the exit code."""
        connecting = Connecting(self.stage, "--paste", "--redirect-uri", REDIRECT)
        address = httpx2.URL(connecting.consent(company))
        pasted = address.copy_merge_params(changed)
        for url in (address, pasted):
            self.codes.add(url.params["code"])
            self.states.add(url.params["state"])
        code, said = connecting.end(f"{pasted}\n")
        self.told.append(said)
        assert "Traceback" not in said, said
        return code


class Ears:
    """Every revision of a stage's connections and Secrets, from now on."""

    def __init__(self, stage: Stage) -> None:
        self.connections = stage.watch("quickbooksconnections")
        self._secrets = Watch(
            binary=stage.bin_dir / "kubectl",
            kubeconfig=stage.kubectl.kubeconfig,
            path=f"/api/v1/namespaces/{stage.namespace}/secrets",
        )

    def close(self) -> None:
        self._secrets.close()

    def texts(self) -> dict[str, str]:
        """Without what belongs there: the app's Secret, and the code in the Secret that hands it over."""
        told = {
            f"revision {n} of {event.name}": text_of(event.body)
            for n, event in enumerate(tuple(self.connections.events))
        }
        for n, event in enumerate(tuple(self._secrets.events)):
            body = event.body
            if event.name == CODE_SECRET:
                body = {**body, "data": {key: text for key, text in body["data"].items() if key != "code"}}
            if not event.name.endswith("-intuit-app"):
                told[f"revision {n} of Secret {event.name}"] = text_of(body)
        return told


def test_no_code_and_no_token_of_a_consent_stands_anywhere(stage: Stage, tmp_path: Path) -> None:
    simulator, people, ears = stage.simulator, People(stage), Ears(stage)
    spool = tmp_path / "spool"
    with Eavesdropper(simulator.base_url) as heard:
        operator = stage.operator(
            *("--log-level", "debug", "--invoice-events", "all", "--spool-dir", str(spool))
        )
        revoke_url = heard.origin + REVOKE_PATH
        unconnected(stage, token_url=heard.token_url, revoke_url=revoke_url, deletionPolicy="Revoke")
        _come_to_nothing(stage, people, heard)
        _go_through_the_life_of_a_grant(stage, people, ears)
        before_the_end = {f"{name}, before the end": text for name, text in stored(stage).items()}
        secrets = _secrets(stage, people, heard)
        _revoke(stage, heard)
        metrics = operator.metrics().text
        assert operator.terminate() == 0
    assert list(spool.iterdir()) == [], "also of the grant that was another company's"

    texts = {
        **before_the_end,
        **stored(stage),
        **ears.texts(),
        "logs": stage.logs(),
        "metrics": metrics,
    }
    ears.close()
    told = {f"told to person {n}": text for n, text in enumerate(people.told)}
    assert _found({**texts, **told}, secrets) == {}
    # A person's terminal shows the link with its state; nothing else shows that.
    assert _found(texts, people.states) == {}
    assert f"secrets/{stage.namespace}/{TOKENS}, before the end" in texts
    assert any(name.endswith(f"of Secret {CODE_SECRET}") for name in texts)
    _find_what_is_planted(stage, secrets, texts)


def _come_to_nothing(stage: Stage, people: People, heard: Eavesdropper) -> None:
    """Consents that bring no grant."""
    simulator, other = stage.simulator, stage.simulator.realm()
    assert people.paste(state="of-another-consent-altogether") == 2
    assert people.paste(realmId="") == 2
    assert people.paste(other) == 1
    assert heard.codes == []
    failing: tuple[dict[str, Any], ...] = (
        {"status": 503},
        {"html": True},
        {"truncated": True},
        {"drop": "after"},
    )
    for effect in failing:
        simulator.fault({"operation": "token"}, effect)
        assert people.paste() == 1, effect
    assert people.paste(code=FORGED) == 1
    right = simulator.tokens()
    stage.apply(manifests.client_secret("acme", {**right, "client_secret": NOT_THE_SECRET}))
    assert people.paste() == 1
    stage.apply(manifests.client_secret("acme", right))
    # Exchanged, and then shown to be of another company.
    before = len(heard.revoked)
    assert people.paste(other, realmId=simulator.realm_id) == 1
    assert "another company" in people.told[-1]
    assert len(heard.revoked) == before + 1
    assert heard.revoked[-1] == heard.answers[-1]["refresh_token"]


def _go_through_the_life_of_a_grant(stage: Stage, people: People, ears: Ears) -> None:
    assert people.paste() == 0, people.told[-1]
    ears.connections.object("acme", is_ready, what="Ready")
    stage.simulator.switch(rotateAlways=True, refreshGraceHours=0)
    stage.annotate("qbconnection", "acme", requested_at="rotated")
    ears.connections.object("acme", handled("rotated"), what="rotated")
    # A 401, whose real body holds the access token that came of the code.
    assert people.paste() == 0, people.told[-1]
    stage.simulator.advance(3700)
    invoices = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    invoices.object("inv-1", is_ready, what="Ready")
    # The person takes the grant back at Intuit.
    for grant in stage.simulator.get("/_simulator/grants")["grants"]:
        stage.simulator.post(f"/_simulator/grants/{grant['number']}/revoke")
    stage.annotate("qbconnection", "acme", requested_at="taken back")
    body = ears.connections.object("acme", handled("taken back"), what="the provider's refusal")
    assert "invalid_grant" in ready(body)["message"]
    assert people.paste() == 0, people.told[-1]
    ears.connections.object("acme", is_ready, what="Ready")


def _revoke(stage: Stage, heard: Eavesdropper) -> None:
    before = len(heard.revoked)
    for effect in ({"status": 503}, {"html": True}):
        stage.simulator.fault({"operation": "revoke"}, effect)
    stage.kubectl("delete", "qbconnection", "acme", "-n", stage.namespace, "--wait=false")
    eventually(lambda: stage.all("qbconnection") == {}, what="the connection's end", timeout=90)
    assert len(heard.revoked) == before + 3
    assert not {TOKENS, CODE_SECRET} & set(stage.all("secret"))


def _secrets(stage: Stage, people: People, heard: Eavesdropper) -> set[str]:
    """What must stand nowhere: all codes, all tokens ever issued, the app's secret and our key."""
    simulator = stage.simulator
    issued: set[str] = set()
    for grant in simulator.get("/_simulator/grants")["grants"]:
        copied = simulator.post(f"/_simulator/grants/{grant['number']}/copy")
        issued |= {copied[key] for key in ("access_token", "refresh_token", "client_secret") if copied[key]}
    granted = {answer["refresh_token"] for answer in heard.answers if "refresh_token" in answer}
    assert len(granted) >= 5, "the run has seen codes exchanged, and rotations"
    assert FORGED in heard.codes
    assert len(people.codes) > len(set(heard.codes)), "some codes were never sent"
    assert len(heard.codes) == len(set(heard.codes)), "no code was sent twice"
    basic = base64.b64encode(f"{simulator.tokens()['client_id']}:{NOT_THE_SECRET}".encode()).decode()
    assert {basic, NOT_THE_SECRET} <= heard.secrets
    return heard.secrets | people.codes | issued | {MASTER_KEY[7:]}


def _found(texts: Mapping[str, str], secrets: set[str]) -> dict[str, list[str]]:
    return {name: found for name, text in texts.items() if (found := leaks(text, secrets))}


def _find_what_is_planted(stage: Stage, secrets: set[str], clean: Mapping[str, str]) -> None:
    """The same look at the same places does find a secret that stands there."""
    code, token = sorted(secrets)[0], max(secrets, key=len)
    secret = manifests.secret("planted-secret", note=f"before {code} after")
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "planted-config"},
        "data": {"body": base64.b64encode(f"x{token}".encode()).decode()},
    }
    noted = manifests.invoice(
        "planted-invoice", annotations={"example.com/note": token[: len(token) * 3 // 4]}
    )
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "planted-event"},
        "eventTime": "2026-11-23T09:00:00.000000Z",
        "type": "Warning",
        "reason": "Planted",
        "action": "Plant",
        "reportingController": "test",
        "reportingInstance": "test",
        "note": f"refused: {code}",
        "regarding": {"kind": "Secret", "name": "planted", "namespace": stage.namespace},
    }
    stage.apply(secret, config, event, noted)
    (stage.folder / "operator-planted.log").write_text(f'{{"traceback": "ValueError: {code}"}}\n')
    found = _found({**clean, **stored(stage), "logs": stage.logs()}, secrets)
    assert set(found) == {
        f"secrets/{stage.namespace}/planted-secret",
        f"configmaps/{stage.namespace}/planted-config",
        f"events.events.k8s.io/{stage.namespace}/planted-event",
        f"invoicesyncs.qbsync.dev/{stage.namespace}/planted-invoice",
        "logs",
    }


def test_a_person_who_pastes_nothing_is_shown_no_secret(stage: Stage) -> None:
    """The terminal was closed, or somebody pressed Enter."""
    unconnected(stage)
    client_secret = stage.simulator.tokens()["client_secret"]
    for pasted in ("", "\n", "https://example.com/callback\n"):
        connecting = Connecting(stage, "--paste", "--redirect-uri", REDIRECT)
        code, said = connecting.end(pasted)
        assert code != 0, said
        assert "Traceback" not in said
        assert leaks(said, {client_secret}) == []
