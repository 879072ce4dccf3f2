"""One spec, one invoice, whatever happens on the way: against the simulator, over HTTP."""

import asyncio
import time

from fixtures.invoices_scene import ACME, SERVER_TIMEOUT, Scene, eventually, running
from fixtures.simulator_server import Door
from qbsync.api.meta import REQUESTED_AT, Kind
from qbsync.engine.grace import TakeoverGrace
from qbsync.quickbooks.errors import NoAccessToken


async def test_an_absent_invoice_is_created_with_one_write(scene: Scene) -> None:
    scene.apply("a", "A-1")
    status = await scene.until("a", "Created")
    (invoice,) = scene.door.invoices("A-1")
    assert status["quickbooksId"] == invoice["Id"]
    assert status["totalAmount"] == "100.00"
    assert status["paymentStatus"] == "Unpaid"
    assert status["attempts"] == 1
    assert status["history"][0]["intuitTid"]
    assert scene.objects.writes == 1


async def test_a_matching_invoice_is_adopted_and_never_touched(scene: Scene) -> None:
    existing = scene.door.write_invoice("A-1")
    scene.apply("a", "A-1")
    status = await scene.until("a", "Adopted")
    assert (status["quickbooksId"], status["origin"]) == (existing, "Adopted")
    (invoice,) = scene.door.invoices("A-1")
    assert invoice["SyncToken"] == "0"


async def test_an_invoice_with_other_content_is_a_conflict_that_says_what(scene: Scene) -> None:
    scene.door.write_invoice("A-1", 99.0)
    scene.apply("a", "A-1")
    status = await scene.until("a", "DocNumberConflict")
    assert "net amount 99" in status["conditions"][0]["message"]
    assert len(scene.door.invoices("A-1")) == 1
    assert "DocNumberConflict" in scene.noted.events


async def test_quotes_and_backslashes_in_a_number_are_looked_up_as_they_are(scene: Scene) -> None:
    for number in ("O'Neil \\ 1", "100%", "a_b", '"x"'):
        scene.door.write_invoice(number)
        scene.apply(f"i{abs(hash(number))}", number)
        await scene.until(f"i{abs(hash(number))}", "Adopted")


async def test_two_objects_with_one_number_make_one_invoice(scene: Scene) -> None:
    scene.apply("a", "A-1")
    scene.apply("b", "a-1 ")
    await scene.until("a", "Created")
    status = await scene.until("b", "DocNumberConflict")
    assert "ns/a" in status["conditions"][0]["message"]
    assert len(scene.door.invoices("A-1")) == 1


async def test_an_answer_lost_after_the_commit_is_recovered(scene: Scene) -> None:
    scene.door.fault({"operation": "create"}, {"drop": "after"})
    scene.apply("a", "A-1")
    status = await scene.until("a", "Recovered")
    assert status["origin"] == "Created"
    assert len(scene.door.invoices("A-1")) == 1
    assert [entry["outcome"] for entry in status["history"]] == ["Recovered"]


async def test_a_request_lost_before_the_commit_is_sent_again_only_when_it_can_no_longer_arrive(
    scene: Scene,
) -> None:
    scene.door.fault({"operation": "create"}, {"drop": "before"})
    started = time.monotonic()
    scene.apply("a", "A-1")
    status = await scene.until("a", "OutcomeUnknown")
    assert status["intent"]["requestId"]
    status = await scene.until("a", "Created")
    assert time.monotonic() - started >= SERVER_TIMEOUT.total_seconds()
    assert "intent" not in status
    assert status["attempts"] == 2
    assert len(scene.door.invoices("A-1")) == 1


async def test_a_late_commit_is_found_and_not_repeated(scene: Scene) -> None:
    scene.door.switch(requestidMemory="forget")
    scene.door.fault({"operation": "create"}, {"status": 504, "commitAfterSeconds": 0.8})
    scene.apply("a", "A-1")
    await scene.until("a", "Recovered")
    await eventually(lambda: len(scene.door.invoices("A-1")) == 1, "one invoice")
    assert scene.door.counters()["requests"]["create"] == 1


async def test_a_lookup_that_fails_is_unknown_and_never_absent(scene: Scene) -> None:
    scene.door.write_invoice("A-1")
    for effect in ({"status": 500}, {"html": True}, {"truncated": True}, {"drop": "before"}):
        scene.door.fault({"operation": "query"}, effect)
    scene.apply("a", "A-1")
    await scene.until("a", "Adopted")
    assert "create" not in scene.door.counters()["requests"] or len(scene.door.invoices("A-1")) == 1


async def test_a_duplicate_that_quickbooks_names_is_decided_by_its_mark(scene: Scene) -> None:
    scene.door.switch(duplicateDocCheck=True)
    scene.apply("a", "A-1")
    await scene.until("a", "Created")
    scene.delete("a")
    scene.apply("a", "A-1", uid="uid-restored")
    status = await scene.until("a", "Recovered")
    assert status["origin"] == "Created"
    assert len(scene.door.invoices("A-1")) == 1


async def test_what_was_created_a_moment_ago_is_recovered_although_queries_lag(scene: Scene) -> None:
    scene.door.switch(readLagSeconds=2)
    scene.apply("a", "A-1")
    await scene.until("a", "Created")
    scene.delete("a")
    scene.apply("a", "A-1", uid="uid-again")
    await scene.until("a", "Recovered")
    assert len(scene.door.invoices("A-1")) == 1


async def test_a_rejection_says_quickbooks_words_and_is_not_repeated(scene: Scene) -> None:
    scene.apply("a", "A-1", invoice={"customer": {"id": "99999"}})
    status = await scene.until("a", "ReferenceNotFound")
    assert status["lastError"]["code"] == "2500"
    assert status["lastError"]["intuitTid"]
    assert status["rejections"] == 1
    sent = scene.door.counters()["requests"]["create"]
    scene.annotate("a", REQUESTED_AT, "again")
    await eventually(lambda: scene.status("a").get("lastHandledRequest") == "again", "asked again")
    assert scene.door.counters()["requests"]["create"] == sent + 1
    assert scene.status("a")["rejections"] == 2


async def test_one_broken_object_delays_no_other(scene: Scene) -> None:
    scene.apply("broken", "A-1", invoice={"customer": {"name": "Nobody"}})
    scene.apply("good", "A-2")
    await scene.until("good", "Created")
    await scene.until("broken", "ReferenceNotFound")


async def test_an_object_deleted_while_its_create_is_at_work_keeps_its_number(scene: Scene) -> None:
    scene.door.fault({"operation": "create"}, {"delaySeconds": 0.5})
    scene.apply("a", "A-1")
    await eventually(lambda: scene.workers.in_work == 1 and _sending(scene), "the create is under way")
    scene.delete("a")
    scene.apply("b", "A-1")
    status = await scene.until("b", "DocNumberConflict", "Created")
    assert scene.reason("b") == "DocNumberConflict", status
    assert len(scene.door.invoices("A-1")) == 1
    assert "orphaned" in scene.noted.events


async def test_nothing_is_sent_without_the_lease(scene: Scene) -> None:
    scene.fence.leads = False
    scene.apply("a", "A-1")
    await eventually(lambda: scene.door.counters()["requests"].get("query", 0) >= 2, "it is looked up")
    assert "create" not in scene.door.counters()["requests"]
    scene.fence.leads = True
    await scene.until("a", "Created")


async def test_a_settled_object_costs_nothing(scene: Scene) -> None:
    scene.apply("a", "A-1")
    await scene.until("a", "Created")
    calls, writes = scene.door.counters()["requests"], scene.objects.writes
    body = scene.objects.objects[Kind.INVOICE, "ns", "a"]
    body["metadata"]["resourceVersion"] = str(int(body["metadata"]["resourceVersion"]) + 1000)
    scene.intake.event(Kind.INVOICE, "MODIFIED", body)
    await eventually(
        lambda: scene.workers.in_work == 0 and not scene.workers.queue.depth(ACME, Kind.INVOICE), "looked at"
    )
    assert (scene.door.counters()["requests"], scene.objects.writes) == (calls, writes)


async def test_a_sync_that_is_asked_for_brings_the_payment(scene: Scene) -> None:
    scene.apply("a", "A-1")
    id_ = (await scene.until("a", "Created"))["quickbooksId"]
    scene.door.post(f"/_simulator/invoices/{id_}/pay", {})
    scene.annotate("a", REQUESTED_AT, "now")
    await eventually(
        lambda: scene.status("a").get("paymentStatus") == "Paid", "paid", lambda: scene.status("a")
    )
    assert scene.status("a")["balance"] == "0.00"
    assert scene.status("a")["lastHandledRequest"] == "now"


async def test_an_invoice_deleted_in_quickbooks_is_told_and_not_created_again(scene: Scene) -> None:
    scene.apply("a", "A-1")
    id_ = (await scene.until("a", "Created"))["quickbooksId"]
    scene.door.post(f"/_simulator/invoices/{id_}/delete", {})
    scene.annotate("a", REQUESTED_AT, "now")
    await scene.until("a", "DeletedInQuickBooks")
    assert scene.door.invoices("A-1") == []


async def test_suspended_objects_rest(scene: Scene) -> None:
    scene.apply("a", "A-1", suspend=True)
    scene.apply("b", "B-1")
    await scene.until("b", "Created")
    assert scene.status("a") == {}
    scene.change("a", suspend=False)
    await scene.until("a", "Created")


async def test_an_inherited_object_waits_out_the_grace_and_a_new_one_does_not(simulator: Door) -> None:
    simulator.reset()
    grace = TakeoverGrace(until=time.monotonic() + 1.5)
    async with running(Scene(simulator, grace=grace)) as scene:
        scene.connect()
        scene.apply("new", "A-1")
        body = scene.objects.add(
            Kind.INVOICE,
            "old",
            connectionRef={"name": "acme"},
            invoice={
                "docNumber": "A-2",
                "customer": {"id": "1"},
                "lines": [{"item": {"id": "1"}, "amount": "1.00"}],
            },
        )
        scene.intake.event(Kind.INVOICE, None, body)
        await scene.until("new", "Created")
        assert time.monotonic() < grace.until
        await scene.until("old", "Created")
        assert time.monotonic() >= grace.until


async def test_a_throttled_company_goes_on_later_without_a_second_invoice(scene: Scene) -> None:
    scene.door.fault({"operation": "query"}, {"status": 500}, times=2)
    for number in range(20):
        scene.apply(f"i{number}", f"A-{number}")
    await asyncio.gather(*(scene.until(f"i{number}", "Created") for number in range(20)))
    assert (
        len({invoice["DocNumber"] for invoice in scene.door.invoices()} & {f"A-{n}" for n in range(20)}) == 20
    )


def _sending(scene: Scene) -> bool:
    return scene.door.counters()["requests"].get("create", 0) > 0


async def test_an_object_deleted_with_its_outcome_open_keeps_its_number_until_nothing_can_arrive(
    scene: Scene,
) -> None:
    """Its request may commit after the deletion: whoever asks next must not be told that nothing is there."""
    scene.door.switch(requestidMemory="forget")
    scene.door.fault({"operation": "create"}, {"status": 504, "commitAfterSeconds": 0.9})
    scene.apply("a", "A-1")
    await scene.until("a", "OutcomeUnknown")
    scene.delete("a")
    scene.apply("a", "A-1", uid="uid-again")
    await scene.until("a", "Recovered", "Created")
    await eventually(lambda: scene.workers.in_work == 0, "settled")
    assert len(scene.door.invoices("A-1")) == 1
    assert scene.reason("a") == "Recovered"


async def test_an_inherited_object_deleted_during_the_grace_keeps_its_number(simulator: Door) -> None:
    simulator.reset()
    grace = TakeoverGrace(until=time.monotonic() + 1.0)
    async with running(Scene(simulator, grace=grace)) as scene:
        scene.connect()
        body = scene.objects.add(
            Kind.INVOICE,
            "old",
            connectionRef={"name": "acme"},
            invoice={
                "docNumber": "A-1",
                "customer": {"id": "1"},
                "lines": [{"item": {"id": "1"}, "amount": "1.00"}],
            },
        )
        scene.intake.event(Kind.INVOICE, None, body)
        scene.delete("old")
        scene.apply("new", "A-1")
        await scene.until("new", "Created")
        assert time.monotonic() >= grace.until


async def test_a_create_that_was_turned_away_for_its_token_goes_out_as_the_spec_is_then(scene: Scene) -> None:
    scene.grant.on_rejected = NoAccessToken("the grant is being refreshed")
    scene.door.fault({"operation": "create"}, {"status": 401})
    scene.apply("a", "A-1")
    await eventually(
        lambda: bool(scene.door.requests("create")) and not scene.workers.in_work, "a create that was refused"
    )
    scene.edit("a", customerMemo="changed")
    await scene.until("a", "Created")
    (invoice,) = scene.door.invoices("A-1")
    assert invoice["CustomerMemo"]["value"] == "changed"
