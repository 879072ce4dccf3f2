"""Webhooks on the wire: an app that really listens, and what it gets when the books change."""

import base64
import hashlib
import hmac
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from quickbooks import QuickBooks

from fixtures.simulator_server import Door, RunningSimulator, minimal_invoice
from qbsync.simulator.options import SimulatorOptions

from .conftest import Books, ThreadedSimulator

VERIFIER = "6b1f3a0e-verifier"


@dataclass(frozen=True)
class Delivered:
    """One POST as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    def signed_with(self, token: str) -> bool:
        mac = hmac.new(token.encode(), self.body, hashlib.sha256).digest()
        return self.headers["intuit-signature"] == base64.b64encode(mac).decode()

    def told(self) -> list[tuple[str, str]]:
        """Type and id of each event."""
        return [(entry["type"], entry["intuitentityid"]) for entry in self.document]


class Listener:
    """An app's endpoint. `answers` are the next statuses, 200 when there is none left; `gate` keeps answers back."""

    def __init__(self) -> None:
        self.answers: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.gate = threading.Event()
        self.gate.set()
        self._arrived: queue.SimpleQueue[Delivered] = queue.SimpleQueue()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                listener._arrived.put(Delivered(headers, body))
                listener.gate.wait(30)
                try:
                    status = listener.answers.get_nowait()
                except queue.Empty:
                    status = 200
                try:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    return  # the other side did not wait

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def next(self) -> Delivered:
        """The next delivery; fails the test if none comes."""
        return self._arrived.get(timeout=10)

    @property
    def quiet(self) -> bool:
        """Whether nothing else has come."""
        return self._arrived.empty()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    subject = Listener()
    yield subject
    subject.close()


@pytest.fixture
def hooked(simulator: ThreadedSimulator, listener: Listener) -> Iterator[ThreadedSimulator]:
    """The simulator, with the first app listening."""
    put(simulator, url=listener.url, verifierToken=VERIFIER)
    yield simulator
    simulator.reset()  # nothing is tried any more once the listener is gone


def put(door: Door, **endpoint: Any) -> dict[str, Any]:
    response = httpx2.put(f"{door.base_url}/_simulator/webhooks", json=endpoint, trust_env=False)
    assert response.status_code == 200, response.text
    return dict(response.json()["endpoints"][-1]) if response.json()["endpoints"] else {}


def shown(door: Door) -> dict[str, Any]:
    return dict(door.get("/_simulator/webhooks")["endpoints"][0])


def until(door: Door, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first app's endpoint as the door shows it, once the condition is met."""
    deadline = time.monotonic() + 10
    while not met(view := shown(door)):
        assert time.monotonic() < deadline, view
        time.sleep(0.01)
    return view


def attempts(count: int, error: str) -> Callable[[dict[str, Any]], bool]:
    """So many attempts at the oldest delivery have failed, the last one so."""

    def met(view: dict[str, Any]) -> bool:
        first = view["deliveries"][0]
        return first["attempts"] == count and error in (first["lastError"] or "")

    return met


def make(books: Books, **fields: Any) -> str:
    return str(books.create("Invoice", minimal_invoice(**fields))["Id"])


# Form


def test_an_app_hears_of_its_own_write_in_a_signed_post(
    hooked: ThreadedSimulator, books: Books, listener: Listener
) -> None:
    identifier = make(books)
    delivered = listener.next()
    assert delivered.signed_with(VERIFIER)
    known = QuickBooks(minorversion=75).validate_webhook_signature
    assert known(delivered.body.decode(), delivered.headers["intuit-signature"], VERIFIER)
    assert not known(delivered.body.decode(), delivered.headers["intuit-signature"], "another token")
    assert delivered.headers["content-type"] == "application/json"
    (entry,) = delivered.document
    assert list(entry) == [
        "specversion",
        "id",
        "source",
        "type",
        "datacontenttype",
        "time",
        "intuitentityid",
        "intuitaccountid",
        "data",
    ]
    assert (entry["type"], entry["intuitentityid"], entry["intuitaccountid"]) == (
        "qbo.invoice.created.v1",
        identifier,
        hooked.realm_id,
    )
    view = until(hooked, lambda view: view["acknowledged"] == 1)
    assert (view["sent"], view["pending"], view["lastError"]) == (1, 0, None)
    (delivery,) = view["deliveries"]
    assert delivery["events"] == [
        {"realmId": hooked.realm_id, "entity": "Invoice", "id": identifier, "change": "created"}
    ]


def test_the_older_form(hooked: ThreadedSimulator, books: Books, listener: Listener) -> None:
    put(hooked, url=listener.url, verifierToken=VERIFIER, format="legacy")
    identifier = make(books)
    delivered = listener.next()
    assert delivered.signed_with(VERIFIER)
    (notification,) = delivered.document["eventNotifications"]
    (entity,) = notification["dataChangeEvent"]["entities"]
    assert notification["realmId"] == hooked.realm_id
    assert (entity["name"], entity["id"], entity["operation"]) == ("Invoice", identifier, "Create")


def test_what_a_bookkeeper_does(hooked: ThreadedSimulator, books: Books, listener: Listener) -> None:
    identifier, other = make(books, DocNumber="W-1"), make(books, DocNumber="W-2")
    until(hooked, lambda view: view["acknowledged"] == 2)
    while not listener.quiet:
        listener.next()
    door = "/_simulator/invoices"
    hooked.post(f"{door}/{identifier}/edit", {"PrivateNote": "seen"})
    assert listener.next().told() == [("qbo.invoice.updated.v1", identifier)]
    payment = hooked.post(f"{door}/{identifier}/pay", {})["Payment"]["Id"]
    told = until_told(listener, 2)
    assert sorted(told) == [("qbo.invoice.updated.v1", identifier), ("qbo.payment.created.v1", payment)]
    hooked.post(f"{door}/{other}/void", {})
    assert listener.next().told() == [("qbo.invoice.voided.v1", other)]
    hooked.post(f"{door}/{other}/delete", {})
    assert listener.next().told() == [("qbo.invoice.deleted.v1", other)]


def until_told(listener: Listener, count: int) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    while len(told) < count:
        told += listener.next().told()
    return told


# Who hears what


def test_only_kinds_that_were_asked_for(hooked: ThreadedSimulator, books: Books, listener: Listener) -> None:
    put(hooked, url=listener.url, entities=["Customer"], verifierToken=VERIFIER)
    make(books)
    customer = books.create("Customer", {"DisplayName": "Heard"})["Id"]
    assert ("qbo.customer.created.v1", customer) in listener.next().told()
    assert all(
        entry["entity"] == "Customer"
        for delivery in shown(hooked)["deliveries"]
        for entry in delivery["events"]
    )


def test_only_companies_the_app_is_connected_to(
    hooked: ThreadedSimulator, books: Books, listener: Listener
) -> None:
    strange = hooked.realm()
    first = hooked.state(strange)["invoices"][0]["Id"]
    hooked.post(f"/_simulator/invoices/{first}/edit?realmId={strange}", {"PrivateNote": "unheard"})
    identifier = make(books)
    (entry,) = listener.next().document
    assert (entry["intuitaccountid"], entry["intuitentityid"]) == (hooked.realm_id, identifier)
    hooked.tokens(strange)
    hooked.post(f"/_simulator/invoices/{first}/edit?realmId={strange}", {"PrivateNote": "heard"})
    assert listener.next().document[0]["intuitaccountid"] == strange
    view = shown(hooked)
    assert view["pending"] + view["acknowledged"] == 2


def test_each_app_has_its_own_endpoint_and_token(
    hooked: ThreadedSimulator, books: Books, listener: Listener
) -> None:
    app = hooked.post("/_simulator/apps", {})["clientId"]
    second = Listener()
    try:
        view = put(hooked, clientId=app, url=second.url)
        assert view["clientId"] == app
        make(books)
        assert listener.next().signed_with(VERIFIER)
        hooked.post("/_simulator/tokens", {"clientId": app})
        make(books)
        assert listener.next().signed_with(VERIFIER)
        assert second.next().signed_with(view["verifierToken"])
        assert second.quiet
    finally:
        put(hooked, clientId=app, url=None)
        second.close()
    assert len(hooked.get("/_simulator/webhooks")["endpoints"]) == 1


# When


def test_changes_of_several_companies_in_one_post(
    hooked: ThreadedSimulator, books: Books, listener: Listener
) -> None:
    hooked.switch(webhookAggregationSeconds=300)
    second = Books(hooked, hooked.realm())
    try:
        here, there = make(books), make(second)
    finally:
        second.close()
    assert shown(hooked)["pending"] == 2
    hooked.advance(300)
    delivered = listener.next()
    assert [(entry["intuitaccountid"], entry["intuitentityid"]) for entry in delivered.document] == [
        (books.realm_id, here),
        (second.realm_id, there),
    ]


def test_retries_follow_the_simulator_s_clock(
    hooked: ThreadedSimulator, books: Books, listener: Listener
) -> None:
    for status in (500, 302, 204, 404):
        listener.answers.put(status)
    make(books)
    first = listener.next()
    for count, (error, wait) in enumerate([("500", 10), ("302", 20), ("204", 30), ("404", 300)], start=1):
        until(hooked, attempts(count, f"answered {error}"))
        assert listener.quiet
        hooked.advance(wait)
        assert listener.next() == first
    view = until(hooked, lambda view: view["acknowledged"] == 1)
    assert (view["sent"], view["lastError"]) == (5, "answered 404")


def test_nobody_listens_at_first(simulator: ThreadedSimulator, books: Books, listener: Listener) -> None:
    gone = Listener()
    gone.close()
    put(simulator, url=gone.url, verifierToken=VERIFIER)
    identifier = make(books)
    until(simulator, attempts(1, "ConnectError"))
    put(simulator, url=listener.url, verifierToken=VERIFIER)
    simulator.advance(10)
    assert listener.next().told() == [("qbo.invoice.created.v1", identifier)]


def test_three_seconds_to_answer_and_nobody_else_waits(
    hooked: ThreadedSimulator, books: Books, listener: Listener
) -> None:
    listener.gate.clear()
    make(books)
    first = listener.next()
    later = make(books)  # answered while the app still thinks
    hooked.advance(3)
    until(hooked, attempts(1, "no answer within 3 s"))
    listener.gate.set()
    hooked.advance(10)
    assert listener.next() == first
    assert listener.next().told() == [("qbo.invoice.created.v1", later)]


@pytest.mark.parametrize("holds", [True, False])
def test_later_events_wait_for_the_first_or_not(
    hooked: ThreadedSimulator, books: Books, listener: Listener, *, holds: bool
) -> None:
    hooked.switch(webhookHolds=holds)
    listener.answers.put(503)
    first = make(books)
    listener.next()
    until(hooked, attempts(1, "answered 503"))
    second = make(books)
    if not holds:
        assert listener.next().told() == [("qbo.invoice.created.v1", second)]
    hooked.advance(10)
    assert listener.next().told() == [("qbo.invoice.created.v1", first)]
    if holds:
        assert listener.next().told() == [("qbo.invoice.created.v1", second)]


def test_twice_the_same(hooked: ThreadedSimulator, books: Books, listener: Listener) -> None:
    hooked.switch(webhookDuplicates=1)
    make(books)
    assert listener.next() == listener.next()


def test_never(hooked: ThreadedSimulator, books: Books, listener: Listener) -> None:
    hooked.switch(webhookLosses=1)
    make(books)
    hooked.switch(webhookLosses=0)
    second = make(books)
    assert listener.next().told() == [("qbo.invoice.created.v1", second)]
    assert shown(hooked)["lost"] == 1


def test_later_than_what_followed(hooked: ThreadedSimulator, books: Books, listener: Listener) -> None:
    hooked.switch(webhookReordering=1)
    first = make(books)
    hooked.switch(webhookReordering=0)
    second = make(books)
    assert listener.next().told() == [("qbo.invoice.created.v1", second)]
    hooked.advance(5)
    assert listener.next().told() == [("qbo.invoice.created.v1", first)]


def test_a_reset_drops_what_is_pending(hooked: ThreadedSimulator, books: Books, listener: Listener) -> None:
    listener.answers.put(500)
    make(books)
    listener.next()
    until(hooked, attempts(1, "answered 500"))
    hooked.reset()
    assert hooked.get("/_simulator/webhooks") == {"endpoints": []}
    hooked.advance(10)
    put(hooked, url=listener.url, verifierToken=VERIFIER)
    after = Books(hooked)
    try:
        identifier = make(after)
    finally:
        after.close()
    assert listener.next().told() == [("qbo.invoice.created.v1", identifier)]


# The door and the command line


@pytest.mark.parametrize(
    "endpoint", [{"url": "nowhere"}, {"clientId": "nobody", "url": "http://127.0.0.1:1"}, {}]
)
def test_the_door_says_what_it_cannot_set(simulator: ThreadedSimulator, endpoint: dict[str, Any]) -> None:
    response = httpx2.put(f"{simulator.base_url}/_simulator/webhooks", json=endpoint, trust_env=False)
    assert response.status_code == 400
    assert response.json()["error"]


def test_the_command_line_sets_the_first_app_s_endpoint(listener: Listener) -> None:
    flags = (
        "--webhook-url",
        listener.url,
        "--webhook-verifier-token",
        VERIFIER,
        "--webhook-format",
        "legacy",
    )
    with RunningSimulator(*flags) as simulator:
        books = Books(simulator)
        try:
            listener.gate.clear()
            make(books)
            delivered = listener.next()
            assert delivered.signed_with(VERIFIER)
            assert "eventNotifications" in delivered.document
            # An app that does not answer must not hold up the end.
            simulator.process.terminate()
            assert simulator.process.wait(timeout=5) == 0
        finally:
            books.close()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"webhook_url": "nowhere"}, "--webhook-url nowhere is no http or https address"),
        ({"webhook_format": "xml"}, "--webhook-format is cloudevents or legacy, not xml"),
    ],
)
def test_options_that_cannot_work_are_told_before_the_start(option: dict[str, Any], words: str) -> None:
    assert SimulatorOptions(**option).problem() == words
