"""Intuit's OAuth client for Python, unchanged: only its `environment` is the simulator's discovery document.

intuitlib 1.2.6 takes any `environment` but production and sandbox for a discovery URL (utils.get_discovery_doc).
"""

import pytest
from intuitlib.client import AuthClient
from intuitlib.enums import Scopes
from intuitlib.exceptions import AuthClientError
from requests import Session

from fixtures.simulator_server import Door
from sdk.conftest import parameters
from sdk.consent import Person
from sdk.python_client import CALLBACK

# intuitlib reads the time with datetime.utcnow(), deprecated since Python 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
DAY = 24 * 3600


@pytest.fixture
def client(simulator: Door) -> AuthClient:
    with AuthClient(
        simulator.ready["client_id"],
        simulator.ready["client_secret"],
        CALLBACK,
        f"{simulator.base_url}/.well-known/openid_sandbox_configuration/",
    ) as client:
        yield client


def connect(client: AuthClient, person: Person, *scopes: Scopes) -> None:
    """The whole way from the app's button to its tokens."""
    callback = person.decide(client.get_authorization_url(list(scopes or (Scopes.ACCOUNTING,))))
    answer = parameters(callback)
    assert answer["state"] == client.state_token
    client.get_bearer_token(answer["code"], realm_id=answer["realmId"])


def test_it_connects_a_company(client: AuthClient, person: Person, simulator: Door) -> None:
    connect(client, person)
    assert client.realm_id == simulator.realm_id
    assert client.expires_in == 3600
    assert client.x_refresh_token_expires_in == 8726400
    assert client.access_token
    assert client.refresh_token


def test_the_person_chooses_the_company(client: AuthClient, person: Person, simulator: Door) -> None:
    other = simulator.realm()
    callback = person.decide(client.get_authorization_url([Scopes.ACCOUNTING]), company=other)
    assert parameters(callback)["realmId"] == other


def test_a_person_may_deny(client: AuthClient, person: Person) -> None:
    callback = person.decide(client.get_authorization_url([Scopes.ACCOUNTING]), button="Deny")
    assert parameters(callback) == {"error": "access_denied", "state": client.state_token}


def test_a_code_is_good_once_and_its_second_use_ends_the_grant(client: AuthClient, person: Person) -> None:
    callback = parameters(person.decide(client.get_authorization_url([Scopes.ACCOUNTING])))
    client.get_bearer_token(callback["code"])
    with pytest.raises(AuthClientError) as refused:
        client.get_bearer_token(callback["code"])
    assert refused.value.status_code == 400
    with pytest.raises(AuthClientError, match="invalid_grant"):
        client.refresh()


def test_a_refresh_gives_the_same_refresh_token_for_a_day_and_then_another(
    client: AuthClient, person: Person, simulator: Door
) -> None:
    connect(client, person)
    access, refresh = client.access_token, client.refresh_token
    client.refresh()
    assert (client.access_token != access, client.refresh_token) == (True, refresh)
    simulator.advance(DAY + 1)
    client.refresh()
    assert client.refresh_token != refresh


def test_a_replaced_refresh_token_is_an_invalid_grant(
    client: AuthClient, person: Person, simulator: Door
) -> None:
    connect(client, person)
    stale = client.refresh_token
    simulator.advance(DAY + 1)
    client.refresh()
    with pytest.raises(AuthClientError) as refused:
        client.refresh(refresh_token=stale)
    assert refused.value.status_code == 400
    assert b'"invalid_grant"' in refused.value.content
    assert refused.value.intuit_tid


def test_a_wrong_secret_is_an_invalid_client(client: AuthClient, person: Person) -> None:
    connect(client, person)
    client.client_secret = "wrong"
    with pytest.raises(AuthClientError) as refused:
        client.refresh()
    assert (refused.value.status_code, refused.value.content) == (401, b'{"error":"invalid_client"}')


def test_the_user_is_told_apart_by_the_id_token(client: AuthClient, person: Person) -> None:
    """intuitlib keeps an id_token only after it has checked issuer, audience, expiry and signature."""
    connect(client, person, Scopes.ACCOUNTING, Scopes.OPENID, Scopes.EMAIL)
    assert client.id_token is not None
    assert client.get_user_info().json()["email"] == "craig@example.com"


def test_without_openid_there_is_no_id_token(client: AuthClient, person: Person) -> None:
    connect(client, person)
    assert client.id_token is None


def test_user_info_wants_a_living_token(client: AuthClient) -> None:
    with pytest.raises(AuthClientError) as refused:
        client.get_user_info(access_token="dead")
    assert refused.value.status_code == 401


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
def test_revoking_either_token_ends_the_connection(
    client: AuthClient, person: Person, simulator: Door, which: str
) -> None:
    connect(client, person)
    assert client.revoke(token=getattr(client, which))
    with pytest.raises(AuthClientError, match="invalid_grant"):
        client.refresh()
    with Session() as session:
        answer = session.get(
            f"{simulator.base_url}/v3/company/{client.realm_id}/companyinfo/{client.realm_id}",
            headers={"Authorization": f"Bearer {client.access_token}"},
        )
    assert answer.status_code == 401


def test_a_gateway_error_page_is_no_token(client: AuthClient, person: Person, simulator: Door) -> None:
    connect(client, person)
    simulator.fault({"operation": "refresh"}, {"html": True, "status": 502})
    with pytest.raises(AuthClientError) as refused:
        client.refresh()
    assert refused.value.status_code == 502
    client.refresh()
