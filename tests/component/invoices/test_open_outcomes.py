"""A create whose outcome is open keeps its number, whatever becomes of its object meanwhile."""

import time
from datetime import timedelta
from typing import Any

from fakes.objects import MemoryObjects
from fixtures.invoices_scene import Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.api.meta import INVOICE_FINALIZER, Kind
from qbsync.engine.grace import TakeoverGrace


async def sent_without_an_answer(scene: Scene, **spec: Any) -> None:
    """InvoiceSync a, whose create QuickBooks carries out long after it gave up answering."""
    scene.door.switch(requestidMemory="forget", duplicateDocCheck=False)
    scene.door.fault({"operation": "create"}, {"status": 504, "commitAfterSeconds": 0.9})
    scene.apply("a", "A-1", **spec)
    await scene.until("a", "OutcomeUnknown")


async def one_invoice(scene: Scene) -> None:
    """All that was sent has arrived, and it came to one invoice."""
    await eventually(lambda: bool(scene.door.invoices("A-1")), "the late commit")
    await eventually(lambda: scene.workers.in_work == 0, "nothing under way")
    assert len(scene.door.invoices("A-1")) == 1


async def test_of_an_object_that_was_suspended_meanwhile(scene: Scene) -> None:
    await sent_without_an_answer(scene)
    scene.change("a", suspend=True)
    scene.apply("b", "A-1")
    await scene.until("b", "DocNumberConflict", "Created")
    await one_invoice(scene)
    assert scene.reason("b") == "DocNumberConflict"
    scene.change("a", suspend=False)
    await scene.until("a", "Recovered")


async def test_of_an_object_that_asks_for_more_than_is_permitted_meanwhile(scene: Scene) -> None:
    await sent_without_an_answer(scene)
    scene.change("a", deletionPolicy="Delete")
    await scene.until("a", "NotPermitted")
    scene.apply("b", "A-1")
    await scene.until("b", "DocNumberConflict", "Created")
    await one_invoice(scene)
    assert scene.reason("b") == "DocNumberConflict"
    scene.change("a", deletionPolicy="Retain")
    await scene.until("a", "Recovered")


async def test_an_object_that_was_refused_meanwhile_sends_nothing_before_that_is_settled(
    scene: Scene,
) -> None:
    await sent_without_an_answer(scene)
    scene.change("a", deletionPolicy="Delete")
    await scene.until("a", "NotPermitted")
    scene.change("a", deletionPolicy="Retain")
    await scene.until("a", "Recovered", "Created")
    await one_invoice(scene)
    assert scene.reason("a") == "Recovered"


async def test_without_a_number_a_refusal_does_not_forget_where_to_search(scene: Scene) -> None:
    scene.door.switch(requestidMemory="forget")
    scene.door.fault({"operation": "create"}, {"drop": "after"})
    scene.apply("a", "", invoice={"docNumber": None})
    await scene.until("a", "OutcomeUnknown")
    scene.change("a", deletionPolicy="Delete")
    await scene.until("a", "NotPermitted")
    scene.change("a", deletionPolicy="Retain")
    await scene.until("a", "Recovered", "Created")
    assert scene.door.counters()["requests"]["create"] == 1


async def test_of_an_object_that_is_deleted_while_another_process_has_taken_over(simulator: Door) -> None:
    simulator.reset()
    objects = MemoryObjects()
    async with running(Scene(simulator, objects=objects)) as first:
        first.connect()
        await sent_without_an_answer(first)
    async with running(Scene(simulator, objects=objects)) as second:
        second.connect()
        second.intake.event(Kind.INVOICE, None, objects.objects[Kind.INVOICE, "ns", "a"])
        second.delete("a")
        second.apply("a", "A-1", uid="uid-again")
        await second.until("a", "Recovered", "Created")
        await one_invoice(second)
        assert second.reason("a") == "Recovered"


async def test_of_an_inherited_object_whose_deletion_waits_for_it(simulator: Door) -> None:
    simulator.reset()
    grace = TakeoverGrace(until=time.monotonic() + 1.0)
    async with running(Scene(simulator, grace=grace, patience=timedelta(hours=1))) as scene:
        scene.connect()
        body = scene.objects.add(
            Kind.INVOICE,
            "old",
            connectionRef={"name": "acme"},
            deletionPolicy="Void",
            invoice={
                "docNumber": "A-1",
                "customer": {"id": "1"},
                "lines": [{"item": {"id": "1"}, "amount": "1.00"}],
            },
        )
        body["metadata"]["finalizers"] = [INVOICE_FINALIZER]
        scene.intake.event(Kind.INVOICE, None, body)
        scene.delete("old")
        scene.apply("new", "A-1")
        await scene.until("new", "Created")
        assert time.monotonic() >= grace.until
