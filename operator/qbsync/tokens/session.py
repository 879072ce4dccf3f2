"""What this process knows about one grant: the tokens in memory, the trouble, what is still to be reported."""

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from qbsync.api.reasons import ConnectionReason
from qbsync.engine.clock import Clock
from qbsync.quickbooks.client import AccessToken
from qbsync.tokens import schedule
from qbsync.tokens.claim import LockWatch, Spent
from qbsync.tokens.grant import Grant
from qbsync.tokens.health import GrantEvent, RefreshRecord
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.spec import GrantSpec, Trigger
from qbsync.tokens.store import Stored

_KEPT_RECORDS = 20
_KEPT_EVENTS = 50
_NEVER = float("-inf")
_ROUNDING = 0.001
"""Seconds: due times are rounded to microseconds, so that who comes in time may come a trifle early."""
FROM_STORED = -1
"""`Ask.base` of somebody who asked before the stored grant was read."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants of a refresh."""

    trigger: Trigger
    base: int | None = None
    """Forced: done once the grant's sequence is above this. None: done if the tokens are fresh."""

    def anchored(self, sequence: int | None) -> "Ask":
        """A forced one that did not know the sequence yet, counted from what is stored now."""
        if self.base != FROM_STORED:
            return self
        return replace(self, base=sequence if sequence is not None else FROM_STORED - 1)


class Paused(Exception):
    """Nothing more can be done now. `str()` says why and what to do."""

    def __init__(
        self,
        reason: ConnectionReason,
        message: str,
        *,
        retry: timedelta,
        final: bool = False,
        token_call: bool = False,
    ) -> None:
        """`final`: waiting alone changes nothing. `token_call`: the token is sent again after `retry`."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry = retry
        self.final = final
        self.token_call = token_call


@dataclass(frozen=True, slots=True)
class Trouble:
    """The pause that stands."""

    reason: ConnectionReason
    message: str
    until: float
    """Monotonic seconds: tried again then."""
    final: bool
    token_call: bool


@dataclass(frozen=True, slots=True)
class RefusedClient:
    """Credentials that the provider refused, and until when they are not tried again unchanged."""

    identity: str
    until: float


@dataclass(frozen=True, slots=True)
class Announced:
    """An authorization code that the token Secret calls sent, with the intent that came with it."""

    code: SecretStr
    nonce: str


class Session:
    """One grant in one process. Lives in one event loop; its parts change only between awaits."""

    def __init__(self, spec: GrantSpec, *, process_id: str, clock: Clock) -> None:
        """`process_id` is random per process; each session adds its own part, so none trusts another's intent."""
        self.spec = spec
        self.holder = f"{process_id}/{secrets.token_hex(4)}"
        self.gone = False
        """The connection was deleted."""

        self.grant: Grant | None = None
        self.kid: str | None = None
        self.rejection: Rejection | None = None
        self.loaded = False
        self.access: AccessToken | None = None
        self._access_until = _NEVER
        self._access_ends = datetime.min.replace(tzinfo=UTC)
        self._third = 0.0

        self.trouble: Trouble | None = None
        self.stalled: str | None = None
        """An answer is in memory that could not be stored yet; what hinders it."""
        self.stall = asyncio.Event()
        self.failures = 0
        """Token calls that failed in a row."""
        self.setbacks = 0
        """Kubernetes calls that failed in a row."""
        self.spent: Spent | None = None
        self.lock = LockWatch()
        self.refused_client: RefusedClient | None = None
        self.disappointment: Paused | None = None
        """Why the last authorization code came to nothing, where there is no grant beside."""
        self.rollback_until = _NEVER
        self.floor = 0
        """The next stored sequence is above this."""
        self.unsent: Announced | None = None
        """What was announced last, while it certainly was not sent."""
        self.connected = False
        """It was told that a code brought the grant."""
        self.scrub_at: float | None = None
        """When emptying the import Secret is tried (again)."""
        self.code_at: float | None = None
        """When the Secret with an authorization code is looked for again: to be exchanged, or deleted after use."""

        self.flight: asyncio.Task[None] | None = None
        self.flight_ask: Ask | None = None
        self.watchers = 0
        """Calls of `ensure` that will report what the flight brings."""
        self.request_seen: str | None = None
        self.request: Ask | None = None
        """An open request of a person."""
        self.request_tried = False
        self.records: deque[RefreshRecord] = deque(maxlen=_KEPT_RECORDS)
        self.events: deque[GrantEvent] = deque(maxlen=_KEPT_EVENTS)
        self._said: dict[str, tuple[str, float]] = {}
        self._clock = clock

    @property
    def flying(self) -> bool:
        """True while a refresh is under way."""
        return self.flight is not None and not self.flight.done()

    @property
    def sequence(self) -> int | None:
        """Of the grant in memory."""
        return self.grant.sequence if self.grant is not None else None

    def fresh_access(self, least: float) -> AccessToken | None:
        """The access token if it has at least `least` seconds left on both clocks; memory only.

        Of a token that lives shorter than three times that, a third of its life is enough.
        """
        least = min(least, self._third)
        if self._access_until - self._clock.monotonic() < least:
            return None
        if (self._access_ends - self._clock.now()).total_seconds() < least:
            return None
        return self.access

    @property
    def usable(self) -> bool:
        """There is an access token that lives and was not refused."""
        return self.fresh_access(0.001) is not None

    def refuse_access(self, sequence: int) -> None:
        """A call with this token got a 401: it is not handed out again."""
        if sequence == self.sequence:
            self.access, self._access_until = None, _NEVER

    def take(self, stored: Stored, *, issued: float | None = None) -> None:
        """Make what is stored the truth in memory.

        `issued` is the monotonic time of sending, where this process asked for the tokens itself: then a
        wrong wall clock does not lengthen them.
        """
        grant, self.kid, self.loaded = stored.grant, stored.kid, True
        self.rejection = stored.rejection
        if grant is None:
            return
        if self.rejection is not None and self.rejection.sequence != grant.sequence:
            self.rejection = None
        if self.grant is not None and self.grant.sequence == grant.sequence and issued is None:
            self.grant = grant
            return
        self.grant = grant
        self.floor = max(self.floor, grant.sequence)
        self.failures = 0
        self._publish(grant, issued)

    def drop(self) -> None:
        """Forget the tokens in memory: they are dead, and somebody removed them from the store."""
        self.grant = self.kid = self.rejection = self.spent = None
        self.access, self._access_until = None, _NEVER

    def _publish(self, grant: Grant, issued: float | None) -> None:
        if grant.access_token is None or grant.access_expires_at is None or grant.unconfirmed:
            self.access, self._access_until = None, _NEVER
            return
        left = grant.access_expires_at - self._clock.now()
        until = self._clock.monotonic() + left.total_seconds()
        if issued is not None:
            until = min(until, issued + grant.access_lifetime.total_seconds())
        self.access = AccessToken(grant.access_token, grant.sequence)
        self._access_until, self._access_ends = until, grant.access_expires_at
        self._third = grant.access_lifetime.total_seconds() / 3

    def next_refresh(self) -> datetime | None:
        """When the schedule wants a refresh; None: at once."""
        return schedule.next_refresh(self.grant, self.spec.refresh_before) if self.grant is not None else None

    def satisfied(self, ask: Ask, *, fresh: timedelta) -> bool:
        """Whether the tokens in memory are what was asked for."""
        if self.grant is None:
            return False
        if self.fresh_access(fresh.total_seconds()) is None:
            return False
        if ask.base is not None:
            return self.grant.sequence > ask.base
        if ask.trigger is Trigger.BEFORE_CALL:
            return True
        due = self.next_refresh()
        return not self._in_doubt and due is not None and self._clock.now() < due

    @property
    def _in_doubt(self) -> bool:
        """The grant or the app was refused, or the app's Secret is missing: a living token settles none of that."""
        missing = self.trouble is not None and self.trouble.reason is ConnectionReason.SECRET_NOT_FOUND
        return self.rejection is not None or self.refused_client is not None or missing

    def pause(self, pause: Paused) -> None:
        """Remember why nothing more was done."""
        until = self._clock.monotonic() + max(pause.retry.total_seconds(), 0.0)
        self.trouble = Trouble(
            pause.reason, pause.message, until=until, final=pause.final, token_call=pause.token_call
        )
        if self.scrub_due:
            # It did not come to that: a chore that stays due would call for a look again and again.
            self.scrub_at = until

    def resume(self) -> None:
        """Everything is as it should be."""
        self.trouble = None
        self.setbacks = 0

    def hurry(self) -> None:
        """Something that a pause waited for may have changed: look at once."""
        if self.trouble is not None and self.trouble.final:
            self.trouble = replace(self.trouble, until=_NEVER)

    @property
    def scrub_due(self) -> bool:
        """Emptying the import Secret failed, and is to be tried again now."""
        return self.scrub_at is not None and self._clock.monotonic() >= self.scrub_at

    @property
    def code_due(self) -> bool:
        """An authorization code was not dealt with, and is to be looked for now."""
        return self.code_at is not None and self._clock.monotonic() >= self.code_at - _ROUNDING

    @property
    def chore_due(self) -> bool:
        """Something beside the refreshes was left undone, and is to be tried again now."""
        return self.scrub_due or self.code_due

    @property
    def waiting(self) -> bool:
        """A pause stands and is not over."""
        return self.trouble is not None and self._clock.monotonic() < self.trouble.until - _ROUNDING

    def say(self, event: GrantEvent, *, again_after: timedelta | None = None) -> None:
        """Keep an Event for the next report; the same words again only after `again_after`, if given."""
        now = self._clock.monotonic()
        if again_after is not None:
            message, said = self._said.get(event.reason, ("", _NEVER))
            if message == event.message and now - said < again_after.total_seconds():
                return
        self._said[event.reason] = (event.message, now)
        self.events.append(event)
