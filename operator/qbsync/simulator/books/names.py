"""Names that follow: deactivated rows are marked, and what refers to a renamed one shows its new name."""

from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.hierarchy import rename_descendants
from qbsync.simulator.entities.kinds import (
    CREDIT_MEMO,
    CUSTOMER,
    INVOICE,
    ITEM,
    PAYMENT,
    SALES_RECEIPT,
    Kind,
)
from qbsync.simulator.jsoncodec import JsonObject

_MARK = " (deleted)"
_SHOWN = {CUSTOMER.name: ("CustomerRef", "DisplayName"), ITEM.name: ("ItemRef", "FullyQualifiedName")}
_SALES = (INVOICE, CREDIT_MEMO, SALES_RECEIPT, PAYMENT)


def unmark(kind: Kind, before: JsonObject, body: JsonObject, sent: frozenset[str]) -> None:
    """A row made active again gets its name back, unless the request names it."""
    field = kind.named_by
    if field and before.get("Active") is False and body.get("Active") is True and field not in sent:
        body[field] = str(body[field]).removesuffix(_MARK)


def mark(kind: Kind, before: JsonObject | None, after: JsonObject) -> None:
    """A row made inactive is renamed "X (deleted)", as QuickBooks does (recorded)."""
    field = kind.named_by
    if not field or after.get("Active") is not False or (before or {}).get("Active") is False:
        return
    for name in (field, "FullyQualifiedName"):
        if name in after and not after[name].endswith(_MARK):
            after[name] += _MARK


def follow(company: Company, kind: Kind, before: JsonObject | None, after: JsonObject) -> None:
    """Let everything that shows a renamed row's name show the new one; their SyncTokens stay."""
    if before is None or "FullyQualifiedName" not in kind.fields:
        return
    if before.get("FullyQualifiedName") == after.get("FullyQualifiedName"):
        return
    rename_descendants(company, kind, after)
    if kind.name not in _SHOWN:
        return
    reference, name = _SHOWN[kind.name]
    for sales in _SALES:
        _show(company, sales, reference, after["Id"], after[name])


def _show(company: Company, kind: Kind, reference: str, identifier: str, name: str) -> None:
    sign = f'"{reference}":{{"value":"{identifier}"'.encode()
    table = company.table(kind)
    for record in [row for row in table if sign in row.body]:
        document = record.document()
        _rename(document, reference, identifier, name)
        table.put(document, visible_at=record.visible_at, behind=record.behind)


def _rename(value: Any, reference: str, identifier: str, name: str) -> None:
    if isinstance(value, list):
        for entry in value:
            _rename(entry, reference, identifier, name)
    elif isinstance(value, dict):
        for field, content in value.items():
            if field == reference and isinstance(content, dict) and content.get("value") == identifier:
                content["name"] = name
            else:
                _rename(content, reference, identifier, name)
