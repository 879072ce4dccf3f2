"""GST, HST, VAT: a tax code on every line, prices without tax or with it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.money import (
    ZERO,
    amount,
    half_up,
    product,
    quantity,
    ratio,
    total,
)
from qbsync.simulator.entities.tax_rates import (
    Rate,
    TaxPart,
    combined,
    merged,
    overridden,
    rates_of,
    shared_out,
    tax_line,
)
from qbsync.simulator.entities.tax_rules import (
    TaxRules,
    after_discount,
    code_on,
    country,
    discount,
    item_of,
    put_code,
    sales_lines,
)
from qbsync.simulator.faults import Refusal, business_rule
from qbsync.simulator.jsoncodec import JsonObject

_TAX_WORDS = {"CA": "GST/HST", "GB": "VAT", "IE": "VAT", "FR": "VAT", "ZA": "VAT", "AE": "VAT"}
_CENT = Decimal("0.01")
_PRICE_PLACES = Decimal("0.0000001")


def by_line(
    company: Company,
    document: JsonObject,
    customer: Mapping[str, Any],
    sent: Mapping[str, Any],
    rules: TaxRules,
) -> Decimal:
    """Tax by the lines' codes. Raises Refusal 6000 for a line without one, 2500 or 610 for a code of no use."""
    method = document.get("GlobalTaxCalculation")
    if method is None:
        if rules.missing_calculation_refused:
            raise _no_rate(company)
        document["GlobalTaxCalculation"] = method = "TaxExcluded"
    lines = list(sales_lines(document["Line"]))
    if method == "NotApplicable":
        return _untaxed(document, lines)
    rates = [_rates(company, line, customer, str(document["TxnDate"]), rules) for line in lines]
    inclusive = method == "TaxInclusive"
    parts = _included(document, lines, rates, rules) if inclusive else _added(document, lines, rates)
    found = [tax_line(part) for part in parts]
    kept = overridden(found, sent.get("TaxLine", [])) if rules.keep_sent_lines else found
    tax = total(Decimal(line["Amount"]) for line in kept)
    document["TxnTaxDetail"] = {"TotalTax": amount(tax), **({"TaxLine": kept} if kept else {})}
    return tax


def _untaxed(document: JsonObject, lines: Sequence[JsonObject]) -> Decimal:
    for line in lines:
        line["SalesItemLineDetail"].pop("TaxCodeRef", None)
        line["SalesItemLineDetail"].pop("TaxInclusiveAmt", None)
    document["TxnTaxDetail"] = {"TotalTax": 0}
    return ZERO


def _rates(
    company: Company, line: JsonObject, customer: Mapping[str, Any], dated: str, rules: TaxRules
) -> Sequence[Rate]:
    """The rates of a line's code; without one, of its item's or its customer's, if the switch allows."""
    code = code_on(line)
    if not code and not rules.missing_code_refused:
        defaults = (item_of(company, line).get("SalesTaxCodeRef"), customer.get("DefaultTaxCodeRef"))
        code = next((str(each["value"]) for each in defaults if each), "")
    if not code:
        raise _no_rate(company)
    put_code(line, code)
    return rates_of(company, code, dated)


def _added(
    document: JsonObject, lines: Sequence[JsonObject], rates: Sequence[Sequence[Rate]]
) -> Sequence[TaxPart]:
    """Prices without tax: per rate, what its lines come to after the discount, rounded once (recorded)."""
    for line in lines:
        line["SalesItemLineDetail"].pop("TaxInclusiveAmt", None)
    nets = after_discount([Decimal(line["Amount"]) for line in lines], discount(document["Line"]))
    parts = merged(
        [TaxPart(rate, net, ZERO) for net, of_line in zip(nets, rates, strict=True) for rate in of_line]
    )
    return [TaxPart(part.rate, part.net, part.rate.of(part.net)) for part in parts]


def _included(
    document: JsonObject, lines: Sequence[JsonObject], rates: Sequence[Sequence[Rate]], rules: TaxRules
) -> Sequence[TaxPart]:
    """Prices with tax: each line's net is rounded by itself, and the tax is what is left to the prices (recorded)."""
    prices = [_price(line, combined(of_line), rules) for line, of_line in zip(lines, rates, strict=True)]
    for line, of_line, price in zip(lines, rates, prices, strict=True):
        _make_net(line, price, combined(of_line))
    nets = [Decimal(line["Amount"]) for line in lines]
    off_price, off_net = _discounts(document, total(prices), total(nets))
    tax = (total(prices) - off_price) - (total(nets) - off_net)
    parts = merged(
        [
            TaxPart(rate, net, ZERO)
            for net, of_line in zip(after_discount(nets, off_net), rates, strict=True)
            for rate in of_line
        ]
    )
    return shared_out(tax, parts)


def _price(line: JsonObject, factor: Decimal, rules: TaxRules) -> Decimal:
    """A line with its tax: TaxInclusiveAmt where it is sent, else by the switch Amount itself, or Amount and tax."""
    sent = Decimal(line["SalesItemLineDetail"].get("TaxInclusiveAmt", 0))
    if sent:
        return half_up(sent)
    own = half_up(Decimal(line["Amount"]))
    return own if rules.amounts_are_gross else half_up(product(own, factor))


def _make_net(line: JsonObject, price: Decimal, factor: Decimal) -> None:
    detail = line["SalesItemLineDetail"]
    net = ratio(price, factor, _CENT)
    sold = Decimal(detail.get("Qty", 0))
    if "UnitPrice" in detail and sold and net != Decimal(line["Amount"]):
        detail["UnitPrice"] = quantity(ratio(net, sold, _PRICE_PLACES))
    line["Amount"] = amount(net)
    detail["TaxInclusiveAmt"] = amount(price)


def _discounts(document: JsonObject, prices: Decimal, nets: Decimal) -> tuple[Decimal, Decimal]:
    """What the discounts take off the prices, and off their net; their own Amounts become net."""
    off_price = off_net = ZERO
    for line in document["Line"]:
        if line.get("DetailType") != "DiscountLineDetail":
            continue
        detail = line.get("DiscountLineDetail", {})
        if detail.get("PercentBased") and "DiscountPercent" in detail:
            share = product(Decimal(detail["DiscountPercent"]), _CENT)
            net, price = half_up(product(nets, share)), half_up(product(prices, share))
        elif nets and prices:
            net = half_up(Decimal(line["Amount"]))
            price = half_up(product(net, ratio(prices, nets, Decimal("1e-20"))))
        else:
            net = price = half_up(Decimal(line["Amount"]))
        line["Amount"] = amount(net)
        off_price, off_net = off_price + price, off_net + net
    return off_price, off_net


def _no_rate(company: Company) -> Refusal:
    word = _TAX_WORDS.get(country(company), "GST")
    return business_rule(f"Make sure all your transactions have a {word} rate before you save.")
