"""What a request's body means for the entity it changes: fields emptied, left out, replaced."""

from collections.abc import Mapping
from typing import Any

from qbsync.simulator.entities.making import Rules
from qbsync.simulator.faults import unreadable_property
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.switches import Switches


def without_computed(body: Mapping[str, Any], rules: Rules) -> JsonObject:
    """What a client may set; what QuickBooks keeps by itself is dropped, as it is there."""
    return {name: value for name, value in body.items() if name not in rules.computed and name not in _FRAME}


def filled(body: Mapping[str, Any]) -> JsonObject:
    """The body without its empty texts, and without the structures that held nothing else.

    Raises Refusal 2010 for what is nested too deeply to look through.
    """
    try:
        return _filled_object(body)
    except RecursionError:
        raise unreadable_property("The request is nested too deeply") from None


def laid_over(
    before: Mapping[str, Any], body: Mapping[str, Any], rules: Rules, switches: Switches
) -> JsonObject:
    """A sparse update: what is left out stays; an emptied field is cleared, or by switch stays too."""
    result = without_computed(before, rules)
    nested = switches.choice("sparseStructures") == "merge"
    kept = filled(body)
    for name, value in body.items():
        if name not in kept:
            if switches.choice("emptyText") == "clears":
                result.pop(name, None)
        elif nested and isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = filled({**result[name], **value})
        else:
            result[name] = kept[name]
    return result


_FRAME = frozenset({"Id", "SyncToken", "MetaData", "domain", "sparse", "status"})


def _filled_object(body: Mapping[str, Any]) -> JsonObject:
    result = {}
    for name, value in body.items():
        kept = _filled(value)
        if kept is not None:
            result[name] = kept
    return result


def _filled(value: Any) -> Any:
    if value == "":
        return None
    if isinstance(value, dict):
        kept = _filled_object(value)
        return kept if kept or not value else None
    if isinstance(value, list):
        return [kept for entry in value if (kept := _filled(entry)) is not None]
    return value
