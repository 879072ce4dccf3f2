"""Update, void, delete, send, batch and change data capture: what goes out, and what an answer means."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from qbsync.quickbooks import errors
from qbsync.quickbooks.batch import MOST_ITEMS, BatchItem
from qbsync.quickbooks.entities import Entity
from unit.quickbooks.scripted import Company, answer, company, fault, faults, recorded


def nothing() -> None:
    """A `before_send` that has no objection."""


async def update(there: Company) -> Entity:
    body = {"Id": "68", "SyncToken": "0", "DisplayName": "Jack Moe"}
    return await there.client.update("Customer", body, requestid="r2", before_send=nothing)


async def void(there: Company) -> Entity:
    return await there.client.void("Invoice", "264", "0", requestid="r3", before_send=nothing)


async def delete(there: Company) -> Entity:
    return await there.client.delete("Invoice", "266", "0", requestid="r4", before_send=nothing)


async def send(there: Company) -> Entity:
    return await there.client.send("Invoice", "26/6", requestid="r5", before_send=nothing)


async def test_an_update_is_sparse() -> None:
    there = company(recorded("update__customer", 1))
    changed = await update(there)
    (request,) = there.transport.requests
    url = urlsplit(request.url)
    assert (request.method, url.path) == ("POST", "/v3/company/9130347596842384/customer")
    assert parse_qs(url.query) == {"minorversion": ["75"], "requestid": ["r2"]}
    assert json.loads(request.body) == {
        "Id": "68",
        "SyncToken": "0",
        "DisplayName": "Jack Moe",
        "sparse": True,
    }
    assert changed["DisplayName"] == "Jack Moe"
    assert there.observer.seen[0]["operation"] == "update"


async def test_void_and_delete_are_posts_with_an_operation() -> None:
    there = company(recorded("void__invoice", 1), recorded("delete__invoice", 1))
    voided, deleted = await void(there), await delete(there)
    urls = [urlsplit(request.url) for request in there.transport.requests]
    assert [parse_qs(url.query)["operation"] for url in urls] == [["void"], ["delete"]]
    assert json.loads(there.transport.requests[0].body) == {"Id": "264", "SyncToken": "0"}
    assert (voided["TotalAmt"], voided["PrivateNote"]) == (0, "Voided")
    assert (deleted["status"], deleted["Id"]) == ("Deleted", "266")


async def test_send_has_no_body_and_quotes_the_id() -> None:
    there = company(answer({"Invoice": {"Id": "26/6", "EmailStatus": "EmailSent"}}))
    await send(there)
    (request,) = there.transport.requests
    assert urlsplit(request.url).path.endswith("/invoice/26%2F6/send")
    assert (request.body, request.headers["content-type"]) == (b"", "application/octet-stream")


@pytest.mark.parametrize("write", [update, void, delete, send])
async def test_what_before_send_raises_keeps_a_write_at_home(
    write: Callable[[Company], Awaitable[Entity]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def objection() -> None:
        raise RuntimeError("not now")

    there = company()
    monkeypatch.setitem(globals(), "nothing", objection)
    with pytest.raises(RuntimeError, match="not now"):
        await write(there)
    assert there.transport.requests == []


@pytest.mark.parametrize("write", [update, void, delete])
async def test_a_stale_sync_token_is_a_conflict_and_changed_nothing(
    write: Callable[[Company], Awaitable[Entity]],
) -> None:
    with pytest.raises(errors.Rejected) as refused:
        await write(company(fault("5010", message="Stale Object Error")))
    assert refused.value.code == "5010"
    assert refused.value.definite


# -- batch --------------------------------------------------------------------------------------------------


def items(count: int = 2) -> list[BatchItem]:
    return [BatchItem(f"b{n}", "Invoice", {"DocNumber": f"INV-{n}"}) for n in range(count)]


def batch_answer(*parts: object) -> Company:
    return company(answer({"BatchItemResponse": list(parts), "time": "2020-09-29T08:13:20.483-07:00"}))


async def test_a_batch_finds_its_items_by_bid() -> None:
    there = batch_answer(
        {**faults({"Message": "m", "Detail": "d", "code": "2500"}), "bId": "b1"},
        {"Invoice": {"Id": "77", "SyncToken": "0"}, "bId": "b0"},
    )
    outcomes = await there.client.batch(items)
    created, refused = outcomes["b0"], outcomes["b1"]
    assert isinstance(created, Entity)
    assert (created["Id"], created.intuit_tid) == ("77", "1-5f733c5a-55d0ff60")
    assert isinstance(refused, errors.Rejected)
    assert refused.definite
    sent = json.loads(there.transport.requests[0].body)
    assert sent == {
        "BatchItemRequest": [
            {"bId": f"b{n}", "operation": "create", "Invoice": {"DocNumber": f"INV-{n}"}} for n in range(2)
        ]
    }


async def test_the_recorded_batch_is_understood() -> None:
    there = company(recorded("batch__basic"))
    asked = [BatchItem("bid1", "Vendor", {}), BatchItem("bid2", "Invoice", {})]
    outcomes = await there.client.batch(lambda: asked)
    vendor, invoice = outcomes["bid1"], outcomes["bid2"]
    assert isinstance(vendor, Entity)
    assert vendor["DisplayName"] == "Boraski Family Store"
    assert isinstance(invoice, errors.Rejected)
    assert invoice.code == "610"


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(None, id="missing"),
        pytest.param({"bId": "b0"}, id="empty"),
        pytest.param({"bId": "b0", "Invoice": {"SyncToken": "0"}}, id="without an id"),
        pytest.param(
            {"bId": "b0", "Invoice": {"Id": "1"}, **faults({"code": "2020"})}, id="object and fault at once"
        ),
        pytest.param(
            {"bId": "b0", **faults({"code": "6000", "Detail": "unexpected error … wait a few minutes"})},
            id="a fault that proves nothing",
        ),
        pytest.param({"bId": "b0", **faults({"code": "3001"}, kind="SERVICE")}, id="throttled"),
    ],
)
async def test_an_item_without_a_clear_answer_is_unknown(part: object) -> None:
    outcomes = await batch_answer(*([part] if part else [])).client.batch(lambda: items(1))
    outcome = outcomes["b0"]
    assert isinstance(outcome, errors.QuickBooksError)
    assert errors.outcome_unknown(outcome)


async def test_an_item_answered_twice_is_unknown() -> None:
    part = {"bId": "b0", "Invoice": {"Id": "1"}}
    outcome = (await batch_answer(part, part).client.batch(lambda: items(1)))["b0"]
    assert isinstance(outcome, errors.ServerFailure)


async def test_an_item_refused_at_the_door_was_not_executed() -> None:
    part = {"bId": "b0", **faults({"code": "3200", "Detail": "Token expired: abc"}, kind="AUTHENTICATION")}
    outcome = (await batch_answer(part).client.batch(lambda: items(1)))["b0"]
    assert isinstance(outcome, errors.Unauthorized)
    assert not errors.outcome_unknown(outcome)
    assert "abc" not in f"{outcome} {outcome.detail}"


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        items(MOST_ITEMS + 1),
        [items(1)[0], items(1)[0]],
        [BatchItem("x" * 11, "Invoice", {})],
        [BatchItem("", "Invoice", {})],
    ],
)
async def test_a_batch_that_intuit_would_refuse_is_not_sent(wrong: list[BatchItem]) -> None:
    there = company()
    with pytest.raises(ValueError, match="batch"):
        await there.client.batch(lambda: wrong)


async def test_a_batch_is_composed_anew_when_it_is_repeated_with_another_token() -> None:
    there = company(
        recorded("error__401"),
        answer({"BatchItemResponse": [{"Invoice": {"Id": "77", "SyncToken": "0"}, "bId": "b1"}]}),
    )
    left = items(2)

    def compose() -> list[BatchItem]:
        said = list(left)
        left.pop(0)
        return said

    outcomes = await there.client.batch(compose)
    sent = [json.loads(request.body)["BatchItemRequest"] for request in there.transport.requests]
    assert [[item["bId"] for item in batch] for batch in sent] == [["b0", "b1"], ["b1"]]
    assert list(outcomes) == ["b1"]


async def test_what_composing_a_batch_raises_keeps_it_at_home() -> None:
    def compose() -> list[BatchItem]:
        raise RuntimeError("not now")

    there = company()
    with pytest.raises(RuntimeError, match="not now"):
        await there.client.batch(compose)
    assert there.transport.requests == []


# -- change data capture --------------------------------------------------------------------------------------

SINCE = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


async def test_the_recorded_changes_are_understood() -> None:
    there = company(recorded("cdc__basic"))
    found = await there.client.changes(["Estimate", "Invoice"], since=SINCE)
    url = urlsplit(there.transport.requests[0].url)
    assert url.path == "/v3/company/9130347596842384/cdc"
    assert parse_qs(url.query) == {
        "minorversion": ["75"],
        "entities": ["Estimate,Invoice"],
        "changedSince": ["2026-11-22T06:00:00+00:00"],
    }
    assert {row["Id"] for row in found.rows["Estimate"]} >= {"48"}
    assert found.complete
    assert found.time.tzinfo is not None
    assert there.observer.seen[0]["metered"] is True


def changed(*parts: object) -> Company:
    return company(
        answer({"CDCResponse": [{"QueryResponse": list(parts)}], "time": "2026-11-22T22:00:00.5-08:00"})
    )


async def test_deleted_objects_are_told_apart() -> None:
    rows = [
        {"Id": "1", "SyncToken": "3", "Balance": Decimal("0")},
        {"domain": "QBO", "status": "Deleted", "Id": "2", "MetaData": {}},
    ]
    found = await changed(
        {"Invoice": json.loads(json.dumps(rows, default=str)), "startPosition": 1}, {}
    ).client.changes(["Invoice"], since=SINCE)
    assert [row["Id"] for row in found.rows["Invoice"]] == ["1"]
    assert found.deleted == {"Invoice": frozenset({"2"})}
    assert found.time == datetime(2026, 11, 23, 6, 0, 0, 500_000, tzinfo=UTC)


async def test_a_thousand_changes_may_be_a_part() -> None:
    rows = [{"Id": str(n)} for n in range(1000)]
    assert not (await changed({"Invoice": rows}).client.changes(["Invoice"], since=SINCE)).complete
    assert (await changed({"Invoice": rows[:-1]}).client.changes(["Invoice"], since=SINCE)).complete


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"CDCResponse": [], "time": None},
        {"CDCResponse": {}, "time": "2026-11-22T22:00:00-08:00"},
        {"CDCResponse": [{"QueryResponse": {"Invoice": []}}], "time": "2026-11-22T22:00:00-08:00"},
        {"CDCResponse": [{"QueryResponse": [faults({"code": "5000"})]}], "time": "2026-11-22T22:00:00-08:00"},
        {"CDCResponse": [{"QueryResponse": [{"Invoice": ["1"]}]}], "time": "2026-11-22T22:00:00-08:00"},
    ],
)
async def test_changes_in_another_shape_prove_nothing(body: object) -> None:
    with pytest.raises(errors.IncompleteAnswer):
        await company(answer(body)).client.changes(["Invoice"], since=SINCE)
