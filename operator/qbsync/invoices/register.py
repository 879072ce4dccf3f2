"""The register: which invoice of which system is which invoice in QuickBooks, one row per InvoiceSync. Pure.

Rows are made from objects as the API server sends them: what an older release wrote is shown too.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from qbsync.api.conditions import ConditionType, ReadyStatus

COLUMNS: Final = (
    "sourceNumber",
    "sourceSystem",
    "sourceId",
    "sourceUrl",
    "sourceTotal",
    "quickbooksId",
    "docNumber",
    "quickbooksUrl",
    "total",
    "balance",
    "currency",
    "paymentStatus",
    "origin",
    "outcome",
    "lastSync",
    "ready",
    "reason",
    "message",
    "drifted",
    "totalMismatch",
    "connection",
    "namespace",
    "name",
)
"""In this order for good: further ones are added at the end. docs/invoices.md says what each holds."""
AMOUNTS: Final = frozenset({"sourceTotal", "total", "balance"})

Row = dict[str, str | None]


def row_of(body: Mapping[str, Any]) -> Row:
    """One InvoiceSync, by `COLUMNS`; None for what it does not say."""
    metadata, spec = body["metadata"], body["spec"]
    source, status = spec.get("source") or {}, body.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    ready = conditions.get(ConditionType.READY, {})
    values = (
        *(source.get(field) for field in ("number", "system", "id", "url", "total")),
        status.get("quickbooksId"),
        # Before the first sync the spec's number is the only one there is.
        status.get("docNumber") or spec["invoice"].get("docNumber"),
        status.get("url"),
        *(status.get(field) for field in ("totalAmount", "balance", "currency", "paymentStatus")),
        *(status.get(field) for field in ("origin", "outcome", "lastSyncTime")),
        *(ready.get(field) for field in ("status", "reason", "message")),
        *(_finding(conditions.get(type)) for type in (ConditionType.DRIFTED, ConditionType.TOTAL_MISMATCH)),
        "/".join(connection_of(body)),
        metadata["namespace"],
        metadata["name"],
    )
    return dict(zip(COLUMNS, values, strict=True))


def connection_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name of the connection that an InvoiceSync refers to."""
    reference = body["spec"]["connectionRef"]
    return reference.get("namespace") or body["metadata"]["namespace"], reference["name"]


def cells(row: Row) -> Iterable[str]:
    """The row for a CSV file: a spreadsheet shows each cell as text, and computes none of them."""
    return (_harmless(column, row[column] or "") for column in COLUMNS)


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes spreadsheets take a cell for a formula (OWASP: CSV injection); texts come from outside."""


def _harmless(column: str, text: str) -> str:
    if not text.startswith(_FORMULA) or (column in AMOUNTS and _is_number(text)):
        return text
    return f"'{text}"


def _is_number(text: str) -> bool:
    whole, _, cents = text.removeprefix("-").partition(".")
    return whole.isascii() and whole.isdigit() and (not cents or (cents.isascii() and cents.isdigit()))


def _finding(condition: Mapping[str, Any] | None) -> str | None:
    """What is found, while it is so."""
    if condition is None or condition.get("status") != ReadyStatus.TRUE:
        return None
    return str(condition.get("message"))
