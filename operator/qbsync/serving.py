"""An HTTP server inside the process: it listens at once, serves until it is told to stop, and takes no signals."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette


class HttpServer:
    """Serves one application on one address. Who connects before `run` waits; nobody is refused."""

    def __init__(
        self, application: Starlette, *, address: tuple[str, int], most_at_once: int | None = None
    ) -> None:
        """`address`: host (empty: all interfaces) and port (0: a free one). More connections than
        `most_at_once` are answered 503.
        """
        self._socket = _bound(address)
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=most_at_once,
        )
        self._server = _Server(config)
        self._serving = False

    @property
    def address(self) -> str:
        """host:port that it listens on."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def run(self) -> None:
        """Serve until `stop`."""
        if self._server.should_exit:
            return
        self._serving = True
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` return; if it never ran, give the address back."""
        self._server.should_exit = True
        if not self._serving:
            self._socket.close()


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
    bound.listen()
    return bound
