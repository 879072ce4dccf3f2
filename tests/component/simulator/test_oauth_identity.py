"""OpenID Connect: id_tokens, the key they are signed with, and Intuit's own client, which checks them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from intuitlib.client import AuthClient
from intuitlib.enums import Scopes
from intuitlib.exceptions import AuthClientError
from intuitlib.utils import validate_id_token

from qbsync.simulator.identity import Signer

from .conftest import ThreadedSimulator
from .test_oauth_consent import Form

TOKEN = "/oauth2/v1/tokens/bearer"
CALLBACK = "http://localhost:9999/callback"
OPENID = ["com.intuit.quickbooks.accounting", "openid"]


def refreshed(simulator: ThreadedSimulator, scopes: list[str]) -> dict[str, Any]:
    grant = simulator.post("/_simulator/tokens", {"scopes": scopes})
    response = httpx2.post(
        f"{simulator.base_url}{TOKEN}",
        data={"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]},
        auth=(grant["client_id"], grant["client_secret"]),
        trust_env=False,
    )
    return dict(response.json())


def test_an_id_token_has_intuit_s_claims_and_a_good_signature(simulator: ThreadedSimulator) -> None:
    discovery = simulator.get("/.well-known/openid_configuration")
    jwks = simulator.get(urlsplit(discovery["jwks_uri"]).path)
    token = refreshed(simulator, OPENID)["id_token"]
    head = jwt.get_unverified_header(token)
    (key,) = jwks["keys"]
    assert head == {"kid": key["kid"], "alg": "RS256"}
    claims = jwt.decode(
        token,
        jwt.PyJWK(key).key,
        algorithms=["RS256"],
        audience=simulator.ready["client_id"],
        issuer=discovery["issuer"],
    )
    assert set(claims) == {"sub", "aud", "realmid", "auth_time", "iss", "exp", "iat"}
    assert (claims["aud"], claims["realmid"]) == ([simulator.ready["client_id"]], simulator.realm_id)
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["auth_time"] <= claims["iat"]


def test_no_openid_no_id_token(simulator: ThreadedSimulator) -> None:
    assert "id_token" not in refreshed(simulator, OPENID[:1])


def test_a_restart_leaves_cached_keys_valid() -> None:
    (first,), (again,) = (Signer().jwks()["keys"] for _ in range(2))
    assert first == again
    assert jwt.PyJWK(first).key.key_size == 2048


# Intuit's client for Python


@pytest.fixture
def client(simulator: ThreadedSimulator) -> Iterator[AuthClient]:
    """Pointed here by its environment alone, which it takes for an address."""
    ready = simulator.ready
    discovery = f"{simulator.base_url}/.well-known/openid_sandbox_configuration/"
    with AuthClient(ready["client_id"], ready["client_secret"], CALLBACK, discovery) as subject:
        subject.trust_env = False
        yield subject


def approved(client: AuthClient, scopes: list[Scopes]) -> str:
    """The code of a person's Approve."""
    page = httpx2.get(client.get_authorization_url(scopes), trust_env=False)
    form = Form(page.text)
    back = httpx2.post(
        f"{urlsplit(client.auth_endpoint)._replace(path=form.action).geturl()}",
        data={**form.fields, "decision": "approve"},
        trust_env=False,
    )
    answer = parse_qs(urlsplit(back.headers["location"]).query)
    assert answer["state"] == [client.state_token]
    return answer["code"][0]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_intuit_s_client_from_consent_to_revocation(client: AuthClient) -> None:
    code = approved(client, [Scopes.ACCOUNTING, Scopes.OPENID, Scopes.EMAIL])
    client.get_bearer_token(code)
    assert client.id_token is not None  # it keeps only one that it found valid
    assert client.x_refresh_token_expires_in == 8726400
    first = client.access_token
    client.refresh()
    assert client.access_token != first
    assert client.get_user_info().json()["emailVerified"] is True
    assert client.revoke() is True
    with pytest.raises(AuthClientError) as caught:
        client.refresh()
    assert caught.value.status_code == 400
    assert caught.value.intuit_tid.startswith("1-")


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_intuit_s_client_finds_a_forged_id_token(client: AuthClient) -> None:
    client.get_bearer_token(approved(client, [Scopes.OPENID]))
    head, claims, signature = client.id_token.split(".")
    about = (client.client_id, client.issuer_uri, client.jwks_uri)
    assert validate_id_token(client.id_token, *about)
    forged = f"{head}.{claims}.{signature[:-8]}{'A' * 8}"
    assert not validate_id_token(forged, *about)
