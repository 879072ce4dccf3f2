"""Where to look for an invoice before it is made: by number where that tells, else by customer, day and mark.

A number finds nothing where there is none, and where the company numbers its own invoices. There the intent
is stored before the first send, and after any doubt the invoices of the customer around that day are searched
for the owner mark. After a doubt both searches are made: the company may have begun to number meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from qbsync.api.conditions import ConditionType, ReadyStatus, find
from qbsync.api.connection import Lookup
from qbsync.api.invoice import Mode
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import Connection
from qbsync.invoices.errors import SpecError
from qbsync.invoices.identity import docnumber_claim
from qbsync.invoices.lookup import invoices_by_customer, invoices_by_day, invoices_by_number
from qbsync.invoices.mapping import mark_of, transaction_date
from qbsync.invoices.references import customer_reference
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice

_AROUND = timedelta(days=1)
"""The company's day and QuickBooks' may differ."""
_TOGETHER = timedelta(days=30)
"""Days that are asked for together: a backlog must not cost a read for each of its invoices."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an invoice stands that no number finds."""

    customer_id: str | None
    """None: any customer."""
    day: date | None
    """None: any day; then the customer is known."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of QuickBooks for one object before it is decided."""

    number: str | None
    places: tuple[Place, ...]


def needs_intent(candidate: Candidate, connection: Connection) -> bool:
    """True where the number would not find what is sent: the intent has to be stored first."""
    return candidate.number is None or _numbers_itself(candidate, connection)


def doubtful(candidate: Candidate) -> bool:
    """Whether a create may have been sent for this object already, by whichever process."""
    desk, status = candidate.desk, candidate.status
    return candidate.key in desk.sent or status.intent is not None


def question(
    candidate: Candidate, connection: Connection, *, contended: bool = False, suspect: bool = False
) -> Question:
    """What has to be asked. `contended`: another live object claims the same, and has an invoice. `suspect`: a
    process that ended without a word may have sent a create of it.
    """
    number = candidate.number if contended or suspect or _asks_for_number(candidate, connection) else None
    return Question(number, tuple(dict.fromkeys(_places(candidate, connection, suspect=suspect))))


async def ask(
    client: CompanyClient,
    candidates: Sequence[Candidate],
    questions: Sequence[Question],
    connection: Connection,
) -> list[tuple[Invoice, ...]]:
    """For each candidate the invoices that may be its own.

    Raises a `QuickBooksError` whenever an answer proves nothing.
    """
    numbers = [asked.number for asked in questions if asked.number is not None]
    by_number = await invoices_by_number(client, numbers) if numbers else {}
    standing = await _standing(client, [place for asked in questions for place in asked.places])
    found = []
    for candidate, asked in zip(candidates, questions, strict=True):
        rows = by_number.get(docnumber_claim(asked.number), ()) if asked.number is not None else ()
        more = (
            row for place in asked.places for row in standing[place] if is_own(candidate, row, connection)
        )
        found.append(tuple({row.id: row for row in (*rows, *more)}.values()))
    return found


def is_own(candidate: Candidate, row: Invoice, connection: Connection) -> bool:
    """By the mark: of this very object, or of its source where that is what identifies the invoice.

    Without a source the mark's key is the object's name, and a name may be used again for another invoice.
    """
    mark = mark_of(row.row)
    if mark is None or not mark.same_owner(candidate.mark):
        return False
    by_source = candidate.has_source and needs_intent(candidate, connection)
    return by_source or mark.uid == candidate.mark.uid


def _numbers_itself(candidate: Candidate, connection: Connection) -> bool:
    return connection.numbers_itself or candidate.desk.renumbers


def _asks_for_number(candidate: Candidate, connection: Connection) -> bool:
    observing = candidate.spec.mode is Mode.OBSERVE
    return connection.lookup is Lookup.ALWAYS or observing or not _first(candidate)


def _first(candidate: Candidate) -> bool:
    """Never sent, never refused, never asked about: only then a create may go without a lookup.

    `WhenInDoubt` then relies on the requestid, on fault 6140 and on the number in the answer. Where
    QuickBooks' check for duplicate numbers is off that costs this: an invoice that stands already, say of a
    restored or re-created object or typed in by a person, is not seen, and there are two.
    """
    desk, status = candidate.desk, candidate.status
    ready = find(status.conditions, ConditionType.READY)
    refused = ready is not None and ready.status is ReadyStatus.FALSE
    tried = refused or bool(desk.attempts.get(candidate.key) or status.attempts or status.rejections)
    asked = candidate.asked or candidate.adopt_id is not None
    lately = desk.remembered(candidate.claim) is not None
    return not (doubtful(candidate) or candidate.snapshot.inherited or tried or asked or lately)


def _places(candidate: Candidate, connection: Connection, *, suspect: bool) -> Iterator[Place]:
    spec = candidate.spec.invoice
    if needs_intent(candidate, connection) and candidate.has_source:
        customer = _customer(candidate)
        if customer is not None or spec.transaction_date is not None:
            yield Place(customer, spec.transaction_date)
    # Where a company began to number its invoices unnoticed, there was no intent stored.
    unnoticed = suspect and candidate.number is not None
    if not doubtful(candidate) and not unnoticed:
        return
    sent, intent = candidate.desk.sent.get(candidate.key), candidate.status.intent
    if sent is not None:
        yield Place(sent.customer_id, sent.day)
    elif intent is not None and intent.transaction_date is not None:
        yield Place(intent.customer_id, intent.transaction_date)
    else:
        day = transaction_date(spec, created=candidate.created, time_zone=connection.time_zone)
        yield Place(_customer(candidate), day)


def _customer(candidate: Candidate) -> str | None:
    try:
        return candidate.desk.references.id_of(customer_reference(candidate.spec.invoice.customer))
    except SpecError:
        return None


async def _standing(client: CompanyClient, places: Iterable[Place]) -> dict[Place, tuple[Invoice, ...]]:
    """The invoices at each place: one query for those of any day, one for each month or so of the others."""
    found: dict[Place, tuple[Invoice, ...]] = {}
    for group in _groups(frozenset(places)):
        rows = await _rows(client, group)
        found.update((place, tuple(row for row in rows if _stands_at(place, row))) for place in group)
    return found


def _groups(places: frozenset[Place]) -> Iterator[Sequence[Place]]:
    """What one query answers each."""
    undated = [place for place in places if place.day is None]
    if undated:
        yield undated
    yield from ([place] for place in places if place.customer_id is None)
    group: list[tuple[date, Place]] = []
    dated = [
        (place.day, place) for place in places if place.day is not None and place.customer_id is not None
    ]
    for day, place in sorted(dated, key=lambda one: one[0]):
        if group and day - group[0][0] > _TOGETHER:
            yield [known for _, known in group]
            group = []
        group.append((day, place))
    if group:
        yield [known for _, known in group]


async def _rows(client: CompanyClient, group: Sequence[Place]) -> Sequence[Invoice]:
    days = [place.day for place in group if place.day is not None]
    customers = sorted({place.customer_id for place in group if place.customer_id is not None})
    if customers:
        span = (min(days) - _AROUND, max(days) + _AROUND) if days else None
        return await invoices_by_customer(client, customers, span)
    return await invoices_by_day(client, [days[0] - _AROUND, days[0], days[0] + _AROUND])


def _stands_at(place: Place, row: Invoice) -> bool:
    near = place.day is None or (row.txn_date is not None and abs(row.txn_date - place.day) <= _AROUND)
    return near and place.customer_id in (None, row.customer_id)
