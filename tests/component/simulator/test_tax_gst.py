"""A tax code on every line: GST, HST, PST and QST of a Canadian company, prices without tax and with it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.simulator.entities.kinds import (
    CREDIT_MEMO,
    CUSTOMER,
    INVOICE,
    ITEM,
    SALES_RECEIPT,
    TAX_RATE,
    Kind,
)
from qbsync.simulator.entities.money import half_up

from .desk import line
from .offices import Office, coded, codes, discount, net, percent_off, tax_lines

MISSING = "Business Validation Error: Make sure all your transactions have a GST/HST rate before you save."
RATES = {
    "2": {"7": Decimal(0)},
    "3": {"6": Decimal(0)},
    "5": {"1": Decimal(5)},
    "6": {"2": Decimal(13)},
    "8": {"1": Decimal(5), "4": Decimal(7)},
    "9": {"1": Decimal(5), "5": Decimal("9.975")},
}
CENT = Decimal("0.01")
MONEY = st.decimals(min_value="0.01", max_value="99999.99", places=2)
ROWS = st.lists(st.tuples(MONEY, st.sampled_from(sorted(RATES))), min_size=1, max_size=6)
OFFICE = Office("gst")


def excluded(*lines: dict[str, Any], office: Office = OFFICE, **fields: Any) -> dict[str, Any]:
    return office.invoice(*lines, GlobalTaxCalculation="TaxExcluded", **fields)


def inclusive(*lines: dict[str, Any], office: Office = OFFICE, **fields: Any) -> dict[str, Any]:
    return office.invoice(*lines, GlobalTaxCalculation="TaxInclusive", **fields)


def priced(price: Decimal, code: str) -> dict[str, Any]:
    """A line by its price with tax; its Amount is only what the client reckons."""
    return coded(price, code, TaxInclusiveAmt=price)


def test_a_tax_line_per_rate_and_none_twice() -> None:
    made = excluded(coded(100, "8"), coded(50, "5"), coded(10, "3"))
    assert tax_lines(made) == [("1", 150, Decimal("7.5")), ("4", 100, 7), ("6", 10, 0)]
    assert (made["TxnTaxDetail"]["TotalTax"], made["TotalAmt"]) == (Decimal("14.5"), Decimal("174.5"))
    assert "TxnTaxCodeRef" not in made["TxnTaxDetail"]


def test_half_a_cent_goes_up() -> None:
    made = excluded(coded("0.50", "5"), coded("1100.00", "9"))
    assert tax_lines(made) == [
        ("1", Decimal("1100.5"), Decimal("55.03")),
        ("5", 1100, Decimal("109.73")),
    ]


def test_a_discount_comes_off_before_tax() -> None:
    made = excluded(coded(100, "6"), percent_off(20), ApplyTaxAfterDiscount=False)
    assert tax_lines(made) == [("2", 80, Decimal("10.4"))]
    assert made["TotalAmt"] == Decimal("90.4")


def test_prices_with_tax_as_recorded() -> None:
    """fixtures: invoice_with_bundle_line_item.xml. 9.00 and 3.00 with 13%, 20% off: 8.49 + 1.11 = 9.60."""
    made = inclusive(priced(Decimal(9), "6"), priced(Decimal(3), "6"), percent_off(20))
    amounts = [each["Amount"] for each in made["Line"]]
    assert amounts == [Decimal("7.96"), Decimal("2.65"), Decimal("10.61"), Decimal("2.12")]
    assert tax_lines(made) == [("2", Decimal("8.49"), Decimal("1.11"))]
    assert (made["TxnTaxDetail"]["TotalTax"], made["TotalAmt"]) == (Decimal("1.11"), Decimal("9.6"))


def test_the_unit_price_becomes_net_too() -> None:
    """Recorded: 15 at 0.5306667 are 7.96, 24 at 0.1104167 are 2.65."""
    made = inclusive(
        coded("9.00", "6", Qty=15, UnitPrice=Decimal("0.60"), TaxInclusiveAmt=9),
        coded("3.00", "6", Qty=24, UnitPrice=Decimal("0.125"), TaxInclusiveAmt=3),
    )
    details = [each["SalesItemLineDetail"] for each in made["Line"][:2]]
    assert [each["UnitPrice"] for each in details] == [Decimal("0.5306667"), Decimal("0.1104167")]
    assert [each["TaxInclusiveAmt"] for each in details] == [9, 3]


def test_what_was_made_can_be_sent_back_unchanged() -> None:
    office = Office("gst")
    made = inclusive(coded(9, "9", Qty=15, UnitPrice=Decimal("0.60"), TaxInclusiveAmt=9), office=office)
    again = office.update(INVOICE, made, Line=made["Line"])
    assert (again["Line"], again["TxnTaxDetail"]) == (made["Line"], made["TxnTaxDetail"])
    untouched = office.update(INVOICE, again, PrivateNote="no word of tax")
    assert (untouched["Line"], untouched["TxnTaxDetail"]) == (made["Line"], made["TxnTaxDetail"])


def test_from_prices_with_tax_to_prices_without() -> None:
    office = Office("gst")
    made = inclusive(priced(Decimal(113), "6"), office=office)
    changed = office.update(INVOICE, made, GlobalTaxCalculation="TaxExcluded")
    assert "TaxInclusiveAmt" not in changed["Line"][0]["SalesItemLineDetail"]
    assert (changed["Line"][0]["Amount"], changed["TotalAmt"]) == (100, 113)


@pytest.mark.parametrize("kind", [CREDIT_MEMO, SALES_RECEIPT], ids=lambda kind: kind.name)
def test_other_sales_forms_are_taxed_alike(kind: Kind) -> None:
    body = {"CustomerRef": {"value": "1"}, "Line": [coded(100, "9")], "GlobalTaxCalculation": "TaxExcluded"}
    made = Office("gst").create(kind, body)
    assert tax_lines(made) == [("1", 100, 5), ("5", 100, Decimal("9.98"))]
    assert made["TotalAmt"] == Decimal("114.98")


def test_the_lines_of_a_bundle_are_taxed() -> None:
    office = Office("gst")
    members = [{"ItemRef": {"value": each}, "Qty": 1} for each in ("3", "4")]
    kit = office.create(ITEM, {"Name": "Kit", "Type": "Group", "ItemGroupDetail": {"ItemGroupLine": members}})
    group = {
        "GroupItemRef": {"value": kit["Id"]},
        "Line": [coded("9.00", "6", "3"), coded("3.00", "6", "4")],
    }
    made = excluded({"DetailType": "GroupLineDetail", "GroupLineDetail": group}, office=office)
    assert tax_lines(made) == [("2", 12, Decimal("1.56"))]
    assert made["TotalAmt"] == Decimal("13.56")


@pytest.mark.parametrize(("rule", "total"), [("net", 113), ("gross", 100)])
def test_an_amount_alone_is_without_tax_or_with_it(rule: str, total: int) -> None:
    made = inclusive(coded(100, "6"), office=Office("gst", inclusiveAmounts=rule))
    assert made["TotalAmt"] == total
    assert made["Line"][0]["SalesItemLineDetail"]["TaxInclusiveAmt"] == total


def test_not_applicable_has_no_codes_and_no_tax() -> None:
    made = OFFICE.invoice(coded(100, "6"), line(50), GlobalTaxCalculation="NotApplicable")
    assert (made["TxnTaxDetail"], made["TotalAmt"], codes(made)) == ({"TotalTax": 0}, 150, [None, None])


@pytest.mark.parametrize("method", ["TaxExcluded", "TaxInclusive"])
def test_a_line_without_code_is_refused(method: str) -> None:
    assert Office("gst").refused(line(100), GlobalTaxCalculation=method) == ("6000", MISSING)


def test_a_line_without_code_takes_its_item_s_or_its_customer_s() -> None:
    office = Office("gst", missingTaxCode="default")
    made = excluded(line(100, "5"), line(100, "2"), office=office, CustomerRef={"value": "3"})
    assert codes(made) == ["3", "9"]
    assert office.code(lambda: excluded(line(100, "2"), office=office, CustomerRef={"value": "5"})) == "610"


def test_without_a_default_either_it_is_refused() -> None:
    office = Office("gst", missingTaxCode="default")
    nobody = office.create(CUSTOMER, {"DisplayName": "Nobody's customer"})
    refused = office.refused(
        line(100, "2"), GlobalTaxCalculation="TaxExcluded", CustomerRef={"value": nobody["Id"]}
    )
    assert refused == ("6000", MISSING)


def test_without_a_method_it_is_refused_or_taken_for_excluded() -> None:
    assert Office("gst").refused(coded(100, "6")) == ("6000", MISSING)
    made = Office("gst", missingTaxCalculation="excluded").invoice(coded(100, "6"))
    assert (made["GlobalTaxCalculation"], made["TotalAmt"]) == ("TaxExcluded", 113)


@pytest.mark.parametrize(("code", "fault"), [("TAX", "2500"), ("77", "2500"), ("10", "610")])
def test_codes_that_cannot_be_used(code: str, fault: str) -> None:
    assert Office("gst").refused(coded(1, code), GlobalTaxCalculation="TaxExcluded")[0] == fault


@pytest.mark.parametrize(("dated", "tax"), [("2025-03-31", 15), ("2025-04-01", 14), ("2026-11-23", 14)])
def test_a_rate_is_that_of_the_day(dated: str, tax: int) -> None:
    made = excluded(coded(100, "7"), TxnDate=dated)
    assert made["TxnTaxDetail"]["TotalTax"] == tax


@pytest.mark.parametrize(
    ("country", "word"), [("AU", "GST"), ("GB", "VAT"), ("CA", "GST/HST"), ("NZ", "GST")]
)
def test_every_country_has_its_word(country: str, word: str) -> None:
    office = Office("gst")
    info = {**office.company.info, "Country": country}
    office.company.tables["CompanyInfo"].put(info, visible_at=0)
    detail = office.refused(line(1), GlobalTaxCalculation="TaxExcluded")[1]
    assert detail.endswith(f"have a {word} rate before you save.")


def test_a_code_with_no_rates_is_outside_of_tax() -> None:
    made = excluded(coded(100, "4"))
    assert (made["TxnTaxDetail"], codes(made)) == ({"TotalTax": 0}, ["4"])


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, off=st.integers(0, 100))
def test_without_tax_in_the_price_the_sums_hold(rows: list[tuple[Decimal, str]], off: int) -> None:
    made = excluded(*[coded(amount, code) for amount, code in rows], percent_off(off))
    check_sums(made)
    for rate, base, tax in tax_lines(made):
        assert tax == half_up(base * percent_of(rate) / 100)


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, off=st.integers(0, 100))
def test_with_tax_in_the_price_the_prices_are_the_total(rows: list[tuple[Decimal, str]], off: int) -> None:
    made = inclusive(*[priced(amount, code) for amount, code in rows], percent_off(off))
    check_sums(made)
    prices = sum((amount for amount, _ in rows), start=Decimal(0))
    assert made["TotalAmt"] == prices - half_up(prices * off / 100)
    # Each line's net is rounded by itself, and the discount once more: what that moves is in the tax.
    bound = CENT * (len(rows) + 1)
    for rate, base, tax in tax_lines(made):
        assert abs(tax - base * percent_of(rate) / 100) <= bound


@settings(deadline=None, max_examples=60)
@given(price=MONEY, code=st.sampled_from(sorted(RATES)))
def test_both_ways_agree_within_a_cent_a_rate(price: Decimal, code: str) -> None:
    with_tax = inclusive(priced(price, code))
    without = excluded(coded(with_tax["Line"][0]["Amount"], code))
    for (rate, base, tax), (same_rate, same_base, other) in zip(
        tax_lines(with_tax), tax_lines(without), strict=True
    ):
        assert (rate, base) == (same_rate, same_base)
        assert abs(tax - other) <= CENT


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, off=MONEY)
def test_a_discount_of_an_amount_is_lost_nowhere(rows: list[tuple[Decimal, str]], off: Decimal) -> None:
    lines = [coded(amount, code) for amount, code in rows]
    off = min(off, sum((amount for amount, _ in rows), start=Decimal(0)))
    for method in ("TaxExcluded", "TaxInclusive"):
        made = OFFICE.invoice(*lines, discount(off), GlobalTaxCalculation=method)
        check_sums(made)
        assert made["Line"][-1]["Amount"] == off


def check_sums(made: dict[str, Any]) -> None:
    assert sum(tax for *_, tax in tax_lines(made)) == made["TxnTaxDetail"]["TotalTax"]
    assert made["TotalAmt"] == made["Balance"] == net(made) + made["TxnTaxDetail"]["TotalTax"]
    shares = [base for _, base, _ in tax_lines(made)]
    assert all(each >= 0 for each in shares)


def percent_of(rate: str) -> Decimal:
    return Decimal(OFFICE.record(TAX_RATE, rate).document()["RateValue"])
