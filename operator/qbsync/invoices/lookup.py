"""Asking QuickBooks what is there. Every answer is complete, or an exception: unknown is never absent."""

from collections.abc import Mapping, Sequence
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
