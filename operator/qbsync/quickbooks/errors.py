"""What can go wrong with QuickBooks, as this room's exceptions.

    QuickBooksError
     ├─ NotSent               nothing of the request left: connection, DNS or TLS failed
     ├─ NoAccessToken         the token source has none to offer: nothing was sent
     │   └─ metering.ReadsBlocked  the app's monthly reads are used up: nothing was sent
     ├─ NoAnswer              sent, but no complete answer: perhaps processed
     ├─ Throttled             429, or 3001: the company waits
     ├─ ServerFailure         408, 5xx, HTML, an unreadable 2xx: outcome of a write unknown
     ├─ Rejected              a complete fault; `.error_class` says what to do about it
     │   └─ ValueRefused      a lookup of one single value was refused
     ├─ Unauthorized          401 again right after a forced refresh
     ├─ AccessLost            120: the user who connected has no access any more
     ├─ WrongRealm            403/3100: the grant is not for this company or environment
     ├─ IncompleteAnswer      a lookup whose answer proves nothing
     └─ TokenError            of the token endpoint
         ├─ InvalidGrant          the refresh token is not accepted
         ├─ InvalidClient         client id and secret are not accepted
         ├─ TokenRequestRefused   another complete 4xx
         ├─ TokenNotProcessed     certainly not processed: not sent, or 429
         └─ TokenPerhapsProcessed sent, no usable complete answer: the token may be spent

No message, attribute or repr holds a token, a header or a raw body.
"""

from typing import TYPE_CHECKING

from pydantic import SecretStr

from qbsync.quickbooks.faults import ErrorClass, classify, deciding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qbsync.quickbooks.faults import Fault


class QuickBooksError(Exception):
    """QuickBooks did not do what it was asked, or did not say so."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        faults: "Sequence[Fault]" = (),
        intuit_tid: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; None without an answer."""
        self.faults = deciding(faults)
        """QuickBooks' errors, redacted; the first is the one that decided."""
        self.intuit_tid = intuit_tid
        """Intuit's transaction id: what their support asks for."""

    @property
    def code(self) -> str | None:
        """QuickBooks' code of the deciding error."""
        return (self.faults[0].code or None) if self.faults else None

    @property
    def type(self) -> str | None:
        """QuickBooks' fault type; for people only, its spelling varies."""
        return (self.faults[0].type or None) if self.faults else None

    @property
    def detail(self) -> str | None:
        """QuickBooks' detail of the deciding error."""
        return self.faults[0].detail if self.faults else None


class NotSent(QuickBooksError):
    """Nothing of the request left this process: it may be repeated at will."""

    ours = False
    """For a reason of this process's own: it says nothing about the server."""


class NoAccessToken(QuickBooksError):
    """There is no usable access token now, so nothing was sent; raised by a `client.TokenSource`."""


class NoAnswer(QuickBooksError):
    """The request, or a part of it, left; no complete answer came. It may have been processed."""


class Throttled(QuickBooksError):
    """429 or fault 3001. Intuit: wait 60 s. The outcome of a write is unknown."""


class ServerFailure(QuickBooksError):
    """408, 5xx, HTML, a redirect, an unreadable 2xx. The outcome of a write is unknown."""


class Rejected(QuickBooksError):
    """A complete answer with a fault: HTTP 4xx, or 200 with a fault inside."""

    @property
    def error_class(self) -> ErrorClass:
        """What the deciding error asks for."""
        return classify(self.faults[0]) if self.faults else ErrorClass.TRANSIENT

    @property
    def definite(self) -> bool:
        """True if QuickBooks certainly did not execute the request."""
        return self.status in (200, 400) and self.error_class in (ErrorClass.PERMANENT, ErrorClass.CONFLICT)


class ValueRefused(Rejected):
    """QuickBooks refused (4000, 4001) to look up one single value; without it, the others may be answered."""

    def __init__(self, refusal: Rejected, value: str) -> None:
        super().__init__(
            str(refusal), status=refusal.status, faults=refusal.faults, intuit_tid=refusal.intuit_tid
        )
        self.value = value


class Unauthorized(QuickBooksError):
    """A 401 for a token that was refreshed a moment ago: the company has to be reconnected."""


class AccessLost(QuickBooksError):
    """Fault 120: the QuickBooks user who connected the company has lost access to it."""


class WrongRealm(QuickBooksError):
    """403 or fault 3100: another company, sandbox against production, or a disconnected app."""


class IncompleteAnswer(QuickBooksError):
    """A well-formed answer that proves neither that something is there nor that it is not."""


class TokenError(QuickBooksError):
    """The token endpoint gave no new access token."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        faults: "Sequence[Fault]" = (),
        intuit_tid: str | None = None,
        oauth_error: str | None = None,
        description: str | None = None,
    ) -> None:
        super().__init__(message, status=status, faults=faults, intuit_tid=intuit_tid)
        self.oauth_error = oauth_error
        """`error` of the answer (RFC 6749 §5.2)."""
        self.description = description
        """`error_description` of the answer, redacted."""

    @property
    def code(self) -> str | None:
        return self.oauth_error or super().code


class InvalidGrant(TokenError):
    """The refresh token is not accepted: superseded, revoked or expired; false alarms occur in outages."""


class InvalidClient(TokenError):
    """Client id and secret are not accepted."""


class TokenRequestRefused(TokenError):
    """A complete 4xx with another error."""


class TokenNotProcessed(TokenError):
    """The refresh token was certainly not spent: not sent, or 429."""

    ours = False
    """As for `NotSent`."""


class TokenPerhapsProcessed(TokenError):
    """The refresh token was sent and no usable answer came: it may be spent."""

    received: SecretStr | None = None
    """A refresh token that such an answer held nevertheless; it supersedes the one that was sent."""


_NOT_EXECUTED = (NotSent, NoAccessToken, TokenError, Unauthorized, AccessLost, WrongRealm)


def outcome_unknown(error: QuickBooksError) -> bool:
    """True if the write that ended in `error` may have been executed, now or within the server's 120 s.

    Not executed: what was not sent (also for want of a token), what was refused at the door (401, 120,
    403/3100), and a complete rejection of class Permanent or Conflict. All else, 429 included, is unknown.
    """
    if isinstance(error, Rejected):
        return not error.definite
    return not isinstance(error, _NOT_EXECUTED)
