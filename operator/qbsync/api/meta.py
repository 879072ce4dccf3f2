"""Names that the API is made of: group, kinds, annotations, labels."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

GROUP: Final = "qbsync.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "qbsync"


class Kind(StrEnum):
    """The two kinds of the group."""

    CONNECTION = "QuickBooksConnection"
    INVOICE = "InvoiceSync"


PLURALS: Final[Mapping[Kind, str]] = {
    Kind.CONNECTION: "quickbooksconnections",
    Kind.INVOICE: "invoicesyncs",
}

REQUESTED_AT: Final = f"{GROUP}/requested-at"
"""Any new value: sync now, or refresh now."""
TEST: Final = f"{GROUP}/test"
"""Connection, any new value: read CompanyInfo once and put the result into `status.lastTest`."""
RECREATE: Final = f"{GROUP}/recreate"
"""InvoiceSync, any new value: create the invoice again after it was deleted in QuickBooks."""
ADOPT: Final = f"{GROUP}/adopt"
"""InvoiceSync, a QuickBooks id: that invoice is this one, although it differs."""
FORCE_DELETE: Final = f"{GROUP}/force-delete"
"""`"true"`: release a deletion that waits for QuickBooks."""

INSTANCE_LABEL: Final = f"{GROUP}/instance"
"""Which installation (`--instance NAME`) takes care of the object."""

INVOICE_FINALIZER: Final = f"{GROUP}/invoice"
"""On an InvoiceSync whose deletion voids or deletes its invoice, until that is done."""
REVOKE_FINALIZER: Final = f"{GROUP}/revoke"
"""On a connection whose deletion ends its grant, until that is done."""
IN_USE_FINALIZER: Final = f"{GROUP}/in-use"
"""On a connection as long as InvoiceSyncs refer to it whose deletion voids or deletes their invoices."""

HANDLED_LENGTH: Final = 256


def handled(value: str) -> str:
    """The form in which an annotation's value is recorded and compared, as `status.lastHandledRequest`.

    Annotations may be longer than a status field: only the first 256 characters count.
    """
    return value[:HANDLED_LENGTH]
