"""`importTokensFrom`: plaintext tokens that somebody put into a Secret, taken over once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretStr

from qbsync.kube.secrets import Secret
from qbsync.tokens.grant import Grant, ImportMemory

REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - a key's name
ACCESS_TOKEN: Final = "access_token"  # noqa: S105
EXPIRES_AT: Final = "expires_at"
SCRUBBED_KEYS: Final = (REFRESH_TOKEN, ACCESS_TOKEN)

_LONGEST_ACCESS: Final = timedelta(hours=24)
_GITOPS_LABELS: Final = (
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "reconcile.external-secrets.io/managed",
    "fleet.cattle.io/bundle-id",
)
_GITOPS_ANNOTATIONS: Final = (
    "argocd.argoproj.io/tracking-id",
    "meta.helm.sh/release-name",
    "config.kubernetes.io/owning-inventory",
)
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
_MANAGERS: Final = (
    "argocd",
    "argo-cd",
    "flux",
    "helm",
    "kustomize",
    "terraform",
    "pulumi",
    "external-secrets",
)


class ImportUnreadable(Exception):
    """The Secret's content cannot be tokens; `str()` says which key and why."""


@dataclass(frozen=True, slots=True)
class ImportContent:
    """What an import Secret holds."""

    secret: Secret
    refresh_token: SecretStr
    access_token: SecretStr | None
    """Only with an expiry in the future: without it nobody knows how long it lives."""
    access_expires_at: datetime | None


def parse(secret: Secret, *, now: datetime) -> ImportContent | None:
    """The tokens in the Secret, None if it holds none (any more); raises `ImportUnreadable`."""
    refresh = _text(secret, REFRESH_TOKEN)
    if not refresh:
        return None
    if refresh.startswith("{"):
        raise ImportUnreadable(
            f"{_where(secret)}: refresh_token must be the token alone, not the whole JSON answer"
        )
    access = _text(secret, ACCESS_TOKEN)
    expires = _moment(_text(secret, EXPIRES_AT))
    alive = bool(access) and expires is not None and now < expires <= now + _LONGEST_ACCESS
    return ImportContent(
        secret=secret,
        refresh_token=SecretStr(refresh),
        access_token=SecretStr(access) if alive else None,
        access_expires_at=expires if alive else None,
    )


def written_back(secret: Secret) -> str | None:
    """Who would restore the content if it were emptied: a controller or a GitOps tool; None if nobody."""
    if secret.controller_owner:
        return "a controller owns it"
    for key in _GITOPS_LABELS:
        if key in secret.labels:
            return f"label {key}"
    for key in _GITOPS_ANNOTATIONS:
        if key in secret.annotations:
            return f"annotation {key}"
    manager = secret.labels.get(_MANAGED_BY, "")
    return f"label {_MANAGED_BY}={manager}" if manager.lower() in _MANAGERS else None


def imported(
    content: ImportContent, *, replaced: Grant | None, working: bool, uid: str, sequence: int,
    memory_key: bytes, jitter: float, scrub: bool, now: datetime,
) -> Grant:  # fmt: skip
    """The grant made of an import.

    It remembers what `replaced` remembers, and the import itself. A `working` grant that it replaces
    stands by until the import has proved itself.
    """
    memory = replaced.memory if replaced is not None else ImportMemory(memory_key)
    standby = None
    if replaced is not None and working:
        standby = replaced.standby or replaced
    return Grant(
        refresh_token=content.refresh_token,
        sequence=sequence,
        uid=uid,
        memory=memory.remember(content.refresh_token),
        obtained_at=now,
        access_token=content.access_token,
        access_issued_at=now if content.access_token is not None else None,
        access_expires_at=content.access_expires_at,
        claim=replaced.claim if replaced is not None else 0,
        jitter=jitter,
        scrub=scrub,
        standby=standby,
    )


def _text(secret: Secret, key: str) -> str:
    try:
        text = secret.data.get(key, b"").decode().strip()
    except UnicodeDecodeError:
        text = "\0"
    if any(not character.isprintable() for character in text):
        raise ImportUnreadable(f"{_where(secret)}: the value of {key} is not one line of text")
    return text


def _where(secret: Secret) -> str:
    return f"Secret {secret.namespace}/{secret.name} of spec.importTokensFrom"


def _moment(text: str) -> datetime | None:
    """RFC 3339, or seconds since 1970; None for anything else."""
    try:
        if text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def is_known(content: ImportContent, grant: Grant | None) -> bool:
    """True if it was imported before, or is what is in use."""
    if grant is None:
        return False
    current = grant.refresh_token.get_secret_value() == content.refresh_token.get_secret_value()
    return current or grant.memory.knows(content.refresh_token)
