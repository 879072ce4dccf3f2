"""Codes and revocations at the OAuth endpoints: what is sent, what answers mean, and that nothing secret is told."""

import dataclasses
import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from qbsync.quickbooks import errors
from qbsync.quickbooks.oauth import QUICKBOOKS_PRODUCTION, ClientCredentials, OAuthClient, TokenAnswer
from qbsync.quickbooks.transport import HttpResponse
from unit.quickbooks.scripted import ScriptedTransport, Step, answer

CREDENTIALS = ClientCredentials("AB-client", SecretStr("client-secret-1"))
CODE = SecretStr("XAB117 &=code-that-was-given")
TOKEN = SecretStr("RT1-39-H3-the-token")
REDIRECT = "https://example.com/callback"
MINUTE = timedelta(minutes=1)
GRANTED = {
    "access_token": "AT",
    "refresh_token": "RT",
    "expires_in": 3600,
    "x_refresh_token_expires_in": 8726400,
}


async def exchange(*steps: Step) -> tuple[TokenAnswer, ScriptedTransport]:
    transport = ScriptedTransport(*steps)
    got = await OAuthClient(transport=transport).exchange(
        provider=QUICKBOOKS_PRODUCTION,
        credentials=CREDENTIALS,
        code=CODE,
        redirect_uri=REDIRECT,
        timeout=MINUTE,
    )
    return got, transport


async def revoke(*steps: Step) -> ScriptedTransport:
    transport = ScriptedTransport(*steps)
    await OAuthClient(transport=transport).revoke(
        provider=QUICKBOOKS_PRODUCTION, credentials=CREDENTIALS, token=TOKEN, timeout=MINUTE
    )
    return transport


async def test_a_code_is_exchanged_with_its_redirect_address() -> None:
    got, transport = await exchange(answer({**GRANTED, "x_refresh_token_hard_expires_in": 157494248}))
    (request,) = transport.requests
    assert request.url == QUICKBOOKS_PRODUCTION.token_url
    assert request.headers["x-include-refresh-token-hard-expires-in"] == "true"
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["authorization_code"],
        "code": [CODE.get_secret_value()],
        "redirect_uri": [REDIRECT],
    }
    assert got.refresh_token is not None
    assert got.refresh_token.get_secret_value() == "RT"
    assert got.refresh_hard_expires_in == timedelta(seconds=157494248)


@pytest.mark.parametrize(
    ("step", "kind", "said"),
    [
        (answer({"error": "invalid_grant"}, status=400), errors.InvalidGrant, "connect the company again"),
        (answer({"error": "invalid_client"}, status=401), errors.InvalidClient, "client secret"),
        (answer({"error": "invalid_request"}, status=400), errors.TokenRequestRefused, "invalid_request"),
        (answer({}, status=429), errors.TokenNotProcessed, "throttles"),
        (answer(raw=b"<html>", status=502), errors.TokenPerhapsProcessed, "code may be spent"),
        (answer({"access_token": "AT"}), errors.TokenPerhapsProcessed, "without a refresh token"),
        (errors.NotSent("no connection"), errors.TokenNotProcessed, "no connection"),
        (errors.NoAnswer("cut off"), errors.TokenPerhapsProcessed, "cut off"),
        (
            answer({"error": "invalid_grant", "error_description": CODE.get_secret_value()}, status=400),
            errors.InvalidGrant,
            "redacted",
        ),
    ],
)
async def test_what_became_of_a_code(step: Step, kind: type[errors.TokenError], said: str) -> None:
    with pytest.raises(errors.TokenError) as caught:
        await exchange(step)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    for secret in (CODE, CREDENTIALS.client_secret):
        assert secret.get_secret_value() not in f"{caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_a_revocation(body: bytes) -> None:
    transport = await revoke(answer(raw=body))
    (request,) = transport.requests
    assert (request.method, request.url) == ("POST", QUICKBOOKS_PRODUCTION.revoke_url)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"].startswith("Basic ")
    assert json.loads(request.body) == {"token": TOKEN.get_secret_value()}


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (answer({"error": "invalid_grant"}, status=400), errors.InvalidGrant),
        (answer({"error": "invalid_client"}, status=401), errors.InvalidClient),
        (answer({"error": "invalid_request"}, status=400), errors.TokenRequestRefused),
        (HttpResponse(503, {}, b""), errors.TokenPerhapsProcessed),
        (errors.NotSent("no connection"), errors.TokenNotProcessed),
    ],
)
async def test_a_revocation_that_failed(step: Step, kind: type[errors.TokenError]) -> None:
    with pytest.raises(kind):
        await revoke(step)


async def test_nothing_is_revoked_without_an_endpoint() -> None:
    transport = ScriptedTransport()
    with pytest.raises(errors.TokenNotProcessed, match=r"endpoints\.revoke"):
        await OAuthClient(transport=transport).revoke(
            provider=dataclasses.replace(QUICKBOOKS_PRODUCTION, revoke_url=""),
            credentials=CREDENTIALS,
            token=TOKEN,
            timeout=MINUTE,
        )
    assert transport.requests == []


def test_the_consent_page() -> None:
    url = QUICKBOOKS_PRODUCTION.consent_url(client_id="AB", redirect_uri=REDIRECT, state="s")
    assert url.startswith("https://appcenter.intuit.com/connect/oauth2?")
    assert parse_qs(urlsplit(url).query) == {
        "client_id": ["AB"],
        "response_type": ["code"],
        "scope": ["com.intuit.quickbooks.accounting"],
        "redirect_uri": [REDIRECT],
        "state": ["s"],
    }
