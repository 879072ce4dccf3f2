"""`<connection>-qbsync-authorization`: the code of a consent, on its way from a person to the operator. Pure.

Whoever takes the person's callback (the command line, a web page) writes that Secret, and then sets
`qbsync.dev/requested-at`: the operator alone exchanges, since it alone has the keys to store what comes of it.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretStr

from qbsync.kube.secrets import Secret
from qbsync.tokens.spec import fitted

SECRET_TYPE: Final = "qbsync.dev/authorization"  # noqa: S105 - a type, no secret
CODE: Final = "code"
REALM_ID: Final = "realmId"
REDIRECT_URI: Final = "redirectUri"
AUTHORIZED_AT: Final = "qbsync.dev/authorized-at"
"""Annotation, RFC 3339: when the person consented. A Secret that is applied again keeps its old creation time."""
SENT_CODES: Final = "qbsync.dev/codes-sent"
"""Annotation of the token Secret: keyed hashes of the codes that were, or may have been, sent."""
_SUFFIX: Final = "-qbsync-authorization"
_REMEMBERED: Final = 16
_LONGEST: Final = 4096


class AuthorizationUnreadable(Exception):
    """The Secret does not hold what it should; `str()` says which key."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a person's consent brought."""

    secret: Secret
    code: SecretStr
    realm: str
    """The company that was chosen on the consent page."""
    redirect_uri: str


def secret_name(connection: str) -> str:
    """`<connection>-qbsync-authorization`, shortened with a hash where that would exceed 253 characters."""
    return fitted(connection, _SUFFIX)


def parse(secret: Secret) -> Authorization:
    """Read it; raises `AuthorizationUnreadable`."""
    return Authorization(
        secret=secret,
        code=SecretStr(_text(secret, CODE)),
        realm=_text(secret, REALM_ID),
        redirect_uri=_text(secret, REDIRECT_URI),
    )


def is_stale(secret: Secret, *, now: datetime, lifetime: timedelta) -> bool:
    """True if the consent is older than a code's `lifetime`; the later of the two times that are known counts."""
    known = [_moment(secret.annotations.get(AUTHORIZED_AT, "")), _moment(secret.created)]
    times = [moment for moment in known if moment is not None and moment <= now + lifetime]
    return bool(times) and now - max(times) > lifetime


@dataclass(frozen=True, slots=True)
class SentCodes:
    """Which codes were sent: salted hashes, newest last, at most 16."""

    salt: str
    hashes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "SentCodes":
        """The annotation's value; a new memory for anything else."""
        salt, _, listed = (text or "").partition(":")
        if not salt:
            return cls(secrets.token_hex(16))
        return cls(salt, tuple(part for part in listed.split(",") if part))

    def dump(self) -> str:
        return f"{self.salt}:{','.join(self.hashes)}"

    def knows(self, code: SecretStr) -> bool:
        return self._hash(code) in self.hashes

    def remember(self, code: SecretStr) -> "SentCodes":
        return SentCodes(self.salt, (*self.hashes, self._hash(code))[-_REMEMBERED:])

    def _hash(self, code: SecretStr) -> str:
        message = b"code/" + code.get_secret_value().encode()
        return hmac.new(self.salt.encode(), message, hashlib.sha256).hexdigest()[:32]


def _text(secret: Secret, key: str) -> str:
    try:
        text = secret.data.get(key, b"")[:_LONGEST].decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise AuthorizationUnreadable(f"Secret {secret.namespace}/{secret.name} has no readable {key}")
    return text


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
