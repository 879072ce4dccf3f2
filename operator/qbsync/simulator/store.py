"""Rows of one kind: each kept as the JSON it is answered with, beside the few values a query may ask for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.entities.kinds import KINDS, FieldType, Kind
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import parse_moment

Value = str | Decimal | bool | float | None


@dataclass(slots=True)
class Record:
    """One entity. `visible_at` (business time, seconds) is when queries begin to see it; a read sees it at once.

    `behind` is what queries see until then, where it took the place of an earlier state.
    """

    id: str
    sync_token: str
    active: bool
    visible_at: float
    values: Mapping[str, Value]
    body: bytes
    behind: "Record | None" = None

    def as_of(self, timestamp: float) -> "Record | None":
        """What queries see of it at that time; None while it is too young for them."""
        if self.visible_at <= timestamp:
            return self
        return self.behind.as_of(timestamp) if self.behind is not None else None

    def forget_before(self, timestamp: float) -> None:
        """Drop the states that no query can see any more at that time."""
        record: Record | None = self
        while record is not None:
            if record.visible_at <= timestamp:
                record.behind = None
            record = record.behind

    def document(self) -> JsonObject:
        """A fresh copy of the entity."""
        return jsoncodec.load_object(self.body)


def folded(text: str) -> str:
    """How names and numbers are compared without case."""
    return text.strip().casefold()


def extract(kind: Kind, document: Mapping[str, Any]) -> dict[str, Value]:
    """The filterable values of an entity."""
    return {name: _typed(field_type, _at(document, steps)) for name, field_type, steps in _paths(kind.name)}


@cache
def _paths(kind_name: str) -> Sequence[tuple[str, FieldType, Sequence[str]]]:
    fields = KINDS[kind_name].fields
    return [(name, field_type, name.split(".")) for name, field_type in fields.items()]


def _at(document: Mapping[str, Any], steps: Sequence[str]) -> Any:
    value: Any = document
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    if isinstance(value, dict):
        return value.get("value", value.get("Address"))
    return value


def _typed(field_type: FieldType, value: Any) -> Value:
    if value is None:
        return None
    if field_type is FieldType.NUMBER:
        return Decimal(value)
    if field_type is FieldType.FLAG:
        return bool(value)
    if field_type is FieldType.MOMENT:
        return _timestamp(str(value))
    return str(value)


@lru_cache(maxsize=1024)
def _timestamp(text: str) -> float | None:
    moment = parse_moment(text)
    return moment.timestamp() if moment is not None else None


class Table:
    """The rows of one kind in one company, in the order they were made, with their indexes."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._rows: dict[str, Record] = {}
        self._indexes: dict[str, dict[str, dict[str, Record]]] = {name: {} for name in kind.indexed}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._rows.values())

    def newest_first(self) -> Iterator[Record]:
        """Rows in the order QuickBooks lists transactions."""
        return reversed(self._rows.values())

    def get(self, identifier: str) -> Record | None:
        """The row with that Id."""
        return self._rows.get(identifier)

    def having(self, field: str, text: str) -> list[Record]:
        """The rows whose indexed field has that text, case and surrounding blanks apart."""
        return list(self._indexes[field].get(folded(text), {}).values())

    def containing(self, field: str, part: str) -> Iterator[Record]:
        """The rows whose indexed field has that text somewhere in it, case apart."""
        wanted = folded(part)
        for text, entry in self._indexes[field].items():
            if wanted in text:
                yield from entry.values()

    def put(self, document: Mapping[str, Any], *, visible_at: float, behind: Record | None = None) -> Record:
        """Add an entity, or replace the one with the same Id; `behind` is what queries see until `visible_at`."""
        identifier = str(document["Id"])
        self._unindex(identifier)
        record = Record(
            id=identifier,
            sync_token=str(document["SyncToken"]),
            active=document.get("Active") is not False,
            visible_at=visible_at,
            values=extract(self.kind, document),
            body=jsoncodec.dump(document),
            behind=behind,
        )
        self._rows[identifier] = record
        for name, index in self._indexes.items():
            text = record.values[name]
            if isinstance(text, str):
                index.setdefault(folded(text), {})[identifier] = record
        return record

    def amend(self, record: Record, document: Mapping[str, Any], *names: str) -> None:
        """Change an entity in place, in fields that are in no index and that queries see at once: the named ones."""
        paths = {name: (field_type, steps) for name, field_type, steps in _paths(self.kind.name)}
        changed = {
            name: _typed(kind, _at(document, steps)) for name, (kind, steps) in paths.items() if name in names
        }
        record.values = {**record.values, **changed}
        record.body = jsoncodec.dump(document)

    def remove(self, identifier: str) -> None:
        """Take an entity out; absent already is fine."""
        self._unindex(identifier)
        self._rows.pop(identifier, None)

    def _unindex(self, identifier: str) -> None:
        record = self._rows.get(identifier)
        if record is None:
            return
        for name, index in self._indexes.items():
            text = record.values[name]
            if isinstance(text, str):
                entry = index[folded(text)]
                del entry[identifier]
                if not entry:
                    del index[folded(text)]
