"""Pages of a company's books, newest first, with search and filters: quick with any number of rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import islice

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, ITEM, PAYMENT, Kind
from qbsync.simulator.store import Record, Value

LARGEST_PAGE = 500
LISTS: Mapping[str, Kind] = {"invoices": INVOICE, "payments": PAYMENT, "customers": CUSTOMER, "items": ITEM}
_ZERO = Decimal(0)


class Status(StrEnum):
    """What QuickBooks' own list says of an invoice."""

    PAID = "paid"
    OPEN = "open"
    OVERDUE = "overdue"
    VOIDED = "voided"


class UnknownFilter(ValueError):
    """A filter or a place in the list that does not exist."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which rows: those with `text` in what people search by, those of one customer, those with one status.

    A customer's or item's status is `active` or `inactive`.
    """

    text: str = ""
    status: str = ""
    customer: str = ""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some rows, and the Id of the last one if older ones follow."""

    rows: list[Record]
    next: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """How many invoices have a status, and what is still to be paid for them."""

    count: Mapping[Status, int]
    balance: Mapping[Status, Decimal]
    paid: Decimal


def excerpt(
    company: Company, kind: Kind, search: Search, *, today: date, before: str = "", limit: int = 50
) -> Excerpt:
    """The rows that fit, newest first, older than the row with the Id `before`. Raises UnknownFilter."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise UnknownFilter(f"limit is between 1 and {LARGEST_PAGE}")
    fits = _fitting(company, kind, search, today)
    fitting = (row for row in _older_than(company, kind, before) if fits(row))
    rows = list(islice(fitting, limit + 1))
    return Excerpt(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def status_of(invoice: Record, today: date) -> Status:
    """An invoice's status on that day."""
    return _status(invoice, today.isoformat())


def totals(company: Company, today: date) -> Totals:
    """The sums above the list of invoices."""
    count = dict.fromkeys(Status, 0)
    balance = dict.fromkeys(Status, _ZERO)
    paid = _ZERO
    day = today.isoformat()
    for row in company.table(INVOICE):
        status = _status(row, day)
        count[status] += 1
        balance[status] += _number(row.values["Balance"])
        paid += _number(row.values["TotalAmt"]) - _number(row.values["Balance"])
    return Totals(count, balance, paid)


def _status(invoice: Record, today: str) -> Status:
    balance, due = invoice.values["Balance"], invoice.values["DueDate"]
    if not balance:
        return Status.VOIDED if not invoice.values["TotalAmt"] and _voided(invoice) else Status.PAID
    return Status.OVERDUE if isinstance(due, str) and due < today else Status.OPEN


def _voided(invoice: Record) -> bool:
    """Voided, told by what a void leaves: the note (switch voidNote), or lines of 0 in an invoice changed since."""
    document = invoice.document()
    if str(document.get("PrivateNote", "")).startswith("Voided"):
        return True
    changed = int(invoice.sync_token) > 0
    return changed and not any(line.get("Amount") for line in document.get("Line", []))


def _older_than(company: Company, kind: Kind, before: str) -> Iterator[Record]:
    rows = company.table(kind).newest_first()
    if not before:
        return rows
    if not (before.isascii() and before.isdigit()):
        raise UnknownFilter(f"before is the Id of a row, not {before!r}")
    # A row made later may have a smaller Id, so the place is looked for; a deleted row's is the next smaller Id.
    if company.table(kind).get(before) is None:
        return (row for row in rows if int(row.id) < int(before))
    for row in rows:
        if row.id == before:
            break
    return rows


def _fitting(company: Company, kind: Kind, search: Search, today: date) -> Callable[[Record], bool]:
    checks = [
        *_by_status(kind, search.status, today),
        *([lambda row: row.values["CustomerRef"] == search.customer] if search.customer else []),
        *_by_text(company, kind, search.text),
    ]
    return checks[0] if len(checks) == 1 else lambda row: all(check(row) for check in checks)


def _by_status(kind: Kind, status: str, today: date) -> Iterator[Callable[[Record], bool]]:
    if not status:
        return
    if kind is INVOICE and status in list(Status):
        day = today.isoformat()
        yield lambda row: _status(row, day) == status
    elif kind.is_list and status in {"active", "inactive"}:
        yield lambda row: row.active is (status == "active")
    elif kind is PAYMENT:
        raise UnknownFilter("payments have no status")
    else:
        allowed = ", ".join(Status) if kind is INVOICE else "active, inactive"
        raise UnknownFilter(f"status is one of {allowed}, not {status!r}")


def _by_text(company: Company, kind: Kind, text: str) -> Iterator[Callable[[Record], bool]]:
    """Found through the indexes: looking into every row would make the whole simulator wait."""
    if not text.strip():
        return
    table = company.table(kind)
    names = [name for name in kind.indexed if name != "CustomerRef"]
    found = {text.strip(), *(row.id for name in names for row in table.containing(name, text))}
    if "CustomerRef" in kind.indexed:
        for customer in company.table(CUSTOMER).containing("DisplayName", text):
            found.update(row.id for row in table.having("CustomerRef", customer.id))
    yield lambda row: row.id in found


def _number(value: Value) -> Decimal:
    return value if isinstance(value, Decimal) else _ZERO
