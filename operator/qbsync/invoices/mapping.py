"""From a spec to the bodies of a create and an update: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from qbsync.api.invoice import InvoiceSpec
from qbsync.invoices.errors import InvalidSpec
from qbsync.invoices.fields import Statement
from qbsync.invoices.identity import OwnerMark, find_mark, with_mark, without_mark
from qbsync.invoices.lines import net_total, with_line_ids
from qbsync.invoices.overdue import zone
from qbsync.quickbooks.exactjson import objects_in

JsonObject = dict[str, Any]
AUTO_GENERATE: Final = "AUTO_GENERATE"
"""Intuit: as DocNumber it asks for the next number, where the company numbers its invoices by hand."""
_NOTE: Final = "PrivateNote"
_CUSTOM_FIELD: Final = "CustomField:"


@dataclass(frozen=True, slots=True)
class MarkPlace:
    """Where a company's invoices carry the owner mark: `spec.invoices.ownerMark` of the connection."""

    setting: str = _NOTE

    @property
    def definition_id(self) -> str | None:
        """The custom field that holds it; None: the private note, or nowhere."""
        return self.setting.removeprefix(_CUSTOM_FIELD) if self.setting.startswith(_CUSTOM_FIELD) else None

    @property
    def nowhere(self) -> bool:
        """Invoices carry no mark at all."""
        return self.setting == "None"

    @property
    def in_note(self) -> bool:
        return self.setting == _NOTE


def transaction_date(invoice: InvoiceSpec, *, created: datetime, time_zone: str) -> date:
    """The date of the invoice: as given, else the day the object was created, in the company's time zone.

    Never the day of sending, so that every retry sends the same body.
    """
    return invoice.transaction_date or created.astimezone(zone(time_zone)).date()


def create_body(
    invoice: InvoiceSpec,
    stated: Iterable[Statement],
    *,
    mark: OwnerMark,
    place: MarkPlace,
    day: date,
    numbered_by_hand: bool = True,
) -> JsonObject:
    """The body of the create, from what a spec states. `numbered_by_hand`: the company chooses numbers.

    Raises `InvalidSpec`.
    """
    if net_total(invoice) < 0:
        raise InvalidSpec("spec.invoice.lines come to less than 0: QuickBooks has credit memos for that")
    body: JsonObject = {"TxnDate": day.isoformat()}
    number = invoice.doc_number or (AUTO_GENERATE if numbered_by_hand else None)
    if number is not None:
        body["DocNumber"] = number.strip()
    # A new invoice has nothing to clear.
    _merge(body, (part for part in map(_part, stated) if not _clears(part)))
    _put_mark(body, {}, mark, place)
    return body


def update_body(
    changed: Iterable[Statement],
    standing: Mapping[str, Any],
    *,
    mark: OwnerMark,
    place: MarkPlace,
) -> JsonObject:
    """The body of a sparse update that makes `changed` so, of an invoice as QuickBooks last answered it."""
    body: JsonObject = {"Id": standing["Id"], "SyncToken": standing["SyncToken"]}
    _merge(body, map(_part, changed))
    if "Line" in body:
        body["Line"] = with_line_ids(body["Line"], standing.get("Line") or ())
    if "CustomField" in body:
        body["CustomField"] = _with_standing_fields(body["CustomField"], standing.get("CustomField"))
    _put_mark(body, standing, mark, place)
    return body


def mark_of(row: Mapping[str, Any]) -> OwnerMark | None:
    """The owner mark of an invoice, wherever it stands."""
    note = find_mark(_text(row.get(_NOTE)))
    fields = (find_mark(_text(entry.get("StringValue"))) for entry in objects_in(row.get("CustomField")))
    return note or next((mark for mark in fields if mark is not None), None)


def _part(statement: Statement) -> JsonObject:
    return statement.part


def _merge(body: JsonObject, parts: Iterable[JsonObject]) -> None:
    for part in parts:
        for name, value in part.items():
            body[name] = [*body.get(name, []), *value] if name == "CustomField" else value


def _clears(part: JsonObject) -> bool:
    return all(value in ("", {"value": ""}, {"Address": ""}) for value in part.values())


def _put_mark(body: JsonObject, standing: Mapping[str, Any], mark: OwnerMark, place: MarkPlace) -> None:
    """Write the mark where it belongs, if it is not there yet or its place is being overwritten."""
    if place.in_note:
        if _NOTE in body or find_mark(_text(standing.get(_NOTE))) != mark:
            note = body[_NOTE] if _NOTE in body else without_mark(standing.get(_NOTE))
            body[_NOTE] = with_mark(note or None, mark)
    elif place.definition_id is not None and mark_of(standing) != mark:
        entry = {"DefinitionId": place.definition_id, "Type": "StringType", "StringValue": str(mark)}
        fields = body.get("CustomField") or objects_in(standing.get("CustomField"))
        others = [known for known in fields if str(known.get("DefinitionId")) != place.definition_id]
        body["CustomField"] = [*others, entry]


def _with_standing_fields(stated: list[JsonObject], standing: object) -> list[Mapping[str, Any]]:
    # The list is replaced whole: what the spec does not name goes along unchanged.
    named = {entry["DefinitionId"] for entry in stated}
    kept = [entry for entry in objects_in(standing) if str(entry.get("DefinitionId")) not in named]
    return [*kept, *stated]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
