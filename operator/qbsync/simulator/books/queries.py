"""Statements of the query language against a company's books."""

from qbsync.simulator import jsoncodec
from qbsync.simulator.books.moment import Moment
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import Kind
from qbsync.simulator.faults import query_unparsable
from qbsync.simulator.query import names
from qbsync.simulator.query.conditions import Rules
from qbsync.simulator.query.evaluate import Page, count, select
from qbsync.simulator.query.parser import Statement, parse
from qbsync.simulator.query.projection import project, tree
from qbsync.simulator.store import Record
from qbsync.simulator.switches import Switches


class Queries:
    """Answers statements; now and then with one row too many."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._cut_pages = 0

    def answer(self, company: Company, text: str, moment: Moment) -> bytes:
        """The content of QueryResponse. Raises Refusal 4000 or 4001."""
        limit = int(self._switches.number("maxStatementBytes"))
        if len(text.encode(errors="replace")) > limit:
            raise query_unparsable(f"Query is too long. Max allowed length is {limit}")
        statement = parse(text)
        rules = self._rules(moment)
        kind = names.entity(statement.entity, ignore_case=rules.ignore_name_case)
        if statement.count:
            return b'{"totalCount":%d}' % (count(statement, company.table(kind), rules) if kind else 0)
        if kind is None:
            return b"{}"
        return self._rows(kind, statement, select(statement, company.table(kind), rules), rules)

    def _rules(self, moment: Moment) -> Rules:
        return Rules(
            visible_until=moment.timestamp,
            ignore_case=self._switches.on("queryIgnoresCase"),
            ignore_name_case=self._switches.on("queryNamesIgnoreCase"),
            order_by_id=self._switches.on("orderById"),
            start_at_zero=self._switches.choice("startPositionZero") == "first",
            cut_large_pages=self._switches.choice("largePages") == "cut",
            max_in_values=int(self._switches.number("maxInValues")),
        )

    def _rows(self, kind: Kind, statement: Statement, page: Page, rules: Rules) -> bytes:
        rows = list(page.rows)
        if page.next_row is not None and self._one_row_too_many():
            rows.append(page.next_row)
        if not rows:
            return b"{}"
        counted = b',"totalCount":%d' % len(rows) if self._switches.on("queryTotalCount") else b""
        return b'{"%b":[%b],"startPosition":%d,"maxResults":%d%b}' % (
            kind.name.encode(),
            b",".join(self._bodies(kind, statement, rows, rules)),
            page.start,
            len(rows),
            counted,
        )

    def _bodies(self, kind: Kind, statement: Statement, rows: list[Record], rules: Rules) -> list[bytes]:
        if not statement.fields or self._switches.choice("queryProjections") == "ignored":
            return [row.body for row in rows]
        paths = [names.known(kind, path, ignore_case=rules.ignore_name_case) for path in statement.fields]
        wanted = tree(paths)
        return [jsoncodec.dump(project(wanted, row.document())) for row in rows]

    def _one_row_too_many(self) -> bool:
        every = int(self._switches.number("oneRowTooManyEvery"))
        self._cut_pages += 1
        return every > 0 and self._cut_pages % every == 0
