"""A backlog goes out in batches, and each of its invoices stands once, whatever becomes of a batch."""

import asyncio
import math
import time
from typing import Any

import pytest

from fixtures.invoices_scene import LOOKUP_LAG, SERVER_TIMEOUT, Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.quickbooks.batch import MOST_ITEMS
from qbsync.quickbooks.errors import Unauthorized

BACKLOG = 15
"""More than a handful, and one batch."""


def apply(scene: Scene, count: int = BACKLOG, **spec: Any) -> list[str]:
    """So many InvoiceSyncs at once."""
    names = [f"i{number}" for number in range(count)]
    for number, name in enumerate(names):
        scene.apply(name, f"A-{number}", **spec)
    return names


async def settled(scene: Scene, names: list[str], reason: str = "Created") -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(scene.until(name, reason) for name in names)))


def calls(scene: Scene) -> dict[str, int]:
    """The writes that QuickBooks saw."""
    requests = scene.door.counters()["requests"]
    return {operation: requests.get(operation, 0) for operation in ("create", "batch")}


def check_one_each(scene: Scene, names: list[str]) -> None:
    for number, name in enumerate(names):
        (invoice,) = scene.door.invoices(f"A-{number}")
        assert scene.status(name)["quickbooksId"] == invoice["Id"]


async def test_a_backlog_takes_full_batches_and_few_reads(scene: Scene) -> None:
    names = apply(scene, 300)
    statuses = await settled(scene, names)
    check_one_each(scene, names)
    assert calls(scene) == {"create": 0, "batch": math.ceil(300 / MOST_ITEMS)}
    assert scene.door.counters()["meteredReads"] <= 0.04 * 300
    assert scene.objects.writes == 300
    assert all(status["history"][0]["intuitTid"] for status in statuses)


async def test_a_handful_goes_one_by_one_each_with_its_requestid(scene: Scene) -> None:
    names = apply(scene, 10)
    await settled(scene, names)
    check_one_each(scene, names)
    assert calls(scene) == {"create": 10, "batch": 0}


async def test_what_is_left_of_a_backlog_goes_one_by_one(scene: Scene) -> None:
    names = apply(scene, MOST_ITEMS + 3)
    await settled(scene, names)
    assert calls(scene) == {"create": 3, "batch": 1}


async def test_without_the_takeover_grace_there_are_no_batches(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator, handful=None)) as scene:
        scene.connect()
        await settled(scene, apply(scene))
        assert calls(scene) == {"create": BACKLOG, "batch": 0}


async def test_what_its_number_does_not_find_again_goes_one_by_one(scene: Scene) -> None:
    for number in range(BACKLOG):
        source = {"system": "crm", "id": str(number)}
        scene.apply(f"i{number}", "", invoice={"docNumber": None}, source=source)
    await settled(scene, [f"i{number}" for number in range(BACKLOG)])
    assert calls(scene) == {"create": BACKLOG, "batch": 0}


# -- answers that are lost ------------------------------------------------------------------------------------


async def test_a_batch_lost_before_its_commit_is_sent_again_one_by_one_when_it_can_no_longer_arrive(
    scene: Scene,
) -> None:
    scene.door.fault({"operation": "batch"}, {"drop": "before"})
    started = time.monotonic()
    names = apply(scene)
    await scene.until(names[0], "OutcomeUnknown")
    statuses = await settled(scene, names)
    assert time.monotonic() - started >= (SERVER_TIMEOUT + LOOKUP_LAG).total_seconds()
    check_one_each(scene, names)
    assert calls(scene) == {"create": BACKLOG, "batch": 1}
    assert {status["attempts"] for status in statuses} == {2}


@pytest.mark.parametrize("lost", [{"drop": "after"}, {"truncated": True}, {"status": 504, "commit": True}])
async def test_a_batch_whose_answer_was_lost_is_found(scene: Scene, lost: dict[str, Any]) -> None:
    scene.door.fault({"operation": "batch"}, lost)
    names = apply(scene)
    statuses = await settled(scene, names, "Recovered")
    check_one_each(scene, names)
    assert calls(scene) == {"create": 0, "batch": 1}
    assert {status["origin"] for status in statuses} == {"Created"}


async def test_a_batch_that_is_carried_out_late_is_found_and_not_repeated(scene: Scene) -> None:
    late = SERVER_TIMEOUT.total_seconds() * 0.9
    scene.door.fault({"operation": "batch"}, {"status": 504, "commitAfterSeconds": late})
    names = apply(scene)
    await settled(scene, names, "Recovered")
    check_one_each(scene, names)
    assert calls(scene) == {"create": 0, "batch": 1}


async def test_a_batch_carried_out_in_part_is_completed(scene: Scene) -> None:
    scene.door.fault({"operation": "batch"}, {"commitItems": 4})
    names = apply(scene)
    await eventually(lambda: all("quickbooksId" in scene.status(name) for name in names), "all")
    check_one_each(scene, names)
    assert calls(scene) == {"create": BACKLOG - 4, "batch": 1}
    reasons = [scene.condition(name, "Ready")["reason"] for name in names]
    assert (reasons.count("Recovered"), reasons.count("Created")) == (4, BACKLOG - 4)


# -- items ----------------------------------------------------------------------------------------------------


async def test_a_refused_item_holds_up_no_other(scene: Scene) -> None:
    names = apply(scene)
    scene.apply("wrong", "W-1", invoice={"customer": {"id": "99999"}})
    await settled(scene, names)
    status = await scene.until("wrong", "ReferenceNotFound")
    assert status["rejections"] == 1
    assert scene.condition("wrong", "Stalled")["status"] == "True"
    assert calls(scene) == {"create": 0, "batch": 1}


@pytest.mark.parametrize("commit", [True, False])
async def test_an_item_whose_fault_proves_nothing_is_looked_up_before_it_goes_alone(
    scene: Scene, commit: bool
) -> None:
    scene.door.fault(
        {"operation": "create", "inBatch": True, "nth": 3}, {"fault": "6000", "status": 500, "commit": commit}
    )
    names = apply(scene)
    await eventually(lambda: all("quickbooksId" in scene.status(name) for name in names), "all")
    check_one_each(scene, names)
    assert calls(scene) == {"create": 0 if commit else 1, "batch": 1}


async def test_an_item_whose_token_is_refused_says_nothing_of_the_company(scene: Scene) -> None:
    """Its call was let in: the connection is not to blame, nor to be stopped for all the others."""
    scene.door.fault({"operation": "create", "inBatch": True, "nth": 3}, {"status": 401})
    names = apply(scene)
    await settled(scene, names)
    check_one_each(scene, names)
    assert [error for error in scene.access_failures if isinstance(error, Unauthorized)] == []
    assert calls(scene) == {"create": 1, "batch": 1}


async def test_a_batch_that_is_refused_at_the_door_tells_of_the_company(scene: Scene) -> None:
    scene.grant.on_rejected = None
    scene.door.fault({"operation": "batch"}, {"status": 401}, times=2)
    names = apply(scene)
    await settled(scene, names)
    check_one_each(scene, names)
    assert any(isinstance(error, Unauthorized) for error in scene.access_failures)


async def test_a_batch_that_is_refused_as_a_whole_goes_one_by_one(scene: Scene) -> None:
    """Intuit: 1040, where fewer items are allowed; or 2010, for the sake of one item."""
    scene.door.switch(maxBatchItems=5)
    names = apply(scene)
    await settled(scene, names)
    check_one_each(scene, names)
    assert calls(scene) == {"create": BACKLOG, "batch": 1}


async def test_answers_in_another_order_are_told_apart(scene: Scene) -> None:
    scene.door.switch(batchAnswers="reversed")
    names = apply(scene)
    await settled(scene, names)
    check_one_each(scene, names)


async def test_a_number_that_was_taken_meanwhile_is_a_conflict_of_that_item_alone(scene: Scene) -> None:
    scene.door.switch(duplicateDocCheck=True)
    scene.door.fault({"operation": "create", "inBatch": True, "nth": 4}, {"fault": "6140"})
    names = apply(scene)
    await settled(scene, names)
    check_one_each(scene, names)
    assert calls(scene) == {"create": 1, "batch": 1}


# -- the last moment ------------------------------------------------------------------------------------------


async def test_what_was_deleted_suspended_or_changed_meanwhile_does_not_go_with_it(scene: Scene) -> None:
    scene.door.fault({"operation": "query"}, {"delaySeconds": 0.5})
    names = apply(scene)
    await eventually(lambda: scene.workers.in_work == BACKLOG, "a round that looks its objects up")
    scene.delete(names[0])
    scene.change(names[1], suspend=True)
    scene.edit(names[2], customerMemo="changed")
    await settled(scene, names[2:])
    assert scene.door.invoices("A-0") == scene.door.invoices("A-1") == []
    assert scene.door.invoices("A-2")[0]["CustomerMemo"]["value"] == "changed"
    assert calls(scene) == {"create": 1, "batch": 1}
    assert scene.door.counters()["batchItems"] == {"create": BACKLOG - 3}


async def test_a_process_that_leads_no_more_sends_nothing(scene: Scene) -> None:
    scene.fence.leads = False
    apply(scene)
    await eventually(lambda: "query" in scene.door.counters()["requests"], "a lookup")
    await eventually(lambda: not scene.workers.in_work, "everything put off")
    assert calls(scene) == {"create": 0, "batch": 0}
