"""Tax and foreign currencies through an invoice's whole life: changed, paid, voided, deleted."""

from decimal import Decimal
from typing import Any

import pytest

from qbsync.simulator.entities.kinds import CREDIT_MEMO, INVOICE, PAYMENT
from qbsync.simulator.entities.money import half_up

from .desk import MOMENT, Desk, line

FOREIGN = {"CustomerRef": {"value": "60"}, "CurrencyRef": {"value": "EUR"}, "ExchangeRate": Decimal("1.25")}


def test_home_amounts_follow_a_foreign_invoice() -> None:
    desk = Desk(like="multicurrency")
    before = desk.balance("60")
    made = desk.invoice(line("100.10"), **FOREIGN)
    assert (made["HomeTotalAmt"], made["HomeBalance"]) == (Decimal("125.13"), Decimal("125.13"))
    assert desk.balance("60") == before + Decimal("100.10")
    paid = desk.payment(40, (made["Id"], 40), **FOREIGN)
    assert paid["CurrencyRef"]["value"] == "EUR"
    after = desk.read(made["Id"])
    assert after["HomeBalance"] == half_up(Decimal("60.10") * Decimal("1.25"))
    changed = desk.update(INVOICE, after, Line=[line(200)])
    assert (changed["HomeTotalAmt"], changed["HomeBalance"]) == (250, 200)
    assert changed["ExchangeRate"] == Decimal("1.25")
    desk.ledger.delete(desk.company, PAYMENT, desk.read(paid["Id"], PAYMENT), MOMENT)
    assert desk.read(made["Id"])["HomeBalance"] == 250
    voided = desk.ledger.void(desk.company, INVOICE, desk.read(made["Id"]), MOMENT).document()
    assert (voided["HomeTotalAmt"], voided["HomeBalance"], voided["TotalAmt"]) == (0, 0, 0)
    assert desk.balance("60") == before


def test_the_currency_of_an_invoice_stays() -> None:
    desk = Desk(like="multicurrency")
    made = desk.invoice(line(100), **FOREIGN)
    assert desk.code(lambda: desk.update(INVOICE, made, CurrencyRef={"value": "USD"})) == "6000"
    assert desk.code(lambda: desk.update(INVOICE, made, CustomerRef={"value": "61"})) == "6000"
    assert desk.code(lambda: desk.payment(10, (made["Id"], 10))) == "6000"


@pytest.mark.parametrize("calculation", ["TaxExcluded", "TaxInclusive"])
@pytest.mark.parametrize("kind", [INVOICE, CREDIT_MEMO])
def test_an_update_counts_the_tax_as_before(calculation: str, kind: Any) -> None:
    desk = Desk(like="gst")
    lines = [
        line(Decimal("90.30"), TaxCodeRef={"value": "6"}, Qty=3, UnitPrice=Decimal("30.10")),
        line(Decimal("19.99"), TaxCodeRef={"value": "5"}),
    ]
    body = {"CustomerRef": {"value": "1"}, "Line": lines, "GlobalTaxCalculation": calculation}
    made = desk.create(kind, body)
    assert made["TxnTaxDetail"]["TotalTax"] > 0
    shown = made["TotalAmt"], made["Line"], made["TxnTaxDetail"]
    noted = desk.update(kind, made, PrivateNote="x")
    assert (noted["TotalAmt"], noted["Line"], noted["TxnTaxDetail"]) == shown
    back = desk.ledger.update(desk.company, kind, dict(noted), MOMENT).document()
    assert (back["TotalAmt"], back["Line"], back["TxnTaxDetail"]) == shown
    doubled = desk.update(kind, back, Line=[lines[0], lines[0], lines[1]])
    assert doubled["TotalAmt"] > made["TotalAmt"]
    assert doubled["Balance"] == doubled["TotalAmt"]


def test_a_total_with_tax_is_lines_less_discounts_and_tax() -> None:
    desk = Desk(like="gst")
    discount = {
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": {"PercentBased": True, "DiscountPercent": 10},
    }
    made = desk.invoice(
        line(Decimal("200"), TaxCodeRef={"value": "5"}), discount, GlobalTaxCalculation="TaxExcluded"
    )
    tax = made["TxnTaxDetail"]["TotalTax"]
    assert tax > 0
    assert made["TotalAmt"] == 200 - 20 + tax
    voided = desk.ledger.void_by_hand(desk.company, made["Id"], MOMENT).document()
    assert voided["TxnTaxDetail"] == {"TotalTax": 0}
    assert [each["Amount"] for each in voided["Line"]] == [0, 0, 0]


def test_an_automated_company_taxes_what_the_client_did_not() -> None:
    desk = Desk(like="us-automated")
    made = desk.invoice(line(100, item="5"))
    assert made["TotalAmt"] == made["Balance"] == 100 + made["TxnTaxDetail"]["TotalTax"] > 100
    noted = desk.update(INVOICE, made, PrivateNote="x")
    assert (noted["TotalAmt"], noted["Line"]) == (made["TotalAmt"], made["Line"])
