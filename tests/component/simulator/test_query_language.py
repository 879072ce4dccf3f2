"""The query language: text to statement, statement to rows. Pure, no server."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE
from qbsync.simulator.faults import Refusal
from qbsync.simulator.query.conditions import Rules
from qbsync.simulator.query.evaluate import count, select
from qbsync.simulator.query.lexer import place, quoted
from qbsync.simulator.query.parser import Condition, Literal, Ordering, parse
from qbsync.simulator.store import Table

NOW = 2_000_000_000.0
FRAGMENTS = [
    "SELECT", "select", "*", "count(*)", "FROM", "Invoice", "Custmoer", "WHERE", "AND", "OR", "IN", "LIKE", "ORDERBY",
    "ASC", "STARTPOSITION", "MAXRESULTS", "DocNumber", "MetaData.CreateTime", "Line.*", "=", "<", ">=", "(", ")", ",",
    "'x'", "'", "\\", "''", "1", "-1", "1.5", "99999999999999", "true", "%", ";", "\n", "é", "\x00", "--",
]  # fmt: skip


def refusal_of(attempt: Callable[[], object]) -> tuple[str, str] | None:
    """Code and detail of the fault an attempt ends in; None if it ends well."""
    try:
        attempt()
    except Refusal as refusal:
        return refusal.errors[0].code, str(refusal.errors[0].detail)
    return None


def code_of(statement: str) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        parse(statement)
    error = caught.value.errors[0]
    return error.code, str(error.detail)


def test_every_part_of_a_statement() -> None:
    statement = parse(
        "SELECT Id, MetaData.CreateTime FROM Invoice WHERE DocNumber IN ('a', 'b') AND Balance > 0 "
        "AND TxnDate >= '2026-01-01' ORDERBY MetaData.LastUpdatedTime DESC, DocNumber STARTPOSITION 101 MAXRESULTS 50"
    )
    assert statement.entity == "Invoice"
    assert statement.fields == ("Id", "MetaData.CreateTime")
    assert not statement.count
    assert statement.where == (
        Condition("DocNumber", "IN", (Literal("a", quoted=True), Literal("b", quoted=True))),
        Condition("Balance", ">", (Literal("0", quoted=False),)),
        Condition("TxnDate", ">=", (Literal("2026-01-01", quoted=True),)),
    )
    assert statement.order == (
        Ordering("MetaData.LastUpdatedTime", descending=True),
        Ordering("DocNumber", descending=False),
    )
    assert (statement.start, statement.limit) == (101, 50)


@pytest.mark.parametrize(
    "statement",
    ["select count(*) from Customer", "SELECT COUNT(*) FROM Customer", "Select Count ( * ) From Customer"],
)
def test_count_in_any_case(statement: str) -> None:
    assert parse(statement).count


def test_start_and_limit_in_either_order() -> None:
    statement = parse("SELECT * FROM Customer MAXRESULTS 2 STARTPOSITION 7")
    assert (statement.start, statement.limit) == (7, 2)


@given(st.text())
def test_a_quoted_string_comes_back_as_it_was(text: str) -> None:
    statement = parse(f"SELECT * FROM Customer WHERE DisplayName = {quoted(text)}")
    assert statement.where[0].values == (Literal(text, quoted=True),)


@given(st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(" ".join)))
def test_arbitrary_text_is_a_statement_or_the_query_fault(text: str) -> None:
    refusal = refusal_of(lambda: parse(text))
    if refusal is None:
        assert parse(text).entity in text
    else:
        code, detail = refusal
        assert code == "4000"
        assert re.match(
            "QueryParserError: (Encountered|Invalid content. Lexical error|The query provided was empty)",
            detail,
        )


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(" ".join))
def test_whatever_parses_selects_or_is_the_validation_fault(tail: str) -> None:
    text = f"SELECT * FROM Invoice WHERE {tail}"
    if refusal_of(lambda: parse(text)) is not None:
        return
    refusal = refusal_of(lambda: select(parse(text), Table(INVOICE), Rules(visible_until=NOW)))
    assert refusal is None or refusal[0] == "4001"


def test_doubled_quotes_are_no_escape() -> None:
    code, detail = code_of("SELECT * FROM Customer WHERE DisplayName = 'Amy''s Bird Sanctuary'")
    assert code == "4000"
    assert detail == (
        'QueryParserError: Encountered " <STRING> "\'s Bird Sanctuary\' "" at line 1, column 49.'
    )


@pytest.mark.parametrize(
    ("tail", "complaint"),
    [
        ("WHERE A = 'x' OR B = 'y'", 'Encountered " <OR> "OR "" at line 1, column 37.'),
        ("GROUP BY A", 'Encountered " <IDENTIFIER> "GROUP "" at line 1, column 23.'),
        ("JOIN Customer", 'Encountered " <IDENTIFIER> "JOIN "" at line 1, column 23.'),
        (", Customer", 'Encountered " "," ", "" at line 1, column 23.'),
        ("WHERE A IN ()", 'Encountered " ")" ") "" at line 1, column 35.'),
        ("WHERE A = B", 'Encountered " <IDENTIFIER> "B "" at line 1, column 33.'),
        ("WHERE A = 2026-01-01", 'Encountered " <NUMBER> "-01 "" at line 1, column 37.'),
        ("WHERE A <> 'x'", 'Encountered " ">" "> "" at line 1, column 32.'),
        ("WHERE", 'Encountered "<EOF>" at line 1, column 27.'),
        ("ORDERBY", 'Encountered "<EOF>" at line 1, column 29.'),
        ("MAXRESULTS 'x'", 'Encountered " <STRING> "\'x\' "" at line 1, column 34.'),
        ("MAXRESULTS 1 MAXRESULTS 2", 'Encountered " "maxresults" "MAXRESULTS "" at line 1, column 36.'),
        ("\n\tWHERE = 'x'", 'Encountered " "=" "= "" at line 2, column 15.'),
        (
            "WHERE A = 'open",
            'Invalid content. Lexical error at line 1, column 37.  Encountered: <EOF> after : "\'open"',
        ),
        (
            "WHERE é = 1",
            'Invalid content. Lexical error at line 1, column 29.  Encountered: "\\u00e9" (233), after : ""',
        ),
    ],
)
def test_what_is_not_of_the_language_is_named_with_its_place(tail: str, complaint: str) -> None:
    assert code_of(f"SELECT * FROM Invoice {tail}") == ("4000", f"QueryParserError: {complaint}")


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (  # mcohen01/node-quickbooks, issue 56
            "select * from vendor where DisplayName = 'Cutlery 'R Us'",
            'Encountered " <IDENTIFIER> "R "" at line 1, column 52.',
        ),
        (  # pbrink231/quickbooks-node-promise, issue 1
            "select * from account where AccountSubType %3D %27Inventory%27",
            'Invalid content. Lexical error at line 1, column 44.  Encountered: "%" (37), after : ""',
        ),
    ],
)
def test_complaints_met_in_the_field(statement: str, complaint: str) -> None:
    assert code_of(statement) == ("4000", f"QueryParserError: {complaint}")


def test_an_empty_statement_is_said_to_be_empty() -> None:
    """Recorded: intuit/QuickBooks-V3-PHP-SDK, issue 8."""
    assert code_of(" \n")[1] == "QueryParserError: The query provided was empty"


@pytest.mark.parametrize(
    ("offset", "where"),
    [(0, "1, column 1"), (7, "1, column 8"), (8, "1, column 9"), (9, "2, column 8"), (10, "2, column 9")],
)
def test_columns_count_anew_in_each_line(offset: int, where: str) -> None:
    assert place("SELECT *\n\tFROM", offset) == f"line {where}"


def test_everything_and_more_is_everything() -> None:
    """As python-quickbooks asks for items."""
    assert parse("SELECT *, Sku FROM Item MAXRESULTS 100").fields == ()


def test_order_by_may_be_two_words() -> None:
    assert parse("SELECT * FROM Item ORDER BY Name").order == (Ordering("Name", descending=False),)


def table_of_invoices(*numbers: str | None) -> Table:
    table = Table(INVOICE)
    for position, number in enumerate(numbers, start=1):
        document = {
            "Id": str(position),
            "SyncToken": "0",
            "DocNumber": number,
            "TxnDate": f"2026-01-{position:02d}",
            "Balance": position * 10,
            "CustomerRef": {"value": str(position % 2)},
            "MetaData": {
                "CreateTime": f"2026-01-{position:02d}T10:00:00-08:00",
                "LastUpdatedTime": f"2026-02-{position:02d}T10:00:00-08:00",
            },
        }
        table.put(document, visible_at=0.0)
    return table


def found(table: Table, where: str, **rules: object) -> list[str]:
    statement = parse(f"SELECT * FROM {table.kind.name} {where}")
    page = select(statement, table, Rules(visible_until=NOW, **rules))  # type: ignore[arg-type]
    return [row.id for row in page.rows]


def refused(table: Table, where: str, **rules: object) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        found(table, where, **rules)
    return caught.value.errors[0].code, str(caught.value.errors[0].detail)


INVOICES = table_of_invoices("A-1", "A-2", "a-1", None, "B\\1'x")


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("", ["5", "4", "3", "2", "1"]),
        ("WHERE DocNumber = 'A-2'", ["2"]),
        ("WHERE DocNumber IN ('A-2', 'none', 'A-2')", ["2"]),
        ("WHERE DocNumber LIKE 'A-%'", ["3", "2", "1"]),
        ("WHERE DocNumber LIKE '%-1'", ["3", "1"]),
        ("WHERE DocNumber LIKE 'A.1'", []),
        ("WHERE DocNumber = 'B\\\\1\\'x'", ["5"]),
        ("WHERE Balance > 20 AND Balance <= 40", ["4", "3"]),
        ("WHERE Balance > '20.00' AND CustomerRef = '1'", ["5", "3"]),
        ("WHERE TxnDate < '2026-01-03'", ["2", "1"]),
        ("WHERE Id IN ('4', '1')", ["4", "1"]),
        ("WHERE Id = '99'", []),
        ("WHERE MetaData.CreateTime >= '2026-01-04T18:00:00Z'", ["5", "4"]),
        ("WHERE MetaData.CreateTime >= '2026-01-04T10:00:01-08:00'", ["5"]),
        ("WHERE MetaData.CreateTime < '2026-01-02'", ["1"]),
        ("ORDERBY Balance", ["1", "2", "3", "4", "5"]),
        ("ORDERBY DocNumber DESC", ["3", "5", "2", "1", "4"]),
        ("ORDERBY MetaData.LastUpdatedTime DESC MAXRESULTS 2", ["5", "4"]),
        ("STARTPOSITION 4 MAXRESULTS 2", ["2", "1"]),
        ("STARTPOSITION 6", []),
        ("WHERE DocNumber = ' '", ["4"]),
        ("WHERE DocNumber IN (' ', 'A-2')", ["4", "2"]),
        ("WHERE DocNumber < ' '", []),
        ("WHERE DueDate = ' ' AND Balance < 30", ["2", "1"]),
        ("WHERE DocNumber LIKE '%'", ["5", "3", "2", "1"]),
        ("WHERE DocNumber LIKE '%A%1%'", ["3", "1"]),
        ("WHERE DocNumber LIKE 'A-1%1'", []),
        ("WHERE DocNumber > 'A-1'", ["5", "2"]),
        ("WHERE Id > '1' AND Id <= 4", ["4", "3", "2"]),
        ("WHERE TxnDate = '2026-01-02T23:00:00-08:00'", ["2"]),
        ("WHERE MetaData.CreateTime >= '2026-01-04T10:00:01-0800'", ["5"]),
        ("where docnumber = 'A-2' and metadata.createtime > '2026-01-01'", ["2"]),
        ("orderby metadata.lastupdatedtime desc", ["5", "4", "3", "2", "1"]),
        ("ORDER BY Balance DESC", ["5", "4", "3", "2", "1"]),
        ("ORDERBY CustomerRef DESC, Balance", ["1", "3", "5", "2", "4"]),
    ],
)
def test_rows_found(where: str, ids: list[str]) -> None:
    assert found(INVOICES, where) == ids


def test_case_counts_or_not() -> None:
    assert found(INVOICES, "WHERE DocNumber = 'a-1'", ignore_case=True) == ["3", "1"]
    assert found(INVOICES, "WHERE DocNumber = 'a-1'", ignore_case=False) == ["3"]


@pytest.mark.parametrize(
    ("where", "detail"),
    [
        ("WHERE PrivateNote = 'x'", "property 'PrivateNote' is not queryable"),
        ("WHERE DepartmentRef = '1'", "property 'DepartmentRef' is not queryable"),
        ("WHERE Line.Amount = 1", "property 'Line.Amount' is not queryable"),
        ("WHERE Line.Nothing = 1", "Property Line.Nothing not found for Entity Invoice"),
        ("WHERE BillAddr.City.Name = 'x'", "Property BillAddr.City.Name not found for Entity Invoice"),
        ("WHERE NoSuchField = 'x'", "Property NoSuchField not found for Entity Invoice"),
        ("ORDERBY PrivateNote", "property 'PrivateNote' is not queryable"),
        ("ORDERBY Id", "property 'Id' is not sortable"),
        ("WHERE Balance = 'much'", "Invalid value 'much' for property 'Balance'"),
        ("WHERE TxnDate > 'yesterday'", "Invalid value 'yesterday' for property 'TxnDate'"),
        ("WHERE Balance LIKE '1%'", "operator LIKE is not supported for property 'Balance'"),
        ("WHERE TxnDate > '20260101'", "Invalid value '20260101' for property 'TxnDate'"),
        (
            "WHERE MetaData.CreateTime > '2026-13-01'",
            "Invalid value '2026-13-01' for property 'MetaData.CreateTime'",
        ),
        ("WHERE Balance = true", "Invalid value 'true' for property 'Balance'"),
        ("WHERE DocNumber LIKE 1", "operator LIKE is not supported for property 'DocNumber'"),
        ("STARTPOSITION -1", "value -1 is too small. Min allowed value is 1"),
        ("MAXRESULTS 0", "value 0 is too small. Min allowed value is 1"),
        ("STARTPOSITION 0", "value 0 is too small. Min allowed value is 1"),
        ("MAXRESULTS 1001", "value 1001 is too large. Max allowed value is 1000"),
    ],
)
def test_what_cannot_be_asked(where: str, detail: str) -> None:
    assert refused(INVOICES, where) == ("4001", f"QueryValidationError: {detail}")


def test_pages_out_of_range_where_the_switches_are_kind() -> None:
    assert found(INVOICES, "STARTPOSITION 0 MAXRESULTS 2", start_at_zero=True) == ["5", "4"]
    assert len(found(INVOICES, "MAXRESULTS 1001", cut_large_pages=True)) == 5


def test_names_may_be_taken_to_the_letter() -> None:
    assert refused(INVOICES, "WHERE docnumber = 'A-2'", ignore_name_case=False)[1].endswith(
        "Property docnumber not found for Entity Invoice"
    )
    assert found(INVOICES, "WHERE DocNumber = 'A-2'", ignore_name_case=False) == ["2"]


def test_many_wildcards_take_no_time() -> None:
    table = table_of_invoices("a" * 20000)
    assert found(table, f"WHERE DocNumber LIKE '{'%a' * 3000}b'") == []
    assert found(table, f"WHERE DocNumber LIKE '{'%a' * 3000}'") == ["1"]


def test_order_by_id_was_allowed_once() -> None:
    assert found(INVOICES, "ORDERBY Id", order_by_id=True) == ["1", "2", "3", "4", "5"]


def test_a_long_in_list_is_refused() -> None:
    values = ", ".join(f"'{number}'" for number in range(41))
    assert refused(INVOICES, f"WHERE DocNumber IN ({values})", max_in_values=40)[0] == "4001"
    assert found(INVOICES, f"WHERE DocNumber IN ({values})", max_in_values=41) == []


def test_the_default_page_is_a_hundred_rows_and_says_so_nowhere() -> None:
    table = table_of_invoices(*(["many"] * 28))
    for position in range(29, 150):
        table.put({**table.get("1").document(), "Id": str(position)}, visible_at=0.0)  # type: ignore[union-attr]
    statement = parse("SELECT * FROM Invoice WHERE DocNumber = 'many'")
    page = select(statement, table, Rules(visible_until=NOW))
    assert (len(page.rows), count(statement, table, Rules(visible_until=NOW))) == (100, 149)
    assert page.next_row is not None
    assert page.next_row.id not in {row.id for row in page.rows}


def test_a_row_is_seen_from_its_time_on() -> None:
    table = table_of_invoices("now")
    table.put({**table.get("1").document(), "Id": "2"}, visible_at=NOW + 1)  # type: ignore[union-attr]
    statement = parse("SELECT COUNT(*) FROM Invoice WHERE DocNumber = 'now'")
    assert count(statement, table, Rules(visible_until=NOW)) == 1
    assert count(statement, table, Rules(visible_until=NOW + 1)) == 2


def test_inactive_names_are_hidden_unless_asked_for() -> None:
    table = Table(CUSTOMER)
    for identifier, name, active in (("1", "Zoe", True), ("2", "adam", True), ("3", "Gone (deleted)", False)):
        document = {
            "Id": identifier,
            "SyncToken": "0",
            "DisplayName": name,
            "FullyQualifiedName": name,
            "Active": active,
            "MetaData": {
                "CreateTime": "2026-01-01T00:00:00-08:00",
                "LastUpdatedTime": "2026-01-01T00:00:00-08:00",
            },
        }
        table.put(document, visible_at=0.0)
    assert found(table, "") == ["2", "1"]
    assert found(table, "WHERE DisplayName = 'Gone (deleted)'") == []
    assert found(table, "WHERE Active IN (true, false)") == ["2", "3", "1"]
    assert found(table, "WHERE Active = false") == ["3"]


def test_a_replaced_row_leaves_the_index() -> None:
    table = table_of_invoices("old")
    table.put({**table.get("1").document(), "DocNumber": "new"}, visible_at=0.0)  # type: ignore[union-attr]
    assert found(table, "WHERE DocNumber = 'old'") == []
    assert found(table, "WHERE DocNumber = 'new'") == ["1"]
    table.remove("1")
    assert found(table, "WHERE DocNumber = 'new'") == []
