"""Several currencies: customers have one, their transactions follow, and all of it is counted at home too."""

from decimal import Decimal

import pytest

from qbsync.simulator.entities.currency import default_rate
from qbsync.simulator.entities.kinds import COMPANY_CURRENCY, CUSTOMER, INVOICE, PAYMENT, VENDOR
from qbsync.simulator.entities.money import half_up

from .desk import MOMENT, Desk, line
from .offices import Office

EURO = {"CurrencyRef": {"value": "EUR"}}
LINDENHOF = {"CustomerRef": {"value": "60"}}
ONE_FOREIGN = "Business Validation Error: You can only use one foreign currency per transaction."
INVALID = "Business Validation Error: The currency of the transaction is invalid for customer/vendor/account."


def test_a_company_of_one_currency_has_no_others() -> None:
    desk = Desk()
    made = desk.invoice(CurrencyRef={"value": "USD"}, ExchangeRate=1)
    assert made["CurrencyRef"] == {"value": "USD", "name": "United States Dollar"}
    assert not {"ExchangeRate", "HomeTotalAmt", "HomeBalance"} & made.keys()
    assert desk.refused(**EURO)[0] == "6000"
    assert desk.code(lambda: desk.create(CUSTOMER, {"DisplayName": "x", **EURO})) == "6000"
    assert desk.code(lambda: desk.create(COMPANY_CURRENCY, {"Code": "EUR"})) == "6000"


def test_a_transaction_is_in_its_customer_s_currency() -> None:
    office = Office("multicurrency")
    made = office.invoice(**LINDENHOF, **EURO, ExchangeRate=Decimal("1.25"))
    assert made["CurrencyRef"] == {"value": "EUR", "name": "Euro"}
    assert (made["ExchangeRate"], made["TotalAmt"], made["HomeTotalAmt"], made["HomeBalance"]) == (
        Decimal("1.25"),
        100,
        125,
        125,
    )


def test_a_rate_left_out_is_the_table_s_and_home_is_always_one() -> None:
    office = Office("multicurrency")
    made = office.invoice(**LINDENHOF)
    assert made["ExchangeRate"] == default_rate("EUR", "USD") == Decimal("1.1652")
    assert made["HomeTotalAmt"] == Decimal("116.52")
    assert office.invoice(ExchangeRate=7)["ExchangeRate"] == 1
    assert office.refused(**LINDENHOF, ExchangeRate=-1)[0] == "6000"


@pytest.mark.parametrize(("source", "home"), [("EUR", "USD"), ("USD", "CAD"), ("GBP", "EUR")])
def test_rates_and_their_reverse(source: str, home: str) -> None:
    assert abs(default_rate(source, home) * default_rate(home, source) - 1) < Decimal("0.00001")


@pytest.mark.parametrize(("form", "text"), [("oneForeign", ONE_FOREIGN), ("invalidCurrency", INVALID)])
def test_another_currency_than_the_customer_s(form: str, text: str) -> None:
    office = Office("multicurrency", currencyMismatch=form)
    assert office.refused(**LINDENHOF, CurrencyRef={"value": "GBP"}) == ("6000", text)
    assert office.refused(**EURO) == ("6000", text)


def test_a_currency_left_out() -> None:
    assert Office("multicurrency").invoice(**LINDENHOF)["CurrencyRef"]["value"] == "EUR"
    strict = Office("multicurrency")
    strict.switches.put({"currencyOmitted": "home"})
    assert strict.refused(**LINDENHOF) == ("6000", ONE_FOREIGN)
    assert strict.invoice()["CurrencyRef"]["value"] == "USD"


def test_a_customer_s_currency_is_one_of_the_company_s_and_stays() -> None:
    office = Office("multicurrency")
    made = office.create(CUSTOMER, {"DisplayName": "Atelier", **EURO})
    assert made["CurrencyRef"] == {"value": "EUR", "name": "Euro"}
    for code in ("SEK", "JPY"):  # not of the company's, and one made inactive
        body = {"DisplayName": "x", "CurrencyRef": {"value": code}}
        assert office.code(lambda body=body: office.create(CUSTOMER, body)) == "2500"
        assert office.code(lambda body=body: office.create(VENDOR, body)) == "2500"
    assert office.code(lambda: office.update(CUSTOMER, made, CurrencyRef={"value": "GBP"})) == "6000"
    kept = office.update(CUSTOMER, made, Notes="by hand", **EURO)
    assert kept["CurrencyRef"]["value"] == "EUR"


def test_a_payment_is_in_the_invoice_s_currency() -> None:
    office = Office("multicurrency")
    owed = office.balance("60")
    bill = office.invoice(**LINDENHOF)
    paid = office.payment(40, (bill["Id"], 40), **LINDENHOF)
    assert (paid["CurrencyRef"]["value"], paid["ExchangeRate"]) == ("EUR", Decimal("1.1652"))
    after = office.read(bill["Id"])
    assert (after["Balance"], after["HomeBalance"]) == (60, half_up(60 * Decimal("1.1652")))
    assert office.balance("60") == owed + 60
    refused = office.code(
        lambda: office.payment(60, (bill["Id"], 60), **LINDENHOF, CurrencyRef={"value": "USD"})
    )
    assert refused == "6000"


def test_a_payment_by_hand_and_a_void_move_the_home_amounts_too() -> None:
    office = Office("multicurrency")
    bill = office.invoice(**LINDENHOF)
    after, payment = office.ledger.pay(office.company, bill["Id"], None, MOMENT)
    assert (after.document()["HomeBalance"], payment.document()["CurrencyRef"]["value"]) == (0, "EUR")
    other = office.invoice(**LINDENHOF)
    voided = office.ledger.void_by_hand(office.company, other["Id"], MOMENT).document()
    assert (voided["TotalAmt"], voided["HomeTotalAmt"], voided["HomeBalance"]) == (0, 0, 0)


def test_a_change_of_the_rate_counts_anew() -> None:
    office = Office("multicurrency")
    bill = office.invoice(**LINDENHOF)
    changed = office.update(INVOICE, bill, ExchangeRate=2)
    assert (changed["ExchangeRate"], changed["HomeTotalAmt"]) == (2, 200)
    assert office.update(INVOICE, changed, Line=[line(50)])["HomeTotalAmt"] == 100


def test_the_company_s_currencies() -> None:
    office = Office("multicurrency")
    made = office.create(COMPANY_CURRENCY, {"Code": "sek"})
    assert (made["Code"], made["Name"], made["Active"]) == ("SEK", "Swedish Krona", True)
    for code, fault in (("SEK", "6240"), ("USD", "6240"), ("XYZ", "2170")):
        assert office.code(lambda code=code: office.create(COMPANY_CURRENCY, {"Code": code})) == fault
    assert office.code(lambda: office.update(COMPANY_CURRENCY, made, Code="NOK")) == "6000"
    assert office.code(lambda: office.create(COMPANY_CURRENCY, {"Name": "Ducat"})) == "2020"
    office.update(COMPANY_CURRENCY, made, Active=False)
    refused = office.code(
        lambda: office.create(CUSTOMER, {"DisplayName": "x", "CurrencyRef": {"value": "SEK"}})
    )
    assert refused == "2500"


def test_payments_of_the_sample_are_in_place() -> None:
    office = Office("multicurrency")
    paid = office.read("133")
    assert (paid["CurrencyRef"]["value"], paid["Balance"], paid["HomeBalance"]) == ("GBP", 0, 0)
    assert office.read(paid["LinkedTxn"][0]["TxnId"], PAYMENT)["CurrencyRef"]["value"] == "GBP"
