"""What the accounting service does with a company's books, and what its people do there by hand."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.books import feed
from qbsync.simulator.books.delivery import pdf
from qbsync.simulator.books.draft import Lag
from qbsync.simulator.books.moment import Moment
from qbsync.simulator.books.queries import Queries
from qbsync.simulator.books.statement import Statement, statement
from qbsync.simulator.books.work import Work, checked_id, named
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import (
    CREDIT_MEMO,
    CUSTOMER,
    INVOICE,
    PAYMENT,
    SALES_RECEIPT,
    Change,
    Kind,
)
from qbsync.simulator.faults import (
    business_rule,
    object_not_found,
    unreadable_property,
    unsupported_operation,
)
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.store import Record
from qbsync.simulator.switches import Switches

__all__ = ["Announce", "Ledger", "Moment", "parse_amount", "parse_body"]

Announce = Callable[[Company, Kind, str, Change, Moment], None]
"""Told of each committed change: company, kind, Id, what happened, when."""
_PRINTED = {
    INVOICE.name: "Invoice",
    CREDIT_MEMO.name: "Credit Memo",
    SALES_RECEIPT.name: "Sales Receipt",
    PAYMENT.name: "Payment",
}


def _unheard(*_: object) -> None:
    """Nobody listens."""


class Ledger:
    """The rules of the accounting service, under the switches.

    Every method is atomic: it awaits nothing, and where it raises Refusal nothing has changed.
    """

    def __init__(self, switches: Switches, *, lag: Random, announce: Announce = _unheard) -> None:
        self._switches = switches
        self._lag = lag
        self._announce = announce
        self._queries = Queries(switches)

    # What the API offers

    def read(self, company: Company, kind: Kind, identifier: str) -> bytes:
        """The entity's JSON. Raises Refusal 2030 for what is no id, 610 for what is not there."""
        record = company.table(kind).get(identifier)
        if record is None:
            checked_id(identifier)  # the pseudo tax codes TAX and NON are no numbers, and there
            raise object_not_found()
        return record.body

    def create(
        self, company: Company, kind: Kind, body: JsonObject, moment: Moment, *, allow_duplicate: bool = False
    ) -> Record:
        """Make an entity. Raises Refusal."""
        work = Work(company, self._switches, moment)
        identifier = work.make(kind, body, allow_duplicate=allow_duplicate)
        return self._done(work, company, kind, identifier, moment)

    def update(
        self, company: Company, kind: Kind, body: JsonObject, moment: Moment, *, allow_duplicate: bool = False
    ) -> Record:
        """Change the entity that Id and SyncToken name.

        `sparse` true leaves what is left out as it is; else that is cleared. Raises Refusal 610, 2020, 5010, 6210,
        6540 and what the kind's rules refuse.
        """
        work, identifier = Work(company, self._switches, moment), named(body)
        sparse = body.get("sparse") in (True, "true")
        work.change(kind, identifier, body, sparse=sparse, allow_duplicate=allow_duplicate)
        return self._done(work, company, kind, identifier, moment)

    def void(self, company: Company, kind: Kind, body: JsonObject, moment: Moment) -> Record:
        """Void the transaction that Id and SyncToken name: amounts 0, the number kept. Raises Refusal."""
        work, identifier = Work(company, self._switches, moment), named(body)
        work.void(kind, identifier, body)
        return self._done(work, company, kind, identifier, moment)

    def delete(self, company: Company, kind: Kind, body: JsonObject, moment: Moment) -> JsonObject:
        """Delete the transaction that Id and SyncToken name; what QuickBooks says of it then. Raises Refusal."""
        work, identifier = Work(company, self._switches, moment), named(body)
        work.delete(kind, identifier, body)
        self._commit(work, company, moment)
        return _deleted(identifier)

    def send(
        self, company: Company, kind: Kind, identifier: str, moment: Moment, *, send_to: str | None
    ) -> Record:
        """Send a transaction to its BillEmail, or to `send_to`. Raises Refusal, 2020 where there is no address."""
        work = Work(company, self._switches, moment)
        work.send(kind, checked_id(identifier), send_to=send_to)
        return self._done(work, company, kind, identifier, moment)

    def pdf(self, company: Company, kind: Kind, identifier: str) -> bytes:
        """A transaction as a PDF file of one page. Raises Refusal 610, 2030 or 500."""
        title = _PRINTED.get(kind.name)
        if title is None:
            raise unsupported_operation(f"pdf on {kind.name}")
        document = jsoncodec.load_object(self.read(company, kind, identifier))
        return pdf(title, document, str(company.info.get("CompanyName", "")))

    def changes(
        self, company: Company, kinds: Sequence[Kind], since: datetime, moment: Moment, *, limit: int = 1000
    ) -> Mapping[str, Sequence[bytes]]:
        """Rows and tombstones changed since then, by kind name; cut off at `limit` over all kinds without a hint."""
        keep_newest = self._switches.choice("changesKept") == "newest"
        return feed.changes(company, kinds, since, moment, limit=limit, keep_newest=keep_newest)

    def query(self, company: Company, text: str, moment: Moment) -> bytes:
        """The content of QueryResponse. Raises Refusal 4000 or 4001."""
        return self._queries.answer(company, text, moment)

    # What the company's people do in QuickBooks itself

    def edit(self, company: Company, identifier: str, changes: JsonObject, moment: Moment) -> Record:
        """Change fields of an invoice by hand; lines, if given, replace the old ones whole. Raises Refusal."""
        work = Work(company, self._switches, moment, by_hand=True)
        work.change(INVOICE, checked_id(identifier), changes, sparse=True)
        return self._done(work, company, INVOICE, identifier, moment)

    def void_by_hand(
        self, company: Company, identifier: str, moment: Moment, *, kind: Kind = INVOICE
    ) -> Record:
        """Void a transaction by hand; payments of it stay, unapplied. Raises Refusal 610."""
        work = Work(company, self._switches, moment, by_hand=True)
        work.void(kind, checked_id(identifier), {})
        return self._done(work, company, kind, identifier, moment)

    def delete_by_hand(
        self, company: Company, identifier: str, moment: Moment, *, kind: Kind = INVOICE
    ) -> JsonObject:
        """Delete a transaction by hand: reads answer 610 from now on. Raises Refusal 610."""
        work = Work(company, self._switches, moment, by_hand=True)
        work.delete(kind, checked_id(identifier), {})
        self._commit(work, company, moment)
        return _deleted(identifier)

    def pay(
        self, company: Company, identifier: str, sum_paid: Decimal | None, moment: Moment
    ) -> tuple[Record, Record]:
        """Receive a payment for an invoice, all of it by default: the invoice and the payment. Raises Refusal."""
        invoice = jsoncodec.load_object(self.read(company, INVOICE, identifier))
        open_balance = Decimal(invoice["Balance"])
        paid = open_balance if sum_paid is None else sum_paid
        if not Decimal(0) < paid <= open_balance:
            raise business_rule(
                f"The amount must be more than 0 and not more than the open balance of {open_balance}"
            )
        work = Work(company, self._switches, moment, by_hand=True)
        link = {"TxnId": identifier, "TxnType": INVOICE.name}
        body = {
            "CustomerRef": invoice["CustomerRef"],
            "CurrencyRef": invoice["CurrencyRef"],
            "TotalAmt": paid,
            "Line": [{"Amount": paid, "LinkedTxn": [link]}],
        }
        payment = self._done(work, company, PAYMENT, work.make(PAYMENT, body), moment)
        return self._record(company, INVOICE, identifier), payment

    def deposit(self, company: Company, payment_id: str, deposit_id: str, moment: Moment) -> Record:
        """Take a payment to the bank by hand; the API refuses to change it then (6540). Raises Refusal."""
        work = Work(company, self._switches, moment, by_hand=True)
        work.deposit(checked_id(payment_id), deposit_id)
        return self._done(work, company, PAYMENT, payment_id, moment)

    def merge(self, company: Company, loser: str, winner: str, moment: Moment) -> Record:
        """Make two customers one by hand; the one that goes is inactive then. Raises Refusal 610 or 6000."""
        work = Work(company, self._switches, moment, by_hand=True)
        work.merge(checked_id(loser), checked_id(winner))
        return self._done(work, company, CUSTOMER, winner, moment)

    def statement(self, company: Company, customer_id: str) -> Statement:
        """What a customer is shown: every transaction with its PrivateNote as memo. Raises Refusal 610."""
        return statement(company, customer_id)

    def adopt(self, company: Company, kind: Kind, entry: JsonObject, moment: Moment) -> Record:
        """An entity of a company's description, under its own Id and number; nobody is told. Raises Refusal."""
        work = Work(company, self._switches, moment, by_hand=True)
        work.adopt(kind, dict(entry))
        work.commit(Lag(draw=float))
        return self._record(company, kind, str(entry["Id"]))

    # Parts

    def _done(self, work: Work, company: Company, kind: Kind, identifier: str, moment: Moment) -> Record:
        self._commit(work, company, moment)
        return self._record(company, kind, identifier)

    def _commit(self, work: Work, company: Company, moment: Moment) -> None:
        lag = Lag(draw=self._read_lag, after_update=self._switches.on("lagAfterUpdate"))
        for kind, identifier, change in work.commit(lag):
            self._announce(company, kind, identifier, change, moment)

    def _record(self, company: Company, kind: Kind, identifier: str) -> Record:
        record = company.table(kind).get(identifier)
        if record is None:
            raise object_not_found()
        return record

    def _read_lag(self) -> float:
        return self._lag.random() * self._switches.number("readLagSeconds")


def _deleted(identifier: str) -> JsonObject:
    return {"domain": "QBO", "status": "Deleted", "Id": identifier}


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
