"""Asking QuickBooks what is there. Every answer is complete, or an exception: unknown is never absent."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from qbsync.invoices.identity import docnumber_claim
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice, NamedRow, parse_invoice, parse_named
from qbsync.quickbooks.errors import Rejected
from qbsync.quickbooks.query import select_by

_EVEN_INACTIVE = "Active IN (true, false)"


async def invoices_by_number(client: CompanyClient, numbers: Sequence[str]) -> dict[str, tuple[Invoice, ...]]:
    """Every invoice with one of these DocNumbers, whole, by claimed number; a number without one is missing.

    Raises a `QuickBooksError` whenever the answer proves nothing.
    """
    rows = await select_by(
        client, entity="Invoice", fields=(), field="DocNumber", values=sorted(set(numbers))
    )
    found: dict[str, tuple[Invoice, ...]] = {}
    for invoice in map(parse_invoice, rows):
        claimed = docnumber_claim(invoice.doc_number or "")
        found[claimed] = (*found.get(claimed, ()), invoice)
    return found


async def invoices_by_customer(
    client: CompanyClient, customers: Sequence[str], span: tuple[date, date] | None
) -> tuple[Invoice, ...]:
    """Every invoice of these customers, by id, dated within `span` (both ends included; None: ever), whole.

    Raises a `QuickBooksError` whenever the answer proves nothing.
    """
    within = f"TxnDate >= '{span[0]}' AND TxnDate <= '{span[1]}'" if span is not None else ""
    rows = await select_by(
        client, entity="Invoice", fields=(), field="CustomerRef", values=customers, extra=within
    )
    return tuple(map(parse_invoice, rows))


async def invoices_by_day(client: CompanyClient, days: Sequence[date]) -> tuple[Invoice, ...]:
    """Every invoice of these days, whole. Raises a `QuickBooksError` whenever the answer proves nothing."""
    values = [day.isoformat() for day in days]
    rows = await select_by(client, entity="Invoice", fields=(), field="TxnDate", values=values)
    return tuple(map(parse_invoice, rows))


async def existing(client: CompanyClient, quickbooks_id: str) -> Invoice | None:
    """One invoice as it is now, None if it was deleted (Intuit: 610, not 404).

    Raises a `QuickBooksError` if QuickBooks did not say.
    """
    try:
        return parse_invoice(await client.read("Invoice", quickbooks_id))
    except Rejected as error:
        if error.code == "610" and error.definite:
            return None
        raise


async def invoices_by_id(client: CompanyClient, known: Mapping[str, str | None]) -> dict[str, Invoice]:
    """Invoices as they are now, by id; one that was deleted is missing.

    `known`: the ids, with the SyncToken last seen of each. A query lags behind a commit, so what it misses,
    or shows older than known, is read by itself. Raises a `QuickBooksError` whenever QuickBooks did not say.
    """
    found: dict[str, Invoice] = {}
    if len(known) > 1:
        rows = await select_by(client, entity="Invoice", fields=(), field="Id", values=sorted(known))
        seen = {invoice.id: invoice for invoice in map(parse_invoice, rows)}
        found = {id_: invoice for id_, invoice in seen.items() if _newer(invoice, known.get(id_))}
    for id_ in known.keys() - found.keys():
        invoice = await existing(client, id_)
        if invoice is not None:
            found[id_] = invoice
    return found


def _newer(invoice: Invoice, known: str | None) -> bool:
    numbers = invoice.sync_token, known or "0"
    return not all(map(str.isdigit, numbers)) or int(numbers[0]) >= int(numbers[1])


class CompanyDirectory:
    """The name lists of one company (`references.Directory`)."""

    def __init__(self, client: CompanyClient) -> None:
        self._client = client

    async def named(self, entity: str, field: str, names: Sequence[str]) -> Sequence[tuple[str, NamedRow]]:
        rows = await select_by(
            self._client,
            entity=entity,
            fields=("Id", field, "Active", *_FURTHER.get(entity, ())),
            field=field,
            values=sorted(set(names)),
            extra=_EVEN_INACTIVE,
        )
        return [(_value(row.get(field)), parse_named(row)) for row in rows]


_FURTHER = {"Customer": ("CurrencyRef",)}
"""What else is asked for: a customer's currency never changes, and is the only one for its invoices."""


def _value(found: Any) -> str:
    # An e-mail address comes as a structure.
    return str(found.get("Address", "") if isinstance(found, Mapping) else found or "")
