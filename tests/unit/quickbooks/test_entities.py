"""QuickBooks' objects as they were recorded, and as they might come."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.quickbooks.entities import (
    CompanyInfo,
    Invoice,
    Preferences,
    dump_json,
    load_json,
    parse_company_info,
    parse_invoice,
    parse_named,
    parse_preferences,
)
from qbsync.quickbooks.errors import IncompleteAnswer
from qbsync.quickbooks.exactjson import UnreadableJson
from unit.quickbooks.scripted import recorded, recorded_bytes

MINIMAL = {
    "Id": "1",
    "SyncToken": "0",
    "CustomerRef": {"value": "7"},
    "TotalAmt": 5,
    "Balance": Decimal("5.00"),
}


def test_the_recorded_invoice() -> None:
    invoice = parse_invoice(load_json(recorded("create__invoice").body)["Invoice"])
    assert invoice == Invoice(
        id="266",
        sync_token="0",
        doc_number="1043",
        txn_date=date(2020, 9, 29),
        due_date=date(2020, 10, 29),
        customer_id="1",
        currency="USD",
        total=Decimal("100.0"),
        balance=Decimal("100.0"),
        total_tax=Decimal(0),
        tax_inclusive=False,
        private_note=None,
        email_status="NotSet",
        created=datetime(2020, 9, 29, 5, 58, 7, tzinfo=timezone(-timedelta(hours=7))),
    )


def test_the_recorded_void() -> None:
    invoice = parse_invoice(load_json(recorded("void__invoice", 1).body)["Invoice"])
    assert (invoice.sync_token, invoice.total, invoice.private_note) == ("1", Decimal(0), "Voided")


def test_an_invoice_with_nothing_but_the_essentials() -> None:
    invoice = parse_invoice(MINIMAL)
    assert (invoice.doc_number, invoice.txn_date, invoice.currency, invoice.created) == (
        None,
        None,
        None,
        None,
    )
    assert (invoice.total, invoice.total_tax, invoice.tax_inclusive) == (Decimal(5), Decimal(0), False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, None) for name in MINIMAL),
        ("Id", ""),
        ("Id", True),
        ("CustomerRef", {}),
        ("CustomerRef", "7"),
        ("TotalAmt", "1,861.07"),
        ("TotalAmt", "NaN"),
        ("Balance", []),
    ],
)
def test_an_invoice_without_an_essential_proves_nothing(field: str, value: object) -> None:
    with pytest.raises(IncompleteAnswer, match=field):
        parse_invoice({**MINIMAL, field: value})


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("Id", 17, "id", "17"),
        ("TotalAmt", "5.10", "total", Decimal("5.10")),
        ("TxnDate", "someday", "txn_date", None),
        ("DueDate", 5, "due_date", None),
        ("GlobalTaxCalculation", "TaxInclusive", "tax_inclusive", True),
        ("TxnTaxDetail", {"TotalTax": Decimal("1.25")}, "total_tax", Decimal("1.25")),
        ("TxnTaxDetail", "odd", "total_tax", Decimal(0)),
        ("MetaData", {"CreateTime": "2020-09-29T05:58:07"}, "created", None),
        ("MetaData", {"CreateTime": "soon"}, "created", None),
        (
            "MetaData",
            {"CreateTime": "2026-05-05T09:08:54.543Z"},
            "created",
            datetime(2026, 5, 5, 9, 8, 54, 543000, UTC),
        ),
    ],
)
def test_how_odd_values_read(field: str, value: object, attribute: str, expected: object) -> None:
    assert getattr(parse_invoice({**MINIMAL, field: value}), attribute) == expected


def test_recorded_names() -> None:
    customer = parse_named(load_json(recorded("get__id").body)["Customer"])
    assert (customer.id, customer.name, customer.active, customer.currency) == (
        "5",
        "Dukes Basketball Camp",
        True,
        "USD",
    )
    item = parse_named(load_json(recorded_bytes("fyle-qbo-api/items_response.json"))[0])
    assert (item.id, item.name, item.full_name, item.active) == ("3", "Concrete", "Concrete", True)


def test_an_inactive_sub_customer() -> None:
    row = parse_named({"Id": "9", "FullyQualifiedName": "A:B", "Active": False})
    assert (row.name, row.full_name, row.active) == ("A:B", "A:B", False)
    assert parse_named({"Id": "9", "Name": "x", "Active": "false"}).active is False
    assert parse_named({"Id": "9", "Name": "x"}).active is True


def test_a_name_without_id_proves_nothing() -> None:
    with pytest.raises(IncompleteAnswer):
        parse_named({"Name": "x"})


def test_the_recorded_company() -> None:
    info = parse_company_info(load_json(recorded_bytes("fyle-qbo-api/company_info.json")))
    assert info == CompanyInfo(name="Sandbox Company_US_4", legal_name="Larry's Bakery", country="US")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, Preferences(False, None, False)),
        ({"SalesFormsPrefs": {"CustomTxnNumbers": True}}, Preferences(True, None, False)),
        ({"SalesFormsPrefs": {"CustomTxnNumbers": "true"}}, Preferences(True, None, False)),
        (
            {"CurrencyPrefs": {"MultiCurrencyEnabled": True, "HomeCurrency": {"value": "USD"}}},
            Preferences(False, "USD", True),
        ),
    ],
)
def test_preferences(body: dict[str, Any], expected: Preferences) -> None:
    assert parse_preferences(body) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_survive_json_exactly(number: Decimal) -> None:
    raw = dump_json({"Amount": number})
    back = load_json(raw)["Amount"]
    assert Decimal(back) == number
    assert json.loads(raw, parse_float=Decimal)["Amount"] == number


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_json_does_not_know_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="no JSON number"):
        dump_json({"Line": [{"Amount": Decimal(number)}]})


@given(st.binary(max_size=40).filter(lambda raw: not is_json(raw)))
def test_unreadable_bytes_are_never_quoted(raw: bytes) -> None:
    with pytest.raises(UnreadableJson) as caught:
        load_json(raw)
    assert str(caught.value) == "not one complete JSON document"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def is_json(raw: bytes) -> bool:
    try:
        json.loads(raw.decode())
    except ValueError:
        return False
    return True
