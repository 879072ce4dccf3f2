"""`send: AfterCreate`: one e-mail for each invoice that was created here, and never a second one."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.objects import MemoryObjects
from fixtures.invoices_scene import SERVER_TIMEOUT, Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.api.meta import RECREATE, Kind

TO = {"billEmail": "customer@example.com"}


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Scene]:
    simulator.reset()
    async with running(Scene(simulator)) as made:
        made.connect(permit={"send": True})
        yield made


def order(scene: Scene, name: str = "a", number: str = "A-1", **spec: Any) -> None:
    scene.apply(name, number, send="AfterCreate", invoice={**TO, **spec.pop("invoice", {})}, **spec)


def outcomes(scene: Scene, name: str = "a") -> list[str]:
    return [entry["outcome"] for entry in scene.status(name).get("history", ())]


def message(scene: Scene, name: str = "a") -> str:
    return str(scene.condition(name, "Ready")["message"])


async def told(scene: Scene, outcome: str, name: str = "a") -> dict[str, Any]:
    await eventually(
        lambda: outcome in outcomes(scene, name) and "intent" not in scene.status(name),
        outcome,
        lambda: scene.status(name),
    )
    return scene.status(name)


async def test_an_invoice_that_is_created_is_e_mailed_once(scene: Scene) -> None:
    order(scene)
    status = await told(scene, "Sent")
    assert status["emailStatus"] == "EmailSent"
    assert outcomes(scene) == ["Sent", "Created"]
    assert scene.reason("a") == "Created"
    assert message(scene).endswith("created; e-mailed")
    assert "InvoiceSent" in scene.noted.events
    await scene.handled("a")
    scene.edit("a", customerMemo="Thank you")
    await scene.until("a", "Updated")
    assert len(scene.door.requests("send")) == 1


async def test_never_is_the_default(scene: Scene) -> None:
    scene.apply("a", "A-1", invoice=TO)
    await scene.until("a", "Created")
    scene.change("a", send="AfterCreate")
    await scene.handled("a")
    assert scene.door.requests("send") == []


async def test_without_an_address_it_says_so_before_anything_is_sent(scene: Scene) -> None:
    scene.apply("a", "A-1", send="AfterCreate")
    await scene.until("a", "InvalidInvoice")
    assert "needs spec.invoice.billEmail" in message(scene)
    assert scene.door.requests("create") == []


async def test_an_adopted_invoice_is_not_e_mailed(scene: Scene) -> None:
    scene.door.write_invoice("A-1", BillEmail={"Address": "customer@example.com"})
    order(scene)
    await scene.until("a", "Adopted")
    await scene.handled("a")
    assert scene.door.requests("send") == []


async def test_a_recovered_invoice_is_e_mailed_unless_it_was(scene: Scene) -> None:
    scene.door.fault({"operation": "create"}, {"drop": "after"})
    order(scene)
    await scene.until("a", "Recovered")
    await told(scene, "Sent")
    scene.delete("a")
    order(scene, uid="uid-again")
    await scene.until("a", "Recovered")
    await scene.handled("a")
    assert len(scene.door.requests("send")) == 1


@pytest.mark.parametrize("memory", ["replay", "forget", "fault600"])
@pytest.mark.parametrize(
    ("effect", "outcome"),
    [
        ({"drop": "before"}, "NotSent"),
        ({"drop": "after"}, "Sent"),
        ({"status": 503}, "NotSent"),
        ({"status": 504, "commit": True}, "Sent"),
        ({"status": 504, "commitAfterSeconds": 0.9}, "Sent"),
    ],
    ids=str,
)
async def test_an_e_mail_whose_outcome_is_unknown_is_not_sent_again(
    scene: Scene, effect: dict[str, Any], outcome: str, memory: str
) -> None:
    scene.door.switch(requestidMemory=memory)
    scene.door.fault({"operation": "send"}, effect)
    started = time.monotonic()
    order(scene)
    await told(scene, outcome)
    assert time.monotonic() - started >= SERVER_TIMEOUT.total_seconds()
    assert scene.reason("a") == "Created"
    assert len(scene.door.requests("send")) == 1
    assert len(scene.door.requests("read")) == 1
    if outcome == "NotSent":
        assert "did not confirm" in message(scene)
        assert "InvoiceNotSent" in scene.noted.events


async def test_what_quickbooks_refuses_to_send_is_told(scene: Scene) -> None:
    scene.door.fault({"operation": "send"}, {"fault": "2010"})
    order(scene)
    status = await told(scene, "NotSent")
    assert status["lastError"]["code"] == "2010"
    assert "refused to e-mail it" in message(scene)
    assert scene.reason("a") == "Created"
    assert len(scene.door.requests("send")) == 1


async def test_the_intent_is_stored_before_the_e_mail_is_sent(scene: Scene) -> None:
    scene.door.fault({"operation": "send"}, {"drop": "before"})
    order(scene)
    await eventually(lambda: bool(scene.door.requests("send")), "sent")
    intent = scene.status("a")["intent"]
    assert intent["operation"] == "send"
    assert intent["time"]
    assert scene.door.requests("send")[0]["requestid"] == intent["requestId"]


async def test_an_e_mail_that_could_not_leave_is_sent_later(scene: Scene) -> None:
    scene.door.fault({"operation": "create"}, {"delaySeconds": 0.3})
    order(scene)
    await eventually(lambda: bool(scene.door.requests("create")), "creating")
    scene.fence.leads = False
    await scene.until("a", "Created")
    await eventually(lambda: scene.status("a").get("intent") == {"operation": "send"}, "due")
    assert scene.door.requests("send") == []
    scene.fence.leads = True
    await told(scene, "Sent")
    assert len(scene.door.requests("send")) == 1


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "sent"])
async def test_another_process_does_not_send_it_again(simulator: Door, lost: bool) -> None:
    simulator.reset()
    simulator.switch(requestidMemory="forget")
    objects = MemoryObjects()
    async with running(Scene(simulator, objects=objects)) as first:
        first.connect(permit={"send": True})
        simulator.fault({"operation": "send"}, {"drop": "before" if lost else "after"})
        order(first)
        await eventually(lambda: "time" in first.status("a").get("intent", {}), "about to send")
        await eventually(lambda: bool(simulator.requests("send")), "sent")
        first.fence.leads = False
        first.workers.stop_taking()
    async with running(Scene(simulator, objects=objects)) as second:
        second.connect(permit={"send": True})
        second.intake.event(Kind.INVOICE, None, objects.objects[Kind.INVOICE, "ns", "a"])
        await told(second, "NotSent" if lost else "Sent")
    assert len(simulator.requests("send")) == 1


async def test_an_e_mail_that_was_only_due_is_sent_by_the_next_process(simulator: Door) -> None:
    simulator.reset()
    objects = MemoryObjects()
    async with running(Scene(simulator, objects=objects)) as first:
        first.connect(permit={"send": True})
        simulator.fault({"operation": "create"}, {"delaySeconds": 0.3})
        order(first)
        await eventually(lambda: bool(simulator.requests("create")), "creating")
        first.fence.leads = False
        await first.until("a", "Created")
    async with running(Scene(simulator, objects=objects)) as second:
        second.connect(permit={"send": True})
        second.intake.event(Kind.INVOICE, None, objects.objects[Kind.INVOICE, "ns", "a"])
        await told(second, "Sent")
    assert len(simulator.requests("send")) == 1


async def test_a_change_goes_out_before_the_e_mail(scene: Scene) -> None:
    scene.door.fault({"operation": "create"}, {"delaySeconds": 0.3})
    order(scene)
    await eventually(lambda: bool(scene.door.requests("create")), "creating")
    scene.edit("a", customerMemo="Thank you")
    await told(scene, "Sent")
    assert [entry["operation"] for entry in scene.door.requests()][-2:] == ["update", "send"]
    assert scene.reason("a") == "Updated"


async def test_a_void_invoice_or_one_sent_by_hand_is_not_e_mailed(scene: Scene) -> None:
    for name, verb in (("a", "void"), ("b", "send")):
        scene.fence.leads = True
        scene.door.fault({"operation": "create"}, {"delaySeconds": 0.3})
        created = len(scene.door.requests("create"))
        order(scene, name, f"N-{name}")
        await eventually(lambda count=created: len(scene.door.requests("create")) > count, "creating")
        scene.fence.leads = False
        id_ = (await scene.until(name, "Created"))["quickbooksId"]
        if verb == "void":
            scene.door.post(f"/_simulator/invoices/{id_}/void", {})
        else:
            scene.door.post(f"/_simulator/invoices/{id_}/edit", {"EmailStatus": "EmailSent"})
        await scene.handled(name)
        scene.fence.leads = True
        await told(scene, "NotSent", name)
    assert scene.door.requests("send") == []


async def test_a_new_invoice_in_place_of_a_deleted_one_is_e_mailed_too(scene: Scene) -> None:
    order(scene)
    id_ = (await told(scene, "Sent"))["quickbooksId"]
    scene.door.post(f"/_simulator/invoices/{id_}/delete", {})
    await scene.handled("a")
    scene.annotate("a", RECREATE, "1")
    await eventually(lambda: outcomes(scene)[:2] == ["Sent", "Created"], "again", lambda: scene.status("a"))
    assert len(scene.door.requests("send")) == 2


async def test_many_are_each_sent_once(scene: Scene) -> None:
    for number in range(20):
        order(scene, f"i{number}", f"A-{number}")
    await asyncio.gather(*(told(scene, "Sent", f"i{number}") for number in range(20)))
    sent = [entry["entityId"] for entry in scene.door.requests("send")]
    assert len(sent) == len(set(sent)) == 20
