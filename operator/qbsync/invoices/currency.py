"""The currency of an invoice against that of its customer and company, before anything is sent: pure.

Intuit: a customer has one currency for good, and all its invoices are in it; a company that does not deal in
several currencies has its own only.
"""

from typing import Final

from qbsync.api.invoice import CustomerRef, InvoiceSpec
from qbsync.invoices.connection import Connection
from qbsync.invoices.errors import InvalidSpec
from qbsync.invoices.references import Name, Reference, References, customer_reference

FIELDS: Final = frozenset({"customer", "currency", "exchangeRate"})
"""What the check is about, as the spec calls it."""


def customer_by_any_name(customer: CustomerRef) -> Reference:
    """The customer as it has to be looked up for its currency: by id too."""
    reference = customer_reference(customer)
    if customer.id is None:
        return reference
    return Reference(reference.slot, reference.path, name=Name("Customer", "Id", customer.id))


def check_currency(invoice: InvoiceSpec, references: References, connection: Connection) -> None:
    """Raises `InvalidSpec` if QuickBooks would refuse the currency, or drop the rate, as far as that is known."""
    home = connection.home_currency
    wanted = invoice.currency or home
    if wanted is None or home is None:
        return
    if connection.multicurrency is False and wanted != home:
        raise InvalidSpec(
            f"spec.invoice.currency is {wanted}, but the company works in {home} only: leave currency out, or "
            "switch on Multicurrency in QuickBooks (Account and settings > Advanced)"
        )
    if wanted == home and invoice.exchange_rate not in (None, 1):
        # QuickBooks takes 1 for its own currency whatever is sent, and says nothing.
        raise InvalidSpec(
            f"spec.invoice.exchangeRate is {invoice.exchange_rate}, but the invoice is in the company's own currency, "
            f"{home}: leave exchangeRate out, or write the currency that it is in"
        )
    customer = references.row_of(customer_by_any_name(invoice.customer))
    if customer is None or customer.currency is None or customer.currency == wanted:
        return
    stated = f"spec.invoice.currency is {wanted}" if invoice.currency else f"the company's currency is {home}"
    raise InvalidSpec(
        f"{stated}, but customer {customer.id} has {customer.currency}, and all invoices of a customer are in its "
        f"own currency: write currency: {customer.currency}, or name another customer"
    )
