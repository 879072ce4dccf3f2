"""Overdue is a matter of the calendar: nobody has to ask QuickBooks, only to look again at the right midnight. Pure."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from qbsync.api.invoice import InvoiceSyncStatus, PaymentStatus

_OPEN: Final = frozenset({PaymentStatus.UNPAID, PaymentStatus.PARTIALLY_PAID, PaymentStatus.OVERDUE})


def zone(name: str) -> tzinfo:
    """The time zone of that IANA name; UTC where there is none of that name, so that dates go on."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def is_open(status: InvoiceSyncStatus) -> bool:
    """Whether something of the invoice is still to be paid."""
    return status.payment_status in _OPEN


def aged(status: InvoiceSyncStatus, *, now: datetime, time_zone: str) -> InvoiceSyncStatus:
    """The same with the payment status of today; the very same object if the day changes nothing."""
    if not is_open(status) or status.due_date is None:
        return status
    late = status.due_date < now.astimezone(zone(time_zone)).date()
    today = PaymentStatus.OVERDUE if late else _unpaid(status)
    return status if today is status.payment_status else status.model_copy(update={"payment_status": today})


def overdue_in(status: InvoiceSyncStatus, *, now: datetime, time_zone: str) -> timedelta | None:
    """How long until it becomes overdue: the midnight that ends its due date, where the company is.

    None if it is overdue already, or never will be.
    """
    if not is_open(status) or status.due_date is None:
        return None
    midnight = datetime.combine(status.due_date + timedelta(days=1), time(), tzinfo=zone(time_zone))
    remaining = midnight.astimezone(UTC) - now
    return remaining if remaining > timedelta() else None


def _unpaid(status: InvoiceSyncStatus) -> PaymentStatus:
    balance, total = status.balance or Decimal(0), status.total_amount or Decimal(0)
    return PaymentStatus.UNPAID if balance >= total else PaymentStatus.PARTIALLY_PAID
