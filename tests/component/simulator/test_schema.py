"""What a request's body may hold: known properties only, at every depth, and the types QuickBooks gives them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.simulator.entities.kinds import KINDS
from qbsync.simulator.entities.schema import STRUCTURES, conform
from qbsync.simulator.faults import Refusal

SCALARS = {"string", "number", "bool", "date", "any"}


def refused(entity: str, body: Any) -> str:
    with pytest.raises(Refusal) as caught:
        conform(entity, body, refuse_unknown=True)
    error = caught.value.errors[0]
    assert error.code == "2010"
    return str(error.detail)


def test_every_shape_is_a_scalar_or_a_structure() -> None:
    for fields in STRUCTURES.values():
        for shape in fields.values():
            name = shape[0] if isinstance(shape, tuple) else shape
            assert name in SCALARS or name in STRUCTURES, name


@pytest.mark.parametrize(
    "kind", [each for each in KINDS.values() if each.writable], ids=lambda kind: kind.name
)
def test_what_can_be_written_has_its_table_and_what_can_be_asked_is_in_it(kind: Any) -> None:
    known = STRUCTURES[kind.name]
    assert {"Id", "SyncToken", "MetaData", "sparse", "domain"} <= known.keys()
    for field in kind.fields:
        assert field.split(".")[0] in known


@pytest.mark.parametrize(
    ("entity", "body", "java"),
    [
        ("Invoice", {"Nonsense": 1}, "Invoice"),
        ("Invoice", {"CustomerRef": {"Nonsense": 1}}, "ReferenceType"),
        ("Invoice", {"BillEmail": {"Nonsense": 1}}, "EmailAddress"),
        ("Invoice", {"ShipAddr": {"Nonsense": 1}}, "PhysicalAddress"),
        ("Invoice", {"CustomerMemo": {"Nonsense": 1}}, "MemoRef"),
        ("Invoice", {"MetaData": {"Nonsense": 1}}, "ModificationMetaData"),
        ("Invoice", {"Line": [{"Nonsense": 1}]}, "Line"),
        ("Invoice", {"Line": [{"SalesItemLineDetail": {"Nonsense": 1}}]}, "SalesItemLineDetail"),
        ("Invoice", {"Line": [{"GroupLineDetail": {"Line": [{"Nonsense": 1}]}}]}, "Line"),
        ("Invoice", {"Line": [{"SalesItemLineDetail": {"MarkupInfo": {"Nonsense": 1}}}]}, "MarkupInfo"),
        ("Invoice", {"TxnTaxDetail": {"Nonsense": 1}}, "TxnTaxDetail"),
        ("Invoice", {"TxnTaxDetail": {"TaxLine": [{"TaxLineDetail": {"Nonsense": 1}}]}}, "TaxLineDetail"),
        ("CreditMemo", {"Nonsense": 1}, "CreditMemo"),
        ("SalesReceipt", {"Nonsense": 1}, "SalesReceipt"),
        ("Payment", {"Nonsense": 1}, "Payment"),
        ("Payment", {"CheckPayment": {"Nonsense": 1}}, "CheckPayment"),
        ("Customer", {"PrimaryPhone": {"Nonsense": 1}}, "TelephoneNumber"),
        ("Vendor", {"WebAddr": {"Nonsense": 1}}, "WebSiteAddress"),
        ("Item", {"ItemGroupDetail": {"ItemGroupLine": [{"Nonsense": 1}]}}, "ItemGroupLine"),
        ("Class", {"Nonsense": 1}, "Class"),
    ],
)
def test_an_unknown_property_names_the_class_it_is_not_of(entity: str, body: Any, java: str) -> None:
    assert refused(entity, body).startswith(
        f'Property Name:Unrecognized field "Nonsense" (class com.intuit.schema.finance.v3.{java}), '
        "not marked as ignorable ("
    )
    assert conform(entity, body, refuse_unknown=False) is not None


def test_empty_texts_are_no_dates_and_no_numbers_but_stay_texts() -> None:
    sent = {"TxnDate": "", "DueDate": "", "TotalAmt": "", "ApplyTaxAfterDiscount": "", "PrivateNote": ""}
    assert conform("Invoice", sent, refuse_unknown=True) == {"PrivateNote": ""}
    line = {"SalesItemLineDetail": {"ServiceDate": "", "Qty": "", "ItemRef": {"value": "1", "name": ""}}}
    assert conform("Line", line, refuse_unknown=True) == {
        "SalesItemLineDetail": {"ItemRef": {"value": "1", "name": ""}}
    }


def test_numbers_may_come_as_texts_and_texts_as_numbers() -> None:
    made = conform("Line", {"Amount": "100.50", "Id": 3, "Description": Decimal("1.5")}, refuse_unknown=True)
    assert made == {"Amount": Decimal("100.50"), "Id": "3", "Description": "1.5"}


@pytest.mark.parametrize(
    "body",
    [
        {"CustomerRef": "1"},
        {"Line": "one"},
        {"Line": [1]},
        {"TxnDate": "yesterday"},
        {"TxnDate": "2026-02-30"},
        {"TotalAmt": "lots"},
        {"TotalAmt": True},
        {"sparse": "perhaps"},
        {"PrivateNote": {"a": 1}},
        {"TxnTaxDetail": {"TotalTax": [1]}},
    ],
)
def test_values_of_another_type(body: dict[str, Any]) -> None:
    assert refused("Invoice", body).startswith("Property Name:Can not")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 400))
def test_bundles_in_bundles_end_in_a_fault_at_worst(depth: int) -> None:
    body: dict[str, Any] = {"Amount": 1}
    for _ in range(depth):
        body = {"GroupLineDetail": {"Line": [body]}}
    assert outcome(body) in ("taken", "2010")


def outcome(body: dict[str, Any]) -> str:
    """Whether a line is taken, or the code it is refused with."""
    try:
        conform("Line", body, refuse_unknown=True)
    except Refusal as refusal:
        return refusal.errors[0].code
    return "taken"
