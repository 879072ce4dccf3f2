"""The OAuth endpoints over HTTP: what an SDK meets on its way to a token and after."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

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


@pytest.mark.parametrize("name", ["openid_configuration", "openid_sandbox_configuration"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_discovery_points_back_here(
    web: httpx2.Client, simulator: ThreadedSimulator, name: str, slash: str
) -> None:
    response = web.get(f"/.well-known/{name}{slash}")
    assert "intuit_tid" in response.headers
    base = simulator.base_url
    assert response.json() == {
        "issuer": "https://oauth.platform.intuit.com/op/v1",
        "authorization_endpoint": f"{base}/connect/oauth2",
        "token_endpoint": f"{base}{TOKEN}",
        "userinfo_endpoint": f"{base}/v1/openid_connect/userinfo",
        "revocation_endpoint": f"{base}{REVOKE}",
        "jwks_uri": f"{base}/op/v1/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile", "address", "phone"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["aud", "exp", "iat", "iss", "realmid", "sub"],
    }


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


@pytest.mark.parametrize(("allowed", "status"), [(True, 200), (False, 401)])
def test_credentials_in_the_form_do_too_where_they_may(
    web: httpx2.Client, simulator: ThreadedSimulator, status: int, *, allowed: bool
) -> None:
    simulator.switch(clientSecretPost=allowed)
    grant = simulator.tokens()
    form = {name: grant[name] for name in ("client_id", "client_secret", "refresh_token")}
    assert web.post(TOKEN, data={"grant_type": "refresh_token", **form}).status_code == status
    assert refresh(web, grant).status_code == 200


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


@pytest.mark.parametrize(("ends", "status"), [("connection", 400), ("grant", 200)])
def test_a_revocation_ends_what_the_app_holds_for_that_company_or_one_grant(
    web: httpx2.Client, simulator: ThreadedSimulator, ends: str, status: int
) -> None:
    simulator.switch(revocationEnds=ends)
    first, second, elsewhere = simulator.tokens(), simulator.tokens(), simulator.tokens(simulator.realm())
    auth = (first["client_id"], first["client_secret"])
    assert web.post(REVOKE, auth=auth, json={"token": first["access_token"]}).status_code == 200
    assert refresh(web, first).status_code == 400
    assert refresh(web, second).status_code == status
    assert refresh(web, elsewhere).status_code == 200


@pytest.mark.parametrize("told", [False, True])
def test_a_revocation_is_answered_with_nothing_or_next_to_nothing(
    web: httpx2.Client, simulator: ThreadedSimulator, *, told: bool
) -> None:
    simulator.switch(revokeAnswer="statuscode" if told else "empty")
    grant = simulator.tokens()
    auth = (grant["client_id"], grant["client_secret"])
    response = web.post(REVOKE, auth=auth, json={"token": grant["refresh_token"]})
    assert (response.status_code, response.content) == (200, b'{"statuscode":"200"}' if told else b"")


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


async def test_the_second_of_two_at_once_takes_the_first_one_s_new_token_with_it(
    simulator: ThreadedSimulator,
) -> None:
    grant = simulator.tokens()
    simulator.switch(parallelRefreshRevokes=True, rotateAlways=True)
    simulator.fault({"operation": "refresh"}, {"delaySeconds": 1.0})
    simulator.fault({"operation": "refresh"}, {"delaySeconds": 1.9})
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    auth = (grant["client_id"], grant["client_secret"])
    async with httpx2.AsyncClient(
        base_url=simulator.base_url, trust_env=False, auth=auth, timeout=30
    ) as client:
        both = []
        for count in (1, 2):
            both.append(asyncio.create_task(client.post(TOKEN, data=form)))
            while len(simulator.requests("refresh")) < count:
                await asyncio.sleep(0.01)
        simulator.advance(1.0)
        first = await both[0]
        simulator.advance(0.9)
        assert (first.status_code, (await both[1]).status_code) == (200, 400)
        new = {**form, "refresh_token": first.json()["refresh_token"]}
        assert (await client.post(TOKEN, data=new)).json()["error"] == "invalid_grant"


async def test_a_slow_token_endpoint(simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    simulator.switch(rotateAlways=True)
    simulator.fault({"operation": "refresh"}, {"delaySeconds": 3600})
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    auth = (grant["client_id"], grant["client_secret"])
    async with httpx2.AsyncClient(base_url=simulator.base_url, trust_env=False, auth=auth) as client:
        slow = asyncio.create_task(client.post(TOKEN, data=form))
        while not simulator.requests("refresh"):
            await asyncio.sleep(0.01)
        simulator.advance(2)
        # The server's own time limit ended the wait: carried out then, and answered with 504.
        assert (await slow).status_code == 504
        assert (await client.post(TOKEN, data=form)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(("grace", "status"), [(0, 400), (24, 200)])
def test_a_replaced_value_in_its_grace(
    web: httpx2.Client, simulator: ThreadedSimulator, grace: int, status: int
) -> None:
    simulator.switch(refreshGraceHours=grace)
    grant = simulator.tokens()
    simulator.advance(DAY)
    refresh(web, grant)
    simulator.advance(DAY - 10)
    assert refresh(web, grant).status_code == status
    simulator.advance(10)
    assert refresh(web, grant).status_code == 400


def test_the_soft_end_rolls_up_to_the_hard_one(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    simulator.switch(hardExpirySeconds=150 * DAY)
    grant = simulator.tokens()
    asked = {"x-include-refresh-token-hard-expires-in": "true"}
    simulator.advance(100 * DAY)
    answer = refresh(web, grant, **asked).json()
    assert answer["x_refresh_token_expires_in"] == answer["x_refresh_token_hard_expires_in"]
    assert answer["x_refresh_token_hard_expires_in"] == pytest.approx(50 * DAY, abs=5)
    simulator.advance(50 * DAY)
    assert refresh(web, grant, answer["refresh_token"]).json()["error"] == "invalid_grant"


def test_an_access_token_outlives_the_refresh_that_follows_it(
    web: httpx2.Client, simulator: ThreadedSimulator
) -> None:
    grant = simulator.tokens()
    simulator.switch(rotateAlways=True)
    simulator.advance(3000)
    refresh(web, grant)
    path = f"/v3/company/{grant['realm_id']}/customer/1"
    headers = {"authorization": f"Bearer {grant['access_token']}"}
    assert web.get(path, headers=headers).status_code == 200
    simulator.advance(600)
    dead = web.get(path, headers=headers)
    assert dead.status_code == 401
    assert dead.json()["fault"]["error"][0]["detail"] == f"Token expired: {grant['access_token']}"


@pytest.mark.parametrize("operation", ["refresh", "revoke", "userinfo"])
def test_a_rule_for_one_company_only(
    web: httpx2.Client, simulator: ThreadedSimulator, operation: str
) -> None:
    other = simulator.realm()
    simulator.fault({"operation": operation, "realmId": other}, {"status": 503}, times=None)

    def status(realm: str) -> int:
        grant = simulator.post("/_simulator/tokens", {"realmId": realm, "scopes": ["openid"]})
        if operation == "refresh":
            return refresh(web, grant).status_code
        if operation == "revoke":
            auth = (grant["client_id"], grant["client_secret"])
            return web.post(REVOKE, json={"token": grant["access_token"]}, auth=auth).status_code
        headers = {"authorization": f"Bearer {grant['access_token']}"}
        return web.get("/v1/openid_connect/userinfo", headers=headers).status_code

    assert [status(simulator.realm_id), status(other)] == [200, 503]


def test_no_token_is_ever_in_the_request_list(web: httpx2.Client, simulator: ThreadedSimulator) -> None:
    grant = simulator.tokens()
    refresh(web, grant)
    listed = str(simulator.requests())
    assert "refresh" in listed
    assert grant["refresh_token"] not in listed
    assert grant["client_secret"] not in listed
