"""The token Secret: one per connection, without an ownerReference, so that a grant outlives its object.

Type `qbsync.dev/tokens`, labels with connection and realm, one key `envelope`, and annotations for the
open intent and for a refused grant. Anything else of that name is somebody else's and stays untouched.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from qbsync.engine.clock import Clock
from qbsync.kube.errors import Conflict, KubeError, NotFound
from qbsync.kube.secrets import Secret, SecretsApi
from qbsync.tokens import claim, envelope
from qbsync.tokens.claim import Intent
from qbsync.tokens.envelope import EnvelopeBinding
from qbsync.tokens.errors import DamagedEnvelope, EnvelopeError, SecretConflict
from qbsync.tokens.grant import Grant
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.spec import Place, label_value

SECRET_TYPE: Final = "qbsync.dev/tokens"  # noqa: S105 - a type, no secret
CONNECTION_LABEL: Final = "qbsync.dev/connection"
REALM_LABEL: Final = "qbsync.dev/realm"
ENVELOPE_KEY: Final = "envelope"
BOUND_TO: Final = "qbsync.dev/bound-to"
"""Annotation: what the envelope is bound to, for whoever has no connection to ask. Only a hint: the cipher decides."""
REJECTED: Final = "qbsync.dev/refresh-refused"
"""Annotation: how often the current grant was refused, so that a restart goes on with the probing schedule."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in the cluster for one connection, at one resourceVersion."""

    secret: Secret | None = None
    """None: there is no Secret."""
    grant: Grant | None = None
    kid: str | None = None
    """Of the key that it was sealed with."""
    intent: Intent | None = None
    rejection: Rejection | None = None
    unopened: EnvelopeError | None = None
    """There is an envelope, and it does not open."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What shall be in the cluster."""

    grant: Grant
    intent: Intent | None = None
    rejection: Rejection | None = None


class TokenStore:
    """Reads and writes token Secrets. Lets every `KubeError` through."""

    def __init__(self, *, secrets: SecretsApi, keyring: Keyring, clock: Clock) -> None:
        self._secrets = secrets
        self._keyring = keyring
        self._clock = clock
        self._unwritable_since: float | None = None

    @property
    def unwritable_for(self) -> timedelta:
        """Since when no token Secret at all could be written; nothing while the last write succeeded."""
        if self._unwritable_since is None:
            return timedelta()
        return timedelta(seconds=self._clock.monotonic() - self._unwritable_since)

    async def read(self, spec: Place) -> Stored:
        """The current state; raises `SecretConflict` if the name is taken by something that is not ours."""
        try:
            secret = await self._secrets.get(spec.namespace, spec.tokens_secret_name)
        except NotFound:
            return Stored()
        _check_ours(secret, spec)
        return self._open(secret, spec)

    async def write(self, spec: Place, stored: Stored, draft: Draft) -> Stored:
        """Put `draft` in the place of exactly `stored`.

        Raises `Conflict` if somebody wrote in between, `NotFound` if the Secret is gone. A grant that is
        the stored one is not encrypted anew.
        """
        sealed = self._sealed(spec, stored, draft.grant)
        with self._noting():
            written = await self._put(spec, stored, draft, sealed)
        return Stored(
            secret=written,
            grant=draft.grant,
            kid=envelope.kid_of(sealed),
            intent=draft.intent,
            rejection=draft.rejection,
        )

    async def mark(
        self, spec: Place, stored: Stored, *, intent: Intent | None, notes: Mapping[str, str]
    ) -> Stored:
        """Write the intent, and annotations beside it, in the place of exactly `stored`; the envelope stays.

        An empty note takes its annotation away. A Secret that is not there is made without an envelope. Raises
        as `write`.
        """
        changed = {claim.INTENT: intent.dump() if intent is not None else "", **notes}
        if stored.secret is None:
            secret = _empty(spec, {key: value for key, value in changed.items() if value})
            with self._noting():
                return replace(stored, secret=await self._secrets.create(secret), intent=intent)
        annotations = {**stored.secret.annotations, **changed}
        kept = {key: value for key, value in annotations.items() if value}
        with self._noting():
            written = await self._secrets.replace(replace(stored.secret, annotations=kept))
        return replace(stored, secret=written, intent=intent)

    async def remove(self, secret: Secret) -> None:
        """Delete exactly that version of a token Secret; raises `Conflict`. One that is gone is well."""
        with suppress(NotFound):
            await self._secrets.remove(secret)

    def seal(self, spec: Place, grant: Grant) -> str:
        """The envelope that `write` would store."""
        return envelope.seal(grant, binding=spec.binding, keyring=self._keyring)

    def open(self, spec: Place, text: str) -> Grant:
        """The grant in an envelope of that place; raises `EnvelopeError`."""
        return envelope.open(text, binding=spec.binding, keyring=self._keyring)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """A write: remembers since when none got through. One that was refused did get through."""
        try:
            yield
        except (Conflict, NotFound):
            self._unwritable_since = None
            raise
        except KubeError:
            if self._unwritable_since is None:
                self._unwritable_since = self._clock.monotonic()
            raise
        self._unwritable_since = None

    async def _put(self, spec: Place, stored: Stored, draft: Draft, sealed: str) -> Secret:
        if stored.secret is None:
            return await self._secrets.create(_new(spec, sealed, draft))
        annotations = {**stored.secret.annotations, **_annotations(draft)}
        kept = {key: value for key, value in annotations.items() if value}
        data = {**stored.secret.data, ENVELOPE_KEY: sealed.encode()}
        return await self._secrets.replace(replace(stored.secret, data=data, annotations=kept))

    def _sealed(self, spec: Place, stored: Stored, grant: Grant) -> str:
        if stored.secret is not None and grant is stored.grant:
            return stored.secret.data[ENVELOPE_KEY].decode()
        return self.seal(spec, grant)

    def _open(self, secret: Secret, spec: Place) -> Stored:
        stored = Stored(
            secret=secret,
            intent=claim.parse(secret.annotations.get(claim.INTENT)),
            rejection=_parse_rejection(secret.annotations.get(REJECTED)),
        )
        raw = secret.data.get(ENVELOPE_KEY, b"")
        if not raw:
            return stored
        try:
            text = raw.decode("ascii").strip()
            grant = envelope.open(text, binding=spec.binding, keyring=self._keyring)
        except EnvelopeError as error:
            return replace(stored, unopened=error)
        except UnicodeDecodeError:
            return replace(stored, unopened=DamagedEnvelope("the stored tokens are not an envelope"))
        return replace(stored, grant=grant, kid=envelope.kid_of(text))


def _check_ours(secret: Secret, spec: Place) -> None:
    where = f"Secret {secret.namespace}/{secret.name}"
    way_out = "set spec.tokens.secretName to another name, or delete that Secret if nobody needs it"
    if secret.type != SECRET_TYPE:
        raise SecretConflict(f"{where} exists with type {secret.type} and was not made by qbsync: {way_out}")
    if secret.labels.get(CONNECTION_LABEL) != label_value(spec.name):
        raise SecretConflict(f"{where} does not belong to connection {spec.name}: {way_out}")
    if secret.labels.get(REALM_LABEL) != label_value(spec.realm):
        raise SecretConflict(f"{where} holds the grant of another company than realm {spec.realm}: {way_out}")


def _new(spec: Place, sealed: str, draft: Draft) -> Secret:
    annotations = {key: value for key, value in _annotations(draft).items() if value}
    return replace(_empty(spec, annotations), data={ENVELOPE_KEY: sealed.encode()})


def _empty(spec: Place, annotations: Mapping[str, str]) -> Secret:
    return Secret(
        namespace=spec.namespace,
        name=spec.tokens_secret_name,
        type=SECRET_TYPE,
        labels={CONNECTION_LABEL: label_value(spec.name), REALM_LABEL: label_value(spec.realm)},
        annotations={BOUND_TO: dump_binding(spec.binding), **annotations},
    )


def dump_binding(binding: EnvelopeBinding) -> str:
    """The annotation `BOUND_TO`."""
    content = {
        "namespace": binding.namespace,
        "connection": binding.name,
        "realm": binding.realm,
        "environment": binding.environment,
        "tokenHost": binding.token_host,
    }
    return json.dumps(content, separators=(",", ":"))


def parse_binding(text: str | None) -> EnvelopeBinding | None:
    """The inverse of `dump_binding`; None for anything else."""
    try:
        content = json.loads(text or "")
        return EnvelopeBinding(
            namespace=str(content["namespace"]),
            name=str(content["connection"]),
            realm=str(content["realm"]),
            environment=str(content["environment"]),
            token_host=str(content["tokenHost"]),
        )
    except (ValueError, TypeError, KeyError):
        return None


def _annotations(draft: Draft) -> dict[str, str]:
    """Ours; an empty value takes the annotation away."""
    return {
        claim.INTENT: draft.intent.dump() if draft.intent is not None else "",
        REJECTED: _dump_rejection(draft.rejection) if draft.rejection is not None else "",
    }


def _dump_rejection(rejection: Rejection) -> str:
    content = {
        "sequence": rejection.sequence,
        "count": rejection.count,
        "time": rejection.at.astimezone(UTC).isoformat(),
        "client": rejection.client,
    }
    return json.dumps(content, separators=(",", ":"))


def _parse_rejection(text: str | None) -> Rejection | None:
    """None also for what cannot be read: then the token is simply tried."""
    try:
        content = json.loads(text or "")
        at = datetime.fromisoformat(content["time"])
        return Rejection(
            sequence=int(content["sequence"]),
            count=max(int(content["count"]), 1),
            at=at if at.tzinfo is not None else at.replace(tzinfo=UTC),
            client=str(content["client"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
