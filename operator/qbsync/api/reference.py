"""The reference page of reasons, made from the table."""

from collections.abc import Iterable
from typing import Final

from qbsync.api.conditions import REASONS, ReasonRow
from qbsync.api.meta import Kind

_INTRODUCTION: Final = """\
<!-- Generated from operator/qbsync/api/reasons.py by `python -m qbsync.api.generate`. -->

# Reasons

`Ready` sums an object up, and its reason is one of these. *Unknown* waits, retries or heals by itself
(`Reconciling` is True meanwhile); *False* needs somebody; *Stalled* means that nothing will be tried until a person
acts: changes the spec or the connection, or sets the annotation `qbsync.dev/requested-at` to a new value.
"""


def reasons_page() -> str:
    """The page as Markdown."""
    parts = [_INTRODUCTION]
    for kind in Kind:
        parts.append(f"\n## {kind.value}\n\n")
        parts.append("| Reason | Ready | Meaning | Tried again | Who acts |\n|---|---|---|---|---|\n")
        parts.extend(_lines(row for row in REASONS.values() if row.kind is kind))
    return "".join(parts)


def _lines(rows: Iterable[ReasonRow]) -> Iterable[str]:
    for row in rows:
        ready = f"{row.ready.value}, stalled" if row.stalled else row.ready.value
        who = row.who_acts or "nobody"
        yield f"| `{row.reason}` | {ready} | {row.meaning} | {row.retry.value} | {who} |\n"
