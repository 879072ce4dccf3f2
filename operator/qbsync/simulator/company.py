"""One company's books: its tables, its number sequences, its preferences, and what others may look up in them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from qbsync.simulator.entities.kinds import COMPANY_INFO, CUSTOMER, KINDS, PREFERENCES, Kind
from qbsync.simulator.entities.money import amount
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import stamp
from qbsync.simulator.store import Record, Table

_TRAILING_DIGITS = re.compile(r"^(.*?)(\d+)$", re.DOTALL)
_LARGEST_NUMBER = 10**18
_CUSTOM_FIELDS = 3
_NAME_SPACE = tuple(name for name in ("Customer", "Vendor", "Employee") if name in KINDS)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An entity that was deleted: when, and from when on the feed of changes says so."""

    kind: Kind
    id: str
    deleted_at: datetime
    visible_at: float


class Company:
    """The books of one realm. It knows nothing of HTTP, tokens or faults of the network."""

    def __init__(self, realm_id: str) -> None:
        self.realm_id = realm_id
        self.tables: Mapping[str, Table] = {name: Table(kind) for name, kind in KINDS.items()}
        self.tombstones: list[Tombstone] = []
        self.custom_fields: Mapping[str, str] = {}
        """DefinitionId and name of the sales forms' own fields in use (SalesFormsPrefs.CustomField)."""
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
        self._note(kind, document)
        return self.table(kind).put(document, visible_at=visible_at)

    def replace(self, kind: Kind, document: JsonObject) -> Record:
        """Store a changed entity; queries that saw it before see it changed at once."""
        self._note(kind, document)
        before = self.table(kind).get(str(document["Id"]))
        if before is None:
            return self.table(kind).put(document, visible_at=0.0)
        return self.table(kind).put(document, visible_at=before.visible_at, behind=before.behind)

    def replace_later(self, kind: Kind, document: JsonObject, *, now: float, visible_at: float) -> Record:
        """Store a changed entity that queries see as it was until `visible_at`."""
        self._note(kind, document)
        before = self.table(kind).get(str(document["Id"]))
        if before is not None:
            before.forget_before(now)
        return self.table(kind).put(document, visible_at=visible_at, behind=before)

    def bury(self, kind: Kind, identifier: str, now: datetime, visible_at: float) -> None:
        """Take an entity out and remember that it was there."""
        self.table(kind).remove(identifier)
        self.tombstones.append(Tombstone(kind, identifier, now, visible_at))

    def _note(self, kind: Kind, document: JsonObject) -> None:
        identifier = str(document["Id"])
        if identifier.isdigit():  # the pseudo tax codes TAX and NON are not
            self._last_ids[kind.sequence] = max(self._last_ids.get(kind.sequence, 0), int(identifier))
        if kind.numbered:
            self._note_number(document.get("DocNumber"))
        elif kind is PREFERENCES:
            self._preferences = document
            self.custom_fields = _custom_fields(self)

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
        for name in _NAME_SPACE:
            yield from self.tables[name].having("DisplayName", text)

    def next_number(self, *, continue_last_pattern: bool) -> str:
        """The DocNumber QuickBooks would propose: the highest number plus one, or your last pattern plus one."""
        match = _TRAILING_DIGITS.match(self._last_number) if continue_last_pattern else None
        if match is None:
            return str(self._largest_number + 1)
        digits = match[2]
        return f"{match[1]}{str(int(digits) + 1).zfill(len(digits))}"[:21]

    def move_balance(self, customer_id: str, change: Decimal, now: datetime) -> None:
        """A customer's Balance follows their transactions, and BalanceWithJobs that of those above them.

        LastUpdatedTime moves, SyncToken does not (recorded).
        """
        record = self.table(CUSTOMER).get(customer_id)
        names: tuple[str, ...] = ("Balance", "BalanceWithJobs")
        above = {customer_id}
        while record is not None and change != 0:
            document = record.document()
            for name in names:
                document[name] = amount(Decimal(document.get(name, 0)) + change)
            document["MetaData"] = {**document["MetaData"], "LastUpdatedTime": stamp(now)}
            self.table(CUSTOMER).amend(record, document, "Balance", "MetaData.LastUpdatedTime")
            parent = str(document.get("ParentRef", {}).get("value", ""))
            if parent in above:
                return
            above.add(parent)
            names, record = ("BalanceWithJobs",), self.table(CUSTOMER).get(parent)

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


def _custom_fields(company: Company) -> Mapping[str, str]:
    found: dict[str, Any] = {
        entry["Name"].rpartition(".")[2]: entry.get("StringValue", entry.get("BooleanValue"))
        for group in company.preference("SalesFormsPrefs", "CustomField", [])
        for entry in group.get("CustomField", [])
    }
    return {
        str(number): str(found[f"SalesCustomName{number}"])
        for number in range(1, _CUSTOM_FIELDS + 1)
        if found.get(f"UseSalesCustom{number}") is True and found.get(f"SalesCustomName{number}")
    }
