"""Change data capture on the wire: what changed since when, in which envelope, and what is silently left out."""

from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from fixtures.simulator_server import minimal_invoice

from .conftest import Books, decoded

DAY = 86400


def now(books: Books) -> datetime:
    return datetime.fromisoformat(books.door.get("/_simulator/clock")["now"])


def feed(books: Books, entities: str, since: Any) -> list[dict[str, Any]]:
    """One QueryResponse per entity."""
    response = ask(books, entities=entities, changedSince=str(since))
    assert response.status_code == 200, response.text
    body = decoded(response)
    assert list(body) == ["CDCResponse", "time"]
    (content,) = body["CDCResponse"]
    assert list(content) == ["QueryResponse"]
    return list(content["QueryResponse"])


def ask(books: Books, **params: str) -> httpx2.Response:
    return books.client.get("cdc", params=params)


def code(response: httpx2.Response) -> str:
    assert response.status_code == 400, response.text
    return str(response.json()["Fault"]["Error"][0]["code"])


@pytest.fixture
def later(books: Books) -> datetime:
    """A moment after the company was founded; nothing has changed since."""
    books.door.advance(600)
    return now(books)


def test_made_changed_and_deleted_are_in(books: Books, later: datetime) -> None:
    kept, gone = (books.create("Invoice", minimal_invoice()) for _ in range(2))
    books.post("invoice?operation=delete", {"Id": gone["Id"], "SyncToken": "0"})
    customer, invoice = feed(books, "Customer,Invoice", later.isoformat())
    assert [row["Id"] for row in customer["Customer"]] == ["1"]
    rows = {row["Id"]: row for row in invoice["Invoice"]}
    assert rows[kept["Id"]] == kept
    assert {name: rows[gone["Id"]][name] for name in ("domain", "status", "Id")} == {
        "domain": "QBO",
        "status": "Deleted",
        "Id": gone["Id"],
    }
    assert set(rows[gone["Id"]]["MetaData"]) == {"LastUpdatedTime"}
    assert (invoice["startPosition"], invoice["maxResults"]) == (1, 2)
    assert "totalCount" not in invoice
    counters = books.door.counters()
    assert (counters["requests"]["cdc"], counters["meteredReads"]) == (1, 1)


def test_entities_come_as_asked_in_any_case_and_empty_where_nothing_changed(
    books: Books, later: datetime
) -> None:
    books.create("Invoice", minimal_invoice())
    answers = feed(books, "estimate, INVOICE,item,Invoice", later.isoformat())
    assert [list(answer) for answer in answers] == [[], ["Invoice", "startPosition", "maxResults"], []]


@pytest.mark.parametrize(
    "text",
    ["{:%Y-%m-%dT%H:%M:%S}+00:00", "{:%Y-%m-%dT%H:%M:%S} 00:00", "{:%Y-%m-%dT%H:%M:%S}Z", "{:%Y-%m-%d}"],
)
def test_ways_to_write_the_moment(books: Books, later: datetime, text: str) -> None:
    made = books.create("Invoice", minimal_invoice())
    (answer,) = feed(books, "Invoice", text.format(later - timedelta(days=1)))
    assert made["Id"] in [row["Id"] for row in answer["Invoice"]]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "2020"),
        ({"entities": "Invoice"}, "2020"),
        ({"entities": " , ", "changedSince": "2026-11-01"}, "2020"),
        ({"entities": "Invoice", "changedSince": "yesterday"}, "2010"),
        ({"entities": "Unicorn", "changedSince": "2026-11-01"}, "500"),
        ({"entities": "Invoice,TaxCode", "changedSince": "2026-11-01"}, "500"),
    ],
)
def test_questions_that_make_no_sense(books: Books, params: dict[str, str], expected: str) -> None:
    assert code(ask(books, **params)) == expected


@pytest.mark.parametrize(("how", "found"), [("cut", 0), ("all", 1), ("refuse", None)])
def test_thirty_days_and_no_further(books: Books, how: str, found: int | None) -> None:
    books.create("Term", {"Name": "Net 45", "DueDays": 45})
    since = now(books) - timedelta(minutes=1)
    books.door.advance(31 * DAY)
    own = Books(books.door)
    books.door.switch(changesLookBack=how)
    response = ask(own, entities="Term", changedSince=since.isoformat())
    if found is None:
        assert code(response) == "6000"
    else:
        (answer,) = decoded(response)["CDCResponse"][0]["QueryResponse"]
        assert [row["Name"] for row in answer.get("Term", [])].count("Net 45") == found
    own.close()


def test_what_is_too_much_is_left_out_without_a_word(books: Books, later: datetime) -> None:
    made = [books.create("Invoice", minimal_invoice())["Id"] for _ in range(4)]
    books.door.switch(maxChanges=3)
    (answer,) = feed(books, "Invoice", later.isoformat())
    assert {row["Id"] for row in answer["Invoice"]} < set(made)
    assert answer["maxResults"] == 3


def test_a_voided_invoice_is_a_changed_one(books: Books, later: datetime) -> None:
    made = books.create("Invoice", minimal_invoice())
    books.post("invoice?operation=void", {"Id": made["Id"], "SyncToken": "0"})
    (answer,) = feed(books, "Invoice", later.isoformat())
    assert [row["PrivateNote"] for row in answer["Invoice"]] == ["Voided"]
