"""The books' rules: money, numbers, dates, references, and what people do by hand. Pure, no server."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.simulator import jsoncodec, sample
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, ITEM, PAYMENT
from qbsync.simulator.entities.money import amount, half_up, quantity
from qbsync.simulator.faults import Refusal
from qbsync.simulator.ledger import Moment

from .desk import DESCRIPTION, MOMENT, NOW, Desk, line

CUSTOM_OFF = {"SalesFormsPrefs": {"CustomTxnNumbers": False}}


# Money


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0", b"0"),
        ("0.00", b"0"),
        ("100", b"100.0"),
        ("1E+2", b"100.0"),
        ("1861.080", b"1861.08"),
        ("-5.5", b"-5.5"),
    ],
)
def test_amounts_as_quickbooks_writes_them(value: str, written: bytes) -> None:
    assert jsoncodec.dump({"a": amount(Decimal(value))}) == b'{"a":' + written + b"}"


def test_quantities_have_no_needless_decimals() -> None:
    assert (
        jsoncodec.dump({"q": quantity(Decimal("2.00")), "p": quantity(Decimal("14.50"))})
        == b'{"q":2,"p":14.5}'
    )


@given(st.decimals(min_value="-1e14", max_value="1e14", places=5))
def test_half_up_is_away_from_zero(value: Decimal) -> None:
    assert half_up(value) == value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def test_6070_goes_by_half_up_and_quotes_thousands() -> None:
    desk = Desk()
    made = desk.invoice(line(Decimal("1861.08"), Qty=Decimal("128.35"), UnitPrice=Decimal("14.50")))
    assert made["TotalAmt"] == Decimal("1861.08")
    refused = desk.refused(line(Decimal("1861.07"), Qty=Decimal("128.35"), UnitPrice=Decimal("14.50")))
    assert refused == ("6070", "Amount is not equal to UnitPrice * Qty. Supplied value:1,861.07")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.decimals(min_value="0.01", max_value="9999.99", places=2),
            st.decimals(min_value="0.01", max_value="9999.9999", places=4),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_total_is_the_sum_of_the_rounded_lines(rows: list[tuple[Decimal, Decimal]]) -> None:
    desk = Desk()
    lines = [line(half_up(sold * price), Qty=sold, UnitPrice=price) for sold, price in rows]
    made = desk.invoice(*lines)
    expected = sum((half_up(sold * price) for sold, price in rows), start=Decimal(0))
    assert made["TotalAmt"] == made["Balance"] == expected
    assert made["Line"][-1] == {
        "Amount": expected,
        "DetailType": "SubTotalLineDetail",
        "SubTotalLineDetail": {},
    }
    assert [each.get("Id") for each in made["Line"]] == [*map(str, range(1, len(rows) + 1)), None]


def test_an_amount_alone_stays_without_quantity() -> None:
    detail = Desk().invoice(line(Decimal("99.90")))["Line"][0]["SalesItemLineDetail"]
    assert detail == {"ItemRef": {"value": "1", "name": "Services"}, "TaxCodeRef": {"value": "NON"}}


def test_numbers_may_come_as_text_but_not_as_words() -> None:
    desk = Desk()
    assert desk.invoice(line("12.50"))["TotalAmt"] == Decimal("12.5")
    assert desk.refused(line("much"))[0] == "2010"
    assert desk.refused(line("NaN"))[0] == "2010"
    assert desk.refused(line(Decimal("1e999999")))[0] == "2010"


def test_a_discount_is_positive_and_subtracts() -> None:
    discount = {
        "Amount": Decimal("10"),
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": {"PercentBased": True, "DiscountPercent": 10},
    }
    made = Desk().invoice(line(100), discount)
    assert made["TotalAmt"] == 90
    assert [each["DetailType"] for each in made["Line"]] == [
        "SalesItemLineDetail",
        "SubTotalLineDetail",
        "DiscountLineDetail",
    ]


def test_a_negative_line_is_fine_a_negative_total_is_not() -> None:
    desk = Desk()
    assert desk.invoice(line(100), line(-40))["TotalAmt"] == 60
    assert desk.refused(line(-1))[0] == "6000"


# What must be there, and how long it may be


def test_every_missing_field_is_named_at_once() -> None:
    with pytest.raises(Refusal) as caught:
        Desk().ledger.create(Desk().company, INVOICE, {}, MOMENT)
    assert [(error.code, error.element) for error in caught.value.errors] == [
        ("2020", "Line"),
        ("2020", "CustomerRef"),
    ]
    assert caught.value.errors[0].detail == "Required parameter Line is missing in the request"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"BadJson": True}, "2010"),
        ({"CustomerRef": {"value": "1", "nmae": "x"}}, "2010"),
        ({"CustomerRef": "1"}, "2010"),
        ({"TxnDate": "23.11.2026"}, "2010"),
        ({"TxnDate": "2026-02-30"}, "2010"),
        ({"DocNumber": "x" * 22}, "2050"),
        ({"PrivateNote": "x" * 4001}, "2050"),
        ({"CustomerMemo": {"value": "x" * 1001}}, "2050"),
        ({"CustomerRef": {"value": "75"}}, "2500"),
        ({"CustomerRef": {"value": "13"}}, "610"),
        ({"EmailStatus": "Sent"}, "2170"),
        ({"EmailStatus": "NeedToSend"}, "6000"),
        ({"CurrencyRef": {"value": "EUR"}}, "6000"),
        ({"SalesTermRef": {"value": "99"}}, "2500"),
        ({"Line": []}, "2020"),
        ({"Line": [{"Amount": 1}]}, "2020"),
        ({"Line": [{"Amount": 1, "DetailType": "Nonsense"}]}, "2170"),
        ({"Line": [{"Amount": 1, "DetailType": "SalesItemLineDetail"}]}, "2020"),
        ({"Line": [{**line(1), "Description": "x" * 4001}]}, "2050"),
        ({"Line": [line(1, item="99")]}, "2500"),
        ({"Line": [line(1, item="7")]}, "610"),
        ({"Line": [{**line(1), "Amont": 1}]}, "2010"),
        ({"Line": "x"}, "2010"),
    ],
)
def test_refusals_change_nothing(fields: dict[str, Any], code: str) -> None:
    assert Desk().refused(**fields)[0] == code


def test_the_detail_of_an_unknown_property_is_the_recorded_one() -> None:
    code, detail = Desk().refused(BadJson=True)
    assert detail.startswith(
        'Property Name:Unrecognized field "BadJson" (class com.intuit.schema.finance.v3.Invoice), '
        "not marked as ignorable ("
    )
    assert detail.endswith("[truncated]])\n specified is unsupported or invalid")
    assert code == "2010"


def test_unknown_fields_can_be_ignored_by_switch() -> None:
    assert "BadJson" not in Desk(unknownFields="ignore").invoice(BadJson=True)


def test_an_inactive_reference_has_either_code() -> None:
    assert Desk(inactiveReference="2500").refused(CustomerRef={"value": "13"})[0] == "2500"


# Numbers


def test_custom_numbers_are_used_as_sent_or_not_at_all() -> None:
    desk = Desk()
    assert desk.invoice(DocNumber="INV-7")["DocNumber"] == "INV-7"
    assert "DocNumber" not in desk.invoice()


def test_auto_generate_continues_the_numbers() -> None:
    desk = Desk()
    assert desk.invoice(DocNumber="AUTO_GENERATE")["DocNumber"] == "1013"
    desk.invoice(DocNumber="Q-0099")
    assert desk.invoice(DocNumber="AUTO_GENERATE")["DocNumber"] == "1014"
    desk.switches.put({"nextNumber": "lastPattern"})
    desk.invoice(DocNumber="Q-0099")
    assert desk.invoice(DocNumber="AUTO_GENERATE")["DocNumber"] == "Q-0100"


def test_a_company_that_numbers_itself_replaces_or_keeps_yours() -> None:
    desk = Desk(CUSTOM_OFF)
    assert desk.invoice(DocNumber="INV-7")["DocNumber"] == "1013"
    assert desk.invoice()["DocNumber"] == "1014"
    desk.switches.put({"automaticNumbers": "keep"})
    assert desk.invoice(DocNumber="INV-7")["DocNumber"] == "INV-7"


def test_a_preference_is_found_by_its_name_alone() -> None:
    assert not Desk({"CustomTxnNumbers": False}).company.custom_numbers
    assert Desk({}).company.custom_numbers


def test_duplicates_are_nobody_s_business_unless_the_check_is_on() -> None:
    desk = Desk()
    first, second = desk.invoice(DocNumber="A-1"), desk.invoice(DocNumber="A-1")
    assert first["Id"] != second["Id"]
    desk.switches.put({"duplicateDocCheck": True})
    assert desk.refused(DocNumber="a-1") == (
        "6140",
        "Duplicate Document Number Error : You must specify a different number. This number has already been used. "
        f"DocNumber=a-1 is assigned to TxnType=Invoice with TxnId={first['Id']}",
    )
    desk.switches.put({"duplicateDocForm": "short"})
    assert desk.refused(DocNumber="A-1")[1].endswith("This number has already been used.")
    allowed = desk.ledger.create(
        desk.company,
        INVOICE,
        {"CustomerRef": {"value": "1"}, "Line": [line(1)], "DocNumber": "A-1"},
        MOMENT,
        allow_duplicate=True,
    )
    assert allowed.document()["DocNumber"] == "A-1"


# Dates and copies


def test_dates_have_quickbooks_defaults() -> None:
    made = Desk().invoice()
    assert (made["TxnDate"], made["DueDate"]) == ("2026-11-23", "2026-12-23")
    assert made["MetaData"]["CreateTime"] == "2026-11-23T01:00:00-08:00"
    dated = Desk().invoice(TxnDate="2026-02-01", SalesTermRef={"value": "2"})
    assert (dated["TxnDate"], dated["DueDate"]) == ("2026-02-01", "2026-02-16")
    assert Desk().invoice(TxnDate="9999-12-31")["DueDate"] == "9999-12-31"


def test_the_day_is_the_company_s_own() -> None:
    late = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
    desk = Desk()
    body = {"CustomerRef": {"value": "1"}, "Line": [line(1)]}
    record = desk.ledger.create(desk.company, INVOICE, body, Moment(late, late.timestamp()))
    assert record.document()["TxnDate"] == "2026-11-23"


def test_address_and_name_come_from_the_customer() -> None:
    made = Desk().invoice()
    assert made["CustomerRef"] == {"value": "1", "name": "Amy's Bird Sanctuary"}
    assert made["BillAddr"]["Line1"] == made["ShipAddr"]["Line1"] == "4581 Finch St."
    assert "BillAddr" not in Desk().invoice(CustomerRef={"value": "6"})


def test_balances_follow_and_the_customer_s_synctoken_does_not() -> None:
    desk = Desk()
    before = desk.balance()
    desk.invoice(line("12.34"))
    assert desk.balance() == before + Decimal("12.34")
    record = desk.company.table(CUSTOMER).get("1")
    assert record is not None
    assert record.sync_token == "0"
    assert record.document()["MetaData"]["LastUpdatedTime"] == "2026-11-23T01:00:00-08:00"


def test_an_invoice_may_be_seen_by_queries_only_later() -> None:
    desk = Desk(readLagSeconds=2)
    made = [desk.invoice(DocNumber="L")["Id"] for _ in range(20)]
    text = "SELECT Id FROM Invoice WHERE DocNumber = 'L' MAXRESULTS 1000"

    def seen(after: timedelta) -> int:
        now = NOW + after
        answer = jsoncodec.load_object(desk.ledger.query(desk.company, text, Moment(now, now.timestamp())))
        return len(answer.get("Invoice", []))

    assert seen(timedelta()) == 0
    assert 0 < seen(timedelta(seconds=1)) < 20
    assert seen(timedelta(seconds=2)) == 20
    assert desk.read(made[-1])["DocNumber"] == "L"


def test_one_row_too_many_now_and_then() -> None:
    desk = Desk(oneRowTooManyEvery=3)
    text = "SELECT * FROM Invoice MAXRESULTS 5"
    sizes = [
        len(jsoncodec.load_object(desk.ledger.query(desk.company, text, MOMENT))["Invoice"]) for _ in range(6)
    ]
    assert sizes == [5, 5, 6, 5, 5, 6]


# Customers and items


def test_names_are_shared_with_vendors_and_ignore_case() -> None:
    desk = Desk()
    for name in ("Weiskopf Consulting", "weiskopf consulting", "Robertson & Associates"):
        with pytest.raises(Refusal) as caught:
            desk.ledger.create(desk.company, CUSTOMER, {"DisplayName": name}, MOMENT)
        assert caught.value.errors[0].code == "6240"


def test_a_sub_customer_s_full_name_says_whose_it_is() -> None:
    desk = Desk()
    body = {"DisplayName": "Garden", "ParentRef": {"value": "1"}, "Job": True}
    made = desk.ledger.create(desk.company, CUSTOMER, body, MOMENT).document()
    assert made["FullyQualifiedName"] == "Amy's Bird Sanctuary:Garden"
    assert (made["Level"], made["Job"]) == (1, True)


def test_an_item_needs_a_name_and_an_account() -> None:
    desk = Desk()

    def code(**fields: Any) -> str:
        with pytest.raises(Refusal) as caught:
            desk.ledger.create(desk.company, ITEM, fields, MOMENT)
        return caught.value.errors[0].code

    assert code(Type="Service") == "2020"
    assert code(Name="New") == "2020"
    assert code(Name="New", IncomeAccountRef={"value": "999"}) == "2500"
    assert code(Name="services", IncomeAccountRef={"value": "1"}) == "6240"
    assert code(Name="x" * 101, IncomeAccountRef={"value": "1"}) == "2050"
    made = desk.ledger.create(desk.company, ITEM, {"Name": "New", "IncomeAccountRef": {"value": "1"}}, MOMENT)
    assert made.document()["IncomeAccountRef"] == {"value": "1", "name": "Services"}


# By hand


def test_a_payment_moves_balance_and_synctoken() -> None:
    desk = Desk()
    made = desk.invoice(line(100))
    owed = desk.balance()
    invoice, payment = desk.ledger.pay(desk.company, made["Id"], Decimal(30), MOMENT)
    after = invoice.document()
    assert (after["Balance"], after["TotalAmt"], after["SyncToken"]) == (70, 100, "1")
    assert after["LinkedTxn"] == [{"TxnId": payment.id, "TxnType": "Payment"}]
    assert payment.document()["Line"][0]["LinkedTxn"] == [{"TxnId": made["Id"], "TxnType": "Invoice"}]
    assert desk.balance() == owed - 30
    rest, _ = desk.ledger.pay(desk.company, made["Id"], None, MOMENT)
    assert rest.document()["Balance"] == 0
    with pytest.raises(Refusal):
        desk.ledger.pay(desk.company, made["Id"], None, MOMENT)


@pytest.mark.parametrize(
    ("position", "note"), [("replace", "Voided"), ("keep", "[mark]"), ("prefix", "Voided - [mark]")]
)
def test_a_void_keeps_the_number_and_nothing_of_the_money(position: str, note: str) -> None:
    desk = Desk(voidNote=position)
    owed = desk.balance()
    made = desk.invoice(line(100), DocNumber="V-1", PrivateNote="[mark]")
    desk.ledger.pay(desk.company, made["Id"], Decimal(40), MOMENT)
    voided = desk.ledger.void_by_hand(desk.company, made["Id"], MOMENT).document()
    assert (voided["DocNumber"], voided["TotalAmt"], voided["Balance"], voided["PrivateNote"]) == (
        "V-1",
        0,
        0,
        note,
    )
    assert [each["Amount"] for each in voided["Line"]] == [0, 0]
    assert voided["SyncToken"] == "2"
    assert desk.balance() == owed - 40, "an unapplied payment is a credit"
    payment = next(iter(desk.company.table(PAYMENT).newest_first())).document()
    assert payment["UnappliedAmt"] == 40


def test_a_deleted_invoice_is_a_610() -> None:
    desk = Desk()
    owed = desk.balance()
    made = desk.invoice()
    assert desk.ledger.delete_by_hand(desk.company, made["Id"], MOMENT) == {
        "domain": "QBO",
        "status": "Deleted",
        "Id": made["Id"],
    }
    assert desk.balance() == owed
    for attempt in (desk.read, lambda each: desk.ledger.delete_by_hand(desk.company, each, MOMENT)):
        with pytest.raises(Refusal) as caught:
            attempt(made["Id"])
        assert caught.value.errors[0].code == "610"
    assert int(desk.invoice()["Id"]) > int(made["Id"])


def test_an_edit_by_hand_is_sparse_and_replaces_lines_whole() -> None:
    desk = Desk()
    made = desk.invoice(line(100), line(50), PrivateNote="before")
    edited = desk.ledger.edit(
        desk.company, made["Id"], {"PrivateNote": "after", "Id": "1"}, MOMENT
    ).document()
    assert (edited["Id"], edited["PrivateNote"], edited["SyncToken"], edited["TotalAmt"]) == (
        made["Id"],
        "after",
        "1",
        150,
    )
    desk.ledger.pay(desk.company, made["Id"], Decimal(30), MOMENT)
    shorter = desk.ledger.edit(desk.company, made["Id"], {"Line": [line(80)]}, MOMENT).document()
    assert (shorter["TotalAmt"], shorter["Balance"], len(shorter["Line"])) == (80, 50, 2)


def test_an_edit_can_move_an_invoice_to_another_customer() -> None:
    desk = Desk()
    made = desk.invoice(line(100))
    first, second = desk.balance("1"), desk.balance("2")
    moved = desk.ledger.edit(desk.company, made["Id"], {"CustomerRef": {"value": "2"}}, MOMENT).document()
    assert moved["CustomerRef"]["name"] == "Bill's Windsurf Shop"
    assert (desk.balance("1"), desk.balance("2")) == (first - 100, second + 100)


# The sample company


def test_the_sample_company_is_what_others_rely_on() -> None:
    desk = Desk()
    customer = desk.company.table(CUSTOMER).get("1")
    item = desk.company.table(ITEM).get("1")
    assert customer is not None
    assert item is not None
    assert customer.active
    assert item.active
    assert item.document()["Type"] == "Service"
    assert "IncomeAccountRef" in item.document()
    assert desk.company.custom_numbers
    assert desk.company.preference("TaxPrefs", "UsingSalesTax") is False
    assert desk.company.home_currency["value"] == "USD"
    assert desk.company.info["Country"] == "US"
    assert all(str(row.values["DocNumber"]).isdigit() for row in desk.company.table(INVOICE))


def test_a_company_file_that_does_not_hold_together_says_so() -> None:
    broken = {**DESCRIPTION, "invoices": [{**DESCRIPTION["invoices"][0], "CustomerRef": {"value": "777"}}]}
    with pytest.raises(sample.UnreadableCompany, match="element id 777 not found"):
        sample.found("1", broken, Desk().ledger, preferences={})
    with pytest.raises(sample.UnreadableCompany, match="does not hold together"):
        sample.found("1", {}, Desk().ledger, preferences={})


def test_companies_share_nothing() -> None:
    desk = Desk()
    other = sample.found("2", DESCRIPTION, desk.ledger, preferences={})
    assert isinstance(other, Company)
    desk.invoice(DocNumber="only here")
    assert not other.table(INVOICE).having("DocNumber", "only here")
