"""What a status says is so: nothing paid that is void, nothing refused that stands, nothing waiting unsaid."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fixtures.invoices_scene import ACME, Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.api.meta import Kind


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Scene]:
    simulator.reset()
    async with running(Scene(simulator)) as made:
        made.connect(permit={"adoption": ["IfMatching", "Always", "Never"], "deletion": ["Void", "Retain"]})
        yield made


async def created(scene: Scene, **spec: Any) -> str:
    scene.apply("a", "A-1", **spec)
    return str((await scene.until("a", "Created"))["quickbooksId"])


async def gone(scene: Scene) -> None:
    await eventually(lambda: (Kind.INVOICE, "ns", "a") not in scene.objects.objects, "gone")


def void(scene: Scene, id_: str) -> None:
    scene.door.post(f"/_simulator/invoices/{id_}/void", {})


async def test_a_void_invoice_is_not_paid_in_mode_observe(scene: Scene) -> None:
    id_ = await created(scene)
    scene.change("a", mode="Observe")
    await scene.until("a", "Observed")
    void(scene, id_)
    status = await scene.handled("a")
    assert status["paymentStatus"] == "Voided"
    assert scene.condition("a", "Drifted")["message"] == "voided in QuickBooks"


async def test_a_void_invoice_is_not_paid_when_it_is_adopted(scene: Scene) -> None:
    void(scene, scene.door.write_invoice("A-1"))
    scene.apply("a", "A-1", adoption="Always")
    status = await scene.until("a", "Adopted")
    assert status["paymentStatus"] == "Voided"


async def test_a_void_invoice_is_not_paid_when_it_is_found_again(scene: Scene) -> None:
    id_ = await created(scene, source={"system": "shop", "id": "1"})
    note = scene.door.invoices("A-1")[0]["PrivateNote"]
    void(scene, id_)
    scene.door.post(f"/_simulator/invoices/{id_}/edit", {"PrivateNote": note})
    scene.delete("a")
    scene.apply("a", "A-1", uid="uid-again", source={"system": "shop", "id": "1"})
    await scene.until("a", "InvalidInvoice")
    assert scene.status("a")["paymentStatus"] == "Voided"


async def test_a_name_that_is_gone_does_not_refuse_an_invoice_that_stands(scene: Scene) -> None:
    """Nothing is to be written, so nobody has to be found."""
    row = await scene.client.create("Customer", {"DisplayName": "Old name"}, requestid="c", before_send=print)
    id_ = await created(scene, invoice={"customer": {"name": "Old name"}})
    changed = {"Id": row["Id"], "SyncToken": row["SyncToken"], "DisplayName": "New name"}
    await scene.client.update("Customer", changed, requestid="u", before_send=print)
    scene.reconciler._desk(ACME).references.forget()
    status = await scene.handled("a")
    assert (scene.reason("a"), status["outcome"]) == ("Created", "Unchanged")
    void(scene, id_)
    assert (await scene.handled("a"))["paymentStatus"] == "Voided"
    assert scene.reason("a") == "Created"
    scene.door.post(f"/_simulator/invoices/{id_}/delete", {})
    await scene.handled("a")
    assert scene.reason("a") == "DeletedInQuickBooks"
    scene.edit("a", customerMemo="Thank you")
    await eventually(lambda: scene.status("a")["observedGeneration"] == 2, "seen")
    assert scene.reason("a") == "DeletedInQuickBooks"


@pytest.mark.parametrize("at_rest", [{"mode": "Observe"}, {"suspend": True}], ids=str)
async def test_what_must_not_be_touched_is_not_voided_either(scene: Scene, at_rest: dict[str, Any]) -> None:
    await created(scene, deletionPolicy="Void")
    scene.change("a", **at_rest)
    await eventually(lambda: scene.status("a")["observedGeneration"] == 2, "seen", lambda: scene.status("a"))
    scene.delete("a")
    await gone(scene)
    assert scene.door.requests("void") == []
    assert "ReleasedWithoutVoid" in scene.noted.events


async def test_a_deletion_that_waits_says_why(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator, patience=timedelta(hours=1))) as scene:
        scene.connect()
        await created(scene, deletionPolicy="Void")
        scene.door.fault({"operation": "void"}, {"status": 503}, times=100)
        scene.delete("a")
        await scene.until("a", "OutcomeUnknown")
        assert "what became of the invoice" in scene.condition("a", "Ready")["message"]
        scene.door.clear_faults()
        await gone(scene)
        assert [row["TotalAmt"] for row in scene.door.invoices("A-1")] == [0]


async def test_a_sync_that_is_asked_for_twice_does_not_change_why_it_is_ready(scene: Scene) -> None:
    await created(scene)
    scene.edit("a", customerMemo="Thank you")
    await scene.until("a", "Updated")
    await scene.handled("a")
    reads = scene.door.counters()["meteredReads"]
    await scene.handled("a")
    await eventually(lambda: scene.workers.in_work == 0, "nothing under way")
    assert scene.reason("a") == "Updated"
    assert scene.door.counters()["meteredReads"] == reads + 1


async def test_an_update_of_an_invoice_that_is_deleted_meanwhile_says_so(scene: Scene) -> None:
    id_ = await created(scene)
    scene.door.fault({"operation": "update"}, {"delaySeconds": 0.5})
    scene.edit("a", customerMemo="Thank you")
    await eventually(lambda: bool(scene.door.requests("update")), "the update under way")
    scene.door.post(f"/_simulator/invoices/{id_}/delete", {})
    await scene.until("a", "DeletedInQuickBooks", "ReferenceNotFound")
    assert scene.reason("a") == "DeletedInQuickBooks"


@pytest.mark.parametrize(
    ("code", "reason"), [("6540", "VoidRefused"), ("2030", "VoidRefused"), ("6210", "PeriodClosed")]
)
async def test_a_void_that_quickbooks_refuses_for_good_is_not_tried_again_and_again(
    scene: Scene, code: str, reason: str
) -> None:
    await created(scene, deletionPolicy="Void")
    scene.door.fault({"operation": "void"}, {"fault": code}, times=10)
    scene.delete("a")
    await scene.until("a", reason)
    assert "force-delete" in scene.condition("a", "Ready")["message"]
    assert len(scene.door.requests("void")) == 1
    assert scene.condition("a", "Stalled")["status"] == "True"


async def test_a_number_is_the_same_with_blanks_around_it(scene: Scene) -> None:
    scene.door.write_invoice("A-1")
    scene.apply("a", " A-1 ")
    await scene.until("a", "Adopted")
    scene.apply("b", " B-1 ")
    await scene.until("b", "Created")
    assert len(scene.door.invoices("B-1")) == 1
