"""Statements made at random: printed and read again, and answered as a slow reading of the documents answers them."""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, Kind
from qbsync.simulator.query.conditions import Rules
from qbsync.simulator.query.evaluate import count, select
from qbsync.simulator.query.lexer import quoted
from qbsync.simulator.query.names import known
from qbsync.simulator.query.parser import Condition, Literal, Ordering, Statement, parse
from qbsync.simulator.query.projection import project, tree
from qbsync.simulator.store import Table

NOW = 2_000_000_000.0
PACIFIC_IN_WINTER = timezone(timedelta(hours=-8))
NAMES = st.from_regex(
    r"[A-Za-z_][A-Za-z0-9_]{0,6}(\.[A-Za-z_][A-Za-z0-9_]{0,6}){0,2}", fullmatch=True
).filter(
    lambda name: (
        not re.fullmatch(
            "(?i)select|from|where|and|or|in|like|order|by|orderby|asc|desc|startposition|maxresults|iterator|count|true|false",
            name,
        )
    )
)
LITERALS = st.one_of(
    st.text().map(lambda text: Literal(text, quoted=True)),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000).map(
        lambda number: Literal(str(number), quoted=False)
    ),
    st.sampled_from(["true", "False"]).map(lambda word: Literal(word, quoted=False)),
)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    field = draw(NAMES)
    if draw(st.booleans()):
        return Condition(field, "IN", tuple(draw(st.lists(LITERALS, min_size=1, max_size=4))))
    return Condition(field, draw(st.sampled_from(["=", "<", ">", "<=", ">=", "LIKE"])), (draw(LITERALS),))


STATEMENTS = st.builds(
    lambda counted, fields, **more: Statement(count=counted, fields=() if counted else tuple(fields), **more),
    counted=st.booleans(),
    fields=st.lists(NAMES, max_size=3),
    entity=NAMES.filter(lambda name: "." not in name),
    where=st.lists(conditions(), max_size=3).map(tuple),
    order=st.lists(st.builds(Ordering, NAMES, st.booleans()), max_size=2).map(tuple),
    start=st.one_of(st.none(), st.integers(-5, 10**9)),
    limit=st.one_of(st.none(), st.integers(-5, 10**9)),
)


def printed(statement: Statement, blank: str = " ") -> str:
    """The statement in the query language."""
    words = [
        "SELECT",
        "COUNT(*)" if statement.count else ", ".join(statement.fields) or "*",
        "FROM",
        statement.entity,
    ]
    if statement.where:
        words += ["WHERE", f"{blank}AND{blank}".join(condition_printed(each) for each in statement.where)]
    if statement.order:
        keys = ",".join(f"{each.field} {'DESC' if each.descending else 'asc'}" for each in statement.order)
        words += ["ORDERBY", keys]
    words += ["STARTPOSITION", str(statement.start)] if statement.start is not None else []
    words += ["maxresults", str(statement.limit)] if statement.limit is not None else []
    return blank.join(words)


def condition_printed(condition: Condition) -> str:
    values = [quoted(each.text) if each.quoted else each.text for each in condition.values]
    listed = f"({', '.join(values)})" if condition.operator == "IN" else values[0]
    return f"{condition.field} {condition.operator} {listed}"


@given(statement=STATEMENTS, blank=st.sampled_from([" ", "\n", "\t  ", "\r\n"]))
def test_what_is_printed_is_read_as_it_was(statement: Statement, blank: str) -> None:
    assert parse(printed(statement, blank)) == statement


# Rows, and a reading of them that knows nothing of indexes, types by table or early ends.

TEXTS = st.sampled_from(["A-1", "a-1", "A-2", " A-1 ", "B%", "ß", "SS", "1", "", None])
STAMPS = st.integers(0, 40).map(lambda hours: f"2026-01-{1 + hours // 24:02d}T{hours % 24:02d}:00:00-08:00")


def documents(kind: Kind) -> st.SearchStrategy[list[dict[str, Any]]]:
    own: Mapping[str, st.SearchStrategy[Any]] = (
        {
            "DocNumber": TEXTS,
            "TxnDate": st.sampled_from(["2026-01-01", "2026-01-02", None]),
            "Balance": st.sampled_from([Decimal(0), Decimal("10.50"), Decimal(20)]),
            "CustomerRef": st.sampled_from([{"value": "1"}, {"value": "2", "name": "Two"}]),
        }
        if kind is INVOICE
        else {
            "DisplayName": st.sampled_from(["Zoe", "adam", "ADAM", "Eve (deleted)"]),
            "FullyQualifiedName": st.sampled_from(["Zoe", "Adam:Zoe", "Adam", "Bob:adam"]),
            "Active": st.booleans(),
            "GivenName": TEXTS,
            "Balance": st.sampled_from([Decimal(0), Decimal(5)]),
        }
    )
    row = st.fixed_dictionaries(
        {**own, "MetaData": st.builds(lambda stamp: {"CreateTime": stamp, "LastUpdatedTime": stamp}, STAMPS)}
    )
    return st.lists(row, max_size=8).map(
        lambda rows: [
            {**each, "Id": str(number), "SyncToken": "0"} for number, each in enumerate(rows, start=1)
        ]
    )


VALUES = {
    "text": ["A-1", "a-1", "A-2", "A-3", "B%", "ss", " ", "Zoe", "ADAM"],
    "number": ["0", "10.5", "10.500", "20", "-1"],
    "date": ["2026-01-01", "2026-01-02", "2025-12-31", " "],
    "moment": ["2026-01-01", "2026-01-01T05:00:00-08:00", "2026-01-01T13:00:00Z", "2026-01-02T00:00:00"],
    "flag": ["true", "false"],
    "identifier": ["1", "2", "7", "10", "x"],
}
PATTERNS = ["A%", "%1", "%-%", "a-1", "%", "%A%1%", "", "_-1"]
ASKED = {
    INVOICE.name: ["Id", "DocNumber", "TxnDate", "Balance", "CustomerRef", "MetaData.CreateTime"],
    CUSTOMER.name: ["Id", "DisplayName", "Active", "GivenName", "Balance", "MetaData.LastUpdatedTime"],
}


@st.composite
def askable(draw: st.DrawFn, kind: Kind) -> Condition:
    field = draw(st.sampled_from(ASKED[kind.name]))
    values = VALUES[kind.fields[field]]
    if draw(st.integers(0, 3)) == 0 and kind.fields[field] in {"text", "identifier"}:
        return Condition(field, "LIKE", (Literal(draw(st.sampled_from(PATTERNS)), quoted=True),))
    name = draw(st.sampled_from(["=", "=", "IN", "<", ">", "<=", ">="]))
    if kind.fields[field] == "flag":
        name = draw(st.sampled_from(["=", "IN"]))
    literals = st.sampled_from(values).map(lambda text: Literal(text, quoted=True))
    return Condition(
        field, name, tuple(draw(st.lists(literals, min_size=1, max_size=3 if name == "IN" else 1)))
    )


def value_of(document: Mapping[str, Any], kind: Kind, field: str) -> Any:
    """A property as something to compare; None where there is none."""
    value: Any = document
    for step in field.split("."):
        value = value.get(step) if value is not None else None
    return meant(kind, field, value["value"] if isinstance(value, dict) else value)


def meant(kind: Kind, field: str, value: Any) -> Any:
    kind_of_field = str(kind.fields[field])
    if value is None or str(value).strip() == "":
        return None
    if kind_of_field == "moment":
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=PACIFIC_IN_WINTER)
    if kind_of_field == "identifier":
        return (0, int(value)) if value.isdigit() else (1, value)
    return {
        "text": lambda: value.strip().casefold(),
        "number": lambda: Decimal(value),
        "date": lambda: value,
        "flag": lambda: str(value).lower() == "true",
    }[kind_of_field]()


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def holds(document: Mapping[str, Any], kind: Kind, condition: Condition) -> bool:
    value = value_of(document, kind, condition.field)
    if condition.operator == "LIKE":
        raw = document.get(condition.field)
        raw = raw["value"] if isinstance(raw, dict) else raw
        pattern = ".*".join(re.escape(part) for part in condition.values[0].text.casefold().split("%"))
        return raw is not None and re.fullmatch(pattern, raw.casefold(), re.DOTALL) is not None
    wanted = [meant(kind, condition.field, each.text) for each in condition.values]
    if condition.operator in OPERATORS:
        return value is not None and wanted[0] is not None and OPERATORS[condition.operator](value, wanted[0])
    return value in wanted


def oracle(statement: Statement, rows: list[dict[str, Any]], kind: Kind) -> list[str]:
    """The Ids a statement should find, all pages together."""
    asks_active = any(each.field == "Active" for each in statement.where)
    found = [
        row
        for row in (rows if kind.is_list else rows[::-1])
        if all(holds(row, kind, each) for each in statement.where)
        and (not kind.is_list or asks_active or row["Active"])
    ]
    if not statement.order and kind.named_by:
        found.sort(key=lambda row: row["FullyQualifiedName"].casefold())
    for each in reversed(statement.order):
        values = {row["Id"]: value_of(row, kind, each.field) for row in found}
        found.sort(
            key=lambda row: (values[row["Id"]] is not None, values[row["Id"]] or 0), reverse=each.descending
        )
    return [row["Id"] for row in found]


@st.composite
def questions(draw: st.DrawFn) -> tuple[Kind, list[dict[str, Any]], Statement]:
    kind = draw(st.sampled_from([INVOICE, CUSTOMER]))
    sortable = st.sampled_from(["Balance", "MetaData.CreateTime"])
    statement = Statement(
        entity=kind.name,
        count=False,
        fields=(),
        where=tuple(draw(st.lists(askable(kind), max_size=3))),
        order=tuple(draw(st.lists(st.builds(Ordering, sortable, st.booleans()), max_size=2))),
        start=draw(st.one_of(st.none(), st.integers(1, 5))),
        limit=draw(st.one_of(st.none(), st.integers(1, 5))),
    )
    return kind, draw(documents(kind)), statement


@settings(max_examples=200)
@given(questions())
def test_the_rows_of_the_slow_reading_are_found(
    question: tuple[Kind, list[dict[str, Any]], Statement],
) -> None:
    kind, rows, statement = question
    table = Table(kind)
    for row in rows:
        table.put({**row}, visible_at=0.0)
    expected = oracle(statement, rows, kind)
    start, limit = (statement.start or 1) - 1, statement.limit or 100
    page = select(parse(printed(statement)), table, Rules(visible_until=NOW))
    assert [row.id for row in page.rows] == expected[start : start + limit]
    assert (page.next_row is not None) == (len(expected) > start + limit)
    assert count(statement, table, Rules(visible_until=NOW)) == len(expected)


# Projections


DOCUMENT = {
    "domain": "QBO",
    "sparse": False,
    "Id": "7",
    "MetaData": {"CreateTime": "a", "LastUpdatedTime": "b"},
    "CustomerRef": {"value": "1", "name": "Amy"},
    "Line": [
        {"Id": "1", "Amount": 1, "SalesItemLineDetail": {"Qty": 2, "ItemRef": {"value": "5"}}},
        {"Amount": 3},
    ],
    "Balance": 3,
}


def picked(*paths: str) -> dict[str, Any]:
    full = [known(INVOICE, path, ignore_case=True) for path in paths]
    row = project(tree(full), DOCUMENT)
    assert (row.pop("domain"), row.pop("sparse")) == ("QBO", True)
    return row


def test_projections_bring_what_is_listed_and_no_more() -> None:
    assert picked("Id", "Balance") == {"Id": "7", "Balance": 3}
    assert picked("balance", "ID") == {"Id": "7", "Balance": 3}
    assert picked("DocNumber") == {}
    assert picked("MetaData.CreateTime") == {"MetaData": {"CreateTime": "a"}}
    assert picked("CustomerRef") == {"CustomerRef": DOCUMENT["CustomerRef"]}
    assert picked("CustomerRef.name") == {"CustomerRef": {"name": "Amy"}}
    assert picked("Line.*") == picked("Line") == {"Line": DOCUMENT["Line"]}
    assert picked("Line.Amount") == {"Line": [{"Amount": 1}, {"Amount": 3}]}
    assert picked("Line.SalesItemLineDetail.Qty", "Line.Id") == {
        "Line": [{"Id": "1", "SalesItemLineDetail": {"Qty": 2}}, {}]
    }
    assert picked("Line", "Line.Amount") == picked("Line.Amount", "Line.*") == {"Line": DOCUMENT["Line"]}
