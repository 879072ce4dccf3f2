"""A grant: the tokens of one company, when they end, and what must not be forgotten about them.

Everything here lives inside the encrypted envelope, including the key with which imported tokens are
remembered: a rotation of the master key forgets none of them.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import SecretStr

_FORMAT: Final = 1
_REMEMBERED: Final = 64
MEMORY_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class ImportMemory:
    """Which tokens were imported before: keyed hashes, newest last, at most 64."""

    key: bytes = field(repr=False)
    """32 random bytes, drawn once per grant."""
    hashes: tuple[str, ...] = field(default=(), repr=False)

    def knows(self, token: SecretStr) -> bool:
        """True if this very token was imported before."""
        return self._hash(token) in self.hashes

    def remember(self, token: SecretStr) -> "ImportMemory":
        """The same memory, with this token in it."""
        if self.knows(token):
            return self
        return ImportMemory(self.key, (*self.hashes, self._hash(token))[-_REMEMBERED:])

    def fingerprint(self, text: str) -> str:
        """A keyed hash of any other secret, to notice later whether it changed."""
        return self._digest(b"fingerprint/", text)

    def _hash(self, token: SecretStr) -> str:
        return self._digest(b"import/", token.get_secret_value())

    def _digest(self, purpose: bytes, text: str) -> str:
        return hmac.new(self.key, purpose + text.encode(), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Grant:
    """What the envelope holds. All times are aware and in UTC."""

    refresh_token: SecretStr
    sequence: int
    """Grows by one with every stored change of the tokens."""
    uid: str
    """Of the connection object that wrote it last."""
    memory: ImportMemory
    obtained_at: datetime
    """When the first tokens of this family reached us."""
    access_token: SecretStr | None = None
    access_issued_at: datetime | None = None
    """When the request for it was sent."""
    access_expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    """The rolling expiry of the refresh token, if the provider said."""
    refresh_hard_expires_at: datetime | None = None
    """The expiry that no refresh extends, if the provider said."""
    refreshed_at: datetime | None = None
    """When a refresh last succeeded; None while an imported grant is unproven."""
    rotated_at: datetime | None = None
    """When the value of the refresh token last changed."""
    claim: int = 0
    """Number of the claim that its answer belongs to: of two answers, the higher one came later."""
    jitter: float = 0.0
    """This token's share, 0 to 1, of the jitter of its refresh; drawn once, so that restarts agree."""
    scrub: bool = False
    """The Secret it was imported from still has to be emptied."""
    standby: "Grant | None" = None
    """A working grant that this one replaced: taken back if a requested import proves worthless, or a consent
    to be for another company.
    """
    unconfirmed: bool = False
    """It came of a consent, and its process died before the company was read: no call is made with it until then."""

    @property
    def access_lifetime(self) -> timedelta:
        """From issue to expiry; nothing without an access token."""
        if self.access_token is None or self.access_expires_at is None:
            return timedelta()
        issued = self.access_issued_at or self.obtained_at
        return max(self.access_expires_at - issued, timedelta())

    def access_left(self, now: datetime) -> timedelta:
        """How much longer the access token lives; never negative."""
        if self.access_token is None or self.access_expires_at is None:
            return timedelta()
        return max(self.access_expires_at - now, timedelta())

    @property
    def refresh_ends_at(self) -> datetime | None:
        """The earlier of the two expiries of the refresh token, if any is known."""
        known = [end for end in (self.refresh_expires_at, self.refresh_hard_expires_at) if end is not None]
        return min(known, default=None)


def dump(grant: Grant) -> bytes:
    """The plaintext of an envelope: JSON with the tokens in it."""
    return json.dumps({"format": _FORMAT, **_dump(grant)}, separators=(",", ":")).encode()


def load(plaintext: bytes) -> Grant:
    """The inverse of `dump`; raises `ValueError` (never showing content) if it was not made by it."""
    try:
        document = json.loads(plaintext)
        if document["format"] != _FORMAT:
            raise ValueError("unknown format")  # noqa: TRY301 - one message for all that is unreadable
        return _load(document)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError("the content is not a grant that this release can read") from None


def _dump(grant: Grant) -> dict[str, Any]:
    document: dict[str, Any] = {
        "refreshToken": grant.refresh_token.get_secret_value(),
        "sequence": grant.sequence,
        "uid": grant.uid,
        "memory": {"key": grant.memory.key.hex(), "hashes": list(grant.memory.hashes)},
        "claim": grant.claim,
        "jitter": grant.jitter,
        "scrub": grant.scrub,
    }
    if grant.access_token is not None:
        document["accessToken"] = grant.access_token.get_secret_value()
    if grant.standby is not None:
        document["standby"] = _dump(grant.standby)
    if grant.unconfirmed:
        document["unconfirmed"] = True
    for key, attribute in _TIMES.items():
        moment: datetime | None = getattr(grant, attribute)
        if moment is not None:
            document[key] = moment.astimezone(UTC).isoformat()
    return document


def _load(document: Mapping[str, Any]) -> Grant:
    access = document.get("accessToken")
    standby = document.get("standby")
    memory = document["memory"]
    times: dict[str, Any] = {
        attribute: datetime.fromisoformat(document[key])
        for key, attribute in _TIMES.items()
        if key in document
    }
    return Grant(
        refresh_token=SecretStr(_text(document["refreshToken"])),
        sequence=int(document["sequence"]),
        uid=_text(document["uid"]),
        memory=ImportMemory(bytes.fromhex(memory["key"]), tuple(memory["hashes"])),
        access_token=SecretStr(_text(access)) if access is not None else None,
        claim=int(document["claim"]),
        jitter=float(document["jitter"]),
        scrub=bool(document["scrub"]),
        standby=_load(standby) if standby is not None else None,
        unconfirmed=bool(document.get("unconfirmed")),
        **times,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


_TIMES: Final[Mapping[str, str]] = {
    "obtainedAt": "obtained_at",
    "accessIssuedAt": "access_issued_at",
    "accessExpiresAt": "access_expires_at",
    "refreshExpiresAt": "refresh_expires_at",
    "refreshHardExpiresAt": "refresh_hard_expires_at",
    "refreshedAt": "refreshed_at",
    "rotatedAt": "rotated_at",
}
