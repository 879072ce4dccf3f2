"""Vendors and employees, and the name space they share with customers."""

from collections.abc import Mapping
from typing import Any

from qbsync.simulator.entities import currency
from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.kinds import TERM
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, amount
from qbsync.simulator.faults import business_rule, duplicate_name, missing_parameters
from qbsync.simulator.jsoncodec import JsonObject

_LENGTHS = {
    "Title": 16,
    "GivenName": 100,
    "MiddleName": 100,
    "FamilyName": 100,
    "Suffix": 16,
    "DisplayName": 500,
    "CompanyName": 100,
    "PrintOnCheckName": 110,
    "PrimaryEmailAddr.Address": 100,
    "PrimaryPhone.FreeFormNumber": 30,
}
VENDOR_COMPUTED = frozenset({"Balance"})
_PARTS = ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")
_VENDOR_LENGTHS = {**_LENGTHS, "CompanyName": 100, "AcctNum": 100, "TaxIdentifier": 20}
_EMPLOYEE_LENGTHS = {**_LENGTHS, "SSN": 100, "EmployeeNumber": 100}


def display_name(body: Mapping[str, Any]) -> str:
    """DisplayName, or the parts of a person's name put together. Raises Refusal 2020, or 6000 for a colon in it."""
    name = str(body.get("DisplayName", "")).strip()
    if not name:
        name = " ".join(str(body[part]).strip() for part in _PARTS if body.get(part)).strip()
    require({"DisplayName": name}, "DisplayName")
    if any(sign in name for sign in ":\t\n"):
        raise business_rule("A name must not contain a colon, a tab or a new line")
    return name


def refuse_taken(making: Making, name: str) -> None:
    """Raise Refusal 6240 where another customer, vendor or employee has that DisplayName."""
    if any(row.id != making.identifier for row in making.company.names(name)):
        raise duplicate_name()


def build_vendor(making: Making, body: JsonObject) -> JsonObject:
    """A vendor. Raises Refusal."""
    limit_lengths(body, _VENDOR_LENGTHS)
    name = display_name(body)
    refuse_taken(making, name)
    if body.get("TermRef"):
        referred(making.company, TERM, body["TermRef"])
    reference = currency.currency_of_name(making.company, body)
    if making.before is not None:
        currency.check_unchanged(making.before, body)
        reference = making.before["CurrencyRef"]
    own: JsonObject = {
        "Balance": making.carried("Balance", amount(ZERO)),
        "Vendor1099": body.get("Vendor1099", False),
        "CurrencyRef": reference,
        **making.frame(),
    }
    document: JsonObject = {**own, **body, **own}
    if "TaxIdentifier" in document:
        document["TaxIdentifier"] = masked(str(document["TaxIdentifier"]))
    return {
        **document,
        "DisplayName": name,
        "PrintOnCheckName": body.get("PrintOnCheckName") or body.get("CompanyName") or name,
        "Active": body.get("Active", True),
    }


def build_employee(making: Making, body: JsonObject) -> JsonObject:
    """An employee. Raises Refusal."""
    limit_lengths(body, _EMPLOYEE_LENGTHS)
    if not (body.get("GivenName") or body.get("FamilyName")):
        raise missing_parameters("GivenName")
    name = display_name(body)
    refuse_taken(making, name)
    document: JsonObject = {"BillableTime": False, **body}
    if "SSN" in document:
        document["SSN"] = masked(str(document["SSN"]))
    return {
        **document,
        "DisplayName": name,
        "PrintOnCheckName": body.get("PrintOnCheckName") or name,
        "Active": body.get("Active", True),
        **making.frame(),
    }


def masked(number: str) -> str:
    """A tax number as QuickBooks shows it: its last four digits (recorded: XXXXXX9875)."""
    return number if len(number) <= 4 else "X" * (len(number) - 4) + number[-4:]
