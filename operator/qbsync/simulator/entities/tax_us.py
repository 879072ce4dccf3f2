"""Sales tax of US companies: by hand, one code for the transaction; or by Intuit's engine, by where it is sold."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import TAX_CODE
from qbsync.simulator.entities.money import ZERO, amount, half_up, total
from qbsync.simulator.entities.tax_rates import TaxPart, overridden, rates_of, tax_line
from qbsync.simulator.entities.tax_rules import (
    NON,
    TAX,
    TaxRules,
    after_discount,
    code_on,
    discount,
    item_of,
    put_code,
    sales_lines,
)
from qbsync.simulator.faults import invalid_line_tax_code
from qbsync.simulator.jsoncodec import JsonObject


def by_hand(
    company: Company,
    document: JsonObject,
    customer: Mapping[str, Any],
    sent: Mapping[str, Any],
    rules: TaxRules,
) -> Decimal:
    """Tax by TxnTaxDetail.TxnTaxCodeRef on the lines marked TAX. Raises Refusal 6100, 2500 or 610."""
    _mark_lines(company, document, rules)
    exempt = rules.exempt_untaxed and customer.get("Taxable") is False
    code = str(sent.get("TxnTaxCodeRef", {}).get("value", "")) or _default_code(company, customer, rules)
    if not code:
        document["TxnTaxDetail"] = {"TotalTax": 0}
        return ZERO
    detail = _taxed(company, document, code, exempt=exempt)
    if rules.keep_sent_lines:
        overridden(detail.get("TaxLine", []), sent.get("TaxLine", []))
    return _finished(document, detail)


def automated(
    company: Company,
    document: JsonObject,
    customer: Mapping[str, Any],
    sent: Mapping[str, Any],
    rules: TaxRules,
) -> Decimal:
    """Tax by the engine: whatever code was sent is replaced by that of the place sold to; elsewhere there is none."""
    for line in sales_lines(document["Line"]):
        if not (rules.engine_reads_lines and code_on(line) in (TAX, NON)):
            put_code(line, TAX if item_of(company, line).get("Taxable") else NON)
    code = _code_of_place(company, document)
    exempt = customer.get("Taxable") is False
    detail = _taxed(company, document, code, exempt=exempt) if code else {"TaxLine": []}
    if rules.engine_keeps_total and "TotalTax" in sent:
        document["TxnTaxDetail"] = {**detail, "TotalTax": amount(half_up(Decimal(sent["TotalTax"])))}
        return half_up(Decimal(sent["TotalTax"]))
    return _finished(document, detail)


def _mark_lines(company: Company, document: JsonObject, rules: TaxRules) -> None:
    for line in sales_lines(document["Line"]):
        code = code_on(line)
        if code not in ("", TAX, NON):
            raise invalid_line_tax_code(code)
        if not code:
            taxable = rules.line_by_item and item_of(company, line).get("Taxable")
            put_code(line, TAX if taxable else NON)


def _default_code(company: Company, customer: Mapping[str, Any], rules: TaxRules) -> str:
    if not rules.code_by_customer:
        return ""
    code = str(customer.get("DefaultTaxCodeRef", {}).get("value", ""))
    return code if company.table(TAX_CODE).get(code) is not None else _company_code(company)


def _company_code(company: Company) -> str:
    return str(company.preference("TaxPrefs", "TaxGroupCodeRef", {}).get("value", ""))


def _taxed(company: Company, document: JsonObject, code: str, *, exempt: bool) -> JsonObject:
    net = ZERO if exempt else _taxable(document)
    rates = rates_of(company, code, str(document["TxnDate"]))
    parts = [TaxPart(rate, net, rate.of(net)) for rate in rates]
    return {"TxnTaxCodeRef": {"value": code}, "TaxLine": [tax_line(part) for part in parts]}


def _taxable(document: JsonObject) -> Decimal:
    """What of the lines is taxed: before the discount unless ApplyTaxAfterDiscount."""
    lines = list(sales_lines(document["Line"]))
    amounts = [Decimal(line["Amount"]) for line in lines]
    if document.get("ApplyTaxAfterDiscount") is True:
        amounts = after_discount(amounts, discount(document["Line"]))
    return total(each for each, line in zip(amounts, lines, strict=True) if code_on(line) == TAX)


def _code_of_place(company: Company, document: JsonObject) -> str:
    """The code whose name begins with the state that is shipped or billed to; the company's own without an address."""
    for field in ("ShipAddr", "BillAddr"):
        state = str(document.get(field, {}).get("CountrySubDivisionCode", "")).upper()
        if state:
            return _first_code(company, state)
    return _company_code(company)


def _first_code(company: Company, state: str) -> str:
    names: Sequence[tuple[str, str]] = [
        (str(row.values["Name"]), row.id) for row in company.table(TAX_CODE) if row.active
    ]
    return next((identifier for name, identifier in names if name.upper().split(",")[0] == state), "")


def _finished(document: JsonObject, detail: JsonObject) -> Decimal:
    tax = total(Decimal(line["Amount"]) for line in detail["TaxLine"])
    document["TxnTaxDetail"] = {
        **{name: value for name, value in detail.items() if name == "TxnTaxCodeRef"},
        "TotalTax": amount(tax),
        **({"TaxLine": detail["TaxLine"]} if detail["TaxLine"] else {}),
    }
    return tax
