"""The token endpoint: one refresh token in, one answer out. Keeps nothing, repeats nothing.

Sources: RFC 6749; Intuit's OAuth 2.0 documentation and SDKs; for `x_refresh_token_hard_expires_in` Intuit's
announcement of 2025-11-12, "Important changes to refresh token policy".
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import SecretStr

from qbsync.quickbooks.answers import intuit_tid, said, understood
from qbsync.quickbooks.errors import (
    InvalidClient,
    InvalidGrant,
    NoAnswer,
    NotSent,
    TokenError,
    TokenNotProcessed,
    TokenPerhapsProcessed,
    TokenRequestRefused,
)
from qbsync.quickbooks.faults import redacted
from qbsync.quickbooks.transport import HttpRequest, HttpResponse, Transport

_LONGEST: Final = timedelta(days=3650)
"""No lifetime is longer; some recorded answers hold epoch milliseconds where seconds belong."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What is special about one OAuth provider."""

    name: str
    authorize_url: str
    token_url: str
    revoke_url: str
    api_origin: str
    """Scheme and host of the provider's API, without a path."""
    scopes: tuple[str, ...]
    refresh_headers: tuple[tuple[str, str], ...] = ()
    """Sent with every refresh, beside those of RFC 6749."""
    usual_lifetime: timedelta = timedelta(hours=1)
    """Of an access token, where the answer does not say it."""


QUICKBOOKS_PRODUCTION: Final = Provider(
    name="QuickBooks",
    authorize_url="https://appcenter.intuit.com/connect/oauth2",
    token_url="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",  # noqa: S106 - an address
    revoke_url="https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
    api_origin="https://quickbooks.api.intuit.com",
    scopes=("com.intuit.quickbooks.accounting",),
    refresh_headers=(("x-include-refresh-token-hard-expires-in", "true"),),
)
QUICKBOOKS_SANDBOX: Final = Provider(
    name=QUICKBOOKS_PRODUCTION.name,
    authorize_url=QUICKBOOKS_PRODUCTION.authorize_url,
    token_url=QUICKBOOKS_PRODUCTION.token_url,
    revoke_url=QUICKBOOKS_PRODUCTION.revoke_url,
    api_origin="https://sandbox-quickbooks.api.intuit.com",
    scopes=QUICKBOOKS_PRODUCTION.scopes,
    refresh_headers=QUICKBOOKS_PRODUCTION.refresh_headers,
)
"""Only the API differs: Intuit tells the environments apart by the app's keys."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The app, as it is registered with the provider."""

    client_id: str
    client_secret: SecretStr


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the token endpoint granted. Durations count from the moment the request was sent."""

    access_token: SecretStr
    expires_in: timedelta
    refresh_token: SecretStr | None
    """None: the answer held none, the one sent stays valid."""
    refresh_expires_in: timedelta | None
    """Soft expiry, moved by every refresh; None if not said."""
    refresh_hard_expires_in: timedelta | None
    """Hard expiry, moved by nothing; None if not said."""
    intuit_tid: str | None


class OAuthClient:
    """Speaks to token endpoints."""

    def __init__(self, *, transport: Transport) -> None:
        self._transport = transport

    async def refresh(
        self,
        *,
        provider: Provider,
        credentials: ClientCredentials,
        refresh_token: SecretStr,
        timeout: timedelta,
    ) -> TokenAnswer:
        """Exchange a refresh token for a new access token, and perhaps a new refresh token.

        Raises InvalidGrant, InvalidClient, TokenRequestRefused for complete refusals, TokenNotProcessed if
        the token was certainly not spent, TokenPerhapsProcessed if it may be.
        """
        request = _refresh_request(provider, credentials, refresh_token)
        failure: TokenError
        try:
            response = await self._transport.send(request, timeout=timeout)
        except NotSent as error:
            failure = TokenNotProcessed(f"token endpoint: {error}")
            failure.ours = error.ours
        except NoAnswer as error:
            failure = TokenPerhapsProcessed(f"token endpoint: {error}")
        else:
            return _read(provider, response, redact=(refresh_token, credentials.client_secret))
        raise failure


def _refresh_request(
    provider: Provider, credentials: ClientCredentials, refresh_token: SecretStr
) -> HttpRequest:
    secret = f"{credentials.client_id}:{credentials.client_secret.get_secret_value()}"
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token.get_secret_value()}
    return HttpRequest(
        method="POST",
        url=provider.token_url,
        headers={
            "accept": "application/json",
            "authorization": f"Basic {base64.b64encode(secret.encode()).decode()}",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "qbsync",
            **dict(provider.refresh_headers),
        },
        body=urlencode(form).encode(),
    )


def _read(provider: Provider, response: HttpResponse, *, redact: Sequence[SecretStr]) -> TokenAnswer:
    body = understood(response)
    tid = intuit_tid(response)
    if 200 <= response.status < 300:
        return _granted(provider, response, body, tid)
    if response.status == 429:
        raise TokenNotProcessed(
            "the token endpoint throttles this app: wait before the next refresh", status=429, intuit_tid=tid
        )
    if body is None or response.status == 408 or not 400 <= response.status < 500:
        raise TokenPerhapsProcessed(
            f"the token endpoint answered {said(response)}; the refresh token may be spent",
            status=response.status,
            intuit_tid=tid,
        )
    raise _refusal(response.status, body, tid, redact=redact)


def _granted(
    provider: Provider, response: HttpResponse, body: Mapping[str, Any] | None, tid: str | None
) -> TokenAnswer:
    parts = body or {}
    access_token = _secret(parts.get("access_token"))
    refresh_token = _secret(parts.get("refresh_token"))
    if access_token is None:
        error = TokenPerhapsProcessed(
            f"the token endpoint answered {said(response)} without an access token; "
            "the refresh token may be spent",
            status=response.status,
            intuit_tid=tid,
        )
        error.received = refresh_token
        raise error
    return TokenAnswer(
        access_token=access_token,
        expires_in=_seconds(parts.get("expires_in")) or provider.usual_lifetime,
        refresh_token=refresh_token,
        refresh_expires_in=_seconds(parts.get("x_refresh_token_expires_in")),
        refresh_hard_expires_in=_seconds(parts.get("x_refresh_token_hard_expires_in")),
        intuit_tid=tid,
    )


def _refusal(
    status: int, body: Mapping[str, Any], tid: str | None, *, redact: Sequence[SecretStr]
) -> TokenError:
    code = body.get("error")
    code = redacted(code, redact) if isinstance(code, str) else None
    text = body.get("error_description")
    text = redacted(text, redact) if isinstance(text, str) else None
    kind, advice = _REFUSALS.get(code or "", (TokenRequestRefused, "see Intuit's OAuth documentation"))
    if status not in (400, 401):
        kind, advice = TokenRequestRefused, "see Intuit's OAuth documentation"
    told = f"{status} {code or 'without an error code'}" + (f" ({text})" if text else "")
    return kind(
        f"the token endpoint refused: {told}: {advice}",
        status=status,
        intuit_tid=tid,
        oauth_error=code,
        description=text,
    )


_REFUSALS: Final[Mapping[str, tuple[type[TokenError], str]]] = {
    "invalid_grant": (
        InvalidGrant,
        "the refresh token is superseded, revoked or expired; if it persists, reconnect the company",
    ),
    "invalid_client": (InvalidClient, "correct client id and client secret in the connection's Secret"),
}


def _secret(value: object) -> SecretStr | None:
    return SecretStr(value) if isinstance(value, str) and value else None


def _seconds(value: object) -> timedelta | None:
    """A positive number of seconds, as number or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        seconds = Decimal(value)
    except ArithmeticError:
        return None
    if not seconds.is_finite() or seconds <= 0:
        return None
    return min(timedelta(seconds=int(min(seconds, Decimal(10) ** 12))), _LONGEST)
