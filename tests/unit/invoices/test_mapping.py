"""From a spec to QuickBooks' JSON."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.api.invoice import InvoiceSpec
from qbsync.invoices.compare import Comparison, compare
from qbsync.invoices.errors import InvalidSpec
from qbsync.invoices.fields import statements
from qbsync.invoices.identity import OwnerMark
from qbsync.invoices.lines import line_amount, lines_body, net_total
from qbsync.invoices.mapping import MarkPlace, create_body, mark_of, transaction_date, update_body
from qbsync.invoices.references import Resolved, references_of
from qbsync.quickbooks.entities import dump_json

MARK = OwnerMark("aaaaaaaaaa", "bbbbbb")
NOTE = MarkPlace()


def spec(*lines: dict[str, Any], **fields: Any) -> InvoiceSpec:
    return InvoiceSpec.model_validate(
        {"docNumber": "INV-1", "customer": {"id": "1"}, "lines": list(lines), **fields}
    )


def line(**fields: Any) -> dict[str, Any]:
    return {"item": {"id": "1"}, **fields}


def resolved(invoice: InvoiceSpec) -> Resolved:
    """Ids that tell what they are for, where the spec gives none."""
    return {one.slot: one.id or f"id of {one.slot}" for one in references_of(invoice)}


def create(invoice: InvoiceSpec, *, place: MarkPlace = NOTE, **kwargs: Any) -> dict[str, Any]:
    stated = statements(invoice, resolved(invoice))
    return create_body(invoice, stated, mark=MARK, place=place, day=date(2026, 11, 23), **kwargs)


def test_a_whole_invoice() -> None:
    invoice = spec(
        line(description="Hours", quantity="3", unitPrice="128.35", serviceDate="2026-11-01"),
        line(amount="10"),
        dueDate="2026-12-31",
        billEmail="a@example.com",
        customerMemo="Thank you",
        privateNote="from the shop",
    )
    ids = {"customer": "58", "lines[0].item": "1", "lines[1].item": "2"}
    body = create_body(invoice, statements(invoice, ids), mark=MARK, place=NOTE, day=date(2026, 11, 23))
    assert body == {
        "DocNumber": "INV-1",
        "TxnDate": "2026-11-23",
        "DueDate": "2026-12-31",
        "CustomerRef": {"value": "58"},
        "BillEmail": {"Address": "a@example.com"},
        "CustomerMemo": {"value": "Thank you"},
        "PrivateNote": f"from the shop\n{MARK}",
        "Line": [
            {
                "Amount": Decimal("385.05"),
                "Description": "Hours",
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {
                    "ItemRef": {"value": "1"},
                    "Qty": Decimal("3"),
                    "UnitPrice": Decimal("128.35"),
                    "ServiceDate": "2026-11-01",
                },
            },
            {
                "Amount": Decimal("10"),
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {"ItemRef": {"value": "2"}},
            },
        ],
    }
    assert b'"UnitPrice":128.35' in dump_json(body)
    assert net_total(invoice) == Decimal("395.05")


def test_amounts_round_half_up_as_quickbooks_does() -> None:
    """Intuit: Fault 6070; 128.35 x 14.50 = 1861.075 is accepted as 1861.08 and refused as 1861.07."""
    assert line_amount(spec(line(quantity="14.50", unitPrice="128.35")).lines[0], 0) == Decimal("1861.08")


@given(
    quantity=st.decimals(min_value=0, max_value=10000, places=5),
    price=st.decimals(min_value=0, max_value=10000, places=5),
)
def test_an_amount_is_the_product_to_the_cent(quantity: Decimal, price: Decimal) -> None:
    amount = line_amount(spec(line(quantity=str(quantity), unitPrice=str(price))).lines[0], 0)
    assert abs(amount - quantity * price) <= Decimal("0.005")
    assert amount == amount.quantize(Decimal("0.01"))


def test_an_amount_that_is_not_the_product_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidSpec, match=r"lines\[0\]\.amount is 5\.00, but quantity x unitPrice is 6\.00"):
        line_amount(spec(line(quantity="2", unitPrice="3", amount="5.00")).lines[0], 0)


def test_the_date_is_the_companys_day_of_creation_whenever_it_is_sent() -> None:
    created = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    invoice = spec(line(amount="1"))
    assert transaction_date(invoice, created=created, time_zone="America/Los_Angeles") == date(2026, 11, 22)
    assert transaction_date(invoice, created=created, time_zone="UTC") == date(2026, 11, 23)
    dated = spec(line(amount="1"), transactionDate="2026-01-31")
    assert transaction_date(dated, created=created, time_zone="UTC") == date(2026, 1, 31)


def test_every_field_of_the_header() -> None:
    invoice = spec(
        line(amount="1"),
        transactionDate="2026-10-01",
        terms="Net 30",
        currency="EUR",
        exchangeRate="1.0812345",
        location="Shop",
        **{"class": "West"},
        billEmailCc="cc@example.com",
        taxCalculation="Inclusive",
        tax={"code": "GST", "amount": "1.50"},
        shippingAddress={"line1": "Harbour 1", "countrySubDivisionCode": "CA"},
        billingAddress={"postalCode": "0123", "country": ""},
        customFields=[{"definitionId": "1", "value": "red"}, {"definitionId": "2", "value": "7"}],
        deposit="5.00",
        onlinePayment={"creditCard": True, "ach": False},
        extra={"TrackingNum": "123"},
    )
    body = create(invoice)
    del body["Line"]
    assert body == {
        "DocNumber": "INV-1",
        "TxnDate": "2026-10-01",
        "CustomerRef": {"value": "1"},
        "SalesTermRef": {"value": "id of terms"},
        "CurrencyRef": {"value": "EUR"},
        "ExchangeRate": Decimal("1.0812345"),
        "DepartmentRef": {"value": "id of location"},
        "ClassRef": {"value": "id of class"},
        "BillEmailCc": {"Address": "cc@example.com"},
        "GlobalTaxCalculation": "TaxInclusive",
        "TxnTaxDetail": {"TxnTaxCodeRef": {"value": "id of tax.code"}, "TotalTax": Decimal("1.50")},
        "ShipAddr": {"Line1": "Harbour 1", "CountrySubDivisionCode": "CA"},
        "BillAddr": {"PostalCode": "0123", "Country": ""},
        "CustomField": [
            {"DefinitionId": "1", "Type": "StringType", "StringValue": "red"},
            {"DefinitionId": "2", "Type": "StringType", "StringValue": "7"},
        ],
        "Deposit": Decimal("5.00"),
        "AllowOnlineCreditCardPayment": True,
        "AllowOnlineACHPayment": False,
        "TrackingNum": "123",
        "PrivateNote": str(MARK),
    }


def test_every_kind_of_line() -> None:
    invoice = spec(
        line(amount="100", taxCode="TAX", **{"class": "id:7"}),
        {"text": "Thank you"},
        line(quantity="2", unitPrice="25.005"),
        {"subtotal": {}},
        {"discount": {"percent": "10", "account": "id:86"}},
    )
    assert lines_body(invoice, resolved(invoice)) == [
        {
            "Amount": Decimal("100"),
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {
                "ItemRef": {"value": "1"},
                "TaxCodeRef": {"value": "TAX"},
                "ClassRef": {"value": "7"},
            },
        },
        {"DetailType": "DescriptionOnly", "Description": "Thank you", "DescriptionLineDetail": {}},
        {
            "Amount": Decimal("50.01"),
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {
                "ItemRef": {"value": "1"},
                "Qty": Decimal("2"),
                "UnitPrice": Decimal("25.005"),
            },
        },
        {"Amount": Decimal("150.01"), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
        {
            "Amount": Decimal("15.00"),
            "DetailType": "DiscountLineDetail",
            "DiscountLineDetail": {
                "PercentBased": True,
                "DiscountPercent": Decimal("10"),
                "DiscountAccountRef": {"value": "86"},
            },
        },
    ]
    assert net_total(invoice) == Decimal("135.01")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line(amount="1"), {"discount": {"amount": "1"}}, {"discount": {"amount": "1"}}], "one discount"),
        ([{"discount": {"amount": "1"}}, line(amount="1")], "behind the last"),
        ([line(amount="1"), {"discount": {"amount": "2"}}], "less than 0"),
        ([line(amount="-1")], "less than 0"),
    ],
)
def test_lines_that_quickbooks_cannot_hold_are_refused(lines: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        create(spec(*lines))


def test_an_empty_text_is_not_sent_with_a_new_invoice() -> None:
    invoice = spec(line(amount="1"), customerMemo="", privateNote="", billEmail="", terms="", location="")
    assert set(create(invoice)) == {"DocNumber", "TxnDate", "CustomerRef", "Line", "PrivateNote"}


@pytest.mark.parametrize(("by_hand", "number"), [(True, "AUTO_GENERATE"), (False, None)])
def test_without_a_number_quickbooks_chooses_one(by_hand: bool, number: str | None) -> None:
    invoice = InvoiceSpec.model_validate({"customer": {"id": "1"}, "lines": [line(amount="1")]})
    assert create(invoice, numbered_by_hand=by_hand).get("DocNumber") == number


# -- the owner mark -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("PrivateNote", {"PrivateNote": str(MARK)}),
        ("None", {}),
        (
            "CustomField:3",
            {"CustomField": [{"DefinitionId": "3", "Type": "StringType", "StringValue": str(MARK)}]},
        ),
    ],
)
def test_the_mark_stands_where_the_connection_says(place: str, expected: dict[str, Any]) -> None:
    body = create(spec(line(amount="1")), place=MarkPlace(place))
    assert {name: body[name] for name in ("PrivateNote", "CustomField") if name in body} == expected
    assert mark_of(body) == (MARK if expected else None)


def test_a_mark_in_a_custom_field_leaves_the_other_fields_alone() -> None:
    invoice = spec(line(amount="1"), customFields=[{"definitionId": "1", "value": "red"}])
    fields = create(invoice, place=MarkPlace("CustomField:3"))["CustomField"]
    assert [(one["DefinitionId"], one["StringValue"]) for one in fields] == [("1", "red"), ("3", str(MARK))]


# -- updates --------------------------------------------------------------------------------------------------


def standing(**changes: Any) -> dict[str, Any]:
    """An invoice as QuickBooks answered it."""
    return {
        "Id": "9",
        "SyncToken": "4",
        "CustomerRef": {"value": "1", "name": "Amy"},
        "PrivateNote": f"by hand\n{MARK}",
        "Line": [
            {
                "Id": "1",
                "Amount": 1,
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {"ItemRef": {"value": "1"}},
            },
            {"Id": "5", "DetailType": "DescriptionOnly", "Description": "Thank you"},
            {"Amount": 1, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
        ],
        **changes,
    }


def update(
    invoice: InvoiceSpec, row: dict[str, Any], *, mark: OwnerMark = MARK, place: MarkPlace = NOTE
) -> dict[str, Any]:
    found = compare(statements(invoice, resolved(invoice)), {}, row, adopted=False)
    return update_body(found.to_write, row, mark=mark, place=place)


def test_an_update_names_only_what_changes() -> None:
    body = update(spec(line(amount="1"), {"text": "Thank you"}, dueDate="2026-12-31"), standing())
    assert body == {"Id": "9", "SyncToken": "4", "DueDate": "2026-12-31"}


def test_changed_lines_go_whole_under_their_ids() -> None:
    invoice = spec(line(amount="2"), line(amount="3"), {"text": "Thanks"})
    lines = update(invoice, standing())["Line"]
    assert [(one.get("Id"), one["DetailType"]) for one in lines] == [
        ("1", "SalesItemLineDetail"),
        (None, "SalesItemLineDetail"),
        ("5", "DescriptionOnly"),
    ]


def test_an_update_of_the_note_keeps_the_mark() -> None:
    body = update(spec(line(amount="1"), {"text": "Thank you"}, privateNote="new"), standing())
    assert body["PrivateNote"] == f"new\n{MARK}"
    cleared = update(spec(line(amount="1"), {"text": "Thank you"}, privateNote=""), standing())
    assert cleared["PrivateNote"] == str(MARK)


def test_the_next_update_writes_a_new_objects_mark_and_keeps_what_people_wrote() -> None:
    heir = OwnerMark(MARK.key, "cccccc")
    body = update(spec(line(amount="1"), {"text": "Thank you"}, dueDate="2026-12-31"), standing(), mark=heir)
    assert body["PrivateNote"] == f"by hand\n{heir}"


def test_custom_fields_that_the_spec_does_not_name_go_along() -> None:
    rows = [{"DefinitionId": "1", "Name": "Crew", "Type": "StringType", "StringValue": "A"}]
    invoice = spec(
        line(amount="1"), {"text": "Thank you"}, customFields=[{"definitionId": "2", "value": "B"}]
    )
    body = update(invoice, standing(CustomField=rows))
    assert [(one["DefinitionId"], one["StringValue"]) for one in body["CustomField"]] == [
        ("1", "A"),
        ("2", "B"),
    ]


@given(
    st.lists(
        st.tuples(
            st.decimals(min_value="0.00001", max_value=9999, places=5),
            st.decimals(min_value=0, max_value=9999, places=5),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_was_created_agrees_with_the_spec_again(pairs: list[tuple[Decimal, Decimal]]) -> None:
    """Whatever QuickBooks returns of a create: there is nothing left to write, to the last cent."""
    invoice = spec(*(line(quantity=str(quantity), unitPrice=str(price)) for quantity, price in pairs))
    body = create(invoice)
    numbered = [{**one, "Id": str(n), "LineNum": n} for n, one in enumerate(body["Line"], start=1)]
    total = sum(one["Amount"] for one in body["Line"])
    closing = {"Amount": total, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}
    row = {**body, "Id": "1", "SyncToken": "0", "Line": [*numbered, closing]}
    assert compare(statements(invoice, resolved(invoice)), {}, row, adopted=False) == Comparison()
    assert total == net_total(invoice)
