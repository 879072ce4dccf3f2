"""The short name lists: classes, locations, terms, payment methods, currencies."""

import calendar
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from qbsync.simulator.entities import currency
from qbsync.simulator.entities.checks import limit_lengths, require
from qbsync.simulator.entities.hierarchy import full_name
from qbsync.simulator.entities.kinds import (
    CLASS,
    COMPANY_CURRENCY,
    DEPARTMENT,
    PAYMENT_METHOD,
    TERM,
    Kind,
)
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, quantity
from qbsync.simulator.entities.tracking import refuse_list_untracked
from qbsync.simulator.faults import (
    business_rule,
    duplicate_name,
    invalid_enumeration,
    missing_parameters,
)
from qbsync.simulator.jsoncodec import JsonObject

COMPUTED = frozenset({"FullyQualifiedName", "SubClass", "SubDepartment"})
_PAYMENT_TYPES = frozenset({"CREDIT_CARD", "NON_CREDIT_CARD"})
_TERM_NUMBERS = {"DueDays": 999, "DiscountDays": 999, "DiscountPercent": 100}
_DAY_NUMBERS = {"DayOfMonthDue": 31, "DueNextMonthDays": 999, "DiscountDayOfMonth": 31}


def build_class(making: Making, body: JsonObject) -> JsonObject:
    """A class. Raises Refusal."""
    refuse_list_untracked(making, CLASS)
    return _branch(making, body, CLASS, "SubClass")


def build_department(making: Making, body: JsonObject) -> JsonObject:
    """A location, which the API calls a department. Raises Refusal."""
    refuse_list_untracked(making, DEPARTMENT)
    document = _branch(making, body, DEPARTMENT, "SubDepartment")
    if "Address" in body:
        document["Address"] = body["Address"]
    return document


def build_term(making: Making, body: JsonObject) -> JsonObject:
    """Terms of payment: so many days (STANDARD), or a day of the month (DATE_DRIVEN). Raises Refusal."""
    name = _name(making, body, TERM, 31)
    standard = "DueDays" in body
    if not standard and "DayOfMonthDue" not in body:
        raise missing_parameters("DueDays")
    numbers = _TERM_NUMBERS if standard else {**_DAY_NUMBERS, "DiscountPercent": 100}
    for field, largest in numbers.items():
        if not ZERO <= body.get(field, ZERO) <= largest:
            raise business_rule(f"{field} must be between 0 and {largest}")
    return {
        "Name": name,
        "Active": body.get("Active", True),
        "Type": "STANDARD" if standard else "DATE_DRIVEN",
        "DiscountPercent": quantity(body.get("DiscountPercent", ZERO)),
        **{field: quantity(body[field]) for field in numbers if field in body},
        **making.frame(),
    }


def due_date(term: Mapping[str, Any], dated: date) -> date:
    """When what was sold on `dated` under these terms is due.

    A date-driven term is due on its day of this month, or of the next where that is less than DueNextMonthDays away.
    """
    if term.get("Type") != "DATE_DRIVEN":
        return dated + timedelta(days=int(term.get("DueDays", 0)))
    day, margin = int(term["DayOfMonthDue"]), int(term.get("DueNextMonthDays", 0))
    due = _on_day(dated.year, dated.month, day)
    if due < dated or (due - dated).days < margin:
        year, month = (dated.year + 1, 1) if dated.month == 12 else (dated.year, dated.month + 1)
        due = _on_day(year, month, day)
    return due


def build_payment_method(making: Making, body: JsonObject) -> JsonObject:
    """A way customers pay. Raises Refusal."""
    name = _name(making, body, PAYMENT_METHOD, 31)
    method = str(body.get("Type", "NON_CREDIT_CARD"))
    if method not in _PAYMENT_TYPES:
        raise invalid_enumeration("Type", method)
    return {"Name": name, "Active": body.get("Active", True), "Type": method, **making.frame()}


def build_currency(making: Making, body: JsonObject) -> JsonObject:
    """A currency the company deals in, beside its own. Raises Refusal."""
    require(body, "Code")
    code = str(body["Code"]).upper()
    if not currency.several(making.company):
        raise business_rule("Multicurrency is not enabled for this company")
    if code not in currency.NAMES:
        raise invalid_enumeration("Code", code)
    if making.before is not None and making.before["Code"] != code:
        raise business_rule("The code of a currency cannot be changed")
    taken = making.company.table(COMPANY_CURRENCY).having("Code", code)
    if code == making.company.home_currency["value"] or any(row.id != making.identifier for row in taken):
        raise duplicate_name("currency")
    return {
        "Code": code,
        "Name": body.get("Name") or currency.NAMES[code],
        "Active": body.get("Active", True),
        **making.frame(),
    }


def _branch(making: Making, body: JsonObject, kind: Kind, child: str) -> JsonObject:
    require(body, "Name")
    limit_lengths(body, {"Name": 100})
    name = str(body["Name"]).strip()
    if ":" in name:
        raise business_rule(f"The name of a {kind.name.lower()} must not contain a colon")
    full = full_name(making, kind, body, name)
    refuse_taken(making, kind, "FullyQualifiedName", full)
    document: JsonObject = {"Name": name, child: ":" in full}
    if ":" in full:
        document["ParentRef"] = {"value": body["ParentRef"]["value"]}
    return {**document, "FullyQualifiedName": full, "Active": body.get("Active", True), **making.frame()}


def refuse_taken(making: Making, kind: Kind, field: str, text: str) -> None:
    """Raise Refusal 6240 where another row of the kind has that text in the field."""
    rows = making.company.table(kind).having(field, text)
    if any(row.id != making.identifier for row in rows):
        raise duplicate_name(_spoken(kind))


def _spoken(kind: Kind) -> str:
    return {"Department": "location", "PaymentMethod": "payment method"}.get(kind.name, kind.name.lower())


def _name(making: Making, body: JsonObject, kind: Kind, longest: int) -> str:
    require(body, "Name")
    limit_lengths(body, {"Name": longest})
    name = str(body["Name"]).strip()
    refuse_taken(making, kind, "Name", name)
    return name


def _on_day(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))
