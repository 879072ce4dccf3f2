"""When metered reads run short: what is told, and what is given up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from fixtures.feedback_scene import Followed, following
from fixtures.invoices_scene import ACME, eventually
from fixtures.simulator_server import Door
from qbsync.engine.clock import SystemClock
from qbsync.invoices.drift import Effort

INTERVAL = timedelta(seconds=1)


class Hasty(SystemClock):
    """Waits a hundred times as fast as it says, and can leap; what day it is it knows."""

    PACE = 100

    def __init__(self) -> None:
        self._leaps, self._begin = 0.0, super().monotonic()

    def monotonic(self) -> float:
        return (super().monotonic() - self._begin) * self.PACE + self._leaps

    async def sleep(self, duration: timedelta) -> None:
        await super().sleep(duration / self.PACE)

    def leap(self, duration: timedelta) -> None:
        """So much later."""
        self._leaps += duration.total_seconds()


@asynccontextmanager
async def company(door: Door, budget: int, *, lookup: str = "Always", **more: Any) -> AsyncIterator[Followed]:
    door.reset()
    async with following(Followed(door, budget=budget, **{"interval": INTERVAL, **more})) as scene:
        scene.connect(environment="Production", lookup=lookup)
        scene.wake()
        scene.hear()
        yield scene


async def created(scene: Followed, name: str, number: str) -> str:
    scene.apply(name, number)
    return str((await scene.until(name, "Created"))["quickbooksId"])


async def test_drift_is_given_up_first_then_payments_and_the_lookup_before_a_create_never(
    simulator: Door,
) -> None:
    async with company(simulator, budget=100) as scene:
        assert scene.feedback is not None
        usage, meter = scene.feedback.usage, scene.feedback.meter
        await created(scene, "a", "A-1")
        await eventually(lambda: usage.affords(ACME, Effort.DRIFT), "enough")
        for share, affordable in ((80, {Effort.PAYMENTS}), (90, set())):
            while meter.usage(ACME).app_reads < share:
                meter.count(ACME, operation="query", status=200, metered=True)
            assert {effort for effort in Effort if usage.affords(ACME, effort)} == affordable
        asked = scene.calls("cdc")
        await created(scene, "b", "B-1")
        assert scene.calls("cdc") == asked


async def test_running_low_is_announced_once_and_told_in_status(simulator: Door) -> None:
    async with company(simulator, budget=100) as scene:
        assert scene.feedback is not None
        await created(scene, "a", "A-1")
        meter = scene.feedback.meter
        while meter.usage(ACME).app_reads < 85:
            meter.count(ACME, operation="query", status=200, metered=True)
        scene.feedback.usage.woken(ACME)
        await eventually(lambda: "ReadBudgetLow" in scene.noted.events, "announced")
        assert scene.connection.status["usage"]["appReads"] >= 85
        scene.feedback.usage.woken(ACME)
        meter.count(ACME, operation="query", status=200, metered=True)
        scene.feedback.usage.woken(ACME)
        await eventually(lambda: scene.connection.status["usage"]["appReads"] >= 86, "told")
        assert scene.noted.events.count("ReadBudgetLow") == 1


def use_up(scene: Followed, clock: Hasty) -> None:
    """The month's allowance is gone: for a quarter of an hour reads get nothing but 429, while writes succeed."""
    assert scene.feedback is not None
    meter = scene.feedback.meter
    while meter.usage(ACME).app_reads < meter.budget:
        meter.count(ACME, operation="query", status=200, metered=True)
    for operation, status in (("query", 429), ("create", 200), ("query", 429)):
        meter.count(ACME, operation=operation, status=status, metered=operation == "query")
        clock.leap(timedelta(minutes=10))
    assert meter.blocked(ACME)


async def test_without_reads_a_new_invoice_waits_says_so_and_goes_on_when_one_succeeds(
    simulator: Door,
) -> None:
    clock = Hasty()
    async with company(simulator, budget=100, clock=clock, interval=timedelta(days=10)) as scene:
        assert scene.feedback is not None
        await created(scene, "a", "A-1")
        use_up(scene, clock)
        asked = scene.calls("query")
        scene.apply("b", "B-1")
        status = await scene.until("b", "ConnectionNotReady")
        ready = scene.condition("b", "Ready")
        assert ready["status"] == "Unknown"
        assert "Intuit's monthly read allowance of the app is used up: tried again in" in ready["message"]
        assert scene.condition("b", "Reconciling")["status"] == "True"
        assert scene.condition("b", "Stalled") == {}
        assert datetime.fromisoformat(status["nextRetryTime"]) <= clock.now() + timedelta(minutes=2)
        assert (scene.calls("query"), scene.calls("create")) == (asked, 1)
        # An hour later one read is tried, and answered: reads are free again.
        clock.leap(timedelta(hours=1))
        await scene.until("b", "Created")
        assert not scene.feedback.meter.blocked(ACME)
        assert len(simulator.invoices("B-1")) == 1
        await created(scene, "c", "C-1")


async def test_without_reads_a_company_that_looks_up_in_doubt_only_goes_on_creating(simulator: Door) -> None:
    clock = Hasty()
    more = {"clock": clock, "interval": timedelta(days=10)}
    async with company(simulator, budget=100, lookup="WhenInDoubt", **more) as scene:
        await created(scene, "a", "A-1")
        use_up(scene, clock)
        await created(scene, "b", "B-1")
        assert scene.feedback is not None
        assert scene.feedback.meter.blocked(ACME)
        assert scene.calls("query") == 0
