"""One client per company: its endpoints, its limits, its token; made once and kept while the connection lives."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from qbsync.api.connection import Environment, Limits, QuickBooksConnectionSpec
from qbsync.api.reasons import ConnectionReason
from qbsync.engine.breaker import Breaker, CircuitOpen, Circuits, Endpoint
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.quickbooks.client import (
    CLIENT_MARGIN,
    AccessToken,
    CompanyClient,
    RequestObserver,
    TokenSource,
)
from qbsync.quickbooks.errors import NoAnswer, NotSent
from qbsync.quickbooks.limits import CompanyLimiter
from qbsync.quickbooks.oauth import QUICKBOOKS_PRODUCTION, QUICKBOOKS_SANDBOX, Provider
from qbsync.quickbooks.transport import HttpRequest, HttpResponse, Transport
from qbsync.tokens.errors import EndpointRefused, TokenUnavailable
from qbsync.tokens.spec import GrantSpec

REQUESTS_PER_SECOND = 10
REQUESTS_PER_MINUTE = 500
CONCURRENT_REQUESTS = 10
BATCHES_PER_MINUTE = 40
"""Intuit, "Limits and throttles": per company and app."""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Where connections with environment Custom may point."""

    allow_loopback: bool
    allowed: frozenset[str]
    """host:port."""

    @classmethod
    def of(cls, *, allow_custom_endpoints: bool, custom_endpoint: Sequence[str]) -> "EndpointPolicy":
        return cls(allow_custom_endpoints, frozenset(custom_endpoint))

    def provider(self, spec: QuickBooksConnectionSpec) -> Provider:
        """The provider with the addresses of this connection. Raises `EndpointRefused`."""
        if spec.environment is Environment.PRODUCTION:
            return QUICKBOOKS_PRODUCTION
        if spec.environment is Environment.SANDBOX:
            return QUICKBOOKS_SANDBOX
        endpoints = spec.endpoints
        if endpoints is None or endpoints.api is None or endpoints.token is None:
            raise EndpointRefused("environment Custom needs spec.endpoints.api and spec.endpoints.token")
        given = (endpoints.api, endpoints.token, endpoints.authorize, endpoints.revoke)
        for url in given:
            if url is not None:
                self._check(url)
        return replace(
            QUICKBOOKS_SANDBOX,
            api_origin=endpoints.api.rstrip("/"),
            token_url=endpoints.token,
            # What is not named is nowhere: a token of one place is never shown to another.
            authorize_url=endpoints.authorize or "",
            revoke_url=endpoints.revoke or "",
        )

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        loopback = _is_loopback(parts)
        if parts.scheme != "https" and not loopback:
            raise EndpointRefused(f"{url} is not https; plain http is for loopback addresses only")
        if loopback and self.allow_loopback:
            return
        if _authority(parts) not in self.allowed:
            flag = "--allow-custom-endpoints" if loopback else f"--custom-endpoint {_authority(parts)}"
            raise EndpointRefused(f"{url} is not allowed: start the operator with {flag}")


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _authority(parts: SplitResult) -> str:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}"


class GuardedTokens:
    """A token source that has none to offer while the API's circuit is open: then nothing is even begun."""

    def __init__(self, tokens: TokenSource, breaker: Breaker) -> None:
        self._tokens, self._breaker = tokens, breaker

    async def token(self) -> AccessToken:
        """Raises `TokenUnavailable` with reason CircuitOpen."""
        wait = self._breaker.retry_in()
        if wait is not None:
            raise TokenUnavailable(
                ConnectionReason.CIRCUIT_OPEN,
                "so many calls to QuickBooks failed that it is left alone for "
                f"{wait.total_seconds():.0f} s more",
            )
        return await self._tokens.token()

    async def rejected(self, token: AccessToken) -> None:
        await self._tokens.rejected(token)


class OneToken:
    """The source of a token that is not kept yet: there is no other to have."""

    def __init__(self, token: SecretStr) -> None:
        self._token = AccessToken(token, 0)

    async def token(self) -> AccessToken:
        return self._token

    async def rejected(self, token: AccessToken) -> None:
        """The call is repeated with the same one, and a second 401 is the answer."""


class GuardedTransport:
    """Tells the API's circuit how each call went, and lets one probe through where it is half open."""

    def __init__(self, transport: Transport, breaker: Breaker) -> None:
        self._transport, self._breaker = transport, breaker

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        """Raises `NotSent` too where the circuit opened since a token was asked for."""
        refused: NotSent
        try:
            with self._breaker.call() as call:
                try:
                    response = await self._transport.send(request, timeout=timeout)
                except NotSent as error:
                    call.failed = None if error.ours else True
                    raise
                except NoAnswer:
                    call.failed = True
                    raise
                call.failed = _is_ill(response)
                return response
        except CircuitOpen as error:
            refused = NotSent(f"not sent: {error}")
            refused.ours = True
        raise refused


def _is_ill(response: HttpResponse) -> bool | None:
    """True for answers that no healthy QuickBooks gives; None where it only asks for patience."""
    if response.status == 429:
        return None
    if response.status == 408 or response.status >= 500:
        return True
    return 200 <= response.status < 300 and not response.body.lstrip().startswith(b"{")


class CompanyClients:
    """The clients of all companies of one process."""

    def __init__(
        self,
        *,
        transport: Transport,
        clock: Clock,
        server_timeout: timedelta,
        tokens_of: Callable[[GrantSpec], TokenSource],
        observer_of: Callable[[Company], RequestObserver],
        circuits: Circuits,
        before_read: Callable[[Company], None] = lambda _: None,
    ) -> None:
        """`before_read` is called before each metered read; what it raises is not sent."""
        self._transport, self._clock, self._before_read = transport, clock, before_read
        self._timeout = server_timeout + CLIENT_MARGIN
        self._tokens_of, self._observer_of = tokens_of, observer_of
        self._circuits = circuits
        self._clients: dict[Company, tuple[GrantSpec, Limits, CompanyClient]] = {}
        self._limiters: dict[Company, tuple[Limits, CompanyLimiter]] = {}

    def connect(self, company: Company, grant: GrantSpec, limits: Limits) -> CompanyClient:
        """The client of a company whose grant and limits are described so; kept while that stays the same."""
        described = replace(grant, requested_at=None, known_sequence=None, suspended=False)
        known = self._clients.get(company)
        if known is None or known[:2] != (described, limits):
            known = self._clients[company] = (described, limits, self._new(company, grant, limits))
        return known[2]

    async def inspect(self, grant: GrantSpec, token: SecretStr) -> None:
        """Read the company of a grant with one access token; raises a `QuickBooksError`. A metered read."""
        company = Company(grant.namespace, grant.name)
        client = CompanyClient(
            origin=grant.provider.api_origin,
            realm=grant.realm,
            transport=self._transport,
            tokens=OneToken(token),
            limiter=self._limiters[company][1]
            if company in self._limiters
            else self._limiter(company, Limits()),
            timeout=self._timeout,
            observer=self._observer_of(company),
            before_read=lambda: self._before_read(company),
        )
        await client.company_info()

    def known(self, company: Company) -> CompanyClient | None:
        """The client that `connect` made; None before that."""
        known = self._clients.get(company)
        return known[2] if known is not None else None

    def forget(self, company: Company) -> None:
        """The connection is gone. Its limits stay: the company's own count does not start over."""
        self._clients.pop(company, None)
        self._circuits.forget(company)

    def _limiter(self, company: Company, limits: Limits) -> CompanyLimiter:
        known = self._limiters.get(company)
        if known is None or known[0] != limits:
            limiter = CompanyLimiter(
                clock=self._clock,
                per_second=limits.requests_per_second or REQUESTS_PER_SECOND,
                per_minute=limits.requests_per_minute or REQUESTS_PER_MINUTE,
                concurrent=limits.concurrent_requests or CONCURRENT_REQUESTS,
                batches_per_minute=limits.batches_per_minute or BATCHES_PER_MINUTE,
            )
            known = self._limiters[company] = (limits, limiter)
        return known[1]

    def _new(self, company: Company, grant: GrantSpec, limits: Limits) -> CompanyClient:
        breaker = self._circuits.of(company, Endpoint.API)
        return CompanyClient(
            origin=grant.provider.api_origin,
            realm=grant.realm,
            transport=GuardedTransport(self._transport, breaker),
            tokens=GuardedTokens(self._tokens_of(grant), breaker),
            limiter=self._limiter(company, limits),
            timeout=self._timeout,
            observer=self._observer_of(company),
            before_read=lambda: self._before_read(company),
        )
