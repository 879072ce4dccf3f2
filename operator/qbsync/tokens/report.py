"""From what the process knows about a grant to what its connection says. Reads, never acts."""

from datetime import datetime, timedelta
from typing import Final

from qbsync.api.reasons import ConnectionReason
from qbsync.engine.clock import Clock
from qbsync.tokens import schedule
from qbsync.tokens.health import Authorized, GrantHealth
from qbsync.tokens.session import Session
from qbsync.tokens.spec import KeeperSettings

_FRESH: Final = "the access token is valid and is refreshed before it ends"
_ALWAYS_SAID: Final = (ConnectionReason.SECRET_CONFLICT, ConnectionReason.DECRYPTION_FAILED)
"""Reasons that a living access token does not cover up: the grant itself is in danger."""
_IDLE: Final = timedelta(minutes=1)


def report(session: Session, *, clock: Clock, settings: KeeperSettings) -> GrantHealth:
    """The state now; hands over, and forgets, the records and Events collected since the last report."""
    now = clock.now()
    reason, message = verdict(session)
    grant = session.grant
    warning = schedule.expires_soon(grant, now) if grant is not None else None
    health = GrantHealth(
        reason=reason,
        message=f"{message}; {warning}" if warning else message,
        usable=session.usable,
        authorized=_authorized(session),
        next_due=_next_due(session, now=now, monotonic=clock.monotonic(), settings=settings),
        next_refresh=_next_refresh(session, now=now, monotonic=clock.monotonic()),
        in_progress=session.flying,
        handled=session.request is None,
        access_expires_at=grant.access_expires_at if grant is not None else None,
        refresh_expires_at=grant.refresh_expires_at if grant is not None else None,
        refresh_hard_expires_at=grant.refresh_hard_expires_at if grant is not None else None,
        last_refresh=grant.refreshed_at if grant is not None else None,
        consecutive_failures=session.failures,
        records=tuple(session.records),
        expiry_warning=warning,
        events=tuple(session.events),
        key_id=session.kid,
        sequence=session.sequence,
    )
    session.records.clear()
    session.events.clear()
    return health


def verdict(session: Session) -> tuple[ConnectionReason, str]:
    """Reason and message of Ready, as far as the grant decides it."""
    if session.stalled is not None:
        return (
            ConnectionReason.STORE_FAILING,
            f"new tokens are in memory and cannot be stored in Secret {session.spec.tokens_secret_name}: "
            f"{session.stalled}; they are written again and again: do not stop the operator",
        )
    trouble = session.trouble
    if trouble is not None and (trouble.reason in _ALWAYS_SAID or not session.usable):
        return trouble.reason, trouble.message
    if not session.usable:
        return ConnectionReason.IMPORTING, "the tokens are being fetched"
    if trouble is None:
        return ConnectionReason.TOKEN_FRESH, _FRESH
    end = session.grant.access_expires_at if session.grant is not None else None
    until = f" until {end:%Y-%m-%d %H:%M} UTC" if end is not None else ""
    return (
        ConnectionReason.TOKEN_FRESH,
        f"the access token is valid{until}, its refresh fails: {trouble.message}",
    )


def _authorized(session: Session) -> Authorized:
    grant, trouble, rejection = session.grant, session.trouble, session.rejection
    if grant is None:
        reason = trouble.reason if trouble is not None else ConnectionReason.IMPORTING
        missing = reason is ConnectionReason.REAUTHORIZATION_REQUIRED
        return Authorized(False if missing else None, reason, trouble.message if trouble is not None else "")
    if rejection is not None:
        unproven, final = grant.refreshed_at is None, rejection.final(session.spec.provider.probing)
        if unproven:
            return Authorized(False, ConnectionReason.IMPORT_REJECTED, trouble.message if trouble else "")
        message = trouble.message if trouble is not None else ""
        return Authorized(False if final else None, ConnectionReason.REAUTHORIZATION_REQUIRED, message)
    if session.refused_client is not None:
        return Authorized(None, ConnectionReason.CREDENTIALS_REJECTED, trouble.message if trouble else "")
    if grant.refreshed_at is None:
        return Authorized(None, ConnectionReason.IMPORTING, "the imported tokens have not been refreshed yet")
    return Authorized(
        True, ConnectionReason.TOKEN_FRESH, "the provider accepted the grant at the last refresh"
    )


def _next_due(session: Session, *, now: datetime, monotonic: float, settings: KeeperSettings) -> datetime:
    if session.flying:
        return now + settings.secret_poll
    waits: list[datetime] = []
    if session.trouble is not None:
        waits.append(now + _until(session.trouble.until, monotonic))
    else:
        waits.append(session.next_refresh() or now + _IDLE)
    chores = (at for at in (session.scrub_at, session.code_at) if at is not None and at != float("inf"))
    waits.extend(now + _until(at, monotonic) for at in chores)
    return max(min(waits), now)


def _next_refresh(session: Session, *, now: datetime, monotonic: float) -> datetime | None:
    """When the token endpoint is called next, as far as that is known."""
    trouble, grant = session.trouble, session.grant
    if grant is not None and session.rejection is not None:
        probing = session.spec.provider.probing
        return schedule.next_probe(session.rejection, grant.refresh_ends_at, probing=probing)
    if trouble is not None and trouble.token_call:
        return now + _until(trouble.until, monotonic)
    return session.next_refresh()


def _until(moment: float, monotonic: float) -> timedelta:
    return timedelta(seconds=max(moment - monotonic, 0.0))
