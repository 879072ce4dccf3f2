"""Names below names: what a FullyQualifiedName is made of, and what follows when one of them changes."""

from collections.abc import Iterator

from qbsync.simulator.company import Company
from qbsync.simulator.entities.checks import referred
from qbsync.simulator.entities.kinds import Kind
from qbsync.simulator.entities.making import Making
from qbsync.simulator.faults import business_rule
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.store import Record

MAX_LEVELS = 5
"""Intuit's reference: Account, Class and Department names go five levels deep."""


def full_name(making: Making, kind: Kind, body: JsonObject, name: str, *, levels: int = MAX_LEVELS) -> str:
    """`Parent:Child`, by the body's ParentRef. Raises Refusal 2500, 610, or 6000 for a circle or too deep a tree."""
    reference = body.get("ParentRef")
    if not reference or not reference.get("value"):
        return name
    parent = referred(making.company, kind, reference)
    ancestors = [parent, *_ancestors(making.company, kind, parent)]
    if any(ancestor.id == making.identifier for ancestor in ancestors):
        raise business_rule(f"A {kind.name.lower()} cannot be its own parent")
    if len(ancestors) >= levels:
        raise business_rule(f"You can only have {levels} levels of sub-{kind.name.lower()}")
    return f"{parent.values['FullyQualifiedName']}:{name}"


def rename_descendants(company: Company, kind: Kind, document: JsonObject) -> None:
    """Make the FullyQualifiedNames below a changed entity follow it; their SyncTokens stay."""
    for child in _children(company, kind, str(document["Id"])):
        changed = child.document()
        own_name = str(changed[kind.named_by or "Name"])
        full = f"{document['FullyQualifiedName']}:{own_name}"
        if changed["FullyQualifiedName"] != full:
            changed["FullyQualifiedName"] = full
            company.replace(kind, changed)
            rename_descendants(company, kind, changed)


def _ancestors(company: Company, kind: Kind, record: Record) -> Iterator[Record]:
    seen = {record.id}
    reference = record.document().get("ParentRef")
    while reference:
        above = company.table(kind).get(str(reference["value"]))
        if above is None or above.id in seen:
            return
        seen.add(above.id)
        yield above
        reference = above.document().get("ParentRef")


def _children(company: Company, kind: Kind, identifier: str) -> list[Record]:
    if "ParentRef" in kind.fields:
        return [row for row in company.table(kind) if row.values["ParentRef"] == identifier]
    return [
        row for row in company.table(kind) if row.document().get("ParentRef", {}).get("value") == identifier
    ]
