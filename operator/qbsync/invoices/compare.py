"""What the spec says, what was sent last, and what stands in QuickBooks: three sides, field by field. Pure.

`status.applied` keeps two short hashes per field: of the spec's words when they were last carried out, and
of what QuickBooks returned then. So each side can be asked by itself whether it has moved since.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qbsync.invoices.fields import Statement, described, returned_hash, shown

_SHOWN_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that stands otherwise in QuickBooks than the spec says."""

    field: str
    standing: str
    stated: str

    def __str__(self) -> str:
        return f"{self.field}: {self.standing} in QuickBooks, {self.stated} in the spec"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Where spec and invoice differ, and whose turn it is."""

    to_write: tuple[Statement, ...] = ()
    """The spec moved, QuickBooks did not: these are sent."""
    drifted: tuple[Difference, ...] = ()
    """QuickBooks moved, or both did: reported, never overwritten."""

    @property
    def told(self) -> str:
        """The drift for people; empty if there is none."""
        listed = [str(difference) for difference in self.drifted[:_SHOWN_FIELDS]]
        more = len(self.drifted) - len(listed)
        return "; ".join([*listed, f"and {more} fields more"] if more else listed)


def compare(
    stated: Sequence[Statement],
    applied: Mapping[str, str],
    row: Mapping[str, Any],
    *,
    adopted: bool,
) -> Comparison:
    """Compare a spec with an invoice as QuickBooks answered it.

    `adopted`: the invoice was not created for this object. Then a field that was never carried out, or that
    differs since the adoption, is drift; a created invoice is brought to what the spec says, and what
    QuickBooks made of it then is not held against it.
    """
    to_write, drifted = [], []
    for statement in stated:
        if statement.agrees(row):
            continue
        spec_hash, _, known = applied.get(statement.name, "").partition(".")
        moved_here = spec_hash != statement.spec_hash
        moved_there = bool(known) and returned_hash(statement.name, row) != known
        if moved_there or (adopted and not (known and moved_here)):
            drifted.append(Difference(statement.name, shown(statement.name, row), described(statement)))
        elif moved_here:
            to_write.append(statement)
    return Comparison(tuple(to_write), tuple(drifted))


def applied_after(
    stated: Iterable[Statement], before: Mapping[str, str], row: Mapping[str, Any], found: Comparison
) -> dict[str, str]:
    """`status.applied` once `found` was carried out and QuickBooks answered `row`.

    A field that drifted keeps what was known of it, and so stays drifted until both sides agree again; a
    field that the spec no longer states is released.
    """
    kept = {difference.field for difference in found.drifted}
    return {
        statement.name: before[statement.name]
        if statement.name in kept and statement.name in before
        else f"{statement.spec_hash}.{returned_hash(statement.name, row)}"
        for statement in stated
    }
