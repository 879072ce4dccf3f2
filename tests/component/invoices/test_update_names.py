"""A change of the spec to a customer or item that QuickBooks does not have: created first, within the permit, once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fixtures.invoices_scene import Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.api.meta import Kind

NEWCO = {"name": "NewCo", "create": {"displayName": "NewCo"}}
BY_MAIL = {"email": "x@new.example", "create": {"displayName": "New One"}}
CONSULTING = [{"item": {"name": "Consulting"}, "amount": "70.00"}]
BOTH = {"createMissing": ["Customers", "Items"], "send": True}


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Scene]:
    simulator.reset()
    async with running(Scene(simulator)) as made:
        made.connect(permit=BOTH, incomeAccount="Services")
        yield made


def customers(door: Door, name: str) -> list[dict[str, Any]]:
    return [row for row in door.state()["customers"] if row["DisplayName"] == name]


def items(door: Door, name: str) -> list[dict[str, Any]]:
    return [row for row in door.state()["items"] if row["Name"] == name]


def message(scene: Scene, name: str) -> str:
    return str(scene.condition(name, "Ready")["message"])


def made(scene: Scene) -> list[str]:
    """What was sent to be created, besides invoices."""
    sent = [one["entity"] for one in scene.door.requests("create")]
    return [entity for entity in sent if entity != "Invoice"]


async def created(scene: Scene, name: str = "a", number: str = "A-1", **spec: Any) -> str:
    scene.apply(name, number, **spec)
    return str((await scene.until(name, "Created"))["quickbooksId"])


async def test_a_new_customer_and_item_are_created_and_the_invoice_goes_to_them(scene: Scene) -> None:
    id_ = await created(scene)
    scene.edit("a", customer=NEWCO, lines=CONSULTING)
    await scene.until("a", "Updated")
    (customer,), (item,) = customers(scene.door, "NewCo"), items(scene.door, "Consulting")
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["Id"], invoice["SyncToken"], invoice["TotalAmt"]) == (id_, "1", 70)
    assert invoice["CustomerRef"]["value"] == customer["Id"]
    assert invoice["Line"][0]["SalesItemLineDetail"]["ItemRef"]["value"] == item["Id"]
    assert len(scene.door.requests("update")) == 1
    assert scene.condition("a", "Drifted") == {}


async def test_many_changes_to_one_new_customer_and_item_make_one_of_each(scene: Scene) -> None:
    scene.door.switch(requestidMemory="forget")
    names = [f"i{number}" for number in range(10)]
    await asyncio.gather(*(created(scene, name, f"N-{name}") for name in names))
    for number, name in enumerate(names):
        spelled = "NewCo" if number % 2 else "newco"
        customer = {"name": spelled, "create": {"displayName": "NewCo"}}
        scene.edit(name, customer=customer, lines=CONSULTING)
    scene.apply("late", "N-late", invoice={"customer": NEWCO})
    await asyncio.gather(scene.until("late", "Created"), *(scene.until(name, "Updated") for name in names))
    assert sorted(made(scene)) == ["Customer", "Item"]
    assert len(scene.door.requests("update")) == len(names)


@pytest.mark.parametrize("memory", ["replay", "forget"])
@pytest.mark.parametrize(
    "effect",
    [
        {"drop": "before"},
        {"drop": "after"},
        {"status": 503},
        {"status": 504, "commitAfterSeconds": 0.9},
    ],
    ids=str,
)
@pytest.mark.parametrize("customer", [NEWCO, BY_MAIL], ids=["name", "email"])
async def test_a_customer_whose_outcome_is_unknown_is_made_once(
    scene: Scene, memory: str, effect: dict[str, Any], customer: dict[str, Any]
) -> None:
    await created(scene)
    scene.door.switch(requestidMemory=memory)
    scene.door.fault({"operation": "create", "entity": "Customer"}, effect)
    scene.edit("a", customer=customer)
    status = await scene.until("a", "OutcomeUnknown")
    assert status["intent"]["operation"] == "create Customer"
    assert status["quickbooksId"]
    await scene.until("a", "Updated")
    assert len(customers(scene.door, customer["create"]["displayName"])) == 1
    assert "intent" not in scene.status("a")
    assert len(scene.door.requests("update")) == 1


async def test_the_next_process_waits_for_what_the_last_one_sent(simulator: Door) -> None:
    simulator.reset()
    simulator.switch(requestidMemory="forget")
    async with running(Scene(simulator)) as scene:
        scene.connect(permit=BOTH)
        await created(scene)
        simulator.fault(
            {"operation": "create", "entity": "Customer"}, {"status": 504, "commitAfterSeconds": 0.9}
        )
        scene.edit("a", customer=BY_MAIL)
        await scene.until("a", "OutcomeUnknown")
        objects = scene.objects
    async with running(Scene(simulator, objects=objects)) as scene:
        scene.connect(permit=BOTH)
        scene.intake.event(Kind.INVOICE, "ADDED", objects.objects[Kind.INVOICE, "ns", "a"])
        await scene.until("a", "Updated")
        assert len(customers(simulator, "New One")) == 1
        assert made(scene) == ["Customer"]


async def test_without_the_permit_the_invoice_stays_and_it_says_what_would_have_to_be_allowed(
    simulator: Door,
) -> None:
    simulator.reset()
    async with running(Scene(simulator)) as scene:
        scene.connect()
        await created(scene)
        scene.edit("a", customer=NEWCO)
        await scene.until("a", "ReferenceNotFound")
        assert "spec.invoices.permit.createMissing: [Customers]" in message(scene, "a")
        assert made(scene) == []
        assert scene.door.requests("update") == []


async def test_nothing_is_created_where_something_else_is_missing(scene: Scene) -> None:
    await created(scene)
    scene.edit("a", customer=NEWCO, lines=[{"item": {"sku": "NO-SUCH"}, "amount": "1"}])
    await scene.until("a", "ReferenceNotFound")
    assert "NO-SUCH" in message(scene, "a")
    assert made(scene) == []


async def test_nothing_is_created_for_a_customer_that_a_bookkeeper_decided_on(scene: Scene) -> None:
    id_ = await created(scene)
    scene.door.post(f"/_simulator/invoices/{id_}/edit", {"CustomerRef": {"value": "2"}})
    scene.edit("a", customer=NEWCO, dueDate="2027-03-31")
    await scene.until("a", "Updated")
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["CustomerRef"]["value"], invoice["DueDate"]) == ("2", "2027-03-31")
    assert "'NewCo', which is to be created in the spec" in scene.condition("a", "Drifted")["message"]
    assert made(scene) == []


async def test_a_customer_renamed_in_quickbooks_is_no_reason_to_make_another(scene: Scene) -> None:
    """The spec still says what it said when the invoice was made for that customer."""
    await created(scene, invoice={"customer": NEWCO})
    (customer,) = customers(scene.door, "NewCo")
    scene.door.enter("Customer", Id=customer["Id"], SyncToken="0", sparse=True, DisplayName="Renamed")
    scene.door.advance(5)
    objects = scene.objects
    async with running(Scene(scene.door, objects=objects)) as later:
        later.connect(permit=BOTH)
        later.edit("a", dueDate="2027-03-31")
        await later.until("a", "Updated")
    assert customers(scene.door, "NewCo") == []
    assert made(scene) == ["Customer"]


async def test_observe_says_what_would_be_created(scene: Scene) -> None:
    id_ = await created(scene)
    scene.change("a", mode="Observe")
    await scene.until("a", "Observed")
    scene.edit("a", customer=NEWCO, lines=CONSULTING)
    await eventually(lambda: "NewCo" in message(scene, "a"), "said", lambda: message(scene, "a"))
    told = f"would create customer 'NewCo', item 'Consulting' and change customer, lines of invoice {id_}"
    assert message(scene, "a") == told
    assert made(scene) == []


async def test_an_e_mail_in_doubt_is_not_forgotten_over_a_customer_in_doubt(scene: Scene) -> None:
    scene.door.fault({"operation": "send"}, {"drop": "after"})
    scene.door.fault({"operation": "create", "entity": "Customer"}, {"drop": "after"})
    scene.apply("a", "A-1", send="AfterCreate", invoice={"billEmail": "to@customer.example"})
    await eventually(lambda: bool(scene.door.requests("send")), "the e-mail is sent")
    scene.edit("a", customer=NEWCO)
    await scene.until("a", "OutcomeUnknown")
    assert scene.status("a")["intent"]["operation"] == "send"
    await scene.until("a", "Updated")
    await eventually(lambda: "intent" not in scene.status("a"), "settled", lambda: scene.status("a"))
    assert scene.status("a")["emailStatus"] == "EmailSent"
    assert len(scene.door.requests("send")) == 1
    assert len(customers(scene.door, "NewCo")) == 1
