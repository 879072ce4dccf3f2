"""QuickBooks' query language, and the one lookup built on it: rows by value, completely or not at all.

Source: Intuit, "Data queries": no OR, 1,000 rows at most per answer, 100 by default.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.errors import IncompleteAnswer, Rejected, ValueRefused
from qbsync.quickbooks.faults import QUERY_CODES
from qbsync.quickbooks.rows import QueryAnswer

PAGE: Final = 1000
_ORDER: Final = "MetaData.LastUpdatedTime"
"""Sorting by Id is not allowed (since January 2026); this is what Intuit's own paging examples sort by."""


def quote(value: str) -> str:
    """The value as a string literal. The escape is a backslash: SQL's doubled quote fails with 4000."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


async def select_by(
    client: CompanyClient,
    *,
    entity: str,
    fields: Sequence[str],
    field: str,
    values: Sequence[str],
    extra: str = "",
    chunk_values: int = 100,
    chunk_bytes: int = 4000,
) -> tuple[Mapping[str, Any], ...]:
    """Every row of `entity` whose `field` is one of `values`, raw, each Id once.

    `fields`: what is asked for, none for all; Id always comes. `extra`: another condition, ANDed. One
    statement per at most `chunk_values` values and `chunk_bytes` bytes; a chunk that QuickBooks refuses
    (4000, 4001) is halved, down to one value. QuickBooks compares without regard to case: comparing exactly
    is up to the caller.

    Never returns a part: raises ValueRefused naming the one value that was refused, IncompleteAnswer where
    an answer proves nothing, another QuickBooksError where a call failed. Absent is what is not returned.
    """
    lookup = _Lookup(client, entity, tuple(fields), field, extra)
    found: dict[str, Mapping[str, Any]] = {}
    for chunk in lookup.chunks(tuple(dict.fromkeys(values)), chunk_values, chunk_bytes):
        found.update(await lookup.rows(chunk))
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Updates:
    """Rows that were changed since a moment."""

    rows: tuple[Mapping[str, Any], ...]
    time: datetime | None
    """QuickBooks' clock when it answered the first page."""


async def select_since(
    client: CompanyClient, *, entity: str, since: datetime, wanted: Callable[[Mapping[str, Any]], bool]
) -> Updates:
    """Every row of `entity` that was changed at or after `since` and is `wanted`, whole, page by page.

    The way out where change data capture does not reach; deleted rows are not told. Raises what `select_by`
    raises: never a part.
    """
    condition = f"{_ORDER} >= {quote(since.astimezone(UTC).isoformat(timespec='seconds'))}"
    pages = _Pages(client, entity, wanted)
    await pages.read(f"SELECT * FROM {entity} WHERE {condition}")  # noqa: S608 - a moment
    return Updates(tuple(pages.found.values()), pages.time)


@dataclass(frozen=True, slots=True)
class _Lookup:
    client: CompanyClient
    entity: str
    fields: tuple[str, ...]
    field: str
    extra: str

    def statement(self, values: Sequence[str]) -> str:
        columns = ", ".join(dict.fromkeys(("Id", *self.fields))) if self.fields else "*"
        condition = f"{self.field} IN ({','.join(map(quote, values))})"
        conditions = f"{condition} AND {self.extra}" if self.extra else condition
        return f"SELECT {columns} FROM {self.entity} WHERE {conditions}"  # noqa: S608 - values are quoted

    def chunks(self, values: Sequence[str], chunk_values: int, chunk_bytes: int) -> Iterator[tuple[str, ...]]:
        """The values in order, each chunk within both limits; a value too long for any stands alone."""
        room = chunk_bytes - len(f"{self.statement(())} {_page(PAGE)}".encode())
        chunk: list[str] = []
        size = 0
        for value in values:
            cost = len(quote(value).encode()) + 1
            if chunk and (len(chunk) >= chunk_values or size + cost > room):
                yield tuple(chunk)
                chunk, size = [], 0
            chunk.append(value)
            size += cost
        if chunk:
            yield tuple(chunk)

    async def rows(self, values: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
        """All rows for one chunk, by Id; halves it where QuickBooks refuses the statement."""
        try:
            return await self._pages(values)
        except Rejected as refusal:
            if refusal.code not in QUERY_CODES:
                raise
            if len(values) == 1:
                raise ValueRefused(refusal, values[0]) from None
        middle = len(values) // 2
        return {**await self.rows(values[:middle]), **await self.rows(values[middle:])}

    async def _pages(self, values: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
        pages = _Pages(self.client, self.entity)
        await pages.read(self.statement(values))
        return pages.found


def _everything(_: Mapping[str, Any]) -> bool:
    return True


@dataclass(slots=True)
class _Pages:
    """One listing, page by page."""

    client: CompanyClient
    entity: str
    wanted: Callable[[Mapping[str, Any]], bool] = _everything
    found: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The rows that are wanted, by Id."""
    time: datetime | None = None
    """Of the first page."""

    async def read(self, selection: str) -> None:
        """Page on while a page is full.

        Each page starts at the last row of the one before: a row that is not there any more shows that the
        list moved meanwhile (rows come and go, and updates change the order), and something may be missed.
        """
        seen: set[str] = set()
        start, seam = 1, None
        while True:
            answer = await self.client.query(f"{selection} {_page(start)}")
            self.time = self.time or answer.time
            page = self._ids(answer)
            if seam is not None and seam not in page[:1]:
                raise self._incomplete("the list changed while it was read", answer)
            seen.update(page)
            self.found |= {id_: row for id_, row in zip(page, answer.rows, strict=True) if self.wanted(row)}
            if len(page) < PAGE:
                if answer.total_count is not None and answer.total_count > len(seen):
                    raise self._incomplete(f"{answer.total_count} rows match, {len(seen)} came", answer)
                return
            start, seam = start + PAGE - 1, page[PAGE - 1]

    def _ids(self, answer: QueryAnswer) -> list[str]:
        """The ids of a page, in order."""
        ids = [row.get("Id") for row in answer.rows]
        if answer.entity not in (None, self.entity) or not all(isinstance(id_, str) and id_ for id_ in ids):
            raise self._incomplete("it holds other rows than asked for", answer)
        if not ids and (answer.max_results or answer.total_count):
            raise self._incomplete("it counts rows, but holds none", answer)
        return [str(id_) for id_ in ids]

    def _incomplete(self, why: str, answer: QueryAnswer) -> IncompleteAnswer:
        return IncompleteAnswer(
            f"the answer to a query for {self.entity} proves nothing: {why}", intuit_tid=answer.intuit_tid
        )


def _page(start: int) -> str:
    return f"ORDERBY {_ORDER} STARTPOSITION {start} MAXRESULTS {PAGE}"
