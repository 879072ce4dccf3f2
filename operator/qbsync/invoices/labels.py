"""Under which labels an InvoiceSync is found among the others of its company."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from qbsync.api.meta import Kind
from qbsync.invoices.identity import docnumber_claim, uid_mark

_mark_of = lru_cache(maxsize=65536)(uid_mark)


def labels_of(kind: Kind, body: Mapping[str, Any]) -> Iterator[str]:
    """The number it asks for, the id it has recorded, the uid in its mark."""
    if kind is not Kind.INVOICE:
        return
    number = ((body.get("spec") or {}).get("invoice") or {}).get("docNumber")
    if number:
        yield by_number(number)
    recorded = (body.get("status") or {}).get("quickbooksId")
    if recorded:
        yield by_id(recorded)
    yield by_uid_mark(_mark_of(body["metadata"]["uid"]))


def by_number(number: str) -> str:
    """The label of whoever asks for this DocNumber."""
    return f"number:{docnumber_claim(number)}"


def by_id(quickbooks_id: str) -> str:
    """The label of whoever has recorded this invoice."""
    return f"id:{quickbooks_id}"


def by_uid_mark(mark: str) -> str:
    """The label of the object whose uid this is."""
    return f"uid:{mark}"
