"""When what is due. Pure: times in, times out."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from qbsync.engine.backoff import Backoff
from qbsync.quickbooks.oauth import Probing
from qbsync.tokens.grant import Grant

BACKOFF: Final = Backoff(base=timedelta(seconds=1), cap=timedelta(minutes=5))
"""After a refresh that was definitely not processed, and while a Secret cannot be read or written."""
STORE_BACKOFF: Final = Backoff(base=timedelta(seconds=1), cap=timedelta(seconds=15))
"""While an answer that is in memory cannot be stored: nothing is worth more than the next try."""
CREDENTIALS_RETRY: Final = timedelta(hours=1)
"""Rejected credentials that did not change are tried again after this."""
EXPIRY_WARNINGS: Final = (timedelta(days=1), timedelta(days=7), timedelta(days=30))
"""Before the end of a refresh token; each is told once."""

JITTER: Final = 0.1
FALLBACK_MARGIN: Final = 2 / 3
_LEAST_PAUSE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The provider answered `invalid_grant` for the current refresh token."""

    sequence: int
    """Of the grant that was refused; any other sequence makes this history."""
    count: int
    """How often in a row, at least 1."""
    at: datetime
    """When it was refused last."""
    client: str
    """Keyed hash of the client credentials it was refused with."""

    def final(self, probing: Probing) -> bool:
        """True once a person has to reconnect; before that it may be one of the false ones of an outage."""
        return self.count >= probing.person_after


def margin(lifetime: timedelta, refresh_before: timedelta) -> timedelta:
    """How long before its end a token is refreshed: `refresh_before`, or 2/3 of a lifetime not longer than that."""
    return refresh_before if refresh_before < lifetime else lifetime * FALLBACK_MARGIN


def next_refresh(grant: Grant, refresh_before: timedelta) -> datetime | None:
    """Expiry − margin − jitter; None if there is no access token, so that it is due at once.

    The jitter is the grant's own share of 10 % of the lifetime. A margin just below the lifetime never
    makes a busy loop: at least a third of the lifetime, or 60 s, passes after issue.
    """
    lifetime = grant.access_lifetime
    if grant.access_expires_at is None or lifetime <= timedelta():
        return None
    due = grant.access_expires_at - margin(lifetime, refresh_before) - lifetime * JITTER * grant.jitter
    issued = grant.access_expires_at - lifetime
    return max(due, issued + min(_LEAST_PAUSE, lifetime / 3))


def retry_delay(failures: int, *, access_left: timedelta, rng: random.Random) -> timedelta:
    """After `failures` ≥ 1 in a row: full-jitter backoff, inside what is left of the access token.

    However long it has failed, a third of what is left passes at most, so that the token does not end untried.
    """
    delay = BACKOFF.delay(failures, rng)
    return min(delay, max(access_left / 3, BACKOFF.base)) if access_left > timedelta() else delay


def unknown_hold(*, server_timeout: timedelta, access_left: timedelta) -> timedelta:
    """After an answer that never came: how long, from sending, the same token is not sent again.

    The whole of the provider's server timeout while the access token lives; a quarter of it once that is dead.
    """
    return min(server_timeout, max(server_timeout / 4, access_left))


def next_probe(
    rejection: Rejection, refresh_ends_at: datetime | None, *, probing: Probing
) -> datetime | None:
    """When the refused token is tried again by itself; None once it has expired by the provider's own word."""
    due = rejection.at + probing.delay(rejection.count)
    return None if refresh_ends_at is not None and due >= refresh_ends_at else due


def expires_soon(grant: Grant, now: datetime) -> str | None:
    """What to say in the 30 days before the refresh token's end; None before that.

    Other words from 7 days, and from 1 day before the end: whoever repeats only what is new repeats it then.
    """
    end = grant.refresh_ends_at
    if end is None:
        return None
    step = next((step for step in EXPIRY_WARNINGS if end - now <= step), None)
    if step is None:
        return None
    when = f"{end:%Y-%m-%d} (within {step.days} day{'s' if step.days > 1 else ''})"
    if end == grant.refresh_hard_expires_at:
        return (
            f"the provider's limit for this authorization ends it on {when}, whatever is refreshed: "
            "reconnect the company before"
        )
    return f"the refresh token ends on {when} unless a refresh succeeds before"
