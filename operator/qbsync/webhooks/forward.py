"""A standby passes webhooks on to the leader; if it cannot, Intuit sends them again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from qbsync.quickbooks.errors import QuickBooksError
from qbsync.quickbooks.transport import HttpRequest, Transport
from qbsync.webhooks.server import FORWARDED, SIGNATURE

PATIENCE: Final = timedelta(seconds=2)
_TAKEN: Final = frozenset({200, 401, 404, 429})


class Forwarder:
    """Knows where the leader listens, and asks it."""

    def __init__(self, *, transport: Transport, leader: Callable[[], str | None]) -> None:
        """`leader`: host:port of the leader's webhook listener; None if that is not known."""
        self._transport, self._leader = transport, leader

    async def receive(self, app: str, signature: str, body: bytes) -> int:
        """The leader's answer as an HTTP status; 503 if there is none."""
        address = self._leader()
        if address is None:
            return 503
        request = HttpRequest(
            "POST",
            f"http://{address}/webhooks/{app}",
            {"content-type": "application/json", SIGNATURE: signature, FORWARDED: "1"},
            body,
        )
        try:
            answer = await self._transport.send(request, timeout=PATIENCE)
        except QuickBooksError:
            return 503
        return answer.status if answer.status in _TAKEN else 503
