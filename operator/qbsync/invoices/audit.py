"""Audit lines: what became of which InvoiceSync. The same logger and schema as the grants' (tokens/audit.py)."""

import logging

from qbsync.invoices.candidate import Candidate
from qbsync.quickbooks.entities import Invoice

logger = logging.getLogger("qbsync.audit")


def synced(candidate: Candidate, *, outcome: str, invoice: Invoice, intuit_tid: str | None) -> None:
    """One line for an invoice that stands in QuickBooks and is recorded."""
    _line(
        candidate,
        "invoice.sync",
        outcome,
        quickbooks_id=invoice.id,
        doc_number=invoice.doc_number,
        intuit_tid=intuit_tid,
    )


def parted(
    candidate: Candidate, *, outcome: str, quickbooks_id: str, doc_number: str | None, intuit_tid: str | None
) -> None:
    """One line for an invoice that was voided or deleted, as the deletion policy says."""
    _line(
        candidate,
        "invoice.sync",
        outcome,
        quickbooks_id=quickbooks_id,
        doc_number=doc_number,
        intuit_tid=intuit_tid,
    )


def refused(candidate: Candidate, *, reason: str, code: str | None, intuit_tid: str | None) -> None:
    """One line for what a person has to settle; the words stand in the object's status."""
    status = candidate.status
    _line(
        candidate,
        "invoice.sync",
        reason,
        quickbooks_id=status.quickbooks_id,
        doc_number=status.doc_number or candidate.number,
        fault_code=code,
        intuit_tid=intuit_tid,
    )


def mailed(candidate: Candidate, *, outcome: str, intuit_tid: str | None) -> None:
    """One line for an e-mail that was sent, or was not."""
    status = candidate.status
    _line(
        candidate,
        "invoice.send",
        outcome,
        quickbooks_id=status.quickbooks_id,
        doc_number=status.doc_number,
        intuit_tid=intuit_tid,
    )


def released(candidate: Candidate, why: str) -> None:
    """One line for an object that goes while its invoice stays, against its deletion policy."""
    status = candidate.status
    _line(
        candidate,
        "invoice.release",
        "ReleasedWithoutVoid",
        quickbooks_id=status.quickbooks_id,
        doc_number=status.doc_number,
        reason=why,
    )


def _line(candidate: Candidate, action: str, outcome: str, **further: str | None) -> None:
    source = candidate.spec.source
    fields = {
        "audit": True,
        "action": action,
        "outcome": outcome,
        "namespace": candidate.company.namespace,
        "connection": candidate.company.name,
        "uid": candidate.key.uid,
        "object": f"{candidate.key.namespace}/{candidate.key.name}",
        "source": source.number if source is not None else None,
        **further,
    }
    present = {key: value for key, value in fields.items() if value is not None}
    logger.info("%s %s: %s", action, fields["object"], outcome, extra=present)
