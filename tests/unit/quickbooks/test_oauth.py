"""The token endpoint: what is sent, what every answer means, and that nothing secret is told."""

import base64
import dataclasses
import json
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from qbsync.quickbooks import errors
from qbsync.quickbooks.oauth import (
    QUICKBOOKS_PRODUCTION,
    QUICKBOOKS_SANDBOX,
    ClientCredentials,
    OAuthClient,
    TokenAnswer,
)
from qbsync.quickbooks.transport import HttpResponse
from unit.quickbooks.scripted import ScriptedTransport, Step, answer, fault, recorded_bytes

CREDENTIALS = ClientCredentials("AB-client", SecretStr("client-secret-1"))
REFRESH = SecretStr("RT1-39-H3-1785429816 +&=sent")
MINUTE = timedelta(minutes=1)


async def refresh(*steps: Step) -> TokenAnswer:
    client = OAuthClient(transport=ScriptedTransport(*steps))
    return await client.refresh(
        provider=QUICKBOOKS_PRODUCTION, credentials=CREDENTIALS, refresh_token=REFRESH, timeout=MINUTE
    )


async def refused(step: Step) -> errors.TokenError:
    with pytest.raises(errors.TokenError) as caught:
        await refresh(step)
    for secret in (REFRESH, CREDENTIALS.client_secret):
        assert secret.get_secret_value() not in f"{caught.value!r} {vars(caught.value)}"
    return caught.value


def mock_body(name: str) -> bytes:
    """The body inside one of Intuit's mocks, which wrap it in a response."""
    body: str = json.loads(recorded_bytes(f"oauth-jsclient/{name}.json"))["body"]
    return body.encode()


async def test_the_request() -> None:
    transport = ScriptedTransport(answer(raw=mock_body("authResponse")))
    await OAuthClient(transport=transport).refresh(
        provider=QUICKBOOKS_PRODUCTION, credentials=CREDENTIALS, refresh_token=REFRESH, timeout=MINUTE
    )
    (request,) = transport.requests
    assert (request.method, request.url) == (
        "POST",
        "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
    )
    assert (
        request.headers["authorization"] == "Basic " + base64.b64encode(b"AB-client:client-secret-1").decode()
    )
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    assert request.headers["x-include-refresh-token-hard-expires-in"] == "true"
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [REFRESH.get_secret_value()],
    }
    assert transport.timeouts == [MINUTE]


@pytest.mark.parametrize(
    ("raw", "soft", "hard"),
    [
        (mock_body("authResponse"), 8726400, None),
        (recorded_bytes("oauth-jsclient/hard_expires_token_response.json"), 8726400, 156032154),
        (recorded_bytes("oauth-jsclient/openID-token.json"), 8726400, None),
        (recorded_bytes("dotnet-sdk/success_refreshtoken_response.json"), 15552000, None),
    ],
)
async def test_recorded_grants(raw: bytes, soft: int, hard: int | None) -> None:
    granted = await refresh(answer(raw=raw))
    body = json.loads(raw)
    assert granted.access_token.get_secret_value() == body["access_token"]
    assert granted.refresh_token is not None
    assert granted.refresh_token.get_secret_value() == body["refresh_token"]
    assert granted.expires_in == timedelta(hours=1)
    assert granted.refresh_expires_in == timedelta(seconds=soft)
    assert granted.refresh_hard_expires_in == (timedelta(seconds=hard) if hard is not None else None)
    assert granted.intuit_tid == "1-5f733c5a-55d0ff60"
    assert body["access_token"] not in repr(granted)
    assert body["refresh_token"] not in repr(granted)


async def test_a_grant_without_refresh_token_keeps_the_old_one() -> None:
    granted = await refresh(answer({"access_token": "a", "expires_in": 60, "refresh_token": ""}))
    assert granted.refresh_token is None
    assert granted.expires_in == timedelta(minutes=1)


@pytest.mark.parametrize("odd", [None, 0, -1, "soon", True, [], "NaN", {}])
async def test_an_unreadable_lifetime_never_loses_a_token(odd: object) -> None:
    body = {"access_token": "a", "refresh_token": "r", "expires_in": odd, "x_refresh_token_expires_in": odd}
    granted = await refresh(answer(body))
    assert granted.expires_in == timedelta(hours=1)
    assert granted.refresh_expires_in is None


async def test_epoch_milliseconds_in_place_of_seconds_do_not_overflow() -> None:
    granted = await refresh(answer({"access_token": "a", "expires_in": 1536130629063}))
    assert granted.expires_in == timedelta(days=3650)


GRANT = {"error": "invalid_grant"}
TOLD = {"error": "invalid_grant", "error_description": f"Incorrect {REFRESH.get_secret_value()}"}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(raw=mock_body("errorResponse"), status=400), errors.InvalidGrant),
        (answer(GRANT, status=400), errors.InvalidGrant),
        (answer(TOLD, status=400), errors.InvalidGrant),
        (answer(GRANT, status=401), errors.InvalidGrant),
        (answer({"error": "invalid_client"}, status=401), errors.InvalidClient),
        (answer({"error": "invalid_client"}, status=400), errors.InvalidClient),
        (answer({"error": "invalid_request"}, status=400), errors.TokenRequestRefused),
        (answer(GRANT, status=403), errors.TokenRequestRefused),
        (answer({"message": "no"}, status=400), errors.TokenRequestRefused),
        (answer({"error": ["invalid_grant"]}, status=400), errors.TokenRequestRefused),
        (fault("3200", status=401), errors.TokenRequestRefused),
        (answer(GRANT, status=429), errors.TokenNotProcessed),
        (answer(raw=b"", status=429), errors.TokenNotProcessed),
        (answer(GRANT, status=500), errors.TokenPerhapsProcessed),
        (answer(GRANT, status=408), errors.TokenPerhapsProcessed),
        (answer(GRANT, status=302), errors.TokenPerhapsProcessed),
        (answer(raw=b'{"error":"invalid_grant"', status=400), errors.TokenPerhapsProcessed),
        (answer(raw=b"<html>invalid_grant</html>", status=400), errors.TokenPerhapsProcessed),
        (answer(raw=b"", status=502), errors.TokenPerhapsProcessed),
        (answer(GRANT, status=200), errors.TokenPerhapsProcessed),
        (answer({"access_token": ""}, status=200), errors.TokenPerhapsProcessed),
        (answer({"access_token": 5}, status=200), errors.TokenPerhapsProcessed),
        (answer([], status=200), errors.TokenPerhapsProcessed),
        (answer(raw=b'{"access_token":"a","refresh_to', status=200), errors.TokenPerhapsProcessed),
        (errors.NotSent("not sent: refused"), errors.TokenNotProcessed),
        (errors.NoAnswer("no answer: broken"), errors.TokenPerhapsProcessed),
    ],
)
async def test_what_a_refusal_means(
    response: HttpResponse | Exception, expected: type[errors.TokenError]
) -> None:
    error = await refused(response)
    assert type(error) is expected
    if isinstance(response, HttpResponse):
        assert error.status == response.status
        assert error.intuit_tid == response.headers["intuit_tid"]


async def test_a_refusal_tells_the_providers_words() -> None:
    error = await refused(answer(raw=mock_body("errorResponse"), status=400))
    assert (error.code, error.oauth_error, error.description) == (
        "invalid_grant",
        "invalid_grant",
        "Token invalid",
    )
    assert "400 invalid_grant (Token invalid)" in str(error)


async def test_a_new_refresh_token_beside_a_missing_access_token_is_handed_on() -> None:
    error = await refused(answer({"refresh_token": "rotated"}))
    assert isinstance(error, errors.TokenPerhapsProcessed)
    assert error.received is not None
    assert error.received.get_secret_value() == "rotated"
    assert "rotated" not in repr(error)


def test_the_environments_differ_only_in_the_api() -> None:
    api_origin = "https://sandbox-quickbooks.api.intuit.com"
    assert dataclasses.replace(QUICKBOOKS_PRODUCTION, api_origin=api_origin) == QUICKBOOKS_SANDBOX
