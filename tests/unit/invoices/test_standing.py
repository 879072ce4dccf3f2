"""One test for each row of the tables about invoices that stand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import InvoiceDeletionPolicy
from qbsync.invoices.compare import Comparison, Difference
from qbsync.invoices.decide import Refuse, Wait
from qbsync.invoices.fields import Statement
from qbsync.invoices.standing import (
    CreateAnew,
    Delete,
    Keep,
    LetGo,
    Recorded,
    Update,
    Void,
    decide_farewell,
    decide_standing,
    is_voided,
)
from qbsync.quickbooks.entities import Invoice, parse_invoice

CALM = Recorded(quickbooks_id="7", adopted=False, stated_net=Decimal("20"), spec_moved=False)
MOVED = replace(CALM, spec_moved=True)
SAME = Comparison()
TO_WRITE = Comparison(to_write=(Statement("dueDate", {"DueDate": "2026-12-31"}, "0", lambda _: False),))
DRIFTED = Comparison(drifted=(Difference("dueDate", "a", "b"),))
RETAIN, VOID, DELETE = InvoiceDeletionPolicy


def invoice(
    *, total: str = "20.00", balance: str | None = None, amount: str | None = None, **fields: Any
) -> Invoice:
    line = {"Amount": Decimal(amount or total), "DetailType": "SalesItemLineDetail"}
    return parse_invoice(
        {
            "Id": "7",
            "SyncToken": "3",
            "CustomerRef": {"value": "1"},
            "TotalAmt": Decimal(total),
            "Balance": Decimal(balance or total),
            "Line": [line],
            **fields,
        }
    )


VOIDED = invoice(total="0", PrivateNote="Voided")


# -- living objects -------------------------------------------------------------------------------------------


def test_deleted_in_quickbooks_stays_deleted() -> None:
    action = decide_standing(MOVED, None, SAME)
    assert isinstance(action, Refuse)
    assert action.reason is InvoiceReason.DELETED_IN_QUICKBOOKS
    assert "qbsync.dev/recreate" in action.message


def test_deleted_in_quickbooks_and_a_person_wants_another() -> None:
    assert decide_standing(replace(CALM, recreate=True), None, SAME) == CreateAnew()


def test_a_wish_for_another_does_nothing_while_the_invoice_stands() -> None:
    assert decide_standing(replace(CALM, recreate=True), invoice(), SAME) == Keep(invoice(), SAME)


def test_a_void_invoice_is_not_changed() -> None:
    action = decide_standing(MOVED, VOIDED, TO_WRITE)
    assert isinstance(action, Refuse)
    assert action.reason is InvoiceReason.INVALID_INVOICE


def test_a_void_invoice_without_a_change_of_the_spec_is_kept_as_void() -> None:
    assert decide_standing(CALM, VOIDED, TO_WRITE) == Keep(VOIDED, SAME)


@pytest.mark.parametrize("found", [SAME, TO_WRITE, DRIFTED])
def test_without_a_change_of_the_spec_nothing_is_ever_written(found: Comparison) -> None:
    assert decide_standing(CALM, invoice(), found) == Keep(invoice(), found)


@pytest.mark.parametrize("found", [SAME, DRIFTED])
def test_a_change_of_the_spec_that_moves_no_field_is_not_written(found: Comparison) -> None:
    assert decide_standing(MOVED, invoice(), found) == Keep(invoice(), found)


def test_a_changed_field_is_written() -> None:
    assert decide_standing(MOVED, invoice(), TO_WRITE) == Update(invoice(), TO_WRITE)


def test_an_update_whose_outcome_is_open_is_not_sent_again_yet() -> None:
    recorded = replace(MOVED, change_at_work_on="3", change_at_work_for=timedelta(seconds=50))
    action = decide_standing(recorded, invoice(), TO_WRITE)
    assert isinstance(action, Wait)
    assert (action.reason, action.delay) == (InvoiceReason.OUTCOME_UNKNOWN, timedelta(seconds=50))


@pytest.mark.parametrize(
    "recorded",
    [
        replace(MOVED, change_at_work_on="2", change_at_work_for=timedelta(seconds=50)),
        replace(MOVED, change_at_work_on="3", change_at_work_for=None),
    ],
)
def test_it_is_sent_again_once_somebody_moved_the_invoice_or_it_can_no_longer_arrive(
    recorded: Recorded,
) -> None:
    assert decide_standing(recorded, invoice(), TO_WRITE) == Update(invoice(), TO_WRITE)


# -- objects that are being deleted ---------------------------------------------------------------------------


def test_retained_adopted_and_vanished_invoices_are_left_alone() -> None:
    assert isinstance(decide_farewell(CALM, RETAIN, invoice()), LetGo)
    for policy in (VOID, DELETE):
        assert isinstance(decide_farewell(replace(CALM, adopted=True), policy, invoice()), LetGo)
        assert isinstance(decide_farewell(CALM, policy, None), LetGo)


def test_the_policy_is_carried_out() -> None:
    assert decide_farewell(CALM, VOID, invoice()) == Void(invoice())
    assert decide_farewell(CALM, DELETE, invoice()) == Delete(invoice())


def test_a_void_invoice_is_not_voided_again_but_deleted() -> None:
    assert isinstance(decide_farewell(CALM, VOID, VOIDED), LetGo)
    assert decide_farewell(CALM, DELETE, VOIDED) == Delete(VOIDED)


@pytest.mark.parametrize("policy", [VOID, DELETE])
def test_a_paid_invoice_is_neither_voided_nor_deleted(policy: InvoiceDeletionPolicy) -> None:
    paid = invoice(balance="5.00", LinkedTxn=[{"TxnId": "12", "TxnType": "Payment"}])
    action = decide_farewell(CALM, policy, paid)
    assert isinstance(action, Refuse)
    assert action.reason is InvoiceReason.VOID_REFUSED
    assert "Payment 12" in action.message


def test_an_estimate_it_was_made_from_is_no_payment() -> None:
    made = invoice(LinkedTxn=[{"TxnId": "12", "TxnType": "Estimate"}])
    assert decide_farewell(CALM, VOID, made) == Void(made)


def test_a_void_whose_outcome_is_open_is_awaited() -> None:
    recorded = replace(CALM, change_at_work_on="3", change_at_work_for=timedelta(seconds=50))
    action = decide_farewell(recorded, VOID, invoice())
    assert isinstance(action, Wait)
    assert action.delay == timedelta(seconds=50)


# -- what counts as void --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("standing", "net", "void"),
    [
        (invoice(), "20", False),
        (invoice(balance="0.00"), "20", False),
        (invoice(total="0", PrivateNote="Voided"), "20", True),
        (invoice(total="0", PrivateNote="kept by the company"), "20", True),
        (invoice(total="0"), "0", False),
        (invoice(total="0", PrivateNote="Voided - free sample"), "0", True),
        (invoice(total="0", amount="20"), "0", False),
    ],
    ids=["open", "paid", "note", "note changed", "free", "free and void", "discounted to nothing"],
)
def test_void(standing: Invoice, net: str, void: bool) -> None:
    assert is_voided(standing, Decimal(net)) is void
