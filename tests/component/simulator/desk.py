"""A ledger with one company and no server, and what one does at it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from qbsync.simulator import jsoncodec, sample
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, PAYMENT, Change, Kind
from qbsync.simulator.faults import Refusal
from qbsync.simulator.ledger import Ledger, Moment
from qbsync.simulator.store import Record
from qbsync.simulator.switches import Switches

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
MOMENT = Moment(NOW, NOW.timestamp())
DESCRIPTION = sample.load(None)


def later(seconds: float) -> Moment:
    """So many seconds after MOMENT."""
    now = NOW + timedelta(seconds=seconds)
    return Moment(now, now.timestamp())


def line(amount_: Decimal | int | str, item: str = "1", **detail: Any) -> dict[str, Any]:
    """A sales line."""
    return {
        "Amount": amount_,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": item}, **detail},
    }


class Desk:
    """A ledger with one company, and what one does at it. `heard` is what the ledger announced."""

    def __init__(
        self, preferences: dict[str, Any] | None = None, *, like: str = "us", **switches: Any
    ) -> None:
        self.switches = Switches({"readLagSeconds": 0, **switches})
        self.heard: list[tuple[str, str, Change]] = []
        self.ledger = Ledger(self.switches, lag=Random(1), announce=self._hear)
        self.company = sample.found("1", sample.load(like), self.ledger, preferences=preferences or {})
        self.heard.clear()

    def _hear(self, _: Company, kind: Kind, identifier: str, change: Change, __: Moment) -> None:
        self.heard.append((kind.name, identifier, change))

    def create(self, kind: Kind, body: Mapping[str, Any], moment: Moment = MOMENT) -> dict[str, Any]:
        return self.ledger.create(self.company, kind, dict(body), moment).document()

    def invoice(self, *lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
        body = {"CustomerRef": {"value": "1"}, "Line": list(lines) or [line(Decimal(100))], **fields}
        return self.create(INVOICE, body)

    def payment(
        self, total: Decimal | int, *applied: tuple[str, Decimal | int], **fields: Any
    ) -> dict[str, Any]:
        """A payment of customer 1, applied to invoices."""
        lines = [
            {"Amount": part, "LinkedTxn": [{"TxnId": target, "TxnType": "Invoice"}]}
            for target, part in applied
        ]
        body = {"CustomerRef": {"value": "1"}, "TotalAmt": total, "Line": lines, **fields}
        return self.create(PAYMENT, body)

    def update(
        self, kind: Kind, document: Mapping[str, Any], moment: Moment = MOMENT, **changes: Any
    ) -> dict[str, Any]:
        """A sparse update with the document's SyncToken."""
        body = {"Id": document["Id"], "SyncToken": document["SyncToken"], "sparse": True, **changes}
        return self.ledger.update(self.company, kind, body, moment).document()

    def replace(self, kind: Kind, document: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """A full update with the document's SyncToken."""
        body = {"Id": document["Id"], "SyncToken": document["SyncToken"], **fields}
        return self.ledger.update(self.company, kind, body, MOMENT).document()

    def refused(self, *lines: dict[str, Any], **fields: Any) -> tuple[str, str]:
        """Code and detail of the refusal of an invoice."""
        return self.refusal(lambda: self.invoice(*lines, **fields))

    def refusal(self, attempt: Any) -> tuple[str, str]:
        """Code and detail of a refusal; nothing in the books has changed."""
        before = self.books()
        with pytest.raises(Refusal) as caught:
            attempt()
        assert self.books() == before
        error = caught.value.errors[0]
        return error.code, str(error.detail)

    def code(self, attempt: Any) -> str:
        """Code of a refusal; nothing in the books has changed."""
        return self.refusal(attempt)[0]

    def books(self) -> dict[str, list[bytes]]:
        """Everything the company holds, and what was told of it."""
        held = {name: [row.body for row in table] for name, table in self.company.tables.items()}
        held["announced"] = [repr(entry).encode() for entry in self.heard]
        held["buried"] = [repr(stone).encode() for stone in self.company.tombstones]
        return held

    def record(self, kind: Kind, identifier: str) -> Record:
        record = self.company.table(kind).get(identifier)
        assert record is not None
        return record

    def read(self, identifier: str, kind: Kind = INVOICE) -> dict[str, Any]:
        return jsoncodec.load_object(self.ledger.read(self.company, kind, identifier))

    def balance(self, customer: str = "1") -> Decimal:
        return Decimal(self.record(CUSTOMER, customer).document()["Balance"])
