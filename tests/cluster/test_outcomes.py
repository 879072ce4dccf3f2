"""Answers that get lost: unknown is said to be unknown, looked up, and never sent a second time too early."""

import time
from typing import Any

import pytest

from cluster.harness import manifests
from cluster.harness.stage import NewStage, Stage, foreign_invoice, outcomes
from cluster.harness.watching import Watch, condition, eventually, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]

SERVER_TIMEOUT = 3


def started(stage: Stage) -> Watch:
    """An operator, a connection that is Ready, and a watch of the invoices."""
    stage.operator()
    stage.connected()
    return stage.watch()


def test_an_answer_lost_after_the_commit_is_recovered(stage: Stage) -> None:
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"drop": "after"})
    stage.apply(manifests.invoice("inv-1"))
    body = watch.object("inv-1", is_ready, what="Ready")
    assert body["status"]["outcome"] == "Recovered"
    assert body["status"]["origin"] == "Created"
    assert watch.reasons("inv-1") == ["OutcomeUnknown", "Recovered"]
    assert stage.simulator.counters()["requests"]["create"] == 1
    assert len(stage.simulator.invoices("INV-1")) == 1

    unknown = next(
        event.body for event in watch.events if ready(event.body).get("reason") == "OutcomeUnknown"
    )
    assert ready(unknown)["status"] == "Unknown"
    assert condition(unknown, "Reconciling")["status"] == "True"
    assert unknown["status"]["intent"]["requestId"] == stage.simulator.requests("create")[0]["requestid"]
    assert "intent" not in body["status"]
    assert "lastError" not in body["status"]


def test_a_request_lost_before_the_commit_is_sent_again_when_it_can_no_longer_arrive(stage: Stage) -> None:
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"drop": "before"})
    stage.apply(manifests.invoice("inv-1"))
    watch.reason("inv-1", "OutcomeUnknown")
    unknown_since = time.monotonic()
    body = watch.object("inv-1", is_ready, what="Ready")
    assert time.monotonic() - unknown_since >= SERVER_TIMEOUT - 1
    assert body["status"]["outcome"] == "Created"
    assert watch.reasons("inv-1") == ["OutcomeUnknown", "Created"]
    sent = stage.simulator.requests("create")
    assert len(sent) == 2
    assert sent[0]["requestid"] == sent[1]["requestid"], "the same intended change"
    assert len(stage.simulator.invoices("INV-1")) == 1


@pytest.mark.parametrize(
    "effect",
    [
        {"commitAfterSeconds": 1},
        {"commitAfterSeconds": 2.5, "drop": "before"},
        {"status": 500, "commit": True},
        {"html": True, "status": 502, "commit": True},
        {"truncated": True},
        {"delaySeconds": 10},
    ],
    ids=["504 and a late commit", "reset and a later commit", "500", "html", "truncated", "too slow"],
)
def test_whatever_came_back_there_is_one_invoice(stage: Stage, effect: dict[str, Any]) -> None:
    watch = started(stage)
    stage.simulator.switch(requestidMemory="forget")
    stage.simulator.fault({"operation": "create"}, effect)
    stage.apply(manifests.invoice("inv-1"), manifests.invoice("inv-2"))
    for name in ("inv-1", "inv-2"):
        watch.object(name, is_ready, what="Ready")
    assert sorted(outcomes(watch.objects)) == ["Created", "Recovered"]
    assert stage.simulator.counters()["requests"]["create"] == 2
    assert {number: n for number, n in stage.numbers().items() if number.startswith("INV")} == {
        "INV-1": 1,
        "INV-2": 1,
    }


def test_a_spec_changed_while_the_outcome_is_unknown_goes_out_as_an_update_afterwards(stage: Stage) -> None:
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"commitAfterSeconds": 2})
    stage.apply(manifests.invoice("inv-1", amount="10.00"))
    watch.reason("inv-1", "OutcomeUnknown")
    stage.apply(manifests.invoice("inv-1", amount="20.00"))
    body = watch.object("inv-1", is_ready, what="Ready with the newer spec")
    (row,) = stage.simulator.invoices("INV-1")
    assert (row["Id"], row["TotalAmt"]) == (body["status"]["quickbooksId"], 20)
    assert [entry["outcome"] for entry in body["status"]["history"]] == ["Updated", "Recovered"]
    counts = stage.simulator.counters()["requests"]
    assert (counts["create"], counts["update"]) == (1, 1)


def test_an_object_deleted_while_its_outcome_is_unknown_leaves_one_invoice(stage: Stage) -> None:
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"commitAfterSeconds": 2})
    stage.apply(manifests.invoice("inv-1"))
    watch.reason("inv-1", "OutcomeUnknown")
    stage.delete("invoicesync", "inv-1")
    stage.apply(manifests.invoice("inv-1"))
    body = watch.object("inv-1", is_ready, what="Ready")
    assert len(stage.simulator.invoices("INV-1")) == 1
    assert body["status"]["outcome"] == "Recovered"


def test_an_object_deleted_while_its_create_is_under_way_is_an_orphan_and_comes_back(stage: Stage) -> None:
    operator = stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.simulator.fault({"operation": "create"}, {"delaySeconds": 2})
    stage.apply(manifests.invoice("inv-1"))
    eventually(lambda: stage.simulator.requests("create"), what="the create at work")
    stage.delete("invoicesync", "inv-1")
    line = operator.await_line(lambda line: line.get("action") == "result.orphaned", what="the audit line")
    assert line["quickbooks_id"] == stage.simulator.invoices("INV-1")[0]["Id"]
    assert operator.metrics().total("qbsync_orphaned_results_total") == 1
    stage.apply(manifests.invoice("inv-1"))
    assert watch.object("inv-1", is_ready, what="Ready")["status"]["outcome"] == "Recovered"
    assert len(stage.simulator.invoices("INV-1")) == 1


def test_an_object_deleted_and_applied_while_its_create_is_under_way_waits_for_it(stage: Stage) -> None:
    stage.simulator.switch(requestidMemory="forget")
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"delaySeconds": 2})
    stage.apply(manifests.invoice("inv-1"))
    eventually(lambda: stage.simulator.requests("create"), what="the create at work")
    stage.delete("invoicesync", "inv-1")
    stage.apply(manifests.invoice("inv-1"))
    body = watch.object("inv-1", is_ready, what="Ready")
    assert body["status"]["outcome"] == "Recovered"
    assert len(stage.simulator.invoices("INV-1")) == 1


def test_what_waits_its_turn_and_is_changed_suspended_or_deleted_is_not_sent_in_its_old_form(
    stage: Stage,
) -> None:
    stage.operator()
    stage.connected(limits={"requestsPerSecond": 2, "concurrentRequests": 1})
    watch = stage.watch()
    stage.simulator.fault({"operation": "create"}, {"delaySeconds": 2.5})
    stage.apply(manifests.invoice("inv-0"))
    eventually(lambda: stage.simulator.requests("create"), what="the first create at work")
    # One call at a time: all others wait until that one is answered.
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(1, 6)))
    stage.kubectl("delete", "invoicesync", "inv-5", "-n", stage.namespace, "--wait=false")
    stage.apply(manifests.invoice("inv-4", suspend=True), manifests.invoice("inv-3", amount="5.00"))
    for n in range(4):
        watch.object(f"inv-{n}", is_ready, what="Ready")
    assert {number for number in stage.numbers() if number.startswith("INV-")} == {
        f"INV-{n}" for n in range(4)
    }
    assert stage.more_than_sample() == 4
    assert stage.simulator.invoices("INV-3")[0]["TotalAmt"] == 5


def test_a_failed_lookup_is_unknown_never_absent(stage: Stage) -> None:
    stage.seed([foreign_invoice("INV-1", 100)])
    # Four failures in a row are also what opens a circuit; that is told elsewhere.
    stage.operator("--breaker-minimum-calls", "50")
    stage.connected()
    watch = stage.watch()
    for effect in ({"status": 500}, {"drop": "before"}, {"html": True, "status": 503}, {"truncated": True}):
        stage.simulator.fault({"operation": "query"}, effect)
    stage.apply(manifests.invoice("inv-1"))
    body = watch.object("inv-1", is_ready, what="Ready")
    assert body["status"]["outcome"] == "Adopted"
    assert stage.simulator.counters()["requests"]["create"] == 1, "the one that was there"
    assert watch.reasons("inv-1") == ["Adopted"], "what heals within seconds is not written"


@pytest.mark.parametrize("form", ["long", "short"])
def test_fault_6140_is_looked_up_and_decided_by_the_mark(stage: Stage, form: str) -> None:
    """The duplicate check is on, and the lookup misses what was created a moment ago."""
    watch = started(stage)
    lag = 1_000_000
    stage.simulator.switch(readLagSeconds=lag)
    stage.seed([foreign_invoice("INV-2", 7), foreign_invoice("INV-3", 100)])
    stage.simulator.switch(readLagSeconds=0, duplicateDocCheck=True, duplicateDocForm=form)
    stage.apply(manifests.invoice("inv-1"), manifests.invoice("inv-2"), manifests.invoice("inv-3"))
    eventually(lambda: _refused_as_duplicate(stage) >= 2, what="two creates refused with 6140")
    stage.simulator.advance(lag)
    watch.object("inv-1", is_ready, what="Ready")
    assert watch.object("inv-3", is_ready, what="Ready")["status"]["outcome"] == "Adopted"
    body = watch.reason("inv-2", "DocNumberConflict")
    assert "net amount" in ready(body)["message"]
    assert stage.more_than_sample() == 3


def _refused_as_duplicate(stage: Stage) -> int:
    return sum(1 for entry in stage.simulator.requests("create") if entry.get("code") == "6140")


def test_with_duplicate_check_and_strict_everything_a_lost_answer_is_recovered(new_stage: NewStage) -> None:
    stage = new_stage("--latency", "20,100", profile="strict")
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"drop": "after"}, times=5)
    # A handful: more of them might go out together.
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(10)))
    watch.until(lambda objects: sum(map(is_ready, objects.values())) == 10, what="all Ready")
    assert outcomes(watch.objects) == {"Created": 5, "Recovered": 5}
    assert stage.more_than_sample() == 10


@pytest.mark.parametrize("memory", ["replay", "forget", "fault600"])
def test_whatever_quickbooks_remembers_of_requestids(stage: Stage, memory: str) -> None:
    watch = started(stage)
    stage.simulator.switch(requestidMemory=memory)
    stage.simulator.fault({"operation": "create"}, {"drop": "after"}, times=3)
    stage.simulator.fault({"operation": "create"}, {"drop": "before"}, times=3)
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(8)))
    watch.until(lambda objects: sum(map(is_ready, objects.values())) == 8, what="all Ready")
    assert stage.more_than_sample() == 8
    assert all(n == 1 for number, n in stage.numbers().items() if number.startswith("INV-"))


def test_throttled_creates_wait_for_the_whole_company_and_are_not_doubled(stage: Stage) -> None:
    """A 429 on a create: its outcome counts as unknown too, and Ready says so until the 60 s are over."""
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"status": 429})
    stage.apply(manifests.invoice("inv-1"))
    body = watch.reason("inv-1", "OutcomeUnknown")
    assert body["status"]["lastError"]["code"] in {"429", "3001", "003001"}
    calls = stage.simulator.counters()["requests"]
    stage.apply(manifests.invoice("inv-2"))
    body = watch.object("inv-1", is_ready, what="Ready", timeout=120)
    watch.object("inv-2", is_ready, what="Ready", timeout=120)
    assert stage.simulator.counters()["requests"]["create"] == calls["create"] + 2
    assert stage.more_than_sample() == 2
