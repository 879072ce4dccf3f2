"""`/livez`, `/readyz` and `/metrics` over HTTP, for leader and standby alike."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from qbsync.serving import HttpServer
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
        routes = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", self._scrape),
        ]
        self._server = HttpServer(Starlette(routes=routes), address=address)

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

    async def _livez(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def _readyz(self, _: Request) -> Response:
        problem = self._unready()
        return PlainTextResponse("ok") if problem is None else PlainTextResponse(problem, status_code=503)

    async def _scrape(self, _: Request) -> Response:
        self._before_scrape()
        return Response(self._metrics.exposition(), media_type=_EXPOSITION)
