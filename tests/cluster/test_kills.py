"""SIGKILL, a frozen process, an API server that is gone: everything gets Ready, and nothing twice."""

import signal
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.harness import manifests
from cluster.harness.stage import NewStage, OwnPlane, Stage, outcomes
from cluster.harness.watching import Watch, eventually, is_ready

pytest_plugins = ["cluster.harness.plugin"]


def ready_names(objects: Mapping[str, Any]) -> set[str]:
    """Who is Ready."""
    return {name for name, body in objects.items() if is_ready(body)}


def await_more_ready(watch: Watch, count: int, *, timeout: float) -> None:
    """Wait until `count` more objects are Ready than now."""
    before = len(ready_names(watch.objects))
    watch.until(
        lambda objects: len(ready_names(objects)) >= before + count,
        what=f"{count} more Ready",
        timeout=timeout,
    )


def await_all_ready(watch: Watch, count: int, *, timeout: float) -> dict[str, Any]:
    """The objects, once all of them are Ready."""
    watch.until(lambda objects: len(ready_names(objects)) == count, what=f"{count} Ready", timeout=timeout)
    return dict(watch.objects)


def unrecorded(stage: Stage) -> set[str]:
    """The ids of ours in QuickBooks that no object knows of."""
    known = {body.get("status", {}).get("quickbooksId") for body in stage.all("invoicesyncs").values()}
    ours = {row["Id"] for row in stage.simulator.invoices() if "[qbsync" in row.get("PrivateNote", "")}
    return ours - known


@pytest.mark.parametrize(
    ("profile", "count", "kills"),
    [("realistic", 400, 3), ("hostile", 300, 2)],
    ids=["realistic", "hostile"],
)
def test_killed_in_the_middle(new_stage: NewStage, profile: str, count: int, kills: int) -> None:
    """Three batches are at work at a time, so a kill leaves up to ninety invoices that nobody has recorded."""
    stage = new_stage(profile=profile)
    assert stage.simulator.get("/_simulator/switches")["duplicateDocCheck"] is False
    operator = stage.operator()
    stage.connected()
    assert operator.terminate() == 0
    watch = stage.watch()
    documents = [manifests.invoice(f"inv-{n:03}", amount=f"{n + 1}.00") for n in range(count)]

    orphans: set[str] = set()
    for wave in range(kills):
        # Each process finds a backlog that is longer than what is at work at a time.
        stage.apply(*documents[wave * count // kills : (wave + 1) * count // kills])
        operator = stage.operator()
        operator.leads()
        await_more_ready(watch, 1, timeout=120)
        eventually(lambda: _at_work(stage), what="creates at work in QuickBooks", timeout=30)
        operator.kill()
        # What had reached QuickBooks goes on there.
        eventually(lambda: not _at_work(stage), what="QuickBooks done with what it had got", timeout=30)
        orphans |= unrecorded(stage)
    operator = stage.operator()
    assert orphans, "no kill hit between an invoice and its record: nothing was shown"

    objects = await_all_ready(watch, count, timeout=240)
    assert_exactly_one_each(stage, count)
    outcome = {body["status"]["quickbooksId"]: body["status"]["outcome"] for body in objects.values()}
    assert len(outcome) == count
    # The unrecorded ones were recognised by their mark. In the hostile profile answers get lost besides.
    assert {outcome[id_] for id_ in orphans} == {"Recovered"}
    assert set(outcomes(objects)) == {"Created", "Recovered"}
    assert operator.await_message("leading")["clean"] is False


def _at_work(stage: Stage) -> int:
    sent = [*stage.simulator.requests("create"), *stage.simulator.requests("batch")]
    return sum(1 for entry in sent if "outcome" not in entry)


def assert_exactly_one_each(stage: Stage, count: int) -> None:
    """INV-000 … once each, and nothing else."""
    numbers = {number: n for number, n in stage.numbers().items() if number.startswith("INV-")}
    assert numbers == {f"INV-{n:03}": 1 for n in range(count)}
    assert stage.more_than_sample() == count


def test_killed_with_every_create_still_to_be_committed(new_stage: NewStage) -> None:
    """QuickBooks said 504 and goes on; the operator dies; nobody knows of anything until the last moment."""
    count = 10
    stage = new_stage(profile="unlimited")
    stage.simulator.switch(requestidMemory="forget")
    operator = stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.simulator.fault({"operation": "create"}, {"commitAfterSeconds": 3, "drop": "before"}, times=count)
    stage.apply(*(manifests.invoice(f"inv-{n:03}") for n in range(count)))
    eventually(lambda: len(stage.simulator.requests("create")) >= count, what="all sent")
    operator.kill()
    assert stage.more_than_sample() < count
    stage.operator()
    objects = await_all_ready(watch, count, timeout=90)
    assert_exactly_one_each(stage, count)
    assert outcomes(objects)["Recovered"] == count
    assert len(stage.simulator.requests("create")) == count


def test_handed_over_cleanly_with_outcomes_unknown(new_stage: NewStage) -> None:
    """No takeover grace protects this: the successor has the intents in the statuses to go by."""
    count = 5
    stage = new_stage(profile="unlimited")
    stage.simulator.switch(requestidMemory="forget")
    operator = stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.simulator.fault({"operation": "create"}, {"commitAfterSeconds": 3}, times=count)
    stage.apply(*(manifests.invoice(f"inv-{n:03}") for n in range(count)))
    for n in range(count):
        watch.reason(f"inv-{n:03}", "OutcomeUnknown", "Recovered")
    assert operator.terminate() == 0
    assert stage.operator().await_message("leading")["clean"] is True
    objects = await_all_ready(watch, count, timeout=60)
    assert_exactly_one_each(stage, count)
    assert outcomes(objects) == {"Recovered": count}


def test_a_successor_that_ends_before_the_grace_is_over_hands_the_rest_of_it_on(new_stage: NewStage) -> None:
    """Its own end is clean; but the batch of the one before is still at work, and nobody has recorded that."""
    count = 20
    limit = ("--quickbooks-server-timeout", "15s", "--lease-duration", "3s")
    stage = new_stage("--server-timeout", "15s", profile="unlimited")
    first = stage.operator(scaled=limit)
    stage.connected()
    watch = stage.watch()
    stage.simulator.fault({"operation": "batch"}, {"delaySeconds": 14})
    stage.apply(*(manifests.invoice(f"inv-{n:03}") for n in range(count)))
    eventually(lambda: _at_work(stage), what="a batch at work", timeout=30)
    first.kill()
    second = stage.operator(scaled=limit)
    assert second.await_message("leading")["clean"] is False
    assert second.terminate() == 0
    assert _at_work(stage)
    assert stage.operator(scaled=limit).await_message("leading")["clean"] is False
    objects = await_all_ready(watch, count, timeout=90)
    assert_exactly_one_each(stage, count)
    assert set(outcomes(objects)) <= {"Created", "Recovered"}


def test_a_frozen_leader_sends_nothing_when_it_wakes(new_stage: NewStage) -> None:
    """A paused virtual machine: another one took over meanwhile, and QuickBooks forgets requestids."""
    count = 60
    stage = new_stage("--latency", "100,300", profile="realistic")
    stage.simulator.switch(requestidMemory="forget")
    # It wakes as a leader whose lease is long over, and says so.
    stage.tolerated += ["lease", "the process lost"]
    frozen = stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(*(manifests.invoice(f"inv-{n:03}") for n in range(count)))
    await_more_ready(watch, 10, timeout=60)
    frozen.process.send_signal(signal.SIGSTOP)
    other = stage.operator()
    assert other.await_message("leading")["clean"] is False
    await_more_ready(watch, 10, timeout=60)
    frozen.process.send_signal(signal.SIGCONT)
    assert frozen.wait(timeout=60) == 1
    await_all_ready(watch, count, timeout=120)
    assert_exactly_one_each(stage, count)
    assert other.running


def test_without_an_api_server_nothing_is_lost_and_nothing_doubled(own_plane: OwnPlane) -> None:
    """The API server hangs while creates are under way; what could not be recorded is recovered afterwards."""
    count = 150
    own_plane.install_crds()
    stage = own_plane.stage(profile="realistic")
    operator = stage.operator()
    # Not everything goes out before it notices.
    stage.connected(limits={"batchesPerMinute": 3})
    watch = stage.watch()
    stage.apply(*(manifests.invoice(f"inv-{n:03}") for n in range(count)))
    await_more_ready(watch, 10, timeout=60)
    own_plane.freeze_api_server()
    # Without its lease renewed it finishes what is under way, and ends; Kubernetes starts it again.
    assert operator.wait(timeout=60) == 1
    in_quickbooks = stage.more_than_sample()
    assert 10 <= in_quickbooks < count

    own_plane.thaw_api_server()
    operator = stage.operator().leads()
    # Watches do not survive so long a silence.
    eventually(lambda: len(ready_names(stage.all("invoicesyncs"))) == count, what="all Ready", timeout=120)
    assert_exactly_one_each(stage, count)
    assert operator.get("/readyz").status_code == 200
