"""The page and the door behind it, without a browser: whom they serve, lists in pages, requests since, grants."""

from collections.abc import Iterator
from datetime import date

import httpx2
import pytest

from fixtures.simulator_server import minimal_invoice
from qbsync.simulator import sample
from qbsync.simulator.entities.kinds import INVOICE
from qbsync.simulator.listing import Search, Status, excerpt, status_of, totals
from qbsync.simulator.options import Profile, SimulatorOptions
from qbsync.simulator.page.controls import SECTIONS
from qbsync.simulator.page.html import Html, joined, tag
from qbsync.simulator.page.parts import money, span
from qbsync.simulator.switches import SWITCHES

from .conftest import NO_LATENCY, Books, ThreadedSimulator

DOOR = "/_simulator"


@pytest.fixture
def web(simulator: ThreadedSimulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
        yield client


# Whom it serves


def test_the_page_is_framed_by_nobody_and_runs_no_foreign_script(web: httpx2.Client) -> None:
    for path in ("/", "/invoices/101", f"{DOOR}/page/", "/page/page.js", "/page/page.css", "/page/icon.svg"):
        response = web.get(path)
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/tokens", f"{DOOR}/page/tokens", f"{DOOR}/grants"])
@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}])
def test_other_names_and_other_pages_are_not_served(
    web: httpx2.Client, path: str, headers: dict[str, str]
) -> None:
    assert web.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["/grants", "/grants/1/copy", "/grants/1/revoke"])
def test_grants_are_given_to_no_form_of_another_site(web: httpx2.Client, path: str) -> None:
    assert web.post(DOOR + path, data={"realmId": "1"}).status_code == 415
    assert web.post(DOOR + path, json={}, headers={"origin": "null"}).status_code == 403


def test_a_guarded_page_shows_nothing_without_the_control_token() -> None:
    options = SimulatorOptions(profile=Profile.UNLIMITED, latency=NO_LATENCY, control_token="c-1")
    guarded = ThreadedSimulator(options)
    try:
        with httpx2.Client(base_url=guarded.base_url, trust_env=False) as web:
            empty = web.get("/invoices")
            assert empty.status_code == 200
            assert "1003" not in empty.text
            assert web.get(f"{DOOR}/page/invoices").status_code == 401
            right = {"authorization": "Bearer c-1"}
            assert "1003" in web.get(f"{DOOR}/page/invoices", headers=right).text
    finally:
        guarded.stop()


def test_what_is_not_there_is_said_in_the_frame(web: httpx2.Client) -> None:
    for path in (
        "/invoices/99999",
        "/customers/99999",
        "/?realm=1",
        "/invoices?status=lost",
        "/invoices?before=x",
    ):
        response = web.get(path)
        assert response.status_code == 404
        assert "Overview" in response.text
    assert web.get("/nothing").status_code == 404


def test_assets_are_asked_for_again_only_when_changed(web: httpx2.Client) -> None:
    first = web.get("/page/page.css")
    again = web.get("/page/page.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("kind", sample.NAMES)
def test_every_screen_of_every_kind_of_company(
    simulator: ThreadedSimulator, web: httpx2.Client, kind: str
) -> None:
    realm = simulator.post(f"{DOOR}/realms", {"company": kind})["realmId"]
    shown = ["/", "/invoices", "/payments", "/customers", "/items", "/tokens", "/webhooks", "/companies"]
    for row in simulator.state(realm)["invoices"]:
        shown += [
            f"/invoices/{row['Id']}",
            f"/invoices/{row['Id']}/edit",
            f"/customers/{row['CustomerRef']['value']}",
        ]
    for path in shown:
        assert web.get(path, params={"realm": realm}).status_code == 200


def test_the_sections_of_the_switches_begin_with_switches() -> None:
    assert set(SECTIONS) <= set(SWITCHES)


# Lists


def test_a_list_is_read_page_by_page(books: Books, web: httpx2.Client) -> None:
    path = f"{DOOR}/realms/{books.realm_id}/invoices"
    everything = [row["Id"] for row in web.get(path).json()["rows"]]
    before, seen = "", []
    while before is not None:
        answer = web.get(path, params={"limit": 5, "before": before}).json()
        seen += [row["Id"] for row in answer["rows"]]
        before = answer["next"]
    assert seen == everything
    assert answer["total"] == len(everything) == 12


def test_a_page_goes_on_where_a_row_was_deleted(books: Books, web: httpx2.Client) -> None:
    path = f"{DOOR}/realms/{books.realm_id}/invoices"
    first = web.get(path, params={"limit": 3}).json()
    second = web.get(path, params={"limit": 3, "before": first["next"]}).json()
    books.door.post(f"{DOOR}/invoices/{first['next']}/delete")
    assert web.get(path, params={"limit": 3, "before": first["next"]}).json()["rows"] == second["rows"]


@pytest.mark.parametrize(
    ("params", "numbers"),
    [
        ({"q": "1003"}, ["1003"]),
        ({"q": "COOL"}, ["1003"]),
        ({"customer": "1"}, ["1005", "1001"]),
        ({"q": "amy", "status": "paid"}, ["1001"]),
        ({"status": "voided"}, []),
        ({"status": "overdue", "q": "jeff"}, ["1008"]),
    ],
)
def test_search_and_filters(
    books: Books, web: httpx2.Client, params: dict[str, str], numbers: list[str]
) -> None:
    rows = web.get(f"{DOOR}/realms/{books.realm_id}/invoices", params=params).json()["rows"]
    assert [row["DocNumber"] for row in rows] == numbers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("invoices?limit=0", 400),
        ("invoices?limit=501", 400),
        ("invoices?limit=many", 400),
        ("invoices?before=x", 400),
        ("invoices?status=lost", 400),
        ("payments?status=paid", 400),
        ("customers?status=paid", 400),
        ("vendors", 404),
    ],
)
def test_a_list_that_does_not_exist(books: Books, web: httpx2.Client, path: str, status: int) -> None:
    response = web.get(f"{DOOR}/realms/{books.realm_id}/{path}")
    assert response.status_code == status
    assert response.json()["error"]


def test_companies_are_listed_with_what_they_have(books: Books, web: httpx2.Client) -> None:
    other = books.door.realm()
    first, second = web.get(f"{DOOR}/realms").json()["realms"]
    assert (first["realmId"], second["realmId"]) == (books.realm_id, other)
    assert (first["currency"], first["environment"], first["invoices"]) == ("USD", "sandbox", 12)


@pytest.mark.parametrize("note", ["replace", "prefix", "keep"])
def test_a_voided_invoice_is_told_from_a_free_one(books: Books, note: str) -> None:
    books.door.switch(voidNote=note)
    free = books.create("Invoice", minimal_invoice(0))
    voided = books.create("Invoice", minimal_invoice(50))
    books.door.post(f"{DOOR}/invoices/{voided['Id']}/void")
    table = books.door.simulator.world.companies[books.realm_id].table(INVOICE)  # type: ignore[attr-defined]
    states = [status_of(table.get(row["Id"]), date(2026, 11, 23)) for row in (free, voided)]
    assert states == [Status.PAID, Status.VOIDED]


def test_totals_are_those_of_the_list(books: Books) -> None:
    company = books.door.simulator.world.companies[books.realm_id]  # type: ignore[attr-defined]
    today = date(2026, 10, 1)
    found = totals(company, today)
    for status in Status:
        rows = excerpt(company, INVOICE, Search(status=status), today=today, limit=500).rows
        assert found.count[status] == len(rows)
        assert found.balance[status] == sum(row.document()["Balance"] for row in rows)


# Requests since, and grants


def test_requests_since_the_last_look(books: Books, web: httpx2.Client) -> None:
    books.read("Customer", "1")
    first = web.get(f"{DOOR}/requests").json()
    assert [entry["number"] for entry in first["requests"]] == [1]
    assert first["next"] == 1
    books.read("Customer", "2")
    books.read("Customer", "3")
    second = web.get(f"{DOOR}/requests", params={"since": 1, "limit": 1}).json()
    assert [entry["number"] for entry in second["requests"]] == [3]
    assert web.get(f"{DOOR}/requests", params={"since": 3}).json() == {"requests": [], "next": 3}
    books.door.reset()
    assert web.get(f"{DOOR}/requests", params={"since": 3}).json() == {"requests": [], "next": 0}


def test_a_request_at_work_comes_again_when_it_is_answered(books: Books, web: httpx2.Client) -> None:
    books.read("Customer", "1")
    books.door.fault({"operation": "read"}, {"delaySeconds": 60})
    with pytest.raises(httpx2.ReadTimeout):
        books.client.get("customer/1", timeout=0.2)
    waiting = web.get(f"{DOOR}/requests", params={"since": 1}).json()
    assert (waiting["requests"][0]["status"], waiting["next"]) == (None, 1)


@pytest.mark.parametrize(("address", "status"), [("birds@example.com", 200), (5, 400), ([], 400)])
def test_an_invoice_is_sent_by_hand(books: Books, web: httpx2.Client, address: object, status: int) -> None:
    response = web.post(f"{DOOR}/invoices/105/send", json={"sendTo": address})
    assert response.status_code == status
    if status == 200:
        assert books.read("Invoice", "105")["EmailStatus"] == "EmailSent"


def test_a_grant_is_shown_by_its_ends_and_copied_on_demand(books: Books, web: httpx2.Client) -> None:
    shown = web.get(f"{DOOR}/grants", params={"realmId": books.realm_id})
    assert books.grant["refresh_token"] not in shown.text
    newest = shown.json()["grants"][0]
    assert (newest["number"], newest["state"], newest["rotations"]) == (2, "alive", 0)
    copied = web.post(f"{DOOR}/grants/2/copy", json={}).json()
    assert copied == {name: books.grant[name] for name in copied}
    web.post(f"{DOOR}/grants/2/endAccess", json={})
    assert web.post(f"{DOOR}/grants/2/copy", json={}).json()["access_token"] is None
    assert books.client.get("customer/1").status_code == 401
    assert web.post(f"{DOOR}/grants/2/revoke", json={}).json()["state"] == "revoked"
    for path in ("/grants/3/copy", "/grants/0/copy", "/grants/x/copy", "/grants/1/burn"):
        assert web.post(DOOR + path, json={}).status_code == 404
    assert web.post(f"{DOOR}/grants", json={"realmId": "1"}).status_code == 404


# What it is built of


def test_only_markup_made_here_is_markup() -> None:
    made = tag("a", "<b>", Html("<i></i>"), None, ["x", 1], href='"><script>', hidden=True, title=None)
    assert made == '<a href="&quot;&gt;&lt;script&gt;" hidden>&lt;b&gt;<i></i>x1</a>'
    assert joined(tag("br"), "&") == "<br>&amp;"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3599.6, "1 h"),
        (101 * 86400 - 30, "101 d"),
        (157680000, "5 y"),
        (-90000, "1 d 1 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_money() -> None:
    assert [money(value) for value in (0, 1234567, None)] == ["0.00", "1,234,567.00", ""]
