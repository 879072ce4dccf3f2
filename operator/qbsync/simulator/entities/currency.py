"""Currencies: which one a customer and a transaction are in, and what they come to in the books' own."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import COMPANY_CURRENCY
from qbsync.simulator.entities.money import amount, half_up, product, quantity, ratio
from qbsync.simulator.faults import Refusal, business_rule, invalid_reference
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.switches import Switches

_TABLE: Mapping[str, tuple[str, str]] = {
    "USD": ("United States Dollar", "1"),
    "AED": ("United Arab Emirates Dirham", "0.2723"),
    "AUD": ("Australian Dollar", "0.6612"),
    "BRL": ("Brazilian Real", "0.1855"),
    "CAD": ("Canadian Dollar", "0.7154"),
    "CHF": ("Swiss Franc", "1.2431"),
    "CNY": ("Chinese Yuan Renminbi", "0.1408"),
    "CZK": ("Czech Koruna", "0.0478"),
    "DKK": ("Danish Krone", "0.1561"),
    "EUR": ("Euro", "1.1652"),
    "GBP": ("British Pound Sterling", "1.3377"),
    "HKD": ("Hong Kong Dollar", "0.1284"),
    "INR": ("Indian Rupee", "0.0113"),
    "JPY": ("Japanese Yen", "0.0067"),
    "MXN": ("Mexican Peso", "0.0544"),
    "NOK": ("Norwegian Krone", "0.0989"),
    "NZD": ("New Zealand Dollar", "0.5836"),
    "PLN": ("Polish Zloty", "0.2745"),
    "SEK": ("Swedish Krona", "0.1057"),
    "SGD": ("Singapore Dollar", "0.7713"),
    "ZAR": ("South African Rand", "0.0582"),
}
"""Name, and what one unit is worth in US dollars; rates never move, so that runs can be repeated."""

NAMES: Mapping[str, str] = {code: name for code, (name, _) in _TABLE.items()}
_ONE_FOREIGN = "You can only use one foreign currency per transaction."
_INVALID = "The currency of the transaction is invalid for customer/vendor/account."
_RATE_PLACES = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class CurrencyRules:
    """What the facts leave open about currencies, as the switches answer it."""

    omitted_is_home: bool = False
    mismatch: str = _ONE_FOREIGN

    @classmethod
    def of(cls, switches: Switches) -> "CurrencyRules":
        """As the switches stand."""
        return cls(
            omitted_is_home=switches.choice("currencyOmitted") == "home",
            mismatch=_ONE_FOREIGN if switches.choice("currencyMismatch") == "oneForeign" else _INVALID,
        )


def several(company: Company) -> bool:
    """Whether the company deals in several currencies; never turned off again once it does."""
    return company.preference("CurrencyPrefs", "MultiCurrencyEnabled") is True


def currency_of(
    company: Company,
    body: Mapping[str, Any],
    customer: Mapping[str, Any],
    *,
    rules: CurrencyRules,
) -> JsonObject:
    """CurrencyRef, and ExchangeRate where the company has several currencies, of a transaction.

    The customer's currency always; a request that names another one is refused. Raises Refusal 6000.
    """
    home = company.home_currency
    sent = _code(body)
    if not several(company):
        if sent not in (None, home["value"]):
            raise _not_enabled()
        return {"CurrencyRef": home}
    own = customer.get("CurrencyRef", home)
    wanted = sent or (home["value"] if rules.omitted_is_home else own["value"])
    if wanted != own["value"]:
        raise business_rule(rules.mismatch)
    return {"CurrencyRef": own, "ExchangeRate": quantity(_rate(body, own["value"], home["value"]))}


def currency_of_name(company: Company, body: Mapping[str, Any]) -> JsonObject:
    """CurrencyRef of a new customer or vendor: the books' own, or one of the company's. Raises Refusal 6000, 2500."""
    home = company.home_currency
    sent = _code(body)
    if sent in (None, home["value"]):
        return home
    if not several(company):
        raise _not_enabled()
    if not any(row.active for row in company.table(COMPANY_CURRENCY).having("Code", str(sent))):
        raise invalid_reference(COMPANY_CURRENCY.family, str(sent))
    return reference(str(sent))


def check_unchanged(before: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Refuse to change the currency of a name or a transaction once it is made (6000)."""
    sent = _code(body)
    if sent is not None and sent != before.get("CurrencyRef", {}).get("value", sent):
        raise business_rule("The currency cannot be changed once it is set.")


def put_home_amounts(company: Company, document: JsonObject) -> None:
    """HomeTotalAmt and HomeBalance, where the company has several currencies; after TotalAmt and Balance."""
    if not several(company):
        return
    for field in ("TotalAmt", "Balance"):
        if field in document:
            document[f"Home{field}"] = amount(to_home(document, Decimal(document[field])))


def to_home(document: Mapping[str, Any], sum_of_money: Decimal) -> Decimal:
    """A sum in the transaction's currency, in the books' own, to the cent."""
    return half_up(product(sum_of_money, Decimal(document.get("ExchangeRate", 1))))


def reference(code: str) -> dict[str, str]:
    """A CurrencyRef."""
    return {"value": code, "name": NAMES.get(code, code)}


def default_rate(source: str, home: str) -> Decimal:
    """What one unit of `source` is worth in `home`, to six places, from a table that never moves."""
    if source == home or source not in _TABLE or home not in _TABLE:
        return Decimal(1)
    return ratio(Decimal(_TABLE[source][1]), Decimal(_TABLE[home][1]), _RATE_PLACES)


def _rate(body: Mapping[str, Any], source: str, home: str) -> Decimal:
    """The rate sent, or the table's; 1 for the books' own currency whatever is sent."""
    sent = Decimal(body.get("ExchangeRate", 0))
    if sent < 0:
        raise business_rule("The exchange rate must be more than 0")
    return sent if sent and source != home else default_rate(source, home)


def _code(body: Mapping[str, Any]) -> str | None:
    value = body.get("CurrencyRef", {}).get("value")
    return str(value).upper() if value else None


def _not_enabled() -> Refusal:
    return business_rule("Multicurrency is not enabled for this company")
