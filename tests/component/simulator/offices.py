"""Desks in the package's other companies."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qbsync.simulator import sample

from .desk import Desk, line


class Office(Desk):
    """A desk in a company of the package, by its name."""

    def __init__(self, name: str, preferences: Mapping[str, Any] | None = None, **switches: Any) -> None:
        super().__init__(**switches)
        self.company = sample.found("2", sample.load(name), self.ledger, preferences=preferences or {})
        self.heard.clear()


def coded(amount: Decimal | int | str, code: str, item: str = "1", **detail: Any) -> dict[str, Any]:
    """A sales line with a tax code."""
    return line(Decimal(amount), item, TaxCodeRef={"value": code}, **detail)


def discount(amount: Decimal | int | str) -> dict[str, Any]:
    """A discount of so much."""
    return {
        "Amount": Decimal(amount),
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": {"PercentBased": False},
    }


def percent_off(percent: Decimal | int | str) -> dict[str, Any]:
    """A discount in percent; QuickBooks counts its Amount."""
    return {
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": {"PercentBased": True, "DiscountPercent": Decimal(percent)},
    }


def tax_lines(document: Mapping[str, Any]) -> list[tuple[str, Decimal, Decimal]]:
    """Rate, net and tax of each tax line."""
    return [
        (
            each["TaxLineDetail"]["TaxRateRef"]["value"],
            Decimal(each["TaxLineDetail"]["NetAmountTaxable"]),
            Decimal(each["Amount"]),
        )
        for each in document["TxnTaxDetail"].get("TaxLine", [])
    ]


def codes(document: Mapping[str, Any]) -> list[str | None]:
    """The tax codes of the sales lines."""
    return [
        each["SalesItemLineDetail"].get("TaxCodeRef", {}).get("value")
        for each in document["Line"]
        if each["DetailType"] == "SalesItemLineDetail"
    ]


def net(document: Mapping[str, Any]) -> Decimal:
    """What the lines come to without tax, discounts taken off."""
    signs = {"SalesItemLineDetail": 1, "DiscountLineDetail": -1}
    return sum(
        (Decimal(each["Amount"]) * signs.get(each["DetailType"], 0) for each in document["Line"]),
        start=Decimal(0),
    )
