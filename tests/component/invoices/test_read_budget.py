"""When metered reads run short: what is told, and what is given up."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from fixtures.feedback_scene import Followed, following
from fixtures.invoices_scene import ACME, SERVER_TIMEOUT, eventually
from fixtures.simulator_server import Door, RunningSimulator
from qbsync.invoices.drift import Effort

INTERVAL = timedelta(seconds=1)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator("--server-timeout", f"{SERVER_TIMEOUT.total_seconds()}s") as started:
        yield started


@asynccontextmanager
async def company(door: Door, budget: int) -> AsyncIterator[Followed]:
    door.reset()
    async with following(Followed(door, interval=INTERVAL, budget=budget)) as scene:
        scene.connect(environment="Production")
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
