"""Rates of tax codes, and the tax lines that come of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import TAX_CODE, TAX_RATE
from qbsync.simulator.entities.money import ZERO, amount, half_up, product, quantity, spread, total
from qbsync.simulator.faults import inactive_reference, invalid_reference
from qbsync.simulator.jsoncodec import JsonObject

_PERCENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Rate:
    """One rate of a tax code, as it was on the day of the transaction; in percent."""

    id: str
    percent: Decimal

    def of(self, net: Decimal) -> Decimal:
        """The tax on a net amount, to the cent, half up."""
        return half_up(product(net, product(self.percent, _PERCENT)))


@dataclass(frozen=True, slots=True)
class TaxPart:
    """What one rate taxes, and the tax of it."""

    rate: Rate
    net: Decimal
    tax: Decimal


def rates_of(company: Company, code_id: str, dated: str) -> Sequence[Rate]:
    """The sales rates of a tax code in their order. Raises Refusal 2500 or 610 for a code that cannot be used."""
    record = company.table(TAX_CODE).get(code_id)
    if record is None:
        raise invalid_reference(TAX_CODE.family, code_id)
    if not record.active:
        raise inactive_reference("610")
    details = record.document().get("SalesTaxRateList", {}).get("TaxRateDetail", [])
    ordered = sorted(details, key=lambda detail: int(detail.get("TaxOrder", 0)))
    return [_rate(company, str(detail["TaxRateRef"]["value"]), dated) for detail in ordered]


def combined(rates: Sequence[Rate]) -> Decimal:
    """What a net amount of 1 comes to with all these rates."""
    return 1 + product(total(rate.percent for rate in rates), _PERCENT)


def shared_out(tax: Decimal, parts: Sequence[TaxPart]) -> Sequence[TaxPart]:
    """A sum of tax known as a whole, split over what is taxed so that nothing is lost."""
    shares = spread(tax, [product(part.net, part.rate.percent) for part in parts])
    return [TaxPart(part.rate, part.net, share) for part, share in zip(parts, shares, strict=True)]


def merged(parts: Sequence[TaxPart]) -> Sequence[TaxPart]:
    """One part per rate, in order of appearance."""
    by_rate: dict[str, TaxPart] = {}
    for part in parts:
        before = by_rate.get(part.rate.id, TaxPart(part.rate, ZERO, ZERO))
        by_rate[part.rate.id] = TaxPart(part.rate, before.net + part.net, before.tax + part.tax)
    return list(by_rate.values())


def tax_line(part: TaxPart) -> JsonObject:
    """As QuickBooks writes it."""
    return {
        "Amount": amount(part.tax),
        "DetailType": "TaxLineDetail",
        "TaxLineDetail": {
            "TaxRateRef": {"value": part.rate.id},
            "PercentBased": True,
            "TaxPercent": quantity(part.rate.percent),
            "NetAmountTaxable": amount(part.net),
        },
    }


def overridden(lines: Sequence[JsonObject], sent: Sequence[Mapping[str, Any]]) -> Sequence[JsonObject]:
    """The tax lines with the amounts a client sent for their rates; OverrideDeltaAmount is the difference."""
    wanted = {rate: Decimal(line["Amount"]) for rate, line in _by_rate(sent) if "Amount" in line}
    for rate, line in _by_rate(lines):
        difference = wanted.get(rate, Decimal(line["Amount"])) - Decimal(line["Amount"])
        if difference:
            line["TaxLineDetail"]["OverrideDeltaAmount"] = amount(difference)
            line["Amount"] = amount(wanted[rate])
    return lines


def _by_rate(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    for line in lines:
        yield str(line.get("TaxLineDetail", {}).get("TaxRateRef", {}).get("value", "")), line


def _rate(company: Company, rate_id: str, dated: str) -> Rate:
    record = company.table(TAX_RATE).get(rate_id)
    if record is None:
        raise invalid_reference(TAX_RATE.family, rate_id)
    document = record.document()
    since = [
        (str(entry["EffectiveDate"])[:10], Decimal(entry["RateValue"]))
        for entry in document.get("EffectiveTaxRate", [])
        if str(entry["EffectiveDate"])[:10] <= dated
    ]
    return Rate(rate_id, max(since)[1] if since else Decimal(document["RateValue"]))
