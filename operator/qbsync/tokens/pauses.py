"""Why nothing more is done now: the pauses of the protocol, with the words that reach status and Events. Pure."""

from datetime import datetime, timedelta
from typing import Final

from qbsync.api.reasons import ConnectionReason
from qbsync.tokens import schedule
from qbsync.tokens.claim import Intent
from qbsync.tokens.grant import Grant
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.session import Paused
from qbsync.tokens.spec import GrantSpec, KeeperSettings

CONNECT: Final = (
    "connect the company with qbsync connect, or put tokens of it into a Secret and name that in "
    "spec.importTokensFrom"
)
_NOT_OURS: Final = timedelta(seconds=5)
_LOOK_AGAIN: Final = timedelta(minutes=1)


def locked(intent: Intent, *, settings: KeeperSettings) -> Paused:
    """Another holder's intent is open."""
    return Paused(
        ConnectionReason.PROVIDER_UNAVAILABLE,
        f"another process began a refresh at {intent.time or 'an unknown time'}: waiting until it is stored, "
        f"or for {settings.lock.total_seconds():.0f} s without a sign of it",
        retry=settings.lock_poll,
    )


def not_leading() -> Paused:
    """The lease is lost, the process ends, or the connection is gone."""
    return Paused(
        ConnectionReason.PROVIDER_UNAVAILABLE,
        "this process no longer leads: it spends no token and writes nothing new",
        retry=_NOT_OURS,
    )


def rolled_back(left: timedelta) -> Paused:
    """The store lost its newest state, and perhaps an open intent with it."""
    return Paused(
        ConnectionReason.PROVIDER_UNAVAILABLE,
        "the token store was rolled back: waiting until no refresh begun before can be under way",
        retry=left,
        token_call=True,
    )


def perhaps_spent(left: timedelta) -> Paused:
    """The token was sent, and its first use may still be running."""
    return Paused(
        ConnectionReason.PROVIDER_UNAVAILABLE,
        "the last refresh got no complete answer and may still be at work: "
        "the same token is not sent again before it cannot be",
        retry=left,
        token_call=True,
    )


def failed(message: str, retry: timedelta) -> Paused:
    """A call to the token endpoint came to nothing; it is repeated after `retry`."""
    return Paused(ConnectionReason.PROVIDER_UNAVAILABLE, message, retry=retry, token_call=True)


def store_failing(spec: GrantSpec, message: str, retry: timedelta) -> Paused:
    """The Kubernetes API does not let us read or write; no token was spent."""
    return Paused(
        ConnectionReason.STORE_FAILING,
        f"Secret {spec.namespace}/{spec.tokens_secret_name} cannot be read or written: {message}",
        retry=retry,
    )


def secret_conflict(message: str) -> Paused:
    """The Secret's name is taken."""
    return Paused(ConnectionReason.SECRET_CONFLICT, message, retry=_LOOK_AGAIN, final=True)


def does_not_open(spec: GrantSpec, error: Exception) -> Paused:
    """The stored envelope does not open; it is never overwritten."""
    return Paused(
        ConnectionReason.DECRYPTION_FAILED,
        f"{error}. Secret {spec.tokens_secret_name} is left as it is; delete it to start again with new tokens",
        retry=_LOOK_AGAIN,
        final=True,
    )


def spooled_does_not_open(error: Exception) -> Paused:
    """Newer tokens than those in the Secret lie in the spool directory, and cannot be read."""
    return Paused(
        ConnectionReason.DECRYPTION_FAILED,
        f"the newest tokens are in the spool directory (--spool-dir): {error}, or remove them there",
        retry=_LOOK_AGAIN,
        final=True,
    )


def circuit_open(left: timedelta) -> Paused:
    """So many calls to the token endpoint failed that it is left alone."""
    return Paused(
        ConnectionReason.PROVIDER_UNAVAILABLE,
        "so many refreshes failed that the token endpoint is left alone for a while (status.circuit)",
        retry=left,
        token_call=True,
    )


def secret_missing(message: str, *, settings: KeeperSettings) -> Paused:
    """The client Secret or the import Secret is not there."""
    return Paused(ConnectionReason.SECRET_NOT_FOUND, message, retry=settings.secret_poll, final=True)


def import_unreadable(message: str, *, settings: KeeperSettings) -> Paused:
    """The import Secret holds something else than tokens."""
    return Paused(ConnectionReason.IMPORT_REJECTED, message, retry=settings.secret_poll, final=True)


def no_grant(message: str, *, settings: KeeperSettings) -> Paused:
    """Nobody has connected the company yet."""
    return Paused(
        ConnectionReason.REAUTHORIZATION_REQUIRED,
        f"{message}: {CONNECT}",
        retry=settings.reauthorization_poll,
        final=True,
    )


def client_refused(spec: GrantSpec, *, settings: KeeperSettings) -> Paused:
    """`invalid_client`."""
    return Paused(
        ConnectionReason.CREDENTIALS_REJECTED,
        f"the provider refuses client id and secret of Secret {spec.client_secret_name} (invalid_client): "
        f"correct them; the Secret is read again every {settings.secret_poll.total_seconds():.0f} s",
        retry=settings.secret_poll,
        final=True,
    )


def grant_refused(
    spec: GrantSpec, grant: Grant, rejection: Rejection, *, now: datetime, settings: KeeperSettings
) -> Paused:
    """`invalid_grant` for the current token: looked at often for new tokens, tried again on schedule."""
    due = schedule.next_probe(rejection, grant.refresh_ends_at, probing=spec.provider.probing)
    again = f"tried again at {due:%Y-%m-%d %H:%M} UTC" if due is not None else "it has expired"
    if grant.refreshed_at is None:
        reason = ConnectionReason.IMPORT_REJECTED
        message = (
            "the provider refused the imported refresh token at first use (invalid_grant): another program "
            f"still uses this grant, or the token was replaced since. Stop that program, then {CONNECT}; {again}"
        )
    elif rejection.final(spec.provider.probing):
        reason = ConnectionReason.REAUTHORIZATION_REQUIRED
        message = f"the provider refuses the refresh token (invalid_grant, {rejection.count} times): {CONNECT}; {again}"
    else:
        reason = ConnectionReason.PROVIDER_UNAVAILABLE
        message = (
            f"the provider refused the refresh token (invalid_grant), as it does in outages, too: {again}"
        )
    left = max(due - now, timedelta()) if due is not None else settings.reauthorization_poll
    return Paused(reason, message, retry=min(left, settings.reauthorization_poll), final=True)
