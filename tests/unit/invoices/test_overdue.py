"""Overdue by the calendar of the company."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from qbsync.api.invoice import InvoiceSyncStatus, PaymentStatus
from qbsync.invoices.overdue import aged, overdue_in, zone

LA = "America/Los_Angeles"


def status(
    payment: PaymentStatus, *, balance: str = "100.00", due: date | None = date(2026, 11, 30)
) -> InvoiceSyncStatus:
    return InvoiceSyncStatus(
        payment_status=payment, balance=Decimal(balance), total_amount=Decimal("100.00"), due_date=due
    )


@pytest.mark.parametrize(
    ("time_zone", "midnight"),
    [
        ("UTC", datetime(2026, 12, 1, tzinfo=UTC)),
        (LA, datetime(2026, 12, 1, 8, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2026, 11, 30, 11, tzinfo=UTC)),
        ("No/Such_Zone", datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_it_becomes_overdue_at_the_midnight_after_its_due_date(time_zone: str, midnight: datetime) -> None:
    unpaid = status(PaymentStatus.UNPAID)
    before = midnight - timedelta(seconds=1)
    assert overdue_in(unpaid, now=before, time_zone=time_zone) == timedelta(seconds=1)
    assert aged(unpaid, now=before, time_zone=time_zone) is unpaid
    assert overdue_in(unpaid, now=midnight, time_zone=time_zone) is None
    assert aged(unpaid, now=midnight, time_zone=time_zone).payment_status is PaymentStatus.OVERDUE


@pytest.mark.parametrize(
    "settled",
    [
        status(PaymentStatus.PAID),
        status(PaymentStatus.VOIDED),
        status(PaymentStatus.UNPAID, due=None),
        InvoiceSyncStatus(),
    ],
)
def test_what_is_settled_or_has_no_due_date_never_is(settled: InvoiceSyncStatus) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    assert overdue_in(settled, now=now, time_zone="UTC") is None
    assert aged(settled, now=now, time_zone="UTC") is settled


@pytest.mark.parametrize(
    ("balance", "again"), [("100.00", PaymentStatus.UNPAID), ("40.00", PaymentStatus.PARTIALLY_PAID)]
)
def test_a_later_date_or_another_time_zone_takes_it_back(balance: str, again: PaymentStatus) -> None:
    overdue = status(PaymentStatus.OVERDUE, balance=balance)
    assert aged(overdue, now=datetime(2026, 12, 1, 1, tzinfo=UTC), time_zone=LA).payment_status is again


def test_a_night_with_a_change_of_clocks_has_its_own_midnight() -> None:
    assert overdue_in(
        status(PaymentStatus.UNPAID, due=date(2026, 3, 8)),
        now=datetime(2026, 3, 8, 8, tzinfo=UTC),
        time_zone=LA,
    ) == timedelta(hours=23)


def test_an_unknown_zone_is_utc() -> None:
    assert zone("../etc/passwd") is UTC
