"""Where a connection may point, and one client per company."""

import random
from datetime import timedelta
from typing import Any

import pytest

from fakes.clock import FakeClock
from qbsync.api.connection import Limits, QuickBooksConnectionSpec
from qbsync.companies import CompanyClients, EndpointPolicy
from qbsync.engine.breaker import Circuits
from qbsync.engine.keys import Company
from qbsync.quickbooks.oauth import QUICKBOOKS_PRODUCTION, QUICKBOOKS_SANDBOX
from qbsync.quickbooks.transport import HttpTransport
from qbsync.tokens.errors import EndpointRefused
from qbsync.tokens.spec import GrantSpec

CLOSED = EndpointPolicy.of(allow_custom_endpoints=False, custom_endpoint=())
OPEN = EndpointPolicy.of(allow_custom_endpoints=True, custom_endpoint=())
NAMED = EndpointPolicy.of(allow_custom_endpoints=False, custom_endpoint=("qbo.example.com:443",))


def spec(environment: str, api: str = "", token: str = "") -> QuickBooksConnectionSpec:
    content: dict[str, Any] = {
        "realmId": "9341453908123456",
        "environment": environment,
        "clientSecretRef": {"name": "app"},
    }
    if api:
        content["endpoints"] = {"api": api, "token": token or f"{api}/token"}
    return QuickBooksConnectionSpec.model_validate(content)


def test_quickbooks_own_addresses_need_no_flag() -> None:
    assert CLOSED.provider(spec("Production")) == QUICKBOOKS_PRODUCTION
    assert CLOSED.provider(spec("Sandbox")) == QUICKBOOKS_SANDBOX


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_needs_the_flag(host: str) -> None:
    custom = spec("Custom", f"http://{host}:8480")
    assert OPEN.provider(custom).api_origin == f"http://{host}:8480"
    with pytest.raises(EndpointRefused, match="--allow-custom-endpoints"):
        CLOSED.provider(custom)


def test_another_host_must_be_named_and_speak_https() -> None:
    assert (
        NAMED.provider(spec("Custom", "https://qbo.example.com")).token_url == "https://qbo.example.com/token"
    )
    with pytest.raises(EndpointRefused, match=r"--custom-endpoint qbo\.example\.com:443"):
        OPEN.provider(spec("Custom", "https://qbo.example.com"))
    with pytest.raises(EndpointRefused, match="not https"):
        NAMED.provider(spec("Custom", "http://qbo.example.com"))


def test_every_endpoint_is_checked() -> None:
    with pytest.raises(EndpointRefused, match=r"elsewhere\.example\.com"):
        OPEN.provider(spec("Custom", "http://127.0.0.1:1", "https://elsewhere.example.com/token"))


def grant(uid: str = "u", requested: str | None = None) -> GrantSpec:
    return GrantSpec(
        namespace="ns",
        name="acme",
        uid=uid,
        realm="9341453908123456",
        environment="Sandbox",
        provider=QUICKBOOKS_SANDBOX,
        client_secret_name="app",
        tokens_secret_name="acme-qbsync-tokens",
        requested_at=requested,
    )


async def test_a_company_keeps_its_client_until_its_grant_is_described_otherwise() -> None:
    transport = HttpTransport(max_connections=1)
    clients = CompanyClients(
        circuits=Circuits(clock=FakeClock(), rng=random.Random(1)),
        transport=transport,
        clock=FakeClock(),
        server_timeout=timedelta(seconds=120),
        tokens_of=lambda _: None,  # type: ignore[arg-type, return-value]
        observer_of=lambda _: None,  # type: ignore[arg-type, return-value]
    )
    company = Company("ns", "acme")
    assert clients.known(company) is None
    first = clients.connect(company, grant(), Limits())
    assert clients.connect(company, grant(requested="now"), Limits()) is first
    assert clients.known(company) is first
    assert clients.connect(company, grant(), Limits(requests_per_second=2)) is not first
    assert clients.connect(company, grant(uid="v"), Limits()) is not first
    clients.forget(company)
    assert clients.known(company) is None
    await transport.aclose()
