"""Tax on sales: what QuickBooks adds to a transaction, by the company's preferences and its tax codes.

Three kinds of companies: US ones whose people choose one code for a transaction and TAX or NON per line, US ones whose
tax Intuit's own engine works out (automated sales tax), and those of the rest of the world with a code on every line.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities import tax_gst, tax_us
from qbsync.simulator.entities.kinds import TAX_CODE
from qbsync.simulator.entities.money import ZERO
from qbsync.simulator.entities.tax_rules import NON, TaxRules, is_us, put_code, sales_lines
from qbsync.simulator.faults import invalid_enumeration, invalid_reference
from qbsync.simulator.jsoncodec import JsonObject

_EXEMPTION_REASONS = frozenset(str(number) for number in range(1, 16))


def apply_tax(
    company: Company,
    document: JsonObject,
    *,
    customer: Mapping[str, Any],
    sent: Mapping[str, Any] | None,
    rules: TaxRules,
) -> Decimal:
    """Set TxnTaxDetail and the tax codes of the lines; the tax to be added to lines minus discounts.

    Called between the lines and TotalAmt, with Line, CustomerRef, TxnDate and GlobalTaxCalculation in place.
    Where prices include tax, Amounts become net, and TaxInclusiveAmt keeps the price. `sent` is the request's
    TxnTaxDetail: {} if it has none, None in a sparse update that leaves it out. Raises Refusal 6000, 6100 or 2500.
    """
    us = is_us(company)
    if not uses_tax(company):
        return _none(document, us=us)
    detail = _kept(document) if sent is None else sent
    if not us:
        return tax_gst.by_line(company, document, customer, detail, rules)
    document.pop("GlobalTaxCalculation", None)
    if company.preference("TaxPrefs", "PartnerTaxEnabled") is True:
        return tax_us.automated(company, document, customer, detail, rules)
    return tax_us.by_hand(company, document, customer, detail, rules)


def uses_tax(company: Company) -> bool:
    """Whether the company charges sales tax; where not, TxnTaxDetail is ignored (Intuit's reference)."""
    return company.preference("TaxPrefs", "UsingSalesTax") is True


def customer_tax(company: Company, body: Mapping[str, Any]) -> JsonObject:
    """The fields of a customer that say how it is taxed. Raises Refusal 2500 or 2170."""
    reason = body.get("TaxExemptionReasonId")
    if reason is not None and str(reason) not in _EXEMPTION_REASONS:
        raise invalid_enumeration("TaxExemptionReasonId", str(reason))
    fields: JsonObject = {"Taxable": body.get("Taxable", True)}
    sent = body.get("DefaultTaxCodeRef", {}).get("value")
    if sent:
        if uses_tax(company) and company.table(TAX_CODE).get(str(sent)) is None:
            raise invalid_reference(TAX_CODE.family, str(sent))
        fields["DefaultTaxCodeRef"] = {"value": str(sent)}
    elif is_us(company):
        own = company.preference("TaxPrefs", "TaxGroupCodeRef", {}).get("value", "2")
        fields["DefaultTaxCodeRef"] = {"value": own}
    return fields


def item_tax(company: Company, body: Mapping[str, Any]) -> JsonObject:
    """The fields of an item that say how it is taxed. Raises Refusal 2500."""
    fields: JsonObject = {"Taxable": body.get("Taxable", False)}
    for field in ("SalesTaxCodeRef", "PurchaseTaxCodeRef"):
        sent = body.get(field, {}).get("value")
        if sent:
            record = company.table(TAX_CODE).get(str(sent))
            if record is None:
                raise invalid_reference(TAX_CODE.family, str(sent))
            fields[field] = {"value": record.id, "name": record.values["Name"]}
    if not is_us(company) and "SalesTaxCodeRef" in fields:
        fields["Taxable"] = True
    return fields


def _none(document: JsonObject, *, us: bool) -> Decimal:
    """UsingSalesTax false: US lines all carry NON (recorded), others none."""
    for line in sales_lines(document["Line"]):
        line["SalesItemLineDetail"].pop("TaxInclusiveAmt", None)
        if us:
            put_code(line, NON)
        else:
            line["SalesItemLineDetail"].pop("TaxCodeRef", None)
    document.pop("GlobalTaxCalculation", None)
    document["TxnTaxDetail"] = {"TotalTax": 0}
    return ZERO


def _kept(document: Mapping[str, Any]) -> JsonObject:
    """Of the tax a transaction had, what a change that does not speak of tax leaves: its code."""
    before = document.get("TxnTaxDetail", {})
    return {"TxnTaxCodeRef": before["TxnTaxCodeRef"]} if "TxnTaxCodeRef" in before else {}
