"""What QuickBooks pushes: signed notes that something changed, in both of its forms.

Source: Intuit, "Webhooks". `intuit-signature` is base64(HMAC-SHA256(verifier token, raw body)). CloudEvents
(an array) since 2026; before, one object with `eventNotifications`. At least once, in no order, several
companies in one body.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from qbsync.quickbooks.exactjson import UnreadableJson, load_json, objects_in

MOST_EVENTS: Final = 1000
"""Intuit sends up to 100 in a body; what holds many more is not from Intuit."""


class UnreadableWebhook(ValueError):
    """The body is none of the two known forms."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One object of one company changed."""

    id: str | None
    """The event's own id; None in the older form, which has none."""
    realm: str
    entity: str
    """In lower case: "invoice", "payment"."""
    entity_id: str
    operation: str
    """In lower case: created, updated, deleted, voided, merged, emailed."""


def signed_by(verifier_token: SecretStr, *, body: bytes, signature: str) -> bool:
    """Whether the signature is that of this body; compared in constant time."""
    expected = hmac.new(verifier_token.get_secret_value().encode(), body, hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(expected), signature.encode("ascii", "replace"))


def parse_webhook(body: bytes) -> tuple[WebhookEvent, ...]:
    """The events of a body; those that are of no use (no realm, no object) are left out.

    Raises UnreadableWebhook for any other form. Check the signature first.
    """
    try:
        content = load_json(body)
    except UnreadableJson as error:
        raise UnreadableWebhook(f"the body of a webhook is no JSON: {error}") from None
    events = _cloud_events(content) if isinstance(content, list) else _notifications(content)
    found: list[WebhookEvent] = []
    for event in events:
        if len(found) == MOST_EVENTS:
            raise UnreadableWebhook(f"more than {MOST_EVENTS} events in one webhook")
        if event.realm and event.entity_id:
            found.append(event)
    return tuple(found)


def _cloud_events(content: list[Any]) -> Iterator[WebhookEvent]:
    for entry in content:
        if not isinstance(entry, Mapping):
            raise UnreadableWebhook("an event of a webhook is no object")
        # qbo.<entity>.<operation>.v1
        kind = str(entry.get("type", "")).lower().split(".")
        if len(kind) >= 3:
            yield WebhookEvent(
                id=_text(entry.get("id")) or None,
                realm=_text(entry.get("intuitaccountid")),
                entity=kind[1],
                entity_id=_text(entry.get("intuitentityid")),
                operation=kind[2],
            )


def _notifications(content: object) -> Iterator[WebhookEvent]:
    if not isinstance(content, Mapping) or not isinstance(content.get("eventNotifications"), list):
        raise UnreadableWebhook("a webhook holds neither CloudEvents nor eventNotifications")
    for notification in objects_in(content["eventNotifications"]):
        change = notification.get("dataChangeEvent")
        entities = change.get("entities") if isinstance(change, Mapping) else None
        for entity in objects_in(entities):
            operation = _text(entity.get("operation")).lower()
            yield WebhookEvent(
                id=None,
                realm=_text(notification.get("realmId")),
                entity=_text(entity.get("name")).lower(),
                entity_id=_text(entity.get("id")),
                operation=_PAST.get(operation, operation),
            )


_PAST: Final = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "void": "voided",
    "merge": "merged",
    "emailed": "emailed",
}


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
