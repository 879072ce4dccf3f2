"""One company's books: its tables, its number sequences, its preferences, and what others may look up in them."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from qbsync.simulator.entities.kinds import COMPANY_INFO, CUSTOMER, INVOICE, KINDS, PREFERENCES, Kind
from qbsync.simulator.entities.money import amount
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import stamp
from qbsync.simulator.store import Record, Table

_TRAILING_DIGITS = re.compile(r"^(.*?)(\d+)$", re.DOTALL)
_LARGEST_NUMBER = 10**18


class Company:
    """The books of one realm. It knows nothing of HTTP, tokens or faults of the network."""

    def __init__(self, realm_id: str) -> None:
        self.realm_id = realm_id
        self.tables: Mapping[str, Table] = {name: Table(kind) for name, kind in KINDS.items()}
        self._last_ids: dict[str, int] = {}
        self._largest_number = 0
        self._last_number = ""
        self._preferences: JsonObject = {}

    def table(self, kind: Kind) -> Table:
        """The rows of one kind."""
        return self.tables[kind.name]

    def free_id(self, kind: Kind) -> str:
        """The next Id of the kind's sequence; `put` takes it."""
        return str(self._last_ids.get(kind.sequence, 0) + 1)

    def put(self, kind: Kind, document: JsonObject, *, visible_at: float = 0.0) -> Record:
        """Store an entity as it is, whoever made it, and keep the sequences ahead of it."""
        identifier = int(document["Id"])
        self._last_ids[kind.sequence] = max(self._last_ids.get(kind.sequence, 0), identifier)
        if kind is INVOICE:
            self._note_number(document.get("DocNumber"))
        elif kind is PREFERENCES:
            self._preferences = document
        return self.table(kind).put(document, visible_at=visible_at)

    def touch(self, kind: Kind, document: JsonObject, now: datetime) -> Record:
        """Store a changed entity: SyncToken and LastUpdatedTime move."""
        before = self.table(kind).get(str(document["Id"]))
        document["SyncToken"] = str(int(document["SyncToken"]) + 1)
        document["MetaData"] = {**document["MetaData"], "LastUpdatedTime": stamp(now)}
        return self.put(kind, document, visible_at=before.visible_at if before is not None else 0.0)

    # What the rules of the entities look up

    @property
    def info(self) -> JsonObject:
        """CompanyInfo."""
        return _only(self.table(COMPANY_INFO)).document()

    @property
    def preferences(self) -> JsonObject:
        """Preferences, to read and not to change: `put` the changed copy."""
        return self._preferences

    def preference(self, section: str, name: str, default: Any = None) -> Any:
        """One preference, or the default where the company does not have it."""
        return self.preferences.get(section, {}).get(name, default)

    @property
    def home_currency(self) -> dict[str, str]:
        """CurrencyRef of the books."""
        code = str(self.preference("CurrencyPrefs", "HomeCurrency", {}).get("value", "USD"))
        return {"value": code, "name": _CURRENCIES.get(code, code)}

    @property
    def custom_numbers(self) -> bool:
        """Whether the company's people choose transaction numbers themselves."""
        return self.preference("SalesFormsPrefs", "CustomTxnNumbers") is True

    def names(self, text: str) -> Iterator[Record]:
        """Customers, vendors and employees of that DisplayName: one name space."""
        for name in ("Customer", "Vendor"):
            yield from self.tables[name].having("DisplayName", text)

    def next_number(self, *, continue_last_pattern: bool) -> str:
        """The DocNumber QuickBooks would propose: the highest number plus one, or your last pattern plus one."""
        match = _TRAILING_DIGITS.match(self._last_number) if continue_last_pattern else None
        if match is None:
            return str(self._largest_number + 1)
        digits = match[2]
        return f"{match[1]}{str(int(digits) + 1).zfill(len(digits))}"[:21]

    def move_balance(self, customer_id: str, change: Decimal, now: datetime) -> None:
        """A customer's Balance follows their invoices; LastUpdatedTime moves, SyncToken does not (recorded)."""
        record = self.table(CUSTOMER).get(customer_id)
        if record is None or change == 0:
            return
        document = record.document()
        for name in ("Balance", "BalanceWithJobs"):
            document[name] = amount(Decimal(document.get(name, 0)) + change)
        document["MetaData"] = {**document["MetaData"], "LastUpdatedTime": stamp(now)}
        self.put(CUSTOMER, document, visible_at=record.visible_at)

    def _note_number(self, number: str | None) -> None:
        if not number:
            return
        self._last_number = number
        if number.isascii() and number.isdigit() and int(number) < _LARGEST_NUMBER:
            self._largest_number = max(self._largest_number, int(number))


_CURRENCIES = {
    "USD": "United States Dollar",
    "CAD": "Canadian Dollar",
    "EUR": "Euro",
    "GBP": "British Pound Sterling",
    "AUD": "Australian Dollar",
}


def _only(table: Table) -> Record:
    return next(iter(table))
