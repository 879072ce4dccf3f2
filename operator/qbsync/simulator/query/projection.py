"""The listed properties of a row: `SELECT Id, CustomerRef, Line.Amount …`."""

from collections.abc import Iterable
from typing import Any

from qbsync.simulator.jsoncodec import JsonObject

Tree = dict[str, "Tree | None"]
"""What is wanted of a structure, by name; None is all of it."""


def tree(paths: Iterable[str]) -> Tree:
    """The paths as one tree; `Line` and `Line.*` are all of it, whatever else is asked of it."""
    root: Tree = {}
    for path in paths:
        level: Tree | None = root
        *parents, last = path.removesuffix(".*").split(".")
        for step in parents:
            level = level.setdefault(step, {}) if level is not None else None
        if level is not None:
            level[last] = None
    return root


def project(wanted: Tree, document: JsonObject) -> JsonObject:
    """These properties of a row, in its own order, and the mark of a row that is not whole (Intuit: sparse)."""
    row: JsonObject = _picked(wanted, document)
    return {**row, "domain": document.get("domain", "QBO"), "sparse": True}


def _picked(wanted: Tree, value: Any) -> Any:
    if isinstance(value, list):
        return [_picked(wanted, entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        name: content if (inner := wanted[name]) is None else _picked(inner, content)
        for name, content in value.items()
        if name in wanted
    }
