"""What a statement may name: entities, and their properties by path."""

from collections.abc import Mapping
from functools import lru_cache

from qbsync.simulator.entities.kinds import ELSEWHERE, KINDS, FieldType, Kind
from qbsync.simulator.entities.schema import STRUCTURES
from qbsync.simulator.entities.shapes import Shape
from qbsync.simulator.faults import query_invalid

_FOLDED = {name.lower(): kind for name, kind in KINDS.items()}
_ELSEWHERE = frozenset(name.lower() for name in ELSEWHERE)
_LARGEST_CACHE = 4096


def entity(name: str, *, ignore_case: bool) -> Kind | None:
    """The kind of that name; None for one of which there are never any. Raises Refusal 4001."""
    kind = KINDS.get(name)
    if kind is None and ignore_case:
        kind = _FOLDED.get(name.lower())
    if kind is None and name.lower() not in _ELSEWHERE:
        raise query_invalid(f"invalid context declaration: {name}")
    return kind


def filterable(kind: Kind, name: str, *, ignore_case: bool) -> tuple[str, FieldType]:
    """A property's own spelling and type. Raises Refusal 4001 for unknown ones and those that cannot be asked."""
    path = known(kind, name, ignore_case=ignore_case)
    field_type = kind.fields.get(path)
    if field_type is None:
        raise query_invalid(f"property '{name}' is not queryable")
    return path, field_type


def known(kind: Kind, name: str, *, ignore_case: bool) -> str:
    """A property's own spelling, of whatever depth. Raises Refusal 4001 for one that the entity does not have."""
    path = _spelled(kind.name, name, ignore_case)
    if path is None:
        raise query_invalid(f"Property {name} not found for Entity {kind.name}")
    return path


@lru_cache(_LARGEST_CACHE)
def _spelled(kind_name: str, name: str, ignore_case: bool) -> str | None:
    kind = KINDS[kind_name]
    if kind.name not in STRUCTURES:
        return name if name in kind.fields else None
    found: list[str] = []
    shape: Shape = kind.name
    for step in name.split("."):
        fields = STRUCTURES.get(shape[0] if isinstance(shape, tuple) else shape)
        if fields is None:
            return None
        own = step if step in fields or step == "*" else _alike(fields, step) if ignore_case else None
        if own is None:
            return None
        found.append(own)
        shape = fields.get(own, "any")
    return ".".join(found)


def _alike(names: Mapping[str, Shape], wanted: str) -> str | None:
    lowered = wanted.lower()
    return next((name for name in names if name.lower() == lowered), None)
