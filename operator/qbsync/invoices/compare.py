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

    `adopted`: the invoice was not created for this object. Then what differs at the adoption (nothing applied
    yet), and since, is drift until the spec moves; a created invoice is brought to what the spec says, and
    what QuickBooks made of it then is not held against it.
    """
    to_write, drifted = [], []
    for statement in stated:
        if statement.agrees(row):
            continue
        spec_hash, _, known = applied.get(statement.name, "").partition(".")
        moved_here = spec_hash != statement.spec_hash
        moved_there = bool(known) and returned_hash(statement.name, row) != known
        if moved_there or (adopted and (not applied or not moved_here)):
            drifted.append(Difference(statement.name, shown(statement.name, row), described(statement)))
        elif moved_here:
            to_write.append(statement)
    return Comparison(tuple(to_write), tuple(drifted))


def untouched(applied: Mapping[str, str], row: Mapping[str, Any]) -> bool:
    """Whether every field that was carried out stands in QuickBooks as it was returned then.

    For a created invoice that is the end of the comparison: no name of the spec has to be looked up for it.
    """
    try:
        return bool(applied) and all(
            returned_hash(name, row) == known.partition(".")[2] for name, known in applied.items()
        )
    except KeyError:  # a field of another release
        return False


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


@dataclass(frozen=True, slots=True)
class Carried:
    """A spec as far as it stands in QuickBooks."""

    applied: Mapping[str, str]
    content_hash: str | None
    """Of the spec that was carried out; None: something of it still has to be sent."""
    drift: str = ""


def as_created(stated: Sequence[Statement], content_hash: str, row: Mapping[str, Any]) -> Carried:
    """What was just created from a spec, as QuickBooks answered: that is what the spec comes to there."""
    return Carried(applied_after(stated, {}, row, Comparison()), content_hash)


def as_found(
    stated: Sequence[Statement], content_hash: str, row: Mapping[str, Any], *, adopted: bool
) -> Carried:
    """An invoice that stood already: of a created one the rest of the spec goes out, of an adopted one it is
    drift.
    """
    found = compare(stated, {}, row, adopted=adopted)
    if found.to_write:
        # What agrees is known from now on, so that an edit of it before the rest goes out is not overwritten.
        agreeing = [statement for statement in stated if statement.agrees(row)]
        return Carried(applied_after(agreeing, {}, row, found), None)
    return Carried(applied_after(stated, {}, row, found), content_hash, found.told)
