"""Checks that several entities share."""

from collections.abc import Mapping
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import Kind
from qbsync.simulator.faults import (
    inactive_reference,
    invalid_reference,
    length_out_of_range,
    missing_parameters,
)
from qbsync.simulator.store import Record


def require(body: Mapping[str, Any], *names: str) -> None:
    """Raise Refusal 2020 with one error for each missing field."""
    missing = [name for name in names if body.get(name) in (None, "", [])]
    if missing:
        raise missing_parameters(*missing)


def limit_lengths(body: Mapping[str, Any], limits: Mapping[str, int]) -> None:
    """Raise Refusal 2050 for the first text longer than its limit; `A.b` reaches into a structure."""
    for path, maximum in limits.items():
        head, _, rest = path.partition(".")
        value = body.get(head)
        text = value.get(rest) if rest and isinstance(value, Mapping) else value
        if isinstance(text, str) and len(text) > maximum:
            raise length_out_of_range(head, maximum=maximum, supplied=len(text))


def referred(
    company: Company, kind: Kind, reference: Mapping[str, Any], *, inactive_code: str = "610"
) -> Record:
    """The row a reference points to. Raises Refusal 2500 where there is none, 610 or 2500 where it is inactive."""
    identifier = str(reference.get("value", ""))
    record = company.table(kind).get(identifier)
    if record is None:
        raise invalid_reference(kind.family, identifier)
    if not record.active:
        raise inactive_reference(inactive_code)
    return record
