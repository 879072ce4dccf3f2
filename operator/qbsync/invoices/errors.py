"""What can be wrong with a spec before QuickBooks has seen it, and what keeps a call at home.

SpecError(message)
├── InvalidSpec       the content contradicts itself, or this release does not do it yet
└── ReferenceMissing  a customer or item that the spec names is not there, not once, or not active
NotSending            right before the bytes would go out: the call is not made
"""

from typing import ClassVar

from qbsync.api.conditions import InvoiceReason


class SpecError(Exception):
    """Nothing was sent; the message says which field, and what to write instead."""

    reason: ClassVar = InvoiceReason.INVALID_INVOICE
    """What Ready says then."""


class InvalidSpec(SpecError):
    """What is written cannot become an invoice."""


class ReferenceMissing(SpecError):
    """A name leads to no entry, or to more than one."""

    reason: ClassVar = InvoiceReason.REFERENCE_NOT_FOUND


class NotSending(Exception):
    """It is no time to send; raised at the last moment, and nothing left."""
