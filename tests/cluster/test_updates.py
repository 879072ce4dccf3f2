"""The spec moves, the books move, both move: one sparse update, and nobody's work overwritten."""

from typing import Any

import pytest

from cluster.harness import manifests
from cluster.harness.stage import Stage, foreign_invoice
from cluster.harness.watching import Watch, condition, eventually, handled, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]

DUE = "2027-01-31"


def started(stage: Stage, **connection: Any) -> Watch:
    """An operator, a connection that is Ready, and a watch of the invoices."""
    stage.operator()
    stage.connected(**connection)
    return stage.watch()


def inv(amount: str = "100.00", lines: Any = None, **fields: Any) -> dict[str, Any]:
    """The InvoiceSync that most tests change; `fields` go into spec.invoice."""
    return manifests.invoice("inv-1", amount=amount, lines=lines, fields=fields)


def created(stage: Stage, watch: Watch, document: dict[str, Any]) -> str:
    """Apply it and wait for the invoice; its QuickBooks id."""
    stage.apply(document)
    return str(watch.object("inv-1", is_ready, what="Ready")["status"]["quickbooksId"])


def is_carried_out(body: dict[str, Any]) -> bool:
    """The newest spec was carried out by an update."""
    return is_ready(body) and ready(body)["reason"] == "Updated"


def row(stage: Stage) -> dict[str, Any]:
    """The one invoice in QuickBooks with the number."""
    (found,) = stage.simulator.invoices("INV-1")
    return found


def wish(stage: Stage, watch: Watch, value: str) -> dict[str, Any]:
    """Ask for a sync now; the object once that is done."""
    stage.annotate("invoicesync", "inv-1", requested_at=value)
    return watch.object("inv-1", handled(value), what=f"requested-at {value} handled")


# -- the spec ----------------------------------------------------------------------------------------------


def test_an_edited_spec_is_one_sparse_update(stage: Stage) -> None:
    watch = started(stage)
    id_ = created(stage, watch, inv(customerMemo="Hello"))
    # What the spec does not say is the bookkeeper's, and a full update would take it away.
    stage.by_hand(id_, "edit", ShipDate="2026-12-01")
    before = stage.simulator.counters()

    lines = [{"item": {"id": "1"}, "quantity": "3", "unitPrice": "128.35"}]
    stage.apply(inv(lines=lines, customerMemo="Thank you", dueDate=DUE))
    status = watch.object("inv-1", is_carried_out, what="Updated")["status"]

    found = row(stage)
    assert (found["Id"], found["CustomerMemo"]["value"], found["DueDate"]) == (id_, "Thank you", DUE)
    assert (found["ShipDate"], found["TotalAmt"]) == ("2026-12-01", 385.05)
    assert (status["totalAmount"], status["outcome"], status["origin"]) == ("385.05", "Updated", "Created")
    assert status["syncToken"] == found["SyncToken"]
    after = stage.simulator.counters()
    assert len(stage.simulator.requests("update")) == 1
    assert after["requests"]["create"] == before["requests"]["create"]
    assert after["meteredReads"] == before["meteredReads"] + 1

    # The same again, by whichever way, is no call.
    stage.apply(inv(lines=lines, customerMemo="Thank you", dueDate=DUE))
    stage.kubectl("label", "invoicesync", "inv-1", "-n", stage.namespace, "team=billing")
    stage.apply(manifests.invoice("inv-2"))
    watch.object("inv-2", is_ready, what="Ready")
    assert len(stage.simulator.requests("update")) == 1
    assert row(stage)["SyncToken"] == found["SyncToken"]


def test_a_new_operator_writes_nothing_that_was_settled(stage: Stage) -> None:
    """Another version of the operator, a restart, a restored cluster: settled books stay as they are."""
    operator = stage.operator()
    stage.connected()
    watch = stage.watch()
    created(stage, watch, inv(dueDate=DUE))
    assert operator.terminate() == 0
    stage.operator()
    assert wish(stage, watch, "after the restart")["status"]["outcome"] == "Unchanged"
    assert stage.simulator.requests("update") == []
    assert row(stage)["SyncToken"] == "0"


# -- the books ---------------------------------------------------------------------------------------------


def test_what_a_bookkeeper_edited_is_told_and_stays(stage: Stage) -> None:
    watch = started(stage)
    id_ = created(stage, watch, inv(dueDate=DUE))
    stage.by_hand(id_, "edit", DueDate="2027-02-28")
    body = wish(stage, watch, "look")
    assert ready(body)["status"] == "True"
    assert condition(body, "Drifted")["status"] == "True"
    assert f"dueDate: 2027-02-28 in QuickBooks, {DUE} in the spec" in condition(body, "Drifted")["message"]
    eventually(lambda: ("Warning", "DriftDetected") in stage.events("inv-1"), what="the Event")

    # A change of something else goes out, and leaves the date alone.
    stage.apply(inv(dueDate=DUE, customerMemo="Thank you"))
    body = watch.object("inv-1", is_carried_out, what="Updated")
    assert condition(body, "Drifted")["status"] == "True"
    found = row(stage)
    assert (found["DueDate"], found["CustomerMemo"]["value"]) == ("2027-02-28", "Thank you")

    # The spec follows the books: no drift any more, and nothing to send.
    stage.apply(inv(dueDate="2027-02-28", customerMemo="Thank you"))
    watch.object("inv-1", lambda body: condition(body, "Drifted").get("status") == "False", what="no drift")
    assert len(stage.simulator.requests("update")) == 1


@pytest.mark.parametrize("theirs", ["ShipDate", "DueDate"])
def test_a_bookkeeper_who_edits_at_the_same_moment_is_not_overwritten(stage: Stage, theirs: str) -> None:
    """Fault 5010: QuickBooks refuses the update of what has moved; it is read, and decided again."""
    watch = started(stage)
    id_ = created(stage, watch, inv(dueDate=DUE))
    stage.simulator.fault({"operation": "update"}, {"delaySeconds": 1})
    stage.apply(inv(dueDate="2027-03-31", customerMemo="Thank you"))
    eventually(lambda: stage.simulator.requests("update"), what="the update under way")
    stage.by_hand(id_, "edit", **{theirs: "2027-02-02"})
    body = watch.object("inv-1", is_carried_out, what="Updated")

    assert [entry["code"] for entry in stage.simulator.requests("update")] == ["5010", None]
    found = row(stage)
    assert (found[theirs], found["CustomerMemo"]["value"]) == ("2027-02-02", "Thank you")
    # What both moved is nobody's to overwrite.
    same = theirs == "DueDate"
    assert found["DueDate"] == ("2027-02-02" if same else "2027-03-31")
    assert condition(body, "Drifted").get("status", "False") == str(same)


# -- refused -----------------------------------------------------------------------------------------------


def test_a_change_into_a_closed_period_is_refused_and_can_be_taken_back(stage: Stage) -> None:
    closed = {"AccountingInfoPrefs": {"BookCloseDate": "2026-10-31"}}
    realm = stage.simulator.realm(preferences=closed)
    watch = started(stage, realm=realm)
    created(stage, watch, inv(transactionDate="2026-11-02"))
    stage.apply(inv(transactionDate="2026-10-30"))
    body = watch.reason("inv-1", "PeriodClosed")
    assert "The account period has closed" in ready(body)["message"]
    assert condition(body, "Stalled")["status"] == "True"
    assert body["status"]["lastError"]["code"] == "6210"

    stage.apply(inv(transactionDate="2026-11-02"))
    body = watch.object("inv-1", is_ready, what="Ready")
    assert (ready(body)["reason"], "lastError" in body["status"]) == ("Created", False)
    assert len(stage.simulator.requests("update")) == 1
    (found,) = stage.simulator.invoices("INV-1", realm)
    assert (found["TxnDate"], found["SyncToken"]) == ("2026-11-02", "0")


def test_what_a_linked_payment_forbids_is_refused_with_quickbooks_words(stage: Stage) -> None:
    watch = started(stage)
    id_ = created(stage, watch, inv("100.00"))
    stage.by_hand(id_, "pay", amount=60)
    stage.apply(inv("50.00"))
    body = watch.reason("inv-1", "InvalidInvoice")
    assert "a payment is linked to it" in ready(body)["message"]
    assert body["status"]["lastError"]["intuitTid"]
    assert row(stage)["TotalAmt"] == 100
    # More than what is paid: nothing is in the way.
    stage.apply(inv("120.00"))
    status = watch.object("inv-1", is_carried_out, what="Updated")["status"]
    assert (status["totalAmount"], status["balance"], status["paymentStatus"]) == (
        "120.00",
        "60.00",
        "PartiallyPaid",
    )


def test_a_voided_invoice_is_not_changed_any_more(stage: Stage) -> None:
    watch = started(stage)
    id_ = created(stage, watch, inv())
    stage.by_hand(id_, "void")
    body = wish(stage, watch, "look")
    assert (ready(body)["status"], body["status"]["paymentStatus"]) == ("True", "Voided")
    assert condition(body, "Drifted")["message"] == "voided in QuickBooks"
    stage.apply(inv("120.00"))
    assert "was voided" in ready(watch.reason("inv-1", "InvalidInvoice"))["message"]
    assert stage.simulator.requests("update") == []


# -- deleted, adopted, observed ----------------------------------------------------------------------------


def test_a_deleted_invoice_comes_back_only_when_a_person_asks(stage: Stage) -> None:
    watch = started(stage)
    first = created(stage, watch, inv())
    stage.by_hand(first, "delete")
    assert ready(wish(stage, watch, "look"))["reason"] == "DeletedInQuickBooks"
    eventually(lambda: ("Warning", "DeletedInQuickBooks") in stage.events("inv-1"), what="the Event")
    # A changed spec is no such wish.
    stage.apply(inv("120.00"))
    watch.object(
        "inv-1",
        lambda body: (
            ready(body)["reason"] == "DeletedInQuickBooks" and ready(body)["observedGeneration"] == 2
        ),
        what="still deleted",
    )
    assert stage.simulator.invoices("INV-1") == []

    stage.annotate("invoicesync", "inv-1", recreate="1")
    status = watch.object("inv-1", is_ready, what="Ready")["status"]
    assert (status["outcome"], status["lastHandledRecreate"]) == ("Created", "1")
    assert status["quickbooksId"] == row(stage)["Id"] != first
    assert row(stage)["TotalAmt"] == 120
    # Said again, while it stands, it does nothing.
    stage.annotate("invoicesync", "inv-1", recreate="2")
    watch.object("inv-1", lambda body: body["status"]["lastHandledRecreate"] == "2", what="answered")
    assert stage.more_than_sample() == 1


def test_a_person_says_which_invoice_is_meant(stage: Stage) -> None:
    (other,) = stage.seed([foreign_invoice("INV-1", 90)])
    stage.operator("--invoice-events=all")
    stage.connected()
    watch = stage.watch()
    stage.apply(inv("100.00"))
    watch.reason("inv-1", "DocNumberConflict")
    stage.annotate("invoicesync", "inv-1", adopt=other["Id"])
    body = watch.object("inv-1", is_ready, what="Ready")
    assert (body["status"]["outcome"], body["status"]["quickbooksId"]) == ("Adopted", other["Id"])
    assert "lines" in condition(body, "Drifted")["message"]
    assert row(stage)["SyncToken"] == other["SyncToken"]
    eventually(lambda: ("Normal", "InvoiceAdopted") in stage.events("inv-1"), what="the Event")

    # Only what changes in the spec from now on is carried out.
    stage.apply(inv("100.00", customerMemo="Thank you"))
    watch.object("inv-1", is_carried_out, what="Updated")
    found = row(stage)
    assert (found["TotalAmt"], found["CustomerMemo"]["value"]) == (90, "Thank you")
    assert found["PrivateNote"].endswith(" a]")


def test_observe_says_what_it_would_do_and_writes_nothing(stage: Stage) -> None:
    watch = started(stage)

    def observed(document: dict[str, Any], *, would: str) -> None:
        stage.apply({**document, "spec": {**document["spec"], "mode": "Observe"}})
        generation = stage.get("invoicesync", "inv-1")["metadata"]["generation"]
        body = watch.object(
            "inv-1",
            lambda body: (
                ready(body).get("reason") == "Observed" and ready(body)["observedGeneration"] == generation
            ),
            what="Observed",
        )
        assert (ready(body)["status"], would in ready(body)["message"]) == (
            "False" if would else "True",
            True,
        )

    observed(inv(), would="would create invoice INV-1")
    assert "create" not in stage.simulator.counters()["requests"]
    stage.apply(inv())
    watch.object("inv-1", is_ready, what="Ready")
    observed(inv(), would="")
    observed(inv(customerMemo="Thank you"), would="would change customerMemo")
    assert stage.simulator.requests("update") == []
    stage.apply(inv(customerMemo="Thank you"))
    watch.object("inv-1", is_carried_out, what="Updated")
    assert row(stage)["CustomerMemo"]["value"] == "Thank you"


# -- answers that are lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "sent"),
    [({"drop": "after"}, 1), ({"drop": "before"}, 2), ({"commitAfterSeconds": 2}, 1)],
    ids=["carried out", "never arrived", "504 and carried out later"],
)
def test_an_update_without_an_answer_is_read_before_anything_is_sent_again(
    stage: Stage, effect: dict[str, Any], sent: int
) -> None:
    watch = started(stage)
    created(stage, watch, inv())
    stage.simulator.switch(requestidMemory="forget")
    stage.simulator.fault({"operation": "update"}, effect)
    stage.apply(inv("120.00"))
    watch.reason("inv-1", "OutcomeUnknown")
    status = watch.object("inv-1", is_carried_out, what="Updated")["status"]
    assert (row(stage)["TotalAmt"], row(stage)["SyncToken"]) == (120, "1")
    assert (status["totalAmount"], status["syncToken"]) == ("120.00", "1")
    assert len(stage.simulator.requests("update")) == sent
