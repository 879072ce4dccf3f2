"""Tokens from another program's environment: found by name, shown without a value, taken over once."""

import base64
import json
from typing import Any

import pytest

from qbsync.api.connection import Environment
from qbsync.kube.secrets import Secret
from qbsync.tokens import migration
from qbsync.tokens.migration import Action, Documents, Field, MigrationRefused, Plan, Target

TOKEN = "RT1-the-refresh-token-that-nobody-may-see"
ENV = f"""
# the old bridge
export QUICKBOOKS_CLIENT_ID=the-client   # of the app
QUICKBOOKS_CLIENT_SECRET='the # secret'
QUICKBOOKS_REFRESH_TOKEN="{TOKEN}"
QUICKBOOKS_ACCESS_TOKEN=eyJ.the-access-token==
QUICKBOOKS_REALM_ID = 9341453908123456
QUICKBOOKS_ENVIRONMENT=sandbox
ENCRYPTION_MASTER_KEY=not-ours
not a line
"""
TARGET = Target("billing", "acme")


def found(text: str = ENV, **mapping: str) -> migration.Found:
    return migration.find(migration.read_env(text), {Field(key): name for key, name in mapping.items()})


def wanted(text: str = ENV, target: Target = TARGET) -> Documents:
    return migration.documents(found(text), target)


def secret(document: dict[str, Any], **changes: str) -> Secret:
    content = {**document["stringData"], **changes}
    name = document["metadata"]["name"]
    return Secret("billing", name, data={key: value.encode() for key, value in content.items()})


def standing(document: dict[str, Any], ready: str = "Unknown") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    spec = {**document["spec"], "deletionPolicy": "Retain"}
    return {"metadata": document["metadata"], "spec": spec, "status": {"conditions": conditions}}


def test_an_env_file_becomes_three_documents() -> None:
    made = wanted()
    assert made.client["stringData"] == {"client_id": "the-client", "client_secret": "the # secret"}
    assert made.client["metadata"] == {"name": "acme-intuit-app", "namespace": "billing"}
    assert made.tokens["stringData"] == {"refresh_token": TOKEN}, (
        "an access token is worth nothing without its expiry"
    )
    assert made.connection["spec"] == {
        "realmId": "9341453908123456",
        "environment": "Sandbox",
        "clientSecretRef": {"name": "acme-intuit-app"},
        "importTokensFrom": {"name": "acme-tokens-import"},
    }
    shown = repr(made) + json.dumps(made.connection) + repr(found())
    assert TOKEN not in shown
    assert "the # secret" not in shown


def test_an_access_token_with_its_expiry_goes_along() -> None:
    made = wanted(ENV + "QUICKBOOKS_TOKEN_EXPIRES_AT=2026-11-23T10:00:00Z\n")
    assert made.tokens["stringData"]["access_token"] == "eyJ.the-access-token=="
    assert made.tokens["stringData"]["expires_at"] == "2026-11-23T10:00:00Z"


def test_a_json_file_in_either_spelling_also_nested() -> None:
    text = json.dumps(
        {
            "realmId": 9341453908123456,
            "token": {"refresh_token": TOKEN, "access_token": "A"},
            "clientId": "c",
            "client_secret": "s",
            "is_sandbox": True,
        }
    )
    found = migration.find(migration.read_json(text), {})
    assert found.get(Field.REFRESH_TOKEN) == TOKEN
    made = migration.documents(found, Target("billing", "acme", environment=Environment.PRODUCTION))
    assert (made.connection["spec"]["realmId"], made.connection["spec"]["environment"]) == (
        "9341453908123456",
        "Production",
    )


def test_names_can_be_mapped_and_doubt_is_refused() -> None:
    text = ENV + "QBO_REFRESH_TOKEN=another\n"
    with pytest.raises(
        MigrationRefused, match="QBO_REFRESH_TOKEN and QUICKBOOKS_REFRESH_TOKEN differ"
    ) as refused:
        found(text)
    assert TOKEN not in str(refused.value)
    assert found(text, refresh_token="QBO_REFRESH_TOKEN").get(Field.REFRESH_TOKEN) == "another"
    assert found("MINE=x", client_id="MINE").names[Field.CLIENT_ID] == "MINE"
    with pytest.raises(MigrationRefused, match="no NOTHING"):
        found(client_id="NOTHING")


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        (ENV.replace("QUICKBOOKS_REFRESH_TOKEN", "X"), TARGET, "--map refresh_token=ITS_NAME"),
        (ENV.replace("QUICKBOOKS_REALM_ID", "X"), TARGET, "realm_id"),
        (ENV.replace("=sandbox", "=staging"), TARGET, "--environment"),
        (ENV.replace("QUICKBOOKS_ENVIRONMENT", "X"), TARGET, "--environment"),
        (ENV.replace(f'"{TOKEN}"', "'{\"refresh_token\": 1}'"), TARGET, "the token alone"),
        (ENV, Target("billing", "acme", environment=Environment.CUSTOM), "go together"),
        (
            ENV,
            Target("billing", "acme", api_endpoint="https://a", token_endpoint="https://a/t"),
            "go together",
        ),
    ],
)
def test_what_is_missing_is_named(text: str, target: Target, said: str) -> None:
    with pytest.raises(MigrationRefused, match=said):
        wanted(text, target)


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(MigrationRefused, match="JSON"):
        migration.read_json(text)


def test_nothing_there_everything_is_made() -> None:
    plan = migration.plan(wanted(), client=None, tokens=None, connection=None)
    assert (plan, plan.changes) == (Plan(Action.CREATE, Action.CREATE, Action.CREATE), True)


@pytest.mark.parametrize("left", ["full", "scrubbed", "deleted"])
def test_a_second_run_changes_nothing_whatever_became_of_the_import(left: str) -> None:
    first, again = wanted(), wanted()
    tokens = {
        "full": secret(first.tokens),
        "scrubbed": secret(first.tokens, refresh_token=""),
        "deleted": None,
    }[left]
    for ready in ("True", "False", "Unknown"):
        plan = migration.plan(
            again, client=secret(first.client), tokens=tokens, connection=standing(first.connection, ready)
        )
        assert not plan.changes
        assert "migrated before" in plan.why


def test_a_first_run_that_was_cut_off_is_finished() -> None:
    first = wanted()
    plan = migration.plan(wanted(), client=secret(first.client), tokens=secret(first.tokens), connection=None)
    assert plan == Plan(Action.LEAVE, Action.LEAVE, Action.CREATE)


def test_a_new_token_replaces_a_dead_grant_and_never_a_working_one() -> None:
    first, second = wanted(), wanted(ENV.replace(TOKEN, "RT1-new"))
    emptied = secret(first.tokens, refresh_token="")
    plan = migration.plan(
        second, client=secret(first.client), tokens=emptied, connection=standing(first.connection, "False")
    )
    assert plan == Plan(Action.LEAVE, Action.REPLACE, Action.REPLACE)
    with pytest.raises(MigrationRefused, match="working grant"):
        migration.plan(
            second, client=secret(first.client), tokens=emptied, connection=standing(first.connection, "True")
        )


def test_what_somebody_else_put_there_is_not_overwritten() -> None:
    first = wanted()
    with pytest.raises(MigrationRefused, match="acme-intuit-app"):
        migration.plan(first, client=secret(first.client, client_id="x"), tokens=None, connection=None)
    with pytest.raises(MigrationRefused, match="acme-tokens-import"):
        migration.plan(first, client=None, tokens=secret(first.tokens, refresh_token="x"), connection=None)
    other = wanted(ENV.replace("9341453908123456", "1"))
    with pytest.raises(MigrationRefused, match="another realmId"):
        migration.plan(other, client=None, tokens=None, connection=standing(first.connection))


def test_what_the_connection_remembers_shows_nothing_of_the_token() -> None:
    first, second = wanted().connection, wanted().connection
    text = first["metadata"]["annotations"][migration.MIGRATED]
    assert text != second["metadata"]["annotations"][migration.MIGRATED], "salted"
    assert TOKEN not in text
    assert base64.b64encode(TOKEN.encode()).decode() not in text
    assert migration.migrated_before(first, TOKEN)
    assert not migration.migrated_before(first, TOKEN + "x")
    assert not migration.migrated_before({"metadata": {}}, TOKEN)
