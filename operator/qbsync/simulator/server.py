"""Running the simulator: one process, one port, until SIGTERM."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from urllib.parse import urlencode

import uvicorn

from qbsync.simulator import jsoncodec
from qbsync.simulator.app import Simulator
from qbsync.simulator.apps import ACCOUNTING_SCOPE
from qbsync.simulator.control import PREFIX as DOOR_PREFIX
from qbsync.simulator.oauth_http import AUTHORIZE_PATH, TOKEN_PATH
from qbsync.simulator.options import Profile, SimulatorOptions, is_loopback
from qbsync.simulator.profiles import OVERRIDES
from qbsync.simulator.sample import UnreadableCompany
from qbsync.simulator.wire import Connection

__all__ = ["Profile", "SimulatorOptions", "serve"]

# As nginx in front of QuickBooks: a pooled connection must not be closed under a client's next request.
_KEEP_ALIVE_SECONDS = 75


def serve(options: SimulatorOptions) -> None:
    """Serve until SIGTERM or SIGINT. Raises SystemExit with one line for options that cannot work.

    Standard output: one JSON line when ready with `json`, else a short introduction for people.
    """
    problem = options.problem()
    if problem is not None:
        raise SystemExit(f"qbsync simulator: {problem}")
    try:
        simulator = Simulator(options)
        listener = _listen(options)
    except (UnreadableCompany, OSError) as error:
        raise SystemExit(f"qbsync simulator: {error}") from None
    base_url = _base_url(options, listener)

    def announce() -> None:
        text = _json_line(simulator, base_url) if options.json else _introduction(simulator, base_url)
        sys.stdout.write(text)
        sys.stdout.flush()

    asyncio.run(server_for(simulator, announce).serve(sockets=[listener]))


def server_for(simulator: Simulator, announce: Callable[[], None]) -> "SimulatorServer":
    """The server for a simulator; `announce` is called once it takes connections."""
    config = uvicorn.Config(
        simulator,
        http=Connection,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=0,
        h11_max_incomplete_event_size=256 * 1024,
    )
    return SimulatorServer(config, announce)


class SimulatorServer(uvicorn.Server):
    """uvicorn, which says when it is ready, and ends at once and quietly."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, then say so."""
        await super().startup(sockets=sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End every connection and whatever is at work: with the process, its memory goes anyway."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the server with status 0; in a thread, signals are not ours."""
        try:
            before = {name: signal.signal(name, self._stop) for name in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self.should_exit = True


def _listen(options: SimulatorOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # With the protocol spelled out asyncio switches Nagle's algorithm off; without, answers take 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((options.host, options.port))
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def _base_url(options: SimulatorOptions, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    host = "127.0.0.1" if options.on_every_address else options.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _json_line(simulator: Simulator, base_url: str) -> str:
    world = simulator.world
    document = {
        "baseUrl": base_url,
        "realmId": world.first_realm,
        **world.grant_document(world.first_grant),
    }
    return jsoncodec.dump(document).decode() + "\n"


def _introduction(simulator: Simulator, base_url: str) -> str:
    world = simulator.world
    client = world.authority.client
    authorize = urlencode(
        {
            "client_id": client.client_id,
            "response_type": "code",
            "scope": ACCOUNTING_SCOPE,
            "redirect_uri": "http://localhost:8000/callback",
            "state": "qbsync",
        }
    )
    moved = ", ".join(f"{name}={value}" for name, value in OVERRIDES[simulator.options.profile].items())
    guarded = "" if is_loopback(simulator.options.host) else "  (wants Authorization: Bearer <control token>)"
    return (
        f"QuickBooks simulator, profile {simulator.options.profile}, seed {simulator.options.seed}\n\n"
        f"  page            {base_url}/\n"
        f"  API base URL    {base_url}\n"
        f"  token URL       {base_url}{TOKEN_PATH}\n"
        f"  discovery       {base_url}/.well-known/openid_sandbox_configuration\n"
        f"  control door    {base_url}{DOOR_PREFIX}/state{guarded}\n\n"
        f"  client id       {client.client_id}\n"
        f"  client secret   {client.client_secret}\n"
        f"  company         {world.first_realm}\n"
        f"  refresh token   {world.first_grant.refresh_token}\n\n"
        f"  authorize       {base_url}{AUTHORIZE_PATH}?{authorize}\n\n"
        f"  switches        {moved or 'all at their defaults'}\n"
        f"                  (all of them: {base_url}{DOOR_PREFIX}/switches)\n\n"
        "Ctrl-C ends it, and with it everything it remembers.\n"
    )
