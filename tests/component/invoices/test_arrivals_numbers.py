"""Invoices that no number finds: without docNumber, and in companies that number their own; lookups saved."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.objects import MemoryObjects
from fixtures.invoices_scene import Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.api.meta import Kind

SOURCE = {"system": "hubspot", "id": "deal-1"}
UNKNOWN: list[dict[str, Any]] = [
    {"drop": "before"},
    {"drop": "after"},
    {"status": 503},
    {"status": 504, "commit": True},
    {"status": 504, "commitAfterSeconds": 0.9},
]


def numbering(simulator: Door) -> Door:
    """A company that numbers its own invoices."""
    simulator.reset()
    realm = simulator.realm(preferences={"SalesFormsPrefs": {"CustomTxnNumbers": False}})
    return Door({**simulator.ready, "realmId": realm})


@pytest.fixture
async def itself(simulator: Door) -> AsyncIterator[Scene]:
    """A company that numbers its own invoices."""
    door = numbering(simulator)
    async with running(Scene(door)) as made:
        made.connect(company={"customTransactionNumbers": False})
        yield made
    door.close()


def marked(scene: Scene) -> list[dict[str, Any]]:
    """The invoices that carry an owner mark."""
    return [row for row in scene.door.invoices() if "[qbsync k:" in row.get("PrivateNote", "")]


def unnumbered(scene: Scene, name: str, **spec: Any) -> None:
    scene.apply(name, "", invoice={"docNumber": None, **spec.pop("invoice", {})}, **spec)


def message(scene: Scene, name: str) -> str:
    return str(scene.condition(name, "Ready")["message"])


# -- numbers chosen by QuickBooks -----------------------------------------------------------------------------


async def test_without_a_number_quickbooks_gives_the_next_one(scene: Scene) -> None:
    unnumbered(scene, "a")
    status = await scene.until("a", "Created")
    (invoice,) = marked(scene)
    assert invoice["DocNumber"].isdigit()
    assert status["docNumber"] == invoice["DocNumber"]
    assert scene.door.counters()["requests"].get("query", 0) == 0


async def test_a_company_that_numbers_itself_is_sent_no_number(itself: Scene) -> None:
    unnumbered(itself, "a")
    status = await itself.until("a", "Created")
    assert status["docNumber"] == marked(itself)[0]["DocNumber"]
    assert "Renumbered" not in itself.noted.events


async def test_a_number_that_the_company_replaces_is_told(itself: Scene) -> None:
    itself.apply("a", "INV-1")
    status = await itself.until("a", "Created")
    assert status["docNumber"] == marked(itself)[0]["DocNumber"] != "INV-1"
    assert "Renumbered" in itself.noted.events
    itself.apply("b", "INV-1")
    await itself.until("b", "DocNumberConflict")
    assert "ns/a" in message(itself, "b")
    assert "leave docNumber out" in message(itself, "b")
    assert len(marked(itself)) == 1


async def test_the_intent_is_stored_before_anything_is_sent(scene: Scene) -> None:
    scene.objects.outages = 2
    unnumbered(scene, "a")
    await eventually(lambda: scene.objects.outages == 0, "two writes refused")
    assert scene.door.requests("create") == []
    scene.door.fault({"operation": "create"}, {"drop": "before"})
    await eventually(lambda: bool(scene.door.requests("create")), "sent at last")
    intent = scene.status("a")["intent"]
    assert (intent["operation"], intent["customerId"]) == ("create", "1")
    assert scene.door.requests("create")[0]["requestid"] == intent["requestId"]
    status = await scene.until("a", "Created")
    assert "intent" not in status


async def test_what_was_not_sent_after_all_leaves_no_intent(scene: Scene) -> None:
    scene.fence.leads = False
    unnumbered(scene, "a")
    await eventually(lambda: scene.objects.writes >= 2, "stored, and taken back")
    scene.fence.leads = True
    await scene.until("a", "Created")
    assert len(marked(scene)) == 1


@pytest.mark.parametrize("memory", ["replay", "forget", "fault600"])
@pytest.mark.parametrize("effect", UNKNOWN, ids=str)
@pytest.mark.parametrize("company", ["by hand", "itself"])
async def test_an_unknown_outcome_is_found_by_its_mark(
    simulator: Door, company: str, effect: dict[str, Any], memory: str
) -> None:
    by_hand = company == "by hand"
    door = (
        Door({**simulator.ready, "realmId": simulator.reset()["realmId"]})
        if by_hand
        else numbering(simulator)
    )
    async with running(Scene(door)) as scene:
        scene.connect(company={"customTransactionNumbers": by_hand})
        door.switch(requestidMemory=memory)
        door.fault({"operation": "create"}, effect)
        unnumbered(scene, "a")
        await scene.until("a", "OutcomeUnknown")
        await scene.until("a", "Created", "Recovered")
        assert len(marked(scene)) == 1
    door.close()


@pytest.mark.parametrize("effect", UNKNOWN, ids=str)
async def test_a_process_that_takes_over_finds_what_the_dead_one_sent(
    simulator: Door, effect: dict[str, Any]
) -> None:
    """All it has is the intent in the status."""
    simulator.reset()
    simulator.switch(requestidMemory="forget")
    objects = MemoryObjects()
    first = Scene(simulator, objects=objects)
    async with running(first):
        first.connect()
        simulator.fault({"operation": "create"}, effect)
        unnumbered(first, "a")
        await first.until("a", "OutcomeUnknown")
        first.fence.leads = False
        first.workers.stop_taking()
    async with running(Scene(simulator, objects=objects)) as second:
        second.connect()
        second.intake.event(Kind.INVOICE, None, objects.objects[Kind.INVOICE, "ns", "a"])
        await second.until("a", "Created", "Recovered")
        assert len(marked(second)) == 1


async def test_an_edited_customer_does_not_lead_the_search_astray(scene: Scene) -> None:
    scene.door.switch(requestidMemory="forget")
    scene.door.fault({"operation": "create"}, {"status": 504, "commitAfterSeconds": 0.9})
    unnumbered(scene, "a")
    await scene.until("a", "OutcomeUnknown")
    scene.edit("a", customer={"id": "2"}, transactionDate="2026-01-01")
    await scene.until("a", "Recovered", "Updated")
    await eventually(lambda: scene.reason("a") == "Updated", "the edit", lambda: scene.status("a"))
    (invoice,) = marked(scene)
    assert (invoice["CustomerRef"]["value"], invoice["TxnDate"]) == ("2", "2026-01-01")


async def test_two_objects_of_one_source_make_one_invoice(scene: Scene) -> None:
    unnumbered(scene, "a", source=SOURCE)
    unnumbered(scene, "b", source=SOURCE)
    await scene.until("a", "Created")
    await scene.until("b", "DocNumberConflict")
    assert "there is an invoice of this source already" in message(scene, "b")
    assert len(marked(scene)) == 1


@pytest.mark.parametrize("dated", [{}, {"transactionDate": "2026-03-01"}], ids=["undated", "dated"])
@pytest.mark.parametrize("company", [True, False], ids=["by hand", "itself"])
async def test_an_object_made_again_under_its_source_finds_its_invoice(
    simulator: Door, company: bool, dated: dict[str, Any]
) -> None:
    door = (
        Door({**simulator.ready, "realmId": simulator.reset()["realmId"]})
        if company
        else numbering(simulator)
    )
    async with running(Scene(door)) as scene:
        scene.connect(company={"customTransactionNumbers": company})
        unnumbered(scene, "a", source=SOURCE, invoice=dated)
        id_ = (await scene.until("a", "Created"))["quickbooksId"]
        scene.delete("a")
    door.advance(5)
    async with running(Scene(door)) as later:
        later.connect(company={"customTransactionNumbers": company})
        unnumbered(later, "other-name", uid="uid-again", source=SOURCE, invoice=dated)
        status = await later.until("other-name", "Recovered")
        assert status["quickbooksId"] == id_
        assert len(marked(later)) == 1
    door.close()


async def test_without_a_source_an_object_made_again_is_another_invoice(scene: Scene) -> None:
    unnumbered(scene, "a")
    await scene.until("a", "Created")
    scene.delete("a")
    unnumbered(scene, "a", uid="uid-again")
    await scene.until("a", "Created")
    assert len(marked(scene)) == 2


async def test_a_company_that_began_to_number_is_noticed_and_treated_so(simulator: Door) -> None:
    """What the connection says of it is older."""
    door = numbering(simulator)
    async with running(Scene(door)) as scene:
        scene.connect()
        scene.apply("a", "INV-1")
        await scene.until("a", "Created")
        assert "Renumbered" in scene.noted.events
        assert "intent" not in scene.status("a")
        door.switch(requestidMemory="forget")
        door.fault({"operation": "create"}, {"drop": "after"})
        scene.apply("b", "INV-2")
        await scene.until("b", "Recovered")
        assert len(marked(scene)) == 2
    door.close()


@pytest.mark.parametrize("effect", UNKNOWN, ids=str)
async def test_the_very_first_one_in_such_a_company_is_not_made_twice_either(
    simulator: Door, effect: dict[str, Any]
) -> None:
    """After any doubt both searches are made: the number finds nothing there."""
    door = numbering(simulator)
    async with running(Scene(door)) as scene:
        scene.connect()
        door.switch(requestidMemory="forget")
        door.fault({"operation": "create"}, effect)
        scene.apply("a", "INV-1")
        await scene.until("a", "OutcomeUnknown")
        await scene.until("a", "Created", "Recovered")
        assert len(marked(scene)) == 1
    door.close()


async def test_without_a_mark_nothing_would_be_found_again(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator)) as scene:
        scene.connect(ownerMark="None")
        unnumbered(scene, "a")
        scene.apply("b", "INV-1")
        await scene.until("a", "InvalidInvoice")
        assert "spec.invoices.ownerMark" in message(scene, "a")
        await scene.until("b", "Created")


async def test_a_deletion_finds_what_was_sent_without_a_number(scene: Scene) -> None:
    scene.door.fault({"operation": "create"}, {"status": 504, "commitAfterSeconds": 0.9})
    unnumbered(scene, "a", deletionPolicy="Void")
    await scene.until("a", "OutcomeUnknown")
    scene.delete("a")
    await eventually(lambda: (Kind.INVOICE, "ns", "a") not in scene.objects.objects, "gone")
    (invoice,) = [row for row in scene.door.invoices() if row.get("PrivateNote") == "Voided"]
    assert invoice["TotalAmt"] == 0


async def test_a_backlog_does_not_cost_a_read_for_each(itself: Scene) -> None:
    for number in range(100):
        day = f"2026-{1 + number % 2:02}-{1 + number % 28:02}"
        source = {"system": "x", "id": str(number)}
        unnumbered(itself, f"i{number}", source=source, invoice={"transactionDate": day})
    await asyncio.gather(*(itself.until(f"i{number}", "Created") for number in range(100)))
    assert len(marked(itself)) == 100
    assert itself.door.counters()["meteredReads"] <= 10


# -- lookup: WhenInDoubt --------------------------------------------------------------------------------------


@pytest.fixture
async def saving(simulator: Door) -> AsyncIterator[Scene]:
    simulator.reset()
    async with running(Scene(simulator)) as made:
        made.connect(lookup="WhenInDoubt")
        yield made


async def test_a_first_create_goes_without_a_read(saving: Scene) -> None:
    for number in range(10):
        saving.apply(f"i{number}", f"A-{number}")
    await asyncio.gather(*(saving.until(f"i{number}", "Created") for number in range(10)))
    assert saving.door.counters()["meteredReads"] == 0


async def test_where_numbers_are_checked_a_number_that_is_taken_is_looked_up(saving: Scene) -> None:
    saving.door.switch(duplicateDocCheck=True)
    id_ = saving.door.write_invoice("A-1")
    saving.apply("a", "A-1")
    status = await saving.until("a", "Adopted")
    assert status["quickbooksId"] == id_
    assert len(saving.door.invoices("A-1")) == 1


async def test_where_they_are_not_an_invoice_that_stands_already_is_not_seen(saving: Scene) -> None:
    """What the setting costs; docs/creating.md says so."""
    saving.door.write_invoice("A-1")
    saving.apply("a", "A-1")
    await saving.until("a", "Created")
    assert len(saving.door.invoices("A-1")) == 2


@pytest.mark.parametrize("effect", UNKNOWN, ids=str)
async def test_any_doubt_looks_it_up(saving: Scene, effect: dict[str, Any]) -> None:
    saving.door.switch(requestidMemory="forget")
    saving.door.fault({"operation": "create"}, effect)
    saving.apply("a", "A-1")
    await saving.until("a", "OutcomeUnknown")
    await saving.until("a", "Created", "Recovered")
    assert len(saving.door.invoices("A-1")) == 1


async def test_an_object_that_a_dead_process_may_have_sent_is_looked_up(simulator: Door) -> None:
    simulator.reset()
    objects = MemoryObjects()
    first = Scene(simulator, objects=objects)
    async with running(first):
        first.connect(lookup="WhenInDoubt")
        first.apply("a", "A-1")
        await first.until("a", "Created")
    del objects.objects[Kind.INVOICE, "ns", "a"]["status"]
    simulator.switch(requestidMemory="forget")
    simulator.advance(5)
    async with running(Scene(simulator, objects=objects)) as second:
        second.connect(lookup="WhenInDoubt")
        second.intake.event(Kind.INVOICE, None, objects.objects[Kind.INVOICE, "ns", "a"])
        await second.until("a", "Recovered")
        assert len(simulator.invoices("A-1")) == 1


async def test_two_objects_with_one_number_make_one_invoice_without_lookups_too(saving: Scene) -> None:
    saving.apply("a", "A-1")
    saving.apply("b", "A-1")
    await saving.until("a", "Created")
    await saving.until("b", "DocNumberConflict")
    assert len(saving.door.invoices("A-1")) == 1


async def test_an_object_made_again_at_once_finds_its_invoice_without_lookups_too(saving: Scene) -> None:
    saving.apply("a", "A-1")
    await saving.until("a", "Created")
    saving.delete("a")
    saving.apply("a", "A-1", uid="uid-again")
    await saving.until("a", "Recovered")
    assert len(saving.door.invoices("A-1")) == 1
