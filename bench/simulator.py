"""How much the simulator does on one core: `python bench/simulator.py [--invoices 100000] [--seconds 5]`.

The simulator runs in a process of its own, profile `unlimited`; this process is its client over 16 connections. What is
counted is the server's CPU time (user and system), so that other work on the machine does not show: "a second" below is
a second of one core. Latencies are the client's and do show it. The floor is the same web server with an answer of
the same size that nobody computes, measured anew beside each figure, since a second of a core is not always worth the
same: only the ratio to it can be compared, from machine to machine and from hour to hour.

Aims: 1,000 reads a second, 100,000 invoices under 1 GiB. Exit code 1 if one is missed.
"""

# ruff: noqa: PLC0415, S311, S603, T201
import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[1] / "operator"
CONNECTIONS = 16
BATCH = 30
AIM_READS, AIM_MEMORY = 1000, 1024.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A server process and what it has used."""

    def __init__(self, *command: str) -> None:
        began = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
        self.process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, env=environment)
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        self.seconds_to_start = time.perf_counter() - began
        self.port = int(self.ready["baseUrl"].rpartition(":")[2])

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory(self) -> float:
        """Resident MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


@contextmanager
def serving(*command: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(*command)
    try:
        yield server
    finally:
        server.stop()


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks as soon as it is answered; only as much HTTP as the answers need."""

    def __init__(self, requests: Iterator[bytes], taken: list[float], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._taken = taken
        self._done = done
        self._answer = b""
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, mark, body = self._answer.partition(b"\r\n\r\n")
        if not mark:
            return
        _, named, rest = head.lower().partition(b"content-length: ")
        complete = len(body) >= int(rest.split(b"\r\n", 1)[0]) if named else body.endswith(b"0\r\n\r\n")
        if not complete:
            return
        self._taken.append(time.perf_counter() - self._asked)
        if not head.startswith(b"HTTP/1.1 200") or b'"Fault"' in body:
            self._done.set_exception(RuntimeError(self._answer[:600].decode(errors="replace")))
            return
        self._answer = b""
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server closed a connection"))

    def _ask(self) -> None:
        request = next(self._requests, None)
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._asked = time.perf_counter()
        self._transport.write(request)


@dataclass(frozen=True, slots=True)
class Figure:
    """What one kind of request costs: how many, the server's CPU seconds, the seconds each took."""

    name: str
    cpu: float
    taken: list[float]

    @property
    def per_second(self) -> float:
        """Requests that one core answers in a second."""
        return len(self.taken) / self.cpu

    def at(self, share: float) -> float:
        """Milliseconds within which that share of requests was answered."""
        return sorted(self.taken)[int(len(self.taken) * share)] * 1000

    def line(self, floor: "Figure") -> str:
        """A line of the table."""
        return (
            f"{self.name:44} {self.per_second:10,.0f} {self.per_second / floor.per_second:9.2f}"
            f" {self.at(0.5):8.1f} {self.at(0.99):8.1f}"
        )


def run(server: Server, name: str, requests: Iterator[bytes]) -> Figure:
    """Ask all of these, and say what it cost."""

    async def all_of_them() -> list[float]:
        loop = asyncio.get_running_loop()
        taken: list[float] = []
        waiting = []
        for _ in range(CONNECTIONS):
            done = loop.create_future()
            waiting.append(done)
            await loop.create_connection(
                lambda done=done: Connection(requests, taken, done), "127.0.0.1", server.port
            )
        await asyncio.gather(*waiting)
        return taken

    cpu = server.cpu
    taken = asyncio.run(all_of_them())
    return Figure(name, max(server.cpu - cpu, 1 / _TICKS), taken)


def during(seconds: float, request: Callable[[], bytes]) -> Iterator[bytes]:
    """Requests for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield request()


class Books:
    """The requests about one company."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._path = f"/v3/company/{ready['realmId']}"
        self._token = ready["access_token"]
        self._random = random.Random(1)
        self.made = 0
        self.first_id = 0

    def read(self) -> bytes:
        """One of the invoices made here."""
        return self._get(f"/invoice/{self.first_id + self._random.randrange(self.made)}?minorversion=75")

    def lookup(self) -> bytes:
        """An invoice by its number."""
        return self._query(f"SELECT%20*%20FROM%20Invoice%20WHERE%20DocNumber%20%3D%20%27B-{self._any()}%27")

    def lookups(self) -> bytes:
        """Thirty invoices by their numbers."""
        numbers = "%2C".join(f"%27B-{self._any()}%27" for _ in range(30))
        return self._query(
            f"SELECT%20Id%2C%20DocNumber%20FROM%20Invoice%20WHERE%20DocNumber%20IN%20%28{numbers}%29"
        )

    def page(self) -> bytes:
        """The newest hundred."""
        return self._query("SELECT%20*%20FROM%20Invoice")

    def scan(self) -> bytes:
        """A condition no index helps with."""
        return self._query("SELECT%20COUNT(*)%20FROM%20Invoice%20WHERE%20TotalAmt%20%3E%20%27100%27")

    def create(self) -> bytes:
        """One more invoice of three lines."""
        return self._post(f"/invoice?minorversion=75&requestid=r{self.made}", self._invoice())

    def batch(self) -> bytes:
        """Thirty more."""
        items = [
            {"bId": f"b{number}", "operation": "create", "Invoice": self._invoice()}
            for number in range(BATCH)
        ]
        return self._post("/batch?minorversion=75", {"BatchItemRequest": items})

    def _any(self) -> int:
        return self._random.randrange(self.made)

    def _invoice(self) -> dict[str, Any]:
        number, self.made = self.made, self.made + 1
        detail = {"ItemRef": {"value": "1"}, "Qty": 2, "UnitPrice": 50}
        line = {"DetailType": "SalesItemLineDetail", "Amount": 100, "SalesItemLineDetail": detail}
        lines = [{**line, "Description": f"Line {each} of invoice {number}"} for each in range(3)]
        return {
            "CustomerRef": {"value": "1"},
            "DocNumber": f"B-{number}",
            "PrivateNote": f"note {number}",
            "Line": lines,
        }

    def _query(self, statement: str) -> bytes:
        return self._get(f"/query?query={statement}&minorversion=75")

    def _get(self, path: str) -> bytes:
        return f"GET {self._path}{path} HTTP/1.1\r\n{self._common()}\r\n".encode()

    def _post(self, path: str, body: Any) -> bytes:
        content = json.dumps(body).encode()
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._common()}content-type: application/json\r\n"
        return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content

    def _common(self) -> str:
        return f"host: 127.0.0.1\r\naccept: application/json\r\nauthorization: Bearer {self._token}\r\n"


def serve_floor() -> None:
    """An answer of an invoice's size and headers to everything."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    headers = [(f"x-header-{number}".encode(), b"x" * 32) for number in range(10)]

    async def answer(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 1700})

    class Announced(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(json.dumps({"baseUrl": f"http://127.0.0.1:{port}"}), flush=True)

    config = uvicorn.Config(
        answer, port=0, http=H11Protocol, lifespan="off", log_level="error", access_log=False
    )
    Announced(config).run()


def measure(invoices: int, seconds: float) -> tuple[float, float]:
    """Every kind of request, then again with many invoices; reads a second and MiB in the end."""
    with (
        serving(__file__, "--serve-floor") as bare,
        serving("-m", "qbsync.simulator", "--json", "--port", "0", "--profile", "unlimited") as server,
    ):
        books, empty = Books(server.ready), server.memory
        books.first_id = 1 + max(_ids(server))

        def note(name: str, requests: Iterator[bytes]) -> Figure:
            floor = run(
                bare, "floor", during(seconds / 3, lambda: b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            )
            figure = run(server, name, requests)
            print(figure.line(floor), flush=True)
            return figure

        print(f"start-up {server.seconds_to_start:.2f} s, {empty:.0f} MiB")
        print(f"{'':44} {'a second':>10} {'of floor':>9} {'p50 ms':>8} {'p99 ms':>8}")
        note("create", during(seconds, books.create))
        reads = note("read", during(seconds, books.read))
        note("query: one by number", during(seconds, books.lookup))
        note("query: thirty by number, two fields", during(seconds, books.lookups))
        note("query: newest hundred", during(seconds, books.page))
        rest = max(invoices - books.made, BATCH)
        note("batch of thirty creates", iter([books.batch() for _ in range(-(-rest // BATCH))]))
        note(f"read of {books.made:,}", during(seconds, books.read))
        note(f"query: one by number of {books.made:,}", during(seconds, books.lookup))
        note(f"query: newest hundred of {books.made:,}", during(seconds, books.page))
        note(f"query: count over {books.made:,}", during(seconds, books.scan))
        print(f"{server.memory:.0f} MiB with {books.made:,} invoices")
        return reads.per_second, server.memory


def _ids(server: Server) -> list[int]:
    """The Ids of the sample company's transactions."""
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{server.ready['baseUrl']}/_simulator/state") as answer:
        realm = json.load(answer)["realms"][server.ready["realmId"]]
    return [int(row["Id"]) for row in (*realm["invoices"], *realm["payments"])]


def main() -> int:
    """Print the figures; exit code 1 if an aim is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--invoices", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--serve-floor", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_floor:
        serve_floor()
        return 0
    reads, memory = measure(options.invoices, options.seconds)
    return 0 if reads >= AIM_READS and memory < AIM_MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
