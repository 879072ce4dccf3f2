"""`POST /webhooks/<app>` over HTTP, for leader and standby alike: read a little, ask who knows, answer."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from qbsync.serving import HttpServer

LARGEST_BODY: Final = 1024 * 1024
"""Intuit sends up to 100 events, far less."""
TIME_TO_SEND: Final = timedelta(seconds=2)
"""A body that takes longer is cut off: Intuit gives up after 3 s."""
MOST_AT_ONCE: Final = 32
"""Connections; with the largest body this bounds the memory that strangers can take."""
SIGNATURE: Final = "intuit-signature"
FORWARDED: Final = "qbsync-forwarded"
"""On what another replica passed on: not passed on again."""

Receive = Callable[[str, str, bytes, bool], Awaitable[int]]
"""Takes app, signature, body and whether it was forwarded; returns the HTTP status of the answer."""

_SAID: Final = {
    200: "ok",
    401: "the signature is not that of this body",
    404: "no connection belongs to this app",
    429: "too many at once",
    503: "the leader cannot be reached: send it again",
}


class WebhookServer:
    """Listens for Intuit until it is stopped."""

    def __init__(self, *, address: tuple[str, int], receive: Receive) -> None:
        self._receive = receive
        route = Route("/webhooks/{app:str}", self._post, methods=["POST"])
        self._server = HttpServer(Starlette(routes=[route]), address=address, most_at_once=MOST_AT_ONCE)

    @property
    def address(self) -> str:
        """host:port that it listens on."""
        return self._server.address

    async def run(self) -> None:
        """Serve until `stop`."""
        await self._server.run()

    def stop(self) -> None:
        """Let `run` return."""
        self._server.stop()

    async def _post(self, request: Request) -> Response:
        app, signature = request.path_params["app"], request.headers.get(SIGNATURE, "")
        if not _is_app(app):
            return _answer(404)
        if not signature or len(signature) > 128:
            return _answer(401)
        try:
            async with asyncio.timeout(TIME_TO_SEND.total_seconds()):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return _closing(408, "the body did not come in time")
        if body is None:
            return _closing(413, f"a webhook has at most {LARGEST_BODY} bytes")
        return _answer(await self._receive(app, signature, body, FORWARDED in request.headers))


async def _body(request: Request) -> bytes | None:
    """The whole body; None as soon as it is too large."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > LARGEST_BODY:
        return None
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > LARGEST_BODY:
            return None
    return bytes(read)


def _is_app(text: str) -> bool:
    return len(text) == 12 and set(text) <= set("0123456789abcdef")


def _answer(status: int) -> Response:
    return PlainTextResponse(_SAID.get(status, ""), status_code=status)


def _closing(status: int, why: str) -> Response:
    return PlainTextResponse(why, status_code=status, headers={"connection": "close"})
