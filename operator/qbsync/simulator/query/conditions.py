"""A condition of WHERE as a test of rows, in the type of its property."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from operator import ge, gt, le, lt
from typing import Any

from qbsync.simulator.entities.kinds import FieldType, Kind
from qbsync.simulator.faults import query_invalid
from qbsync.simulator.pacific import parse_moment
from qbsync.simulator.query.names import filterable
from qbsync.simulator.query.parser import Condition, Literal
from qbsync.simulator.store import Record, Value, folded

Test = Callable[[Record], bool]
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {"<": lt, ">": gt, "<=": le, ">=": ge}
_LIKE = frozenset({FieldType.TEXT, FieldType.IDENTIFIER, FieldType.DATE})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the switches say about queries. `visible_until` is business time: younger rows are not seen yet."""

    visible_until: float
    ignore_case: bool = True
    ignore_name_case: bool = True
    order_by_id: bool = False
    start_at_zero: bool = False
    cut_large_pages: bool = False
    max_in_values: int = 500


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition, its property in QuickBooks' own spelling; `texts` are what `=` and IN look for.

    `indexable` filters can be answered from an index of exact texts: rows without a value are in none.
    """

    field: str
    texts: Sequence[str]
    indexable: bool
    test: Test


def filter_of(kind: Kind, condition: Condition, rules: Rules) -> Filter:
    """The condition, ready to be asked of rows. Raises Refusal 4001 for fields and values that cannot be asked."""
    field, field_type = filterable(kind, condition.field, ignore_case=rules.ignore_name_case)
    if len(condition.values) > rules.max_in_values:
        raise query_invalid(
            f"IN list of property '{condition.field}' is too long. Max allowed value is {rules.max_in_values}"
        )
    texts = tuple(literal.text for literal in condition.values)
    if condition.operator == "LIKE":
        return Filter(
            field, texts, False, _like(condition.field, field, field_type, condition.values[0], rules)
        )
    fold = rules.ignore_case and field_type is FieldType.TEXT
    wanted = [
        None if _is_null(each) else _comparable(condition.field, field_type, each, fold=fold)
        for each in condition.values
    ]
    if condition.operator in _ORDERED:
        compare = _ORDERED[condition.operator]
        return Filter(field, texts, False, _comparison(field, field_type, compare, wanted[0], fold=fold))
    return Filter(field, texts, None not in wanted, _membership(field, frozenset(wanted), fold=fold))


def ordinal(field_type: FieldType, value: Value) -> Any:
    """A value by which rows can be put in order: ids as numbers, with those that are none after them."""
    if field_type is not FieldType.IDENTIFIER or not isinstance(value, str):
        return value
    return (0, int(value), "") if value.isascii() and value.isdigit() else (1, 0, value)


def _is_null(literal: Literal) -> bool:
    """Intuit: null is written as a blank in quotes."""
    return literal.quoted and not literal.text.strip()


def _membership(field: str, wanted: frozenset[Value], *, fold: bool) -> Test:
    def test(row: Record) -> bool:
        value = row.values[field]
        if isinstance(value, str):
            value = (folded(value) if fold else value) or None
        return value in wanted

    return test


def _comparison(
    field: str, field_type: FieldType, compare: Callable[[Any, Any], bool], wanted: Value, *, fold: bool
) -> Test:
    if wanted is None:
        return lambda _: False
    limit = ordinal(field_type, wanted)

    def test(row: Record) -> bool:
        value = row.values[field]
        if value is None or value == "":
            return False
        return compare(
            folded(value) if fold and isinstance(value, str) else ordinal(field_type, value), limit
        )

    return test


def _like(asked: str, field: str, field_type: FieldType, literal: Literal, rules: Rules) -> Test:
    if field_type not in _LIKE or not literal.quoted:
        raise query_invalid(f"operator LIKE is not supported for property '{asked}'")
    pattern = literal.text.casefold() if rules.ignore_case else literal.text
    parts = pattern.split("%")

    def test(row: Record) -> bool:
        value = row.values[field]
        return isinstance(value, str) and _matches(value.casefold() if rules.ignore_case else value, parts)

    return test


def _matches(text: str, parts: Sequence[str]) -> bool:
    """Whether the text is these parts with anything between them; in time linear in both, unlike a regex."""
    first, *middle, last = parts if len(parts) > 1 else (parts[0], parts[0])
    if len(parts) == 1:
        return text == first
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _comparable(asked: str, field_type: FieldType, literal: Literal, *, fold: bool) -> Value:
    """The literal in the field's type. Raises Refusal 4001."""
    value = _CONVERSIONS[field_type](literal.text)
    if value is None:
        raise query_invalid(f"Invalid value '{literal.text[:100]}' for property '{asked}'")
    return folded(value) if fold and isinstance(value, str) else value


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except (InvalidOperation, ValueError):
        return None
    return value if value.is_finite() else None


def _flag(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _day(text: str) -> str | None:
    """A date, or the date of a time: all that a date compares by."""
    return text[:10] if _moment(text) is not None else None


def _moment(text: str) -> float | None:
    """Epoch seconds of a date or time; midnight and Pacific time where it does not say."""
    try:
        if date.fromisoformat(text[:10]).isoformat() != text[:10]:
            return None
    except ValueError:
        return None
    moment = parse_moment(text)
    return moment.timestamp() if moment is not None else None


_CONVERSIONS: dict[FieldType, Callable[[str], Value]] = {
    FieldType.TEXT: str,
    FieldType.IDENTIFIER: str,
    FieldType.NUMBER: _decimal,
    FieldType.FLAG: _flag,
    FieldType.DATE: _day,
    FieldType.MOMENT: _moment,
}
