"""Grants that come from elsewhere, move, come back or belong to nobody: on a real API server."""

import json
from pathlib import Path
from typing import Any

from cluster.harness import manifests
from cluster.harness.commands import CommandLine, Result, envelope_of
from cluster.harness.eavesdropper import Eavesdropper, leaks
from cluster.harness.stage import Stage
from cluster.harness.watching import eventually, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]


def env_file(stage: Stage, folder: Path) -> tuple[Path, dict[str, Any]]:
    grant = stage.simulator.tokens()
    path = folder / "bridge.env"
    path.write_text(
        f"QUICKBOOKS_CLIENT_ID={grant['client_id']}\n"
        f"QUICKBOOKS_CLIENT_SECRET='{grant['client_secret']}'\n"
        f"export QUICKBOOKS_REALM_ID={stage.simulator.realm_id}\n"
        f"QUICKBOOKS_ACCESS_TOKEN={grant['access_token']}\n"
        f'MY_REFRESH="{grant["refresh_token"]}"\n'
    )
    return path, grant


def migrate(qbsync: CommandLine, path: Path, *more: str) -> Result:
    base = qbsync.stage.simulator.base_url
    return qbsync(
        *("tokens", "migrate", "--from-env", str(path), "--name", "acme", "-n", qbsync.stage.namespace),
        *("--environment", "Custom", "--api-endpoint", base),
        *("--token-endpoint", f"{base}/oauth2/v1/tokens/bearer", "--map", "refresh_token=MY_REFRESH", *more),
        key=None,
    )


def versions(stage: Stage) -> dict[str, str]:
    """What changes with every write, of all that a migration makes."""
    names = ("acme-intuit-app", "acme-tokens-import")
    return {
        name: body["metadata"]["resourceVersion"]
        for name, body in stage.all("secret").items()
        if name in names
    } | {"generation": str(stage.get("qbconnection", "acme")["metadata"]["generation"])}


def test_tokens_of_the_old_bridge_are_migrated_once(stage: Stage, tmp_path: Path) -> None:
    qbsync = CommandLine(stage)
    stage.operator()
    watch = stage.watch("quickbooksconnections")
    path, grant = env_file(stage, tmp_path)

    shown = migrate(qbsync, path)
    assert shown.code == 0, shown.said
    assert "create" in shown.out
    assert "Stop the program" in shown.err
    assert stage.all("qbconnection") == {}
    assert "acme-intuit-app" not in stage.all("secret")

    done = migrate(qbsync, path, "--apply")
    assert done.code == 0, done.said
    assert "Remove MY_REFRESH, QUICKBOOKS_ACCESS_TOKEN, QUICKBOOKS_CLIENT_SECRET from" in done.err
    body = watch.object("acme", is_ready, what="Ready")
    managers = {
        entry["manager"]
        for entry in stage.kubectl.json(
            "get", "qbconnection", "acme", "-n", stage.namespace, "--show-managed-fields"
        )["metadata"]["managedFields"]
    }
    assert "qbsync" in managers
    eventually(
        lambda: stage.get("secret", "acme-tokens-import")["data"]["refresh_token"] == "",
        what="import emptied",
    )

    before = versions(stage)
    again = migrate(qbsync, path, "--apply", "-o", "json")
    assert (again.code, again.json()["applied"]) == (0, False)
    assert versions(stage) == before
    stage.delete("secret", "acme-tokens-import")
    assert migrate(qbsync, path, "--apply").code == 0
    assert "acme-tokens-import" not in stage.all("secret"), "the token does not come back in plain text"

    newer = path.with_name("newer.env")
    newer.write_text(
        path.read_text().replace(grant["refresh_token"], stage.simulator.tokens()["refresh_token"])
    )
    refused = migrate(qbsync, newer, "--apply")
    assert (refused.code, "working grant" in refused.err) == (1, True)
    assert ready(body)["status"] == "True"
    secrets = {grant["refresh_token"], grant["access_token"], grant["client_secret"]}
    assert leaks(qbsync.everything, secrets) == []


def test_a_migration_that_the_file_or_the_cluster_forbids(stage: Stage, tmp_path: Path) -> None:
    qbsync = CommandLine(stage)
    path, grant = env_file(stage, tmp_path)
    assert migrate(qbsync, tmp_path / "none").code == 2
    unmapped = qbsync("tokens", "migrate", "--from-env", str(path), "--name", "acme", "-n", stage.namespace)
    assert (unmapped.code, "--map refresh_token=" in unmapped.err) == (1, True)
    stage.apply(manifests.secret("acme-intuit-app", client_id="somebody", client_secret="else"))
    taken = migrate(qbsync, path, "--apply")
    assert (taken.code, "other credentials" in taken.err) == (1, True)
    assert "acme-tokens-import" not in stage.all("secret")
    bad = qbsync("tokens", "migrate", "--from-env", str(path), "--name", "Not A Name", "-n", stage.namespace,
                 "--map", "refresh_token=MY_REFRESH", "--environment", "Sandbox", "--apply")  # fmt: skip
    assert bad.code == 2
    assert leaks(qbsync.everything, {grant["refresh_token"], grant["client_secret"]}) == []


def test_a_grant_moves_to_another_name_and_goes_on_there(stage: Stage) -> None:
    qbsync = CommandLine(stage)
    stage.simulator.switch(rotateAlways=True, reuseKillsAccessTokens=True)
    with Eavesdropper(stage.simulator.base_url) as heard:
        operator = stage.operator()
        watch = stage.connected(token_url=heard.token_url)
        names = ("--from", f"{stage.namespace}/acme", "--to", f"{stage.namespace}/acme-two")

        refused = qbsync("tokens", "adopt", *names)
        assert (refused.code, "two connections must not use one grant" in refused.err) == (1, True)
        stage.delete("qbconnection", "acme")
        dry = qbsync("tokens", "adopt", *names, "--dry-run")
        assert (dry.code, "WouldMove" in dry.out) == (0, True)
        # The connection of the new name is there already, and has nothing yet.
        two = stage.connection(
            "acme-two", token_url=heard.token_url, clientSecretRef={"name": "acme-intuit-app"}
        )
        del two["spec"]["importTokensFrom"]
        stage.apply(two)
        watch.reason("acme-two", "ReauthorizationRequired")
        moved = qbsync("tokens", "adopt", *names)
        assert moved.code == 0, moved.said
        assert "acme-qbsync-tokens" not in stage.all("secret")
        stage.annotate("qbconnection", "acme-two", requested_at="adopted")
        watch.object("acme-two", is_ready, what="Ready with the adopted grant", timeout=90)
        eventually(lambda: "TokensAdopted" in reasons_of_events(stage, "acme-two"), what="its Event")
        line = operator.await_line(lambda line: line.get("action") == "token.adopt", what="an audit line")
        assert (line["audit"], line["connection"]) == (True, "acme-two")
        again = qbsync("tokens", "adopt", *names)
        assert (again.code, "no token Secret" in again.err) == (1, True)
        assert len(heard.answers) >= 2
        assert leaks(qbsync.everything + stage.logs(), heard.secrets) == []
        assert qbsync("tokens", "adopt", "--from", "acme", "--to", "b/c").code == 2


def test_purge_deletes_what_no_connection_wants_and_only_after_a_yes(stage: Stage) -> None:
    qbsync = CommandLine(stage)
    stage.operator()
    watch = stage.connected()
    realm = stage.simulator.realm()
    stage.connect("beta", realm=realm)
    watch.object("beta", is_ready, what="Ready")
    nothing = qbsync("tokens", "purge", "-n", stage.namespace, "--yes", key=None)
    assert (nothing.code, "every stored grant has its connection" in nothing.err) == (0, True)

    stage.delete("qbconnection", "acme")
    listed = qbsync("tokens", "purge", "-n", stage.namespace, "--dry-run", "-o", "json", key=None)
    assert [one["connection"] for one in listed.json()["secrets"]] == ["acme"]
    asked = qbsync("tokens", "purge", "-n", stage.namespace, key=None)
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert "acme-qbsync-tokens" in stage.all("secret")
    purged = qbsync("tokens", "purge", "-n", stage.namespace, "--yes", key=None)
    assert purged.code == 0, purged.said
    assert "acme-qbsync-tokens" not in stage.all("secret")
    assert "beta-qbsync-tokens" in stage.all("secret")
    assert is_ready(stage.get("qbconnection", "beta"))


def test_a_connection_that_is_applied_again_takes_its_tokens_over(stage: Stage) -> None:
    """Deleted and applied under the operator's eyes: another uid, the same grant, nobody is asked."""
    operator = stage.operator()
    watch = stage.connected()
    first = stage.get("qbconnection", "acme")["metadata"]["uid"]
    imported = stage.simulator.counters()["requests"]["refresh"]
    stage.delete("qbconnection", "acme")
    stage.delete("secret", "acme-tokens-import")
    stage.apply(stage.connection())
    body = watch.object(
        "acme", lambda body: body["metadata"]["uid"] != first and is_ready(body), what="Ready"
    )
    assert body["metadata"]["uid"] != first
    assert stage.simulator.counters()["requests"]["refresh"] == imported, "the access token still serves"
    eventually(lambda: "TokensAdopted" in reasons_of_events(stage, "acme"), what="its Event")
    line = operator.await_line(lambda line: line.get("action") == "token.adopt", what="an audit line")
    assert line["uid"] == body["metadata"]["uid"]
    assert first in line["detail"]
    stage.annotate("qbconnection", "acme", requested_at="now")
    watch.object("acme", lambda body: body["status"].get("lastHandledRequest") == "now", what="refreshed")


def test_a_restored_backup_of_everything_works_with_the_grant_that_was_saved(stage: Stage) -> None:
    """As after etcd was restored elsewhere: new uids, an older Secret, a status that is ahead of it."""
    stage.simulator.switch(refreshGraceHours=24)
    first = stage.operator("--token-timeout", "3s")
    watch = stage.connected()
    saved = stage.get("secret", "acme-qbsync-tokens")
    stage.annotate("qbconnection", "acme", requested_at="after the backup")
    later = watch.object(
        "acme", lambda body: body["status"].get("lastHandledRequest") == "after the backup", what="refreshed"
    )
    assert first.terminate() == 0
    newer = envelope_of(stage)
    stage.delete("qbconnection", "acme")
    stage.delete("secret", "acme-qbsync-tokens")

    metadata = {key: saved["metadata"][key] for key in ("name", "labels", "annotations")}
    stage.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": saved["type"],
            "metadata": metadata,
            "data": saved["data"],
        }
    )
    assert envelope_of(stage) != newer
    stage.apply(stage.connection())
    standing = stage.get("qbconnection", "acme")
    standing["status"] = later["status"]
    stage.kubectl("replace", "--subresource=status", "-f", "-", stdin=json.dumps(standing))

    stage.tolerated.append("TokenStoreRolledBack")
    stage.operator("--token-timeout", "3s")
    eventually(
        lambda: {"TokensAdopted", "TokenStoreRolledBack"} <= reasons_of_events(stage, "acme"),
        what="both are said",
    )
    stage.annotate("qbconnection", "acme", requested_at="restored")
    body = watch.object(
        "acme",
        lambda body: body["status"].get("lastHandledRequest") == "restored" and is_ready(body),
        what="refreshed with the restored grant",
        timeout=90,
    )
    assert body["status"]["encryption"]["sequence"] > later["status"]["encryption"]["sequence"]


def reasons_of_events(stage: Stage, name: str) -> set[str]:
    found = stage.kubectl.json("get", "events.events.k8s.io", "-n", stage.namespace)["items"]
    return {event["reason"] for event in found if event["regarding"]["name"] == name}


SECRETS, CONNECTIONS = ("", "secrets"), ("qbsync.dev", "quickbooksconnections")
RIGHTS: dict[str, dict[tuple[str, str], list[str]]] = {
    "keys list": {SECRETS: ["list"]},
    "keys check": {SECRETS: ["list"], CONNECTIONS: ["list"]},
    "tokens purge --dry-run": {SECRETS: ["list"], CONNECTIONS: ["list"]},
    "keys rewrap": {SECRETS: ["list", "get", "update"], CONNECTIONS: ["list"]},
    "tokens adopt --from {0}/gone --to {0}/acme-two": {
        SECRETS: ["list", "get", "update", "create", "delete"],
        CONNECTIONS: ["list"],
    },
    "tokens migrate --from-file {1} --name fresh --apply": {
        SECRETS: ["get", "create", "patch"],
        CONNECTIONS: ["get", "create", "patch"],
    },
    "tokens purge --yes": {SECRETS: ["list", "delete"], CONNECTIONS: ["list"]},
}
"""As docs/operations.md has them; in an order in which each finds something to do."""


def test_each_command_needs_no_more_rights_than_the_docs_say(stage: Stage, tmp_path: Path) -> None:
    operator = stage.operator()
    stage.connected("gone")
    stage.delete("qbconnection", "gone")
    assert operator.terminate() == 0
    file = tmp_path / "tokens.json"
    file.write_text(
        json.dumps(
            {
                "refresh_token": "RT1-never-used-by-anybody-0000000000",
                "realmId": "1234567890123456",
                "client_id": "c",
                "client_secret": "a-client-secret-of-nobody",
                "environment": "sandbox",
            }
        )
    )
    stage.kubectl("create", "serviceaccount", "person", "-n", stage.namespace)
    account = f"system:serviceaccount:{stage.namespace}:person"
    stage.kubectl(
        "create", "rolebinding", "person", "-n", stage.namespace, "--role=person", f"--user={account}"
    )
    qbsync = CommandLine(stage, kubeconfig=person(stage, tmp_path))
    refused = qbsync("keys", "list", "-n", stage.namespace)
    assert refused.code == 2
    assert "lacks a right" in refused.err
    for command, rights in RIGHTS.items():
        grant_rights(stage, rights)
        words = command.format(stage.namespace, file).split()
        scope = () if "adopt" in words else ("-n", stage.namespace)
        done = qbsync(*words, *scope)
        assert done.code == 0, f"{command}: {done.said}"
    names = set(stage.all("secret"))
    assert not {"gone-qbsync-tokens", "acme-two-qbsync-tokens"} & names
    assert {"fresh-intuit-app", "fresh-tokens-import"} <= names


def grant_rights(stage: Stage, rights: dict[tuple[str, str], list[str]]) -> None:
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": verbs}
        for (group, resource), verbs in rights.items()
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "person"},
        "rules": rules,
    }
    stage.apply(role)
    # The authorizer learns of a role through its own watch.
    account = f"system:serviceaccount:{stage.namespace}:person"
    for (group, resource), verbs in rights.items():
        for verb in verbs:
            what = f"{resource}.{group}" if group else resource
            eventually(
                lambda verb=verb, what=what: may(stage, account, verb, what),  # type: ignore[misc]
                what=f"{verb} {what} is allowed",
            )


def may(stage: Stage, account: str, verb: str, what: str) -> bool:
    try:
        return "yes" in stage.kubectl("auth", "can-i", verb, what, f"--as={account}", "-n", stage.namespace)
    except RuntimeError:
        return False


def person(stage: Stage, folder: Path) -> Path:
    """A kubeconfig with the account's token in place of the administrator's."""
    token = stage.kubectl("create", "token", "person", "-n", stage.namespace).strip()
    config = stage.kubectl.json("config", "view", "--raw")
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "person.kubeconfig"
    path.write_text(json.dumps(config))
    return path
