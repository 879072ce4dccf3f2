"""Customers: names shared with vendors and employees, sub-customers, balances kept by QuickBooks."""

from datetime import datetime
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.kinds import CUSTOMER
from qbsync.simulator.entities.money import ZERO, amount
from qbsync.simulator.faults import duplicate_name
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import stamp

_LENGTHS = {
    "DisplayName": 500,
    "GivenName": 100,
    "FamilyName": 100,
    "CompanyName": 500,
    "PrimaryEmailAddr.Address": 100,
    "Notes": 2000,
}
_COMPUTED = frozenset(
    {
        "Id",
        "SyncToken",
        "MetaData",
        "domain",
        "sparse",
        "FullyQualifiedName",
        "Balance",
        "BalanceWithJobs",
        "Level",
    }
)
_NAME_PARTS = ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")


def build(company: Company, body: JsonObject, *, identifier: str, now: datetime) -> JsonObject:
    """A new customer from a request that already has QuickBooks' types. Raises Refusal."""
    limit_lengths(body, _LENGTHS)
    name = _display_name(body)
    if any(True for _ in company.names(name)):
        raise duplicate_name()
    parent = _parent_name(company, body)
    document: JsonObject = {
        "Taxable": True,
        "Job": parent is not None,
        "BillWithParent": False,
        "Balance": amount(ZERO),
        "BalanceWithJobs": amount(ZERO),
        "CurrencyRef": company.home_currency,
        "PreferredDeliveryMethod": "Print",
        "domain": "QBO",
        "sparse": False,
        "Id": identifier,
        "SyncToken": "0",
        "MetaData": {"CreateTime": stamp(now), "LastUpdatedTime": stamp(now)},
        "FullyQualifiedName": name if parent is None else f"{parent}:{name}",
        "DisplayName": name,
        "PrintOnCheckName": body.get("CompanyName", name),
        "Active": True,
        "DefaultTaxCodeRef": {"value": "2"},
    }
    document.update({field: value for field, value in body.items() if field not in _COMPUTED})
    document["DisplayName"] = name
    if parent is not None:
        document["Level"] = company_level(company, body)
    return document


def company_level(company: Company, body: JsonObject) -> int:
    """How deep below a top customer a new sub-customer is."""
    parent = referred(company, CUSTOMER, body["ParentRef"])
    return int(parent.document().get("Level", 0)) + 1


def _display_name(body: JsonObject) -> str:
    name = str(body.get("DisplayName", "")).strip()
    if not name:
        name = " ".join(str(body[part]).strip() for part in _NAME_PARTS if body.get(part)).strip()
    require({"DisplayName": name}, "DisplayName")
    return name


def _parent_name(company: Company, body: JsonObject) -> Any:
    reference = body.get("ParentRef")
    if reference is None:
        return None
    return referred(company, CUSTOMER, reference).values["FullyQualifiedName"]
