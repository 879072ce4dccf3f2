"""Overdue comes at midnight, without asking QuickBooks, also after a restart."""

from datetime import UTC, datetime, timedelta

from fixtures.invoices_scene import Scene, eventually, running
from fixtures.simulator_server import RunningSimulator
from qbsync.api.meta import Kind
from qbsync.engine.clock import SystemClock


class Elsewhen(SystemClock):
    """The machine's clock, begun at another moment."""

    def __init__(self, start: datetime) -> None:
        self._offset = start - super().now()

    def now(self) -> datetime:
        return super().now() + self._offset


async def test_it_becomes_overdue_by_itself_and_after_a_restart(simulator: RunningSimulator) -> None:
    simulator.reset()
    midnight = datetime(2027, 3, 1, 8, tzinfo=UTC)
    start = midnight - timedelta(seconds=1.5)
    simulator.advance((start - datetime.now(UTC)).total_seconds())
    async with running(Scene(simulator, clock=Elsewhen(start))) as scene:
        scene.connect(time_zone="America/Los_Angeles")
        scene.apply("a", "A-1", invoice={"dueDate": "2027-02-28"})
        scene.apply("b", "B-1", invoice={"dueDate": "2027-03-01"})
        status = await scene.until("a", "Created")
        await scene.until("b", "Created")
        assert (status["paymentStatus"], status["dueDate"]) == ("Unpaid", "2027-02-28")
        asked = simulator.counters()["meteredReads"]
        await eventually(lambda: scene.status("a")["paymentStatus"] == "Overdue", "overdue")
        assert scene.status("b")["paymentStatus"] == "Unpaid"
        assert scene.reason("a") == "Created"
        assert scene.objects.writes == 3
    later = Scene(simulator, clock=Elsewhen(midnight + timedelta(days=1)), objects=scene.objects)
    async with running(later) as scene:
        scene.connect(time_zone="America/Los_Angeles")
        for name in "ab":
            scene.intake.event(Kind.INVOICE, "ADDED", scene.objects.objects[Kind.INVOICE, "ns", name])
        await eventually(lambda: scene.status("b")["paymentStatus"] == "Overdue", "overdue")
        await scene.reporter.flush()
        assert scene.objects.writes == 4
    assert simulator.counters()["meteredReads"] == asked
