"""The lists of a company's books, and one customer's statement."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from qbsync.simulator import listing
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, ITEM, PAYMENT, Kind
from qbsync.simulator.faults import Refusal
from qbsync.simulator.listing import Excerpt, Search, Status, status_of
from qbsync.simulator.page.html import Child, Html, joined, tag
from qbsync.simulator.page.parts import (
    Column,
    card,
    choice,
    empty,
    facts,
    field,
    filters,
    link,
    money,
    pager,
    pill,
    row,
    status_pill,
    table,
)
from qbsync.simulator.page.visit import NothingHere, Screen, Visit
from qbsync.simulator.store import Record

_COUNTED_UP_TO = 20_000
INVOICE_COLUMNS: Sequence[Column] = (
    ("Number", ""),
    ("Customer", "grow wide"),
    ("Date", "wide date"),
    ("Due", "wide date"),
    ("Status", ""),
    ("Total", "number wide"),
    ("Balance", "number"),
)


def invoices(visit: Visit) -> Screen:
    """Every invoice, newest first, with search and filters."""
    found = _found(visit, INVOICE)
    chosen = visit.params.get("status", "")
    state = choice(
        "status", [("", "All"), *((s.value, s.value.capitalize()) for s in Status)], chosen, id="status"
    )
    search = _search(visit, "/invoices", "Number or customer", field("Status", state))
    rows = (invoice_row(visit, record) for record in found.rows)
    body = joined(sums(visit), search, _listed(visit, INVOICE_COLUMNS, rows, found, "/invoices"))
    return Screen("Invoices", body, subtitle=_counted(visit, INVOICE, "invoice"))


def invoice_row(visit: Visit, record: Record) -> Html:
    """One invoice in a list."""
    document = record.document()
    status = status_of(record, visit.today)
    customer = document["CustomerRef"].get("name", "")
    number = document.get("DocNumber") or f"#{record.id}"
    cells = (
        joined(
            link(visit.link(f"/invoices/{record.id}"), tag("bdi", number), class_="row"),
            tag("bdi", customer, class_="sub narrow", aria_hidden="true"),
        ),
        tag("bdi", customer),
        document.get("TxnDate"),
        document.get("DueDate"),
        status_pill(status),
        _priced(visit, document, "TotalAmt"),
        _priced(visit, document, "Balance"),
    )
    return row(f"invoice-{record.id}", INVOICE_COLUMNS, cells, class_=status.value)


def payments(visit: Visit) -> Screen:
    """Every payment and what it paid for."""
    columns = (
        ("Date", "date"),
        ("Customer", "grow"),
        ("For", ""),
        ("Reference", "wide"),
        ("Unapplied", "number wide"),
        ("Amount", "number"),
    )
    found = _found(visit, PAYMENT)
    rows = (_payment(visit, record, columns) for record in found.rows)
    body = joined(
        _search(visit, "/payments", "Reference or customer"),
        _listed(visit, columns, rows, found, "/payments"),
    )
    return Screen("Payments", body, subtitle=_counted(visit, PAYMENT, "payment"))


def customers(visit: Visit) -> Screen:
    """Every customer and what they owe."""
    columns = (
        ("Name", "grow"),
        ("E-mail", "wide"),
        ("Id", "wide number"),
        ("State", ""),
        ("Balance", "number"),
    )
    found = _found(visit, CUSTOMER)
    rows = (
        row(
            f"customer-{record.id}",
            columns,
            (
                link(
                    visit.link(f"/customers/{record.id}"),
                    tag("bdi", record.values["DisplayName"]),
                    class_="row",
                ),
                tag("bdi", record.values["PrimaryEmailAddr"] or ""),
                record.id,
                _activity(record),
                money(record.values["Balance"]),
            ),
        )
        for record in found.rows
    )
    body = joined(
        _search(visit, "/customers", "Name", field("State", _activities(visit))),
        _listed(visit, columns, rows, found, "/customers"),
    )
    return Screen("Customers", body, subtitle=_counted(visit, CUSTOMER, "customer"))


def items(visit: Visit) -> Screen:
    """Every item that can be sold."""
    columns = (
        ("Name", "grow"),
        ("Type", "wide"),
        ("SKU", "wide"),
        ("Id", "number wide"),
        ("State", ""),
        ("Price", "number"),
    )
    found = _found(visit, ITEM)
    rows = (_item(record, columns) for record in found.rows)
    body = joined(
        _search(visit, "/items", "Name or SKU", field("State", _activities(visit))),
        _listed(visit, columns, rows, found, "/items"),
    )
    return Screen("Items", body, subtitle=_counted(visit, ITEM, "item"))


def customer(visit: Visit, identifier: str) -> Screen:
    """One customer's statement, as the company would send it: notes and all."""
    record = visit.company.table(CUSTOMER).get(identifier)
    if record is None:
        raise NothingHere(f"There is no customer {identifier} in this company.")
    document = record.document()
    about = facts(
        (
            ("Id", identifier),
            ("SyncToken", record.sync_token),
            ("E-mail", document.get("PrimaryEmailAddr", {}).get("Address")),
            ("Phone", document.get("PrimaryPhone", {}).get("FreeFormNumber")),
            ("Currency", document.get("CurrencyRef", {}).get("value")),
            ("Open balance", money(document.get("Balance", 0))),
        )
    )
    body = joined(card("", about), _statement(visit, identifier))
    return Screen(str(record.values["DisplayName"]), body, subtitle="Customer statement")


def lines_of(address: Any) -> Child:
    """An address as on an envelope."""
    if not isinstance(address, dict):
        return None
    town = " ".join(
        str(address[part]) for part in ("City", "CountrySubDivisionCode", "PostalCode") if address.get(part)
    )
    parts = [str(address[f"Line{n}"]) for n in range(1, 6) if address.get(f"Line{n}")]
    return tag("address", *([part, tag("br")] for part in [*parts, town, address.get("Country")] if part))


def _statement(visit: Visit, identifier: str) -> Html:
    columns = (
        ("Date", "date"),
        ("Transaction", ""),
        ("Memo", "grow note"),
        ("Amount", "number"),
        ("Balance", "number"),
    )
    try:
        entries = visit.world.ledger.statement(visit.company, identifier)
    except Refusal as refusal:
        return empty(str(refusal))
    rows = [
        row(
            f"{entry.type}-{entry.id}",
            columns,
            (
                entry.date,
                _transaction(visit, entry.type, entry.id, entry.number),
                tag("bdi", entry.memo),
                money(entry.amount),
                money(entry.balance),
            ),
        )
        for entry in entries.rows
    ]
    if not rows:
        return empty("Nothing has been sold to this customer yet.")
    total = tag("p", "Balance ", tag("strong", money(entries.total)), class_="sum")
    hint = tag(
        "p", "A statement prints each PrivateNote: what an app writes there, customers read.", class_="hint"
    )
    return card("Statement", hint, table("Statement", columns, rows), total)


def _transaction(visit: Visit, kind: str, identifier: str, number: str) -> Html:
    text = tag("bdi", f"{kind} {number or '#' + identifier}")
    return link(visit.link(f"/invoices/{identifier}"), text) if kind == "Invoice" else text


def _payment(visit: Visit, record: Record, columns: Sequence[Column]) -> Html:
    document = record.document()
    linked = [
        txn["TxnId"]
        for line in document.get("Line", [])
        for txn in line.get("LinkedTxn", [])
        if txn.get("TxnType") == "Invoice"
    ]
    cells = (
        document.get("TxnDate"),
        tag("bdi", document.get("CustomerRef", {}).get("name", "")),
        [_invoice_link(visit, each) for each in linked] or tag("span", "unapplied", class_="faint"),
        tag("bdi", document.get("PaymentRefNum", "")),
        _priced(visit, document, "UnappliedAmt"),
        _priced(visit, document, "TotalAmt"),
    )
    return row(f"payment-{record.id}", columns, cells)


def _priced(visit: Visit, document: Mapping[str, Any], name: str) -> Child:
    """An amount, with its currency where that is a foreign one."""
    currency = document.get("CurrencyRef", {}).get("value")
    foreign = currency not in (None, visit.company.home_currency["value"])
    return joined(
        money(document.get(name, 0)), tag("span", f" {currency}", class_="faint") if foreign else None
    )


def _invoice_link(visit: Visit, identifier: str) -> Html:
    record = visit.company.table(INVOICE).get(identifier)
    number = (record.values["DocNumber"] if record is not None else None) or f"#{identifier}"
    return joined(link(visit.link(f"/invoices/{identifier}"), tag("bdi", number)), " ")


def _item(record: Record, columns: Sequence[Column]) -> Html:
    values = record.values
    name = joined(
        tag("bdi", values["Name"]),
        tag("bdi", values["Description"], class_="sub") if values["Description"] else None,
    )
    cells = (name, values["Type"], tag("bdi", values["Sku"] or ""), record.id, _activity(record))
    return row(f"item-{record.id}", columns, (*cells, money(values["UnitPrice"])))


def _activity(record: Record) -> Html:
    return pill("Active", "paid") if record.active else pill("Inactive", "voided")


def _activities(visit: Visit) -> Html:
    states = [("", "All"), ("active", "Active"), ("inactive", "Inactive")]
    return choice("status", states, visit.params.get("status", ""), id="status")


def _found(visit: Visit, kind: Kind) -> Excerpt:
    params = visit.params
    search = Search(params.get("q", ""), params.get("status", ""), params.get("customer", ""))
    try:
        return listing.excerpt(
            visit.company, kind, search, today=visit.today, before=params.get("before", "")
        )
    except listing.UnknownFilter as error:
        raise NothingHere(f"{error}.") from None


def _search(visit: Visit, path: str, label: str, *more: Html) -> Html:
    words = tag(
        "input", type_="search", name="q", id="q", value=visit.params.get("q", ""), autocomplete="off"
    )
    return filters(visit, path, field(label, words, class_="grow"), *more)


def _listed(visit: Visit, columns: Sequence[Column], rows: Iterable[Html], found: Excerpt, path: str) -> Html:
    title = path.strip("/").capitalize()
    params = {
        name: visit.params[name] for name in ("q", "status", "customer", "before") if name in visit.params
    }
    if not found.rows:
        return empty("Nothing fits." if params else "Nothing here yet.")
    return joined(table(title, columns, rows), pager(visit, path, found.next, params))


def _counted(visit: Visit, kind: Kind, word: str) -> str:
    count = len(visit.company.table(kind))
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def sums(visit: Visit) -> Html | None:
    """What is overdue, open and paid; left out where counting would be slow, and where currencies mix."""
    currencies = visit.company.preference("CurrencyPrefs", "MultiCurrencyEnabled") is True
    if currencies or len(visit.company.table(INVOICE)) > _COUNTED_UP_TO:
        return None
    totals = listing.totals(visit.company, visit.today)
    entries: list[tuple[str, Status, Decimal]] = [
        ("Overdue", Status.OVERDUE, totals.balance[Status.OVERDUE]),
        ("Open, not yet due", Status.OPEN, totals.balance[Status.OPEN]),
        ("Received", Status.PAID, totals.paid),
    ]
    shown = [
        link(
            visit.link("/invoices", status=status.value),
            tag("span", title, class_="label"),
            tag("strong", money(amount)),
            tag("span", f"{totals.count[status]} {status.value}", class_="faint"),
            class_=status.value,
        )
        for title, status, amount in entries
    ]
    return tag("div", *shown, class_="sums")
