"""Whatever is sent, the answer is a refusal in QuickBooks' shape: never a 500, never silence, never a change of books.

MALFORMED_REQUESTS says how many requests are made (1,500 by default, `make malformed` makes many more), MALFORMED_SEED
from which seed.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from random import SystemRandom
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from .conftest import Books, ThreadedSimulator
from .malformed import FAMILIES
from .rawhttp import Reply, Request, Wire

COUNT = int(os.environ.get("MALFORMED_REQUESTS", "1500"))
SEED = int(os.environ.get("MALFORMED_SEED", SystemRandom().randrange(2**32) if COUNT > 1500 else "1"))
API = b"/v3/company/"


def fingerprint(simulator: ThreadedSimulator) -> dict[tuple[str, str, str], int]:
    """Every row of every company, by what it says."""
    companies = simulator.simulator.world.companies
    return {
        (realm, name, row.id): hash(row.body)
        for realm, company in companies.items()
        for name, table in company.tables.items()
        for row in table
    }


def fault_of(reply: Reply) -> dict[str, Any] | None:
    """The fault of an answer in JSON, in either shape; None where there is none."""
    if not reply.body or not reply.headers.get("content-type", "").startswith("application/json"):
        return None
    document = json.loads(reply.body)
    return document.get("Fault") or document.get("fault") if isinstance(document, dict) else None


def check_api(reply: Reply) -> None:
    """An answer of the accounting API: success, or a fault with a code, in JSON or, where asked for, in XML."""
    kind = reply.headers["content-type"].partition(";")[0]
    assert "intuit_tid" in reply.headers
    if kind == "application/xml":
        assert (reply.status == 200) != (b"<Fault" in reply.body)
        return
    fault = fault_of(reply)
    if fault is None:
        assert reply.status in {200, 413} or not reply.body, reply
        return
    (first, *_) = fault.get("Error") or fault["error"]
    assert first["code"].isdigit()
    assert first.get("Message") or first.get("message")
    assert first["code"] != "10000", reply


def passed(request: Request, reply: Reply) -> bool:
    """Whether something may have been written: a 2xx for anything but a read, of which not all was refused."""
    if request.method not in {b"POST", b"PUT"} or not 200 <= reply.status < 300:
        return False
    return fault_of(reply) is None


@pytest.fixture(scope="module")
def wire(shared_simulator: ThreadedSimulator) -> Iterator[Wire]:
    with Wire(shared_simulator.port) as connection:
        yield connection


@pytest.mark.parametrize("family", FAMILIES)
def test_malformed_requests(
    books: Books, simulator: ThreadedSimulator, wire: Wire, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = (b"authorization", f"Bearer {books.grant['access_token']}".encode())
    made = 0

    @seed(SEED)
    @settings(
        max_examples=-(-COUNT // len(FAMILIES)),
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(FAMILIES[family](f"/v3/company/{books.realm_id}"))
    def send(request: Request) -> None:
        nonlocal made
        made += 1
        before = fingerprint(simulator)
        api = request.target.startswith(API)
        sent = (
            Request(request.method, request.target, (token, *request.headers), request.body)
            if api
            else request
        )
        try:
            reply = wire.ask(sent)
        except (OSError, ValueError) as error:
            wire.close()
            raise AssertionError(f"no answer: {error!r}") from error
        assert 200 <= reply.status < 500, reply
        if api and reply.headers.get("intuit_tid"):
            check_api(reply)
        if not passed(request, reply):
            assert fingerprint(simulator) == before, reply
        simulator.simulator.world.rules.clear()

    send()
    assert simulator.counters()["internalErrors"] == 0
    with capsys.disabled():
        sys.stdout.write(f"\n{family}: {made} malformed requests, seed {SEED}\n")


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 300_000,
    ],
)
def test_what_is_no_http_is_told_so(simulator: ThreadedSimulator, wire: Wire, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=30.0) as connection:
        connection.sendall(junk)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert wire.ask(Request(b"GET", b"/_simulator/counters")).status == 200
