"""The control door's view of webhooks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qbsync.simulator.webhooks import endpoints
from qbsync.simulator.webhooks.endpoints import UnreadableEndpoint
from qbsync.simulator.webhooks.outbox import Delivery, Outbox

if TYPE_CHECKING:  # World holds the webhooks
    from qbsync.simulator.world import World


def shown(world: "World") -> dict[str, Any]:
    """Each app's endpoint and what became of its events."""
    return {"endpoints": [_box(box) for box in world.webhooks]}


def configured(world: "World", body: Mapping[str, Any]) -> dict[str, Any]:
    """Set the endpoint of an app, the first one unless `clientId` names another; a null `url` takes it away.

    Raises UnreadableEndpoint.
    """
    client_id = body.get("clientId") or world.authority.client.client_id
    if not isinstance(client_id, str) or client_id not in world.authority.apps:
        raise UnreadableEndpoint(f"there is no app {client_id!r}")
    if "url" in body and body["url"] is None:
        world.webhooks.configure(client_id, None)
    else:
        token = world.webhooks.new_verifier_token()
        world.webhooks.configure(client_id, endpoints.read(body, verifier_token=token))
    return shown(world)


def _box(box: Outbox) -> dict[str, Any]:
    endpoint = box.endpoint
    return {
        "clientId": box.client_id,
        "url": endpoint.url,
        "verifierToken": endpoint.verifier_token,
        "format": str(endpoint.format),
        "entities": sorted(endpoint.entities) if endpoint.entities is not None else None,
        "sent": box.sent,
        "acknowledged": box.acknowledged,
        "pending": box.pending,
        "lost": box.lost,
        "lastError": box.last_error,
        "deliveries": [_delivery(delivery) for delivery in box.deliveries()],
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    done = delivery.acknowledged_at
    return {
        "number": delivery.number,
        "events": [
            {"realmId": e.realm_id, "entity": e.entity, "id": e.entity_id, "change": str(e.change)}
            for e in delivery.events
        ],
        "attempts": delivery.attempts,
        "acknowledged": _iso(done) if done is not None else None,
        "nextAttempt": _iso(delivery.due) if done is None else None,
        "lastError": delivery.last_error,
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
