"""The OAuth endpoints over HTTP: what an SDK meets on its way to a token and after."""

import asyncio
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from .conftest import ThreadedSimulator

TOKEN = "/oauth2/v1/tokens/bearer"
REVOKE = "/v2/oauth2/tokens/revoke"
CALLBACK = "http://localhost:9999/callback"
DAY = 24 * 3600


@pytest.fixture
def web(simulator: ThreadedSimulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
        yield client


def refresh(
    web: httpx2.Client, grant: dict[str, Any], value: str | None = None, **headers: str
) -> httpx2.Response:
    return web.post(
        TOKEN,
        data={"grant_type": "refresh_token", "refresh_token": value or grant["refresh_token"]},
        auth=(grant["client_id"], grant["client_secret"]),
        headers={"accept": "application/json", **headers},
    )


class Form(HTMLParser):
    """The fields of the one form of a page, and its buttons."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.options: list[str] = []
        self.buttons: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values["action"]
        elif tag == "input":
            self.fields[values["name"]] = values["value"]
        elif tag == "option":
            self.options.append(values["value"])
        elif tag == "button":
            self.buttons.append(values["value"])


@pytest.mark.parametrize("name", ["openid_configuration", "openid_sandbox_configuration"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_discovery_points_back_here(
    web: httpx2.Client, simulator: ThreadedSimulator, name: str, slash: str
) -> None:
    document = web.get(f"/.well-known/{name}{slash}").json()
    assert document["authorization_endpoint"] == f"{simulator.base_url}/connect/oauth2"
    assert document["token_endpoint"] == f"{simulator.base_url}{TOKEN}"
    assert document["revocation_endpoint"] == f"{simulator.base_url}{REVOKE}"
    assert document["userinfo_endpoint"] == f"{simulator.base_url}/v1/openid_connect/userinfo"
    assert document["response_types_supported"] == ["code"]


def test_a_refresh_answers_as_intuit_does(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    response = refresh(web, grant)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json;charset=UTF-8"
    assert response.headers["cache-control"] == "no-cache, no-store"
    assert response.headers["pragma"] == "no-cache"
    assert re.fullmatch(r"1-[0-9a-f]{8}-[0-9a-f]{24}", response.headers["intuit_tid"])
    document = response.json()
    assert document["token_type"] == "bearer"
    assert document["refresh_token"] == grant["refresh_token"]
    assert document["access_token"] != grant["access_token"]
    assert "x_refresh_token_hard_expires_in" not in document
    assert simulator.counters()["refreshes"] == 1


def test_the_hard_expiry_only_for_those_who_ask(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    response = refresh(web, simulator.tokens(), **{"x-include-refresh-token-hard-expires-in": "true"})
    assert response.json()["x_refresh_token_hard_expires_in"] == pytest.approx(157680000, abs=5)


def test_a_day_later_the_value_changes_and_the_old_one_costs_the_grant(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    grant = simulator.tokens()
    simulator.advance(DAY)
    new = refresh(web, grant).json()
    assert new["refresh_token"] != grant["refresh_token"]
    again = refresh(web, grant)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert refresh(web, grant, new["refresh_token"]).json()["error"] == "invalid_grant"


def test_credentials_in_the_form_do_too(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    form = {name: grant[name] for name in ("client_id", "client_secret", "refresh_token")}
    assert web.post(TOKEN, data={"grant_type": "refresh_token", **form}).status_code == 200


@pytest.mark.parametrize("auth", [None, ("nobody", "nothing"), "Basic !!!", "Bearer x"])
def test_wrong_credentials_are_a_401(web: httpx2.Client, simulator: ThreadedSimulator, auth: Any) -> None:
    headers = {"authorization": auth} if isinstance(auth, str) else {}
    response = web.post(
        TOKEN,
        data={"grant_type": "refresh_token", "refresh_token": simulator.tokens()["refresh_token"]},
        auth=auth if isinstance(auth, tuple) else None,
        headers=headers,
    )
    assert (response.status_code, response.json()) == (401, {"error": "invalid_client"})


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "password", "username": "x"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "RT1-none"}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "none", "redirect_uri": CALLBACK}, "invalid_grant"),
    ],
)
def test_requests_that_lack_something(
    web: httpx2.Client, simulator: ThreadedSimulator, form: dict[str, str], error: str
) -> None:
    grant = simulator.tokens()
    response = web.post(TOKEN, data=form, auth=(grant["client_id"], grant["client_secret"]))
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_json_is_not_read_by_the_token_endpoint(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    body = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    response = web.post(TOKEN, json=body, auth=(grant["client_id"], grant["client_secret"]))
    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})
    assert web.get(TOKEN).status_code == 405


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
@pytest.mark.parametrize("form", [False, True])
def test_revoking_ends_both_tokens(
    web: httpx2.Client, simulator: ThreadedSimulator, which: str, *, form: bool
) -> None:
    grant = simulator.tokens()
    auth = (grant["client_id"], grant["client_secret"])
    body = {"token": grant[which]}
    response = web.post(REVOKE, auth=auth, data=body) if form else web.post(REVOKE, auth=auth, json=body)
    assert (response.status_code, response.content) == (200, b"")
    assert refresh(web, grant).json()["error"] == "invalid_grant"
    api = web.get(
        f"/v3/company/{grant['realm_id']}/customer/1",
        headers={"authorization": f"Bearer {grant['access_token']}"},
    )
    assert api.status_code == 401
    assert api.json()["fault"]["error"][0]["detail"] == "Token revoked"
    assert web.post(REVOKE, auth=auth, json=body).status_code == 400
    assert web.post(REVOKE, auth=auth, json={}).json()["error"] == "invalid_request"
    assert web.post(REVOKE, json=body).status_code == 401


def test_userinfo(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    path = "/v1/openid_connect/userinfo"
    token = simulator.tokens()["access_token"]
    assert web.get(path, headers={"authorization": f"Bearer {token}"}).json()["givenName"] == "Craig"
    assert web.get(path).status_code == 401


# The consent page


def authorize(simulator: ThreadedSimulator, **changes: str | None) -> dict[str, str]:
    asked = {
        "client_id": simulator.ready["client_id"],
        "response_type": "code",
        "scope": "com.intuit.quickbooks.accounting openid",
        "redirect_uri": CALLBACK,
        "state": "s-1 & <b>",
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


def decide(web: httpx2.Client, form: Form, decision: str, **fields: str) -> dict[str, list[str]]:
    response = web.post(form.action, data={**form.fields, "decision": decision, **fields})
    assert response.status_code == 302, response.text
    target = response.headers["location"]
    assert target.startswith(CALLBACK + "?")
    return parse_qs(urlsplit(target).query)


def test_approve_gives_a_code_that_becomes_tokens(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    second = simulator.realm("9130350000000001")
    page = web.get("/connect/oauth2", params=authorize(simulator))
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-frame-options"] == "DENY"
    form = Form(page.text)
    assert form.buttons == ["approve", "deny"]
    assert form.options == [simulator.realm_id, second]
    answer = decide(web, form, "approve", realmId=second)
    assert answer["state"] == ["s-1 & <b>"]
    assert answer["realmId"] == [second]
    grant = {**simulator.ready, "realm_id": second}
    exchange = {"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": CALLBACK}
    auth = (grant["client_id"], grant["client_secret"])
    assert web.post(TOKEN, data={**exchange, "redirect_uri": CALLBACK + "x"}, auth=auth).status_code == 400
    tokens = web.post(TOKEN, data=exchange, auth=auth).json()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert web.get(f"/v3/company/{second}/companyinfo/{second}", headers=headers).status_code == 200
    assert web.post(TOKEN, data=exchange, auth=auth).json()["error"] == "invalid_grant"
    assert web.get(f"/v3/company/{second}/companyinfo/{second}", headers=headers).status_code == 401
    assert simulator.counters()["requests"]["token"] == 3


def test_deny_says_so(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    form = Form(web.get("/connect/oauth2", params=authorize(simulator)).text)
    answer = decide(web, form, "deny")
    assert answer == {"error": ["access_denied"], "state": ["s-1 & <b>"]}


def test_a_page_decides_once_and_only_for_the_one_it_was_shown_to(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    form = Form(web.get("/connect/oauth2", params=authorize(simulator)).text)
    forged = web.post(form.action, data={"page": "0" * 32, "decision": "approve"})
    assert forged.status_code == 400
    foreign = web.post(
        form.action, data={**form.fields, "decision": "approve"}, headers={"origin": "http://evil.example"}
    )
    assert foreign.status_code == 403
    decide(web, form, "approve")
    assert web.post(form.action, data={**form.fields, "decision": "approve"}).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "someone else"},
        {"client_id": None},
        {"response_type": "token"},
        {"scope": None},
        {"state": None},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "http://localhost/cb?next=1"},
        {"redirect_uri": "http://[broken"},
        {"redirect_uri": None},
    ],
)
def test_requests_that_are_not_even_shown(
    web: httpx2.Client, simulator: ThreadedSimulator, changes: dict[str, str | None]
) -> None:
    page = web.get("/connect/oauth2", params=authorize(simulator, **changes))
    assert page.status_code == 400
    assert "approve" not in page.text


def test_what_is_shown_is_escaped(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    page = web.get("/connect/oauth2", params=authorize(simulator, scope="<script>alert(1)</script>"))
    assert "<script>" not in page.text


# Faults of the token endpoint


def test_false_invalid_grants_then_success(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    simulator.fault({"operation": "refresh"}, {"fault": "invalid_grant"}, times=2)
    assert [refresh(web, grant).status_code for _ in range(3)] == [400, 400, 200]


def test_a_refresh_that_rotates_and_then_answers_504(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    grant = simulator.tokens()
    simulator.switch(rotateAlways=True)
    simulator.fault({"operation": "refresh"}, {"status": 504, "commit": True})
    lost = refresh(web, grant)
    assert (lost.status_code, lost.headers["content-type"]) == (504, "text/html")
    assert refresh(web, grant).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(("drop", "status"), [("before", 200), ("after", 400)])
def test_a_refresh_whose_answer_never_comes(
    web: httpx2.Client, simulator: ThreadedSimulator, drop: str, status: int
) -> None:
    grant = simulator.tokens()
    simulator.switch(rotateAlways=True)
    simulator.fault({"operation": "refresh", "realmId": grant["realm_id"]}, {"drop": drop})
    with pytest.raises(httpx2.TransportError):
        refresh(web, grant)
    assert refresh(web, grant).status_code == status


async def test_two_at_once_with_one_value_where_that_is_an_alarm(simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    simulator.switch(parallelRefreshRevokes=True)
    simulator.fault({"operation": "refresh"}, {"delaySeconds": 0.8})
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    auth = (grant["client_id"], grant["client_secret"])
    async with httpx2.AsyncClient(base_url=simulator.base_url, trust_env=False, auth=auth) as client:
        slow = asyncio.create_task(client.post(TOKEN, data=form))
        while not simulator.requests("refresh"):
            await asyncio.sleep(0.01)
        assert (await client.post(TOKEN, data=form)).status_code == 400
        assert (await slow).status_code == 400


def test_no_token_is_ever_in_the_request_list(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    refresh(web, grant)
    listed = str(simulator.requests())
    assert "refresh" in listed
    assert grant["refresh_token"] not in listed
    assert grant["client_secret"] not in listed
