"""What makes an invoice ours: the requestid of each intended change, and the owner mark it carries."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec

MAPPING_VERSION = 1
"""Moves when the same spec is mapped to other content; part of every applied hash."""

_REQUESTID_LENGTH = 32
_KEY_LENGTH = 10
_UID_LENGTH = 6
_MARK = re.compile(r"\[qbsync k:(?P<key>[a-z2-7]{10}) u:(?P<uid>[a-z2-7]{6})(?P<adopted> a)?\]")


def _digest(*parts: str) -> str:
    content = "\0".join(parts).encode()
    return base64.b32encode(hashlib.sha256(content).digest()).decode().rstrip("=").lower()


def requestid(*, uid: str, recreate: str, operation: str, n: int | str) -> str:
    """QuickBooks' idempotency key for one intended change (Intuit: at most 50 characters, per company).

    Never made from time, retries or the spec alone: QuickBooks answers a repeated id with the first
    answer, whatever the operation or body.
    """
    return _digest(uid, recreate, operation, str(n))[:_REQUESTID_LENGTH]


def name_requestid(*, realm: str, kind: str, name: str, n: int) -> str:
    """The same for a customer or item that several objects may want at once: whoever asks, it is one change."""
    return _digest("name", realm, kind, normalized_name(name), str(n))[:_REQUESTID_LENGTH]


def normalized_name(name: str) -> str:
    """What two spellings of a customer's or item's name share."""
    return " ".join(name.split()).casefold()


@dataclass(frozen=True, slots=True)
class OwnerMark:
    """`[qbsync k:… u:…]` in an invoice's note: whose it is, and which object last wrote it."""

    key: str
    uid: str
    adopted: bool = False

    def __str__(self) -> str:
        return f"[qbsync k:{self.key} u:{self.uid}{' a' if self.adopted else ''}]"

    def of_adopted(self) -> "OwnerMark":
        """The mark of an invoice that was adopted: it is never voided or deleted by policy."""
        return replace(self, adopted=True)

    def same_owner(self, other: "OwnerMark") -> bool:
        """True if both name the same source or object, be it under another uid."""
        return self.key == other.key


def owner_mark(
    *, namespace: str, name: str, uid: str, source_system: str | None, source_id: str | None
) -> OwnerMark:
    """The mark of an InvoiceSync: its source if it names one, else its own name; survives a new uid."""
    key = mark_key(namespace=namespace, name=name, source_system=source_system, source_id=source_id)
    return OwnerMark(key, uid_mark(uid))


def mark_key(*, namespace: str, name: str, source_system: str | None, source_id: str | None) -> str:
    """The `k` of a mark: the same for every object of one source, else for every object of one name."""
    if source_system and source_id:
        return _digest("source", source_system, source_id)[:_KEY_LENGTH]
    return _digest("object", namespace, name)[:_KEY_LENGTH]


def uid_mark(uid: str) -> str:
    """The short form of a uid in a mark."""
    return _digest("uid", uid)[:_UID_LENGTH]


def find_mark(note: str | None) -> OwnerMark | None:
    """The last owner mark in a note, None without one."""
    marks = list(_MARK.finditer(note or ""))
    if not marks:
        return None
    last = marks[-1]
    return OwnerMark(last["key"], last["uid"], adopted=last["adopted"] is not None)


def with_mark(note: str | None, mark: OwnerMark) -> str:
    """A note that ends in the mark."""
    return f"{note}\n{mark}" if note else str(mark)


def without_mark(note: object) -> str | None:
    """What people wrote in a note that may hold owner marks; None for nothing."""
    return _MARK.sub("", note).strip() or None if isinstance(note, str) else None


def docnumber_claim(number: str) -> str:
    """What two DocNumbers must share to be the same number to a person."""
    return number.strip().casefold()


def content_hash(content: Mapping[str, Any]) -> str:
    """A hash of a spec's invoice that does not move with spelling (`3` and `3.00` are one quantity)."""
    encoded = msgspec.json.encode(canonical(content), order="deterministic")
    return f"v{MAPPING_VERSION}:{hashlib.sha256(encoded).hexdigest()[:32]}"


def canonical(value: Any) -> Any:
    """A value in the one form that its hash is taken of: no empty entries, one spelling of a number."""
    if isinstance(value, Mapping):
        return {key: canonical(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [canonical(entry) for entry in value]
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value
