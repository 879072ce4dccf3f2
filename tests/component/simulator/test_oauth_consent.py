"""The consent page: what a person sees, and what an app gets."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from .conftest import ThreadedSimulator

TOKEN = "/oauth2/v1/tokens/bearer"
PAGE = "/connect/oauth2"
CALLBACK = "http://localhost:9999/callback"


@pytest.fixture
def web(simulator: ThreadedSimulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
        yield client


class Form(HTMLParser):
    """The one form of a page: its hidden fields, labelled choices and buttons; and the page's landmarks."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.options: list[str] = []
        self.buttons: list[str] = []
        self.labelled: list[str] = []
        self.chooser = ""
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag == "form":
            self.action = values["action"]
        elif tag == "input":
            self.fields[values["name"]] = values["value"]
        elif tag == "option":
            self.options.append(values["value"])
        elif tag == "button":
            self.buttons.append(values["value"])
        elif tag == "label":
            self.labelled.append(values["for"])
        elif tag == "select":
            self.chooser = values["id"]


def asked(simulator: ThreadedSimulator, **changes: str | None) -> dict[str, str]:
    query = {
        "client_id": simulator.ready["client_id"],
        "response_type": "code",
        "scope": "com.intuit.quickbooks.accounting openid",
        "redirect_uri": CALLBACK,
        "state": "s-1 & <b>",
        **changes,
    }
    return {name: value for name, value in query.items() if value is not None}


def shown(web: httpx2.Client, simulator: ThreadedSimulator, **changes: str | None) -> Form:
    page = web.get(PAGE, params=asked(simulator, **changes))
    assert page.status_code == 200, page.text
    return Form(page.text)


def decide(web: httpx2.Client, form: Form, decision: str, **fields: str) -> dict[str, list[str]]:
    response = web.post(form.action, data={**form.fields, "decision": decision, **fields})
    return answered(response)


def answered(response: httpx2.Response) -> dict[str, list[str]]:
    """What the app's callback gets."""
    assert response.status_code == 302, response.text
    target = response.headers["location"]
    assert target.startswith(CALLBACK + "?")
    return parse_qs(urlsplit(target).query)


def test_approve_gives_a_code_that_becomes_tokens_once(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    second = simulator.realm("9130350000000001")
    form = shown(web, simulator)
    assert form.options == [simulator.realm_id, second]
    answer = decide(web, form, "approve", realmId=second)
    assert set(answer) == {"code", "realmId", "state"}
    assert (answer["state"], answer["realmId"]) == (["s-1 & <b>"], [second])
    exchange = {
        "grant_type": "authorization_code",
        "code": answer["code"][0],
        "redirect_uri": CALLBACK,
        "code_verifier": "nobody looks at it",
    }
    auth = (simulator.ready["client_id"], simulator.ready["client_secret"])
    wrong = web.post(TOKEN, data={**exchange, "redirect_uri": CALLBACK + "/"}, auth=auth)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    tokens = web.post(TOKEN, data=exchange, auth=auth).json()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert web.get(f"/v3/company/{second}/companyinfo/{second}", headers=headers).status_code == 200
    again = web.post(TOKEN, data=exchange, auth=auth)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert web.get(f"/v3/company/{second}/companyinfo/{second}", headers=headers).status_code == 401
    assert simulator.counters()["requests"]["token"] == 3


def test_a_second_exchange_that_costs_nothing(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    simulator.switch(codeReuseRevokes=False)
    code = decide(web, shown(web, simulator), "approve")["code"][0]
    exchange = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    auth = (simulator.ready["client_id"], simulator.ready["client_secret"])
    tokens = web.post(TOKEN, data=exchange, auth=auth).json()
    assert web.post(TOKEN, data=exchange, auth=auth).json()["error"] == "invalid_grant"
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert web.post(TOKEN, data=form, auth=auth).status_code == 200


def test_the_page_is_html_for_people_and_no_frame_s_content(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    simulator.realm("9130350000000001")
    page = web.get(PAGE, params=asked(simulator))
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert '<html lang="en">' in page.text
    form = Form(page.text)
    assert form.buttons == ["approve", "deny"]
    assert form.labelled == [form.chooser] == ["realmId"]
    assert [form.tags.count(tag) for tag in ("main", "h1", "title", "form")] == [1, 1, 1, 1]
    assert "see and change the company&#x27;s books" in page.text


def test_one_company_is_named_and_not_chosen(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    form = shown(web, simulator)
    assert (form.options, form.fields["realmId"]) == ([], simulator.realm_id)
    assert decide(web, form, "approve")["realmId"] == [simulator.realm_id]


def test_deny_says_so(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    answer = decide(web, shown(web, simulator), "deny")
    assert answer == {"error": ["access_denied"], "state": ["s-1 & <b>"]}


def test_a_page_decides_once_and_only_for_the_one_it_was_shown_to(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    form = shown(web, simulator)
    forged = web.post(form.action, data={"page": "0" * 32, "decision": "approve"})
    assert forged.status_code == 400
    foreign = web.post(
        form.action, data={**form.fields, "decision": "approve"}, headers={"origin": "http://evil.example"}
    )
    assert foreign.status_code == 403
    decide(web, form, "approve")
    assert web.post(form.action, data={**form.fields, "decision": "approve"}).status_code == 400


def test_a_company_that_was_not_offered(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    form = shown(web, simulator)
    page = web.post(form.action, data={**form.fields, "decision": "approve", "realmId": "1"})
    assert (page.status_code, "location" in page.headers) == (400, False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": "someone else"}, "client_id query parameter"),
        ({"client_id": None}, "client_id query parameter"),
        ({"response_type": "token"}, "response_type query parameter"),
        ({"response_type": None}, "response_type query parameter"),
        ({"scope": None}, "scope query parameter"),
        ({"state": None}, "state query parameter"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri query parameter value is invalid"),
        ({"redirect_uri": "http://localhost/cb?next=1"}, "redirect_uri query parameter value is invalid"),
        ({"redirect_uri": "http://localhost/cb?"}, "redirect_uri query parameter value is invalid"),
        ({"redirect_uri": "http://app.example/cb"}, "redirect_uri query parameter value is invalid"),
        ({"redirect_uri": "http://[broken"}, "redirect_uri query parameter value is invalid"),
        ({"redirect_uri": None}, "redirect_uri query parameter value is invalid"),
    ],
)
def test_requests_that_are_not_even_shown(
    web: httpx2.Client, simulator: ThreadedSimulator, changes: dict[str, str | None], words: str
) -> None:
    page = web.get(PAGE, params=asked(simulator, **changes))
    assert page.status_code == 400
    assert words in page.text
    assert "didn’t connect" in page.text
    assert "form" not in Form(page.text).tags


@pytest.mark.parametrize("answer", ["redirect", "page"])
def test_a_scope_there_is_not(web: httpx2.Client, simulator: ThreadedSimulator, answer: str) -> None:
    simulator.switch(invalidScope=answer)
    response = web.get(PAGE, params=asked(simulator, scope="com.intuit.quickbooks.everything"))
    if answer == "redirect":
        assert answered(response) == {"error": ["invalid_scope"], "state": ["s-1 & <b>"]}
    else:
        assert (response.status_code, "scope query parameter" in response.text) == (400, True)


def test_what_is_shown_is_escaped(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    app = simulator.post("/_simulator/apps", {"name": "<script>alert(1)</script>"})
    page = web.get(PAGE, params=asked(simulator, client_id=app["clientId"]))
    assert page.status_code == 200
    assert "<script>" not in page.text


def test_only_the_registered_addresses_to_the_letter(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    registered = ["https://app.example/cb", CALLBACK]
    app = simulator.post("/_simulator/apps", {"redirectUris": registered, "name": "Strict"})

    def status(uri: str) -> int:
        changes: dict[str, Any] = {"client_id": app["clientId"], "redirect_uri": uri}
        return web.get(PAGE, params=asked(simulator, **changes)).status_code

    assert [status(uri) for uri in registered] == [200, 200]
    for other in (
        "https://app.example/cb/",
        "https://APP.example/cb",
        "https://app.example/",
        CALLBACK + "x",
    ):
        assert status(other) == 400


def test_each_key_set_sees_the_companies_of_its_own_environment(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    app = simulator.post("/_simulator/apps", {"environment": "production"})
    changes = {"client_id": app["clientId"], "redirect_uri": "https://app.example/cb"}
    page = web.get(PAGE, params=asked(simulator, **changes))
    assert "no production company" in page.text
    realm = simulator.post("/_simulator/realms", {"environment": "production"})["realmId"]
    assert shown(web, simulator, **changes).fields["realmId"] == realm
    simulator.switch(environmentsSeparate=False)
    assert shown(web, simulator, **changes).options == [simulator.realm_id, realm]
