"""What the accounting service does with a company's books: read, create, query, and what its people do by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.company import Company
from qbsync.simulator.entities import customer, invoice, item, schema
from qbsync.simulator.entities.checks import limit_lengths, referred
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, ITEM, KINDS, PAYMENT, Kind
from qbsync.simulator.entities.money import amount
from qbsync.simulator.faults import (
    business_rule,
    invalid_id,
    object_not_found,
    query_invalid,
    query_unparsable,
    unreadable_property,
    unsupported_operation,
)
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import business_date, stamp
from qbsync.simulator.query.evaluate import Page, Rules, project, select
from qbsync.simulator.query.parser import Statement, parse
from qbsync.simulator.store import Record
from qbsync.simulator.switches import Switches


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happens: business time, in both forms it is needed in."""

    now: datetime
    timestamp: float


class Ledger:
    """The rules of the accounting service, under the switches. Every method is atomic: it awaits nothing."""

    def __init__(self, switches: Switches, *, lag: Random) -> None:
        self._switches = switches
        self._lag = lag
        self._cut_pages = 0

    # What the API offers

    def read(self, company: Company, kind: Kind, identifier: str) -> bytes:
        """The entity's JSON. Raises Refusal 2030 for what is no id, 610 for what is not there."""
        if not (identifier.isascii() and identifier.isdigit() and len(identifier) < 20):
            raise invalid_id(identifier)
        record = company.table(kind).get(identifier)
        if record is None:
            raise object_not_found()
        return record.body

    def create(
        self, company: Company, kind: Kind, body: JsonObject, moment: Moment, *, allow_duplicate: bool = False
    ) -> Record:
        """Make an entity. Raises Refusal, and then nothing has changed."""
        if not kind.writable:
            raise unsupported_operation(f"create on {kind.name}")
        conformed = schema.conform(
            kind.name, body, refuse_unknown=self._switches.choice("unknownFields") == "refuse"
        )
        identifier = company.free_id(kind)
        document = self._build(
            company, kind, conformed, identifier=identifier, now=moment.now, allow_duplicate=allow_duplicate
        )
        record = company.put(kind, document, visible_at=moment.timestamp + self._read_lag())
        if kind is INVOICE:
            company.move_balance(document["CustomerRef"]["value"], Decimal(document["Balance"]), moment.now)
        return record

    def query(self, company: Company, text: str, moment: Moment) -> bytes:
        """The content of QueryResponse. Raises Refusal 4000 or 4001."""
        limit = int(self._switches.number("maxStatementBytes"))
        if len(text.encode(errors="replace")) > limit:
            raise query_unparsable(f"Query is too long. Max allowed length is {limit}")
        statement = parse(text)
        kind = KINDS.get(statement.entity)
        if kind is None:
            raise query_invalid(f"invalid context declaration: {statement.entity}")
        page = select(statement, company.table(kind), self._query_rules(moment))
        if statement.count:
            return b'{"totalCount":%d}' % page.total
        return self._rows(kind, statement, page)

    # What the company's people do in QuickBooks itself

    def edit(self, company: Company, identifier: str, changes: JsonObject, moment: Moment) -> Record:
        """Change fields of an invoice by hand; lines, if given, replace the old ones whole. Raises Refusal."""
        document = self._invoice(company, identifier)
        conformed = schema.conform("Invoice", changes, refuse_unknown=True)
        invoice.check_header(company, {**document, **conformed})
        limit_lengths(conformed, {"DocNumber": 21, "PrivateNote": 4000})
        before = Decimal(document["Balance"])
        lines = conformed.pop("Line", None)
        if "CustomerRef" in conformed:
            holder = referred(company, CUSTOMER, conformed["CustomerRef"])
            conformed["CustomerRef"] = {"value": holder.id, "name": holder.values["DisplayName"]}
        if conformed.get("DocNumber"):
            invoice.check_number(company, conformed["DocNumber"], self._numbering(), own_id=identifier)
        protected = ("Id", "SyncToken", "MetaData", "sparse", "domain")
        owner = document["CustomerRef"]["value"]
        document.update({name: value for name, value in conformed.items() if name not in protected})
        if lines is not None:
            invoice.replace_lines(company, document, lines, self._numbering())
        return self._changed(company, document, owner, before, moment)

    def void(self, company: Company, identifier: str, moment: Moment) -> Record:
        """Void an invoice by hand. Raises Refusal 610."""
        document = self._invoice(company, identifier)
        before = Decimal(document["Balance"])
        self._unlink(company, document, moment)
        invoice.void(document, note=self._switches.choice("voidNote"))
        return self._changed(company, document, document["CustomerRef"]["value"], before, moment)

    def delete(self, company: Company, identifier: str, moment: Moment) -> JsonObject:
        """Delete an invoice by hand: reads answer 610 from now on. Raises Refusal 610."""
        document = self._invoice(company, identifier)
        self._unlink(company, document, moment)
        company.table(INVOICE).remove(identifier)
        company.move_balance(document["CustomerRef"]["value"], -Decimal(document["Balance"]), moment.now)
        return {"domain": "QBO", "status": "Deleted", "Id": identifier}

    def pay(
        self, company: Company, identifier: str, sum_paid: Decimal | None, moment: Moment
    ) -> tuple[Record, Record]:
        """Receive a payment for an invoice, all of it by default: the invoice and the payment. Raises Refusal."""
        document = self._invoice(company, identifier)
        before = Decimal(document["Balance"])
        paid = before if sum_paid is None else sum_paid
        if not Decimal(0) < paid <= before:
            raise business_rule(
                f"The amount must be more than 0 and not more than the open balance of {before}"
            )
        payment = company.put(PAYMENT, self._payment(company, document, paid, moment))
        document["Balance"] = amount(before - paid)
        document["LinkedTxn"] = [*document["LinkedTxn"], {"TxnId": payment.id, "TxnType": "Payment"}]
        return self._changed(company, document, document["CustomerRef"]["value"], before, moment), payment

    # Parts

    def _build(
        self,
        company: Company,
        kind: Kind,
        body: JsonObject,
        *,
        identifier: str,
        now: datetime,
        allow_duplicate: bool,
    ) -> JsonObject:
        if kind is not INVOICE:
            return _BUILDERS[kind.name](company, body, identifier=identifier, now=now)
        numbering = self._numbering(allow_duplicate=allow_duplicate)
        return invoice.build(company, body, identifier=identifier, now=now, numbering=numbering)

    def _numbering(self, *, allow_duplicate: bool = False) -> invoice.Numbering:
        return invoice.Numbering(
            check_duplicates=self._switches.on("duplicateDocCheck") and not allow_duplicate,
            name_holder=self._switches.choice("duplicateDocForm") == "long",
            keep_sent_number=self._switches.choice("automaticNumbers") == "keep",
            continue_last_pattern=self._switches.choice("nextNumber") == "lastPattern",
            inactive_code=self._switches.choice("inactiveReference"),
        )

    def _read_lag(self) -> float:
        return self._lag.random() * self._switches.number("readLagSeconds")

    def _query_rules(self, moment: Moment) -> Rules:
        return Rules(
            visible_until=moment.timestamp,
            ignore_case=self._switches.on("queryIgnoresCase"),
            order_by_id=self._switches.on("orderById"),
            max_in_values=int(self._switches.number("maxInValues")),
        )

    def _rows(self, kind: Kind, statement: Statement, page: Page) -> bytes:
        rows = list(page.rows)
        if page.next_row is not None and self._one_row_too_many():
            rows.append(page.next_row)
        if not rows:
            return b"{}"
        bodies = [_row(statement, row) for row in rows]
        counted = b',"totalCount":%d' % len(rows) if self._switches.on("queryTotalCount") else b""
        return b'{"%b":[%b],"startPosition":%d,"maxResults":%d%b}' % (
            kind.name.encode(),
            b",".join(bodies),
            page.start,
            len(rows),
            counted,
        )

    def _one_row_too_many(self) -> bool:
        every = int(self._switches.number("oneRowTooManyEvery"))
        self._cut_pages += 1
        return every > 0 and self._cut_pages % every == 0

    def _invoice(self, company: Company, identifier: str) -> JsonObject:
        return jsoncodec.load_object(self.read(company, INVOICE, identifier))

    def _changed(
        self, company: Company, document: JsonObject, owner: str, before: Decimal, moment: Moment
    ) -> Record:
        """Store a changed invoice; its customers' balances follow, also when it moved from one to another."""
        company.move_balance(owner, -before, moment.now)
        company.move_balance(document["CustomerRef"]["value"], Decimal(document["Balance"]), moment.now)
        return company.touch(INVOICE, document, moment.now)

    def _payment(self, company: Company, document: JsonObject, paid: Decimal, moment: Moment) -> JsonObject:
        return {
            "CustomerRef": document["CustomerRef"],
            "DepositToAccountRef": {"value": "4"},
            "TotalAmt": amount(paid),
            "UnappliedAmt": 0,
            "ProcessPayment": False,
            "domain": "QBO",
            "sparse": False,
            "Id": company.free_id(PAYMENT),
            "SyncToken": "0",
            "MetaData": {"CreateTime": stamp(moment.now), "LastUpdatedTime": stamp(moment.now)},
            "TxnDate": business_date(moment.now).isoformat(),
            "CurrencyRef": document["CurrencyRef"],
            "LinkedTxn": [],
            "Line": [
                {"Amount": amount(paid), "LinkedTxn": [{"TxnId": document["Id"], "TxnType": "Invoice"}]}
            ],
        }

    def _unlink(self, company: Company, document: JsonObject, moment: Moment) -> None:
        """Payments of an invoice that goes away stay, unapplied."""
        for link in document["LinkedTxn"]:
            record = company.table(PAYMENT).get(str(link.get("TxnId")))
            if record is not None and link.get("TxnType") == "Payment":
                payment = record.document()
                payment["UnappliedAmt"] = payment["TotalAmt"]
                payment["Line"] = []
                company.touch(PAYMENT, payment, moment.now)
        document["LinkedTxn"] = []


_Builder = Callable[..., JsonObject]
_BUILDERS: Mapping[str, _Builder] = {CUSTOMER.name: customer.build, ITEM.name: item.build}


def _row(statement: Statement, row: Record) -> bytes:
    return jsoncodec.dump(project(statement.fields, row.document())) if statement.fields else row.body


def parse_body(data: bytes) -> JsonObject:
    """A request's body as an object. Raises Refusal 2010 for anything else."""
    try:
        return jsoncodec.load_object(data)
    except jsoncodec.UnreadableJson as error:
        raise unreadable_property(f"Unexpected content: {error}") from None


def parse_amount(value: Any) -> Decimal | None:
    """A sum of money from the door's JSON, None if absent. Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise ValueError(f"not an amount: {value!r}")  # noqa: TRY004
    try:
        return Decimal(value)
    except ArithmeticError:
        raise ValueError(f"not an amount: {value!r}") from None
