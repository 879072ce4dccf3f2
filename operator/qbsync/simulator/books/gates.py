"""What stands before every change through the API: the subscription, the SyncToken, closed and deposited books."""

from collections.abc import Mapping
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.checks import require
from qbsync.simulator.faults import (
    deposited,
    period_closed,
    stale_object,
    subscription_ended,
)
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.switches import Switches


def check_subscription(switches: Switches) -> None:
    """Raise Refusal 6190 where the company no longer pays."""
    if switches.on("subscriptionEnded"):
        raise subscription_ended()


def check_token(
    switches: Switches, kind_name: str, before: Mapping[str, Any], body: Mapping[str, Any]
) -> None:
    """Raise Refusal 2020 without a SyncToken, 5010 for one that is not the entity's."""
    require(body, "SyncToken")
    if str(body["SyncToken"]) != before["SyncToken"]:
        raise stale_object(kind_name if switches.on("staleObjectEntity") else None)


def check_period(company: Company, *documents: JsonObject | None) -> None:
    """Raise Refusal 6210 for a transaction dated in books that are closed (AccountingInfoPrefs.BookCloseDate)."""
    closed = company.preference("AccountingInfoPrefs", "BookCloseDate")
    for document in documents:
        if closed and document is not None and "TxnDate" in document and document["TxnDate"] <= str(closed):
            raise period_closed()


def check_deposited(document: Mapping[str, Any]) -> None:
    """Raise Refusal 6540 for money that has been taken to the bank."""
    if any(link.get("TxnType") == "Deposit" for link in document.get("LinkedTxn", [])):
        raise deposited()
