"""The process: probes, metrics, who leads, how it ends, and what a successor does."""

import functools
import json
import time
from typing import Any

from cluster.harness import manifests
from cluster.harness.stage import OwnPlane, Stage, foreign_invoice
from cluster.harness.watching import eventually, handled, is_ready, ready
from cluster.operator_process import RunningOperator

pytest_plugins = ["cluster.harness.plugin"]

LEASE_SECONDS = 3


def lease(stage: Stage) -> dict[str, Any]:
    """The spec of the Lease."""
    found = stage.kubectl.json("get", "lease", "qbsync", "-n", stage.operator_namespace)
    return dict(found["spec"])


def has_seen(operator: RunningOperator, count: int) -> bool:
    """Whether it has taken in so many InvoiceSyncs."""
    return operator.metrics().total("qbsync_invoices") >= count


def at_work(stage: Stage) -> list[dict[str, Any]]:
    """Creates that QuickBooks has not answered yet."""
    return [entry for entry in stage.simulator.requests("create") if "outcome" not in entry]


# -- probes and metrics ------------------------------------------------------------------------------------


def test_probes_and_metrics(stage: Stage) -> None:
    operator = stage.operator().leads()
    assert operator.get("/livez").status_code == 200
    assert operator.get("/readyz").status_code == 200
    assert operator.get("/nothing").status_code == 404
    stage.connected()
    watch = stage.watch()
    stage.apply(
        *(manifests.invoice(f"inv-{n}") for n in range(3)), manifests.invoice("bad", customer={"name": "X"})
    )
    for n in range(3):
        watch.object(f"inv-{n}", is_ready, what="Ready")
    watch.reason("bad", "ReferenceNotFound")

    scrape = operator.metrics()
    labels = {"namespace": stage.namespace, "connection": "acme"}
    assert scrape.total("qbsync_leader") == 1
    assert scrape.total("qbsync_build_info") == 1
    assert scrape.total("qbsync_invoices", state="Created", **labels) == 3
    assert scrape.total("qbsync_invoices", state="ReferenceNotFound", **labels) == 1
    assert scrape.total("qbsync_invoice_syncs_total", outcome="Created", **labels) == 3
    assert scrape.total("qbsync_invoice_sync_duration_seconds_count", **labels) == 3
    assert scrape.total("qbsync_token_refreshes_total", outcome="Refreshed", **labels) == 1
    assert scrape.total("qbsync_connection_condition", type="Ready", status="True", **labels) == 1
    counters = stage.simulator.counters()
    assert scrape.total("qbsync_quickbooks_requests_total", operation="create", status="200", **labels) == 3
    assert scrape.total("qbsync_quickbooks_metered_reads_total", **labels) == counters["meteredReads"]
    assert scrape.total("qbsync_access_token_expiry_timestamp_seconds", **labels) > time.time() + 3000
    assert scrape.total("qbsync_orphaned_results_total") == 0
    assert "inv-0" not in scrape.text
    assert {
        "qbsync_queue_depth",
        "qbsync_queue_oldest_seconds",
        "qbsync_refresh_token_expiry_timestamp_seconds",
        "qbsync_refresh_token_hard_expiry_timestamp_seconds",
        "qbsync_token_refresh_duration_seconds",
        "qbsync_quickbooks_request_duration_seconds",
        "qbsync_reconcile_errors",
        "qbsync_kubernetes_writes",
        "qbsync_watch_gap_pruned",
        "qbsync_watch_last_event_timestamp_seconds",
    } <= scrape.names()


def test_the_log_is_json_on_every_line_and_says_who_and_where(stage: Stage) -> None:
    operator = stage.operator().leads()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    watch.object("inv-1", is_ready, what="Ready")
    assert operator.terminate() == 0
    assert [line for line in operator.lines if "raw" in line] == []
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in operator.lines)
    started = operator.started
    assert started["namespace"] == stage.operator_namespace
    assert started["watching"] == [stage.namespace]
    assert started["listen"].startswith("127.0.0.1:")
    assert "base64 of 32 bytes" in started["keys"]
    audit = [line for line in operator.lines if line.get("audit")]
    assert {(line["action"], line["outcome"]) for line in audit} >= {("invoice.sync", "Created")}


def test_every_option_also_comes_from_the_environment(stage: Stage) -> None:
    environment = {
        "QBSYNC_LEASE_DURATION": "4s",
        "QBSYNC_QUICKBOOKS_SERVER_TIMEOUT": "3s",
        "QBSYNC_LOG_LEVEL": "debug",
    }
    operator = stage.operator(scaled=(), environment=environment).leads()
    assert lease(stage)["leaseDurationSeconds"] == 4
    assert any(line["level"] == "debug" for line in operator.lines)


def test_an_operator_that_was_there_before_the_crds_serves_them(own_plane: OwnPlane) -> None:
    stage = own_plane.stage()
    operator = stage.operator()
    operator.await_line(
        lambda line: "CustomResourceDefinition" in json.dumps(line), what="it said that the CRDs are missing"
    )
    own_plane.install_crds()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    assert watch.object("inv-1", is_ready, what="Ready")["status"]["outcome"] == "Created"


# -- who leads ---------------------------------------------------------------------------------------------


def test_a_standby_is_ready_and_does_nothing_and_takes_over_at_once_when_asked_to(stage: Stage) -> None:
    first = stage.operator().leads()
    stage.connected()
    second = stage.operator()
    eventually(lambda: second.get("/readyz").status_code == 200, what="the standby ready", timeout=10)
    assert second.metrics().total("qbsync_leader") == 0
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    watch.object("inv-1", is_ready, what="Ready")
    assert second.metrics().total("qbsync_kubernetes_writes_total") == 0
    assert first.metrics().total("qbsync_leader") == 1

    assert first.terminate() == 0
    gone = time.monotonic()
    assert second.await_message("leading")["clean"] is True
    assert time.monotonic() - gone < LEASE_SECONDS, "a released lease is not waited for"
    stage.apply(manifests.invoice("inv-2"))
    assert watch.object("inv-2", is_ready, what="Ready")["status"]["outcome"] == "Created"
    assert len(watch.modifications("inv-1")) == 1
    assert stage.more_than_sample() == 2


def test_after_a_kill_the_successor_waits_with_creates_that_may_be_under_way_and_with_nothing_else(
    stage: Stage,
) -> None:
    stage.seed([foreign_invoice("THERE", 100)])
    first = stage.operator().leads()
    stage.connected()
    watch = stage.watch()
    # At work in QuickBooks when it dies, and three that it may have sent for all anybody knows.
    stage.simulator.fault({"operation": "create"}, {"delaySeconds": 2})
    stage.apply(manifests.invoice("under-way"))
    eventually(lambda: at_work(stage), what="the create at work")
    first.kill()
    killed = time.monotonic()
    stage.apply(manifests.invoice("inherited"), manifests.invoice("there"))
    second = stage.operator()
    assert second.await_message("leading")["clean"] is False
    assert time.monotonic() - killed >= LEASE_SECONDS - 1
    assert second.get("/readyz").status_code == 200
    stage.apply(manifests.invoice("new"))

    assert watch.object("there", is_ready, what="Ready")["status"]["outcome"] == "Adopted"
    assert watch.object("new", is_ready, what="Ready")["status"]["outcome"] == "Created"
    assert watch.object("under-way", is_ready, what="Ready")["status"]["outcome"] == "Recovered"
    assert watch.object("inherited", is_ready, what="Ready")["status"]["outcome"] == "Created"
    order = [event.name for event in watch.modifications() if is_ready(event.body)]
    assert order.index("inherited") > max(order.index("there"), order.index("new")), (
        "creates of what was there wait"
    )
    # Lease and server timeout, counted from when the dead one's last renewal was first seen.
    assert time.monotonic() - killed >= LEASE_SECONDS + 3
    assert stage.numbers()["UNDER-WAY"] == 1
    assert stage.more_than_sample() == 4


def test_without_takeover_grace_nothing_waits(stage: Stage) -> None:
    first = stage.operator().leads()
    stage.connected()
    first.kill()
    watch = stage.watch()
    stage.apply(manifests.invoice("inherited"))
    second = stage.operator("--no-takeover-grace")
    assert second.await_message("leading")["clean"] is False
    leading = time.monotonic()
    watch.object("inherited", is_ready, what="Ready")
    assert time.monotonic() - leading < LEASE_SECONDS + 3


def test_a_leader_whose_lease_is_taken_sends_nothing_more_and_ends(stage: Stage) -> None:
    stage.tolerated.append("lease lost to another holder")
    operator = stage.operator().leads()
    stage.connected()
    watch = stage.watch()
    thief = {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600}
    patch = json.dumps({"spec": thief})
    stage.kubectl("patch", "lease", "qbsync", "-n", stage.operator_namespace, "--type=merge", "-p", patch)
    assert operator.wait(timeout=30) == 1
    stage.apply(manifests.invoice("inv-1"))
    assert lease(stage)["holderIdentity"] == "somebody-else", "what is not its own is not released"
    assert stage.simulator.counters()["requests"].get("create", 0) == 0
    assert ready(watch.object("inv-1", lambda _: True, what="applied")) == {}


def test_a_lost_lease_while_a_create_is_under_way_ends_with_its_record(stage: Stage) -> None:
    stage.tolerated.append("lease lost to another holder")
    operator = stage.operator().leads()
    stage.connected()
    watch = stage.watch()
    stage.simulator.fault({"operation": "create"}, {"delaySeconds": 2})
    stage.apply(manifests.invoice("inv-1"))
    eventually(lambda: at_work(stage), what="the create at work")
    patch = json.dumps({"spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600}})
    stage.kubectl("patch", "lease", "qbsync", "-n", stage.operator_namespace, "--type=merge", "-p", patch)
    assert operator.wait(timeout=30) == 1
    assert watch.object("inv-1", is_ready, what="recorded")["status"]["outcome"] == "Created"


def test_two_instances_share_a_namespace_by_label(stage: Stage) -> None:
    plain = stage.operator().leads()
    second = stage.operator("--instance", "second").leads()
    stage.connected()
    watch = stage.watch()
    labelled = manifests.invoice("theirs")
    labelled["metadata"]["labels"] = {"qbsync.dev/instance": "second"}
    stage.apply(manifests.invoice("ours"), labelled)
    watch.object("ours", is_ready, what="Ready")
    # The connection is not the second one's: it carries no label.
    watch.reason("theirs", "ConnectionNotFound")
    assert stage.simulator.invoices("THEIRS") == []
    assert plain.running
    assert second.running
    stage.kubectl("label", "invoicesync", "theirs", "-n", stage.namespace, "qbsync.dev/instance-")
    assert watch.object("theirs", is_ready, what="Ready")["status"]["outcome"] == "Created"
    assert stage.more_than_sample() == 2


# -- how it ends -------------------------------------------------------------------------------------------


def test_sigterm_finishes_and_records_what_was_sent_and_releases_the_lease(stage: Stage) -> None:
    operator = stage.operator().leads()
    stage.connected()
    watch = stage.watch()
    stage.simulator.fault({"operation": "create"}, {"delaySeconds": 2}, times=5)
    stage.apply(*(manifests.invoice(f"inv-{n}") for n in range(5)))
    eventually(lambda: len(at_work(stage)) == 5, what="five creates at work")
    operator.ask_to_end()
    stage.apply(manifests.invoice("late"))
    assert operator.wait(timeout=30) == 0
    for n in range(5):
        body = watch.object(f"inv-{n}", is_ready, what="recorded by the one that ended", timeout=5)
        assert body["status"]["outcome"] == "Created"
    assert (
        operator.await_line(lambda line: line.get("message") == "stopped", what="stopped")["drained"] is True
    )
    assert not lease(stage).get("holderIdentity")
    assert stage.simulator.invoices("LATE") == [], "no new work is taken"

    second = stage.operator()
    assert second.await_message("leading")["clean"] is True
    assert watch.object("late", is_ready, what="Ready")["status"]["outcome"] == "Created"
    assert stage.more_than_sample() == 6


def test_sigterm_finishes_a_refresh_and_stores_it(stage: Stage) -> None:
    stage.simulator.switch(rotateAlways=True)
    operator = stage.operator().leads()
    watch = stage.connected()
    before = stage.get("secret", "acme-qbsync-tokens")["data"]
    stage.simulator.fault({"operation": "refresh"}, {"delaySeconds": 2})
    stage.annotate("qbconnection", "acme", requested_at="now")
    refreshes = stage.simulator.counters()["refreshes"]
    eventually(
        lambda: [entry for entry in stage.simulator.requests("refresh") if "outcome" not in entry],
        what="a refresh at work",
    )
    assert operator.terminate() == 0
    assert stage.simulator.counters()["refreshes"] == refreshes + 1
    assert stage.get("secret", "acme-qbsync-tokens")["data"] != before, "the rotated token is stored"
    # It is good: the next one refreshes with it.
    stage.operator()
    stage.annotate("qbconnection", "acme", requested_at="again")
    body = watch.object("acme", handled("again"), what="refreshed")
    assert ready(body)["status"] == "True"


def test_sigterm_as_standby_ends_at_once(stage: Stage) -> None:
    first = stage.operator().leads()
    second = stage.operator()
    assert second.started
    assert second.terminate(timeout=10) == 0
    assert first.running
    assert lease(stage)["holderIdentity"] == first.started["identity"]


def test_restarts_write_nothing_and_ask_nothing(stage: Stage) -> None:
    operator = stage.operator().leads()
    stage.connected()
    watch = stage.watch()
    stage.apply(
        *(manifests.invoice(f"inv-{n}") for n in range(10)), manifests.invoice("bad", customer={"name": "X"})
    )
    watch.until(lambda objects: sum(map(is_ready, objects.values())) == 10, what="ten Ready")
    watch.reason("bad", "ReferenceNotFound")
    calls = stage.simulator.counters()
    versions = {name: body["metadata"]["resourceVersion"] for name, body in stage.all("invoicesyncs").items()}
    for _ in range(3):
        assert operator.terminate() == 0
        operator = stage.operator().leads()
        # It has taken in all that there is once a new one is done.
        name = f"marker-{time.monotonic_ns()}"
        stage.apply(manifests.invoice(name, suspend=True))
        eventually(functools.partial(has_seen, operator, 12), what="all objects seen")
    assert stage.simulator.counters()["requests"] == calls["requests"]
    now = {name: body["metadata"]["resourceVersion"] for name, body in stage.all("invoicesyncs").items()}
    assert {name: now[name] for name in versions} == versions
