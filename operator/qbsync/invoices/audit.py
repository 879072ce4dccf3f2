"""Audit lines: what became of which InvoiceSync. The same logger and schema as the grants' (tokens/audit.py)."""

import logging

from qbsync.invoices.candidate import Candidate
from qbsync.quickbooks.entities import Invoice

logger = logging.getLogger("qbsync.audit")


def synced(candidate: Candidate, *, outcome: str, invoice: Invoice, intuit_tid: str | None) -> None:
    """One line for an invoice that stands in QuickBooks and is recorded."""
    source = candidate.spec.source
    fields = {
        "audit": True,
        "action": "invoice.sync",
        "outcome": outcome,
        "namespace": candidate.company.namespace,
        "connection": candidate.company.name,
        "uid": candidate.key.uid,
        "object": f"{candidate.key.namespace}/{candidate.key.name}",
        "quickbooks_id": invoice.id,
        "doc_number": invoice.doc_number,
        "source": source.number if source is not None else None,
        "intuit_tid": intuit_tid,
    }
    present = {key: value for key, value in fields.items() if value is not None}
    logger.info("invoice.sync %s: %s", fields["object"], outcome, extra=present)
