"""Companies to start with: those of the package by name, or one of your own in the same JSON form."""

from collections.abc import Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import (
    ACCOUNT,
    CLASS,
    COMPANY_CURRENCY,
    COMPANY_INFO,
    CUSTOMER,
    DEPARTMENT,
    EMPLOYEE,
    INVOICE,
    ITEM,
    PAYMENT_METHOD,
    PREFERENCES,
    TAX_AGENCY,
    TAX_CODE,
    TAX_RATE,
    TERM,
    VENDOR,
    Kind,
)
from qbsync.simulator.faults import Refusal
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.ledger import Ledger, Moment
from qbsync.simulator.pacific import PACIFIC, stamp

NAMES = ("us", "us-sales-tax", "us-automated", "gst", "multicurrency")
"""Companies of the package."""

_KEPT = (
    (TAX_AGENCY, "taxAgencies"),
    (TAX_RATE, "taxRates"),
    (TAX_CODE, "taxCodes"),
    (VENDOR, "vendors"),
    (EMPLOYEE, "employees"),
)
_MADE = (
    (COMPANY_CURRENCY, "currencies"),
    (CLASS, "classes"),
    (DEPARTMENT, "departments"),
    (TERM, "terms"),
    (PAYMENT_METHOD, "paymentMethods"),
    (ACCOUNT, "accounts"),
    (CUSTOMER, "customers"),
    (ITEM, "items"),
)


class UnreadableCompany(ValueError):
    """A company file that cannot be used; the message says what is wrong with it."""


def load(company: Path | str | None) -> JsonObject:
    """The description of a company of the package (`us` by default), or the one in a file.

    A description with `like` names the one it is laid over: objects field by field, lists entry by entry, by Id.
    Raises UnreadableCompany.
    """
    name = str(company or NAMES[0])
    try:
        if name in NAMES:
            data = resources.files("qbsync.simulator").joinpath(f"companies/{name}.json").read_bytes()
        else:
            data = Path(name).read_bytes()
        description = jsoncodec.load_object(data)
    except (OSError, jsoncodec.UnreadableJson) as error:
        raise UnreadableCompany(
            f"company {name}: {error}; it is a JSON file, or one of {', '.join(NAMES)}"
        ) from None
    base = description.pop("like", None)
    return description if base is None else _laid_over(load(named(base)), description)


def named(name: object) -> str:
    """The name of a company of the package. Raises UnreadableCompany for any other value."""
    if not isinstance(name, str) or name not in NAMES:
        raise UnreadableCompany(f"there is no company {name!r}, only {', '.join(NAMES)}")
    return name


def _laid_over(base: JsonObject, overlay: JsonObject) -> JsonObject:
    result = dict(base)
    for section, content in overlay.items():
        if isinstance(content, list):
            rows = {entry["Id"]: entry for entry in [*base.get(section, []), *content]}
            result[section] = list(rows.values())
        elif isinstance(content, Mapping):
            result[section] = merged(base.get(section, {}), content)
        else:
            result[section] = content
    return result


def found(
    realm_id: str, description: JsonObject, ledger: Ledger, *, preferences: Mapping[str, Any]
) -> Company:
    """A new company as described, `preferences` laid over its own. Raises UnreadableCompany."""
    try:
        return _found(realm_id, description, ledger, preferences)
    except Refusal as refusal:
        raise UnreadableCompany(f"QuickBooks would refuse this company: {refusal.errors[0].detail}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableCompany(f"the company's description does not hold together: {error!r}") from None


def _found(realm_id: str, description: JsonObject, ledger: Ledger, preferences: Mapping[str, Any]) -> Company:
    company = Company(realm_id)
    since = datetime.fromisoformat(description["since"])
    company.put(COMPANY_INFO, _plain("1", description["companyInfo"], since))
    company.put(PREFERENCES, merged(_plain("1", description["preferences"], since), preferences))
    for kind, name in _KEPT:
        for entry in description.get(name, []):
            company.put(kind, _plain(entry["Id"], _with_currency(company, kind, entry), since))
    for kind, name in _MADE:
        for entry in description.get(name, []):
            ledger.adopt(company, kind, entry, Moment(since, since.timestamp()))
    for entry in description.get("invoices", []):
        _add_invoice(company, entry, ledger)
    return company


def merged(base: JsonObject, overlay: Mapping[str, Any]) -> JsonObject:
    """`overlay` laid over `base`, section by section; a field named without its section is found by its name."""
    result = dict(base)
    for name, value in overlay.items():
        section = name if name in result else _section_of(result, name)
        if isinstance(value, Mapping) and isinstance(result.get(section), Mapping):
            result[section] = merged(result[section], value)
        elif section == name:
            result[name] = value
        else:
            result[section] = {**result[section], name: value}
    return result


def _section_of(preferences: Mapping[str, Any], field: str) -> str:
    return next(
        (name for name, part in preferences.items() if isinstance(part, Mapping) and field in part), field
    )


def _plain(identifier: str, entry: Mapping[str, Any], since: datetime) -> JsonObject:
    """An entity kept as described, with what every entity has."""
    return {
        **entry,
        "domain": "QBO",
        "sparse": False,
        "Id": identifier,
        "SyncToken": "0",
        "MetaData": {"CreateTime": stamp(since), "LastUpdatedTime": stamp(since)},
    }


def _with_currency(company: Company, kind: Kind, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"CurrencyRef": company.home_currency, **entry} if kind is VENDOR else entry


def _add_invoice(company: Company, entry: Mapping[str, Any], ledger: Ledger) -> None:
    made = datetime.fromisoformat(entry["TxnDate"]).replace(hour=10, tzinfo=PACIFIC)
    moment = Moment(made, made.timestamp())
    ledger.adopt(company, INVOICE, {name: value for name, value in entry.items() if name != "paid"}, moment)
    if entry.get("paid"):
        ledger.pay(company, entry["Id"], None, moment)
