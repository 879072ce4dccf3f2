"""A statement against a table: which rows, in which order, which page."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from qbsync.simulator.entities.kinds import Kind
from qbsync.simulator.faults import query_invalid
from qbsync.simulator.query.conditions import Filter, Rules, filter_of, ordinal
from qbsync.simulator.query.names import filterable, known
from qbsync.simulator.query.parser import Ordering, Statement
from qbsync.simulator.store import Record, Table

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows from the `start`-th of all that match; `next_row` is the one after them, where the page was cut."""

    rows: Sequence[Record]
    start: int
    next_row: Record | None = None


def select(statement: Statement, table: Table, rules: Rules) -> Page:
    """The page a statement asks for. Raises Refusal 4001 for fields and values that cannot be asked."""
    start, limit = _page(statement, rules)
    for path in statement.fields:
        known(table.kind, path, ignore_case=rules.ignore_name_case)
    found: Iterable[Record] = _matching(statement, table, rules)
    if statement.order or table.kind.named_by is not None:
        found = _sorted(table.kind, list(found), statement.order, rules)
    rows = list(islice(found, start - 1, start + limit))
    return Page(rows[:limit], start, rows[limit] if len(rows) > limit else None)


def count(statement: Statement, table: Table, rules: Rules) -> int:
    """How many rows match, whatever page is asked for. Raises Refusal 4001."""
    _page(statement, rules)
    return sum(1 for _ in _matching(statement, table, rules))


def _page(statement: Statement, rules: Rules) -> tuple[int, int]:
    start = 1 if statement.start is None else statement.start
    limit = DEFAULT_PAGE if statement.limit is None else statement.limit
    if start == 0 and rules.start_at_zero:
        start = 1
    for value in (start, limit):
        if value < 1:
            raise query_invalid(f"value {value} is too small. Min allowed value is 1")
    if limit > LARGEST_PAGE and not rules.cut_large_pages:
        raise query_invalid(f"value {limit} is too large. Max allowed value is {LARGEST_PAGE}")
    return start, min(limit, LARGEST_PAGE)


def _matching(statement: Statement, table: Table, rules: Rules) -> Iterator[Record]:
    """The rows that match, in QuickBooks' default order but for names. Raises Refusal at once, not when iterated."""
    filters = [filter_of(table.kind, condition, rules) for condition in statement.where]
    for ordering in statement.order:
        _check_sortable(table.kind, ordering, rules)
    hidden = table.kind.is_list and not any(each.field == "Active" for each in filters)
    return _passing(_candidates(table, filters), filters, rules.visible_until, hide_inactive=hidden)


def _passing(
    candidates: Iterable[Record], filters: Sequence[Filter], now: float, *, hide_inactive: bool
) -> Iterator[Record]:
    tests = [each.test for each in filters]
    for newest in candidates:
        row = newest if newest.visible_at <= now else newest.as_of(now)
        if row is None or (hide_inactive and not row.active):
            continue
        for test in tests:
            if not test(row):
                break
        else:
            yield row


def _candidates(table: Table, filters: Sequence[Filter]) -> Iterable[Record]:
    """Rows worth looking at: by an index where one applies, else all of them."""
    for each in filters:
        if not each.indexable:
            continue
        if each.field == "Id":
            rows = [row for text in each.texts if (row := table.get(text)) is not None]
            return _in_default_order(table, rows)
        if each.field in table.kind.indexed:
            return _in_default_order(
                table, [row for text in each.texts for row in table.having(each.field, text)]
            )
    return iter(table) if table.kind.is_list else table.newest_first()


def _in_default_order(table: Table, rows: list[Record]) -> list[Record]:
    unique = {row.id: row for row in rows}
    id_type = table.kind.fields["Id"]
    return sorted(unique.values(), key=lambda row: ordinal(id_type, row.id), reverse=not table.kind.is_list)


def _check_sortable(kind: Kind, ordering: Ordering, rules: Rules) -> None:
    field, _ = filterable(kind, ordering.field, ignore_case=rules.ignore_name_case)
    if field == "Id" and not rules.order_by_id:
        raise query_invalid(f"property '{ordering.field}' is not sortable")


def _sorted(kind: Kind, rows: list[Record], order: Sequence[Ordering], rules: Rules) -> list[Record]:
    if not order and kind.named_by is not None:
        # Recorded: a sub-customer stands after its parent, whatever its own name.
        name = "FullyQualifiedName" if "FullyQualifiedName" in kind.fields else kind.named_by
        rows.sort(key=lambda row: str(row.values[name]).casefold())
    for ordering in reversed(order):
        _sort(kind, rows, ordering, rules)
    return rows


def _sort(kind: Kind, rows: list[Record], ordering: Ordering, rules: Rules) -> None:
    field, field_type = filterable(kind, ordering.field, ignore_case=rules.ignore_name_case)

    def key(row: Record) -> tuple[bool, Any]:
        value = row.values[field]
        return (False, 0) if value is None else (True, ordinal(field_type, value))

    rows.sort(key=key, reverse=ordering.descending)
