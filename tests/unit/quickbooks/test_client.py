"""The calls to one company: what goes out, what comes back, and what happens in between."""

import asyncio
import json
import traceback
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import settle
from qbsync.quickbooks import errors
from qbsync.quickbooks.client import AccessToken
from qbsync.quickbooks.entities import parse_invoice
from qbsync.quickbooks.transport import HttpRequest, HttpResponse
from unit.quickbooks.scripted import TOKEN, Company, answer, company, fault, recorded, rows

BODY = {"CustomerRef": {"value": "1"}, "Line": [{"Amount": Decimal("1861.10")}]}


def nothing() -> None:
    """A `before_send` that has no objection."""


async def create(there: Company, requestid: str = "r1") -> dict[str, object]:
    return await there.client.create("Invoice", BODY, requestid=requestid, before_send=nothing)


async def test_query_goes_out_as_recorded() -> None:
    there = company(recorded("get__display_name"))
    found = await there.client.query("SELECT * FROM Customer WHERE DisplayName = 'Amy\\'s é'")
    (request,) = there.transport.requests
    assert request.method == "POST"
    assert request.url == "https://quickbooks.example/v3/company/9130347596842384/query?minorversion=75"
    assert request.headers["content-type"] == "application/text"
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.body == "SELECT * FROM Customer WHERE DisplayName = 'Amy\\'s é'".encode()
    assert there.transport.timeouts == [timedelta(seconds=130)]
    assert (found.entity, found.start_position, found.max_results, found.total_count) == (
        "Customer",
        1,
        1,
        None,
    )
    assert found.rows[0]["DisplayName"] == "Amy's Bird Sanctuary"
    assert found.rows[0]["Balance"] == Decimal("739.0")
    assert found.intuit_tid == "1-5f732fa9-2d98d7943da647c34042bbf4"
    assert there.observer.seen == [
        {"operation": "query", "status": 200, "code": None, "seconds": 0.0, "metered": True}
    ]


async def test_read_quotes_the_id() -> None:
    there = company(recorded("get__id"))
    found = await there.client.read("Customer", "5/../6")
    assert urlsplit(there.transport.requests[0].url).path.endswith("/customer/5%2F..%2F6")
    assert found["DisplayName"] == "Dukes Basketball Camp"
    assert found.intuit_tid == "1-5f732fa0-904c9f2c48d92e264a539496"


async def test_create_sends_exact_numbers_and_its_requestid() -> None:
    there = company(recorded("create__invoice"))
    created = await create(there, "a" * 50)
    (request,) = there.transport.requests
    url = urlsplit(request.url)
    assert (request.method, url.path) == ("POST", "/v3/company/9130347596842384/invoice")
    assert parse_qs(url.query) == {"minorversion": ["75"], "requestid": ["a" * 50]}
    assert request.headers["content-type"] == "application/json"
    assert b'"Amount":1861.10' in request.body
    assert parse_invoice(created).id == "266"
    assert there.observer.seen[0]["metered"] is False


async def test_company_info_and_preferences() -> None:
    preferences = {
        "SalesFormsPrefs": {"CustomTxnNumbers": True},
        "CurrencyPrefs": {"HomeCurrency": {"value": "CAD"}},
    }
    there = company(
        answer({"CompanyInfo": {"CompanyName": "Bakery", "Country": "US"}}),
        answer({"Preferences": preferences}),
    )
    info = await there.client.company_info()
    found = await there.client.preferences()
    assert (info.name, info.country, info.legal_name) == ("Bakery", "US", None)
    assert (found.custom_transaction_numbers, found.home_currency, found.multicurrency) == (
        True,
        "CAD",
        False,
    )
    paths = [urlsplit(request.url).path for request in there.transport.requests]
    assert [path.split("9130347596842384/")[1] for path in paths] == [
        "companyinfo/9130347596842384",
        "preferences",
    ]
    assert [call["operation"] for call in there.observer.seen] == ["company_info", "preferences"]


@pytest.mark.parametrize("requestid", ["", "x" * 51])
async def test_a_requestid_that_quickbooks_would_not_keep_is_refused(requestid: str) -> None:
    with pytest.raises(ValueError, match="requestid"):
        await create(company(), requestid)


async def test_a_401_refreshes_once_and_repeats_the_same_request() -> None:
    there = company(recorded("error__401"), recorded("create__invoice"))
    before = []
    await there.client.create("Invoice", BODY, requestid="r1", before_send=lambda: before.append(1))
    first, second = there.transport.requests
    assert there.tokens.rejections == [1]
    assert (first.url, first.body) == (second.url, second.body)
    assert first.headers["authorization"] != second.headers["authorization"]
    assert len(before) == 2
    assert [(call["status"], call["code"]) for call in there.observer.seen] == [(401, "3200"), (200, None)]


async def test_a_second_401_is_final() -> None:
    there = company(recorded("error__401"), recorded("error__401"))
    with pytest.raises(errors.Unauthorized) as caught:
        await there.client.query("SELECT * FROM Item")
    assert there.tokens.rejections == [1]
    assert caught.value.detail == "Token expired: [redacted]"


@pytest.mark.parametrize(
    ("response", "expected"),
    [(fault("3100", status=403), errors.WrongRealm), (fault("120", status=401), errors.AccessLost)],
)
async def test_lost_access_never_refreshes(response: HttpResponse, expected: type[Exception]) -> None:
    there = company(response)
    with pytest.raises(expected):
        await create(there)
    assert there.tokens.rejections == []


async def test_a_failed_refresh_propagates() -> None:
    there = company(recorded("error__401"))

    async def failing(token: object) -> None:
        raise errors.InvalidGrant("gone")

    there.tokens.rejected = failing  # type: ignore[method-assign]
    with pytest.raises(errors.InvalidGrant):
        await create(there)
    assert len(there.transport.requests) == 1


async def test_a_429_pauses_the_whole_company_for_a_minute() -> None:
    there = company(answer(raw=b"", status=429), recorded("get__id"))
    with pytest.raises(errors.Throttled):
        await create(there)
    later = asyncio.create_task(there.client.read("Customer", "5"))
    await there.clock.advance(timedelta(seconds=59.9))
    assert len(there.transport.requests) == 1
    await there.clock.advance(timedelta(seconds=0.2))
    assert (await later)["Id"] == "5"


@pytest.mark.parametrize(
    "failure",
    [errors.NotSent("not sent"), errors.NoAnswer("no answer"), fault("6140"), fault("x", status=503)],
)
async def test_nothing_else_is_repeated(failure: Exception | HttpResponse) -> None:
    there = company(failure)
    with pytest.raises(errors.QuickBooksError):
        await create(there)
    assert len(there.transport.requests) == 1
    status = failure.status if isinstance(failure, HttpResponse) else None
    assert [call["status"] for call in there.observer.seen] == [status]
    assert there.observer.seen[0]["metered"] is False


async def test_what_before_send_raises_propagates_and_nothing_was_sent() -> None:
    there = company()

    def objecting() -> None:
        raise LookupError("the lease is lost")

    with pytest.raises(LookupError, match="lease"):
        await there.client.create("Invoice", BODY, requestid="r1", before_send=objecting)
    assert there.transport.requests == []
    assert there.observer.seen == []


async def test_before_send_is_called_with_slot_and_token_in_hand() -> None:
    there = company(recorded("create__invoice"))
    there.limiter.pause(timedelta(seconds=60))
    called: list[float] = []
    task = asyncio.create_task(
        there.client.create(
            "Invoice", BODY, requestid="r1", before_send=lambda: called.append(there.clock.monotonic())
        )
    )
    await settle()
    there.tokens.sequence = 7
    await there.clock.advance(timedelta(seconds=61))
    await task
    assert called == [pytest.approx(60, abs=0.01)]
    assert there.transport.requests[0].headers["authorization"].endswith("-7")


async def test_a_token_that_has_to_be_refreshed_holds_no_slot() -> None:
    there = company(*[recorded("get__id")] * 10)
    gate = asyncio.Event()
    original = there.tokens.token

    async def slow() -> AccessToken:
        await gate.wait()
        return await original()

    there.tokens.token = slow  # type: ignore[method-assign]
    calls = [asyncio.create_task(there.client.read("Customer", "5")) for _ in range(10)]
    await settle()
    async with asyncio.timeout(1), there.limiter.slot():
        gate.set()
    await asyncio.gather(*calls)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Invoice": None},
        {"Invoice": []},
        {"Invoice": {}},
        {"Invoice": {"Id": ""}},
        {"Customer": {"Id": "1"}},
        {"time": "2020"},
    ],
)
async def test_a_good_answer_without_the_object_leaves_a_create_unknown(body: object) -> None:
    with pytest.raises(errors.ServerFailure) as caught:
        await create(company(answer(body)))
    assert errors.outcome_unknown(caught.value)


async def test_an_unreadable_created_invoice_is_unknown() -> None:
    created = await create(company(answer({"Invoice": {"Id": "1"}})))
    with pytest.raises(errors.IncompleteAnswer) as caught:
        parse_invoice(created)
    assert errors.outcome_unknown(caught.value)


@pytest.mark.parametrize(
    "shape", [{}, {"startPosition": 1, "maxResults": 0}, {"Invoice": None}, {"Invoice": []}]
)
async def test_known_shapes_without_rows(shape: dict[str, object]) -> None:
    found = await company(answer({"QueryResponse": shape, "time": "x"})).client.query("q")
    assert found.rows == ()


async def test_a_recorded_count() -> None:
    found = await company(recorded("all__alt_select")).client.query("SELECT count(*) FROM Customer")
    assert (found.total_count, found.rows) == (6, ())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"time": "x"},
        {"QueryResponse": None},
        {"QueryResponse": []},
        {"QueryResponse": "none"},
        {"QueryResponse": {"Invoice": {"Id": "1"}}},
        {"QueryResponse": {"Invoice": ["1"]}},
        {"QueryResponse": {"Invoice": [{"Id": "1"}], "Customer": []}},
        {"QueryResponse": {"note": "see other page"}},
    ],
)
async def test_odd_shapes_prove_nothing(body: object) -> None:
    with pytest.raises(errors.IncompleteAnswer):
        await company(answer(body)).client.query("q")


async def test_a_cancelled_call_is_cancelled_observed_and_frees_its_slot() -> None:
    forever = asyncio.Event()

    async def hanging(request: HttpRequest) -> HttpResponse:
        await forever.wait()
        raise AssertionError

    there = company(hanging, rows("Item"))
    task = asyncio.create_task(create(there))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert there.observer.seen[0]["status"] is None
    assert (await there.client.query("q")).rows == ()


async def test_reprs_hide_headers_and_bodies() -> None:
    there = company(recorded("create__invoice"))
    await create(there)
    shown = f"{there.transport.requests[0]!r} {recorded('error__401')!r} {await there.tokens.token()!r}"
    assert TOKEN not in shown
    assert "1861" not in shown
    assert "AB0160" not in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(TOKEN),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Fault", "fault", "Error", "code", "Message", "Detail", "QueryResponse", "Invoice", "Id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(
    status=st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 408, 429, 500, 503]),
    raw=st.binary(max_size=80) | JSON.map(lambda body: json.dumps(body).encode()),
    content_type=st.sampled_from(["application/json", "text/html", TOKEN, ""]),
)
def test_no_answer_ever_raises_anything_else_or_shows_the_token(
    status: int, raw: bytes, content_type: str
) -> None:
    async def told(call: str) -> str:
        response = answer(raw=raw, status=status, headers={"content-type": content_type, "intuit_tid": TOKEN})
        there = company(response, response)
        there.tokens.rejected = _same  # type: ignore[method-assign]
        try:
            if call == "query":
                await there.client.query("q")
            else:
                parse_invoice(await create(there))
        except errors.QuickBooksError as error:
            return f"{''.join(traceback.format_exception(error))} {vars(error)} {there.observer.seen}"
        return ""

    for call in ("query", "create"):
        assert TOKEN not in asyncio.run(told(call))


async def _same(token: object) -> None:
    """Ten parallel 401s cause one refresh; this one changes nothing."""
