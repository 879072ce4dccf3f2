"""A standby's listener: what it passes on, and what it says when it cannot."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2

from qbsync.quickbooks.transport import HttpTransport
from qbsync.webhooks.forward import Forwarder
from qbsync.webhooks.server import FORWARDED, WebhookServer

APP = "0123456789ab"
Heard = list[tuple[str, str, bytes, bool]]


@asynccontextmanager
async def serving(server: WebhookServer) -> AsyncIterator[WebhookServer]:
    task = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        server.stop()
        await task


def leader(heard: Heard, status: int) -> WebhookServer:
    async def receive(app: str, signature: str, body: bytes, forwarded: bool) -> int:
        heard.append((app, signature, body, forwarded))
        return status

    return WebhookServer(address=("127.0.0.1", 0), receive=receive)


@asynccontextmanager
async def standby(address: Callable[[], str | None]) -> AsyncIterator[WebhookServer]:
    transport = HttpTransport(max_connections=5)
    forwarder = Forwarder(transport=transport, leader=address)

    async def receive(app: str, signature: str, body: bytes, forwarded: bool) -> int:
        return 503 if forwarded else await forwarder.receive(app, signature, body)

    try:
        async with serving(WebhookServer(address=("127.0.0.1", 0), receive=receive)) as server:
            yield server
    finally:
        await transport.aclose()


async def post(server: WebhookServer, *, forwarded: bool = False) -> int:
    headers = {"intuit-signature": "signed"} | ({FORWARDED: "1"} if forwarded else {})
    async with httpx2.AsyncClient(trust_env=False) as client:
        url = f"http://{server.address}/webhooks/{APP}"
        return (await client.post(url, content=b"body", headers=headers)).status_code


async def test_a_standby_passes_on_and_answers_as_the_leader_does() -> None:
    for status in (200, 401, 404, 429):
        heard: Heard = []
        async with serving(leader(heard, status)) as leading, standby(lambda: leading.address) as other:
            assert await post(other) == status
            assert heard == [(APP, "signed", b"body", True)]


async def test_without_a_leader_intuit_is_asked_to_send_again() -> None:
    async with standby(lambda: None) as other:
        assert await post(other) == 503
    heard: Heard = []
    async with serving(leader(heard, 200)) as gone:
        address = gone.address
    async with standby(lambda: address) as other:
        assert await post(other) == 503
    assert heard == []


async def test_what_was_passed_on_is_not_passed_on_again() -> None:
    heard: Heard = []
    async with serving(leader(heard, 200)) as leading, standby(lambda: leading.address) as other:
        assert await post(other, forwarded=True) == 503
        assert heard == []
