"""SIGKILL in the middle of an update, a void, a delete: done afterwards, and done once."""

from collections.abc import Callable
from typing import Any

import pytest

from cluster.harness import manifests
from cluster.harness.stage import Stage
from cluster.harness.watching import Watch, eventually, is_ready

pytest_plugins = ["cluster.harness.plugin"]

BOTH = {"permit": {"deletion": ["Retain", "Void", "Delete"]}}
EFFECTS: dict[str, dict[str, Any]] = {
    # QuickBooks does not notice that the client is gone.
    "at work": {"delaySeconds": 2},
    "lost, and carried out after the takeover": {"commitAfterSeconds": 3, "drop": "before"},
    "lost for good": {"drop": "before"},
    "carried out, the answer lost": {"drop": "after"},
}


def killed_while(
    stage: Stage, operation: str, effect: dict[str, Any], begin: Callable[[Stage], None], policy: str
) -> Watch:
    """Begin something; the operator is dead once QuickBooks has heard of it, and another one leads."""
    # Whatever a requestid would save, it does not.
    stage.simulator.switch(requestidMemory="forget")
    operator = stage.operator()
    stage.connected(invoices=BOTH)
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1", amount="100.00", deletionPolicy=policy))
    watch.object("inv-1", is_ready, what="Ready")
    stage.simulator.fault({"operation": operation}, effect)
    begin(stage)
    eventually(lambda: stage.simulator.requests(operation), what=f"the {operation} sent")
    operator.kill()
    assert stage.operator().await_message("leading")["clean"] is False
    return watch


def begin_update(stage: Stage) -> None:
    stage.apply(manifests.invoice("inv-1", amount="120.00", deletionPolicy="Retain"))


def begin_deletion(stage: Stage) -> None:
    stage.kubectl("delete", "invoicesync", "inv-1", "-n", stage.namespace, "--wait=false")


def await_quiet(stage: Stage) -> None:
    """What was to be carried out late has been."""
    eventually(
        lambda: all("outcome" in entry for entry in stage.simulator.requests()),
        what="QuickBooks done with everything",
    )
    late = stage.simulator.counters()
    stage.simulator.advance(5)
    eventually(lambda: stage.simulator.counters()["lateCommits"] >= late["lateCommits"], what="late commits")


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS.keys())
def test_an_update(stage: Stage, effect: dict[str, Any]) -> None:
    watch = killed_while(stage, "update", effect, begin_update, "Retain")
    body = watch.object("inv-1", is_ready, what="Ready with the change")
    assert (body["status"]["totalAmount"], body["status"]["quickbooksId"]) == (
        "120.00",
        stage.simulator.invoices("INV-1")[0]["Id"],
    )
    await_quiet(stage)
    (found,) = stage.simulator.invoices("INV-1")
    # One write: a second one would have moved the SyncToken on.
    assert (found["TotalAmt"], found["SyncToken"]) == (120, "1")
    assert sum(entry["status"] == 200 for entry in stage.simulator.requests("update")) <= 1
    # And the object knows it as it stands: the next change is one update more.
    stage.apply(manifests.invoice("inv-1", amount="130.00"))
    watch.object("inv-1", lambda body: body["status"]["totalAmount"] == "130.00", what="130.00")
    assert stage.simulator.invoices("INV-1")[0]["SyncToken"] == "2"


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS.keys())
@pytest.mark.parametrize("policy", ["Void", "Delete"])
def test_a_deletion(stage: Stage, policy: str, effect: dict[str, Any]) -> None:
    watch = killed_while(stage, policy.lower(), effect, begin_deletion, policy)
    watch.until(lambda objects: "inv-1" not in objects, what="gone")
    await_quiet(stage)
    rows = [(found["TotalAmt"], found["SyncToken"]) for found in stage.simulator.invoices("INV-1")]
    assert rows == ([(0, "1")] if policy == "Void" else [])
    assert sum(entry["status"] == 200 for entry in stage.simulator.requests(policy.lower())) <= 1
    # Nobody made another one of it.
    assert len(stage.simulator.requests("create")) == 1
