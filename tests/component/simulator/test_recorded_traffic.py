"""Recorded traffic of the real QuickBooks, replayed over HTTP: status, headers and body, field by field.

The world of each recording is set up first: the rows it was made in, as they were. Where an answer of ours differs it
is listed in ACCEPTED, with the reason; what is not listed fails, and so does an entry that no longer applies.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import KINDS

from .conftest import Books, ThreadedSimulator, decoded
from .recording import RECORDED, Exchange, compared, differences, exchanges

RECORDINGS = sorted(path.stem for path in (RECORDED / "minimul-qbo_api").glob("*.json"))
EVERYWHERE = {"header connection": "hop by hop; our connections stay open without saying so"}
_2022 = "an edge of 2022 that no later answer shows"
_2022_HEADERS = ("x-content-type-options", "x-envoy-upstream-service-time", "x-xss-protection")
_HAND_MADE = "the exchange is no recording but made by hand: four headers and a body of three dots"
ACCEPTED: Mapping[str, Mapping[str, str]] = {
    "batch__basic": {
        "0 BatchItemResponse[].Fault.Error[].Detail": "5010 names the person who was faster: ours has another name",
    },
    "cdc__basic": {
        "0 CDCResponse[].QueryResponse[].Estimate": "there are no estimates here; an entity without changes is {}",
        "0 CDCResponse[].QueryResponse[].startPosition": "comes with rows only",
        "0 CDCResponse[].QueryResponse[].maxResults": "comes with rows only",
    },
    "create__invoice": {"0 Invoice.DocNumber": "the next number of other books (both are digits: see below)"},
    "error__400_json": {
        "0 Fault.Error[].Detail": "lists the known properties in the order of a Java hash map (see below)",
    },
    "error__401": {"0 fault.error[].detail": "quotes the access token (see below)"},
    "get_pdf__invoice": {
        f"0 header {name}": _HAND_MADE
        for name in (
            *("intuit_tid", "x-spanid", "x-amzn-trace-id", "strict-transport-security"),
            *("qbo-version", "service-time", "expires", "cache-control"),
        )
    },
    "void__invoice": {f"{step} header {name}": _2022 for step in (0, 1) for name in _2022_HEADERS},
}
"""By recording: the step and the path at which we differ, and why that is right."""


@pytest.fixture
def books(simulator: ThreadedSimulator) -> Iterator[Books]:
    """As the recorded company was: QuickBooks numbers the invoices."""
    view = Books(simulator, simulator.realm(preferences={"SalesFormsPrefs": {"CustomTxnNumbers": False}}))
    yield view
    view.close()


# The world of the recordings


def put(company: Company, entity: str, *rows: Mapping[str, Any]) -> None:
    """Rows as they were, in place of what has their Ids."""
    for row in rows:
        company.put(KINDS[entity], dict(row))


def answered(name: str, step: int, entity: str) -> Any:
    """The entity, or the rows of it, in a recorded answer."""
    body = exchanges(name)[step].answer
    return body[entity] if entity in body else body["QueryResponse"][entity]


def only(company: Company, entity: str, rows: list[dict[str, Any]], count: int) -> None:
    """These rows and no others of their kind, and further ones behind them, up to a count."""
    table = company.table(KINDS[entity])
    for row in list(table):
        table.remove(row.id)
    put(company, entity, *rows)
    for number in range(count - len(rows)):
        name = f"zz {number}"
        put(
            company,
            entity,
            {**rows[-1], "Id": str(1000 + number), "DisplayName": name, "FullyQualifiedName": name},
        )


def all_customers(company: Company) -> None:
    only(company, "Customer", answered("all__customers", 1, "Customer"), 41)


def all_vendors(company: Company) -> None:
    only(company, "Vendor", answered("get__inactive_vendors", 0, "Vendor"), 27)


def six_customers(company: Company) -> None:
    for step in (1, 2, 3):
        put(company, "Customer", *answered("all__alt_select", step, "Customer"))


def receipts(company: Company) -> None:
    rows = exchanges("batch__basic")[0].answer["BatchItemResponse"][3]["QueryResponse"]["SalesReceipt"]
    only(company, "SalesReceipt", rows[::-1], 2)
    next_id("Vendor", "71")(company)


def next_id(entity: str, identifier: str) -> Callable[[Company], None]:
    """The next Id of the entity's sequence is this one: a row before it was made, and is gone."""

    def set_up(company: Company) -> None:
        kind = KINDS[entity]
        row = next(iter(company.table(kind))).document()
        before = str(int(identifier) - 1)
        put(company, entity, {**row, "Id": before})
        company.table(kind).remove(before)

    return set_up


def invoice_130(company: Company) -> None:
    put(company, "Invoice", {**answered("void__invoice", 0, "Invoice"), "Id": "130"})


def as_read(name: str, entity: str) -> Callable[[Company], None]:
    """The recording begins with a read of what it changes."""
    return lambda company: put(company, entity, answered(name, 0, entity))


WORLDS: Mapping[str, Callable[[Company], None]] = {
    "create__customer": next_id("Customer", "70"),
    "create__invoice": next_id("Invoice", answered("create__invoice", 0, "Invoice")["Id"]),
    "all__customers": all_customers,
    "error__400": all_customers,
    "all__alt_select": six_customers,
    "get__inactive_vendors": all_vendors,
    "get__display_name": lambda company: put(
        company, "Customer", *answered("get__display_name", 0, "Customer")
    ),
    "get__id": as_read("get__id", "Customer"),
    "misc__ampersand": lambda company: put(company, "Vendor", *answered("misc__ampersand", 0, "Vendor")),
    "batch__basic": receipts,
    "update__customer": as_read("update__customer", "Customer"),
    "update__sales_receipt": as_read("update__sales_receipt", "SalesReceipt"),
    "deactivate__account": as_read("deactivate__account", "Account"),
    "deactivate__employee": as_read("deactivate__employee", "Employee"),
    "void__invoice": as_read("void__invoice", "Invoice"),
    "delete__invoice": as_read("delete__invoice", "Invoice"),
    "get_pdf__invoice": invoice_130,
}


def sent(books: Books, exchange: Exchange) -> httpx2.Response:
    """The recorded request, to our company."""
    if exchange.method == "POST":
        return books.post(exchange.path, exchange.body)
    accept = "application/pdf" if exchange.path.endswith("/pdf") else "application/json"
    return books.client.get(exchange.path, headers={"accept": accept})


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_played_again(books: Books, simulator: ThreadedSimulator, name: str) -> None:
    WORLDS.get(name, lambda _: None)(simulator.simulator.world.companies[books.realm_id])
    books.door.switch(queryTotalCount=False)  # as in 2020
    if name == "error__401":
        books.door.advance(3600)
    found: dict[str, str] = {}
    for step, exchange in enumerate(exchanges(name, books.realm_id)):
        response = sent(books, exchange)
        differs = differences(exchange, response)
        assert set(EVERYWHERE) <= set(differs)
        found.update({f"{step} {path}": how for path, how in differs.items() if path not in EVERYWHERE})
    assert set(found) == set(ACCEPTED.get(name, {})), found


# What the list above passes over, in so far as it has a meaning


def played(books: Books, name: str) -> tuple[Any, Any]:
    """The first recorded answer and ours."""
    exchange = exchanges(name, books.realm_id)[0]
    return exchange.answer, decoded(sent(books, exchange))


def test_a_number_of_the_books_is_the_highest_and_one(books: Books) -> None:
    theirs, ours = played(books, "create__invoice")
    assert theirs["Invoice"]["DocNumber"].isdigit()
    again = decoded(sent(books, exchanges("create__invoice")[0]))
    assert int(again["Invoice"]["DocNumber"]) == int(ours["Invoice"]["DocNumber"]) + 1


def test_an_unknown_property_is_refused_in_the_recorded_words(books: Books) -> None:
    details = [each["Fault"]["Error"][0]["Detail"] for each in played(books, "error__400_json")]
    words = [
        re.fullmatch(r"(.*\(83 known properties: )(.*)( \[truncated\].*)", each, re.DOTALL)
        for each in details
    ]
    theirs, ours = [each.groups() for each in words if each]
    assert (theirs[0], theirs[2]) == (ours[0], ours[2])
    known = [set(re.findall(r'"(\w+)"', each[1])) for each in (theirs, ours)]
    assert min(len(names) for names in known) > 60


def test_an_expired_token_is_quoted(books: Books) -> None:
    books.door.advance(3600)
    theirs, ours = played(books, "error__401")
    assert theirs["fault"]["error"][0]["detail"].startswith("Token expired: AB01")
    assert ours["fault"]["error"][0]["detail"] == f"Token expired: {books.grant['access_token']}"


def test_the_feed_of_changes_brings_rows_as_the_recorded_one_does(
    books: Books, simulator: ThreadedSimulator
) -> None:
    """With invoices in place of the recorded estimates."""
    books.door.switch(changesLookBack="all")
    rows = [answered("void__invoice", 0, "Invoice"), answered("delete__invoice", 0, "Invoice")]
    only(simulator.simulator.world.companies[books.realm_id], "Invoice", rows, 2)
    exchange = exchanges("cdc__basic")[0]
    ours = decoded(books.client.get(exchange.path.replace("estimate", "invoice")))["CDCResponse"]
    (theirs,) = exchange.answer["CDCResponse"][0]["QueryResponse"]
    assert [list(each) for each in ours[0]["QueryResponse"]] == [["Invoice", *list(theirs)[1:]]]
    assert compared({"Invoice": rows, "startPosition": 1, "maxResults": 2}, ours[0]["QueryResponse"][0]) == {}


def test_the_comparison_itself_can_fail() -> None:
    recorded = {"Invoice": {"Id": "1", "Line": [{"Amount": Decimal("1.0"), "Id": "1"}, {"Amount": 0}]}}
    assert (
        compared(recorded, {"Invoice": {"Id": "1", "Line": [{"Amount": 1, "Id": "1"}, {"Amount": 0}]}}) == {}
    )
    assert compared(
        recorded, {"Invoice": {"Line": [{"Id": "2", "Amount": "1.0", "New": True}], "Id": 1}}
    ) == {
        "Invoice.Id": "'1' became 1",
        "Invoice.Line": "2 rows became 1",
        "Invoice.Line[].Amount": "Decimal('1.0') became '1.0'",
        "Invoice.Line[].Id": "'1' became '2'",
        "Invoice.Line[].New": "unheard of",
        "Invoice.Line[] order": "['Amount', 'Id'] became ['Id', 'Amount']",
        "Invoice order": "['Id', 'Line'] became ['Line', 'Id']",
    }
    exchange = exchanges("create__customer")[0]
    times = {"CreateTime": "2026-01-01T00:00:01-08:00", "LastUpdatedTime": "2026-01-01T00:00:07-08:00"}
    made = {**exchange.answer["Customer"], "MetaData": times}
    late = {"Customer": made, "time": "2026-01-01T00:00:00.000-08:00"}
    other = httpx2.Response(201, json=late, headers={**exchange.headers, "qbo-version": "x"})
    assert set(differences(exchange, other)) == {
        "status",
        "header qbo-version",
        "header content-length",
        "Customer.MetaData.LastUpdatedTime",
    }
