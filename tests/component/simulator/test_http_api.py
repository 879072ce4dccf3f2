"""The accounting API over HTTP: envelopes, headers, gateway, limits, replay, query by GET and POST."""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from fixtures.simulator_server import minimal_invoice

from .conftest import Books, ThreadedSimulator, decoded

HOUR = 3600
SERVICE_HEADERS = {
    "intuit_tid",
    "x-spanid",
    "x-amzn-trace-id",
    "qbo-version",
    "service-time",
    "cache-control",
    "expires",
    "strict-transport-security",
    "server",
    "date",
    "content-type",
}


@pytest.fixture
def bare(simulator: ThreadedSimulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
        yield client


def test_create_answers_200_with_the_whole_object(books: Books) -> None:
    response = books.post("invoice?minorversion=75", minimal_invoice(DocNumber="A-1", PrivateNote="[mark]"))
    assert response.status_code == 200
    assert set(response.headers) >= SERVICE_HEADERS
    assert response.headers["content-type"] == "application/json;charset=utf-8"
    assert re.fullmatch(r"total=\d+, db=\d+", response.headers["service-time"])
    body = decoded(response)
    assert list(body) == ["Invoice", "time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-0[78]:00", body["time"])
    made = body["Invoice"]
    assert (made["DocNumber"], made["PrivateNote"], made["SyncToken"]) == ("A-1", "[mark]", "0")
    assert books.read("Invoice", made["Id"]) == made
    assert books.query("SELECT * FROM Invoice WHERE DocNumber = 'A-1'")["Invoice"] == [made]


def test_money_keeps_its_digits_on_the_way(books: Books) -> None:
    response = books.post("invoice", minimal_invoice(Decimal("1861.08")))
    assert b'"TotalAmt":1861.08,' in response.content
    assert b'"Amount":1861.08,' in response.content


@pytest.mark.parametrize("path", ["companyinfo/{realm}", "companyinfo/1", "preferences"])
def test_company_and_preferences(books: Books, path: str) -> None:
    body = decoded(books.client.get(path.format(realm=books.realm_id)))
    if path.startswith("company"):
        assert body["CompanyInfo"]["Country"] == "US"
    else:
        assert body["Preferences"]["SalesFormsPrefs"]["CustomTxnNumbers"] is True
        assert body["Preferences"]["TaxPrefs"]["UsingSalesTax"] is False


def test_they_can_be_queried_too(books: Books) -> None:
    assert len(books.query("select * from CompanyInfo")["CompanyInfo"]) == 1
    assert len(books.query("select * from Preferences")["Preferences"]) == 1


def test_customers_and_items_can_be_made(books: Books) -> None:
    customer = books.create(
        "Customer", {"DisplayName": "O'Hara & Sons", "PrimaryEmailAddr": {"Address": "o@x.org"}}
    )
    item = books.create("Item", {"Name": "Widget", "Type": "Service", "IncomeAccountRef": {"value": "1"}})
    made = books.create("Invoice", minimal_invoice(customer=customer["Id"], item=item["Id"]))
    assert made["CustomerRef"]["name"] == "O'Hara & Sons"
    assert (
        books.query("SELECT Id FROM Customer WHERE PrimaryEmailAddr = 'o@x.org'")["Customer"][0]["Id"]
        == customer["Id"]
    )
    assert books.query(r"SELECT Id FROM Customer WHERE DisplayName = 'O\'Hara & Sons'")["Customer"]


# Gateway


def fault_of(response: httpx2.Response) -> dict[str, Any]:
    body = response.json()
    assert list(body) == [
        "warnings",
        "intuitObject",
        "fault",
        "report",
        "queryResponse",
        "batchItemResponse",
        "attachableResponse",
        "syncErrorResponse",
        "requestId",
        "time",
        "status",
        "cdcresponse",
    ]
    assert isinstance(body["time"], int)
    (error,) = body["fault"]["error"]
    return {"type": body["fault"]["type"], **error}


def test_an_expired_token_is_quoted_in_the_401(books: Books) -> None:
    books.door.advance(HOUR)
    response = books.client.get("customer/1")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="Intuit", error="invalid_token"'
    assert response.headers["content-type"] == "application/json"
    assert fault_of(response) == {
        "type": "AUTHENTICATION",
        "message": "message=AuthenticationFailed; errorCode=003200; statusCode=401",
        "detail": f"Token expired: {books.grant['access_token']}",
        "code": "3200",
        "element": None,
    }


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, None),
        ("Basic eDp5", None),
        ("Bearer short", "Malformed bearer token: too short or too long"),
        ("Bearer " + "x" * 5000, "Malformed bearer token: too short or too long"),
        ("Bearer " + "x" * 100, "Token expired: " + "x" * 100),
    ],
)
def test_other_tokens_that_are_none(
    bare: httpx2.Client, simulator: ThreadedSimulator, header: str, detail: str
) -> None:
    headers = {} if header is None else {"authorization": header}
    response = bare.get(f"/v3/company/{simulator.realm_id}/customer/1", headers=headers)
    assert response.status_code == 401
    assert fault_of(response)["detail"] == detail


def test_a_token_is_for_one_company(books: Books, bare: httpx2.Client, simulator: ThreadedSimulator) -> None:
    other = simulator.realm()
    for realm in (other, "123"):
        response = bare.get(
            f"/v3/company/{realm}/customer/1",
            headers={"authorization": f"Bearer {books.grant['access_token']}"},
        )
        assert response.status_code == 403
        assert (
            fault_of(response)["message"]
            == "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403"
        )
        assert fault_of(response)["detail"] is None
    own = Books(simulator, other)
    assert own.read("Customer", "1")["Id"] == "1"
    own.close()


def test_an_old_access_token_works_on_after_a_refresh(books: Books, bare: httpx2.Client) -> None:
    grant = books.grant
    books.door.switch(rotateAlways=True)
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    for _ in range(2):  # the second one is a reuse, and revokes the family
        bare.post("/oauth2/v1/tokens/bearer", data=form, auth=(grant["client_id"], grant["client_secret"]))
    assert books.client.get("customer/1").status_code == 200
    books.door.advance(HOUR)
    assert books.client.get("customer/1").status_code == 401


# Requests that make no sense


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "customer/1/5", "500"),
        ("GET", "unicorn/1", "500"),
        ("GET", "Customer/1", "500"),
        ("GET", "", "500"),
        ("GET", "customer", "500"),
        ("PUT", "customer/1", "500"),
        ("DELETE", "invoice/101", "500"),
        ("PATCH", "invoice/101", "500"),
        ("POST", "Invoice", "500"),
        ("POST", "customer/1", "500"),
        ("POST", "cdc", "500"),
        ("GET", "batch", "500"),
        ("GET", "invoice/101/send", "500"),
        ("POST", "invoice/101/pdf", "500"),
        ("GET", "customer/1/pdf", "500"),
        ("POST", "customer/1/send", "500"),
        ("POST", "invoice?operation=erase", "500"),
        ("POST", "payment?operation=void", "500"),
        ("POST", "preferences?operation=delete", "500"),
        ("GET", "invoice/99999/pdf", "610"),
        ("POST", "invoice?operation=delete", "5010"),
        ("POST", "invoice?operation=void", "5010"),
        ("POST", "invoice?operation=update", "5010"),
        ("GET", "customer/1.5", "2030"),
        ("GET", "customer/abc", "2030"),
        ("GET", "customer/" + "9" * 30, "2030"),
        ("GET", "customer/99999", "610"),
        ("GET", "query", "4000"),
        ("GET", "query?query=SELECT", "4000"),
    ],
)
def test_each_nonsense_has_its_fault(books: Books, method: str, path: str, code: str) -> None:
    body = b'{"Id":"101","SyncToken":"0"}' if method in {"POST", "PUT"} else None
    response = books.client.request(method, path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json()["Fault"]["Error"][0]["code"] == code
    assert "qbo-version" not in response.headers
    assert "intuit_tid" in response.headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"Line":' + b"[" * 50000,
        b'{"Line":1e999999999}',
        b'"x"',
    ],
)
def test_a_body_that_is_none(books: Books, body: bytes) -> None:
    response = books.client.post("invoice", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["Fault"]["Error"][0]["code"] in {"2010", "2020"}


# Queries over HTTP


def test_get_and_post_and_every_way_to_write_a_blank(books: Books) -> None:
    wanted = books.query("SELECT * FROM Customer WHERE DisplayName = 'Cool Cars'")["Customer"]
    for path in (
        "query?query=SELECT%20*%20FROM%20Customer%20WHERE%20DisplayName%20=%20%27Cool%20Cars%27&minorversion=75",
        "query?query=SELECT+*+FROM+Customer+WHERE+DisplayName+%3D+'Cool+Cars'",
    ):
        assert decoded(books.client.get(path))["QueryResponse"]["Customer"] == wanted
    for content_type in ("application/text", "text/plain", "application/json"):
        response = books.client.post(
            "query?minorversion=75",
            content="SELECT * FROM Customer WHERE DisplayName = 'Cool Cars'",
            headers={"content-type": content_type},
        )
        assert decoded(response)["QueryResponse"]["Customer"] == wanted


def test_shapes_of_query_answers(books: Books) -> None:
    assert books.query("SELECT * FROM Customer WHERE DisplayName = 'Nobody'") == {}
    assert books.query("SELECT count(*) FROM Customer") == {"totalCount": 13}
    page = books.query("SELECT Id, DocNumber FROM Invoice STARTPOSITION 3 MAXRESULTS 2")
    assert {name: value for name, value in page.items() if name != "Invoice"} == {
        "startPosition": 3,
        "maxResults": 2,
        "totalCount": 2,
    }
    assert set(page["Invoice"][0]) == {"domain", "sparse", "Id", "DocNumber"}
    books.door.switch(queryTotalCount=False)
    assert "totalCount" not in books.query("SELECT Id FROM Invoice")


def test_a_field_that_is_none_cannot_be_selected(books: Books) -> None:
    refused = books.query_refused("SELECT NoSuchField FROM Invoice")
    assert refused["Detail"] == "QueryValidationError: Property NoSuchField not found for Entity Invoice"


def test_limits_on_in_and_statement(books: Books) -> None:
    values = ", ".join(f"'{number}'" for number in range(501))
    assert books.query_refused(f"SELECT * FROM Invoice WHERE DocNumber IN ({values})")["code"] == "4001"
    books.door.switch(maxStatementBytes=4000)
    long = "SELECT * FROM Invoice WHERE DocNumber = '" + "x" * 4000 + "'"
    assert books.query_refused(long)["code"] == "4000"


# requestid


def test_a_repeated_requestid_gets_the_first_answer_byte_for_byte(books: Books) -> None:
    first = books.post("invoice?requestid=r-1", minimal_invoice(DocNumber="R-1"))
    count = len(books.door.invoices())
    for path, body in (
        ("invoice?requestid=r-1", minimal_invoice(DocNumber="R-1")),
        ("invoice?requestid=r-1", minimal_invoice(999, DocNumber="another")),
        ("customer?requestid=r-1", {"DisplayName": "Another operation"}),
        ("invoice?operation=delete&requestid=r-1", {"Id": "101", "SyncToken": "0"}),
        ("invoice?requestid=r-1", {"BadJson": True}),
    ):
        again = books.post(path, body)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["intuit_tid"] != first.headers["intuit_tid"]
    assert len(books.door.invoices()) == count
    assert books.door.counters()["replays"] == 5


def test_another_company_has_another_memory(books: Books, simulator: ThreadedSimulator) -> None:
    other = Books(simulator, simulator.realm())
    books.create("Invoice", minimal_invoice(), requestid="r-1")
    other.create("Invoice", minimal_invoice(DocNumber="own"), requestid="r-1")
    assert len(simulator.invoices("own", other.realm_id)) == 1
    other.close()


def test_an_empty_requestid_is_none(books: Books) -> None:
    first = books.create("Invoice", minimal_invoice(), requestid="")
    assert books.create("Invoice", minimal_invoice(), requestid="")["Id"] != first["Id"]


def test_a_requestid_has_fifty_characters_at_most(books: Books) -> None:
    refused = books.refused("Invoice", minimal_invoice(), requestid="x" * 51)
    assert refused["code"] == "6000"
    assert "more than 50 characters in the request_id field" in refused["Detail"]
    assert books.create("Invoice", minimal_invoice(), requestid="x" * 50)


def test_forgotten_repeated_or_refused_by_switch(books: Books) -> None:
    first = books.create("Invoice", minimal_invoice(), requestid="r-1")
    books.door.switch(requestidMemory="fault600")
    assert books.refused("Invoice", minimal_invoice(), requestid="r-1")["code"] == "600"
    books.door.switch(requestidMemory="forget")
    assert books.create("Invoice", minimal_invoice(), requestid="r-1")["Id"] != first["Id"]


def test_the_memory_has_a_length(books: Books) -> None:
    books.door.switch(requestidMemorySeconds=600)
    first = books.create("Invoice", minimal_invoice(), requestid="r-1")
    books.door.advance(590)
    assert books.create("Invoice", minimal_invoice(), requestid="r-1")["Id"] == first["Id"]
    books.door.advance(11)
    assert books.create("Invoice", minimal_invoice(), requestid="r-1")["Id"] != first["Id"]


@pytest.mark.parametrize("replayed", [False, True])
def test_a_refusal_is_repeated_or_not(books: Books, *, replayed: bool) -> None:
    books.door.switch(replayFailures=replayed)
    assert books.refused("Invoice", minimal_invoice(customer="777"), requestid="r-1")["code"] == "2500"
    second = books.post("invoice?requestid=r-1", minimal_invoice())
    assert second.status_code == (400 if replayed else 200)


@pytest.mark.parametrize(("checked", "made"), [("atCommit", 1), ("atArrival", 2)])
def test_two_at_once_with_one_requestid(books: Books, checked: str, made: int) -> None:
    books.door.switch(requestidChecked=checked)
    books.door.fault({"operation": "create"}, {"delaySeconds": 0.3}, times=2)
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda _: books.post("invoice?requestid=r-1", minimal_invoice(DocNumber="twice")), range(2)
            )
        )
    assert len(books.door.invoices("twice")) == made


def test_reads_have_no_requestid(books: Books) -> None:
    path = "query?requestid=q&query=SELECT count(*) FROM Invoice"
    before = decoded(books.client.get(path))["QueryResponse"]["totalCount"]
    books.create("Invoice", minimal_invoice())
    assert decoded(books.client.get(path))["QueryResponse"]["totalCount"] == before + 1


# Document numbers


def test_6140_in_both_forms(books: Books) -> None:
    first = books.create("Invoice", minimal_invoice(DocNumber="D-1"))
    books.door.switch(duplicateDocCheck=True)
    long = books.refused("Invoice", minimal_invoice(DocNumber="D-1"))
    assert (long["code"], long["element"], long["Message"]) == ("6140", "", "Duplicate Document Number Error")
    assert long["Detail"].endswith(f" DocNumber=D-1 is assigned to TxnType=Invoice with TxnId={first['Id']}")
    books.door.switch(duplicateDocForm="short")
    assert books.refused("Invoice", minimal_invoice(DocNumber="D-1"))["Detail"].endswith("already been used.")
    assert books.create("Invoice", minimal_invoice(DocNumber="D-1"), include="allowduplicatedocnum")


def test_the_gateway_s_shape_for_the_service_s_faults(books: Books) -> None:
    books.door.switch(lowerCaseFaults=True)
    response = books.client.get("invoice/99999")
    assert response.status_code == 400
    assert fault_of(response)["code"] == "610"


def test_several_errors_in_one_fault(books: Books) -> None:
    errors = books.post("invoice", {}).json()["Fault"]["Error"]
    assert [error["element"] for error in errors] == ["Line", "CustomerRef"]


# Limits and meters


def test_ten_a_second_then_429_for_this_company_only(books: Books, simulator: ThreadedSimulator) -> None:
    other = Books(simulator, simulator.realm())
    simulator.switch(limitPerSecond=10)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: books.client.get("customer/1"), range(16)))
    refused = [response for response in responses if response.status_code == 429]
    assert len(responses) - len(refused) == 10
    assert "retry-after" not in refused[0].headers
    assert fault_of(refused[0]) == {
        "type": "SERVICE",
        "message": "message=ThrottleExceeded; errorCode=003001; statusCode=429",
        "detail": "The request limit was reached.  Try again later",
        "code": "3001",
        "element": None,
    }
    assert other.client.get("customer/1").status_code == 200
    assert simulator.counters()["throttled"] == len(refused)
    simulator.advance(1)
    assert books.client.get("customer/1").status_code == 200
    other.close()


def test_ten_at_once(books: Books) -> None:
    books.door.switch(limitConcurrent=2)
    books.door.fault({"operation": "read"}, {"delaySeconds": 0.4}, times=2)
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(books.client.get, "customer/1") for _ in range(2)]
        while len(books.door.requests("read")) < 2:
            time.sleep(0.01)
        assert books.client.get("customer/1").status_code == 429
        assert [each.result().status_code for each in slow] == [200, 200]
    assert books.client.get("customer/1").status_code == 200


def test_only_reads_that_succeed_are_metered_until_the_quota(books: Books) -> None:
    books.read("Customer", "1")
    books.query("SELECT * FROM Item")
    books.create("Invoice", minimal_invoice())
    books.client.get("customer/99999")
    assert books.door.counters()["meteredReads"] == 2
    books.door.switch(monthlyReadQuota=2, throttleShape="service")
    blocked = books.client.get("customer/1")
    assert blocked.status_code == 429
    assert blocked.json()["Fault"]["Error"][0]["code"] == "3001"
    assert books.create("Invoice", minimal_invoice())
    books.door.advance(31 * 24 * HOUR)
    fresh = Books(books.door)
    assert fresh.client.get("customer/1").status_code == 200
    fresh.close()


# Read lag


def test_a_query_may_miss_what_a_read_sees(books: Books) -> None:
    books.door.switch(readLagSeconds=3600)
    made = books.create("Invoice", minimal_invoice(DocNumber="lag"))
    statement = "SELECT * FROM Invoice WHERE DocNumber = 'lag'"
    assert books.query(statement) == {}
    assert books.query("SELECT count(*) FROM Invoice WHERE DocNumber = 'lag'") == {"totalCount": 0}
    assert books.read("Invoice", made["Id"])["DocNumber"] == "lag"
    assert len(books.door.invoices("lag")) == 1
    books.door.advance(3600)
    again = Books(books.door)
    assert len(again.query(statement)["Invoice"]) == 1
    again.close()


# The client that dies


def test_a_killed_client_s_request_is_carried_out_all_the_same(books: Books) -> None:
    books.door.fault({"operation": "create"}, {"delaySeconds": 0.5})
    body = json.dumps(minimal_invoice(DocNumber="killed")).encode()
    head = (
        f"POST /v3/company/{books.realm_id}/invoice HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {books.grant['access_token']}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(books.door.base_url.rpartition(":")[2]))) as client:
        client.sendall(head.encode() + body)
        while not books.door.requests("create"):
            time.sleep(0.01)
    assert books.door.invoices("killed") == []
    deadline = time.monotonic() + 5
    while not books.door.invoices("killed") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(books.door.invoices("killed")) == 1


def test_a_client_that_dies_in_the_middle_of_its_request_has_asked_nothing(books: Books) -> None:
    head = (
        f"POST /v3/company/{books.realm_id}/invoice HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {books.grant['access_token']}\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(books.door.base_url.rpartition(":")[2]))) as client:
        client.sendall(head.encode() + b'{"CustomerRef":')
    books.read("Customer", "1")
    assert "create" not in books.door.counters()["requests"]
