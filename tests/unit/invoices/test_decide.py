"""One test for each row of `decide`."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Adoption
from qbsync.invoices.decide import (
    Action,
    Adopt,
    Create,
    Desired,
    Recover,
    Refuse,
    Surroundings,
    Wait,
    decide,
)
from qbsync.invoices.identity import OwnerMark, owner_mark
from qbsync.quickbooks.entities import Invoice

MINE = owner_mark(namespace="billing", name="inv-1", uid="uid-1", source_system=None, source_id=None)
RESTORED = replace(MINE, uid="zzzzzz")
FOREIGN = OwnerMark("aaaaaaaaaa", "bbbbbb")

DESIRED = Desired(
    doc_number="INV-1",
    customer_id="1",
    currency=None,
    transaction_date=None,
    net=Decimal("100.00"),
    mark=MINE,
    adoption=Adoption.IF_MATCHING,
)
CALM = Surroundings(home_currency="USD", live_uid_marks=frozenset(), recorded_elsewhere={})


def row(
    id_: str = "7",
    *,
    mark: OwnerMark | None = None,
    total: str = "100.00",
    tax: str = "0",
    customer: str = "1",
    currency: str | None = "USD",
    day: date = date(2026, 11, 23),
    tax_inclusive: bool = False,
) -> Invoice:
    return Invoice(
        id=id_,
        sync_token="0",
        doc_number="INV-1",
        txn_date=day,
        due_date=None,
        customer_id=customer,
        currency=currency,
        total=Decimal(total),
        balance=Decimal(total),
        total_tax=Decimal(tax),
        tax_inclusive=tax_inclusive,
        private_note=f"thanks\n{mark}" if mark is not None else "thanks",
        email_status=None,
        created=None,
        row={"PrivateNote": f"thanks\n{mark}"} if mark is not None else {},
    )


def refusal(action: Action) -> InvoiceReason:
    assert isinstance(action, Refuse)
    return action.reason


def test_nothing_is_there_and_nothing_can_still_appear() -> None:
    assert decide(DESIRED, (), CALM) == Create()


def test_nothing_is_found_while_a_send_may_still_be_at_work() -> None:
    around = replace(CALM, absence_proven_in=timedelta(seconds=90))
    action = decide(DESIRED, (), around)
    assert isinstance(action, Wait)
    assert action.reason is InvoiceReason.OUTCOME_UNKNOWN
    assert action.delay == timedelta(seconds=90)


def test_nothing_is_found_while_a_predecessors_send_may_still_be_at_work() -> None:
    around = replace(CALM, create_forbidden_for=timedelta(seconds=20))
    action = decide(DESIRED, (), around)
    assert isinstance(action, Wait)
    assert action.reason is InvoiceReason.QUEUED
    assert action.delay == timedelta(seconds=20)


@pytest.mark.parametrize("around", [CALM, replace(CALM, create_forbidden_for=timedelta(seconds=20))])
def test_our_mark_recovers_at_any_time(around: Surroundings) -> None:
    mine = row(mark=MINE)
    assert decide(DESIRED, (mine,), around) == Recover(mine)


def test_our_mark_under_another_uid_recovers_once_that_object_is_gone() -> None:
    restored = row(mark=RESTORED)
    assert decide(DESIRED, (restored,), CALM) == Recover(restored)


def test_our_mark_under_the_uid_of_another_live_object_is_a_conflict() -> None:
    around = replace(CALM, live_uid_marks=frozenset({RESTORED.uid}))
    assert refusal(decide(DESIRED, (row(mark=RESTORED),), around)) is InvoiceReason.DOC_NUMBER_CONFLICT


def test_our_mark_wins_among_several_rows() -> None:
    mine = row("9", mark=MINE)
    assert decide(DESIRED, (row("7"), row("8", mark=FOREIGN), mine), CALM) == Recover(mine)


def test_our_mark_twice_is_for_a_person() -> None:
    action = decide(DESIRED, (row("7", mark=MINE), row("8", mark=MINE)), CALM)
    assert refusal(action) is InvoiceReason.DOC_NUMBER_CONFLICT
    assert isinstance(action, Refuse)
    assert "7, 8" in action.message


def test_our_mark_with_other_content_recovers_and_is_compared_afterwards() -> None:
    other = row(mark=MINE, total="90.00")
    assert decide(DESIRED, (other,), CALM) == Recover(other)


def test_a_persons_yes_adopts_what_differs_and_chooses_among_several() -> None:
    desired = replace(DESIRED, adopt_id="8", adoption=Adoption.NEVER)
    meant = row("8", total="90.00", mark=FOREIGN)
    assert decide(desired, (row("7"), meant), CALM) == Adopt(meant)


@pytest.mark.parametrize(
    "around",
    [
        replace(CALM, recorded_elsewhere={"8": "billing/other"}),
        replace(CALM, live_uid_marks=frozenset({FOREIGN.uid})),
    ],
)
def test_a_persons_yes_takes_nothing_from_another_live_object(around: Surroundings) -> None:
    desired = replace(DESIRED, adopt_id="8")
    assert refusal(decide(desired, (row("8", mark=FOREIGN),), around)) is InvoiceReason.DOC_NUMBER_CONFLICT


def test_a_persons_yes_to_an_invoice_that_is_not_there_changes_nothing() -> None:
    assert decide(replace(DESIRED, adopt_id="8"), (), CALM) == Create()


def test_a_customer_that_does_not_exist_yet_matches_nobodys_invoice() -> None:
    desired = replace(DESIRED, customer_id=None)
    assert refusal(decide(desired, (row(),), CALM)) is InvoiceReason.DOC_NUMBER_CONFLICT
    assert decide(desired, (), CALM) == Create()


def test_another_owners_mark_is_a_conflict_even_if_everything_matches() -> None:
    desired = replace(DESIRED, adoption=Adoption.ALWAYS)
    assert refusal(decide(desired, (row(mark=FOREIGN),), CALM)) is InvoiceReason.DOC_NUMBER_CONFLICT


def test_several_unmarked_rows_are_a_conflict_that_names_them() -> None:
    action = decide(DESIRED, (row("7"), row("8")), CALM)
    assert refusal(action) is InvoiceReason.DOC_NUMBER_CONFLICT
    assert isinstance(action, Refuse)
    assert "7, 8" in action.message


@pytest.mark.parametrize("mark", [None, MINE])
def test_an_invoice_recorded_on_another_live_object_is_never_taken(mark: OwnerMark | None) -> None:
    around = replace(CALM, recorded_elsewhere={"7": "billing/other"})
    desired = replace(DESIRED, adoption=Adoption.ALWAYS)
    action = decide(desired, (row(mark=mark),), around)
    assert refusal(action) is InvoiceReason.DOC_NUMBER_CONFLICT
    assert isinstance(action, Refuse)
    assert "billing/other" in action.message


def test_an_unmarked_match_is_adopted() -> None:
    assert decide(DESIRED, (row(),), CALM) == Adopt(row())


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (row(customer="2"), "customer 2"),
        (row(currency="EUR"), "currency EUR"),
        (row(total="99.99"), "net amount 99.99"),
    ],
)
def test_an_unmarked_row_with_other_content_is_a_conflict_that_says_what(found: Invoice, named: str) -> None:
    action = decide(DESIRED, (found,), CALM)
    assert refusal(action) is InvoiceReason.DOC_NUMBER_CONFLICT
    assert isinstance(action, Refuse)
    assert named in action.message


def test_the_date_counts_only_if_the_spec_states_it() -> None:
    other_day = row(day=date(2026, 1, 1))
    assert decide(DESIRED, (other_day,), CALM) == Adopt(other_day)
    stated = replace(DESIRED, transaction_date=date(2026, 11, 23))
    assert refusal(decide(stated, (other_day,), CALM)) is InvoiceReason.DOC_NUMBER_CONFLICT


def test_tax_on_top_does_not_count_and_included_tax_does() -> None:
    taxed = row(total="107.00", tax="7.00")
    assert decide(DESIRED, (taxed,), CALM) == Adopt(taxed)
    inclusive = row(total="100.00", tax="6.54", tax_inclusive=True)
    assert decide(DESIRED, (inclusive,), CALM) == Adopt(inclusive)


def test_an_absent_currency_is_the_home_currency() -> None:
    silent = row(currency=None)
    assert decide(DESIRED, (silent,), CALM) == Adopt(silent)


def test_policy_always_adopts_what_differs() -> None:
    different = row(total="1.00")
    assert decide(replace(DESIRED, adoption=Adoption.ALWAYS), (different,), CALM) == Adopt(different)


def test_policy_never_refuses_what_matches() -> None:
    desired = replace(DESIRED, adoption=Adoption.NEVER)
    assert refusal(decide(desired, (row(),), CALM)) is InvoiceReason.DOC_NUMBER_CONFLICT


def test_messages_for_another_namespace_name_ids_only() -> None:
    discreet = replace(DESIRED, discreet=True)
    action = decide(discreet, (row(total="99.99", customer="2"),), CALM)
    assert isinstance(action, Refuse)
    assert "invoice 7" in action.message
    assert "99.99" not in action.message
    assert "customer" not in action.message


@pytest.mark.parametrize(
    "desired",
    [replace(DESIRED, doc_number=None), replace(DESIRED, numbered_there=True)],
    ids=["no number", "numbered there"],
)
def test_what_another_live_object_has_an_invoice_for_is_not_created_where_no_number_would_find_it(
    desired: Desired,
) -> None:
    around = replace(CALM, claimed_by="billing/other")
    action = decide(desired, (), around)
    assert refusal(action) is InvoiceReason.DOC_NUMBER_CONFLICT
    assert isinstance(action, Refuse)
    assert "billing/other" in action.message
    assert decide(DESIRED, (), around) == Create()


def test_without_a_number_the_mark_is_what_is_looked_for() -> None:
    desired = replace(DESIRED, doc_number=None)
    waiting = decide(desired, (), replace(CALM, absence_proven_in=timedelta(seconds=90)))
    assert isinstance(waiting, Wait)
    assert "its owner mark" in waiting.message
    twice = decide(desired, (row("7", mark=MINE), row("8", mark=MINE)), CALM)
    assert isinstance(twice, Refuse)
    assert "there is an invoice of this source already: 2 invoices" in twice.message


def test_a_company_that_numbers_itself_is_better_not_asked_for_a_number() -> None:
    action = decide(replace(DESIRED, numbered_there=True), (row(mark=FOREIGN),), CALM)
    assert isinstance(action, Refuse)
    assert "leave docNumber out" in action.message
