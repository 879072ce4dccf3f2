"""`/livez`, `/readyz` and `/metrics` over HTTP, for leader and standby alike."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from qbsync.telemetry.metrics import Metrics

_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class ProbeServer:
    """Answers probes and scrapes until it is stopped."""

    def __init__(
        self,
        *,
        address: tuple[str, int],
        metrics: Metrics,
        unready: Callable[[], str | None],
        before_scrape: Callable[[], None],
    ) -> None:
        """`unready` says why the process is not ready, None if it is."""
        self._metrics, self._unready, self._before_scrape = metrics, unready, before_scrape
        self._socket = _bound(address)
        routes = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", self._scrape),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, access_log=False, lifespan="off", server_header=False
        )
        self._server = _Server(config)

    @property
    def address(self) -> str:
        """host:port that it listens on."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def run(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` return."""
        self._server.should_exit = True

    async def _livez(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def _readyz(self, _: Request) -> Response:
        problem = self._unready()
        return PlainTextResponse("ok") if problem is None else PlainTextResponse(problem, status_code=503)

    async def _scrape(self, _: Request) -> Response:
        self._before_scrape()
        return Response(self._metrics.exposition(), media_type=_EXPOSITION)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the operator's: it drains before it stops serving.
        yield


def _bound(address: tuple[str, int]) -> socket.socket:
    host, port = address
    family = socket.AF_INET6 if ":" in host or not host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.bind((host, port))
    return bound
