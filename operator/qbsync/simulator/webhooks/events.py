"""One change as an app hears of it, in Intuit's two forms, and the signature over the bytes sent."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.entities.kinds import Change
from qbsync.simulator.pacific import PACIFIC

# Kinds that Intuit's portal offers for webhooks, and are played here; the portal calls CompanyCurrency Currency.
TOLD = {
    name: name
    for name in (
        *(
            "Account",
            "Class",
            "CreditMemo",
            "Customer",
            "Department",
            "Employee",
            "Invoice",
            "Item",
            "Payment",
        ),
        *("Preferences", "SalesReceipt", "TaxAgency", "Term", "Vendor"),
    )
} | {"CompanyCurrency": "Currency"}

_LEGACY_OPERATIONS = {
    Change.CREATED: "Create",
    Change.UPDATED: "Update",
    Change.DELETED: "Delete",
    Change.VOIDED: "Void",
    Change.MERGED: "Merge",
    Change.EMAILED: "Emailed",
}


class Format(StrEnum):
    """How a POST is written: CloudEvents since 2026-07-31, the older form before."""

    CLOUDEVENTS = "cloudevents"
    LEGACY = "legacy"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one entity. `at` is business time, seconds since the epoch."""

    id: str
    realm_id: str
    entity: str
    entity_id: str
    change: Change
    at: float


def cloudevents(events: Sequence[Event], *, client_id: str) -> bytes:
    """The array of the current form; one POST may speak of several companies."""
    digest = hashlib.sha256(client_id.encode()).digest()
    source = f"intuit.{base64.b64encode(digest).decode()}"
    return jsoncodec.dump([_cloudevent(event, source) for event in events])


def legacy(events: Sequence[Event], *, with_offset: bool) -> bytes:
    """The older form: changes grouped by company."""
    realms: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        realms.setdefault(event.realm_id, []).append(
            {
                "name": event.entity,
                "id": event.entity_id,
                "operation": _LEGACY_OPERATIONS[event.change],
                "lastUpdated": _offset_time(event.at) if with_offset else _zulu_time(event.at),
            }
        )
    notifications = [
        {"realmId": realm, "dataChangeEvent": {"entities": entities}} for realm, entities in realms.items()
    ]
    return jsoncodec.dump({"eventNotifications": notifications})


def signature(body: bytes, verifier_token: str) -> str:
    """The header `intuit-signature`: HMAC-SHA256 over the raw body, in base64."""
    return base64.b64encode(hmac.digest(verifier_token.encode(), body, "sha256")).decode()


def _cloudevent(event: Event, source: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": f"qbo.{event.entity.lower()}.{event.change}.v1",
        "datacontenttype": "application/json",
        "time": _nanosecond_time(event.at),
        "intuitentityid": event.entity_id,
        "intuitaccountid": event.realm_id,
        "data": {},
    }


def _nanosecond_time(at: float) -> str:
    fraction = f"{at:.9f}".partition(".")[2]
    return f"{datetime.fromtimestamp(int(at), UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def _zulu_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def _offset_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, PACIFIC):%Y-%m-%dT%H:%M:%S%z}"
