"""What people do in QuickBooks: seen by change data capture alone, once an interval."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fixtures.feedback_scene import Followed, following
from fixtures.invoices_scene import eventually
from fixtures.simulator_server import Door
from qbsync.api.meta import Kind

INTERVAL = timedelta(seconds=1)


@asynccontextmanager
async def company(door: Door, *, interval: timedelta = INTERVAL, **more: Any) -> AsyncIterator[Followed]:
    invoices = more.pop("invoices", {})
    async with following(Followed(door, interval=interval, **more)) as scene:
        scene.connect(**invoices)
        scene.wake()
        yield scene


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Followed]:
    simulator.reset()
    async with company(simulator) as made:
        yield made


async def created(scene: Followed, name: str = "a", number: str = "A-1", **spec: Any) -> str:
    scene.apply(name, number, **spec)
    return str((await scene.until(name, "Created"))["quickbooksId"])


def pay(scene: Followed, id_: str, amount: str | None = None) -> None:
    scene.door.post(f"/_simulator/invoices/{id_}/pay", {"amount": amount} if amount else {})


async def paid(scene: Followed, name: str, status: str = "Paid") -> dict[str, Any]:
    await eventually(
        lambda: scene.status(name).get("paymentStatus") == status, status, lambda: scene.status(name)
    )
    return scene.status(name)


async def looked(scene: Followed, times: int = 1) -> None:
    """Wait for so many looks more."""
    target = scene.calls("cdc") + times
    await eventually(lambda: scene.calls("cdc") >= target, "a look")


async def test_a_payment_is_seen_within_one_interval(scene: Followed) -> None:
    id_ = await created(scene)
    pay(scene, id_, "40.00")
    status = await paid(scene, "a", "PartiallyPaid")
    assert (status["balance"], status["totalAmount"]) == ("60.00", "100.00")
    pay(scene, id_)
    status = await paid(scene, "a")
    assert status["balance"] == "0.00"
    assert scene.reason("a") == "Created"
    assert scene.condition("a", "Drifted") == {}
    assert scene.noted.events.count("InvoicePaid") == 1


@pytest.mark.parametrize("moves", [True, False])
async def test_a_payment_counts_whether_or_not_it_moves_the_sync_token(simulator: Door, moves: bool) -> None:
    simulator.reset()
    simulator.switch(paymentMovesSyncToken=moves)
    async with company(simulator) as scene:
        pay(scene, await created(scene))
        await paid(scene, "a")


async def test_an_edit_is_drift_told_field_by_field_and_a_look_costs_one_call(scene: Followed) -> None:
    id_ = await created(scene, invoice={"dueDate": "2027-01-31"})
    reads = scene.door.counters()["meteredReads"]
    scene.door.post(f"/_simulator/invoices/{id_}/edit", {"DueDate": "2027-02-28"})
    await eventually(lambda: scene.condition("a", "Drifted") != {}, "drift")
    drifted = scene.condition("a", "Drifted")
    assert "dueDate: 2027-02-28 in QuickBooks, 2027-01-31 in the spec" in drifted["message"]
    assert scene.status("a")["dueDate"] == "2027-02-28"
    assert scene.noted.events.count("DriftDetected") == 1
    assert scene.door.counters()["meteredReads"] - reads == scene.calls("cdc")
    assert scene.door.requests("update") == []
    scene.door.post(f"/_simulator/invoices/{id_}/edit", {"DueDate": "2027-01-31"})
    await eventually(lambda: scene.condition("a", "Drifted").get("status") == "False", "no drift any more")


async def test_who_has_no_change_is_not_written(scene: Followed) -> None:
    await created(scene)
    pay(scene, await created(scene, "b", "B-1"))
    await paid(scene, "b")
    await looked(scene, 2)
    before = scene.objects.objects[Kind.INVOICE, "ns", "a"]["metadata"]["resourceVersion"]
    await looked(scene, 2)
    assert scene.objects.objects[Kind.INVOICE, "ns", "a"]["metadata"]["resourceVersion"] == before


async def test_a_void_and_a_deletion_are_seen(scene: Followed) -> None:
    voided, deleted = await created(scene), await created(scene, "b", "B-1")
    scene.door.post(f"/_simulator/invoices/{voided}/void")
    scene.door.post(f"/_simulator/invoices/{deleted}/delete")
    await scene.until("b", "DeletedInQuickBooks")
    await paid(scene, "a", "Voided")
    assert scene.reason("a") == "Created"
    assert scene.condition("a", "Drifted")["message"] == "voided in QuickBooks"
    assert scene.noted.events.count("DeletedInQuickBooks") == 1
    assert scene.calls("read") == 1


async def test_a_company_whose_invoices_are_all_paid_or_void_is_not_asked(scene: Followed) -> None:
    pay(scene, await created(scene))
    await paid(scene, "a")
    await asyncio.sleep(0.1)
    asked = scene.calls("cdc")
    scene.door.post("/_simulator/clock", {"advanceSeconds": 60})
    await asyncio.sleep(2 * INTERVAL.total_seconds())
    assert scene.calls("cdc") == asked
    pay(scene, await created(scene, "b", "B-1"))
    await paid(scene, "b")


async def test_mode_off_asks_nothing(simulator: Door) -> None:
    simulator.reset()
    async with company(simulator, invoices={"drift": {"mode": "Off"}}) as scene:
        pay(scene, await created(scene))
        await asyncio.sleep(2 * INTERVAL.total_seconds())
        assert scene.calls("cdc") == 0


async def test_a_refused_spec_is_followed_and_not_sent_again(scene: Followed) -> None:
    id_ = await created(scene)
    scene.edit("a", lines=[{"item": {"id": "999"}, "amount": "1.00"}])
    await scene.until("a", "ReferenceNotFound")
    sent = scene.calls("update")
    pay(scene, id_)
    await paid(scene, "a")
    assert scene.reason("a") == "ReferenceNotFound"
    assert scene.calls("update") == sent


async def test_a_resumed_object_is_looked_at(simulator: Door) -> None:
    simulator.reset()
    async with company(simulator, interval=timedelta(hours=6)) as scene:
        id_ = await created(scene)
        scene.change("a", suspend=True)
        await eventually(
            lambda: scene.condition("a", "Ready")["message"].startswith("suspended: "), "suspended"
        )
        pay(scene, id_)
        scene.change("a", suspend=False)
        await paid(scene, "a")


async def test_the_cursor_goes_on_after_a_restart_and_healed_gaps_miss_nothing(simulator: Door) -> None:
    simulator.reset()
    async with company(simulator) as scene:
        ids = {name: await created(scene, name, f"N-{name}") for name in "abc"}
        await eventually(lambda: "drift" in scene.connection.status, "a cursor")
    first = scene.connection.status["drift"]
    assert set(first) == {"cursor", "lastCheckTime"}
    pay(scene, ids["a"])
    scene.door.post(f"/_simulator/invoices/{ids['b']}/delete")
    objects = scene.objects
    stored = objects.objects[Kind.CONNECTION, "ns", "acme"]
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat(timespec="seconds")
    stored["status"] = {**stored["status"], "drift": {**first, "cursor": old}}
    for name in "abc":
        body = objects.objects[Kind.INVOICE, "ns", name]
        body["status"] = {**body["status"], "lastSyncTime": "2026-10-01T00:00:00Z"}
    async with following(Followed(simulator, interval=INTERVAL, objects=objects)) as scene:
        scene.store.observe(Kind.CONNECTION, stored)
        for name in "abc":
            scene.intake.event(Kind.INVOICE, "ADDED", objects.objects[Kind.INVOICE, "ns", name])
        queries = scene.calls("query")
        scene.wake()
        await paid(scene, "a")
        await scene.until("b", "DeletedInQuickBooks")
        assert scene.status("c")["paymentStatus"] == "Unpaid"
        assert scene.calls("query") == queries + 2
        await eventually(lambda: scene.connection.status["drift"]["cursor"] > first["cursor"][:10], "moved")


async def test_more_changes_than_the_feed_tells_are_queried(simulator: Door) -> None:
    simulator.reset()
    simulator.switch(maxChanges=1000)
    async with company(simulator) as scene:
        id_ = await created(scene)
        gone = await created(scene, "b", "B-1")
        await asyncio.to_thread(_many_edits, scene, 1000)
        pay(scene, id_)
        scene.door.post(f"/_simulator/invoices/{gone}/delete")
        await paid(scene, "a")
        await scene.until("b", "DeletedInQuickBooks")
        statements = [request["statement"] for request in scene.door.requests("query")]
        asked = [one for one in statements if "MetaData.LastUpdatedTime >=" in one]
        pages = {one.rpartition("STARTPOSITION ")[2] for one in asked}
        # The second page begins with the last row of the first.
        assert pages == {"1 MAXRESULTS 1000", "1000 MAXRESULTS 1000"}
        assert any(one.startswith("SELECT Id FROM Invoice WHERE Id IN") for one in statements)


def _many_edits(scene: Followed, count: int) -> None:
    """Other people's invoices, as many as a look tells at most."""
    grant = scene.door.tokens()
    line = {
        "Amount": 1,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "1"}},
    }
    for start in range(0, count, 25):
        items = [
            {
                "bId": str(index),
                "operation": "create",
                "Invoice": {"CustomerRef": {"value": "1"}, "Line": [line], "DocNumber": f"O-{start + index}"},
            }
            for index in range(25)
        ]
        answer = scene.door._door.post(
            f"/v3/company/{grant['realm_id']}/batch",
            json={"BatchItemRequest": items},
            headers={"Authorization": f"Bearer {grant['access_token']}"},
        )
        answer.raise_for_status()
