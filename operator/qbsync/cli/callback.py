"""The callback of a consent, taken on this machine's loopback: one request that matters, from the person's browser."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import urlsplit

from qbsync.cli.redirect import Redirect
from qbsync.tokens.consent import Callback, CallbackRefused, Consent

_DONE: Final = "done"
"""The query of the page that the browser is sent on to."""
_PAGE: Final = "<!doctype html><title>qbsync</title><p>{}</p>"
_HEADERS: Final = (
    "Content-Type: text/html; charset=utf-8\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
    "Connection: close\r\n"
)
_LONGEST_LINE: Final = 16_384


class CannotListen(Exception):
    """The port is taken, or not ours to take; `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where the callback is awaited, and what will be the answer."""

    redirect_uri: str
    callback: "asyncio.Future[Callback]"
    """Raises `CallbackRefused` if the person did not consent."""


@contextlib.asynccontextmanager
async def listening(consent: Consent, redirect: Redirect) -> AsyncIterator[Arrival]:
    """Listen while the context lasts; raises `CannotListen`."""
    arrived: asyncio.Future[Callback] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.IncompleteReadError):
            line = (await reader.readline()).decode("latin-1").split()
            writer.write(_answer(line, redirect.path, consent, arrived).encode())
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(serve, "127.0.0.1", redirect.port, limit=_LONGEST_LINE)
    except OSError as error:
        raise CannotListen(
            f"port {redirect.port} cannot be listened on ({error.strerror}): say another --port, and register "
            "its address with the app, or --redirect-uri with the registered one"
        ) from None
    async with server:
        yield Arrival(redirect.reached_at(server.sockets[0].getsockname()[1]), arrived)


def _answer(line: list[str], path: str, consent: Consent, arrived: "asyncio.Future[Callback]") -> str:
    """One request. The browser is sent on at once, so that the code does not stay in its address bar."""
    target = urlsplit(line[1] if len(line) == 3 and line[0] == "GET" else "")
    if target.path != path:
        return _response("404 Not Found", "Nothing is here.")
    if target.query == _DONE:
        return _response("200 OK", "Done: see the terminal. You can close this page.")
    try:
        callback = consent.accept(target.geturl(), now=datetime.now(UTC))
    except CallbackRefused as error:
        if consent.used and not arrived.done():
            arrived.set_exception(error)
        return _response("400 Bad Request", str(error))
    arrived.set_result(callback)
    # Relative, so that it stays right behind a proxy.
    return _response("303 See Other", "", f"Location: ?{_DONE}\r\n")


def _response(status: str, text: str, more: str = "") -> str:
    page = _PAGE.format(escape(text))
    return f"HTTP/1.1 {status}\r\n{_HEADERS}{more}Content-Length: {len(page.encode())}\r\n\r\n{page}"
