"""What can be wrong with a spec before QuickBooks has seen it.

SpecError(message)
├── InvalidSpec       the content contradicts itself, or this release does not do it yet
└── ReferenceMissing  a customer or item that the spec names is not there, not once, or not active
"""


class SpecError(Exception):
    """Nothing was sent; the message says which field, and what to write instead."""


class InvalidSpec(SpecError):
    """Reason `InvalidInvoice`."""


class ReferenceMissing(SpecError):
    """Reason `ReferenceNotFound`."""
