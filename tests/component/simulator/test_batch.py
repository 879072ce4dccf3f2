"""Batches on the wire: items for themselves, in order; faults inside a 200; requestids; what breaks in the middle."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from fixtures.simulator_server import minimal_invoice
from qbsync.simulator.options import Latency, Profile, SimulatorOptions

from .conftest import Books, ThreadedSimulator, decoded

Entity = dict[str, Any]


def create(bid: str, number: str, **fields: Any) -> Entity:
    return {"bId": bid, "operation": "create", "Invoice": minimal_invoice(DocNumber=number, **fields)}


def query(bid: str, statement: str) -> Entity:
    return {"bId": bid, "Query": statement}


def send(books: Books, *items: Entity, path: str = "batch") -> httpx2.Response:
    return books.post(path, {"BatchItemRequest": list(items)})


def answers(books: Books, *items: Entity, path: str = "batch") -> dict[str, Entity]:
    """The items of the answer by bId."""
    response = send(books, *items, path=path)
    assert response.status_code == 200, response.text
    body = decoded(response)
    assert list(body) == ["BatchItemResponse", "time"]
    return {item.pop("bId"): item for item in body["BatchItemResponse"]}


def fault(item: Entity) -> tuple[str, str]:
    """Code and type of an item's fault."""
    assert list(item) == ["Fault"]
    assert set(item["Fault"]) == {"Error", "type"}
    return item["Fault"]["Error"][0]["code"], item["Fault"]["type"]


def refused(response: httpx2.Response) -> str:
    assert response.status_code == 400, response.text
    return str(response.json()["Fault"]["Error"][0]["code"])


# Items


def test_every_operation_as_an_item(books: Books) -> None:
    made = [books.create("Invoice", minimal_invoice()) for _ in range(3)]
    paid = books.create("Payment", {"CustomerRef": {"value": "1"}, "TotalAmt": 10})
    name = [{"Id": each["Id"], "SyncToken": "0"} for each in made]
    voided_payment = {"Id": paid["Id"], "SyncToken": "0", "sparse": True}
    result = answers(
        books,
        create("c", "B-1"),
        {"bId": "u", "operation": "update", "Invoice": {**name[0], "sparse": True, "PrivateNote": "new"}},
        {"bId": "v", "operation": "update", "optionsData": "void", "Invoice": name[1]},
        {"bId": "p", "operation": "update", "optionsData": "void", "Payment": voided_payment},
        {"bId": "d", "operation": "delete", "Invoice": name[2]},
        query("q", "SELECT Id FROM Item MAXRESULTS 1"),
        query("n", "SELECT count(*) FROM Customer"),
    )
    assert (result["c"]["Invoice"]["DocNumber"], result["u"]["Invoice"]["PrivateNote"]) == ("B-1", "new")
    assert (result["v"]["Invoice"]["TotalAmt"], result["p"]["Payment"]["TotalAmt"]) == (0, 0)
    assert result["d"]["Invoice"] == {"domain": "QBO", "status": "Deleted", "Id": made[2]["Id"]}
    assert result["q"]["QueryResponse"]["maxResults"] == 1
    assert result["n"]["QueryResponse"] == {"totalCount": 13}
    counters = books.door.counters()
    assert counters["requests"]["batch"] == 1
    assert counters["batchItems"] == {"create": 1, "update": 1, "void": 2, "delete": 1, "query": 2}
    assert books.door.requests("batch")[0]["items"][:2] == ["create Invoice", "update Invoice"]


def test_one_item_s_fault_is_its_own(books: Books) -> None:
    result = answers(
        books,
        create("good", "B-1"),
        {"bId": "bad", "operation": "create", "Invoice": {}},
        {"bId": "stale", "operation": "delete", "Invoice": {"Id": "101", "SyncToken": "77"}},
        query("lost", "SELECT"),
        create("last", "B-2"),
    )
    assert [len(result[bid].get("Invoice", {})) > 0 for bid in ("good", "last")] == [True, True]
    errors = result["bad"]["Fault"]["Error"]
    assert [error["element"] for error in errors] == ["Line", "CustomerRef"]
    assert fault(result["stale"]) == ("5010", "ValidationFault")
    assert fault(result["lost"]) == ("4000", "ValidationFault")
    assert len(books.door.invoices("B-1") + books.door.invoices("B-2")) == 2


def test_items_run_one_after_another(books: Books) -> None:
    books.door.switch(duplicateDocCheck=True)
    update = {"Id": "103", "SyncToken": books.read("Invoice", "103")["SyncToken"], "sparse": True}
    result = answers(
        books,
        create("a", "same"),
        create("b", "same"),
        {**create("c", "same"), "optionsData": "allowduplicatedocnum"},
        {"bId": "d", "operation": "update", "Invoice": update},
        {"bId": "e", "operation": "update", "Invoice": update},
    )
    assert fault(result["b"]) == ("6140", "ValidationFault")
    assert [bid for bid, item in result.items() if "Invoice" in item] == ["a", "c", "d"]
    assert fault(result["e"]) == ("5010", "ValidationFault")


@pytest.mark.parametrize(("order", "bids"), [("asSent", ["a", "b"]), ("reversed", ["b", "a"])])
def test_answers_come_in_an_order_of_their_own(books: Books, order: str, bids: list[str]) -> None:
    books.door.switch(batchAnswers=order)
    result = answers(books, create("a", "B-1"), create("b", "B-2"))
    assert list(result) == bids
    assert [result[bid]["Invoice"]["DocNumber"] for bid in ("a", "b")] == ["B-1", "B-2"]


def test_items_take_their_time_one_after_another() -> None:
    each = timedelta(seconds=40)
    simulator = ThreadedSimulator(SimulatorOptions(profile=Profile.UNLIMITED, latency=Latency(each, each)))
    books = Books(simulator)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send, books, *(create(str(number), "B") for number in range(3)))
        _until(lambda: bool(books.door.requests("batch")))
        books.door.advance(60)  # one item would have been done after 28 s
        assert books.door.counters()["batchItems"] == {}
        books.door.advance(30)
        _until(lambda: books.door.counters()["batchItems"] == {"create": 3})
        books.door.advance(40)
        assert answer.result(timeout=10).status_code == 200
    books.close()
    simulator.stop()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize(("sees", "found"), [(False, {}), (True, {"maxResults": 1})])
def test_a_query_sees_what_the_batch_did_or_not(books: Books, *, sees: bool, found: Entity) -> None:
    books.door.switch(batchSeesItself=sees, queryTotalCount=False)
    statement = "SELECT * FROM Invoice WHERE DocNumber = 'B-1'"
    result = answers(books, create("c", "B-1"), query("q", statement))
    assert {"maxResults": result["q"]["QueryResponse"].get("maxResults")} == (found or {"maxResults": None})
    assert answers(books, query("q", statement))["q"]["QueryResponse"]["maxResults"] == 1


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"bId": "x", "operation": "create", "Bill": {}}, "500"),
        ({"bId": "x", "operation": "create", "Preferences": {}}, "500"),
        ({"bId": "x", "operation": "void", "Invoice": {"Id": "101"}}, "500"),
        ({"bId": "x", "operation": 7, "Invoice": {}}, "500"),
        ({"bId": "x", "operation": ["create"], "Invoice": {}}, "500"),
        ({"bId": "x", "Invoice": {}}, "2020"),
        ({"bId": "x", "operation": "create"}, "2020"),
        ({"bId": "x", "operation": "create", "Invoice": {}, "Customer": {}}, "2020"),
        ({"bId": "x", "operation": "update", "Invoice": {"SyncToken": "0"}}, "2020"),
        ({"bId": "x", "operation": "update", "Invoice": {"Id": "99999", "SyncToken": "0"}}, "610"),
    ],
)
def test_an_item_that_makes_no_sense(books: Books, item: Entity, code: str) -> None:
    result = answers(books, item, create("good", "B-1"))
    assert fault(result["x"])[0] == code
    assert "Invoice" in result["good"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "2020"),
        ({"BatchItemRequest": []}, "2020"),
        ({"BatchItemRequest": {}}, "2010"),
        ({"BatchItemRequest": [1]}, "2010"),
        ({"BatchItemRequest": [{"bId": "x", "operation": "create", "Invoice": 1}]}, "2010"),
        ({"BatchItemRequest": [{"bId": "x", "operation": "create", "invoice": {}}]}, "2010"),
        ({"BatchItemRequests": []}, "2010"),
        ([], "2010"),
    ],
)
def test_a_batch_that_is_none(books: Books, body: Any, code: str) -> None:
    assert refused(books.post("batch", body)) == code


def test_an_item_without_a_bid_is_answered_without(books: Books) -> None:
    (item,) = decoded(send(books, {"Query": "SELECT count(*) FROM Item"}))["BatchItemResponse"]
    assert list(item) == ["QueryResponse"]
    assert list(answers(books, {"bId": 7, "Query": "SELECT count(*) FROM Item"})) == ["7"]


@pytest.mark.parametrize("limit", [30, 25, 50])
def test_so_many_items_and_no_more(books: Books, limit: int) -> None:
    books.door.switch(maxBatchItems=limit)
    items = [query(str(number), "SELECT count(*) FROM Item") for number in range(limit + 1)]
    assert refused(send(books, *items)) == "1040"
    assert len(answers(books, *items[:-1])) == limit


@pytest.mark.parametrize("whole", [False, True])
def test_an_unknown_field_spoils_an_item_or_the_batch(books: Books, *, whole: bool) -> None:
    books.door.switch(batchUnknownField="whole" if whole else "item")
    response = send(books, create("good", "B-1"), create("bad", "B-2", BadJson=True))
    if whole:
        assert refused(response) == "2010"
    else:
        assert fault({"Fault": decoded(response)["BatchItemResponse"][1]["Fault"]})[0] == "2010"
    assert len(books.door.invoices("B-1")) == int(not whole)


# Limits and meters


def test_batches_have_limits_of_their_own(books: Books) -> None:
    books.door.switch(limitBatches=2)
    item = query("q", "SELECT count(*) FROM Item")
    assert [send(books, item).status_code for _ in range(3)] == [200, 200, 429]
    assert books.client.get("customer/1").status_code == 200
    books.door.switch(limitBatches=0, limitBatchesCompany=2)
    assert send(books, item).status_code == 429
    books.door.advance(60)
    assert send(books, item).status_code == 200


def test_each_item_is_metered_as_a_call(books: Books) -> None:
    books.door.switch(monthlyReadQuota=2)
    items = [query(str(number), "SELECT count(*) FROM Item") for number in range(3)]
    result = answers(books, *items, query("bad", "SELECT"), create("c", "B-1"))
    assert books.door.counters()["meteredReads"] == 2
    assert fault(result["2"]) == ("3001", "SERVICE")
    assert "Invoice" in result["c"]


# requestid


def test_a_repeated_item_is_an_unexpected_error(books: Books) -> None:
    path, items = "batch?requestid=r-1", (create("1", "B-1"), create("2", "B-2"))
    answers(books, *items, path=path)
    again = answers(books, *items, create("3", "B-3"), path=path)
    assert fault(again["1"]) == fault(again["2"]) == ("6000", "ValidationFault")
    assert "Please wait a few minutes" in again["1"]["Fault"]["Error"][0]["Detail"]
    assert "Invoice" in again["3"]
    assert [len(books.door.invoices(f"B-{number}")) for number in (1, 2, 3)] == [1, 1, 1]
    assert books.door.counters()["replays"] == 2


def test_or_it_is_answered_as_before(books: Books) -> None:
    books.door.switch(batchReplay="replay")
    first = answers(books, create("1", "B-1"), path="batch?requestid=r-1")
    assert answers(books, create("1", "B-9"), path="batch?requestid=r-1") == first


@pytest.mark.parametrize("switches", [{"batchReplay": "runAgain"}, {"requestidMemory": "forget"}])
def test_or_it_runs_again(books: Books, switches: dict[str, str]) -> None:
    books.door.switch(**switches)
    for _ in range(2):
        answers(books, create("1", "B-1"), path="batch?requestid=r-1")
    assert len(books.door.invoices("B-1")) == 2


def test_or_it_is_a_duplicate_request(books: Books) -> None:
    books.door.switch(requestidMemory="fault600")
    answers(books, create("1", "B-1"), path="batch?requestid=r-1")
    assert fault(answers(books, create("1", "B-1"), path="batch?requestid=r-1")["1"])[0] == "600"


def test_requestid_and_bid_are_one_id_together(books: Books) -> None:
    result = answers(
        books, create("x" * 36, "B-1"), create("y" * 11, "B-2"), path=f"batch?requestid={'r' * 32}"
    )
    detail = result["x" * 36]["Fault"]["Error"][0]["Detail"]
    assert "more than 50 characters in the request_id field" in detail
    assert "which is 68 characters" in detail
    assert fault(result["y" * 11])[0] == "6000"
    assert fault(answers(books, create("z", "B-3"), path=f"batch?requestid={'r' * 37}")["z"])[0] == "6000"
    assert "Invoice" in answers(books, create("z" * 10, "B-4"), path=f"batch?requestid={'r' * 36}")["z" * 10]
    assert "Invoice" in answers(books, create("x" * 36, "B-5"))["x" * 36]
    assert sum(len(books.door.invoices(f"B-{number}")) for number in (1, 2, 3)) == 0


# Faults on demand


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ({"status": 401}, ("3200", "AUTHENTICATION")),
        ({"fault": "3200"}, ("3200", "AUTHENTICATION")),
        ({"status": 403}, ("3100", "SERVICE")),
        ({"fault": "3001"}, ("3001", "SERVICE")),
        ({"status": 503}, ("10000", "SystemFault")),
        ({"status": 400}, ("6000", "ValidationFault")),
        ({"fault": "6210"}, ("6210", "ValidationFault")),
        ({"fault": {"code": "7", "type": "T"}}, ("7", "T")),
    ],
)
@pytest.mark.parametrize("commit", [False, True])
def test_a_rule_for_the_items_of_batches(
    books: Books, effect: Entity, expected: tuple[str, str], *, commit: bool
) -> None:
    match = {"operation": "create", "entity": "Invoice", "inBatch": True, "nth": 2}
    books.door.fault(match, {**effect, "commit": commit})
    books.create("Invoice", minimal_invoice())
    result = answers(books, create("1", "B-1"), create("2", "B-2"), create("3", "B-3"))
    assert fault(result["2"]) == expected
    assert [len(books.door.invoices(f"B-{number}")) for number in (1, 2, 3)] == [1, int(commit), 1]


@pytest.mark.parametrize(
    ("effect", "status"),
    [({}, 504), ({"status": 503}, 503), ({"fault": "3001"}, 429), ({"drop": "after"}, None)],
)
def test_a_batch_that_breaks_in_the_middle(books: Books, effect: Entity, status: int | None) -> None:
    books.door.fault({"operation": "batch"}, {"commitItems": 2, **effect})
    items = [create(str(number), f"B-{number}") for number in range(4)]
    if status is None:
        with pytest.raises(httpx2.ReadError):
            send(books, *items)
    else:
        assert send(books, *items, path="batch?requestid=r").status_code == status
    assert [len(books.door.invoices(f"B-{number}")) for number in range(4)] == [1, 1, 0, 0]
    if status is not None:
        again = answers(books, *items, path="batch?requestid=r")
        assert ["Fault" in again[str(number)] for number in range(4)] == [True, True, False, False]


def test_items_fail_at_random_in_hostile_weather(books: Books) -> None:
    books.door.switch(batchItemFaults=0.3)
    seen = set()
    for _ in range(4):
        result = answers(books, *(create(str(number), "B") for number in range(30)))
        seen |= {fault(item) for item in result.values() if "Fault" in item}
    assert seen == {
        ("3200", "AUTHENTICATION"),
        ("3001", "SERVICE"),
        ("10000", "SystemFault"),
        ("6000", "ValidationFault"),
    }
    books.door.switch(batchItemFaults=0)
    assert "Invoice" in answers(books, create("1", "B"))["1"]
