"""After the create: changes of the spec, of the books, and of both, on the simulator over HTTP."""

import logging
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from fixtures.invoices_scene import Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.api.meta import ADOPT, FORCE_DELETE, RECREATE, Kind


def edit(scene: Scene, id_: str, **fields: Any) -> None:
    """A bookkeeper changes an invoice in QuickBooks."""
    scene.door.post(f"/_simulator/invoices/{id_}/edit", fields)


async def created(scene: Scene, name: str = "a", number: str = "A-1", **spec: Any) -> str:
    scene.apply(name, number, **spec)
    return str((await scene.until(name, "Created"))["quickbooksId"])


# -- the spec moves -------------------------------------------------------------------------------------------


async def test_a_change_of_the_spec_is_one_sparse_update(scene: Scene) -> None:
    id_ = await created(scene)
    reads = scene.door.counters()["meteredReads"]
    scene.edit("a", customerMemo="Thank you", dueDate="2027-01-31")
    status = await scene.until("a", "Updated")
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["Id"], invoice["SyncToken"]) == (id_, "1")
    assert (invoice["CustomerMemo"], invoice["DueDate"]) == ({"value": "Thank you"}, "2027-01-31")
    assert (status["syncToken"], status["outcome"], status["origin"]) == ("1", "Updated", "Created")
    assert scene.door.counters()["meteredReads"] == reads + 1
    assert len(scene.door.requests("update")) == 1


async def test_changed_lines_change_the_total(scene: Scene) -> None:
    await created(scene)
    lines = [
        {"item": {"id": "1"}, "quantity": "3", "unitPrice": "128.35"},
        {"text": "Thank you"},
        {"discount": {"percent": "10"}},
    ]
    scene.edit("a", lines=lines)
    status = await scene.until("a", "Updated")
    (invoice,) = scene.door.invoices("A-1")
    assert Decimal(str(invoice["TotalAmt"])) == Decimal("346.54")
    assert (status["totalAmount"], status["balance"]) == ("346.54", "346.54")
    scene.edit("a", lines=lines[:1])
    await eventually(lambda: scene.status("a").get("totalAmount") == "385.05", "the discount taken out")


async def test_a_change_taken_back_before_it_was_carried_out_costs_nothing(scene: Scene) -> None:
    await created(scene)
    scene.change("a", suspend=True)
    scene.edit("a", customerMemo="new")
    scene.edit("a", customerMemo=None)
    scene.change("a", suspend=False)
    await eventually(lambda: scene.status("a")["observedGeneration"] == 5, "seen", lambda: scene.status("a"))
    assert scene.reason("a") == "Created"
    assert scene.door.requests("update") == []


async def test_a_field_taken_out_of_the_spec_is_left_alone_and_an_empty_text_clears(scene: Scene) -> None:
    await created(scene, invoice={"customerMemo": "Thank you", "privateNote": "ours"})
    scene.edit("a", customerMemo=None, privateNote="")
    await scene.until("a", "Updated")
    (invoice,) = scene.door.invoices("A-1")
    assert invoice["CustomerMemo"] == {"value": "Thank you"}
    assert invoice["PrivateNote"].startswith("[qbsync k:")


async def test_a_change_that_quickbooks_refuses_is_told_and_tried_again_only_after_another(
    scene: Scene,
) -> None:
    await created(scene)
    scene.edit("a", lines=[{"item": {"id": "999"}, "amount": "1.00"}])
    status = await scene.until("a", "ReferenceNotFound")
    assert status["quickbooksId"]
    assert status["lastError"]["code"] in {"610", "2500"}
    sent = len(scene.door.requests("update"))
    scene.change("a", deletionPolicy="Retain")
    scene.edit("a", lines=[{"item": {"id": "1"}, "amount": "1.00"}])
    await scene.until("a", "Updated")
    assert scene.door.invoices("A-1")[0]["TotalAmt"] == 1
    assert sent == 1


# -- the books move -------------------------------------------------------------------------------------------


async def test_a_payment_is_no_drift_and_no_obstacle(scene: Scene) -> None:
    id_ = await created(scene)
    scene.door.post(f"/_simulator/invoices/{id_}/pay", {"amount": "40.00"})
    scene.edit("a", customerMemo="Thank you")
    status = await scene.until("a", "Updated")
    assert (status["balance"], status["paymentStatus"]) == ("60.00", "PartiallyPaid")
    assert scene.condition("a", "Drifted") == {}


async def test_an_edit_of_what_the_spec_says_is_drift_and_stays_the_bookkeepers(scene: Scene) -> None:
    id_ = await created(scene, invoice={"dueDate": "2027-01-31"})
    edit(scene, id_, DueDate="2027-02-28")
    await scene.handled("a")
    assert scene.condition("a", "Drifted")["status"] == "True"
    assert (
        "dueDate: 2027-02-28 in QuickBooks, 2027-01-31 in the spec"
        in scene.condition("a", "Drifted")["message"]
    )
    assert scene.reason("a") == "Created"
    scene.edit("a", customerMemo="Thank you")
    await scene.until("a", "Updated")
    assert scene.door.invoices("A-1")[0]["DueDate"] == "2027-02-28"
    assert scene.condition("a", "Drifted")["status"] == "True"
    assert scene.noted.events.count("DriftDetected") == 1


async def test_drift_ends_when_the_spec_follows(scene: Scene) -> None:
    id_ = await created(scene, invoice={"dueDate": "2027-01-31"})
    edit(scene, id_, DueDate="2027-02-28")
    await scene.handled("a")
    scene.edit("a", dueDate="2027-02-28")
    await eventually(lambda: scene.condition("a", "Drifted").get("status") == "False", "drift ended")
    assert scene.door.requests("update") == []
    assert scene.reason("a") == "Created"


async def test_a_field_that_both_moved_is_nobodys_to_overwrite(scene: Scene) -> None:
    id_ = await created(scene, invoice={"dueDate": "2027-01-31"})
    edit(scene, id_, DueDate="2027-02-28")
    scene.edit("a", dueDate="2027-03-31")
    await eventually(lambda: scene.condition("a", "Drifted").get("status") == "True", "told")
    assert scene.door.invoices("A-1")[0]["DueDate"] == "2027-02-28"
    assert scene.door.requests("update") == []


async def test_edits_of_what_the_spec_does_not_say_are_none_of_ours(scene: Scene) -> None:
    id_ = await created(scene)
    edit(scene, id_, DueDate="2027-02-28", CustomerMemo={"value": "from the shop"})
    await scene.handled("a")
    assert scene.condition("a", "Drifted") == {}


async def test_voided_in_quickbooks_is_told_and_not_changed_any_more(scene: Scene) -> None:
    id_ = await created(scene)
    scene.door.post(f"/_simulator/invoices/{id_}/void", {})
    status = await scene.handled("a")
    assert status["paymentStatus"] == "Voided"
    assert scene.condition("a", "Drifted")["message"] == "voided in QuickBooks"
    assert scene.reason("a") == "Created"
    scene.edit("a", customerMemo="Thank you")
    await scene.until("a", "InvalidInvoice")
    assert scene.door.requests("update") == []


# -- recreate and adopt ---------------------------------------------------------------------------------------


async def test_a_deleted_invoice_comes_back_only_when_a_person_asks(scene: Scene) -> None:
    first = await created(scene)
    scene.door.post(f"/_simulator/invoices/{first}/delete", {})
    await scene.handled("a")
    assert scene.reason("a") == "DeletedInQuickBooks"
    scene.annotate("a", RECREATE, "please")
    status = await scene.until("a", "Created")
    (invoice,) = scene.door.invoices("A-1")
    assert status["quickbooksId"] == invoice["Id"] != first
    assert status["lastHandledRecreate"] == "please"


async def test_a_wish_to_recreate_does_nothing_while_the_invoice_stands(scene: Scene) -> None:
    await created(scene)
    scene.annotate("a", RECREATE, "please")
    await eventually(lambda: scene.status("a").get("lastHandledRecreate") == "please", "answered")
    assert len(scene.door.invoices("A-1")) == 1


async def test_a_person_says_which_invoice_is_meant(scene: Scene) -> None:
    other = scene.door.write_invoice("A-1", amount=90)
    scene.apply("a", "A-1")
    await scene.until("a", "DocNumberConflict")
    scene.annotate("a", ADOPT, other)
    status = await scene.until("a", "Adopted")
    assert (status["quickbooksId"], status["origin"]) == (other, "Adopted")
    assert "lines" in scene.condition("a", "Drifted")["message"]
    assert scene.door.requests("update") == []


async def test_an_invoice_of_another_number_can_be_adopted_too(scene: Scene) -> None:
    other = scene.door.write_invoice("OLD-7")
    scene.apply("a", "A-1", suspend=True)
    scene.annotate("a", ADOPT, other)
    scene.change("a", suspend=False)
    status = await scene.until("a", "Adopted")
    assert (status["quickbooksId"], status["docNumber"]) == (other, "OLD-7")
    assert scene.door.invoices("A-1") == []


async def test_a_person_who_names_no_invoice_creates_none(scene: Scene) -> None:
    scene.apply("a", "A-1", suspend=True)
    scene.annotate("a", ADOPT, "99999")
    scene.change("a", suspend=False)
    await scene.until("a", "ReferenceNotFound")
    assert scene.door.invoices("A-1") == []


async def test_an_adopted_invoice_follows_changes_of_the_spec_only(scene: Scene) -> None:
    other = scene.door.write_invoice("A-1", DueDate="2027-05-05")
    scene.apply("a", "A-1", invoice={"dueDate": "2027-01-31"})
    await scene.until("a", "Adopted")
    assert "dueDate" in scene.condition("a", "Drifted")["message"]
    scene.edit("a", customerMemo="Thank you")
    await scene.until("a", "Updated")
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["Id"], invoice["DueDate"]) == (other, "2027-05-05")
    assert invoice["CustomerMemo"] == {"value": "Thank you"}
    assert invoice["PrivateNote"].endswith(" a]")


# -- answers that are lost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [{"drop": "after"}, {"status": 504, "commit": True}, {"truncated": True}])
async def test_an_update_that_arrived_without_an_answer_is_not_sent_again(
    scene: Scene, effect: dict[str, Any]
) -> None:
    await created(scene)
    scene.door.fault({"operation": "update"}, effect)
    scene.edit("a", customerMemo="Thank you")
    await scene.until("a", "Updated")
    assert scene.door.invoices("A-1")[0]["SyncToken"] == "1"
    assert len(scene.door.requests("update")) == 1


@pytest.mark.parametrize("effect", [{"drop": "before"}, {"status": 503}])
async def test_an_update_that_never_arrived_is_sent_again(scene: Scene, effect: dict[str, Any]) -> None:
    await created(scene)
    scene.door.fault({"operation": "update"}, effect)
    scene.edit("a", customerMemo="Thank you")
    await scene.until("a", "Updated")
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["SyncToken"], invoice["CustomerMemo"]) == ("1", {"value": "Thank you"})
    assert len(scene.door.requests("update")) == 2


async def test_a_stale_sync_token_is_read_and_decided_again(scene: Scene) -> None:
    id_ = await created(scene)
    scene.door.fault({"operation": "update"}, {"delaySeconds": 0.5})
    scene.edit("a", customerMemo="Thank you")
    await eventually(lambda: bool(scene.door.requests("update")), "the update under way")
    edit(scene, id_, ShipDate="2027-01-01")
    await scene.until("a", "Updated")
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["CustomerMemo"], invoice["ShipDate"]) == ({"value": "Thank you"}, "2027-01-01")


async def test_a_change_during_the_lookup_is_not_lost_while_another_update_is_under_way(scene: Scene) -> None:
    """Looked at together, each object comes to its own end."""
    for name in ("a", "b"):
        await created(scene, name, f"{name.upper()}-1")
    scene.door.fault({"operation": "query"}, {"delaySeconds": 0.3})
    scene.door.fault({"operation": "update"}, {"delaySeconds": 0.8})
    for name in ("a", "b"):
        scene.edit(name, customerMemo="first")
    await eventually(lambda: scene.workers.in_work == 2, "both looked up")
    scene.edit("a", customerMemo="second")
    await scene.until("b", "Updated")
    await scene.until("a", "Updated")
    memos = {row["DocNumber"]: row.get("CustomerMemo") for row in scene.door.invoices()}
    assert (memos["A-1"], memos["B-1"]) == ({"value": "second"}, {"value": "first"})


# -- Observe, and the accountant's question -------------------------------------------------------------------


async def test_observe_says_what_it_would_do_and_writes_nothing(scene: Scene) -> None:
    scene.apply("a", "A-1", mode="Observe")
    await scene.until("a", "Observed")
    assert scene.condition("a", "Ready")["status"] == "False"
    assert "would create invoice A-1" in scene.condition("a", "Ready")["message"]
    assert scene.door.invoices("A-1") == []
    scene.change("a", mode="Apply")
    await scene.until("a", "Created")
    scene.change("a", mode="Observe")
    await eventually(lambda: scene.reason("a") == "Observed", "nothing to do", lambda: scene.status("a"))
    assert scene.condition("a", "Ready")["status"] == "True"
    scene.edit("a", customerMemo="Thank you")
    await eventually(lambda: scene.condition("a", "Ready")["status"] == "False", "would change")
    assert "would change customerMemo" in scene.condition("a", "Ready")["message"]
    assert scene.door.requests("update") == []


async def test_observe_finds_the_invoice_that_is_there(scene: Scene) -> None:
    other = scene.door.write_invoice("A-1")
    scene.apply("a", "A-1", mode="Observe")
    status = await scene.until("a", "Observed")
    assert (scene.condition("a", "Ready")["status"], status["quickbooksId"]) == ("True", other)
    assert status["origin"] == "Adopted"


async def test_a_total_that_differs_from_the_source_is_told_with_both_figures(scene: Scene) -> None:
    await created(scene, source={"system": "shop", "total": "99.99"})
    mismatch = scene.condition("a", "TotalMismatch")
    assert mismatch["status"] == "True"
    assert "100.00" in mismatch["message"]
    assert "99.99" in mismatch["message"]
    scene.change("a", source={"system": "shop", "total": "100.00"})
    await scene.handled("a")
    assert scene.condition("a", "TotalMismatch")["status"] == "False"


# -- deletion -------------------------------------------------------------------------------------------------


def there(scene: Scene, name: str = "a") -> bool:
    """Whether the InvoiceSync still exists."""
    return (Kind.INVOICE, "ns", name) in scene.objects.objects


async def gone(scene: Scene, name: str = "a") -> None:
    await eventually(lambda: not there(scene, name), f"{name} should be gone", lambda: scene.status(name))


async def test_retain_leaves_no_finalizer_and_no_trace(scene: Scene) -> None:
    await created(scene)
    assert "finalizers" not in scene.objects.objects[Kind.INVOICE, "ns", "a"]["metadata"]
    scene.delete("a")
    assert not there(scene)
    assert scene.door.invoices("A-1")[0]["TotalAmt"] == 100


@pytest.mark.parametrize("policy", ["Void", "Delete"])
async def test_the_deletion_policy_is_carried_out_before_the_object_goes(scene: Scene, policy: str) -> None:
    scene.connect(permit={"deletion": ["Void", "Delete"]})
    await created(scene, deletionPolicy=policy)
    assert scene.objects.objects[Kind.INVOICE, "ns", "a"]["metadata"]["finalizers"] == ["qbsync.dev/invoice"]
    scene.delete("a")
    await gone(scene)
    rows = scene.door.invoices("A-1")
    assert [row["TotalAmt"] for row in rows] == ([0] if policy == "Void" else [])


async def test_the_finalizer_is_there_before_anything_is_sent(scene: Scene) -> None:
    scene.door.fault({"operation": "create"}, {"delaySeconds": 0.3})
    scene.apply("a", "A-1", deletionPolicy="Void")
    await eventually(lambda: bool(scene.door.requests("create")), "the create under way")
    assert scene.objects.objects[Kind.INVOICE, "ns", "a"]["metadata"]["finalizers"] == ["qbsync.dev/invoice"]
    scene.delete("a")
    await gone(scene)
    assert [row["TotalAmt"] for row in scene.door.invoices("A-1")] == [0]


async def test_what_was_never_sent_goes_at_once(scene: Scene) -> None:
    scene.apply("a", "A-1", deletionPolicy="Void", invoice={"customer": {"name": "Nobody"}})
    await scene.until("a", "ReferenceNotFound")
    scene.delete("a")
    await gone(scene)
    assert scene.door.requests("void") == []


async def test_a_policy_taken_back_takes_the_finalizer_off(scene: Scene) -> None:
    await created(scene, deletionPolicy="Void")
    scene.change("a", deletionPolicy="Retain")
    await eventually(
        lambda: scene.objects.objects[Kind.INVOICE, "ns", "a"]["metadata"]["finalizers"] == [],
        "no finalizer",
    )
    scene.delete("a")
    assert not there(scene)
    assert scene.door.invoices("A-1")[0]["TotalAmt"] == 100


async def test_a_paid_invoice_is_not_voided_until_the_payment_is_unlinked(scene: Scene) -> None:
    id_ = await created(scene, deletionPolicy="Void")
    paid = scene.door.post(f"/_simulator/invoices/{id_}/pay", {"amount": "40.00"})
    assert paid
    scene.delete("a")
    await scene.until("a", "VoidRefused")
    assert "Payment" in scene.condition("a", "Ready")["message"]
    assert scene.door.requests("void") == []
    scene.annotate("a", FORCE_DELETE, "true")
    await gone(scene)
    assert scene.door.invoices("A-1")[0]["TotalAmt"] == 100
    assert "ReleasedWithoutVoid" in scene.noted.events


async def test_an_adopted_invoice_is_never_voided(scene: Scene) -> None:
    scene.door.write_invoice("A-1")
    scene.apply("a", "A-1", deletionPolicy="Void")
    await scene.until("a", "Adopted")
    scene.delete("a")
    await gone(scene)
    assert scene.door.invoices("A-1")[0]["TotalAmt"] == 100


@pytest.mark.parametrize("effect", [{"drop": "after"}, {"status": 504, "commit": True}, {"status": 503}])
async def test_a_void_without_an_answer_is_read_and_done_once(scene: Scene, effect: dict[str, Any]) -> None:
    await created(scene, deletionPolicy="Void")
    scene.door.fault({"operation": "void"}, effect)
    scene.delete("a")
    await gone(scene)
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["TotalAmt"], invoice["SyncToken"]) == (0, "1")


@pytest.fixture
def audit(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The outcomes that the audit log has so far."""
    caplog.set_level(logging.INFO, logger="qbsync.audit")
    return lambda: [record.outcome for record in caplog.records if record.name == "qbsync.audit"]


ENDS = {"Void": "Voided", "Delete": "Deleted"}


@pytest.mark.parametrize("policy", ENDS)
async def test_what_is_found_done_already_is_told_once(
    simulator: Door, policy: str, audit: Callable[[], list[str]]
) -> None:
    """A process was killed between QuickBooks' answer and its record; the next one cannot take the finalizer off
    at once.
    """
    simulator.reset()
    async with running(Scene(simulator)) as scene:
        scene.connect(permit={"deletion": ["Void", "Delete"]})
        id_ = await created(scene, deletionPolicy=policy)
    objects = scene.objects
    body = objects.delete(Kind.INVOICE, "a")
    simulator.post(f"/_simulator/invoices/{id_}/{policy.lower()}")
    objects.no_finalizers = 2
    async with running(Scene(simulator, objects=objects)) as later:
        later.connect(permit={"deletion": ["Void", "Delete"]})
        later.intake.event(Kind.INVOICE, "ADDED", body)
        await gone(later)
    assert objects.no_finalizers == 0
    assert audit() == ["Created", ENDS[policy]]
    (first, *_) = objects.last["status"]["history"]
    assert (first["outcome"], len(objects.last["status"]["history"])) == (ENDS[policy], 2)
    assert first["message"] == f"invoice {id_} in QuickBooks: {ENDS[policy].lower()} already"
    assert simulator.requests(policy.lower()) == []


@pytest.mark.parametrize("policy", ENDS)
async def test_what_was_carried_out_is_told_once_though_the_object_stays_a_while(
    scene: Scene, policy: str, audit: Callable[[], list[str]]
) -> None:
    scene.connect(permit={"deletion": ["Void", "Delete"]})
    await created(scene, deletionPolicy=policy)
    scene.objects.no_finalizers = 2
    scene.delete("a")
    await gone(scene)
    assert scene.objects.no_finalizers == 0
    assert audit() == ["Created", ENDS[policy]]


async def test_a_release_is_told_once_though_the_object_stays_a_while(
    scene: Scene, audit: Callable[[], list[str]]
) -> None:
    id_ = await created(scene, deletionPolicy="Void")
    scene.door.post(f"/_simulator/invoices/{id_}/pay", {"amount": "40.00"})
    scene.delete("a")
    await scene.until("a", "VoidRefused")
    scene.objects.no_finalizers = 2
    scene.annotate("a", FORCE_DELETE, "true")
    await gone(scene)
    assert audit() == ["Created", "VoidRefused", "ReleasedWithoutVoid"]
    assert scene.noted.events.count("ReleasedWithoutVoid") == 1


async def test_an_adopted_invoice_that_is_void_already_ends_without_a_word(
    scene: Scene, audit: Callable[[], list[str]]
) -> None:
    other = scene.door.write_invoice("A-1")
    scene.apply("a", "A-1", deletionPolicy="Void")
    await scene.until("a", "Adopted")
    scene.door.post(f"/_simulator/invoices/{other}/void")
    scene.delete("a")
    await gone(scene)
    assert audit() == ["Adopted"]


async def test_a_deletion_without_its_connection_is_released_after_a_while(scene: Scene) -> None:
    await created(scene, deletionPolicy="Void")
    scene.disconnect()
    scene.delete("a")
    assert there(scene)
    await gone(scene)
    assert scene.noted.events.count("ReleasedWithoutVoid") == 1
    assert scene.door.invoices("A-1")[0]["TotalAmt"] == 100


async def test_in_a_namespace_that_ends_it_is_released_at_once(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator, patience=timedelta(hours=1))) as scene:
        scene.connect()
        await created(scene, deletionPolicy="Void")
        scene.disconnect()
        scene.ending.add("ns")
        scene.delete("a")
        await gone(scene)
        assert scene.noted.events.count("ReleasedWithoutVoid") == 1
