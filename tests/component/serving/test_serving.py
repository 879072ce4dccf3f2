"""The HTTP server inside the process, over a real socket."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from qbsync.serving import HttpServer


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def test_who_reads_the_address_may_connect_at_once_and_is_answered_when_it_serves() -> None:
    server = HttpServer(Starlette(routes=[Route("/", _hello)]), address=("127.0.0.1", 0))
    host, port = server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    serving = asyncio.create_task(server.run())
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"\r\n\r\nhello")
    writer.close()
    server.stop()
    await serving
