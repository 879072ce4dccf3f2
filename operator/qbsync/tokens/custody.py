"""Which token Secret stands for which connection, and what would open it. Pure.

A Secret outlives its connection, so there may be nobody to ask. Then the annotation that it was made with
tells what its envelope is bound to; that is only where to look: no hint opens what the cipher does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from qbsync.api.connection import ConnectionDeletionPolicy, Environment, QuickBooksConnectionSpec
from qbsync.kube.secrets import Secret
from qbsync.quickbooks.oauth import QUICKBOOKS_PRODUCTION
from qbsync.tokens import claim, envelope
from qbsync.tokens.claim import Intent
from qbsync.tokens.envelope import EnvelopeBinding
from qbsync.tokens.errors import DamagedEnvelope, WrongKey
from qbsync.tokens.grant import Grant
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spec import default_secret_name, label_value
from qbsync.tokens.store import BOUND_TO, CONNECTION_LABEL, ENVELOPE_KEY, REALM_LABEL, parse_binding

_INTUIT: Final = urlsplit(QUICKBOOKS_PRODUCTION.token_url).hostname or ""


class Problem(StrEnum):
    """Why an envelope does not serve its connection."""

    EMPTY = "Empty"
    """There is no envelope."""
    WRONG_KEY = "WrongKey"
    """The keyring has not the key that it was encrypted with."""
    WRONG_CONNECTION = "WrongConnection"
    """It opens, but for another connection than the one it lies with."""
    DAMAGED = "Damaged"
    """The key is there, and it does not open."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A connection, as far as its token Secret is concerned."""

    binding: EnvelopeBinding
    uid: str
    secret_name: str
    sequence: int
    """The highest that its status tells of."""
    revokes: bool
    """deletionPolicy Revoke: deleting it ends the grant."""

    @property
    def where(self) -> str:
        """Namespace and name."""
        return f"{self.binding.namespace}/{self.binding.name}"


@dataclass(frozen=True, slots=True)
class Examined:
    """One token Secret, looked at."""

    secret: Secret
    connection: str
    """Name of the connection that it stands for, as far as that is known."""
    owner: Owner | None
    """The connection, if it exists."""
    kid: str
    """Of the key that it was encrypted with; empty if it holds no envelope."""
    intent: Intent | None
    """A refresh that is under way, or was when its process died."""
    binding: EnvelopeBinding | None = None
    """With which it opens."""
    grant: Grant | None = None
    problem: Problem | None = None
    message: str = ""
    """What is wrong and what to do about it; empty if nothing is."""

    @property
    def where(self) -> str:
        """Namespace and name of the Secret."""
        return f"{self.secret.namespace}/{self.secret.name}"

    @property
    def text(self) -> str:
        """The envelope."""
        return text_of(self.secret)


def owner_of(body: Mapping[str, Any]) -> Owner:
    """A connection object as read from the API server."""
    metadata = body["metadata"]
    spec = QuickBooksConnectionSpec.model_validate(body["spec"])
    custom = spec.endpoints is not None and spec.environment is Environment.CUSTOM
    token_url = spec.endpoints.token if custom and spec.endpoints is not None else ""
    encryption = (body.get("status") or {}).get("encryption") or {}
    return Owner(
        binding=EnvelopeBinding(
            namespace=metadata["namespace"],
            name=metadata["name"],
            realm=spec.realm_id,
            environment=spec.environment,
            token_host=(urlsplit(token_url).hostname or "") if token_url else _INTUIT,
        ),
        uid=metadata["uid"],
        secret_name=(spec.tokens.secret_name if spec.tokens is not None else None)
        or default_secret_name(metadata["name"]),
        sequence=int(encryption.get("sequence") or 0),
        revokes=spec.deletion_policy is ConnectionDeletionPolicy.REVOKE,
    )


def find_owner(secret: Secret, owners: Iterable[Owner]) -> Owner | None:
    """The existing connection that a Secret belongs to: by its label, whatever name the Secret has."""
    label = secret.labels.get(CONNECTION_LABEL, "")
    same = [
        owner
        for owner in owners
        if owner.binding.namespace == secret.namespace and label_value(owner.binding.name) == label
    ]
    using = [owner for owner in same if owner.secret_name == secret.name]
    return next(iter(using or same), None)


def examine(secret: Secret, owners: Iterable[Owner], keyring: Keyring) -> Examined:
    """Try to open a token Secret, for its connection first."""
    owner = find_owner(secret, owners)
    hint = parse_binding(secret.annotations.get(BOUND_TO))
    looked = Examined(
        secret=secret,
        connection=_connection(secret, owner, hint),
        owner=owner,
        kid=envelope.kid_of(text_of(secret)),
        intent=claim.parse(secret.annotations.get(claim.INTENT)),
    )
    if not looked.text:
        return replace(looked, problem=Problem.EMPTY, message="it holds no tokens: the next import fills it")
    return _opened(looked, _bindings(secret, owner, hint), keyring)


def text_of(secret: Secret) -> str:
    """The envelope in a Secret; empty if there is none."""
    return secret.data.get(ENVELOPE_KEY, b"").decode("ascii", errors="replace").strip()


def _opened(looked: Examined, bindings: list[EnvelopeBinding], keyring: Keyring) -> Examined:
    for binding in bindings:
        try:
            grant = envelope.open(looked.text, binding=binding, keyring=keyring)
        except WrongKey as error:
            message = (
                f"encrypted with key {error.sealed_with}, the keyring has {', '.join(error.available)}: "
                "add that key to the keyring"
            )
            return replace(looked, problem=Problem.WRONG_KEY, message=message)
        except DamagedEnvelope:
            continue
        opened = replace(looked, binding=binding, grant=grant)
        return opened if _belongs(opened, binding) else _misplaced(opened, binding)
    if looked.owner is None and parse_binding(looked.secret.annotations.get(BOUND_TO)) is None:
        message = (
            "it does not open, and its connection, which would tell its endpoint, does not exist: "
            "apply that connection again, or restore the Secret from a backup"
        )
    else:
        message = (
            "it was changed or cut off: restore the Secret from a backup, or delete it and connect "
            "the company anew"
        )
    return replace(looked, problem=Problem.DAMAGED, message=message)


def _belongs(looked: Examined, binding: EnvelopeBinding) -> bool:
    if looked.owner is not None:
        return binding == looked.owner.binding
    label = looked.secret.labels.get(CONNECTION_LABEL, "")
    return binding.namespace == looked.secret.namespace and label_value(binding.name) == label


def _misplaced(looked: Examined, binding: EnvelopeBinding) -> Examined:
    message = (
        f"it holds the grant of {describe(binding)}, and the operator opens it for no other connection: "
        "put the right Secret here, and move a grant with qbsync tokens adopt"
    )
    return replace(looked, problem=Problem.WRONG_CONNECTION, message=message)


def describe(binding: EnvelopeBinding) -> str:
    """A binding in words."""
    return f"{binding.namespace}/{binding.name} (realm {binding.realm}, {binding.environment}, {binding.token_host})"


def _bindings(secret: Secret, owner: Owner | None, hint: EnvelopeBinding | None) -> list[EnvelopeBinding]:
    known = [binding for binding in (owner.binding if owner is not None else None, hint) if binding]
    return known or _guesses(secret)


def _guesses(secret: Secret) -> list[EnvelopeBinding]:
    """For a Secret without annotation whose connection is gone: Intuit's two environments."""
    name, realm = secret.labels.get(CONNECTION_LABEL, ""), secret.labels.get(REALM_LABEL, "")
    return [
        EnvelopeBinding(secret.namespace, name, realm, environment, _INTUIT)
        for environment in (Environment.PRODUCTION, Environment.SANDBOX)
    ]


def _connection(secret: Secret, owner: Owner | None, hint: EnvelopeBinding | None) -> str:
    if owner is not None:
        return owner.binding.name
    label = secret.labels.get(CONNECTION_LABEL, "")
    return hint.name if hint is not None and label_value(hint.name) == label else label
