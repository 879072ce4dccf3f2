"""Conditions follow the API conventions, and kstatus."""

from datetime import UTC, datetime, timedelta

import pytest

from qbsync.api.conditions import (
    REASONS,
    Condition,
    InvoiceReason,
    ReadyStatus,
    find,
    set_condition,
    summarize,
    suspended,
)
from qbsync.api.meta import Kind

THEN = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
LATER = THEN + timedelta(minutes=5)


def invoice(
    reason: InvoiceReason,
    *,
    previous: tuple[Condition, ...] = (),
    now: datetime = THEN,
    message: str = "said",
    generation: int = 1,
    stalled: bool | None = None,
    ready: bool | None = None,
) -> tuple[Condition, ...]:
    return summarize(
        previous=previous,
        kind=Kind.INVOICE,
        reason=reason,
        message=message,
        generation=generation,
        now=now,
        stalled=stalled,
        ready=ready,
    )


def kstatus(conditions: tuple[Condition, ...]) -> str:
    """The answer of kstatus for an object whose observedGeneration is current (cli-utils, generic.go)."""
    status = {condition.type: condition.status for condition in conditions}
    if status.get("Reconciling") == "True":
        return "InProgress"
    if status.get("Stalled") == "True":
        return "Failed"
    return "Current" if status.get("Ready", "True") == "True" else "InProgress"


@pytest.mark.parametrize(("kind", "reason"), REASONS, ids=str)
def test_kstatus_reads_every_reason_as_it_is_meant(kind: Kind, reason: str) -> None:
    row = REASONS[kind, reason]
    conditions = summarize(previous=(), kind=kind, reason=reason, message="", generation=7, now=THEN)
    expected = {
        ReadyStatus.TRUE: "Current",
        ReadyStatus.UNKNOWN: "InProgress",
        ReadyStatus.FALSE: "Failed" if row.stalled else "InProgress",
    }
    assert kstatus(conditions) == expected[row.ready]
    assert {condition.reason for condition in conditions} == {reason}
    assert {condition.observed_generation for condition in conditions} == {7}


def test_reconciling_and_stalled_are_there_only_while_so() -> None:
    waiting = invoice(InvoiceReason.RETRYING)
    assert {condition.type: condition.status for condition in waiting} == {
        "Ready": "Unknown",
        "Reconciling": "True",
    }
    failed = invoice(InvoiceReason.INVALID_INVOICE, previous=waiting)
    assert {condition.type: condition.status for condition in failed} == {"Ready": "False", "Stalled": "True"}
    done = invoice(InvoiceReason.CREATED, previous=failed)
    assert {condition.type: condition.status for condition in done} == {"Ready": "True"}


def test_the_transition_time_moves_only_with_the_status() -> None:
    waiting = invoice(InvoiceReason.RETRYING)
    same = invoice(InvoiceReason.OUTCOME_UNKNOWN, previous=waiting, now=LATER, message="new", generation=2)
    for type_ in ("Ready", "Reconciling"):
        condition = find(same, type_)
        assert condition is not None
        assert (condition.reason, condition.message) == ("OutcomeUnknown", "new")
        assert (condition.observed_generation, condition.last_transition_time) == (2, THEN)
    other = find(invoice(InvoiceReason.CREATED, previous=same, now=LATER), "Ready")
    assert other is not None
    assert other.last_transition_time == LATER


def test_saying_the_same_again_changes_nothing() -> None:
    once = invoice(InvoiceReason.CREATED)
    assert invoice(InvoiceReason.CREATED, previous=once, now=LATER) == once


def test_conditions_of_others_stay_as_they_are() -> None:
    foreign = Condition(
        type="example.com/Audited",
        status=ReadyStatus.TRUE,
        reason="Looked",
        message="m" * 2000,
        last_transition_time=THEN,
    )
    drifted = foreign.model_copy(update={"type": "Drifted"})
    after = invoice(InvoiceReason.CREATED, previous=(foreign, drifted), now=LATER)
    assert find(after, "example.com/Audited") == foreign
    assert find(after, "Drifted") == drifted


def test_a_wait_can_become_hopeless_and_hopeful_again() -> None:
    waiting = invoice(InvoiceReason.CONNECTION_NOT_FOUND)
    assert kstatus(waiting) == "InProgress"
    hopeless = invoice(InvoiceReason.CONNECTION_NOT_FOUND, previous=waiting, now=LATER, stalled=True)
    assert kstatus(hopeless) == "Failed"
    ready = find(hopeless, "Ready")
    assert ready is not None
    assert (ready.status, ready.last_transition_time) == ("Unknown", THEN)
    assert find(hopeless, "Reconciling") is None
    assert invoice(InvoiceReason.CONNECTION_NOT_FOUND, previous=hopeless) == waiting


@pytest.mark.parametrize(("ready", "status"), [(True, "True"), (False, "False"), (None, "True")])
def test_observed_may_be_either(ready: bool | None, status: str) -> None:
    conditions = invoice(InvoiceReason.OBSERVED, ready=ready)
    assert [(condition.type, condition.status) for condition in conditions] == [("Ready", status)]


def test_a_reason_of_the_other_kind_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        summarize(previous=(), kind=Kind.CONNECTION, reason="Created", message="", generation=1, now=THEN)


def test_long_messages_are_cut() -> None:
    ready = find(invoice(InvoiceReason.CREATED, message="m" * 1025), "Ready")
    assert ready is not None
    assert ready.message == "m" * 1023 + "…"


def test_set_condition_adds_and_replaces_in_place() -> None:
    done = invoice(InvoiceReason.CREATED)
    drifted = Condition(
        type="Drifted", status=ReadyStatus.TRUE, reason="Edited", message="a", last_transition_time=THEN
    )
    both = set_condition(done, drifted)
    assert both == (*done, drifted)
    again = drifted.model_copy(update={"message": "b", "last_transition_time": LATER})
    assert set_condition(both, again) == (*done, drifted.model_copy(update={"message": "b"}))
    gone = again.model_copy(update={"status": ReadyStatus.FALSE})
    assert set_condition(both, gone) == (*done, gone)


def test_suspending_leaves_everything_but_says_so() -> None:
    waiting = invoice(InvoiceReason.RETRYING, message="QuickBooks answered 503")
    paused = suspended(waiting, generation=2)
    ready, before = find(paused, "Ready"), find(waiting, "Ready")
    assert ready is not None
    assert before is not None
    assert ready.message == "suspended: QuickBooks answered 503"
    assert (ready.status, ready.reason, ready.last_transition_time) == ("Unknown", "Retrying", THEN)
    assert ready.observed_generation == 2
    assert find(paused, "Reconciling") == find(waiting, "Reconciling")
    assert suspended(paused, generation=2) == paused
    assert suspended((), generation=2) == ()
