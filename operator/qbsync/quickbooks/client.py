"""One company's Accounting API. Repeats nothing, except once after a refreshed token.

Source: Intuit's REST reference. Base `<origin>/v3/company/<realm>/…`, minor version 75, JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from qbsync.quickbooks.answers import content, intuit_tid, said
from qbsync.quickbooks.batch import BatchItem, BatchOutcomes, batch_body, batch_outcomes
from qbsync.quickbooks.entities import (
    CompanyInfo,
    Entity,
    Preferences,
    dump_json,
    parse_company_info,
    parse_preferences,
)
from qbsync.quickbooks.errors import (
    QuickBooksError,
    ServerFailure,
    Throttled,
    Unauthorized,
)
from qbsync.quickbooks.limits import CompanyLimiter
from qbsync.quickbooks.rows import Changes, QueryAnswer, changes, query_answer
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

        `operation`: query, read, changes, create, update, void, delete, send, batch, company_info,
        preferences. `status`: None without an answer.
        `code`: QuickBooks' fault code. `metered`: a read answered with 2xx, which Intuit counts for a
        production app (never in a sandbox).
        """
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    operation: str
    request: Callable[[], HttpRequest] = field(repr=False)
    """Composed with slot and token in hand; what it raises propagates, and nothing is sent."""
    metered: bool
    batch: bool = False


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
        before_read: Callable[[], None] = lambda: None,
    ) -> None:
        """`timeout` bounds one call from first to last byte; below QuickBooks' limit it only breeds doubt.

        `before_read` is called before each metered read; what it raises propagates, and nothing is sent.
        """
        self._base = f"{origin.rstrip('/')}/v3/company/{quote(realm, safe='')}"
        self._realm = realm
        self._transport = transport
        self._tokens = tokens
        self._limiter = limiter
        self._timeout = timeout
        self._observer = observer
        self._before_read = before_read

    async def query(self, statement: str) -> QueryAnswer:
        """Ask in QuickBooks' query language; one page. A metered read.

        Raises QuickBooksError; IncompleteAnswer if the answer has another shape than documented.
        """
        request = self._request("POST", "query", body=statement.encode(), content_type="application/text")
        body, response = await self._perform(_metered("query", request))
        return query_answer(body, intuit_tid(response))

    async def read(self, entity: str, id: str) -> Entity:
        """One object as it is now. A metered read. Raises Rejected with code 610 if it does not exist."""
        request = self._request("GET", f"{entity.lower()}/{quote(id, safe='')}")
        return await self._object(_metered("read", request), entity)

    async def changes(self, entities: Sequence[str], *, since: datetime) -> Changes:
        """What changed in a company (change data capture). A metered read.

        Intuit looks back 30 days at most, and cuts off after 1,000 objects: see `Changes.complete`. Raises
        QuickBooksError; IncompleteAnswer if the answer has another shape than documented.
        """
        about = {"entities": ",".join(entities), "changedSince": since.isoformat(timespec="seconds")}
        call = _metered("changes", self._request("GET", "cdc", parameters=about))
        body, response = await self._perform(call)
        return changes(body, intuit_tid(response))

    async def create(
        self, entity: str, body: Mapping[str, Any], *, requestid: str, before_send: Callable[[], None]
    ) -> Entity:
        """Create an object; QuickBooks answers a repeated `requestid` with the first answer. Not metered.

        `before_send` is called with slot and token in hand, right before the bytes go out, and again if the
        call is repeated after a 401 (which executes nothing). What it raises propagates; nothing was sent.
        After a QuickBooksError `errors.outcome_unknown` tells whether the object may exist; after a
        cancellation it may, if `before_send` was called.
        """
        return await self._write("create", entity, body, requestid=requestid, before_send=before_send)

    async def update(
        self, entity: str, body: Mapping[str, Any], *, requestid: str, before_send: Callable[[], None]
    ) -> Entity:
        """Change the fields that `body` names; it holds Id and SyncToken. The rest is as for `create`.

        Raises Rejected with code 5010 if somebody else changed the object since that SyncToken.
        """
        sparse = {**body, "sparse": True}
        return await self._write("update", entity, sparse, requestid=requestid, before_send=before_send)

    async def void(
        self, entity: str, id: str, sync_token: str, *, requestid: str, before_send: Callable[[], None]
    ) -> Entity:
        """Bring an invoice to nothing; its number stays. The rest is as for `update`."""
        body = {"Id": id, "SyncToken": sync_token}
        return await self._write("void", entity, body, requestid=requestid, before_send=before_send)

    async def delete(
        self, entity: str, id: str, sync_token: str, *, requestid: str, before_send: Callable[[], None]
    ) -> Entity:
        """Remove an object; what remains is its id. Raises Rejected with code 610 if it is gone already."""
        body = {"Id": id, "SyncToken": sync_token}
        return await self._write("delete", entity, body, requestid=requestid, before_send=before_send)

    async def send(self, entity: str, id: str, *, requestid: str, before_send: Callable[[], None]) -> Entity:
        """Have QuickBooks e-mail an invoice to its BillEmail. Sends again each time it is carried out."""
        request = self._request(
            "POST",
            f"{entity.lower()}/{quote(id, safe='')}/send",
            content_type="application/octet-stream",
            requestid=_checked(requestid),
        )
        return await self._object(_guarded("send", request, before_send), entity)

    async def batch(self, compose: Callable[[], Sequence[BatchItem]]) -> BatchOutcomes:
        """Create several objects in one call, without any guard against doing it twice.

        `compose` is called as `before_send` is for `create`, and says what goes out; the outcomes are those of
        what it said last. Raises QuickBooksError if the call as a whole failed: `outcome_unknown` then speaks
        of every item.
        """
        items: Sequence[BatchItem] = ()

        def request() -> HttpRequest:
            nonlocal items
            items = compose()
            return self._request("POST", "batch", body=dump_json(batch_body(items)))

        body, response = await self._perform(_Call("batch", request, metered=False, batch=True))
        # Who holds the token that was sent is not told here; what a fault shows after "Token expired:" is cut off.
        outcomes = batch_outcomes(items, body, intuit_tid=intuit_tid(response), redact=())
        if any(isinstance(outcome, Throttled) for outcome in outcomes.values()):
            self._limiter.pause(THROTTLE_PAUSE)
        return outcomes

    async def company_info(self) -> CompanyInfo:
        """Who the company is. A metered read."""
        request = self._request("GET", f"companyinfo/{quote(self._realm, safe='')}")
        call = _metered("company_info", request)
        return parse_company_info(await self._object(call, "CompanyInfo", identified=False))

    async def preferences(self) -> Preferences:
        """How the company numbers its invoices, and its currencies. A metered read."""
        call = _metered("preferences", self._request("GET", "preferences"))
        return parse_preferences(await self._object(call, "Preferences", identified=False))

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        requestid: str | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> HttpRequest:
        asked = {"minorversion": MINOR_VERSION, **(parameters or {})}
        if requestid is not None:
            asked["requestid"] = requestid
        headers = {"accept": "application/json", "user-agent": "qbsync"}
        if method == "POST":
            headers["content-type"] = content_type
        return HttpRequest(method, f"{self._base}/{path}?{urlencode(asked)}", headers, body)

    async def _write(
        self,
        operation: str,
        entity: str,
        body: Mapping[str, Any],
        *,
        requestid: str,
        before_send: Callable[[], None],
    ) -> Entity:
        parameters = {"operation": operation} if operation in {"void", "delete"} else None
        request = self._request(
            "POST",
            entity.lower(),
            body=dump_json(body),
            requestid=_checked(requestid),
            parameters=parameters,
        )
        return await self._object(_guarded(operation, request, before_send), entity)

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
        if call.metered:
            self._before_read()
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
        slot = self._limiter.batch_slot() if call.batch else self._limiter.slot()
        async with slot:
            token = await self._tokens.token()
            request = call.request()
            try:
                return token, await self._send(call, request, token)
            except Unauthorized as refused:
                return token, refused

    async def _send(self, call: _Call, request: HttpRequest, token: AccessToken) -> _Good:
        started = self._limiter.clock.monotonic()
        status: int | None = None
        code: str | None = None
        try:
            response = await self._transport.send(_authorized(request, token), timeout=self._timeout)
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


def _metered(operation: str, request: HttpRequest) -> _Call:
    return _Call(operation, lambda: request, metered=True)


def _guarded(operation: str, request: HttpRequest, before_send: Callable[[], None]) -> _Call:
    def guarded() -> HttpRequest:
        before_send()
        return request

    return _Call(operation, guarded, metered=False)


def _authorized(request: HttpRequest, token: AccessToken) -> HttpRequest:
    headers = {**request.headers, "authorization": f"Bearer {token.value.get_secret_value()}"}
    return replace(request, headers=headers)


def _checked(requestid: str) -> str:
    if not 0 < len(requestid) <= LONGEST_REQUESTID:
        raise ValueError(f"a requestid has 1 to {LONGEST_REQUESTID} characters")
    return requestid
