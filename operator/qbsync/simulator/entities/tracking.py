"""Classes and locations: where a transaction may carry them, by the company's preferences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.checks import referred
from qbsync.simulator.entities.kinds import CLASS, DEPARTMENT, Kind
from qbsync.simulator.entities.making import Making
from qbsync.simulator.faults import business_rule
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.switches import Switches

_SECTION = "AccountingInfoPrefs"
_LINE_DETAILS = ("SalesItemLineDetail", "DiscountLineDetail")


@dataclass(frozen=True, slots=True)
class TrackingRules:
    """What the facts leave open about classes and locations, as the switches answer it."""

    refuse_untracked: bool = False
    inactive_code: str = "610"

    @classmethod
    def of(cls, switches: Switches) -> "TrackingRules":
        """As the switches stand."""
        return cls(
            refuse_untracked=switches.choice("trackingOff") == "refuse",
            inactive_code=switches.choice("inactiveReference"),
        )


def apply_tracking(company: Company, document: JsonObject, *, rules: TrackingRules) -> None:
    """Name the ClassRef and DepartmentRef of a transaction and its lines, and drop or refuse the others.

    Called with the header fields and Line in place. Raises Refusal 2500, 610 or 6000.
    """
    header = company.preference(_SECTION, "ClassTrackingPerTxn") is True
    _settle(company, document, "ClassRef", CLASS, tracked=header, rules=rules)
    _settle(
        company,
        document,
        "DepartmentRef",
        DEPARTMENT,
        tracked=company.preference(_SECTION, "TrackDepartments") is True,
        rules=rules,
    )
    per_line = company.preference(_SECTION, "ClassTrackingPerTxnLine") is True
    for detail in _details(document.get("Line", [])):
        _settle(company, detail, "ClassRef", CLASS, tracked=per_line, rules=rules)


def refuse_list_untracked(making: Making, kind: Kind) -> None:
    """Refuse a new class or location where the company does not use them, if the switch says so (6000)."""
    names = {
        CLASS.name: ("ClassTrackingPerTxn", "ClassTrackingPerTxnLine"),
        DEPARTMENT.name: ("TrackDepartments",),
    }[kind.name]
    tracked = any(making.company.preference(_SECTION, name) is True for name in names)
    new = making.before is None and not making.own_number
    if new and not tracked and TrackingRules.of(making.switches).refuse_untracked:
        raise _untracked(kind)


def _settle(
    company: Company, place: JsonObject, field: str, kind: Kind, *, tracked: bool, rules: TrackingRules
) -> None:
    reference = place.get(field)
    if not reference or not reference.get("value"):
        place.pop(field, None)
    elif tracked:
        record = referred(company, kind, reference, inactive_code=rules.inactive_code)
        place[field] = {"value": record.id, "name": record.values["FullyQualifiedName"]}
    elif rules.refuse_untracked:
        raise _untracked(kind)
    else:
        del place[field]


def _untracked(kind: Kind) -> Exception:
    what = "class" if kind is CLASS else "location"
    return business_rule(f"To use {what} tracking, turn it on in Account and settings")


def _details(lines: list[Mapping[str, Any]]) -> Iterator[JsonObject]:
    for line in lines:
        for name in _LINE_DETAILS:
            if name in line:
                yield line[name]
        yield from _details(line.get("GroupLineDetail", {}).get("Line", []))
