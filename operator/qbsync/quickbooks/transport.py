"""The wire: one HTTP request, one complete answer, or the certainty of how far it came.

The only module that knows the HTTP library. It talks to that library's transport rather than to its client:
no cookies shared between companies, no redirects, no proxy or certificates from the environment, no log line
per request, no retries.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

import httpx2

from qbsync.quickbooks.errors import NoAnswer, NotSent, QuickBooksError

_KEEP_IDLE: Final = timedelta(seconds=20)
"""Shorter than servers keep idle connections, so that few are closed under a request of ours."""
_LARGEST_ANSWER: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. Its repr shows neither headers nor body."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One complete answer, decompressed. Its repr shows neither headers nor body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Lower-case names."""
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Where requests go: the network, or a test's own idea of it."""

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        """Return the complete answer, whatever its status.

        `timeout` bounds everything from waiting for a connection to the last byte.
        Raises NotSent if nothing of the request left, NoAnswer if it may have been processed.
        """
        ...


class HttpTransport:
    """HTTP/1.1 over TLS, with connections kept open between calls."""

    def __init__(self, *, max_connections: int, ssl_context: ssl.SSLContext | None = None) -> None:
        """`max_connections`, over all hosts; a call beyond them waits. `ssl_context`: the system's by default."""
        self._pool = httpx2.AsyncHTTPTransport(
            verify=ssl_context or True,
            trust_env=False,
            http1=True,
            http2=False,
            retries=0,
            limits=httpx2.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=_KEEP_IDLE.total_seconds(),
            ),
        )

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        progress = _Progress()
        failure: QuickBooksError
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._exchange(request, progress)
        except TimeoutError:
            failure = progress.failure(f"no complete answer within {timeout.total_seconds():g} s")
        except Exception as error:
            # Whatever it is: how far the request came is what counts.
            failure = progress.failure(_describe(error, sent=progress.sent))
            if isinstance(failure, NotSent):
                failure.ours = isinstance(error, _OURS)
        # Raised outside the handler: the library's texts can quote headers, so its exception is not chained.
        raise failure

    async def aclose(self) -> None:
        """Close all connections; calls under way end with NoAnswer."""
        await self._pool.aclose()

    async def _exchange(self, request: HttpRequest, progress: "_Progress") -> HttpResponse:
        outgoing = httpx2.Request(
            request.method,
            request.url,
            headers={"accept-encoding": "gzip", **request.headers},
            content=request.body or None,
            extensions={"trace": progress.follow},
        )
        response = await self._pool.handle_async_request(outgoing)
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(status=response.status_code, headers=headers, body=body)


class _Progress:
    """How far a request came, as the library's trace tells it.

    Exception types alone do not say it: a connection closed under us, a failed write or a protocol error
    look the same before the first byte and after the last.
    """

    def __init__(self) -> None:
        self.sent = False

    async def follow(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by the library, with names like `http11.send_request_headers.started`."""
        if event.endswith(".send_request_headers.started"):
            self.sent = True
        elif event.endswith(".send_request_headers.failed"):
            # The request was not even well-formed HTTP: found out before the first byte is written.
            self.sent = type(info.get("exception")).__name__ != "LocalProtocolError"

    def failure(self, what: str) -> QuickBooksError:
        """The error for a request that came this far."""
        if self.sent:
            return NoAnswer(f"no answer: {what}; it may have been processed")
        return NotSent(f"not sent: {what}")


async def _read(response: httpx2.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > _LARGEST_ANSWER:
            raise httpx2.DecodingError("answer too large")
        chunks.append(chunk)
    return b"".join(chunks)


_OURS: Final = (
    httpx2.PoolTimeout,
    httpx2.LocalProtocolError,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)
_WHAT: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx2.PoolTimeout, "no connection was free"),
    (httpx2.ConnectTimeout, "connecting took too long"),
    (httpx2.LocalProtocolError, "a header holds a character that HTTP does not allow"),
    (httpx2.RemoteProtocolError, "the connection was closed, or the answer was not HTTP"),
    (httpx2.DecodingError, "the answer could not be decompressed"),
    (httpx2.UnsupportedProtocol, "the address is not http or https"),
    (httpx2.InvalidURL, "the address is not valid"),
    (httpx2.ReadError, "the connection broke"),
    (httpx2.WriteError, "the connection broke"),
)


def _describe(error: Exception, *, sent: bool) -> str:
    if isinstance(error, httpx2.ConnectError) and not sent:
        return f"no connection: {error}"  # safe: no header exists yet; it names DNS, refusal or certificate
    return next((what for kind, what in _WHAT if isinstance(error, kind)), type(error).__name__)
