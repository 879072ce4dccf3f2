"""Companies to start with: the sample one of the package, or one of your own in the same JSON form."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.company import Company
from qbsync.simulator.entities import customer, invoice, item, schema
from qbsync.simulator.entities.kinds import (
    ACCOUNT,
    COMPANY_INFO,
    CUSTOMER,
    INVOICE,
    ITEM,
    PREFERENCES,
    TERM,
    VENDOR,
    Kind,
)
from qbsync.simulator.faults import Refusal
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.ledger import Ledger, Moment
from qbsync.simulator.pacific import PACIFIC, stamp


class UnreadableCompany(ValueError):
    """A company file that cannot be used; the message says what is wrong with it."""


def load(path: Path | None) -> JsonObject:
    """The description in a file, or the package's own US company. Raises UnreadableCompany."""
    try:
        if path is None:
            data = resources.files("qbsync.simulator").joinpath("companies/us.json").read_bytes()
        else:
            data = path.read_bytes()
        return jsoncodec.load_object(data)
    except (OSError, jsoncodec.UnreadableJson) as error:
        raise UnreadableCompany(f"company file {path}: {error}") from None


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
    for kind, name in ((ACCOUNT, "accounts"), (TERM, "terms"), (VENDOR, "vendors")):
        for entry in description.get(name, []):
            company.put(kind, _plain(entry["Id"], entry, since))
    for entry in description.get("customers", []):
        body = _conformed(CUSTOMER, entry)
        company.put(CUSTOMER, customer.build(company, body, identifier=entry["Id"], now=since))
    for entry in description.get("items", []):
        company.put(ITEM, item.build(company, _conformed(ITEM, entry), identifier=entry["Id"], now=since))
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


def _conformed(kind: Kind, entry: Mapping[str, Any]) -> JsonObject:
    return schema.conform(kind.name, dict(entry), refuse_unknown=True)


def _add_invoice(company: Company, entry: Mapping[str, Any], ledger: Ledger) -> None:
    body = {name: value for name, value in entry.items() if name != "paid"}
    made = datetime.fromisoformat(entry["TxnDate"]).replace(hour=10, tzinfo=PACIFIC)
    document = invoice.build(
        company,
        _conformed(INVOICE, body),
        identifier=entry["Id"],
        now=made,
        numbering=invoice.Numbering(keep_sent_number=True),
    )
    company.put(INVOICE, document)
    company.move_balance(document["CustomerRef"]["value"], Decimal(document["Balance"]), made)
    if entry.get("paid"):
        ledger.pay(company, entry["Id"], None, Moment(made, made.timestamp()))
