"""What to do about one InvoiceSync: pure, the heart. A table, with a test for each row.

Read `decide` from the top: the first row that holds is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Adoption
from qbsync.api.money import with_cents
from qbsync.invoices.identity import OwnerMark
from qbsync.invoices.mapping import mark_of
from qbsync.quickbooks.entities import Invoice


@dataclass(frozen=True, slots=True)
class Desired:
    """What the spec states of the invoice."""

    doc_number: str | None
    """None: QuickBooks' next one."""
    customer_id: str | None
    """None: the customer does not exist yet, and is created with the invoice."""
    currency: str | None
    """None: the company's home currency."""
    transaction_date: date | None
    """None: the spec does not say."""
    net: Decimal
    """The lines without tax."""
    mark: OwnerMark
    adoption: Adoption
    adopt_id: str | None = None
    """The invoice that a person said is this object's (annotation `adopt`)."""
    numbered_there: bool = False
    """The company numbers its own invoices."""
    discreet: bool = False
    """The object lives in another namespace than its connection: messages name ids only."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else lives in the company, and how far the world can be trusted right now."""

    home_currency: str | None
    live_uid_marks: frozenset[str]
    """The uid marks of the other live InvoiceSyncs of this company."""
    recorded_elsewhere: Mapping[str, str]
    """QuickBooks ids recorded on other live objects, with the object's name."""
    claimed_by: str | None = None
    """Another live object with the same number, or of the same source, that has an invoice recorded."""
    absence_proven_in: timedelta | None = None
    """A send of ours may still be at work for so long: not finding it proves nothing. None: it proves absence."""
    create_forbidden_for: timedelta | None = None
    """A predecessor's send may still be at work for so long. None: creating is safe."""


@dataclass(frozen=True, slots=True)
class Create:
    """Nothing is there, and nothing of ours can still appear: send it."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """It is there, unmarked, and matches: it is this object's invoice from now on."""

    invoice: Invoice


@dataclass(frozen=True, slots=True)
class Recover:
    """It carries our mark: it was ours all along."""

    invoice: Invoice


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be concluded yet."""

    reason: InvoiceReason
    message: str
    delay: timedelta
    hopeless: bool = False
    """It takes a person to end it, elsewhere."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """A person has to decide."""

    reason: InvoiceReason
    message: str


Action = Create | Adopt | Recover | Wait | Refuse


def decide(  # noqa: PLR0911 - a table has as many ends as rows
    desired: Desired, found: tuple[Invoice, ...], around: Surroundings
) -> Action:
    """The action for an InvoiceSync without a recorded invoice, from a *complete* search for its invoice."""
    marks = [(invoice, mark_of(invoice.row)) for invoice in found]
    ours = [(row, mark) for row, mark in marks if mark is not None and mark.same_owner(desired.mark)]
    if ours:
        return _decide_ours(desired, ours, around)
    meant = [(row, mark) for row, mark in marks if row.id == desired.adopt_id]
    if meant:
        return _decide_meant(desired, *meant[0], around)
    if not found:
        return _decide_absent(desired, around)
    if len(found) > 1:
        return _conflict(desired, f"{len(found)} invoices have it: {_ids(found)}")
    row, mark = marks[0]
    if row.id in around.recorded_elsewhere:
        return _recorded_elsewhere(desired, row, around)
    if mark is not None:
        return _conflict(desired, f"invoice {row.id} belongs to another InvoiceSync ({mark})")
    return _decide_unmarked(desired, row, around)


def _decide_ours(desired: Desired, ours: list[tuple[Invoice, OwnerMark]], around: Surroundings) -> Action:
    if len(ours) > 1:
        rows = tuple(row for row, _ in ours)
        return _conflict(desired, f"{len(rows)} invoices carry this object's mark: {_ids(rows)}")
    row, mark = ours[0]
    if row.id in around.recorded_elsewhere:
        return _recorded_elsewhere(desired, row, around)
    if mark.uid != desired.mark.uid and mark.uid in around.live_uid_marks:
        return _conflict(desired, f"invoice {row.id} belongs to another live InvoiceSync of the same source")
    return Recover(row)


def _decide_meant(desired: Desired, row: Invoice, mark: OwnerMark | None, around: Surroundings) -> Action:
    if row.id in around.recorded_elsewhere:
        return _recorded_elsewhere(desired, row, around)
    if mark is not None and mark.uid in around.live_uid_marks:
        return _conflict(desired, f"invoice {row.id} belongs to another live InvoiceSync ({mark})")
    return Adopt(row)


def _decide_absent(desired: Desired, around: Surroundings) -> Action:
    if around.absence_proven_in is not None:
        return Wait(
            InvoiceReason.OUTCOME_UNKNOWN,
            "QuickBooks did not say whether it created the invoice and may still be at work; "
            f"looking for {_identity(desired)} before anything is sent again",
            around.absence_proven_in,
        )
    if around.create_forbidden_for is not None:
        return Wait(
            InvoiceReason.QUEUED,
            "an earlier operator process ended without a word; whatever it had sent gets time to arrive",
            around.create_forbidden_for,
        )
    if around.claimed_by is not None and (desired.doc_number is None or desired.numbered_there):
        # The number that was asked for is not the one that its invoice has.
        return _conflict(desired, f"{_name(desired, around.claimed_by)} has an invoice for it")
    return Create()


def _decide_unmarked(desired: Desired, row: Invoice, around: Surroundings) -> Action:
    if desired.adoption is Adoption.ALWAYS:
        return Adopt(row)
    if desired.adoption is Adoption.NEVER:
        return _conflict(desired, f"invoice {row.id} has it, and adoption is Never")
    differences = differences_of(desired, row, around.home_currency)
    if differences:
        return _conflict(desired, f"invoice {row.id} has it with other content{_told(desired, differences)}")
    return Adopt(row)


def differences_of(desired: Desired, row: Invoice, home_currency: str | None) -> str:
    """Where an invoice contradicts what the spec states, for people; empty if it matches.

    Only customer, currency, date (if given) and the net sum: tax, numbers of lines and texts are
    QuickBooks' or the bookkeeper's business.
    """
    stated = desired.currency or home_currency
    told = []
    if row.customer_id != desired.customer_id:
        stated_customer = desired.customer_id or "a customer that does not exist yet"
        told.append(f"customer {row.customer_id}, the spec says {stated_customer}")
    if stated is not None and row.currency is not None and row.currency != stated:
        told.append(f"currency {row.currency}, the spec says {stated}")
    if desired.transaction_date is not None and row.txn_date != desired.transaction_date:
        told.append(f"date {row.txn_date}, the spec says {desired.transaction_date}")
    net = row.total if row.tax_inclusive else row.total - row.total_tax
    if net != desired.net:
        told.append(f"net amount {with_cents(net)}, the spec says {with_cents(desired.net)}")
    return "; ".join(told)


def _recorded_elsewhere(desired: Desired, row: Invoice, around: Surroundings) -> Refuse:
    whose = _name(desired, around.recorded_elsewhere[row.id])
    return _conflict(desired, f"invoice {row.id} is already recorded on {whose}")


def _name(desired: Desired, other: str) -> str:
    return "another InvoiceSync" if desired.discreet else other


def _conflict(desired: Desired, what: str) -> Refuse:
    if desired.doc_number is None:
        return Refuse(
            InvoiceReason.DOC_NUMBER_CONFLICT,
            f"there is an invoice of this source already: {what}. Correct spec.source, or say with the "
            "annotation qbsync.dev/adopt which invoice is this object's.",
        )
    another = (
        "leave docNumber out, since the company numbers its own invoices"
        if desired.numbered_there
        else ("give this InvoiceSync another number")
    )
    return Refuse(
        InvoiceReason.DOC_NUMBER_CONFLICT,
        f"DocNumber {desired.doc_number} is taken: {what}. Either {another}, or "
        "correct the invoice in QuickBooks and request a sync, or say "
        "with the annotation qbsync.dev/adopt which invoice is this object's.",
    )


def _identity(desired: Desired) -> str:
    return f"DocNumber {desired.doc_number}" if desired.doc_number is not None else "its owner mark"


def _told(desired: Desired, differences: str) -> str:
    return "" if desired.discreet else f": {differences}"


def _ids(rows: tuple[Invoice, ...]) -> str:
    return ", ".join(row.id for row in rows)
