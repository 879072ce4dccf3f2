"""Counting metered reads per application and month, and telling a used-up allowance from a throttle."""

from datetime import UTC, datetime, timedelta

import pytest

from fakes.clock import FakeClock
from qbsync.quickbooks.metering import Meter, ReadsBlocked, Thrift, Usage

BUDGET = 1000


class Office:
    """A meter with two companies of one app and one of another."""

    def __init__(self, clock: FakeClock | None = None, budget: int = BUDGET) -> None:
        self.clock = clock or FakeClock()
        self.changes = 0
        self.meter = Meter(clock=self.clock, budget=budget, on_block=self._changed)
        for company, app in (("a", "app"), ("b", "app"), ("c", "other")):
            self.meter.resume(company, None)
            self.meter.assign(company, app, metered=True)

    def _changed(self) -> None:
        self.changes += 1

    def read(self, company: str = "a", times: int = 1, status: int = 200) -> None:
        for _ in range(times):
            self.meter.count(company, operation="query", status=status, metered=status == 200)

    def write(self, company: str = "a", status: int = 200) -> None:
        self.meter.count(company, operation="create", status=status, metered=False)

    async def blocked(self) -> None:
        self.read(times=800)
        for _ in range(15):
            self.read(status=429)
            self.write()
            await self.clock.advance(timedelta(minutes=1))
        self.read(status=429)


def test_reads_count_for_the_whole_app_and_writes_for_the_company() -> None:
    office = Office()
    office.read("a", 3)
    office.read("b", 2)
    office.read("c", 7)
    office.write("a")
    assert office.meter.usage("a") == Usage("2026-11", reads=3, writes=1, app_reads=5)
    assert office.meter.usage("c").app_reads == 7
    assert office.meter.remaining("b") == BUDGET - 5


def test_refused_calls_count_for_nothing() -> None:
    office = Office()
    office.read(status=429)
    office.write(status=400)
    office.meter.count("a", operation="read", status=None, metered=False)
    assert office.meter.usage("a") == Usage("2026-11")


def test_a_sandbox_is_not_metered() -> None:
    office = Office(budget=10)
    office.meter.assign("a", "app", metered=False)
    office.read("a", 10)
    assert office.meter.usage("a") == Usage("2026-11", reads=10)
    assert office.meter.thrift("a") is Thrift.NONE


def test_an_earlier_process_is_gone_on_from_and_another_month_is_not() -> None:
    meter = Meter(clock=FakeClock(), budget=BUDGET)
    meter.resume("a", Usage("2026-11", 5, 2, 90))
    meter.resume("b", Usage("2026-10", 500, 2, 900))
    meter.count("a", operation="read", status=200, metered=True)
    meter.assign("a", "app", metered=True)
    meter.assign("b", "app", metered=True)
    assert meter.usage("a") == Usage("2026-11", 6, 2, 91)
    assert meter.usage("b") == Usage("2026-11", 0, 0, 91)


async def test_a_new_month_is_a_new_allowance() -> None:
    office = Office(FakeClock(datetime(2026, 11, 30, 23, 59, tzinfo=UTC)))
    office.read(times=960)
    assert office.meter.thrift("a") is Thrift.NO_NAMES
    await office.clock.advance(timedelta(minutes=1))
    assert office.meter.usage("a") == Usage("2026-12")
    assert office.meter.thrift("a") is Thrift.NONE


@pytest.mark.parametrize(
    ("reads", "thrift"),
    [(799, Thrift.NONE), (800, Thrift.NO_DRIFT), (900, Thrift.NO_PAYMENTS), (950, Thrift.NO_NAMES)],
)
def test_less_is_spent_the_less_there_is(reads: int, thrift: Thrift) -> None:
    office = Office()
    office.read("b", reads)
    assert office.meter.thrift("a") is thrift
    assert office.meter.thrift("c") is Thrift.NONE


async def test_a_429_is_a_throttle_unless_writes_succeed_for_a_quarter_of_an_hour() -> None:
    office = Office()
    office.read(times=800)
    for _ in range(14):
        office.read(status=429)
        office.write()
        await office.clock.advance(timedelta(minutes=1))
    office.read(status=429)
    assert not office.meter.blocked("a")
    await office.clock.advance(timedelta(minutes=1))
    office.read(status=429)
    assert office.meter.blocked("b")
    assert not office.meter.blocked("c")
    assert office.changes == 1


async def test_with_enough_left_or_without_writes_it_stays_a_throttle() -> None:
    for reads, writes in ((799, True), (800, False)):
        office = Office()
        office.read(times=reads)
        for _ in range(60):
            office.read(status=429)
            office.write(status=200 if writes else 429)
            await office.clock.advance(timedelta(minutes=1))
        assert not office.meter.blocked("a")


async def test_one_good_read_of_any_company_ends_the_doubt() -> None:
    office = Office()
    office.read(times=800)
    for minute in range(30):
        office.read("a", status=429)
        office.write("a")
        office.read("b", status=200 if minute % 10 == 0 else 429)
        await office.clock.advance(timedelta(minutes=1))
    assert not office.meter.blocked("a")


async def test_blocked_reads_are_tried_once_an_hour_until_one_succeeds() -> None:
    office = Office()
    await office.blocked()
    with pytest.raises(ReadsBlocked, match="60 min"):
        office.meter.before_read("b")
    assert office.meter.probe_in("a") == timedelta(hours=1)
    await office.clock.advance(timedelta(hours=1))
    office.meter.before_read("b")
    with pytest.raises(ReadsBlocked):
        office.meter.before_read("a")
    office.read("b", status=429)
    assert office.meter.blocked("a")
    await office.clock.advance(timedelta(hours=1))
    office.meter.before_read("a")
    office.read("a")
    assert not office.meter.blocked("b")
    office.meter.before_read("b")
    assert office.changes == 2
