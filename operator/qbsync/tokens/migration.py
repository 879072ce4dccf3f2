"""Tokens that another program kept in environment variables or in a file, as documents for the cluster. Pure.

Running it twice changes nothing: the connection remembers, as a salted hash, which token was migrated. The
import Secret cannot tell, since the operator empties it and people delete it.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pydantic import SecretStr

from qbsync.api.conditions import ConditionType, ReadyStatus
from qbsync.api.connection import Environment
from qbsync.api.meta import API_VERSION, GROUP, Kind
from qbsync.kube.secrets import Secret
from qbsync.tokens import imports
from qbsync.tokens.credentials import CLIENT_ID, CLIENT_SECRET

MIGRATED: Final = f"{GROUP}/migrated-token"
"""Annotation of a connection: salt and hash of the refresh token that it began with."""
_SALT_BYTES: Final = 16


class Field(StrEnum):
    """What is looked for; the names of `--map`."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a name
    ACCESS_TOKEN = "access_token"  # noqa: S105
    EXPIRES_AT = "expires_at"
    REALM_ID = "realm_id"
    CLIENT_ID = "client_id"
    CLIENT_SECRET = "client_secret"  # noqa: S105
    ENVIRONMENT = "environment"


_REQUIRED: Final = (Field.REFRESH_TOKEN, Field.REALM_ID, Field.CLIENT_ID, Field.CLIENT_SECRET)
_PREFIXES: Final = ("quickbooks", "intuit", "qbo", "qb")
_ALIASES: Final[Mapping[str, Field]] = {
    "refreshtoken": Field.REFRESH_TOKEN,
    "accesstoken": Field.ACCESS_TOKEN,
    "expiresat": Field.EXPIRES_AT,
    "tokenexpiresat": Field.EXPIRES_AT,
    "accesstokenexpiresat": Field.EXPIRES_AT,
    "realmid": Field.REALM_ID,
    "companyid": Field.REALM_ID,
    "clientid": Field.CLIENT_ID,
    "clientsecret": Field.CLIENT_SECRET,
    "environment": Field.ENVIRONMENT,
}
_LINE: Final = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(?P<value>.*)")


class MigrationRefused(Exception):
    """It cannot be done with this file, or in this cluster; `str()` says what to do, and shows no value."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds."""

    values: Mapping[Field, SecretStr]
    names: Mapping[Field, str]
    """How the file calls each."""

    def get(self, wanted: Field) -> str:
        """The value; empty if there is none."""
        value = self.values.get(wanted)
        return value.get_secret_value() if value is not None else ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where it goes, and what the file may not say."""

    namespace: str
    name: str
    environment: Environment | None = None
    realm_id: str | None = None
    api_endpoint: str | None = None
    """With `token_endpoint` and environment Custom only."""
    token_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Documents:
    """What shall be in the cluster. The two Secrets hold plaintext."""

    client: dict[str, Any] = field(repr=False)
    tokens: dict[str, Any] = field(repr=False)
    connection: dict[str, Any]


class Action(StrEnum):
    """What is done with one document."""

    CREATE = "create"
    REPLACE = "replace"
    LEAVE = "unchanged"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done with each of them."""

    client: Action
    tokens: Action
    connection: Action
    why: str = ""
    """Why the tokens are left alone."""

    @property
    def changes(self) -> bool:
        """Anything is to be written."""
        return {self.client, self.tokens, self.connection} != {Action.LEAVE}


def read_env(text: str) -> dict[str, str]:
    """The variables of an .env file: `NAME=value`, `export`, quotes and comments; nothing is expanded."""
    variables: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            variables[match["name"]] = _unquoted(match["value"].strip())
    return variables


def read_json(text: str) -> dict[str, str]:
    """The texts and numbers of a JSON object, also of objects inside it, by their own names.

    Raises `MigrationRefused` if it is none.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise MigrationRefused('the file is not JSON: write an object such as {"refresh_token": …}') from None
    if not isinstance(document, dict):
        raise MigrationRefused('the file is JSON, but not an object such as {"refresh_token": …}')
    return _leaves(document)


def find(variables: Mapping[str, str], mapping: Mapping[Field, str]) -> Found:
    """What can be migrated; `mapping` says how the file calls a field.

    Raises `MigrationRefused` for what is missing or ambiguous, by name.
    """
    names = {wanted: _name_of(wanted, variables, mapping) for wanted in Field}
    known = {wanted: name for wanted, name in names.items() if name is not None}
    values = {wanted: SecretStr(variables[name].strip()) for wanted, name in known.items()}
    for wanted, name in known.items():
        if not values[wanted].get_secret_value().isprintable():
            raise MigrationRefused(f"the value of {name} is not one line of text")
    return Found(values, known)


def documents(found: Found, target: Target) -> Documents:
    """What shall be in the cluster; raises `MigrationRefused` for what is missing."""
    realm = target.realm_id or found.get(Field.REALM_ID)
    given = {Field.REALM_ID: realm}
    for wanted in _REQUIRED:
        if not (given.get(wanted) or found.get(wanted)):
            raise MigrationRefused(
                f"the file has no {wanted}: if it is called otherwise there, say --map {wanted}=ITS_NAME"
            )
    if found.get(Field.REFRESH_TOKEN).startswith("{"):
        name = found.names[Field.REFRESH_TOKEN]
        raise MigrationRefused(f"{name} must be the token alone, not the whole JSON answer")
    client = {CLIENT_ID: found.get(Field.CLIENT_ID), CLIENT_SECRET: found.get(Field.CLIENT_SECRET)}
    return Documents(
        client=_secret(target, "intuit-app", client),
        tokens=_secret(target, "tokens-import", _tokens(found)),
        connection=_connection(target, realm, _environment(found, target), found.get(Field.REFRESH_TOKEN)),
    )


def plan(
    wanted: Documents,
    *,
    client: Secret | None,
    tokens: Secret | None,
    connection: Mapping[str, Any] | None,
) -> Plan:
    """Compare with what is there; raises `MigrationRefused` rather than replace what somebody else put there."""
    doing_client = _plan_client(wanted.client, client)
    token = str(wanted.tokens["stringData"][imports.REFRESH_TOKEN])
    if connection is None:
        return Plan(doing_client, _plan_tokens(wanted.tokens, tokens, token), Action.CREATE)
    _insist_on_same_spec(wanted.connection, connection)
    if migrated_before(connection, token):
        return Plan(doing_client, Action.LEAVE, Action.LEAVE, "this token was migrated before")
    if _works(connection):
        raise MigrationRefused(
            f"connection {_where(wanted.connection)} has a working grant already: to replace it, put the new "
            "token into its import Secret and set the annotation qbsync.dev/requested-at"
        )
    return Plan(doing_client, Action.CREATE if tokens is None else Action.REPLACE, Action.REPLACE)


def migrated_before(connection: Mapping[str, Any], token: str) -> bool:
    """True if that connection began with this very token."""
    text = (connection["metadata"].get("annotations") or {}).get(MIGRATED, "")
    salt, _, _ = text.partition(".")
    return bool(salt) and secrets.compare_digest(_fingerprint(token, salt), text)


def _fingerprint(token: str, salt: str) -> str:
    """A refresh token is long and random: a salted hash of it can be guessed by nobody."""
    return f"{salt}.{hashlib.sha256(f'{salt}.{token}'.encode()).hexdigest()[:32]}"


def _name_of(wanted: Field, variables: Mapping[str, str], mapping: Mapping[Field, str]) -> str | None:
    if wanted in mapping:
        name = mapping[wanted]
        if not variables.get(name):
            raise MigrationRefused(f"the file has no {name}, which --map names for {wanted}")
        return name
    names = [name for name, value in variables.items() if value and _meaning(name) is wanted]
    if len({variables[name] for name in names}) > 1:
        raise MigrationRefused(
            f"{' and '.join(sorted(names))} differ, and each may be the {wanted}: "
            f"say which with --map {wanted}=NAME"
        )
    return min(names, default=None)


def _meaning(name: str) -> Field | None:
    plain = re.sub(r"[_.-]", "", name).lower()
    for prefix in _PREFIXES:
        if plain.startswith(prefix):
            return _ALIASES.get(plain.removeprefix(prefix))
    return _ALIASES.get(plain)


def _leaves(document: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            found |= {inner: text for inner, text in _leaves(value).items() if inner not in found}
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            found[name] = str(value)
    return found


def _unquoted(value: str) -> str:
    quote = value[:1]
    if quote in {"'", '"'} and (end := value.find(quote, 1)) > 0:
        return value[1:end]
    return re.split(r"\s#", value, maxsplit=1)[0].strip()


def _environment(found: Found, target: Target) -> Environment:
    text = target.environment or found.get(Field.ENVIRONMENT).capitalize()
    try:
        environment = Environment(text)
    except ValueError:
        raise MigrationRefused(
            "say --environment Production or --environment Sandbox: the file does not, and the tokens of one "
            "do not work in the other"
        ) from None
    if (environment is Environment.CUSTOM) != bool(target.api_endpoint and target.token_endpoint):
        raise MigrationRefused(
            "--environment Custom, --api-endpoint and --token-endpoint go together, or none of them is given"
        )
    return environment


def _tokens(found: Found) -> dict[str, str]:
    """An access token without its expiry is worth nothing: nobody knows how long it lives."""
    content = {imports.REFRESH_TOKEN: found.get(Field.REFRESH_TOKEN)}
    access, expires = found.get(Field.ACCESS_TOKEN), found.get(Field.EXPIRES_AT)
    if access and expires:
        content |= {imports.ACCESS_TOKEN: access, imports.EXPIRES_AT: expires}
    return content


def _secret(target: Target, suffix: str, content: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": f"{target.name}-{suffix}", "namespace": target.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}


def _connection(target: Target, realm: str, environment: Environment, token: str) -> dict[str, Any]:
    salt = secrets.token_hex(_SALT_BYTES)
    custom = {"endpoints": {"api": target.api_endpoint, "token": target.token_endpoint}}
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.CONNECTION.value,
        "metadata": {
            "name": target.name,
            "namespace": target.namespace,
            "annotations": {MIGRATED: _fingerprint(token, salt)},
        },
        "spec": {
            "realmId": realm,
            "environment": environment.value,
            **(custom if environment is Environment.CUSTOM else {}),
            "clientSecretRef": {"name": f"{target.name}-intuit-app"},
            "importTokensFrom": {"name": f"{target.name}-tokens-import"},
        },
    }


def _plan_client(wanted: Mapping[str, Any], standing: Secret | None) -> Action:
    if standing is None:
        return Action.CREATE
    if all(_held(standing, key) == value for key, value in wanted["stringData"].items()):
        return Action.LEAVE
    raise MigrationRefused(
        f"Secret {_where(wanted)} exists and holds other credentials than the file: delete it, or migrate to "
        "another --name"
    )


def _plan_tokens(wanted: Mapping[str, Any], standing: Secret | None, token: str) -> Action:
    if standing is None:
        return Action.CREATE
    held = _held(standing, imports.REFRESH_TOKEN)
    if held == token:
        return Action.LEAVE
    if not held:
        return Action.REPLACE
    raise MigrationRefused(
        f"Secret {_where(wanted)} exists and holds another token than the file: delete it, or migrate to "
        "another --name"
    )


def _held(secret: Secret, key: str) -> str:
    return secret.data.get(key, b"").decode(errors="replace").strip()


def _insist_on_same_spec(wanted: Mapping[str, Any], standing: Mapping[str, Any]) -> None:
    differing = [
        name for name, value in wanted["spec"].items() if not _covers(standing["spec"].get(name), value)
    ]
    if differing:
        raise MigrationRefused(
            f"connection {_where(wanted)} exists with another {', '.join(differing)}: migrate to another --name"
        )


def _covers(standing: Any, wanted: Any) -> bool:
    """Whether what stands says all that is wanted; defaults of the API server may be there as well."""
    if isinstance(wanted, dict):
        return isinstance(standing, dict) and all(
            _covers(standing.get(name), value) for name, value in wanted.items()
        )
    return bool(standing == wanted)


def _works(connection: Mapping[str, Any]) -> bool:
    conditions = (connection.get("status") or {}).get("conditions") or ()
    return any(
        condition["type"] == ConditionType.READY and condition["status"] == ReadyStatus.TRUE
        for condition in conditions
    )


def _where(document: Mapping[str, Any]) -> str:
    metadata = document["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"
