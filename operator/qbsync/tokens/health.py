"""What the keeper reports: everything that a connection's status, Events and history need. Frozen."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from qbsync.api.reasons import ConnectionReason


class RefreshOutcome(StrEnum):
    """How an attempt ended; stands in `status.refreshHistory` and in the metric's label."""

    REFRESHED = "Refreshed"
    IMPORTED = "Imported"
    CONNECTED = "Connected"
    """A person's consent brought a new grant."""
    NOT_PROCESSED = "NotProcessed"
    """The provider certainly did not act on it."""
    UNKNOWN = "Unknown"
    """Sent, and no complete answer came: perhaps processed."""
    REFUSED = "Refused"
    """A complete answer that says no, neither to the grant nor to the client."""
    INVALID_GRANT = "InvalidGrant"
    INVALID_CLIENT = "InvalidClient"
    SUPERSEDED = "Superseded"
    """Answered, but another process had received a later answer by then."""


@dataclass(frozen=True, slots=True)
class RefreshRecord:
    """One attempt, for the history."""

    time: datetime
    """When it ended."""
    outcome: RefreshOutcome
    trigger: str
    duration: timedelta
    error: str | None = None
    """Never holds a token."""
    intuit_tid: str | None = None


@dataclass(frozen=True, slots=True)
class GrantEvent:
    """An Event to post on the connection."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Authorized:
    """The condition of that name: did the provider accept the grant at its last answer?"""

    status: bool | None
    """None: not asked yet, or in doubt."""
    reason: ConnectionReason
    message: str


@dataclass(frozen=True, slots=True)
class GrantHealth:
    """The state of one grant after `Keeper.ensure`."""

    reason: ConnectionReason
    """For Ready, as far as the grant decides it."""
    message: str
    """What is wrong and what to do about it."""
    usable: bool
    """There is an access token that lives and was not refused."""
    authorized: Authorized
    next_due: datetime
    """When `ensure` wants to be called again."""
    next_refresh: datetime | None
    """`status.nextRefreshTime`: when the token endpoint is called next; None if that is not planned."""
    in_progress: bool = False
    """A refresh is still under way; `on_change` tells when it ends."""
    handled: bool = True
    """What `force` asked for came to an end: the grant moved, or the answer is one that waiting does not change."""
    access_expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    refresh_hard_expires_at: datetime | None = None
    last_refresh: datetime | None = None
    consecutive_failures: int = 0
    records: tuple[RefreshRecord, ...] = ()
    """New since the last call, oldest first."""
    expiry_warning: str | None = None
    """What the message says about a refresh token that ends within 30 days; an Event where it is new."""
    events: tuple[GrantEvent, ...] = ()
    """New since the last call, oldest first."""
    key_id: str | None = None
    """Of the key that the stored envelope was sealed with."""
    sequence: int | None = None
