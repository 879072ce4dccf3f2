"""Several writes in one call, each with its own outcome.

Source: Intuit, "Batch operations": items run one after another, independent of each other, in one HTTP 200;
an item is found by its `bId`, never by its place. Items have no requestid of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import SecretStr

from qbsync.quickbooks.answers import refusal
from qbsync.quickbooks.entities import Entity
from qbsync.quickbooks.errors import QuickBooksError, ServerFailure
from qbsync.quickbooks.exactjson import objects_in

MOST_ITEMS: Final = 30
"""Intuit's recommendation; its SDKs refuse more."""
LONGEST_REQUESTID: Final = 36
LONGEST_BID: Final = 10
"""Intuit, "request ID": with a requestid, a batch's id and its items' ids are shorter."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One create of a batch."""

    bid: str
    """At most ten characters, different in every item."""
    entity: str
    body: Mapping[str, Any] = field(repr=False)


BatchOutcomes = Mapping[str, Entity | QuickBooksError]
"""What became of each item, by `bid`."""


def batch_body(items: Sequence[BatchItem]) -> dict[str, Any]:
    """The request. Raises ValueError for too many items and for a bId that is too long or not unique."""
    bids = {item.bid for item in items}
    if not 0 < len(items) <= MOST_ITEMS:
        raise ValueError(f"a batch has 1 to {MOST_ITEMS} items")
    if len(bids) < len(items) or any(not 0 < len(bid) <= LONGEST_BID for bid in bids):
        raise ValueError(f"every item of a batch needs its own bId of 1 to {LONGEST_BID} characters")
    return {
        "BatchItemRequest": [
            {"bId": item.bid, "operation": "create", item.entity: item.body} for item in items
        ]
    }


def batch_outcomes(
    items: Sequence[BatchItem],
    body: Mapping[str, Any],
    *,
    intuit_tid: str | None,
    redact: Sequence[SecretStr],
) -> BatchOutcomes:
    """What became of each item of a batch that was answered; an item without a clear answer is unknown."""
    parts = objects_in(body.get("BatchItemResponse"))
    outcomes: dict[str, Entity | QuickBooksError] = {}
    for item in items:
        own = [part for part in parts if part.get("bId") == item.bid]
        outcomes[item.bid] = _outcome(item, own, intuit_tid, redact)
    return outcomes


def _outcome(
    item: BatchItem, own: Sequence[Mapping[str, Any]], tid: str | None, redact: Sequence[SecretStr]
) -> Entity | QuickBooksError:
    if len(own) == 1:
        refused = refusal(own[0], status=200, intuit_tid=tid, redact=redact)
        found = own[0].get(item.entity)
        if refused is not None and found is None:
            return refused
        if refused is None and isinstance(found, Mapping) and found.get("Id"):
            return Entity(found, intuit_tid=tid)
    return ServerFailure(
        f"QuickBooks' answer to a batch says nothing clear about the {item.entity}: whether it exists is unknown",
        status=200,
        intuit_tid=tid,
    )
