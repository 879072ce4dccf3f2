"""Sales tax of US companies: none, by hand, and by Intuit's engine."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, ITEM
from qbsync.simulator.entities.money import half_up

from .desk import MOMENT, Desk, line
from .offices import Office, coded, codes, discount, net, percent_off, tax_lines

TUCSON = {"TxnTaxCodeRef": {"value": "3"}}
MONEY = st.decimals(min_value="0.01", max_value="99999.99", places=2)


def test_without_sales_tax_everything_sent_is_ignored() -> None:
    made = Desk().invoice(
        coded(100, "TAX"), TxnTaxDetail={**TUCSON, "TotalTax": 9}, GlobalTaxCalculation="TaxExcluded"
    )
    assert (made["TxnTaxDetail"], made["TotalAmt"], codes(made)) == ({"TotalTax": 0}, 100, ["NON"])
    assert "GlobalTaxCalculation" not in made


def test_a_code_for_the_transaction_and_two_rates() -> None:
    made = Office("us-sales-tax").invoice(coded(100, "TAX"), coded(50, "NON"), TxnTaxDetail=TUCSON)
    assert made["TxnTaxDetail"]["TxnTaxCodeRef"] == {"value": "3"}
    assert tax_lines(made) == [("1", 100, Decimal("7.1")), ("2", 100, 2)]
    assert made["TxnTaxDetail"]["TotalTax"] == Decimal("9.1")
    assert made["TotalAmt"] == made["Balance"] == Decimal("159.1")
    assert made["TxnTaxDetail"]["TaxLine"][0] == {
        "Amount": Decimal("7.1"),
        "DetailType": "TaxLineDetail",
        "TaxLineDetail": {
            "TaxRateRef": {"value": "1"},
            "PercentBased": True,
            "TaxPercent": Decimal("7.1"),
            "NetAmountTaxable": 100,
        },
    }


@pytest.mark.parametrize(("after", "tax"), [(False, Decimal(8)), (True, Decimal("7.2"))])
def test_tax_before_or_after_the_discount(after: bool, tax: Decimal) -> None:
    made = Office("us-sales-tax").invoice(
        coded(100, "TAX"),
        coded(100, "NON"),
        percent_off(10),
        ApplyTaxAfterDiscount=after,
        TxnTaxDetail={"TxnTaxCodeRef": {"value": "2"}},
    )
    assert (made["TxnTaxDetail"]["TotalTax"], made["TotalAmt"]) == (tax, 180 + tax)


def test_a_discount_is_spread_to_the_cent() -> None:
    made = Office("us-sales-tax").invoice(
        *[coded("33.33", "TAX")] * 3,
        discount("0.02"),
        ApplyTaxAfterDiscount=True,
        TxnTaxDetail={"TxnTaxCodeRef": {"value": "2"}},
    )
    assert tax_lines(made) == [("3", Decimal("99.97"), Decimal("8"))]


def test_a_real_code_on_a_line_is_6100() -> None:
    assert Office("us-sales-tax").refused(coded(100, "2")) == (
        "6100",
        "Valid line TaxCodes for US should be TAX or NON. Supplied value: 2",
    )


@pytest.mark.parametrize("code", ["77", "99"])
def test_a_code_for_the_transaction_that_is_not_there(code: str) -> None:
    refused = Office("us-sales-tax").refused(TxnTaxDetail={"TxnTaxCodeRef": {"value": code}})
    assert refused == ("2500", f"Invalid Reference Id : TaxCodes element id {code} not found")


@pytest.mark.parametrize(("default", "code"), [("item", "TAX"), ("non", "NON")])
def test_a_line_without_code(default: str, code: str) -> None:
    office = Office("us-sales-tax", lineTaxDefault=default)
    assert codes(office.invoice(line(100, "5"), line(100, "1"))) == [code, "NON"]


@pytest.mark.parametrize(("default", "tax"), [("none", 0), ("customer", 8)])
def test_a_transaction_without_code(default: str, tax: int) -> None:
    office = Office("us-sales-tax", transactionTaxDefault=default)
    made = office.invoice(coded(100, "TAX"))
    assert made["TxnTaxDetail"]["TotalTax"] == tax
    assert ("TxnTaxCodeRef" in made["TxnTaxDetail"]) is bool(tax)


def test_the_customer_s_own_code_comes_before_the_company_s() -> None:
    office = Office("us-sales-tax", transactionTaxDefault="customer")
    made = office.create(CUSTOMER, {"DisplayName": "Tucson Tiles", "DefaultTaxCodeRef": {"value": "3"}})
    bill = office.invoice(coded(100, "TAX"), CustomerRef={"value": made["Id"]})
    assert bill["TxnTaxDetail"]["TotalTax"] == Decimal("9.1")


@pytest.mark.parametrize(("rule", "tax"), [("untaxed", 0), ("taxed", 8)])
def test_an_exempt_customer(rule: str, tax: int) -> None:
    office = Office("us-sales-tax", exemptCustomers=rule)
    made = office.invoice(
        coded(100, "TAX"), CustomerRef={"value": "2"}, TxnTaxDetail={"TxnTaxCodeRef": {"value": "2"}}
    )
    assert tax_lines(made) == [("3", 100 if tax else 0, tax)]
    assert made["TotalAmt"] == 100 + tax


@pytest.mark.parametrize(("rule", "tax"), [("keep", Decimal("8.01")), ("recalculate", Decimal(8))])
def test_an_amount_of_tax_sent(rule: str, tax: Decimal) -> None:
    sent = {
        "TxnTaxCodeRef": {"value": "2"},
        "TaxLine": [
            {
                "Amount": Decimal("8.01"),
                "DetailType": "TaxLineDetail",
                "TaxLineDetail": {"TaxRateRef": {"value": "3"}},
            }
        ],
    }
    made = Office("us-sales-tax", sentTaxLines=rule).invoice(coded(100, "TAX"), TxnTaxDetail=sent)
    assert made["TxnTaxDetail"]["TotalTax"] == tax
    assert made["TotalAmt"] == 100 + tax
    detail = made["TxnTaxDetail"]["TaxLine"][0]["TaxLineDetail"]
    assert detail.get("OverrideDeltaAmount", 0) == tax - 8


def test_a_sparse_update_keeps_the_code_and_counts_anew() -> None:
    office = Office("us-sales-tax")
    made = office.invoice(coded(100, "TAX"), TxnTaxDetail=TUCSON)
    changed = office.update(INVOICE, made, Line=[coded(200, "TAX")])
    assert (changed["TxnTaxDetail"]["TotalTax"], changed["TotalAmt"]) == (Decimal("18.2"), Decimal("218.2"))
    untaxed = office.update(INVOICE, changed, TxnTaxDetail={})
    assert (untaxed["TxnTaxDetail"], untaxed["TotalAmt"]) == ({"TotalTax": 0}, 200)


def test_a_void_takes_the_tax_with_it() -> None:
    office = Office("us-sales-tax")
    owed = office.balance()
    made = office.invoice(coded(100, "TAX"), TxnTaxDetail=TUCSON)
    assert office.balance() == owed + Decimal("109.1")
    voided = office.ledger.void_by_hand(office.company, made["Id"], MOMENT).document()
    assert (voided["TxnTaxDetail"]["TotalTax"], voided["TotalAmt"]) == (0, 0)
    assert office.balance() == owed


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(MONEY, st.sampled_from(["TAX", "NON"])), min_size=1, max_size=6),
    percent=st.integers(0, 100),
    after=st.booleans(),
)
def test_whatever_is_sold_the_sums_hold(rows: list[tuple[Decimal, str]], percent: int, after: bool) -> None:
    made = OFFICE.invoice(
        *[coded(amount, code) for amount, code in rows],
        percent_off(percent),
        ApplyTaxAfterDiscount=after,
        TxnTaxDetail=TUCSON,
    )
    found = tax_lines(made)
    assert sum(tax for *_, tax in found) == made["TxnTaxDetail"]["TotalTax"]
    assert made["TotalAmt"] == net(made) + made["TxnTaxDetail"]["TotalTax"]
    taxable = sum((amount for amount, code in rows if code == "TAX"), start=Decimal(0))
    for rate, percent_of_rate in (("1", Decimal("7.1")), ("2", Decimal(2))):
        base, tax = next((base, tax) for each, base, tax in found if each == rate)
        assert tax == half_up(base * percent_of_rate / 100)
        exact = taxable * (100 - percent) / 100 if after else taxable
        assert abs(base - exact) <= Decimal("0.01") * (len(rows) + 1)


# Automated sales tax


def test_the_engine_adds_tax_and_ignores_codes() -> None:
    office = Office("us-automated")
    made = office.invoice(
        coded(100, "NON", "5"), coded(50, "TAX", "1"), TxnTaxDetail={**TUCSON, "TotalTax": 1}
    )
    assert codes(made) == ["TAX", "NON"]
    assert made["TxnTaxDetail"]["TxnTaxCodeRef"] == {"value": "2"}
    assert tax_lines(made) == [("3", 100, Decimal("6.25")), ("5", 100, Decimal("2.5"))]
    assert made["TotalAmt"] == Decimal("158.75") != net(made)


def test_the_engine_goes_by_the_place() -> None:
    office = Office("us-automated")
    elsewhere = {"Line1": "1 Main St.", "City": "Reno", "CountrySubDivisionCode": "NV", "PostalCode": "89501"}
    tucson = office.invoice(line(100, "5"), CustomerRef={"value": "5"})
    nevada = office.invoice(line(100, "5"), ShipAddr=elsewhere)
    nowhere = office.invoice(line(100, "5"), CustomerRef={"value": "6"})
    assert [each["TxnTaxDetail"]["TotalTax"] for each in (tucson, nevada, nowhere)] == [
        Decimal("8.7"),
        0,
        Decimal("8.75"),
    ]
    assert nevada["TxnTaxDetail"] == {"TotalTax": 0}


@pytest.mark.parametrize(("rule", "tax"), [("ignored", Decimal("8.75")), ("honoured", Decimal(0))])
def test_the_engine_and_the_codes_of_lines(rule: str, tax: Decimal) -> None:
    made = Office("us-automated", automatedTaxCodes=rule).invoice(coded(100, "NON", "5"))
    assert made["TxnTaxDetail"]["TotalTax"] == tax


@pytest.mark.parametrize(("rule", "tax"), [("engine", Decimal("8.75")), ("sent", Decimal("4.2"))])
def test_the_engine_and_a_total_sent(rule: str, tax: Decimal) -> None:
    made = Office("us-automated", automatedTaxTotal=rule).invoice(
        line(100, "5"), TxnTaxDetail={"TotalTax": Decimal("4.20")}
    )
    assert (made["TxnTaxDetail"]["TotalTax"], made["TotalAmt"]) == (tax, 100 + tax)


def test_the_engine_leaves_exempt_customers_alone() -> None:
    made = Office("us-automated").invoice(line(100, "5"), CustomerRef={"value": "2"})
    assert made["TotalAmt"] == 100


# What customers and items say about tax


def test_customers_say_whether_they_are_taxed() -> None:
    office = Office("us-sales-tax")
    made = office.create(CUSTOMER, {"DisplayName": "Museum", "Taxable": False, "TaxExemptionReasonId": "3"})
    assert (made["Taxable"], made["DefaultTaxCodeRef"], made["TaxExemptionReasonId"]) == (
        False,
        {"value": "2"},
        "3",
    )
    body: dict[str, Any] = {"DisplayName": "Other"}
    assert (
        office.code(lambda: office.create(CUSTOMER, {**body, "DefaultTaxCodeRef": {"value": "88"}})) == "2500"
    )
    assert office.code(lambda: office.create(CUSTOMER, {**body, "TaxExemptionReasonId": "16"})) == "2170"


def test_items_say_how_they_are_taxed() -> None:
    office = Office("gst")
    body = {"Name": "Wheelbarrow", "IncomeAccountRef": {"value": "79"}}
    made = office.create(ITEM, {**body, "SalesTaxCodeRef": {"value": "6"}})
    assert (made["Taxable"], made["SalesTaxCodeRef"]) == (True, {"value": "6", "name": "HST ON"})
    refused = office.code(
        lambda: office.create(ITEM, {**body, "Name": "Rake", "SalesTaxCodeRef": {"value": "66"}})
    )
    assert refused == "2500"


OFFICE = Office("us-sales-tax")
