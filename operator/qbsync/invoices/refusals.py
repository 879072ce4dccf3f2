"""What a definite refusal means for an InvoiceSync, and what a person can do about it: one table, by fault code.

Codes: Intuit's error table. QuickBooks' own words come last in a message: they may be long, and are cut.
"""

from typing import Final

from qbsync.api.conditions import InvoiceReason
from qbsync.quickbooks.errors import QuickBooksError

_ASK: Final = "then request a sync (annotation qbsync.dev/requested-at)"
_NAMES: Final = (
    InvoiceReason.REFERENCE_NOT_FOUND,
    "something that the spec names is not there or inactive: correct the spec, or reactivate it in QuickBooks, "
    + _ASK,
)
_FIELD: Final = (InvoiceReason.INVALID_INVOICE, "correct the field of spec.invoice that QuickBooks names")
_REFUSALS: Final = {
    "610": _NAMES,
    "2010": (
        InvoiceReason.INVALID_INVOICE,
        "QuickBooks does not know the field that it names: take it out of spec.invoice.extra",
    ),
    "2020": _FIELD,
    "2030": _FIELD,
    "2050": _FIELD,
    "2170": _FIELD,
    "2500": _NAMES,
    "6070": (
        InvoiceReason.INVALID_INVOICE,
        "write an amount that is quantity times unitPrice, or leave amount out",
    ),
    "6190": (InvoiceReason.SUBSCRIPTION_ENDED, f"renew the company's QuickBooks subscription, {_ASK}"),
    "6210": (
        InvoiceReason.PERIOD_CLOSED,
        f"the books are closed for that date: write another transactionDate, or reopen them in QuickBooks, {_ASK}",
    ),
    "6540": (InvoiceReason.INVALID_INVOICE, f"its payment is deposited: undo that in QuickBooks, {_ASK}"),
}
_OTHERWISE: Final = f"correct the spec; or what stands in its way in QuickBooks, {_ASK}"


def reason_of(
    error: QuickBooksError, otherwise: InvoiceReason = InvoiceReason.INVALID_INVOICE
) -> InvoiceReason:
    """The reason of Ready; `otherwise` for what the code alone does not tell."""
    reason, _ = _REFUSALS.get(error.code or "", (otherwise, ""))
    return otherwise if reason is InvoiceReason.INVALID_INVOICE else reason


def told(what: str, error: QuickBooksError) -> str:
    """`what` was refused: what to do about it, then QuickBooks' words."""
    _, advice = _REFUSALS.get(error.code or "", ("", _OTHERWISE))
    return f"{what} was refused: {advice}. {error}"
