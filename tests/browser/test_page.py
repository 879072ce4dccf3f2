"""What people do on the page, in a real browser, against a real simulator."""

import json
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Page, expect

from fixtures.simulator_server import RunningSimulator, minimal_invoice

from .conftest import OpenPage

REFUSED = "Failed to load resource: the server responded with a status of 400 (Bad Request)"
HOSTILE = "<script>window.broken = 1</script>"


@pytest.fixture
def api(simulator: RunningSimulator) -> Iterator[httpx2.Client]:
    """The accounting API, as an app uses it."""
    with httpx2.Client(
        base_url=f"{simulator.base_url}/v3/company/{simulator.realm_id}/",
        headers={
            "authorization": f"Bearer {simulator.tokens()['access_token']}",
            "accept": "application/json",
        },
        trust_env=False,
    ) as client:
        yield client


def made(api: httpx2.Client, **fields: object) -> str:
    """The Id of a new invoice over 100.00."""
    response = api.post("invoice", json=minimal_invoice(**fields))
    assert response.status_code == 200, response.text
    return str(response.json()["Invoice"]["Id"])


def fact(page: Page, name: str) -> str:
    """What stands beside a name."""
    entry = page.locator(".facts > div", has=page.get_by_text(name, exact=True))
    return entry.locator("dd").inner_text()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def answered(page: Page, text: str) -> None:
    expect(page.locator("#answer")).to_contain_text(text)


# The books


def test_receiving_a_part_and_then_the_rest(open_page: OpenPage, api: httpx2.Client) -> None:
    page = open_page(f"/invoices/{made(api, DocNumber='P-1')}")
    press(page, "Receive payment")
    page.get_by_label("Amount").fill("30.10")
    press(page, "Receive")
    answered(page, "Payment received")
    assert fact(page, "Balance due") == "69.90"
    press(page, "Receive payment")
    press(page, "Receive")
    expect(page.locator(".subtitle .pill")).to_have_text("Paid")
    expect(page.get_by_role("button", name="Receive payment")).to_have_count(0)
    page.get_by_role("link", name="Payments").click()
    expect(page.locator("tbody tr").first).to_contain_text("69.90")


def test_a_refusal_is_readable_and_nothing_is_lost(
    open_page: OpenPage, api: httpx2.Client, complaints: list[str]
) -> None:
    page = open_page(f"/invoices/{made(api)}")
    press(page, "Receive payment")
    page.get_by_label("Amount").fill("100.01")
    press(page, "Receive")
    refusal = page.get_by_role("alert").filter(visible=True)
    expect(refusal).to_contain_text("not more than the open balance of 100")
    expect(refusal).to_contain_text("(6000)")
    expect(page.get_by_label("Amount")).to_have_value("100.01")
    complaints.remove(REFUSED)


def test_editing_everything_a_bookkeeper_may(
    open_page: OpenPage, api: httpx2.Client, simulator: RunningSimulator
) -> None:
    number = made(api, DocNumber="E-1", PrivateNote="by an app")
    page = open_page(f"/invoices/{number}")
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("combobox", name="Customer").select_option(label="Cool Cars")
    page.get_by_label("Number").fill("E-2")
    page.get_by_label("Invoice date").fill("2026-10-01")
    page.get_by_label("Due date").fill("2026-10-31")
    page.get_by_label("Message to the customer").fill("Thank you")
    page.get_by_label("Private note").fill("mine")
    press(page, "Add a line")
    line = page.locator("#lines fieldset").nth(1)
    line.get_by_label("Item").select_option(label="Design")
    line.get_by_label("Qty").fill("1.5")
    line.get_by_label("Price").fill("33.35")
    expect(line.get_by_label("Amount")).to_have_value("50.03")
    press(page, "Save")
    answered(page, "Invoice saved")
    expect(page.get_by_role("heading", level=1)).to_have_text("Invoice E-2")
    (invoice,) = simulator.invoices("E-2")
    assert invoice["CustomerRef"]["name"] == "Cool Cars"
    assert (invoice["TxnDate"], invoice["DueDate"]) == ("2026-10-01", "2026-10-31")
    assert (invoice["PrivateNote"], invoice["CustomerMemo"]["value"]) == ("mine", "Thank you")
    assert (invoice["TotalAmt"], invoice["SyncToken"]) == (150.03, "1")
    assert page.locator("#sync-token").inner_text() == "1"


def test_only_what_was_changed_is_sent(open_page: OpenPage, api: httpx2.Client) -> None:
    page = open_page(f"/invoices/{made(api, DocNumber='E-3', PrivateNote='kept')}/edit")
    page.get_by_label("Private note").fill("")
    with page.expect_request("**/edit?*") as sent:
        press(page, "Save")
    assert json.loads(sent.value.post_data or "") == {"PrivateNote": ""}
    answered(page, "Invoice saved")


def test_a_removed_line_is_gone(open_page: OpenPage, api: httpx2.Client, simulator: RunningSimulator) -> None:
    lines = minimal_invoice(40)["Line"] + minimal_invoice(60)["Line"]
    page = open_page(f"/invoices/{made(api, DocNumber='E-4', lines=lines)}/edit")
    page.get_by_role("button", name="Remove").first.click()
    press(page, "Save")
    answered(page, "Invoice saved")
    assert simulator.invoices("E-4")[0]["TotalAmt"] == 60


def test_voiding_and_deleting(open_page: OpenPage, api: httpx2.Client, simulator: RunningSimulator) -> None:
    page = open_page(f"/invoices/{made(api, DocNumber='V-1')}")
    press(page, "Void")
    press(page, "Void it")
    expect(page.locator(".subtitle .pill")).to_have_text("Voided")
    assert fact(page, "Private note") == "Voided"
    expect(page.get_by_role("button", name="Void", exact=True)).to_have_count(0)
    press(page, "Delete")
    press(page, "Keep it")
    press(page, "Delete")
    press(page, "Delete it")
    answered(page, "Invoice deleted")
    expect(page.get_by_role("heading", level=1)).to_have_text("Invoices")
    expect(page.get_by_text("V-1", exact=True)).to_have_count(0)
    assert simulator.invoices("V-1") == []


def test_the_statement_prints_the_private_note(open_page: OpenPage, api: httpx2.Client) -> None:
    made(api, DocNumber="S-1", PrivateNote="order 42", customer="3")
    page = open_page("/customers")
    page.get_by_role("link", name="Cool Cars").click()
    row = page.get_by_role("row").filter(has_text="Invoice S-1")
    expect(row).to_contain_text("order 42")
    expect(page.locator(".sum strong")).to_have_text("2,469.52")


def test_what_is_stored_is_shown_as_text(
    open_page: OpenPage, api: httpx2.Client, simulator: RunningSimulator
) -> None:
    customer = api.post("customer", json={"DisplayName": HOSTILE}).json()["Customer"]["Id"]
    number = made(api, DocNumber='"><img src=x>', PrivateNote=f"\n{HOSTILE}", customer=customer)
    api.get("query", params={"query": f"SELECT * FROM Customer WHERE DisplayName = '{HOSTILE}'"})
    page = open_page()
    for path in (
        f"/customers/{customer}",
        f"/invoices/{number}",
        f"/invoices/{number}/edit",
        "/requests",
        "/",
    ):
        page.goto(path)
        assert HOSTILE in page.locator("main").text_content()
        assert page.evaluate("window.broken") is None
        assert page.locator("main img, main script").count() == 0
    page.goto(f"/invoices?q={HOSTILE}")
    expect(page.get_by_role("link", name='"><img src=x>')).to_be_visible()
    expect(page.get_by_label("Number or customer")).to_have_value(HOSTILE)
    page.goto(f"/invoices/{number}/edit")
    expect(page.get_by_label("Private note")).to_have_value(
        simulator.invoices('"><img src=x>')[0]["PrivateNote"]
    )


def test_searching_filtering_and_turning_pages(open_page: OpenPage, api: httpx2.Client) -> None:
    for number in range(60):
        made(api, DocNumber=f"L-{number:02}")
    page = open_page("/invoices")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tbody tr")).to_have_count(22)
    page.get_by_role("link", name="Newest").click()
    page.get_by_label("Number or customer").press_sequentially("l-07")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_label("Number or customer")).to_be_focused()
    page.get_by_label("Number or customer").fill("weiskopf")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Status").select_option("paid")
    expect(page.get_by_text("Nothing fits.")).to_be_visible()
    assert page.url.endswith("/invoices?q=weiskopf&status=paid")


def test_another_company_and_back(open_page: OpenPage, simulator: RunningSimulator) -> None:
    page = open_page("/companies")
    press(page, "Add a company")
    page.get_by_label("Realm id").fill("9130000000000777")
    press(page, "Add")
    answered(page, "Company added")
    page.locator("#switcher summary").click()
    page.locator("#switcher").get_by_role("link", name="9130000000000777").click()
    expect(page.locator(".subtitle code")).to_have_text("9130000000000777")
    page.get_by_role("link", name="Invoices", exact=True).click()
    page.get_by_role("link", name="1003").click()
    press(page, "Receive payment")
    press(page, "Receive")
    answered(page, "Payment received")
    balances = {
        realm: next(
            row["Balance"] for row in simulator.state(realm)["invoices"] if row["DocNumber"] == "1003"
        )
        for realm in (simulator.realm_id, "9130000000000777")
    }
    assert balances == {simulator.realm_id: 2369.52, "9130000000000777": 0}


# Tokens


def test_tokens_are_shown_by_their_ends_and_copied_whole(
    open_page: OpenPage, simulator: RunningSimulator
) -> None:
    page = open_page("/tokens", permissions=["clipboard-read", "clipboard-write"])
    press(page, "Issue a grant")
    answered(page, "Grant issued")
    newest = page.locator(".grant").first
    newest.get_by_role("button", name="Copy tokens").click()
    answered(page, "Tokens copied")
    grant = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert grant["refresh_token"] not in page.content()
    assert grant["access_token"] not in page.content()
    assert grant["client_secret"] not in page.content()
    shown = newest.locator("dd code").first.inner_text()
    assert shown == f"{grant['refresh_token'][:4]}…{grant['refresh_token'][-4:]}"
    assert refreshed(simulator, grant)[0] == 200


def test_old_tokens_die_when_told_to(open_page: OpenPage, simulator: RunningSimulator) -> None:
    simulator.switch(refreshGraceHours=24)
    grant = simulator.tokens()
    page = open_page("/tokens")
    newest = page.locator(".grant").first
    newest.get_by_role("button", name="Rotate").click()
    expect(newest).to_contain_text("1; 1 of the old values still works")
    assert refreshed(simulator, grant)[0] == 200
    newest.get_by_role("button", name="End old values").click()
    expect(newest).to_contain_text("1; none of the old values still work")
    assert refreshed(simulator, grant) == (400, "invalid_grant")


def test_revoking(open_page: OpenPage, simulator: RunningSimulator) -> None:
    grant = simulator.tokens()
    page = open_page("/tokens")
    newest = page.locator(".grant").first
    newest.get_by_role("button", name="Revoke").click()
    expect(newest.locator(".pill")).to_have_text("revoked")
    assert refreshed(simulator, grant) == (400, "invalid_grant")


def refreshed(simulator: RunningSimulator, grant: dict[str, str]) -> tuple[int, str | None]:
    response = httpx2.post(
        f"{simulator.base_url}/oauth2/v1/tokens/bearer",
        data={"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]},
        auth=(grant["client_id"], grant["client_secret"]),
        trust_env=False,
    )
    return response.status_code, response.json().get("error")


# What makes it behave


def test_moving_time_on(open_page: OpenPage) -> None:
    page = open_page("/clock")
    press(page, "+ 1 h")
    expect(page.get_by_text("1 h", exact=True)).to_be_visible()
    page.get_by_label("Seconds").fill("86400")
    press(page, "Move on")
    expect(page.get_by_text("1 d 1 h", exact=True)).to_be_visible()
    page.goto("/tokens")
    expect(page.locator(".grant")).to_contain_text("none alive")


def test_switches_change_at_once_and_refusals_undo(
    open_page: OpenPage, simulator: RunningSimulator, complaints: list[str]
) -> None:
    page = open_page("/switches")
    page.get_by_role("switch", name="duplicateDocCheck").check()
    answered(page, "duplicateDocCheck set")
    page.get_by_label("voidNote").select_option("prefix")
    answered(page, "voidNote set")
    lag = page.get_by_label("readLagSeconds")
    lag.fill("7")
    lag.press("Enter")
    answered(page, "readLagSeconds set")
    now = simulator.get("/_simulator/switches")
    assert (now["duplicateDocCheck"], now["voidNote"], now["readLagSeconds"]) == (True, "prefix", 7)
    lag.fill("soon")
    lag.press("Enter")
    answered(page, "takes a number not below 0")
    expect(lag).to_have_value("7")
    complaints.remove(REFUSED)
    page.get_by_label("Name or meaning").fill("6140")
    expect(page.locator(".switch")).to_have_count(2)


def test_fault_rules(open_page: OpenPage, api: httpx2.Client, simulator: RunningSimulator) -> None:
    page = open_page("/faults")
    press(page, "The next query: an HTML page, 503")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert api.get("query", params={"query": "SELECT * FROM Item"}).status_code == 503
    press(page, "Add a rule")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Operation").select_option("create")
    dialog.get_by_label("From which call on").fill("2")
    dialog.get_by_label("How often").fill("0")
    dialog.get_by_label("Fault", exact=True).fill("6190")
    dialog.get_by_label("Carried out all the same").check()
    dialog.get_by_role("button", name="Add").click()
    answered(page, "Rule added")
    (rule,) = simulator.get("/_simulator/faults")["faults"]
    assert rule["match"] == {"operation": "create", "nth": 2}
    assert (rule["effect"], rule["left"]) == ({"fault": "6190", "commit": True}, None)
    press(page, "Clear all")
    expect(page.get_by_text("No rules")).to_be_visible()
    assert simulator.get("/_simulator/faults") == {"faults": []}


def test_an_endpoint_for_webhooks_and_its_deliveries(open_page: OpenPage, api: httpx2.Client) -> None:
    page = open_page("/webhooks")
    press(page, "Set an endpoint")
    page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
    press(page, "Set")
    answered(page, "Endpoint set")
    made(api)
    page.reload()
    expect(page.locator("tbody tr").first).to_contain_text("Invoice")
    press(page, "Remove")
    expect(page.get_by_text("No app has an endpoint.")).to_be_visible()


def test_beginning_anew(open_page: OpenPage, api: httpx2.Client, simulator: RunningSimulator) -> None:
    made(api, DocNumber="gone")
    page = open_page("/clock")
    page.get_by_role("button", name="Reset").click()
    with page.expect_response("**/_simulator/reset") as response:
        page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    answered(page, "As at the start")
    assert response.value.json()["refresh_token"] not in page.content()
    assert simulator.invoices("gone") == []


# Live


def test_requests_come_in_by_themselves(open_page: OpenPage, api: httpx2.Client) -> None:
    api.get("customer/1")
    page = open_page("/")
    page.clock.install()
    page.goto("/requests")
    first = page.locator(".requests details").first
    first.locator("summary").click()
    first.locator("summary").focus()
    opened = first.get_attribute("id")
    api.get("query", params={"query": "SELECT * FROM Invoice WHERE DocNumber = '1003'"})
    page.clock.run_for(2100)
    expect(page.locator(".requests li")).to_have_count(2)
    newest = page.locator(".requests details").first
    expect(newest).to_contain_text("query")
    newest.locator("summary").click()
    expect(newest).to_contain_text("DocNumber = '1003'")
    expect(newest).to_contain_text("intuit_tid")
    expect(page.locator(f"#{opened}")).to_have_attribute("open", "")
    page.get_by_label("Operation").select_option("read")
    expect(page.locator(".requests li")).to_have_count(1)


def test_what_is_being_typed_survives_an_update(open_page: OpenPage, api: httpx2.Client) -> None:
    number = made(api, DocNumber="T-1")
    page = open_page("/")
    page.clock.install()
    page.goto(f"/invoices/{number}/edit")
    page.get_by_label("Number").fill("T-2")
    page.get_by_label("Private note").fill("half a sent")
    api.get("customer/1")
    with page.expect_response("**/_simulator/page/**"):
        page.clock.run_for(2100)
    page.clock.run_for(50)
    expect(page.get_by_label("Private note")).to_be_focused()
    expect(page.get_by_label("Private note")).to_have_value("half a sent")
    expect(page.get_by_label("Number")).to_have_value("T-2")


def test_nothing_is_asked_while_nobody_looks(open_page: OpenPage) -> None:
    page = open_page("/")
    page.clock.install()
    page.goto("/requests")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_response("**/_simulator/requests?*"):
        page.clock.run_for(2100)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    asked.clear()
    page.clock.run_for(60_000)
    assert asked == []
    page.evaluate("delete document.hidden")
    with page.expect_response("**/_simulator/requests?*"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


# For everybody


def test_by_keyboard_alone(open_page: OpenPage, api: httpx2.Client, simulator: RunningSimulator) -> None:
    made(api, DocNumber="K-1")
    page = open_page("/invoices")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    while page.evaluate("document.activeElement.textContent") != "K-1":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text("Invoice K-1")
    while page.evaluate("document.activeElement.textContent") != "Receive payment":
        page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Receive payment")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Amount")).to_be_focused()
    page.keyboard.type("25")
    page.keyboard.press("Enter")
    answered(page, "Payment received")
    assert simulator.invoices("K-1")[0]["Balance"] == 75


def test_reading_works_without_the_script(open_page: OpenPage) -> None:
    page = open_page("/invoices", java_script_enabled=False)
    page.get_by_role("link", name="1003").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Invoice 1003")
    page.get_by_role("link", name="Items").click()
    page.get_by_label("Name or SKU").fill("rock")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_the_menu_of_small_screens(open_page: OpenPage) -> None:
    page = open_page("/", width=390)
    expect(page.get_by_role("navigation", name="Screens")).to_be_hidden()
    press(page, "Menu")
    page.get_by_role("link", name="Fault rules").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Fault rules")
    expect(page.get_by_role("navigation", name="Screens")).to_be_hidden()
