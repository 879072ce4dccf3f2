"""A simulator in a thread, over real HTTP on a port of its own, and a client's view of it."""

import asyncio
import queue
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
import msgspec
import pytest

from fixtures.simulator_server import Door
from qbsync.simulator.app import Simulator
from qbsync.simulator.options import Latency, Profile, SimulatorOptions
from qbsync.simulator.server import SimulatorServer, server_for

NO_LATENCY = Latency(timedelta(), timedelta())
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class ThreadedSimulator(Door):
    """A simulator served by a thread of this process: quick to start, and one can look inside."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.simulator = Simulator(options)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        self.port = int(listener.getsockname()[1])
        ready: queue.Queue[SimulatorServer] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(listener, ready), daemon=True)
        self._thread.start()
        self._server = ready.get(timeout=10)
        world = self.simulator.world
        super().__init__(
            {
                "baseUrl": f"http://127.0.0.1:{self.port}",
                "realmId": world.first_realm,
                **world.grant_document(world.first_grant),
            }
        )

    def _run(self, listener: socket.socket, ready: "queue.Queue[SimulatorServer]") -> None:
        server = server_for(self.simulator, lambda: ready.put(server))
        asyncio.run(server.serve(sockets=[listener]))

    def stop(self) -> None:
        """End the server and its thread."""
        self.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()


class Books:
    """The accounting API of one company, as a client with a token sees it."""

    def __init__(self, door: Door, realm_id: str | None = None) -> None:
        self.door = door
        self.realm_id = realm_id or door.realm_id
        self.grant = door.tokens(self.realm_id)
        self.client = httpx2.Client(
            base_url=f"{door.base_url}/v3/company/{self.realm_id}/",
            headers={"authorization": f"Bearer {self.grant['access_token']}", "accept": "application/json"},
            trust_env=False,
            timeout=30.0,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.client.close()

    def post(self, path: str, body: Any) -> httpx2.Response:
        """POST JSON, decimals as they are."""
        return self.client.post(
            path, content=_encoder.encode(body), headers={"content-type": "application/json"}
        )

    def create(self, entity: str, body: Any, **params: str) -> dict[str, Any]:
        """The entity made; fails the test on a fault."""
        query = "&".join(f"{name}={value}" for name, value in params.items())
        response = self.post(f"{entity.lower()}?{query}" if query else entity.lower(), body)
        assert response.status_code == 200, response.text
        return dict(decoded(response)[entity])

    def refused(self, entity: str, body: Any, **params: str) -> dict[str, Any]:
        """The first error of the fault that creating it gives."""
        query = "&".join(f"{name}={value}" for name, value in params.items())
        response = self.post(f"{entity.lower()}?{query}" if query else entity.lower(), body)
        assert response.status_code == 400, response.text
        return dict(decoded(response)["Fault"]["Error"][0])

    def read(self, entity: str, identifier: str) -> dict[str, Any]:
        """The entity with that id; fails the test on a fault."""
        response = self.client.get(f"{entity.lower()}/{identifier}")
        assert response.status_code == 200, response.text
        return dict(decoded(response)[entity])

    def query(self, statement: str) -> dict[str, Any]:
        """The content of QueryResponse; fails the test on a fault."""
        response = self.client.post("query", content=statement, headers={"content-type": "application/text"})
        assert response.status_code == 200, response.text
        return dict(decoded(response)["QueryResponse"])

    def query_refused(self, statement: str) -> dict[str, Any]:
        """The first error of the fault that a statement gives."""
        response = self.client.get("query", params={"query": statement})
        assert response.status_code == 400, response.text
        return dict(decoded(response)["Fault"]["Error"][0])


def decoded(response: httpx2.Response) -> Any:
    """A body with its numbers as Decimal."""
    return _decoder.decode(response.content)


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[ThreadedSimulator]:
    """One simulator for a module: profile unlimited, a server timeout of 2 s."""
    simulator = ThreadedSimulator(
        SimulatorOptions(profile=Profile.UNLIMITED, server_timeout=timedelta(seconds=2), latency=NO_LATENCY)
    )
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(shared_simulator: ThreadedSimulator) -> ThreadedSimulator:
    """The module's simulator, as new."""
    shared_simulator.reset()
    return shared_simulator


@pytest.fixture
def books(simulator: ThreadedSimulator) -> Iterator[Books]:
    """The sample company with a fresh token."""
    view = Books(simulator)
    yield view
    view.close()
