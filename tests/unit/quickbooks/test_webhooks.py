"""Webhooks: whose they are, and what they tell."""

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from qbsync.quickbooks.webhooks import (
    MOST_EVENTS,
    UnreadableWebhook,
    WebhookEvent,
    parse_webhook,
    signed_by,
)
from unit.quickbooks.scripted import recorded_bytes

TOKEN = SecretStr("a-verifier-token")  # made up


def signature(body: bytes, token: str = TOKEN.get_secret_value()) -> str:
    return base64.b64encode(hmac.new(token.encode(), body, hashlib.sha256).digest()).decode()


def test_a_body_is_accepted_with_its_own_signature_only() -> None:
    body = recorded_bytes("dotnet-sdk/webhook_cloudevents.json")
    assert signed_by(TOKEN, body=body, signature=signature(body))
    assert not signed_by(TOKEN, body=body + b" ", signature=signature(body))
    assert not signed_by(TOKEN, body=body, signature=signature(body, "another-token"))


@given(st.text())
def test_no_forged_signature_passes(forged: str) -> None:
    assert signed_by(TOKEN, body=b"[]", signature=forged) == (forged == signature(b"[]"))


def test_cloud_events() -> None:
    assert parse_webhook(recorded_bytes("dotnet-sdk/webhook_cloudevents.json")) == (
        WebhookEvent("d1a3aedd-9670-41bf-a4f9-c148a1cc4e03", "310687", "class", "1234", "created"),
    )


def test_the_older_form() -> None:
    assert parse_webhook(recorded_bytes("dotnet-sdk/webhook_legacy.json")) == (
        WebhookEvent(None, "1269959970", "vendor", "40", "updated"),
        WebhookEvent(None, "1269959970", "customer", "43", "created"),
    )
    assert [
        event.entity
        for event in parse_webhook(recorded_bytes("fyle-qbo-api/webhook_payload_multi_entity.json"))
    ] == ["account", "item"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"{}", b"[1]", b'"x"', b'{"eventNotifications": {}}', b"\xff"]
)
def test_anything_else_is_no_webhook(body: bytes) -> None:
    with pytest.raises(UnreadableWebhook):
        parse_webhook(body)


def test_events_of_no_use_are_left_out() -> None:
    body = json.dumps([{"type": "qbo.invoice.updated.v1", "intuitentityid": "1"}, {"type": "hello"}, {}])
    assert parse_webhook(body.encode()) == ()
    assert parse_webhook(b'{"eventNotifications": [{"realmId": "1"}, 7]}') == ()


def test_a_flood_of_events_is_refused() -> None:
    event = {"type": "qbo.invoice.updated.v1", "intuitentityid": "1", "intuitaccountid": "2"}
    assert len(parse_webhook(json.dumps([event] * MOST_EVENTS).encode())) == MOST_EVENTS
    with pytest.raises(UnreadableWebhook):
        parse_webhook(json.dumps([event] * (MOST_EVENTS + 1)).encode())


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    try:
        events = parse_webhook(body)
    except UnreadableWebhook:
        return
    assert isinstance(events, tuple)
