"""Customers and items that are created because an invoice names them: within the permit, and never twice."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest

from fixtures.invoices_scene import ACME, LOOKUP_LAG, SERVER_TIMEOUT, Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.engine.clock import SystemClock
from qbsync.engine.grace import TakeoverGrace
from qbsync.invoices.references import MISSING_FOR

NEWCO = {"name": "NewCo", "create": {"displayName": "NewCo"}}
BOTH = {"createMissing": ["Customers", "Items"]}


class Ahead(SystemClock):
    """A minute later."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=1)


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


def by_hand(door: Door, entity: str, **fields: Any) -> str:
    """A bookkeeper adds an entry to a list; its id."""
    return str(door.enter(entity, **fields)["Id"])


def message(scene: Scene, name: str) -> str:
    return str(scene.condition(name, "Ready")["message"])


async def test_a_customer_and_an_item_are_created_with_all_that_is_said_of_them(scene: Scene) -> None:
    create = {
        "displayName": "NewCo",
        "companyName": "New Company Inc.",
        "givenName": "Ada",
        "familyName": "Byron",
        "email": "ada@newco.example",
        "phone": "555-1234",
        "billingAddress": {"line1": "1 Main St", "city": "Springfield"},
    }
    lines = [
        {"item": {"name": "Consulting"}, "amount": "70.00"},
        {"item": {"name": "consulting"}, "amount": "30"},
    ]
    scene.apply("a", "A-1", invoice={"customer": {"name": "NewCo", "create": create}, "lines": lines})
    await scene.until("a", "Created")
    (customer,) = customers(scene.door, "NewCo")
    assert customer["CompanyName"] == "New Company Inc."
    assert (customer["GivenName"], customer["FamilyName"]) == ("Ada", "Byron")
    assert customer["PrimaryEmailAddr"] == {"Address": "ada@newco.example"}
    assert customer["PrimaryPhone"] == {"FreeFormNumber": "555-1234"}
    assert customer["BillAddr"]["Line1"] == "1 Main St"
    (item,) = items(scene.door, "Consulting")
    assert (item["Type"], item["IncomeAccountRef"]["value"]) == ("Service", "1")
    (invoice,) = scene.door.invoices("A-1")
    assert invoice["CustomerRef"]["value"] == customer["Id"]


async def test_many_invoices_of_one_new_customer_and_item_make_one_of_each(scene: Scene) -> None:
    scene.door.switch(requestidMemory="forget")
    lines = [{"item": {"name": "Consulting"}, "amount": "1.00"}]
    for number in range(20):
        spelled = "NewCo" if number % 2 else "newco"
        customer = {"name": spelled, "create": {"displayName": "NewCo"}}
        scene.apply(f"i{number}", f"A-{number}", invoice={"customer": customer, "lines": lines})
    await asyncio.gather(*(scene.until(f"i{number}", "Created") for number in range(20)))
    assert len(customers(scene.door, "NewCo")) == len(items(scene.door, "Consulting")) == 1
    assert len(scene.door.requests("create")) == 2
    assert scene.door.counters()["batchItems"] == {"create": 20}


async def test_one_address_makes_one_customer_whatever_names_are_given(scene: Scene) -> None:
    for name in ("a", "b"):
        customer = {"email": "x@new.example", "create": {"displayName": f"New {name}"}}
        scene.apply(name, f"N-{name}", invoice={"customer": customer})
    await asyncio.gather(scene.until("a", "Created"), scene.until("b", "Created"))
    assert len(customers(scene.door, "New a")) + len(customers(scene.door, "New b")) == 1


@pytest.mark.parametrize("memory", ["replay", "forget"])
async def test_two_processes_that_ask_for_one_customer_make_one(simulator: Door, memory: str) -> None:
    simulator.reset()
    simulator.switch(requestidMemory=memory)
    async with AsyncExitStack() as stack:
        scenes = [await stack.enter_async_context(running(Scene(simulator))) for _ in range(2)]
        for number, scene in enumerate(scenes):
            scene.connect(permit=BOTH)
            scene.apply(f"p{number}", f"P-{number}", invoice={"customer": NEWCO})
        await asyncio.gather(*(scene.until(f"p{n}", "Created") for n, scene in enumerate(scenes)))
        assert len(customers(simulator, "NewCo")) == 1
        assert (
            len({row["CustomerRef"]["value"] for row in simulator.invoices() if row["DocNumber"][:1] == "P"})
            == 1
        )


@pytest.mark.parametrize("memory", ["replay", "forget", "fault600"])
@pytest.mark.parametrize(
    "effect",
    [
        {"drop": "before"},
        {"drop": "after"},
        {"status": 503},
        {"status": 504, "commit": True},
        {"status": 504, "commitAfterSeconds": 0.9},
    ],
    ids=str,
)
async def test_a_customer_whose_outcome_is_unknown_is_made_once(
    scene: Scene, memory: str, effect: dict[str, Any]
) -> None:
    scene.door.switch(requestidMemory=memory)
    scene.door.fault({"operation": "create", "entity": "Customer"}, effect)
    scene.apply("a", "A-1", invoice={"customer": NEWCO})
    status = await scene.until("a", "OutcomeUnknown")
    assert status["intent"]["operation"] == "create Customer"
    scene.apply("b", "B-1", invoice={"customer": NEWCO})
    await asyncio.gather(scene.until("a", "Created"), scene.until("b", "Created"))
    assert len(customers(scene.door, "NewCo")) == 1
    assert "intent" not in scene.status("a")


async def test_a_lost_customer_is_sent_again_only_when_the_first_can_no_longer_arrive(scene: Scene) -> None:
    scene.door.fault({"operation": "create", "entity": "Customer"}, {"drop": "before"})
    started = time.monotonic()
    scene.apply("a", "A-1", invoice={"customer": NEWCO})
    await scene.until("a", "Created")
    assert time.monotonic() - started >= (SERVER_TIMEOUT + LOOKUP_LAG).total_seconds()
    sent = [one for one in scene.door.requests("create") if one["entity"] == "Customer"]
    assert len(sent) == 2
    assert len({one["requestid"] for one in sent}) == 1


async def test_without_the_permit_it_says_what_would_have_to_be_allowed(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator)) as scene:
        scene.connect()
        scene.apply("a", "A-1", invoice={"customer": NEWCO})
        scene.apply("b", "B-1", invoice={"lines": [{"item": {"name": "Consulting"}, "amount": "1"}]})
        scene.apply("c", "C-1", invoice={"customer": {"name": "NewCo"}})
        await asyncio.gather(*(scene.until(name, "ReferenceNotFound") for name in "abc"))
        assert "spec.invoices.permit.createMissing: [Customers]" in message(scene, "a")
        assert "spec.invoices.permit.createMissing: [Items]" in message(scene, "b")
        assert "write customer.create" in message(scene, "c")
        assert simulator.requests("create") == []


async def test_an_item_needs_an_income_account(simulator: Door) -> None:
    simulator.reset()
    lines = [{"item": {"name": "Consulting"}, "amount": "1"}]
    async with running(Scene(simulator)) as scene:
        scene.connect(permit=BOTH)
        scene.apply("a", "A-1", invoice={"customer": NEWCO, "lines": lines})
        await scene.until("a", "ReferenceNotFound")
        assert "set spec.invoices.incomeAccount" in message(scene, "a")
        scene.connect(permit=BOTH, incomeAccount="Nowhere")
        scene.reconciler.woken(ACME, changed=True)
        await eventually(
            lambda: "'Nowhere'" in message(scene, "a"), "the account", lambda: message(scene, "a")
        )
        assert "spec.invoices.incomeAccount of the connection" in message(scene, "a")
        assert simulator.requests("create") == []


async def test_nothing_is_created_where_something_else_is_missing(scene: Scene) -> None:
    lines = [{"item": {"sku": "NO-SUCH"}, "amount": "1"}]
    scene.apply("a", "A-1", invoice={"customer": NEWCO, "lines": lines})
    await scene.until("a", "ReferenceNotFound")
    assert "NO-SUCH" in message(scene, "a")
    assert scene.door.requests("create") == []


async def test_nothing_is_created_for_an_invoice_that_is_refused_or_adopted(scene: Scene) -> None:
    scene.apply("first", "A-1")
    await scene.until("first", "Created")
    scene.apply("a", "A-1", invoice={"customer": NEWCO})
    await scene.until("a", "DocNumberConflict")
    assert customers(scene.door, "NewCo") == []


async def test_observe_says_what_would_be_created(scene: Scene) -> None:
    lines = [{"item": {"name": "Consulting"}, "amount": "5.00"}]
    scene.apply("a", "A-1", mode="Observe", invoice={"customer": NEWCO, "lines": lines})
    await scene.until("a", "Observed")
    assert (
        message(scene, "a")
        == "would create customer 'NewCo', item 'Consulting' and invoice A-1, net amount 5.00"
    )
    assert scene.door.requests("create") == []


@pytest.mark.parametrize(
    ("entity", "fields", "holder"),
    [
        ("Vendor", {"DisplayName": "NewCo"}, "vendor"),
        ("Employee", {"DisplayName": "NewCo", "GivenName": "New", "FamilyName": "Co"}, "employee"),
    ],
)
async def test_a_name_that_another_list_has_is_told_with_the_list(
    scene: Scene, entity: str, fields: dict[str, Any], holder: str
) -> None:
    id_ = by_hand(scene.door, entity, **fields)
    scene.door.advance(5)
    scene.apply("a", "A-1", invoice={"customer": NEWCO})
    await scene.until("a", "ReferenceNotFound")
    assert f"the name belongs to {holder} {id_}" in message(scene, "a")


async def test_a_name_that_a_customer_with_another_address_has_is_told(scene: Scene) -> None:
    customer = {"email": "new@address.example", "create": {"displayName": "Cool Cars"}}
    scene.apply("a", "A-1", invoice={"customer": customer})
    await scene.until("a", "ReferenceNotFound")
    assert "the name belongs to customer 3" in message(scene, "a")


async def test_a_customer_that_somebody_made_a_moment_ago_is_taken(scene: Scene) -> None:
    """The query does not show it yet, QuickBooks' own check does (6240)."""
    scene.door.switch(readLagSeconds=0.25)
    id_ = by_hand(scene.door, "Customer", DisplayName="NewCo")
    scene.apply("a", "A-1", invoice={"customer": NEWCO})
    await scene.until("a", "Created")
    assert scene.door.invoices("A-1")[0]["CustomerRef"]["value"] == id_


async def test_a_customer_that_was_renamed_meanwhile_is_another_one(scene: Scene) -> None:
    """QuickBooks answers the requestid of the name with the customer that had it then."""
    scene.apply("a", "A-1", invoice={"customer": NEWCO})
    await scene.until("a", "Created")
    (made,) = customers(scene.door, "NewCo")
    renamed = {"Id": made["Id"], "SyncToken": made["SyncToken"], "sparse": True, "DisplayName": "OldCo"}
    assert by_hand(scene.door, "Customer", **renamed) == made["Id"]
    scene.door.advance(60)
    async with running(Scene(scene.door, clock=Ahead())) as later:
        later.connect(permit=BOTH)
        later.apply("b", "B-1", invoice={"customer": NEWCO})
        await later.until("b", "Created")
    (new,) = customers(scene.door, "NewCo")
    assert new["Id"] != made["Id"]
    assert scene.door.invoices("B-1")[0]["CustomerRef"]["value"] == new["Id"]


async def test_a_sub_customer_is_created_below_its_parent(scene: Scene) -> None:
    customer = {"name": "Cool Cars:Garage", "create": {"displayName": "Garage"}}
    item = {"item": {"name": "Design:Plans"}, "amount": "1.00"}
    scene.apply("a", "A-1", invoice={"customer": customer, "lines": [item]})
    await scene.until("a", "Created")
    (made,) = customers(scene.door, "Garage")
    assert (made["FullyQualifiedName"], made["ParentRef"]["value"]) == ("Cool Cars:Garage", "3")
    (plans,) = items(scene.door, "Plans")
    assert plans["FullyQualifiedName"] == "Design:Plans"


async def test_a_parent_is_not_created_along(scene: Scene) -> None:
    customer = {"name": "Nobody:Garage", "create": {"displayName": "Garage"}}
    scene.apply("a", "A-1", invoice={"customer": customer})
    await scene.until("a", "ReferenceNotFound")
    assert "'Nobody'" in message(scene, "a")
    assert "only the last part of a name is created" in message(scene, "a")


async def test_what_contradicts_itself_is_refused(scene: Scene) -> None:
    wrong = {
        "a": {"name": "NewCo", "create": {"displayName": "Other"}},
        "b": {"email": "a@b.example", "create": {"displayName": "X", "email": "c@d.example"}},
        "c": {"name": "NewCo", "create": {"displayName": "NewCo", "currency": "EUR"}},
    }
    for name, customer in wrong.items():
        scene.apply(name, f"N-{name}", invoice={"customer": customer})
        await scene.until(name, "InvalidInvoice")
    assert scene.door.requests("create") == []


async def test_a_customer_that_quickbooks_refuses_is_told_and_a_corrected_one_is_made(scene: Scene) -> None:
    scene.apply("a", "A-1", invoice={"customer": {"name": "N" * 500, "create": {"displayName": "N" * 500}}})
    await scene.until("a", "Created")
    scene.door.fault({"operation": "create", "entity": "Customer"}, {"fault": "2010"})
    scene.apply("b", "B-1", invoice={"customer": NEWCO})
    await scene.until("b", "InvalidInvoice")
    assert "creating customer 'NewCo' was refused" in message(scene, "b")
    assert (await scene.handled("b"))["quickbooksId"]


async def test_after_an_unclean_takeover_names_are_created_only_when_nothing_can_arrive(
    simulator: Door,
) -> None:
    simulator.reset()
    until = time.monotonic() + 1.0 - MISSING_FOR.total_seconds()
    async with running(Scene(simulator, grace=TakeoverGrace(until=until))) as scene:
        scene.connect(permit=BOTH)
        scene.apply("new", "A-1", invoice={"customer": NEWCO})
        scene.apply("known", "B-1")
        await scene.until("known", "Created")
        await scene.until("new", "Created")
        assert time.monotonic() >= until + MISSING_FOR.total_seconds()


async def test_one_address_makes_one_customer_though_the_first_answer_was_lost(scene: Scene) -> None:
    """It may be there under the other name: what is open holds the address as well."""
    scene.door.fault({"operation": "create", "entity": "Customer"}, {"drop": "after"})
    scene.door.switch(readLagSeconds=0.25)
    for name in ("a", "b"):
        customer = {"email": "x@new.example", "create": {"displayName": f"New {name}"}}
        scene.apply(name, f"N-{name}", invoice={"customer": customer})
        await eventually(lambda: len(scene.door.requests("create")) > 0, "sent")
    await asyncio.gather(scene.until("a", "Created"), scene.until("b", "Created"))
    assert len(customers(scene.door, "New a")) + len(customers(scene.door, "New b")) == 1
