"""Under which labels an InvoiceSync is found among the others of its company."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from qbsync.api.meta import Kind
from qbsync.invoices.identity import docnumber_claim, mark_key, uid_mark
from qbsync.invoices.report import CREATE_ENTRY

_mark_of = lru_cache(maxsize=65536)(uid_mark)
ENTRY_OPEN = "entry open"
"""The label of whoever had a customer or item created whose outcome was open when that was last reported."""
_NO_NUMBER = "\0"
"""No DocNumber begins with it."""


@lru_cache(maxsize=65536)
def _key_of(namespace: str, name: str, system: str | None, id_: str | None) -> str:
    return mark_key(namespace=namespace, name=name, source_system=system, source_id=id_)


def labels_of(kind: Kind, body: Mapping[str, Any]) -> Iterator[str]:
    """What it claims, the id it has recorded, the uid in its mark, and whether a name was being created for it."""
    if kind is not Kind.INVOICE:
        return
    yield by_claim(claim_of(body))
    status = body.get("status") or {}
    if status.get("quickbooksId"):
        yield by_id(status["quickbooksId"])
    if (status.get("intent") or {}).get("operation", "").startswith(CREATE_ENTRY):
        yield ENTRY_OPEN
    yield by_uid_mark(_mark_of(body["metadata"]["uid"]))


def claim_of(body: Mapping[str, Any]) -> str:
    """What only one object at a time may settle: its DocNumber, without one the key of its owner mark."""
    spec, metadata = body.get("spec") or {}, body["metadata"]
    number = (spec.get("invoice") or {}).get("docNumber")
    if number:
        return docnumber_claim(number)
    source = spec.get("source") or {}
    key = _key_of(metadata["namespace"], metadata["name"], source.get("system"), source.get("id"))
    return f"{_NO_NUMBER}{key}"


def by_claim(claim: str) -> str:
    """The label of whoever claims this."""
    return f"claim:{claim}"


def by_id(quickbooks_id: str) -> str:
    """The label of whoever has recorded this invoice."""
    return f"id:{quickbooks_id}"


def by_uid_mark(mark: str) -> str:
    """The label of the object whose uid this is."""
    return f"uid:{mark}"
