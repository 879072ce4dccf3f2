"""Fault rules over HTTP: each effect, before and after the commit, and the weather of the hostile profile."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from fixtures.simulator_server import minimal_invoice
from qbsync.simulator.options import Profile, SimulatorOptions

from .conftest import NO_LATENCY, Books, ThreadedSimulator

CREATE = {"operation": "create"}


def create(books: Books, number: str = "F-1") -> httpx2.Response:
    return books.post("invoice", minimal_invoice(DocNumber=number))


def made(books: Books, number: str = "F-1") -> int:
    return len(books.door.invoices(number))


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "6000"), (401, "3200"), (403, "3100"), (429, "3001"), (500, "10000"), (503, "10000")],
)
@pytest.mark.parametrize("commit", [False, True])
def test_a_status_instead_of_the_answer(books: Books, status: int, code: str, *, commit: bool) -> None:
    books.door.fault(CREATE, {"status": status, "commit": commit})
    response = create(books)
    assert response.status_code == status
    body = response.json()
    error = body["fault"]["error"][0] if "fault" in body else body["Fault"]["Error"][0]
    assert error["code"] == code
    assert "intuit_tid" in response.headers
    assert made(books) == int(commit)
    assert create(books, "F-2").status_code == 200


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_that_got_nothing_speaks_html(books: Books, status: int) -> None:
    books.door.fault(CREATE, {"status": status})
    response = create(books)
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html")
    assert "<h1>" in response.text


def test_an_html_page_with_any_status_even_200(books: Books) -> None:
    books.door.fault(CREATE, {"status": 200, "html": True, "commit": True})
    response = create(books)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html")
    assert made(books) == 1
    books.door.fault(CREATE, {"html": "<p>maintenance</p>"})
    assert (create(books).status_code, create(books).status_code) == (503, 200)


def test_an_empty_200(books: Books) -> None:
    books.door.fault(CREATE, {"status": 200, "commit": True})
    response = create(books)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("effect", "status", "expected"),
    [
        ({"fault": "6140"}, 400, ("6140", "ValidationFault")),
        ({"fault": 6210}, 400, ("6210", "ValidationFault")),
        ({"fault": "6000"}, 400, ("6000", "ValidationFault")),
        ({"fault": "10000"}, 500, ("10000", "SystemFault")),
        ({"fault": "120"}, 401, ("120", "AuthorizationFault")),
        ({"fault": {"code": "5010", "message": "m", "detail": "d", "type": "T"}}, 400, ("5010", "T")),
        ({"fault": {"code": "8888"}}, 400, ("8888", "SystemFault")),
        ({"fault": "6140", "status": 200}, 200, ("6140", "ValidationFault")),
        ({"fault": {"Fault": {"Error": [{"code": "1"}], "type": "V"}}}, 400, ("1", "V")),
    ],
)
def test_a_fault_by_code_by_field_or_whole(
    books: Books, effect: dict[str, Any], status: int, expected: tuple[str, str]
) -> None:
    books.door.fault(CREATE, effect)
    response = create(books)
    fault = response.json()["Fault"]
    assert response.status_code == status
    assert (fault["Error"][0]["code"], fault["type"]) == expected
    assert made(books) == 0


def test_a_fault_in_the_gateway_s_shape(books: Books) -> None:
    books.door.fault(CREATE, {"fault": "6140", "lowerCase": True})
    assert create(books).json()["fault"]["error"][0]["code"] == "6140"
    books.door.fault(CREATE, {"fault": "3001"})
    assert create(books).status_code == 429


@pytest.mark.parametrize(("drop", "count"), [("before", 0), ("after", 1)])
def test_a_connection_reset_before_and_after_the_commit(books: Books, drop: str, count: int) -> None:
    books.door.fault(CREATE, {"drop": drop})
    with pytest.raises(httpx2.ReadError):
        create(books)
    assert made(books) == count
    assert books.door.requests("create")[-1]["outcome"] == "reset"


def test_a_body_cut_in_the_middle(books: Books) -> None:
    books.door.fault(CREATE, {"truncated": True})
    with pytest.raises(httpx2.RemoteProtocolError):
        create(books)
    assert made(books) == 1


def test_a_delay_comes_before_the_commit(books: Books) -> None:
    books.door.fault(CREATE, {"delaySeconds": 0.5})
    with pytest.raises(httpx2.ReadTimeout):
        books.client.post("invoice", json=minimal_invoice(DocNumber="F-1"), timeout=0.2)
    assert made(books) == 0
    _until(lambda: made(books) == 1)


def test_the_server_timeout_ends_a_longer_delay_with_a_504(books: Books) -> None:
    books.door.fault(CREATE, {"delaySeconds": 3000})
    started = time.monotonic()
    response = create(books)
    assert response.status_code == 504
    assert 1.9 < time.monotonic() - started < 5
    assert made(books) == 1


def test_the_door_s_clock_ends_a_delay(books: Books) -> None:
    books.door.fault(CREATE, {"commitAfterSeconds": 1.9})
    assert create(books).status_code == 504
    assert made(books) == 0
    books.door.advance(1.9)
    _until(lambda: made(books) == 1, seconds=1)


@pytest.mark.parametrize("lost", [False, True])
def test_a_late_commit_is_answered_now_and_carried_out_later(books: Books, *, lost: bool) -> None:
    effect = {"commitAfterSeconds": 0.4, "drop": "before"} if lost else {"commitAfterSeconds": 0.4}
    books.door.fault(CREATE, effect)
    if lost:
        with pytest.raises(httpx2.ReadError):
            create(books)
    else:
        assert create(books).status_code == 504
    assert made(books) == 0
    _until(lambda: made(books) == 1)
    assert books.door.counters()["lateCommits"] == 1


def test_the_server_timeout_bounds_late_commits(books: Books) -> None:
    books.door.fault(CREATE, {"commitAfterSeconds": 9999, "status": 503})
    assert create(books).status_code == 503
    books.door.advance(2)
    _until(lambda: made(books) == 1, seconds=1)


def test_a_late_commit_meets_the_requestid_s_memory(books: Books) -> None:
    books.door.fault(CREATE, {"commitAfterSeconds": 0.3})
    body = minimal_invoice(DocNumber="F-1")
    assert books.post("invoice?requestid=r", body).status_code == 504
    assert books.post("invoice?requestid=r", body).status_code == 200
    _until(lambda: books.door.counters()["lateCommits"] == 1)
    assert made(books) == 1


def test_a_late_commit_of_a_forgetful_quickbooks_is_a_second_invoice(books: Books) -> None:
    books.door.switch(requestidMemory="forget")
    books.door.fault(CREATE, {"commitAfterSeconds": 0.3})
    body = minimal_invoice(DocNumber="F-1")
    assert books.post("invoice?requestid=r", body).status_code == 504
    assert books.post("invoice?requestid=r", body).status_code == 200
    _until(lambda: made(books) == 2)


def test_a_reset_of_the_simulator_takes_late_commits_with_it(books: Books) -> None:
    books.door.fault(CREATE, {"commitAfterSeconds": 0.2})
    create(books)
    books.door.post("/_simulator/reset")
    time.sleep(0.3)
    assert made(books) == 0


def test_an_outage_speaks_with_the_gateway_s_voice(books: Books) -> None:
    books.door.fault(CREATE, {"fault": "3100", "status": 500})
    response = create(books)
    error = response.json()["fault"]["error"][0]
    assert (response.status_code, error["code"]) == (500, "3100")
    assert error["message"] == "message=InternalServerError; errorCode=003100; statusCode=500"


WRITES: list[tuple[str, str, Any]] = [
    ("update", "invoice", {"sparse": True, "PrivateNote": "after"}),
    ("void", "invoice?operation=void", {}),
    ("delete", "invoice?operation=delete", {}),
    ("send", "invoice/{}/send?sendTo=a@example.org", None),
]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write[0])
@pytest.mark.parametrize(
    ("effect", "status"),
    [
        ({"status": 429}, 429),
        ({"status": 429, "commit": True}, 429),
        ({"status": 503, "html": True, "commit": True}, 503),
        ({"drop": "before"}, None),
        ({"drop": "after"}, None),
        ({"commitAfterSeconds": 0.05}, 504),
    ],
)
def test_every_write_can_be_lost_before_and_after(
    books: Books, write: tuple[str, str, Any], effect: dict[str, Any], status: int | None
) -> None:
    operation, path, body = write
    identifier = books.create("Invoice", minimal_invoice())["Id"]

    def seen() -> str:
        return books.client.get(f"invoice/{identifier}").text.partition(',"time"')[0]

    before = seen()
    books.door.fault({"operation": operation, "entity": "Invoice"}, effect)
    content = None if body is None else {**body, "Id": identifier, "SyncToken": "0"}
    try:
        assert books.client.post(path.format(identifier), json=content).status_code == status
    except httpx2.TransportError:
        assert status is None
    if effect.get("commit") or effect.get("drop") == "after" or "commitAfterSeconds" in effect:
        _until(lambda: seen() != before)
    else:
        assert seen() == before


@pytest.mark.parametrize(
    "path", ["invoice/103/pdf", "cdc?entities=Invoice&changedSince=2026-11-01", "preferences"]
)
def test_every_read_can_be_lost(books: Books, path: str) -> None:
    operation = {"i": "pdf", "c": "cdc", "p": "read"}[path[0]]
    for effect in ({"drop": "after"}, {"truncated": True}):
        books.door.fault({"operation": operation}, effect)
        with pytest.raises(httpx2.TransportError):
            books.client.get(path)
    books.door.fault({"operation": operation}, {"status": 502})
    assert books.client.get(path).status_code == 502
    assert books.client.get(path).status_code == 200


def test_two_minutes_pass_by_the_door_s_clock() -> None:
    simulator = ThreadedSimulator(SimulatorOptions(profile=Profile.UNLIMITED, latency=NO_LATENCY))
    books = Books(simulator)
    books.door.fault(CREATE, {"delaySeconds": 3600})
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(create, books)
        _until(lambda: bool(books.door.requests("create")))
        books.door.advance(119)
        assert made(books) == 0
        books.door.advance(1)
        assert answer.result(timeout=10).status_code == 504
    assert made(books) == 1
    books.close()
    simulator.stop()


@pytest.mark.parametrize(
    "rule",
    [
        {"match": {"inBatch": True}, "effect": {"drop": "after"}},
        {"match": {"inBatch": "yes"}, "effect": {"status": 500}},
        {"effect": {"commitItems": "two"}},
        {"effect": {"commitItems": -1}},
    ],
)
def test_a_rule_about_batches_that_cannot_be(books: Books, rule: dict[str, Any]) -> None:
    with httpx2.Client(base_url=books.door.base_url, trust_env=False) as client:
        assert client.post("/_simulator/faults", json=rule).status_code == 400


def test_an_unadmitted_call_uses_up_no_rule(books: Books) -> None:
    books.door.fault(CREATE, {"status": 500})
    books.client.post("invoice", json=minimal_invoice(), headers={"authorization": "Bearer " + "x" * 40})
    assert create(books).status_code == 500


# The hostile profile


@pytest.fixture(scope="module")
def hostile_simulator() -> Iterator[ThreadedSimulator]:
    simulator = ThreadedSimulator(
        SimulatorOptions(
            profile=Profile.HOSTILE, server_timeout=timedelta(milliseconds=60), latency=NO_LATENCY, seed=5
        )
    )
    yield simulator
    simulator.stop()


def test_hostile_weather_loses_and_delays_answers_but_never_a_token(
    hostile_simulator: ThreadedSimulator,
) -> None:
    hostile_simulator.reset()
    hostile_simulator.switch(limitPerSecond=0, limitPerMinute=0)
    books = Books(hostile_simulator)
    seen: dict[str, int] = {}
    for number in range(200):
        try:
            outcome = str(create(books, f"H-{number}").status_code)
        except httpx2.TransportError:
            outcome = "lost"
        seen[outcome] = seen.get(outcome, 0) + 1
    assert set(seen) == {"200", "503", "504", "lost"}
    assert seen["200"] > 150
    grant = books.grant
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    with httpx2.Client(base_url=hostile_simulator.base_url, trust_env=False) as client:
        auth = (grant["client_id"], grant["client_secret"])
        answers = [client.post("/oauth2/v1/tokens/bearer", data=form, auth=auth) for _ in range(100)]
    assert {answer.status_code for answer in answers} == {200}
    books.close()


def test_hostile_weather_is_over_every_operation(hostile_simulator: ThreadedSimulator) -> None:
    hostile_simulator.reset()
    hostile_simulator.switch(limitPerSecond=0, limitPerMinute=0, limitAllPerMinute=0, limitBatches=0)
    hostile_simulator.switch(lostAnswers=0.2, gatewayErrors=0.2)
    books = Books(hostile_simulator)
    batch = {"BatchItemRequest": [{"bId": "1", "Query": "SELECT count(*) FROM Item"}]}
    calls: dict[str, tuple[str, str, Any]] = {
        "update": ("POST", "invoice", {"Id": "103", "SyncToken": "0", "sparse": True}),
        "pdf": ("GET", "invoice/103/pdf", None),
        "cdc": ("GET", "cdc?entities=Invoice&changedSince=2026-11-01", None),
        "batch": ("POST", "batch", batch),
    }
    for operation, (method, path, body) in calls.items():
        seen = set()
        for _ in range(60):
            try:
                response = books.client.request(method, path, json=body)
                seen.add("answered" if response.status_code in {200, 400} else str(response.status_code))
            except httpx2.TransportError:
                seen.add("lost")
        assert {"answered", "lost", "503"} <= seen, operation
    assert books.door.counters()["internalErrors"] == 0
    books.close()


def _until(condition: Any, *, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
