"""`kubectl delete` under each deletion policy: what happens in QuickBooks happens before the object goes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster.harness import manifests
from cluster.harness.stage import Kubectl, Stage, foreign_invoice
from cluster.harness.watching import Watch, eventually, handled, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]

FINALIZER = "qbsync.dev/invoice"
BOTH = {"permit": {"deletion": ["Retain", "Void", "Delete"]}}


def started(stage: Stage, *flags: str) -> Watch:
    """An operator, a connection that permits every policy, and a watch of the invoices."""
    stage.operator(*flags)
    stage.connected(invoices=BOTH)
    return stage.watch()


def created(stage: Stage, watch: Watch, policy: str = "Void", **spec: Any) -> str:
    """The InvoiceSync inv-1 with that policy, Ready; its QuickBooks id."""
    stage.apply(manifests.invoice("inv-1", deletionPolicy=policy, **spec))
    return str(watch.object("inv-1", is_ready, what="Ready")["status"]["quickbooksId"])


def delete_without_waiting(stage: Stage) -> None:
    stage.kubectl("delete", "invoicesync", "inv-1", "-n", stage.namespace, "--wait=false")


def await_gone(watch: Watch, *, timeout: float = 60) -> dict[str, Any]:
    """The object as it was last seen, once it is gone."""
    watch.until(lambda objects: "inv-1" not in objects, what="inv-1 gone", timeout=timeout)
    last: dict[str, Any] = [event.body for event in watch.events if event.name == "inv-1"][-1]
    return last


@contextmanager
def kubectl_delete(stage: Stage) -> Iterator["subprocess.Popen[str]"]:
    """`kubectl delete invoicesync inv-1`, which waits until the object is gone."""
    command = [stage.bin_dir / "kubectl", f"--kubeconfig={stage.kubectl.kubeconfig}", "delete"]
    with subprocess.Popen(
        [*map(str, command), "invoicesync", "inv-1", "-n", stage.namespace, "--timeout=60s"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


# -- carried out -------------------------------------------------------------------------------------------


def test_kubectl_delete_returns_when_the_invoice_is_void(stage: Stage) -> None:
    watch = started(stage)
    created(stage, watch)
    assert stage.get("invoicesync", "inv-1")["metadata"]["finalizers"] == [FINALIZER]
    stage.simulator.fault({"operation": "void"}, {"delaySeconds": 1})
    with kubectl_delete(stage) as deletion:
        eventually(lambda: stage.simulator.requests("void"), what="the void under way")
        assert deletion.poll() is None
        assert "inv-1" in stage.all("invoicesyncs")
        assert deletion.wait(timeout=60) == 0
    (found,) = stage.simulator.invoices("INV-1")
    assert (found["TotalAmt"], found["Balance"], found["SyncToken"]) == (0, 0, "1")
    assert len(stage.simulator.requests("void")) == 1
    # The last that a watcher sees of it says so.
    last = await_gone(watch)
    assert ready(last)["reason"] == "Voided"
    status = last["status"]
    assert (status["outcome"], status["paymentStatus"], status["totalAmount"]) == ("Voided", "Voided", "0.00")
    assert status["history"][0]["outcome"] == "Voided"


def test_policy_delete_removes_the_invoice(stage: Stage) -> None:
    watch = started(stage)
    created(stage, watch, "Delete")
    stage.delete("invoicesync", "inv-1")
    assert stage.simulator.invoices("INV-1") == []
    assert await_gone(watch)["status"]["history"][0]["outcome"] == "Deleted"
    # The number is free: the same object applied again is a new invoice.
    stage.apply(manifests.invoice("inv-1"))
    assert watch.object("inv-1", is_ready, what="Ready")["status"]["outcome"] == "Created"
    assert stage.more_than_sample() == 1


def test_retain_needs_no_finalizer_and_no_operator(stage: Stage) -> None:
    operator = stage.operator()
    stage.connected()
    watch = stage.watch()
    created(stage, watch, "Retain")
    assert "finalizers" not in stage.get("invoicesync", "inv-1")["metadata"]
    operator.kill()
    stage.delete("invoicesync", "inv-1")
    assert stage.simulator.invoices("INV-1")[0]["TotalAmt"] == 100


def test_a_policy_that_the_connection_does_not_permit_sends_nothing(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1", deletionPolicy="Delete"))
    assert "spec.deletionPolicy Delete" in ready(watch.reason("inv-1", "NotPermitted"))["message"]
    assert stage.more_than_sample() == 0
    stage.delete("invoicesync", "inv-1")


def test_an_adopted_invoice_is_neither_voided_nor_deleted(stage: Stage) -> None:
    (other,) = stage.seed([foreign_invoice("INV-1", 100)])
    watch = started(stage)
    created(stage, watch, "Delete")
    stage.delete("invoicesync", "inv-1")
    assert stage.simulator.invoices("INV-1") == [other]


def test_an_object_deleted_while_its_create_is_under_way_leaves_a_void_invoice(stage: Stage) -> None:
    watch = started(stage)
    stage.simulator.fault({"operation": "create"}, {"commitAfterSeconds": 2})
    stage.apply(manifests.invoice("inv-1", deletionPolicy="Void"))
    watch.reason("inv-1", "OutcomeUnknown")
    stage.delete("invoicesync", "inv-1")
    (found,) = stage.simulator.invoices("INV-1")
    assert found["TotalAmt"] == 0
    assert await_gone(watch)["status"]["quickbooksId"] == found["Id"]


@pytest.mark.parametrize("policy", ["Void", "Delete"])
@pytest.mark.parametrize("effect", [{"drop": "after"}, {"commitAfterSeconds": 2}], ids=["drop", "504"])
def test_an_answer_that_is_lost_costs_no_second_write(
    stage: Stage, policy: str, effect: dict[str, Any]
) -> None:
    watch = started(stage)
    created(stage, watch, policy)
    stage.simulator.fault({"operation": policy.lower()}, effect)
    stage.delete("invoicesync", "inv-1")
    rows = stage.simulator.invoices("INV-1")
    assert [(found["TotalAmt"], found["SyncToken"]) for found in rows] == (
        [(0, "1")] if policy == "Void" else []
    )
    assert len(stage.simulator.requests(policy.lower())) == 1
    outcome = f"{policy.removesuffix('e')}ed"
    assert await_gone(watch)["status"]["history"][0]["outcome"] == outcome
    assert [line["outcome"] for line in stage.audit("inv-1")] == ["Created", outcome]


# -- refused -----------------------------------------------------------------------------------------------


def test_a_paid_invoice_keeps_its_object_until_the_payment_is_unlinked(stage: Stage) -> None:
    watch = started(stage)
    id_ = created(stage, watch)
    payment = stage.by_hand(id_, "pay", amount=40)["Payment"]
    delete_without_waiting(stage)
    body = watch.reason("inv-1", "VoidRefused")
    assert f"Payment {payment['Id']}" in ready(body)["message"]
    calls = stage.simulator.counters()["requests"]
    # It does not spin: what comes next is somebody else's turn.
    stage.apply(manifests.invoice("inv-2"))
    watch.object("inv-2", is_ready, what="Ready")
    assert "void" not in stage.simulator.counters()["requests"]
    assert stage.simulator.counters()["requests"].get("read", 0) == calls.get("read", 0)
    stage.annotate("invoicesync", "inv-1", requested_at="still paid")
    watch.object("inv-1", handled("still paid"), what="looked at again")

    fields = {name: payment[name] for name in ("Id", "SyncToken")}
    stage.call("POST", "payment?operation=delete&minorversion=75", fields)
    stage.annotate("invoicesync", "inv-1", requested_at="unlinked")
    await_gone(watch)
    assert [found["TotalAmt"] for found in stage.simulator.invoices("INV-1")] == [0]


def test_what_quickbooks_refuses_is_said_and_a_person_can_let_it_go(stage: Stage) -> None:
    watch = started(stage)
    created(stage, watch)
    stage.simulator.fault({"operation": "void"}, {"fault": "6210"}, times=None)
    delete_without_waiting(stage)
    body = watch.reason("inv-1", "PeriodClosed")
    assert "qbsync.dev/force-delete=true" in ready(body)["message"]
    assert len(stage.simulator.requests("void")) == 1
    stage.annotate("invoicesync", "inv-1", force_delete="true")
    await_gone(watch)
    assert stage.simulator.invoices("INV-1")[0]["TotalAmt"] == 100
    assert stage.audit("inv-1")[-1]["outcome"] == "ReleasedWithoutVoid"
    eventually(lambda: ("Warning", "ReleasedWithoutVoid") in stage.events("inv-1"), what="the Event")


# -- without a connection ----------------------------------------------------------------------------------


def take_connection_away(stage: Stage) -> None:
    """It is gone whatever still needs it: somebody took its finalizers off."""
    here = ("quickbooksconnection", "acme", "-n", stage.namespace)
    stage.kubectl("patch", *here, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    stage.kubectl("delete", *here, "--wait=false")
    if "acme" in stage.all("quickbooksconnection"):
        stage.kubectl("patch", *here, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def assert_released(stage: Stage, id_: str) -> None:
    """The object is gone, the invoice stands, and both the log and an Event say so."""
    assert stage.simulator.invoices("INV-1")[0]["TotalAmt"] == 100
    (line,) = [line for line in stage.audit("inv-1") if line["action"] == "invoice.release"]
    assert (line["outcome"], line["quickbooks_id"]) == ("ReleasedWithoutVoid", id_)
    eventually(lambda: ("Warning", "ReleasedWithoutVoid") in stage.events("inv-1"), what="the Event")


def test_without_its_connection_it_is_released_after_a_while(stage: Stage) -> None:
    watch = started(stage, "--deletion-patience", "2s")
    id_ = created(stage, watch)
    take_connection_away(stage)
    stage.delete("invoicesync", "inv-1")
    assert_released(stage, id_)


def test_without_access_to_the_company_it_is_released_after_a_while(stage: Stage) -> None:
    """Whoever connected the company has left it: perhaps nobody ever connects it again."""
    stage.operator("--deletion-patience", "2s")
    connections = stage.connected(invoices=BOTH)
    watch = stage.watch()
    id_ = created(stage, watch)
    lost = {"code": "120", "message": "Authorization Failure", "type": "AuthorizationFault"}
    for operation in ("read", "query"):
        stage.simulator.fault({"operation": operation}, {"fault": lost}, times=None)
    stage.delete("invoicesync", "inv-1")
    connections.reason("acme", "AccessLost")
    assert_released(stage, id_)


def test_a_connection_that_comes_back_in_time_has_it_voided(stage: Stage) -> None:
    watch = started(stage, "--deletion-patience", "1h")
    created(stage, watch)
    take_connection_away(stage)
    delete_without_waiting(stage)
    eventually(lambda: "acme" not in stage.all("quickbooksconnection"), what="the connection gone")
    stage.apply(stage.connection(invoices=BOTH))
    await_gone(watch)
    assert stage.simulator.invoices("INV-1")[0]["TotalAmt"] == 0


def test_a_namespace_with_invoices_to_void_ends(stage: Stage, kubectl: Kubectl) -> None:
    """Everything goes at once, the connection and its grant too: what cannot be voided any more is let go."""
    # Kubernetes takes no new Events, and no new statuses of gone objects, in a namespace that ends.
    operator = stage.operator("--deletion-patience", "1h")
    stage.connected(invoices=BOTH)
    watch = stage.watch()
    names = [f"inv-{n}" for n in range(5)]
    stage.apply(*(manifests.invoice(name, deletionPolicy="Void") for name in names))
    for name in names:
        watch.object(name, is_ready, what="Ready")
    kubectl("delete", "namespace", stage.namespace, "--timeout=90s")
    assert stage.more_than_sample() == 5
    ends = {name: stage.audit(name)[-1]["outcome"] for name in names}
    assert set(ends.values()) <= {"Voided", "ReleasedWithoutVoid"}
    for name, end in ends.items():
        (found,) = stage.simulator.invoices(name.upper())
        assert (found["TotalAmt"] == 0) == (end == "Voided")
    assert operator.running
