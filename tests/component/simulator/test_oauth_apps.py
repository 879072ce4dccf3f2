"""Several apps at one Intuit: whose token is whose, and what it opens."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from .conftest import ThreadedSimulator

TOKEN = "/oauth2/v1/tokens/bearer"
REVOKE = "/v2/oauth2/tokens/revoke"
USERINFO = "/v1/openid_connect/userinfo"


@pytest.fixture
def web(simulator: ThreadedSimulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
        yield client


def keys(grant: dict[str, Any]) -> tuple[str, str]:
    return grant["client_id"], grant["client_secret"]


def grant_for(simulator: ThreadedSimulator, **about: Any) -> dict[str, Any]:
    return dict(simulator.post("/_simulator/tokens", about))


def read(web: httpx2.Client, grant: dict[str, Any], realm_id: str | None = None) -> httpx2.Response:
    return web.get(
        f"/v3/company/{realm_id or grant['realm_id']}/customer/1",
        headers={"authorization": f"Bearer {grant['access_token']}"},
    )


def test_an_app_of_one_s_own(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    app = simulator.post(
        "/_simulator/apps", {"clientId": "my-app", "clientSecret": "s3cret", "name": "Mine", "scopes": []}
    )
    assert app == {
        "clientId": "my-app",
        "clientSecret": "s3cret",
        "name": "Mine",
        "environment": "sandbox",
        "redirectUris": [],
        "scopes": [],
    }
    first, second = simulator.get("/_simulator/apps")["apps"]
    assert (first["clientId"], second) == (simulator.ready["client_id"], app)
    grant = grant_for(simulator, clientId="my-app")
    assert keys(grant) == ("my-app", "s3cret")
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    assert web.post(TOKEN, data=form, auth=keys(grant)).status_code == 200
    assert read(web, grant).status_code == 200


def test_changing_an_app_keeps_its_keys_and_grants(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant = grant_for(simulator)
    changed = simulator.post("/_simulator/apps", {"clientId": grant["client_id"], "name": "Renamed"})
    assert changed["clientSecret"] == grant["client_secret"]
    rotated = simulator.post(
        "/_simulator/apps", {"clientId": grant["client_id"], "clientSecret": "a-new-one"}
    )
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    assert web.post(TOKEN, data=form, auth=keys(grant)).json() == {"error": "invalid_client"}
    auth = (rotated["clientId"], "a-new-one")
    assert web.post(TOKEN, data=form, auth=auth).status_code == 200


def test_another_app_s_tokens_are_refused(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    ours = grant_for(simulator)
    theirs = grant_for(simulator, clientId=simulator.post("/_simulator/apps", {})["clientId"])
    form = {"grant_type": "refresh_token", "refresh_token": theirs["refresh_token"]}
    refused = web.post(TOKEN, data=form, auth=keys(ours))
    assert refused.status_code == 400
    assert refused.json() == {
        "error": "invalid_grant",
        "error_description": "Incorrect Token type or clientID",
    }
    assert web.post(REVOKE, json={"token": theirs["refresh_token"]}, auth=keys(ours)).status_code == 400
    assert web.post(REVOKE, json={"token": theirs["access_token"]}, auth=keys(ours)).status_code == 400
    assert web.post(TOKEN, data=form, auth=keys(theirs)).status_code == 200


def test_the_token_knows_its_app(simulator: ThreadedSimulator) -> None:
    app = simulator.post("/_simulator/apps", {})
    grant = grant_for(simulator, clientId=app["clientId"])
    token = simulator.simulator.world.authority.access_token(grant["access_token"])
    assert token is not None
    assert (token.client_id, token.realm_id) == (app["clientId"], simulator.realm_id)


@pytest.mark.parametrize(("separate", "status"), [(True, 403), (False, 200)])
def test_sandbox_keys_and_a_production_company(
    web: httpx2.Client, simulator: ThreadedSimulator, status: int, *, separate: bool
) -> None:
    simulator.switch(environmentsSeparate=separate)
    realm = simulator.post("/_simulator/realms", {"environment": "production"})["realmId"]
    sandbox = grant_for(simulator, realmId=realm)
    answer = read(web, sandbox)
    assert answer.status_code == status
    if separate:
        assert answer.json()["fault"]["error"][0]["code"] == "3100"
    app = simulator.post("/_simulator/apps", {"environment": "production"})
    assert read(web, grant_for(simulator, realmId=realm, clientId=app["clientId"])).status_code == 200
    assert read(web, grant_for(simulator, clientId=app["clientId"])).status_code == status


def test_another_company_s_books_stay_closed(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant, other = grant_for(simulator), simulator.realm()
    assert [read(web, grant, realm).status_code for realm in (other, "999")] == [403, 403]


@pytest.mark.parametrize(("enforced", "status"), [(True, 403), (False, 200)])
def test_what_a_token_was_not_asked_for(
    web: httpx2.Client, simulator: ThreadedSimulator, status: int, *, enforced: bool
) -> None:
    simulator.switch(scopesEnforced=enforced)
    identity_only = grant_for(simulator, scopes=["openid"])
    assert read(web, identity_only).status_code == status
    books_only = grant_for(simulator)
    headers = {"authorization": f"Bearer {books_only['access_token']}"}
    answer = web.get(USERINFO, headers=headers)
    assert answer.status_code == status
    assert answer.json() == {"error": "insufficient_scope"} or not enforced


@pytest.mark.parametrize(
    ("scopes", "fields"),
    [
        (["openid"], {"sub"}),
        (["openid", "email"], {"sub", "email", "emailVerified"}),
        (["openid", "profile"], {"sub", "givenName", "familyName"}),
        (["openid", "phone", "address"], {"sub", "phoneNumber", "phoneNumberVerified", "address"}),
    ],
)
def test_userinfo_tells_what_was_asked_for(
    web: httpx2.Client, simulator: ThreadedSimulator, scopes: list[str], fields: set[str]
) -> None:
    grant = grant_for(simulator, scopes=scopes)
    headers = {"authorization": f"Bearer {grant['access_token']}"}
    assert set(web.get(USERINFO, headers=headers).json()) == fields
    simulator.advance(3600)
    dead = web.get(USERINFO, headers=headers)
    assert (dead.status_code, dead.json()) == (401, {"error": "invalid_token"})
    assert web.get(USERINFO).status_code == 401


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"clientId": ["x"]}, "clientId is a text"),
        ({"clientId": "with blank"}, "clientId is made of"),
        ({"clientSecret": "with+plus"}, "clientSecret is made of"),
        ({"environment": "moon"}, "sandbox or production"),
        ({"scopes": ["everything"]}, "no scope everything"),
        ({"redirectUris": "https://app.example"}, "list of texts"),
        ({"redirectUris": ["https://app.example/cb?x=1"]}, "query string"),
        ({"redirectUris": ["http://app.example/cb"]}, "not https"),
        ({"redirectUris": ["https://10.0.0.1/cb"], "environment": "production"}, "IP address"),
        ({"redirectUris": ["https://localhost/cb"], "environment": "production"}, "localhost"),
    ],
)
def test_apps_that_cannot_be_registered(
    web: httpx2.Client, simulator: ThreadedSimulator, app: dict[str, Any], words: str
) -> None:
    answer = web.post("/_simulator/apps", json=app)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert len(simulator.get("/_simulator/apps")["apps"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("tokens", {"clientId": "nobody"}, 404),
        ("tokens", {"scopes": ["everything"]}, 400),
        ("realms", {"environment": "moon"}, 400),
    ],
)
def test_the_door_says_what_there_is_not(
    web: httpx2.Client, simulator: ThreadedSimulator, path: str, body: dict[str, Any], status: int
) -> None:
    assert web.post(f"/_simulator/{path}", json=body).status_code == status


def test_a_reset_forgets_the_apps(simulator: ThreadedSimulator) -> None:
    simulator.post("/_simulator/apps", {})
    simulator.reset()
    (app,) = simulator.get("/_simulator/apps")["apps"]
    assert app["clientId"] == simulator.ready["client_id"]
