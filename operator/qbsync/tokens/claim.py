"""The intent on the token Secret: who is about to spend which token. Pure.

It is a lock for everybody else. Nobody's wall clock is trusted: a lock is abandoned when *our* monotonic
clock has seen the same intent unchanged for the deadline of a token call plus the provider's server timeout.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from qbsync.kube.lease import micro_time
from qbsync.tokens.grant import Grant

INTENT: Final = "qbsync.dev/refresh-intent"
"""Annotation of the token Secret."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An open claim: its holder may have sent the token of that sequence."""

    holder: str
    """Random per process and connection."""
    nonce: str
    """Random per claim."""
    sequence: int
    claim: int
    """Counts claims of one grant; of two answers the one of the higher claim was received later."""
    time: str
    """For people; never computed with."""

    def dump(self) -> str:
        """The annotation's value."""
        content = {
            "holder": self.holder,
            "nonce": self.nonce,
            "sequence": self.sequence,
            "claim": self.claim,
            "time": self.time,
        }
        return json.dumps(content, separators=(",", ":"))


def parse(text: str | None) -> Intent | None:
    """The intent in an annotation's value, None if there is none.

    One that cannot be read is somebody's all the same: it stands for itself, as a lock.
    """
    if not text:
        return None
    try:
        content = json.loads(text)
        return Intent(
            holder=str(content["holder"]),
            nonce=str(content["nonce"]),
            sequence=int(content["sequence"]),
            claim=int(content["claim"]),
            time=str(content["time"]),
        )
    except (ValueError, TypeError, KeyError):
        nonce = hashlib.sha256(text.encode()).hexdigest()[:32]
        return Intent(holder="", nonce=nonce, sequence=0, claim=0, time="")


def claim(grant: Grant, standing: Intent | None, *, holder: str, now: datetime) -> Intent:
    """A new intent for the grant's token, in place of the standing one."""
    before = max(grant.claim, standing.claim if standing is not None else 0)
    return intent(holder=holder, sequence=grant.sequence, number=before + 1, now=now)


def intent(*, holder: str, sequence: int, number: int, now: datetime) -> Intent:
    """A new intent; `number` is its `Intent.claim`."""
    return Intent(
        holder=holder,
        nonce=secrets.token_hex(8),
        sequence=sequence,
        claim=number,
        time=micro_time(now.astimezone(UTC)),
    )


@dataclass(slots=True)
class LockWatch:
    """Since when a foreign intent has stood unchanged, on our own clock."""

    seen: tuple[str, str] = ("", "")
    since: float = 0.0

    def abandoned(self, intent: Intent, *, monotonic: float, patience: timedelta) -> bool:
        """Look at it; True once it was seen unchanged for `patience`."""
        identity = (intent.holder, intent.nonce)
        if identity != self.seen:
            self.seen, self.since = identity, monotonic
        return monotonic - self.since >= patience.total_seconds()


@dataclass(frozen=True, slots=True)
class Spent:
    """A token that was sent and whose fate is open. Monotonic seconds."""

    token_hash: str
    until: float
    """Not sent again before."""
    running_until: float
    """The provider may be at work on it until then."""

    def is_of(self, grant: Grant) -> bool:
        """True if it is the token that the grant holds now."""
        return self.token_hash == token_hash(grant)


def token_hash(grant: Grant) -> str:
    """Tells token values apart in memory; the value may stay the same from one sequence to the next."""
    return hashlib.sha256(grant.refresh_token.get_secret_value().encode()).hexdigest()


def within_fence(*, claimed: float, monotonic: float, limit: timedelta) -> bool:
    """False if so much time passed since the claim that others may soon take it for abandoned."""
    return monotonic - claimed <= limit.total_seconds()
