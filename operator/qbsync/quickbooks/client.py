"""One company's Accounting API. Repeats nothing, except once after a refreshed token.

Source: Intuit's REST reference. Base `<origin>/v3/company/<realm>/…`, minor version 75, JSON.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from qbsync.quickbooks.answers import content, intuit_tid, said
from qbsync.quickbooks.entities import (
    CompanyInfo,
    Entity,
    Preferences,
    dump_json,
    parse_company_info,
    parse_preferences,
)
from qbsync.quickbooks.errors import (
    IncompleteAnswer,
    QuickBooksError,
    ServerFailure,
    Throttled,
    Unauthorized,
)
from qbsync.quickbooks.limits import CompanyLimiter
from qbsync.quickbooks.transport import HttpRequest, HttpResponse, Transport

MINOR_VERSION: Final = "75"
LONGEST_REQUESTID: Final = 50
"""Intuit, "request ID"."""
THROTTLE_PAUSE: Final = timedelta(seconds=60)
"""Intuit, "Limits and throttles": after a 429 wait 60 s."""
CLIENT_MARGIN: Final = timedelta(seconds=10)
"""How much longer than QuickBooks' own limit (120 s) a call should be waited for."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token, and which of the grant's tokens it is."""

    value: SecretStr
    sequence: int


class TokenSource(Protocol):
    """Where access tokens come from."""

    async def token(self) -> AccessToken:
        """A token that is good for a call now."""
        ...

    async def rejected(self, token: AccessToken) -> None:
        """QuickBooks answered 401 to `token`: return once a newer one is there, or raise."""
        ...


class RequestObserver(Protocol):
    """Who counts the calls."""

    def observed(
        self, *, operation: str, status: int | None, code: str | None, seconds: float, metered: bool
    ) -> None:
        """One HTTP request ended.

        `operation`: query, read, create, company_info, preferences. `status`: None without an answer.
        `code`: QuickBooks' fault code. `metered`: a read answered with 2xx, which Intuit counts for a
        production app (never in a sandbox).
        """
        ...


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """One page of a query: a complete 2xx answer without fault, of the documented shape."""

    entity: str | None
    """The name under which the rows came; None without rows."""
    rows: tuple[Mapping[str, Any], ...]
    """QuickBooks' objects, raw."""
    start_position: int | None
    max_results: int | None
    """How many rows QuickBooks says the page holds."""
    total_count: int | None
    """How many rows match, in answers to COUNT and in some others."""
    intuit_tid: str | None


@dataclass(frozen=True, slots=True)
class _Call:
    operation: str
    request: HttpRequest = field(repr=False)
    metered: bool
    before_send: Callable[[], None] | None = None


_Good = tuple[Mapping[str, Any], HttpResponse]
"""A good answer: its body as a JSON object, and the answer itself."""


class CompanyClient:
    """The calls that qbsync makes to one company."""

    def __init__(
        self,
        *,
        origin: str,
        realm: str,
        transport: Transport,
        tokens: TokenSource,
        limiter: CompanyLimiter,
        timeout: timedelta,
        observer: RequestObserver,
    ) -> None:
        """`timeout` bounds one call from first to last byte; below QuickBooks' limit it only breeds doubt."""
        self._base = f"{origin.rstrip('/')}/v3/company/{quote(realm, safe='')}"
        self._realm = realm
        self._transport = transport
        self._tokens = tokens
        self._limiter = limiter
        self._timeout = timeout
        self._observer = observer

    async def query(self, statement: str) -> QueryAnswer:
        """Ask in QuickBooks' query language; one page. A metered read.

        Raises QuickBooksError; IncompleteAnswer if the answer has another shape than documented.
        """
        request = self._request("POST", "query", body=statement.encode(), content_type="application/text")
        body, response = await self._perform(_Call("query", request, metered=True))
        return _query_answer(body, intuit_tid(response))

    async def read(self, entity: str, id: str) -> Entity:
        """One object as it is now. A metered read. Raises Rejected with code 610 if it does not exist."""
        request = self._request("GET", f"{entity.lower()}/{quote(id, safe='')}")
        return await self._object(_Call("read", request, metered=True), entity)

    async def create(
        self, entity: str, body: Mapping[str, Any], *, requestid: str, before_send: Callable[[], None]
    ) -> Entity:
        """Create an object; QuickBooks answers a repeated `requestid` with the first answer. Not metered.

        `before_send` is called with slot and token in hand, right before the bytes go out, and again if the
        call is repeated after a 401 (which executes nothing). What it raises propagates; nothing was sent.
        After a QuickBooksError `errors.outcome_unknown` tells whether the object may exist; after a
        cancellation it may, if `before_send` was called.
        """
        if not 0 < len(requestid) <= LONGEST_REQUESTID:
            raise ValueError(f"a requestid has 1 to {LONGEST_REQUESTID} characters")
        request = self._request("POST", entity.lower(), body=dump_json(body), requestid=requestid)
        return await self._object(_Call("create", request, metered=False, before_send=before_send), entity)

    async def company_info(self) -> CompanyInfo:
        """Who the company is. A metered read."""
        request = self._request("GET", f"companyinfo/{quote(self._realm, safe='')}")
        call = _Call("company_info", request, metered=True)
        return parse_company_info(await self._object(call, "CompanyInfo", identified=False))

    async def preferences(self) -> Preferences:
        """How the company numbers its invoices, and its currencies. A metered read."""
        call = _Call("preferences", self._request("GET", "preferences"), metered=True)
        return parse_preferences(await self._object(call, "Preferences", identified=False))

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        requestid: str | None = None,
    ) -> HttpRequest:
        parameters = {"minorversion": MINOR_VERSION, **({"requestid": requestid} if requestid else {})}
        headers = {"accept": "application/json", "user-agent": "qbsync"}
        if method == "POST":
            headers["content-type"] = content_type
        return HttpRequest(method, f"{self._base}/{path}?{urlencode(parameters)}", headers, body)

    async def _object(self, call: _Call, entity: str, *, identified: bool = True) -> Entity:
        body, response = await self._perform(call)
        found = body.get(entity)
        if not isinstance(found, Mapping) or (identified and not found.get("Id")):
            raise ServerFailure(
                f"QuickBooks answered {said(response)} without the {entity} asked for; "
                "what became of the request is unknown",
                status=response.status,
                intuit_tid=intuit_tid(response),
            )
        return Entity(found, intuit_tid=intuit_tid(response))

    async def _perform(self, call: _Call) -> _Good:
        token, result = await self._attempt(call)
        if isinstance(result, Unauthorized):
            await self._tokens.rejected(token)
            token, result = await self._attempt(call)
        if isinstance(result, Unauthorized):
            raise result
        return result

    async def _attempt(self, call: _Call) -> tuple[AccessToken, _Good | Unauthorized]:
        # Asked for before the slot too: a refresh can take a minute, and must not hold the company's slots.
        await self._tokens.token()
        async with self._limiter.slot():
            token = await self._tokens.token()
            if call.before_send is not None:
                call.before_send()
            try:
                return token, await self._send(call, token)
            except Unauthorized as refused:
                return token, refused

    async def _send(self, call: _Call, token: AccessToken) -> _Good:
        started = self._limiter.clock.monotonic()
        status: int | None = None
        code: str | None = None
        try:
            response = await self._transport.send(_authorized(call.request, token), timeout=self._timeout)
            status = response.status
            return content(response, redact=(token.value,)), response
        except QuickBooksError as error:
            code = error.code
            if isinstance(error, Throttled):
                self._limiter.pause(THROTTLE_PAUSE)
            raise
        finally:
            self._observer.observed(
                operation=call.operation,
                status=status,
                code=code,
                seconds=self._limiter.clock.monotonic() - started,
                metered=call.metered and status is not None and 200 <= status < 300,
            )


def _authorized(request: HttpRequest, token: AccessToken) -> HttpRequest:
    headers = {**request.headers, "authorization": f"Bearer {token.value.get_secret_value()}"}
    return replace(request, headers=headers)


def _query_answer(body: Mapping[str, Any], tid: str | None) -> QueryAnswer:
    found = body.get("QueryResponse")
    if not isinstance(found, Mapping):
        raise IncompleteAnswer(
            "the answer to a query holds no QueryResponse: it proves nothing", intuit_tid=tid
        )
    parts = {name: value for name, value in found.items() if name not in _COUNTERS and value is not None}
    entity, rows = next(iter(parts.items()), (None, []))
    if len(parts) > 1 or not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise IncompleteAnswer(
            "the rows of a query came in no known shape: they prove nothing", intuit_tid=tid
        )
    return QueryAnswer(
        entity=entity,
        rows=tuple(rows),
        start_position=_count(found, "startPosition"),
        max_results=_count(found, "maxResults"),
        total_count=_count(found, "totalCount"),
        intuit_tid=tid,
    )


_COUNTERS: Final = frozenset({"startPosition", "maxResults", "totalCount"})


def _count(found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
