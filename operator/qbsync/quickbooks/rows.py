"""What a query and a look at the changes bring home: rows, or the knowledge that they prove nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from qbsync.quickbooks.entities import parse_moment
from qbsync.quickbooks.errors import IncompleteAnswer

MOST_CHANGES: Final = 1000
"""Intuit, "Change data capture": at most 1,000 objects in an answer, without any hint of those cut off."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """One page of a query: a complete 2xx answer without fault, of the documented shape."""

    entity: str | None
    """The name under which the rows came; None without rows."""
    rows: tuple[Mapping[str, Any], ...]
    """QuickBooks' objects, raw."""
    start_position: int | None
    max_results: int | None
    """How many rows QuickBooks says the page holds."""
    total_count: int | None
    """How many rows match, in answers to COUNT and in some others."""
    intuit_tid: str | None
    time: datetime | None = None
    """QuickBooks' clock when it answered."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in a company since a moment (Intuit: change data capture)."""

    rows: Mapping[str, tuple[Mapping[str, Any], ...]]
    """The changed objects as they are now, raw, by entity."""
    deleted: Mapping[str, frozenset[str]]
    """The ids of deleted objects, by entity."""
    time: datetime
    """QuickBooks' clock when it looked."""
    intuit_tid: str | None

    @property
    def complete(self) -> bool:
        """False if more changes may have been cut off: then only a query tells them all."""
        told = sum(map(len, self.rows.values())) + sum(map(len, self.deleted.values()))
        return told < MOST_CHANGES


def query_answer(body: Mapping[str, Any], tid: str | None) -> QueryAnswer:
    """One page of rows. Raises IncompleteAnswer for any other shape than the documented one."""
    found = body.get("QueryResponse")
    if not isinstance(found, Mapping):
        raise IncompleteAnswer(
            "the answer to a query holds no QueryResponse: it proves nothing", intuit_tid=tid
        )
    parts = {name: value for name, value in found.items() if name not in _COUNTERS and value is not None}
    entity, rows = next(iter(parts.items()), (None, []))
    if len(parts) > 1 or not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise IncompleteAnswer(
            "the rows of a query came in no known shape: they prove nothing", intuit_tid=tid
        )
    return QueryAnswer(
        entity=entity,
        rows=tuple(rows),
        start_position=_count(found, "startPosition"),
        max_results=_count(found, "maxResults"),
        total_count=_count(found, "totalCount"),
        intuit_tid=tid,
        time=parse_moment(body.get("time")),
    )


_COUNTERS: Final = frozenset({"startPosition", "maxResults", "totalCount"})


def _count(found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def changes(body: Mapping[str, Any], tid: str | None) -> Changes:
    """The answer to `cdc`. Raises IncompleteAnswer for any other shape than the documented one."""
    time = parse_moment(body.get("time"))
    if time is None:
        raise IncompleteAnswer("the answer about changes does not say of when it is", intuit_tid=tid)
    rows: dict[str, list[Mapping[str, Any]]] = {}
    deleted: dict[str, set[str]] = {}
    for entity, row in _changed(body, tid):
        if row.get("status") == "Deleted":
            deleted.setdefault(entity, set()).add(str(row.get("Id")))
        else:
            rows.setdefault(entity, []).append(row)
    return Changes(
        rows={entity: tuple(found) for entity, found in rows.items()},
        deleted={entity: frozenset(ids) for entity, ids in deleted.items()},
        time=time,
        intuit_tid=tid,
    )


def _changed(body: Mapping[str, Any], tid: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for response in _list_of_objects(body.get("CDCResponse"), tid):
        for part in _list_of_objects(response.get("QueryResponse", []), tid):
            for entity, rows in part.items():
                if entity not in _COUNTERS and rows is not None:
                    yield from ((entity, row) for row in _list_of_objects(rows, tid))


def _list_of_objects(value: object, tid: str | None) -> Iterable[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        # A fault of one entity stands where its rows would: its changes are unknown, not none.
        raise IncompleteAnswer("the changes came in no known shape: they prove nothing", intuit_tid=tid)
    return value
