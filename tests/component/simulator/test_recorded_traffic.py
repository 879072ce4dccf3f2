"""Recorded traffic of the real QuickBooks, replayed: status, headers, shape and meaning of each answer.

Accepted differences are listed here, each with its reason; everything else fails the test.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .conftest import Books, ThreadedSimulator

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "quickbooks"
EXCHANGES = [
    ("create__invoice", 0),
    ("create__customer", 0),
    ("misc__ampersand", 0),
    ("get__id", 0),
    ("get__display_name", 0),
    ("get__inactive_vendors", 0),
    ("all__customers", 0),
    ("all__customers", 1),
    ("all__alt_select", 0),
    ("all__alt_select", 1),
    ("error__400", 0),
    ("error__400", 1),
    ("error__400_json", 0),
    ("error__401", 0),
    ("error__500", 0),
    ("error__500", 1),
    ("error__validation", 0),
    ("void__invoice", 0),
    ("delete__invoice", 0),
]

# Header names of the recording that our answers need not have.
ACCEPTED_HEADERS = {
    "connection": "hop by hop; our connections stay open without saying so",
    "x-content-type-options": "2022 only; the edge of that year",
    "x-xss-protection": "2022 only; the edge of that year",
    "x-envoy-upstream-service-time": "2022 only; the edge of that year",
}

# Paths of the shape (lists as []) at which ours may differ, in any exchange.
ACCEPTED_SHAPES = {
    "QueryResponse.totalCount": "part of the answer since 2026 (switch queryTotalCount)",
    "QueryResponse.Customer[].Level": "sub-customers: none in the recorded rows, which were cut to eight",
    "QueryResponse.Customer[].ParentRef": "sub-customers: none in the recorded rows, which were cut to eight",
    "QueryResponse.Customer[].DefaultTaxCodeRef": "in recorded customers of 2015 only some have it",
}


class Exchange:
    """One recorded request and its answer."""

    def __init__(self, name: str, position: int) -> None:
        self.name = name
        record = json.loads((RECORDED / "minimul-qbo_api" / f"{name}.json").read_text())[position]
        self.method: str = record["request"]["method"]
        # The author of the recording redacted the realm, and in some the whole step before it.
        path = record["request"]["uri"].partition("/v3/")[2]
        self.path: str = path.removeprefix("company/-COMPANY_ID-/")
        self.body = record["request"]["body"]
        self.status: int = record["response"]["status"]
        self.headers = {
            header.lower().replace("intuit-tid", "intuit_tid") for header in record["response"]["headers"]
        }
        self.content_type: str = record["response"]["headers"]["Content-Type"]
        self.answer: Any = record["response"]["body"]

    def replay(self, books: Books) -> httpx2.Response:
        """The same request to our company."""
        return books.client.request(self.method, self.path, json=self.body)


def shape(value: Any, path: str = "") -> dict[str, set[str]]:
    """Every path of a document with the kinds of values found there."""
    found: dict[str, set[str]] = {}
    for where, kind in _walk(value, path):
        found.setdefault(where, set()).add(kind)
    return found


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        yield path, "object"
        for name, content in value.items():
            yield from _walk(content, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield path, "list"
        for entry in value:
            yield from _walk(entry, f"{path}[]")
    elif isinstance(value, bool):
        yield path, "bool"
    elif isinstance(value, (int, float)):
        yield path, "number"
    else:
        yield path, "null" if value is None else "string"


def always(value: Any, path: str = "") -> set[str]:
    """The paths that are there in every row of every list on the way."""
    if isinstance(value, Mapping):
        found = {path}
        for name, content in value.items():
            found |= always(content, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, list) and value:
        return {path} | set.intersection(*(always(entry, f"{path}[]") for entry in value))
    return {path}


def differences(recorded: Any, ours: Any) -> list[str]:
    """Where the shapes differ: what all recorded rows have and ours lack, what none has, other kinds of values."""
    theirs, mine = shape(recorded), shape(ours)
    found = [f"missing {path}" for path in always(recorded) if path not in mine]
    found += [f"unheard of {path}" for path in mine if path not in theirs]
    found += [
        f"{path} is {mine[path]}, not {kinds}"
        for path, kinds in theirs.items()
        if path in mine and mine[path] - kinds
    ]
    return sorted(each for each in found if not _accepted(each))


def _accepted(difference: str) -> bool:
    path = difference.rpartition(" ")[2]
    return any(
        path == known or path.startswith(f"{known}.") or path.endswith(f".{known}")
        for known in ACCEPTED_SHAPES
    )


@pytest.fixture
def books(simulator: ThreadedSimulator) -> Iterator[Books]:
    """As the recorded company was: QuickBooks numbers the invoices."""
    view = Books(simulator, simulator.realm(preferences={"SalesFormsPrefs": {"CustomTxnNumbers": False}}))
    yield view
    view.close()


def played(exchange: Exchange, books: Books) -> httpx2.Response:
    """The exchange, with what went before it in the recording."""
    if exchange.name == "error__401":
        books.door.advance(3600)
    if exchange.name in {"void__invoice", "delete__invoice"}:
        made = Exchange("create__invoice", 0).replay(books).json()["Invoice"]
        exchange.path = f"invoice/{made['Id']}"
    return exchange.replay(books)


@pytest.mark.parametrize(("name", "position"), EXCHANGES)
def test_status_headers_and_shape(books: Books, name: str, position: int) -> None:
    exchange = Exchange(name, position)
    response = played(exchange, books)
    assert response.status_code == exchange.status, response.text
    assert response.headers["content-type"] == exchange.content_type
    assert exchange.headers - set(response.headers) - set(ACCEPTED_HEADERS) == set()
    assert differences(exchange.answer, response.json()) == []


# Meaning. What differs by nature: ids, numbers, times, and what depends on them.


def test_the_recorded_invoice_is_made_again_word_for_word(books: Books) -> None:
    exchange = Exchange("create__invoice", 0)
    ours, theirs = exchange.replay(books).json()["Invoice"], exchange.answer["Invoice"]
    by_nature = {"Id", "MetaData", "DocNumber", "TxnDate", "DueDate", "BillAddr", "ShipAddr"}
    assert {name: value for name, value in ours.items() if name not in by_nature} == {
        name: value for name, value in theirs.items() if name not in by_nature
    }
    assert list(ours) == list(theirs)
    for each in (ours, theirs):
        assert date.fromisoformat(each["DueDate"]) - date.fromisoformat(each["TxnDate"]) == timedelta(days=30)
        assert each["DocNumber"].isdigit()
        assert each["MetaData"]["CreateTime"] == each["MetaData"]["LastUpdatedTime"]
        assert each["BillAddr"]["Line1"] == "4581 Finch St."


def test_the_recorded_customer_is_made_again_word_for_word(books: Books) -> None:
    exchange = Exchange("create__customer", 0)
    ours, theirs = exchange.replay(books).json()["Customer"], exchange.answer["Customer"]
    by_nature = {"Id", "MetaData"}
    assert {name: value for name, value in ours.items() if name not in by_nature} == {
        name: value for name, value in theirs.items() if name not in by_nature
    }


@pytest.mark.parametrize(
    ("name", "position"), [("error__400", 1), ("error__500", 1), ("error__validation", 0), ("error__401", 0)]
)
def test_faults_have_the_recorded_words(books: Books, name: str, position: int) -> None:
    exchange = Exchange(name, position)
    ours, theirs = played(exchange, books).json(), exchange.answer
    if name == "error__401":
        (error,) = ours["fault"]["error"]
        (recorded,) = theirs["fault"]["error"]
        assert error["detail"] == f"Token expired: {books.grant['access_token']}"
        assert recorded["detail"].startswith("Token expired: AB01")
        assert {**error, "detail": ""} == {**recorded, "detail": ""}
        assert ours["fault"]["type"] == theirs["fault"]["type"]
    else:
        assert ours["Fault"] == theirs["Fault"]


def test_an_unknown_property_is_refused_in_the_recorded_words(books: Books) -> None:
    exchange = Exchange("error__400_json", 0)
    (ours,) = exchange.replay(books).json()["Fault"]["Error"]
    (theirs,) = exchange.answer["Fault"]["Error"]
    # The list of known properties is the schema's, in its own order, and of our schema's size.
    for each in (ours, theirs):
        head, _, listed = each["Detail"].partition(
            "(83 known properties" if each is theirs else " known properties"
        )
        assert head.startswith(
            'Property Name:Unrecognized field "BadJson" (class com.intuit.schema.finance.v3.Invoice)'
        )
        assert listed.endswith("[truncated]])\n specified is unsupported or invalid")
    assert (ours["code"], ours["Message"]) == (theirs["code"], theirs["Message"])


def test_an_unsupported_operation_names_the_path(books: Books) -> None:
    (ours,) = Exchange("error__500", 0).replay(books).json()["Fault"]["Error"]
    assert ours["code"] == "500"
    assert ours["Message"] == "Unsupported Operation"
    assert ours["Detail"].startswith(
        f"Operation Could not find resource for relative : /v3/company/{books.realm_id}/customer/1/5 of full path: https://"
    )


@pytest.mark.parametrize("name", ["misc__ampersand", "get__display_name"])
def test_the_recorded_query_finds_the_recorded_name(books: Books, name: str) -> None:
    exchange = Exchange(name, 0)
    ours, theirs = exchange.replay(books).json()["QueryResponse"], exchange.answer["QueryResponse"]
    entity = next(iter(theirs))
    assert [row["DisplayName"] for row in ours[entity]] == [row["DisplayName"] for row in theirs[entity]]
    assert (ours["startPosition"], ours["maxResults"]) == (theirs["startPosition"], theirs["maxResults"])


def test_counts_and_pages_mean_the_same(books: Books) -> None:
    assert Exchange("all__alt_select", 0).replay(books).json()["QueryResponse"] == {"totalCount": 6}
    page = Exchange("all__alt_select", 1).replay(books).json()["QueryResponse"]
    assert (page["startPosition"], page["maxResults"], len(page["Customer"])) == (1, 2, 2)
    names = [
        row["DisplayName"]
        for row in Exchange("all__customers", 1).replay(books).json()["QueryResponse"]["Customer"]
    ]
    assert names == sorted(names, key=str.casefold)


def test_inactive_rows_are_there_where_the_recording_has_them(books: Books) -> None:
    ours = Exchange("get__inactive_vendors", 0).replay(books).json()["QueryResponse"]["Vendor"]
    assert {row["Active"] for row in ours} == {True, False}


def test_a_void_and_a_delete_by_hand_are_the_recorded_ones(books: Books) -> None:
    made = Exchange("create__invoice", 0).replay(books).json()["Invoice"]
    path = f"/_simulator/invoices/{made['Id']}"
    voided = books.door.post(f"{path}/void?realmId={books.realm_id}")["Invoice"]
    recorded = Exchange("void__invoice", 1).answer["Invoice"]
    by_nature = {"Id", "MetaData", "DocNumber", "TxnDate", "DueDate", "BillAddr", "ShipAddr"}
    assert {name: value for name, value in voided.items() if name not in by_nature} == {
        name: value for name, value in recorded.items() if name not in by_nature
    }
    assert voided["DocNumber"] == made["DocNumber"]
    deleted = books.door.post(f"{path}/delete?realmId={books.realm_id}")["Invoice"]
    assert deleted == {**Exchange("delete__invoice", 1).answer["Invoice"], "Id": made["Id"]}


# OAuth


def form(books: Books, **headers: str) -> httpx2.Response:
    grant = books.grant
    return httpx2.post(
        f"{books.door.base_url}/oauth2/v1/tokens/bearer",
        data={"grant_type": "refresh_token", "refresh_token": headers.pop("value", grant["refresh_token"])},
        auth=(grant["client_id"], grant["client_secret"]),
        headers=headers,
        trust_env=False,
    )


def oauth_recording(name: str) -> Any:
    return json.loads((RECORDED / name).read_text())


def test_token_answers_have_intuit_s_shape_and_headers(books: Books) -> None:
    recorded = oauth_recording("oauth-jsclient/authResponse.json")
    ours = form(books)
    # No scope openid was asked for here, and then there is no id_token.
    assert set(recorded["json"]) - set(ours.json()) == {"id_token"}
    assert {name: ours.headers[name] for name in ("content-type", "cache-control", "pragma", "server")} == {
        name: recorded["response"]["headers"][name]
        for name in ("content-type", "cache-control", "pragma", "server")
    }
    hard = oauth_recording("oauth-jsclient/hard_expires_token_response.json")
    assert set(form(books, **{"x-include-refresh-token-hard-expires-in": "true"}).json()) == set(hard)
    assert (hard["expires_in"], hard["x_refresh_token_expires_in"]) == (
        ours.json()["expires_in"],
        ours.json()["x_refresh_token_expires_in"],
    )


def test_token_refusals_have_intuit_s_shape(books: Books) -> None:
    recorded = oauth_recording("oauth-jsclient/errorResponse.json")
    ours = form(books, value="RT1-nobody")
    assert ours.status_code == recorded["response"]["status"]
    assert set(ours.json()) == set(recorded["json"])
    assert ours.json()["error"] == recorded["json"]["error"]


def test_discovery_and_userinfo_have_intuit_s_fields(books: Books) -> None:
    base = books.door.base_url
    discovery = httpx2.get(f"{base}/.well-known/openid_configuration", trust_env=False).json()
    recorded = oauth_recording("dotnet-sdk/discovery.json")
    assert set(discovery) == set(recorded)
    for name in ("scopes_supported", "token_endpoint_auth_methods_supported", "claims_supported"):
        assert discovery[name] == recorded[name]
    headers = {"authorization": f"Bearer {books.grant['access_token']}"}
    person = httpx2.get(f"{base}/v1/openid_connect/userinfo", headers=headers, trust_env=False).json()
    assert differences(oauth_recording("dotnet-sdk/success_userinfo_response.json"), person) == []


def test_the_comparison_itself_can_fail() -> None:
    recorded = {"Invoice": {"Id": "1", "Line": [{"Amount": 1.0, "Id": "1"}, {"Amount": 0}]}}
    assert differences(recorded, recorded) == []
    assert differences(recorded, {"Invoice": {"Id": 1, "Line": [{"Amount": 1, "New": True}]}}) == [
        "Invoice.Id is {'number'}, not {'string'}",
        "unheard of Invoice.Line[].New",
    ]
    assert differences(recorded, {"Invoice": {"Line": [{"Id": "1"}]}}) == [
        "missing Invoice.Id",
        "missing Invoice.Line[].Amount",
    ]
