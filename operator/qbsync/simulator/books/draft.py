"""Changes that belong together: kept apart from the books until all of them are known to be allowed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from qbsync.simulator.books.moment import Moment
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import CREDIT_MEMO, INVOICE, PAYMENT, Change, Kind
from qbsync.simulator.entities.money import ZERO
from qbsync.simulator.faults import object_not_found
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import stamp
from qbsync.simulator.store import Record


@dataclass(slots=True)
class _Entry:
    """One entity of the draft: as it stands in the books, and as it will be; None where it is not there."""

    kind: Kind
    before: JsonObject | None
    after: JsonObject | None
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far queries are behind: `draw` gives seconds; updates lag only where the switch says so."""

    draw: Callable[[], float]
    after_update: bool = False


class Draft:
    """A unit of work on one company. Nothing is changed before `commit`, and `commit` cannot fail."""

    def __init__(self, company: Company, moment: Moment) -> None:
        self._company = company
        self._moment = moment
        self._entries: dict[tuple[str, str], _Entry] = {}

    def get(self, kind: Kind, identifier: str) -> JsonObject:
        """The entity as this draft leaves it, to change and `put` back. Raises Refusal 610."""
        document = self._entry(kind, identifier).after
        if document is None:
            raise object_not_found()
        return document

    def original(self, kind: Kind, identifier: str) -> JsonObject:
        """The entity as it stands in the books. Raises Refusal 610."""
        document = self._entry(kind, identifier).before
        if document is None:
            raise object_not_found()
        return document

    def put(self, kind: Kind, document: JsonObject, change: Change) -> None:
        """Make or replace an entity as it is."""
        entry = self._entry(kind, str(document["Id"]))
        entry.after, entry.change = document, change

    def touch(self, kind: Kind, document: JsonObject, *, move_token: bool = True) -> None:
        """Replace an entity that another one's change has changed: LastUpdatedTime moves, SyncToken by one at most."""
        entry = self._entry(kind, str(document["Id"]))
        if move_token and entry.before is not None:
            document["SyncToken"] = str(int(entry.before["SyncToken"]) + 1)
        document["MetaData"] = {**document["MetaData"], "LastUpdatedTime": stamp(self._moment.now)}
        self.put(kind, document, entry.change or Change.UPDATED)

    def remove(self, kind: Kind, identifier: str) -> None:
        """Take an entity out of the books. Raises Refusal 610."""
        self.get(kind, identifier)
        entry = self._entry(kind, identifier)
        entry.after, entry.change = None, Change.DELETED

    def commit(self, lag: Lag, *, credits_count: bool) -> Sequence[tuple[Kind, str, Change]]:
        """Write all of it into the books; what happened to which entity, in order."""
        for entry in self._entries.values():
            self._store(entry, lag)
        self._move_balances(credits_count=credits_count)
        return [
            (entry.kind, identifier, entry.change)
            for (_, identifier), entry in self._entries.items()
            if entry.change is not None
        ]

    def _entry(self, kind: Kind, identifier: str) -> _Entry:
        entry = self._entries.get((kind.name, identifier))
        if entry is None:
            record = self._company.table(kind).get(identifier)
            entry = _Entry(kind, *(_copies(record)))
            self._entries[kind.name, identifier] = entry
        return entry

    def _store(self, entry: _Entry, lag: Lag) -> None:
        now = self._moment.timestamp
        if entry.after is None:
            if entry.before is not None:
                identifier = str(entry.before["Id"])
                self._company.bury(entry.kind, identifier, self._moment.now, now + lag.draw())
        elif entry.before is None:
            self._company.put(entry.kind, entry.after, visible_at=now + lag.draw())
        elif entry.change is None:
            return
        elif lag.after_update:
            self._company.replace_later(entry.kind, entry.after, now=now, visible_at=now + lag.draw())
        else:
            self._company.replace(entry.kind, entry.after)

    def _move_balances(self, *, credits_count: bool) -> None:
        moved: defaultdict[str, Decimal] = defaultdict(Decimal)
        for entry in self._entries.values():
            for document, sign in ((entry.before, -1), (entry.after, 1)):
                owed = _owed(entry.kind, document, credits_count=credits_count)
                if document is not None and owed:
                    moved[document["CustomerRef"]["value"]] += sign * owed
        for customer, change in moved.items():
            self._company.move_balance(customer, change, self._moment.now)


def _copies(record: Record | None) -> tuple[JsonObject | None, JsonObject | None]:
    return (None, None) if record is None else (record.document(), record.document())


def _owed(kind: Kind, document: JsonObject | None, *, credits_count: bool) -> Decimal:
    """What a transaction adds to what its customer owes."""
    if document is None:
        return ZERO
    if kind is INVOICE:
        return Decimal(document["Balance"])
    if kind is CREDIT_MEMO and credits_count:
        return -Decimal(document["Balance"])
    if kind is PAYMENT and credits_count:
        return -Decimal(document["UnappliedAmt"])
    return ZERO
