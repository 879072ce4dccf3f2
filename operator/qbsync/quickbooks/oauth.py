"""The provider's OAuth endpoints: a code or a refresh token in, one answer out. Keeps nothing, repeats nothing.

Sources: RFC 6749; Intuit's OAuth 2.0 documentation and SDKs; for `x_refresh_token_hard_expires_in` Intuit's
announcement of 2025-11-12, "Important changes to refresh token policy".
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, NoReturn
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
class Probing:
    """How a refresh token that was refused is tried again: some providers refuse in an outage what is well."""

    first: tuple[timedelta, ...]
    """The pauses after the first refusals in a row."""
    then: timedelta
    """The pause after every further one, until the token expires."""
    person_after: int
    """So many refusals in a row are believed: a person has to reconnect."""

    def delay(self, refusals: int) -> timedelta:
        """How long to wait after `refusals` ≥ 1 in a row."""
        return self.first[refusals - 1] if refusals <= len(self.first) else self.then


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
    probing: Probing
    code_lifetime: timedelta
    """Of an authorization code: an older one is not sent any more."""
    documentation: str
    """Where its OAuth errors are explained, for messages."""
    soft_expiry_key: str = ""
    """The answer's key with the seconds to the refresh token's expiry that every refresh moves."""
    hard_expiry_key: str = ""
    """The same for the expiry that nothing moves."""
    dead_grant: frozenset[str] = frozenset({"invalid_grant"})
    """Error codes for a token or code that is refused (RFC 6749)."""
    wrong_client: frozenset[str] = frozenset({"invalid_client"})
    """Error codes for a client id or secret that is refused (RFC 6749)."""
    refresh_headers: tuple[tuple[str, str], ...] = ()
    """Sent with every refresh and exchange, beside those of RFC 6749."""
    usual_lifetime: timedelta = timedelta(hours=1)
    """Of an access token, where the answer does not say it."""

    def consent_url(self, *, client_id: str, redirect_uri: str, state: str) -> str:
        """Where a person grants the app access to a company; `state` comes back with the code."""
        query = {
            "client_id": client_id,
            "response_type": "code",
            "scope": " ".join(self.scopes),
            "redirect_uri": redirect_uri,
            "state": state,
        }
        return f"{self.authorize_url}?{urlencode(query)}"


QUICKBOOKS_PRODUCTION: Final = Provider(
    name="QuickBooks",
    authorize_url="https://appcenter.intuit.com/connect/oauth2",
    token_url="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",  # noqa: S106 - an address
    revoke_url="https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
    api_origin="https://quickbooks.api.intuit.com",
    scopes=("com.intuit.quickbooks.accounting",),
    probing=Probing(
        first=(timedelta(minutes=10), *(timedelta(hours=1),) * 6), then=timedelta(days=1), person_after=2
    ),
    code_lifetime=timedelta(minutes=10),
    documentation="Intuit's OAuth documentation",
    soft_expiry_key="x_refresh_token_expires_in",
    hard_expiry_key="x_refresh_token_hard_expires_in",
    refresh_headers=(("x-include-refresh-token-hard-expires-in", "true"),),
)
QUICKBOOKS_SANDBOX: Final = replace(
    QUICKBOOKS_PRODUCTION, api_origin="https://sandbox-quickbooks.api.intuit.com"
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
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.get_secret_value()}
        request = _token_request(provider, credentials, form)
        response = await self._send(request, timeout=timeout)
        return _read(provider, response, _REFRESH, redact=(refresh_token, credentials.client_secret))

    async def exchange(
        self,
        *,
        provider: Provider,
        credentials: ClientCredentials,
        code: SecretStr,
        redirect_uri: str,
        timeout: timedelta,
    ) -> TokenAnswer:
        """Exchange the code of a consent for the first tokens; `redirect_uri` as it was asked for the code with.

        A code is good for one send, whatever became of it. Raises as `refresh`; TokenPerhapsProcessed also for
        an answer without a refresh token.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code.get_secret_value(),
            "redirect_uri": redirect_uri,
        }
        request = _token_request(provider, credentials, form)
        response = await self._send(request, timeout=timeout)
        answer = _read(provider, response, _EXCHANGE, redact=(code, credentials.client_secret))
        if answer.refresh_token is None:
            raise TokenPerhapsProcessed(
                f"the token endpoint answered {said(response)} without a refresh token",
                status=response.status,
                intuit_tid=answer.intuit_tid,
            )
        return answer

    async def revoke(
        self,
        *,
        provider: Provider,
        credentials: ClientCredentials,
        token: SecretStr,
        timeout: timedelta,
    ) -> str | None:
        """End the grant that a token belongs to; returns Intuit's transaction id.

        It ends everything that the app holds for the company. May be repeated: a token that is no longer known
        is refused (TokenRequestRefused or InvalidGrant with status 400). Raises as `refresh`.
        """
        if not provider.revoke_url:
            raise TokenNotProcessed("there is no revocation endpoint: spec.endpoints.revoke names it")
        request = HttpRequest(
            method="POST",
            url=provider.revoke_url,
            headers={
                "accept": "application/json",
                "authorization": _basic(credentials),
                "content-type": "application/json",
                "user-agent": "qbsync",
            },
            body=json.dumps({"token": token.get_secret_value()}).encode(),
        )
        response = await self._send(request, timeout=timeout)
        if not 200 <= response.status < 300:
            _refuse(provider, response, _REVOKE, redact=(token, credentials.client_secret))
        return intuit_tid(response)

    async def _send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        failure: TokenError
        try:
            return await self._transport.send(request, timeout=timeout)
        except NotSent as error:
            failure = TokenNotProcessed(f"token endpoint: {error}")
            failure.ours = error.ours
        except NoAnswer as error:
            failure = TokenPerhapsProcessed(f"token endpoint: {error}")
        raise failure


@dataclass(frozen=True, slots=True)
class _Words:
    """How a call is spoken of in errors."""

    again: str
    """After a throttled one."""
    doubt: str
    invalid_grant: str


_REFRESH: Final = _Words(
    again="wait before the next refresh",
    doubt="the refresh token may be spent",
    invalid_grant="the refresh token is superseded, revoked or expired; if it persists, reconnect the company",
)
_EXCHANGE: Final = _Words(
    again="connect the company again in a minute",
    doubt="the authorization code may be spent",
    invalid_grant="the authorization code is expired or was used before: connect the company again",
)
_REVOKE: Final = _Words(
    again="it is revoked a little later",
    doubt="the grant may be revoked",
    invalid_grant="the grant is not known any more",
)


def _token_request(
    provider: Provider, credentials: ClientCredentials, form: Mapping[str, str]
) -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=provider.token_url,
        headers={
            "accept": "application/json",
            "authorization": _basic(credentials),
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "qbsync",
            **dict(provider.refresh_headers),
        },
        body=urlencode(form).encode(),
    )


def _basic(credentials: ClientCredentials) -> str:
    secret = f"{credentials.client_id}:{credentials.client_secret.get_secret_value()}"
    return f"Basic {base64.b64encode(secret.encode()).decode()}"


def _read(
    provider: Provider, response: HttpResponse, words: _Words, *, redact: Sequence[SecretStr]
) -> TokenAnswer:
    if not 200 <= response.status < 300:
        _refuse(provider, response, words, redact=redact)
    return _granted(provider, response, words)


def _refuse(
    provider: Provider, response: HttpResponse, words: _Words, *, redact: Sequence[SecretStr]
) -> NoReturn:
    body = understood(response)
    tid = intuit_tid(response)
    if response.status == 429:
        raise TokenNotProcessed(
            f"the token endpoint throttles this app: {words.again}", status=429, intuit_tid=tid
        )
    if body is None or response.status == 408 or not 400 <= response.status < 500:
        raise TokenPerhapsProcessed(
            f"the token endpoint answered {said(response)}; {words.doubt}",
            status=response.status,
            intuit_tid=tid,
        )
    raise _refusal(provider, response.status, body, tid, words, redact=redact)


def _granted(provider: Provider, response: HttpResponse, words: _Words) -> TokenAnswer:
    body, tid = understood(response), intuit_tid(response)
    parts = body or {}
    access_token = _secret(parts.get("access_token"))
    refresh_token = _secret(parts.get("refresh_token"))
    if access_token is None:
        error = TokenPerhapsProcessed(
            f"the token endpoint answered {said(response)} without an access token; {words.doubt}",
            status=response.status,
            intuit_tid=tid,
        )
        error.received = refresh_token
        raise error
    return TokenAnswer(
        access_token=access_token,
        expires_in=_seconds(parts.get("expires_in")) or provider.usual_lifetime,
        refresh_token=refresh_token,
        refresh_expires_in=_seconds(parts.get(provider.soft_expiry_key)),
        refresh_hard_expires_in=_seconds(parts.get(provider.hard_expiry_key)),
        intuit_tid=tid,
    )


def _refusal(
    provider: Provider,
    status: int,
    body: Mapping[str, Any],
    tid: str | None,
    words: _Words,
    *,
    redact: Sequence[SecretStr],
) -> TokenError:
    code = body.get("error")
    code = redacted(code, redact) if isinstance(code, str) else None
    text = body.get("error_description")
    text = redacted(text, redact) if isinstance(text, str) else None
    kind: type[TokenError] = TokenRequestRefused
    advice = f"see {provider.documentation}"
    if status in (400, 401) and code in provider.dead_grant:
        kind, advice = InvalidGrant, words.invalid_grant
    elif status in (400, 401) and code in provider.wrong_client:
        kind, advice = InvalidClient, "correct client id and client secret in the connection's Secret"
    told = f"{status} {code or 'without an error code'}" + (f" ({text})" if text else "")
    return kind(
        f"the token endpoint refused: {told}: {advice}",
        status=status,
        intuit_tid=tid,
        oauth_error=code,
        description=text,
    )


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
