"""Lookups: every row, each once, or an exception. Never a part."""

import asyncio
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.quickbooks import errors
from qbsync.quickbooks.query import PAGE, quote, select_by
from qbsync.quickbooks.transport import HttpRequest, HttpResponse
from unit.quickbooks.scripted import Company, answer, company, fault, rows

LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
STATEMENT = re.compile(
    r"SELECT (?P<columns>.+?) FROM (?P<entity>\w+) WHERE (?P<field>\w+) IN \((?P<values>.*)\)(?P<extra> AND .+)?"
    r" ORDERBY MetaData\.LastUpdatedTime STARTPOSITION (?P<start>\d+) MAXRESULTS 1000",
    re.DOTALL,
)


def unquote(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal, flags=re.DOTALL)


class Ledger:
    """Invoices behind a query endpoint that knows just the statement `select_by` writes."""

    def __init__(self, *numbers: str) -> None:
        self.rows = [{"Id": str(index), "DocNumber": number} for index, number in enumerate(numbers, 1)]
        self.asked: list[tuple[str, ...]] = []
        self.statements: list[str] = []
        self.refuses: Callable[[tuple[str, ...]], bool] = lambda values: False
        self.before_page: Callable[[int], None] = lambda start: None
        self.counters: dict[str, int] = {}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        text = request.body.decode()
        statement = STATEMENT.fullmatch(text)
        assert statement is not None, text
        values = tuple(unquote(literal) for literal in LITERAL.findall(statement["values"]))
        start = int(statement["start"])
        self.statements.append(text)
        self.asked.append(values)
        self.before_page(start)
        if self.refuses(values):
            return fault("4000" if len(values) % 2 else "4001")
        folded = {value.casefold() for value in values}
        hits = [row for row in self.rows if row["DocNumber"].casefold() in folded]
        return rows("Invoice", *hits[start - 1 : start - 1 + PAGE], **self.counters)


def behind(ledger: Ledger) -> Company:
    there = company()
    there.transport.steps = [ledger] * 10_000
    return there


async def look_up(ledger: Ledger, *values: str, **options: Any) -> list[str]:
    found = await select_by(
        behind(ledger).client,
        entity="Invoice",
        fields=("DocNumber",),
        field="DocNumber",
        values=values,
        **options,
    )
    return [str(row["Id"]) for row in found]


@given(st.text())
def test_a_literal_reads_back_as_the_value(value: str) -> None:
    match = LITERAL.fullmatch(quote(value))
    assert match is not None
    assert unquote(match[1]) == value


def test_the_recorded_escape() -> None:
    assert quote("Amy's Bird Sanctuary") == r"'Amy\'s Bird Sanctuary'"
    assert quote("back\\slash") == r"'back\\slash'"


async def test_the_statement() -> None:
    ledger = Ledger("A")
    await look_up(ledger, "A", "O'B", extra="Active IN (true, false)")
    assert ledger.statements == [
        r"SELECT Id, DocNumber FROM Invoice WHERE DocNumber IN ('A','O\'B') AND Active IN (true, false) "
        "ORDERBY MetaData.LastUpdatedTime STARTPOSITION 1 MAXRESULTS 1000"
    ]


async def test_without_fields_everything_is_asked_for() -> None:
    ledger = Ledger("A")
    await select_by(behind(ledger).client, entity="Invoice", fields=(), field="DocNumber", values=("A",))
    assert ledger.statements[0].startswith("SELECT * FROM Invoice ")


async def test_nothing_asked_nothing_sent() -> None:
    ledger = Ledger("A")
    assert await look_up(ledger) == []
    assert ledger.asked == []


async def test_rows_come_raw_and_in_whatever_case_they_are_stored() -> None:
    assert await look_up(Ledger("inv-1", "INV-1", "INV-2"), "INV-1") == ["1", "2"]


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.text(alphabet="aB'\\é, )😀", min_size=0, max_size=21), max_size=60),
    absent=st.lists(st.text(max_size=8), max_size=5),
    chunk_values=st.integers(1, 100),
    chunk_bytes=st.integers(150, 1000),
)
def test_chunks_keep_both_limits_and_lose_nothing(
    numbers: list[str], absent: list[str], chunk_values: int, chunk_bytes: int
) -> None:
    ledger = Ledger(*numbers)
    asked = [*numbers, *absent]
    found = asyncio.run(look_up(ledger, *asked, chunk_values=chunk_values, chunk_bytes=chunk_bytes))
    assert sorted(found, key=int) == [row["Id"] for row in ledger.rows]
    assert [value for chunk in ledger.asked for value in chunk] == list(dict.fromkeys(asked))
    for chunk, statement in zip(ledger.asked, ledger.statements, strict=True):
        assert len(chunk) <= chunk_values
        assert len(statement.encode()) <= chunk_bytes or len(chunk) == 1
    # As few statements as the limits allow: no chunk could have taken the first value of the next.
    for (chunk, following), statement in zip(pairwise(ledger.asked), ledger.statements, strict=False):
        longer = len(statement.encode()) + len(quote(following[0]).encode()) + 1
        assert len(chunk) == chunk_values or longer > chunk_bytes - 4


async def test_the_standard_chunk() -> None:
    ledger = Ledger()
    await look_up(ledger, *(f"INV-{number}" for number in range(250)))
    assert [len(chunk) for chunk in ledger.asked] == [100, 100, 50]


@pytest.mark.parametrize("count", [999, 1000, 1001, 1999, 2000, 3500])
async def test_pages_until_one_is_not_full(count: int) -> None:
    ledger = Ledger(*["A"] * count)
    assert await look_up(ledger, "A") == [str(number) for number in range(1, count + 1)]


async def test_one_row_too_many_in_a_page_is_no_harm() -> None:
    ledger = Ledger(*["A"] * 1500)

    def generous(request: HttpRequest) -> HttpResponse:
        start = int(request.body.decode().split("STARTPOSITION ")[1].split()[0])
        return rows("Invoice", *ledger.rows[start - 1 : start + PAGE])

    there = company(generous, generous)
    found = await select_by(there.client, entity="Invoice", fields=(), field="DocNumber", values=("A",))
    assert len(found) == 1500


@pytest.mark.parametrize("gone", [0, 500, 999])
async def test_a_row_that_goes_between_pages_makes_the_answer_worthless(gone: int) -> None:
    ledger = Ledger(*["A"] * 1500)

    def delete(start: int) -> None:
        if start > 1:
            del ledger.rows[gone]

    ledger.before_page = delete
    with pytest.raises(errors.IncompleteAnswer, match="changed while it was read"):
        await look_up(ledger, "A")


async def test_an_update_that_moves_a_row_to_the_end_is_noticed() -> None:
    ledger = Ledger(*["A"] * 1500)
    ledger.before_page = lambda start: ledger.rows.append(ledger.rows.pop(10)) if start > 1 else None
    with pytest.raises(errors.IncompleteAnswer):
        await look_up(ledger, "A")


async def test_a_row_added_at_the_end_meanwhile_is_no_harm() -> None:
    ledger = Ledger(*["A"] * 1500)
    ledger.before_page = lambda start: ledger.rows.append({"Id": str(9000 + start), "DocNumber": "A"})
    assert len(await look_up(ledger, "A")) >= 1501


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 40), largest=st.integers(1, 40))
def test_a_refused_chunk_is_halved_and_loses_nothing(size: int, largest: int) -> None:
    ledger = Ledger(*map(str, range(size)))
    ledger.refuses = lambda values: len(values) > largest
    assert asyncio.run(look_up(ledger, *map(str, range(size)))) == [row["Id"] for row in ledger.rows]


async def test_a_single_value_that_is_refused_is_named() -> None:
    ledger = Ledger("A", "B", "C")
    ledger.refuses = lambda values: "B" in values
    with pytest.raises(errors.ValueRefused) as caught:
        await look_up(ledger, "A", "B", "C")
    assert caught.value.value == "B"
    assert caught.value.code == "4000"
    assert caught.value.intuit_tid == "1-5f733c5a-55d0ff60"


@pytest.mark.parametrize(
    "failure",
    [
        fault("6000"),
        fault("4000", status=500),
        answer(raw=b"", status=429),
        answer(raw=b'{"QueryResponse":{"Invoice":[{"Id":"1"}'),
        answer(raw=b"<html>", status=200),
        answer({"QueryResponse": {"Customer": [{"Id": "1"}]}}),
        answer({"QueryResponse": {"Invoice": [{"DocNumber": "A"}]}}),
        answer({"QueryResponse": {"Invoice": [{"Id": ""}]}}),
        answer({"QueryResponse": {"Invoice": [{"Id": 7}]}}),
        answer({"QueryResponse": {"startPosition": 1, "maxResults": 3}}),
        answer({"QueryResponse": {"totalCount": 3}}),
        rows("Invoice", {"Id": "1"}, totalCount=2),
        answer({"time": "x"}),
        errors.NotSent("x"),
        errors.NoAnswer("x"),
    ],
)
async def test_a_failure_in_any_chunk_leaves_nothing(failure: HttpResponse | Exception) -> None:
    there = company(rows("Invoice", {"Id": "1", "DocNumber": "A"}), failure)
    with pytest.raises(errors.QuickBooksError):
        await select_by(
            there.client, entity="Invoice", fields=(), field="DocNumber", values=("A", "B"), chunk_values=1
        )
    assert len(there.transport.requests) == 2


async def test_a_total_that_agrees_is_fine() -> None:
    ledger = Ledger("A", "A")
    ledger.counters = {"totalCount": 2}
    assert await look_up(ledger, "A") == ["1", "2"]
