"""Fault rules over HTTP: each effect, before and after the commit, and the weather of the hostile profile."""

import time
from collections.abc import Iterator
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


def _until(condition: Any, *, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
