"""A statement against a table: which rows, in which order, which page."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from operator import ge, gt, le, lt
from typing import Any

from qbsync.simulator.entities.kinds import FieldType, Kind
from qbsync.simulator.entities.schema import STRUCTURES
from qbsync.simulator.faults import query_invalid
from qbsync.simulator.pacific import parse_moment
from qbsync.simulator.query.parser import Condition, Literal, Ordering, Statement
from qbsync.simulator.store import Record, Table, Value, folded

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {"<": lt, ">": gt, "<=": le, ">=": ge}

Test = Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the switches say about queries. `visible_until` is business time: younger rows are not seen yet."""

    visible_until: float
    ignore_case: bool = True
    order_by_id: bool = False
    max_in_values: int = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Rows `start` to `start + len(rows) - 1` of all that match; `more` when the page was cut."""

    rows: Sequence[Record]
    start: int
    total: int
    more: bool
    next_row: Record | None = None


def select(statement: Statement, table: Table, rules: Rules) -> Page:
    """The page a statement asks for. Raises Refusal 4001 for fields and values that cannot be asked."""
    kind = table.kind
    start = _position("STARTPOSITION", statement.start, 1)
    limit = min(_position("MAXRESULTS", statement.limit, DEFAULT_PAGE), LARGEST_PAGE)
    _check_fields(kind, statement.fields)
    tests = [_test(kind, condition, rules) for condition in statement.where]
    found = [
        row
        for row in _candidates(table, statement.where)
        if row.visible_at <= rules.visible_until and all(test(row) for test in tests)
    ]
    if kind.is_list and not any(condition.field == "Active" for condition in statement.where):
        found = [row for row in found if row.active]
    _sort(kind, found, statement.order, rules)
    page = found[start - 1 : start - 1 + limit]
    after = start - 1 + limit
    more = after < len(found)
    return Page(page, start, len(found), more, found[after] if more else None)


def project(fields: Sequence[str], document: dict[str, Any]) -> dict[str, Any]:
    """The listed fields of one row; a nested field brings its whole parent with only that child."""
    picked: dict[str, Any] = {name: document[name] for name in ("domain", "sparse") if name in document}
    for path in fields:
        head, _, rest = path.partition(".")
        if head not in document:
            continue
        if not rest or rest == "*" or not isinstance(document[head], dict):
            picked[head] = document[head]
        elif rest in document[head]:
            picked.setdefault(head, {})[rest] = document[head][rest]
    return picked


def _position(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 1:
        raise query_invalid(f"value {value} is too small. Min allowed value is 1")
    if name == "MAXRESULTS" and value > LARGEST_PAGE:
        raise query_invalid(f"value {value} is too large. Max allowed value is {LARGEST_PAGE}")
    return value


def _known(kind: Kind, head: str) -> bool:
    return head in STRUCTURES.get(kind.name, {}) or any(
        head == name.partition(".")[0] for name in (*kind.fields, "SyncToken", "domain", "sparse")
    )


def _check_fields(kind: Kind, fields: Iterable[str]) -> None:
    if kind.name not in STRUCTURES:
        return
    for path in fields:
        if not _known(kind, path.partition(".")[0]):
            raise query_invalid(f"Property {path} not found for Entity {kind.name}")


def _field_type(kind: Kind, name: str) -> FieldType:
    field_type = kind.fields.get(name)
    if field_type is not None:
        return field_type
    if _known(kind, name.partition(".")[0]):
        raise query_invalid(f"property '{name}' is not queryable")
    raise query_invalid(f"Property {name} not found for Entity {kind.name}")


def _candidates(table: Table, where: Sequence[Condition]) -> Iterable[Record]:
    """Rows worth looking at: by an index where one applies, else all, in QuickBooks' default order."""
    for condition in where:
        if condition.operator not in {"=", "IN"}:
            continue
        texts = [literal.text for literal in condition.values]
        if condition.field == "Id":
            rows = [row for text in texts if (row := table.get(text)) is not None]
            return _in_default_order(table, rows)
        if condition.field in table.kind.indexed:
            return _in_default_order(
                table, [row for text in texts for row in table.having(condition.field, text)]
            )
    return iter(table) if table.kind.is_list else table.newest_first()


def _in_default_order(table: Table, rows: list[Record]) -> list[Record]:
    unique = {row.id: row for row in rows}
    return sorted(unique.values(), key=lambda row: int(row.id), reverse=not table.kind.is_list)


def _sort(kind: Kind, rows: list[Record], order: Sequence[Ordering], rules: Rules) -> None:
    if not order and kind.named_by is not None:
        name = kind.named_by
        rows.sort(key=lambda row: str(row.values[name]).casefold())
    for ordering in reversed(order):
        _field_type(kind, ordering.field)
        if ordering.field == "Id" and not rules.order_by_id:
            raise query_invalid("property 'Id' is not sortable")
        rows.sort(key=_sort_key(ordering.field), reverse=ordering.descending)


def _sort_key(field: str) -> Callable[[Record], tuple[bool, Any]]:
    def key(row: Record) -> tuple[bool, Any]:
        value = row.values[field]
        if value is None:
            return (False, 0)
        return (True, int(value) if field == "Id" and isinstance(value, str) else value)

    return key


def _test(kind: Kind, condition: Condition, rules: Rules) -> Test:
    field_type = _field_type(kind, condition.field)
    name = condition.field
    if len(condition.values) > rules.max_in_values:
        raise query_invalid(
            f"IN list of property '{name}' is too long. Max allowed value is {rules.max_in_values}"
        )
    if condition.operator == "LIKE":
        return _like(name, field_type, condition.values[0], rules)
    fold = rules.ignore_case and field_type is FieldType.TEXT
    wanted = [_comparable(name, field_type, literal, fold=fold) for literal in condition.values]
    if condition.operator in {"=", "IN"}:
        return _membership(name, frozenset(wanted), fold=fold)
    return _comparison(name, _ORDERED[condition.operator], wanted[0], fold=fold)


def _membership(name: str, wanted: frozenset[Value], *, fold: bool) -> Test:
    def test(row: Record) -> bool:
        value = row.values[name]
        return (folded(value) if fold and isinstance(value, str) else value) in wanted

    return test


def _comparison(name: str, compare: Callable[[Any, Any], bool], wanted: Value, *, fold: bool) -> Test:
    def test(row: Record) -> bool:
        value = row.values[name]
        if value is None:
            return False
        return compare(folded(value) if fold and isinstance(value, str) else value, wanted)

    return test


def _like(name: str, field_type: FieldType, literal: Literal, rules: Rules) -> Test:
    if field_type not in {FieldType.TEXT, FieldType.IDENTIFIER, FieldType.DATE} or not literal.quoted:
        raise query_invalid(f"operator LIKE is not supported for property '{name}'")
    flags = re.DOTALL | (re.IGNORECASE if rules.ignore_case else 0)
    pattern = re.compile(".*".join(re.escape(part) for part in re.split("%+", literal.text)), flags)

    def test(row: Record) -> bool:
        value = row.values[name]
        return isinstance(value, str) and pattern.fullmatch(value) is not None

    return test


def _comparable(name: str, field_type: FieldType, literal: Literal, *, fold: bool) -> Value:
    """The literal in the field's type. Raises Refusal 4001."""
    value: Value = None
    if field_type is FieldType.NUMBER:
        value = _decimal(literal.text)
    elif field_type is FieldType.FLAG:
        value = {"true": True, "false": False}.get(literal.text.lower())
    elif field_type is FieldType.MOMENT:
        moment = parse_moment(literal.text)
        value = moment.timestamp() if moment is not None else None
    elif field_type is FieldType.DATE:
        moment = parse_moment(literal.text)
        value = literal.text[:10] if moment is not None else None
    else:
        value = folded(literal.text) if fold else literal.text
    if value is None:
        raise query_invalid(f"Invalid value '{literal.text[:100]}' for property '{name}'")
    return value


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except (InvalidOperation, ValueError):
        return None
    return value if value.is_finite() else None
