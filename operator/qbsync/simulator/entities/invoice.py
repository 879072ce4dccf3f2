"""Invoices: due dates, deposits, what is still to be paid."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from qbsync.simulator.entities import sales
from qbsync.simulator.entities.checks import referred
from qbsync.simulator.entities.currency import put_home_amounts
from qbsync.simulator.entities.kinds import INVOICE, TERM
from qbsync.simulator.entities.lists import due_date
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, amount
from qbsync.simulator.faults import business_rule
from qbsync.simulator.jsoncodec import JsonObject

_DEFAULT_TERM_DAYS = 30
_ONLINE = ("AllowIPNPayment", "AllowOnlinePayment", "AllowOnlineCreditCardPayment", "AllowOnlineACHPayment")


def build(making: Making, body: JsonObject) -> JsonObject:
    """An invoice, new or changed. Raises Refusal.

    Balance may come out below 0 where a total shrinks below what has been paid: whoever keeps the links decides.
    """
    customer = sales.check(making, body)
    document = sales.build_form(making, INVOICE, body, customer)
    document.update({name: body.get(name, False) for name in _ONLINE})
    document["DueDate"] = _due_date(making, document, body, customer)
    _check_deposit(making, document)
    paid = applied(making.before) if making.before is not None else ZERO
    document["Balance"] = amount(Decimal(document["TotalAmt"]) - sales.deposit(document) - paid)
    put_home_amounts(making.company, document)
    return sales.arranged(document)


def applied(document: Mapping[str, Any]) -> Decimal:
    """What payments and credits have paid of an invoice."""
    return Decimal(document["TotalAmt"]) - sales.deposit(document) - Decimal(document["Balance"])


def _check_deposit(making: Making, document: JsonObject) -> None:
    taken = sales.deposit(document)
    if taken == 0:
        return
    if making.company.preference("SalesFormsPrefs", "AllowDeposit") is not True:
        raise business_rule("Deposits are not allowed on this company's sales forms")
    if not 0 < taken <= Decimal(document["TotalAmt"]):
        raise business_rule(f"The deposit must be more than 0 and not more than {document['TotalAmt']}")


def _due_date(making: Making, document: JsonObject, body: JsonObject, customer: JsonObject) -> str:
    if "DueDate" in body:
        return str(body["DueDate"])
    try:
        return _due(making, date.fromisoformat(document["TxnDate"]), document, customer).isoformat()
    except (OverflowError, ValueError):
        return str(document["TxnDate"])


def _due(making: Making, dated: date, document: Mapping[str, Any], customer: Mapping[str, Any]) -> date:
    """By the invoice's own terms, else the customer's, else the company's."""
    company = making.company
    own = document.get("SalesTermRef")
    if own is not None:
        return due_date(referred(company, TERM, own, inactive_code=making.inactive_code).document(), dated)
    usual = customer.get("SalesTermRef") or company.preference("SalesFormsPrefs", "DefaultTerms", {})
    term = company.table(TERM).get(str(usual.get("value", "")))
    return dated + timedelta(days=_DEFAULT_TERM_DAYS) if term is None else due_date(term.document(), dated)
