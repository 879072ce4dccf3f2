"""The last step to the client: complete answers, cut ones, and none at all."""

import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from qbsync.simulator.headers import Headers
from qbsync.simulator.responses import Answer, Outcome, Reset, Truncated

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGEST_BODY = 8 * 1024 * 1024
_CONNECTION = "qbsync.connection"


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, which requests can also break."""

    def connection_made(self, transport: Any) -> None:
        """Make the connection known to the requests that come over it."""
        self.app_state = {**self.app_state, _CONNECTION: self}
        super().connection_made(transport)

    def reset(self) -> None:
        """End the connection with a TCP reset, without another byte."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def close(self) -> None:
        """End the connection after what has been written."""
        self.transport.close()


async def read_body(receive: Receive) -> bytes | None:
    """The request's body; None if the client left before its end, so that nothing was asked.

    A body larger than LARGEST_BODY is cut off there: whatever it was, it is no JSON then.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if size <= LARGEST_BODY:
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        if not message.get("more_body", False):
            return b"".join(parts)[: LARGEST_BODY + 1]


async def deliver(
    outcome: Outcome, headers_for: Callable[[Answer], Headers], scope: Scope, receive: Receive, send: Send
) -> None:
    """Hand an outcome to the client; a client that has left notices nothing, and neither do we."""
    if isinstance(outcome, Answer):
        await _start(outcome, headers_for(outcome), send)
        await send({"type": "http.response.body", "body": outcome.body})
        return
    connection = scope["state"][_CONNECTION]
    if isinstance(outcome, Truncated):
        await _deliver_half(outcome.answer, headers_for(outcome.answer), send)
        connection.close()
    elif isinstance(outcome, Reset):
        connection.reset()
    await _until_gone(receive)


async def _deliver_half(answer: Answer, headers: Headers, send: Send) -> None:
    """A complete head and half a body: the client is promised more than it gets."""
    kept = [(name, value) for name, value in headers if name != b"content-length"]
    await _start(answer, [*kept, (b"content-length", str(len(answer.body)).encode())], send)
    half = answer.body[: max(len(answer.body) // 2, 1)] if len(answer.body) > 1 else b""
    await send({"type": "http.response.body", "body": half, "more_body": True})


async def _start(answer: Answer, headers: Headers, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


async def _until_gone(receive: Receive) -> None:
    """Until the server has noticed the end of the connection: it would complain about our silence before."""
    while (await receive())["type"] != "http.disconnect":
        pass
