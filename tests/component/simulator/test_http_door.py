"""The control door: what it shows and does, and whom it serves."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fixtures.simulator_server import minimal_invoice
from qbsync.simulator.options import Profile, SimulatorOptions

from .conftest import NO_LATENCY, Books, ThreadedSimulator

DOOR = "/_simulator"


@pytest.fixture
def web(simulator: ThreadedSimulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
        yield client


# What it shows


def test_the_state_is_quickbooks_own_json(books: Books, web: httpx2.Client) -> None:
    made = books.create("Invoice", minimal_invoice(DocNumber="S-1"))
    realms = web.get(f"{DOOR}/state").json()["realms"]
    assert list(realms) == [books.realm_id]
    assert list(realms[books.realm_id]) == ["invoices", "customers", "items", "payments"]
    (row,) = [row for row in realms[books.realm_id]["invoices"] if row["Id"] == made["Id"]]
    assert (row["DocNumber"], row["SyncToken"]) == ("S-1", "0")
    other = books.door.realm()
    assert set(web.get(f"{DOOR}/state").json()["realms"]) == {books.realm_id, other}
    assert set(web.get(f"{DOOR}/state", params={"realmId": other}).json()["realms"]) == {other}


def test_counters_are_the_contract_s(books: Books) -> None:
    books.read("Customer", "1")
    books.create("Invoice", minimal_invoice())
    counters = books.door.counters()
    assert counters["requests"] == {"read": 1, "create": 1}
    assert {"meteredReads", "throttled", "tokensIssued", "refreshes"} <= set(counters)
    assert counters["tokensIssued"] == 2  # the first grant, and the one of `books`


def test_the_last_requests(books: Books) -> None:
    books.query("SELECT * FROM Item")
    books.create("Invoice", minimal_invoice(), requestid="r-1")
    query, create = books.door.requests()
    assert (query["operation"], query["statement"], query["status"]) == ("query", "SELECT * FROM Item", 200)
    assert (create["entity"], create["requestid"], create["realmId"]) == ("Invoice", "r-1", books.realm_id)
    assert books.grant["access_token"] not in str(books.door.requests())


# What it does


def test_tokens_for_a_company(simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    assert list(grant) == [
        "client_id",
        "client_secret",
        "realm_id",
        "access_token",
        "refresh_token",
        "expires_in",
    ]
    assert grant["expires_in"] == 3600
    assert simulator.tokens()["refresh_token"] != grant["refresh_token"]


def test_realms_with_and_without_a_number_and_preferences(simulator: ThreadedSimulator) -> None:
    realm = simulator.realm("9130000000000777", {"SalesFormsPrefs": {"CustomTxnNumbers": False}})
    assert realm == "9130000000000777"
    books = Books(simulator, realm)
    assert books.create("Invoice", minimal_invoice(DocNumber="X"))["DocNumber"] == "1013"
    preferences = books.client.get("preferences").json()["Preferences"]
    assert preferences["SalesFormsPrefs"]["CustomTxnNumbers"] is False
    assert preferences["SalesFormsPrefs"]["AllowDeposit"] is True
    books.close()
    assert simulator.realm().isdigit()


def test_a_bookkeeper_pays_edits_voids_and_deletes(books: Books) -> None:
    made = books.create("Invoice", minimal_invoice(DocNumber="B-1"))
    path = f"{DOOR}/invoices/{made['Id']}"
    paid = books.door.post(f"{path}/pay", {"amount": "30.10"})
    assert paid["Invoice"]["Balance"] == 69.9
    assert books.door.state()["payments"][-1] == paid["Payment"]
    assert books.query("SELECT * FROM Payment WHERE TotalAmt = 30.10")["Payment"]
    assert books.door.post(f"{path}/edit", {"PrivateNote": "mine"})["Invoice"]["PrivateNote"] == "mine"
    assert books.door.post(f"{path}/void")["Invoice"]["TotalAmt"] == 0
    assert books.door.invoices("B-1")[0]["PrivateNote"] == "Voided"
    assert books.door.post(f"{path}/delete")["Invoice"]["status"] == "Deleted"
    assert books.door.invoices("B-1") == []
    assert books.client.get(f"invoice/{made['Id']}").json()["Fault"]["Error"][0]["code"] == "610"


def test_an_id_of_several_companies_wants_a_realm(simulator: ThreadedSimulator, web: httpx2.Client) -> None:
    other = simulator.realm()
    path = f"{DOOR}/invoices/101/pay"
    assert web.post(path, json={}).status_code == 409
    unpaid = next(row["Id"] for row in simulator.state(other)["invoices"] if row["Balance"] > 0)
    path = f"{DOOR}/invoices/{unpaid}/pay"
    assert web.post(path, json={}).status_code == 409
    assert web.post(f"{path}?realmId={other}", json={}).status_code == 200
    balances = [
        next(row["Balance"] for row in simulator.state(realm)["invoices"] if row["Id"] == unpaid)
        for realm in (other, simulator.realm_id)
    ]
    assert balances[0] == 0 < balances[1]


def test_reset_is_the_start_again(simulator: ThreadedSimulator, web: httpx2.Client) -> None:
    books = Books(simulator)
    books.create("Invoice", minimal_invoice(DocNumber="gone"))
    simulator.switch(rotateAlways=True)
    simulator.fault({}, {"status": 500}, times=None)
    simulator.advance(1000)
    again = simulator.reset()
    assert {**again, "baseUrl": simulator.base_url} == simulator.ready
    assert simulator.invoices("gone") == []
    assert simulator.counters()["requests"] == {}
    assert web.get(f"{DOOR}/switches").json()["rotateAlways"] is False
    assert web.get(f"{DOOR}/faults").json() == {"faults": []}
    assert web.get(f"{DOOR}/clock").json()["offsetSeconds"] == 0
    books.close()


def test_switches_are_read_and_set_by_name(simulator: ThreadedSimulator, web: httpx2.Client) -> None:
    before = web.get(f"{DOOR}/switches").json()
    answer = web.put(f"{DOOR}/switches", json={"duplicateDocCheck": True, "refreshGraceHours": 24})
    assert answer.json() == {**before, "duplicateDocCheck": True, "refreshGraceHours": 24}
    refused = web.put(f"{DOOR}/switches", json={"duplicateDocChek": True})
    assert refused.status_code == 400
    assert "duplicateDocCheck" in refused.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "clock", {"advanceSeconds": -1}, 400),
        ("POST", "clock", {"advanceSeconds": "1"}, 400),
        ("POST", "clock", {"advanceSeconds": [1]}, 400),
        ("POST", "clock", {}, 400),
        ("POST", "tokens", {"realmId": "1"}, 404),
        ("POST", "tokens", {"realmId": ["1"]}, 404),
        ("POST", "realms", {"realmId": "abc"}, 400),
        ("POST", "realms", {"realmId": 5}, 400),
        ("POST", "realms", {"preferences": []}, 200),
        ("POST", "realms", {"preferences": "x"}, 400),
        ("POST", "faults", {"effect": {"stauts": 1}}, 400),
        ("POST", "invoices/99999/void", {}, 404),
        ("POST", "invoices/101/burn", {}, 404),
        ("POST", "invoices/101/pay", {"amount": "much"}, 400),
        ("POST", "invoices/101/pay", {"amount": {}}, 400),
        ("POST", "invoices/101/edit", {"BadJson": 1}, 400),
        ("POST", "invoices/105/pay", {"amount": -1}, 400),
        ("PUT", "switches", {"rotateAlways": "yes"}, 400),
        ("GET", "nothing", None, 404),
        ("GET", "reset", None, 405),
    ],
)
def test_what_the_door_cannot_do_it_says(
    web: httpx2.Client, method: str, path: str, body: Any, status: int
) -> None:
    response = web.request(method, f"{DOOR}/{path}", json=body)
    assert response.status_code == status
    if status == 400:
        assert "error" in response.json() or "Fault" in response.json()


def test_a_company_cannot_be_made_twice(simulator: ThreadedSimulator, web: httpx2.Client) -> None:
    assert web.post(f"{DOOR}/realms", json={"realmId": simulator.realm_id}).status_code == 409


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"null"])
def test_the_door_takes_objects_only(web: httpx2.Client, body: bytes) -> None:
    response = web.post(f"{DOOR}/clock", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


# Whom it serves


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[broken"])
@pytest.mark.parametrize("path", [f"{DOOR}/state", "/", "/connect/oauth2"])
def test_other_hosts_are_not_served(web: httpx2.Client, host: str, path: str) -> None:
    assert web.get(path, headers={"host": host}).status_code in {400, 403}


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_loopback_names_are(web: httpx2.Client, host: str) -> None:
    assert web.get(f"{DOOR}/counters", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
def test_other_pages_are_not_served(web: httpx2.Client, origin: str) -> None:
    response = web.post(f"{DOOR}/tokens", json={}, headers={"origin": origin})
    assert (response.status_code, "access_token" in response.text) == (403, False)
    assert web.delete(f"{DOOR}/faults", headers={"origin": origin}).status_code == 403


def test_our_own_page_is(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    assert web.post(f"{DOOR}/tokens", json={}, headers={"origin": simulator.base_url}).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_only_json_is_taken(web: httpx2.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert web.post(f"{DOOR}/tokens", content=b"{}", headers=headers).status_code == 415


def test_a_control_token_is_wanted_where_there_is_one() -> None:
    guarded = ThreadedSimulator(
        SimulatorOptions(host="0.0.0.0", control_token="c-1", profile=Profile.UNLIMITED, latency=NO_LATENCY)
    )
    with httpx2.Client(base_url=guarded.base_url, trust_env=False) as web:
        assert web.get(f"{DOOR}/state").status_code == 401
        wrong = {"authorization": "Bearer c-2", "host": "simulator.example:8480"}
        assert web.get(f"{DOOR}/state", headers=wrong).status_code == 401
        right = {"authorization": "Bearer c-1", "host": "simulator.example:8480"}
        assert web.get(f"{DOOR}/state", headers=right).status_code == 200
        assert (
            web.get("/.well-known/openid_configuration", headers=right)
            .json()["token_endpoint"]
            .startswith("http://simulator.example:8480/")
        )
    guarded.stop()
