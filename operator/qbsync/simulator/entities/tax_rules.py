"""What the ways of taxing share: the open questions, the lines that count, and where discounts fall."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import ITEM
from qbsync.simulator.entities.money import spread, total
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.switches import Switches

TAX, NON = "TAX", "NON"


@dataclass(frozen=True, slots=True)
class TaxRules:
    """What the facts leave open about tax, as the switches answer it."""

    missing_code_refused: bool = True
    missing_calculation_refused: bool = True
    line_by_item: bool = True
    code_by_customer: bool = False
    keep_sent_lines: bool = True
    engine_reads_lines: bool = False
    engine_keeps_total: bool = False
    exempt_untaxed: bool = True
    amounts_are_gross: bool = False

    @classmethod
    def of(cls, switches: Switches) -> "TaxRules":
        """As the switches stand."""
        return cls(
            missing_code_refused=switches.choice("missingTaxCode") == "refuse",
            missing_calculation_refused=switches.choice("missingTaxCalculation") == "refuse",
            line_by_item=switches.choice("lineTaxDefault") == "item",
            code_by_customer=switches.choice("transactionTaxDefault") == "customer",
            keep_sent_lines=switches.choice("sentTaxLines") == "keep",
            engine_reads_lines=switches.choice("automatedTaxCodes") == "honoured",
            engine_keeps_total=switches.choice("automatedTaxTotal") == "sent",
            exempt_untaxed=switches.choice("exemptCustomers") == "untaxed",
            amounts_are_gross=switches.choice("inclusiveAmounts") == "gross",
        )


def is_us(company: Company) -> bool:
    """Whether the company's books are of the US edition."""
    return country(company) == "US"


def country(company: Company) -> str:
    """CompanyInfo.Country, two letters."""
    return str(company.info.get("Country", "US"))


def sales_lines(lines: Sequence[JsonObject]) -> Iterator[JsonObject]:
    """The lines that sell something, those of bundles included."""
    for line in lines:
        if line.get("DetailType") == "SalesItemLineDetail":
            yield line
        yield from sales_lines(line.get("GroupLineDetail", {}).get("Line", []))


def discount(lines: Sequence[Mapping[str, Any]]) -> Decimal:
    """What the discount lines take off."""
    return total(
        Decimal(line.get("Amount", 0)) for line in lines if line.get("DetailType") == "DiscountLineDetail"
    )


def after_discount(amounts: Sequence[Decimal], taken_off: Decimal) -> list[Decimal]:
    """The amounts with the discount spread over them by size, to the cent."""
    shares = spread(taken_off, amounts)
    return [each - share for each, share in zip(amounts, shares, strict=True)]


def item_of(company: Company, line: Mapping[str, Any]) -> JsonObject:
    """What a line sells; nothing for an item that is gone."""
    record = company.table(ITEM).get(str(line["SalesItemLineDetail"].get("ItemRef", {}).get("value", "")))
    return record.document() if record is not None else {}


def code_on(line: Mapping[str, Any]) -> str:
    """The tax code of a line, empty where it has none."""
    return str(line["SalesItemLineDetail"].get("TaxCodeRef", {}).get("value", ""))


def put_code(line: JsonObject, code: str) -> None:
    """Give a line its tax code."""
    line["SalesItemLineDetail"]["TaxCodeRef"] = {"value": code}
