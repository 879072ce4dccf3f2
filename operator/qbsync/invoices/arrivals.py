"""InvoiceSyncs that have no invoice yet: looked for with one query a round, decided, and acted on."""

import logging
import re
from collections.abc import Sequence
from datetime import timedelta

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Mode, Origin, Outcome, Send
from qbsync.engine.clock import Clock
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.compare import Carried, as_found
from qbsync.invoices.connection import Connection
from qbsync.invoices.creation import Creation
from qbsync.invoices.currency import check_currency
from qbsync.invoices.decide import Adopt, Create, Desired, Recover, Refuse, Surroundings, Wait, decide
from qbsync.invoices.entries import missing_entries, told
from qbsync.invoices.errors import InvalidSpec, ReferenceMissing, SpecError
from qbsync.invoices.labels import by_claim, by_id, by_uid_mark
from qbsync.invoices.lines import net_total
from qbsync.invoices.lookup import existing
from qbsync.invoices.mapping import mark_of
from qbsync.invoices.names import learn_names
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.references import customer_reference, names_in, references_of
from qbsync.invoices.search import ask, is_own, needs_intent, question
from qbsync.invoices.settle import Settler
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.errors import QuickBooksError, ValueRefused

logger = logging.getLogger(__name__)

_PLAIN = re.compile(r"[A-Za-z0-9 ._:/#-]*")
"""What no query stumbles over: if it is refused, the statement is wrong, not the value."""
_Proof = tuple[timedelta | None, timedelta | None]
"""How long a send of this process, and of an earlier one, may still be at work."""


class Arrivals:
    """Brings InvoiceSyncs without an invoice to one."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: ObjectStore,
        settler: Settler,
        outbox: Outbox,
        creation: Creation,
        grace: TakeoverGrace,
    ) -> None:
        self._clock, self._store, self._settler, self._outbox = clock, store, settler, outbox
        self._creation, self._grace = creation, grace

    async def work(
        self, candidates: Sequence[Candidate], connection: Connection, client: CompanyClient
    ) -> None:
        """Look all of them up, decide each, act. Sends go on after this returns."""
        proofs = {candidate.key: self._proof(candidate) for candidate in candidates}
        try:
            found = await self._found(candidates, connection, client)
        except QuickBooksError as error:
            if isinstance(error, ValueRefused) and not _PLAIN.fullmatch(error.value):
                self._refuse_value(candidates, error)
                return
            for candidate in candidates:
                self._outbox.put_off(candidate, error)
            return
        for candidate, rows in zip(candidates, found, strict=True):
            try:
                self._decide(candidate, connection, client, rows, proofs[candidate.key])
            except Exception as error:
                # A fault of ours in one object is no reason to touch the others, whose sends are under way.
                logger.exception("deciding failed", extra={"object": str(candidate.key)})
                self._outbox.retry_later(candidate, error)

    def conclude(self, candidate: Candidate, action: Wait | Refuse) -> None:
        """Report that nothing can be done now, or not without a person."""
        if isinstance(action, Refuse):
            if candidate.adopt_id is not None:
                candidate.desk.adopt_tried[candidate.key] = candidate.adopt_id
            self._settler.refused(candidate, reason=action.reason, message=action.message)
            return
        delay = action.delay
        if action.reason is InvoiceReason.OUTCOME_UNKNOWN:
            delay = candidate.desk.look_again_in(candidate.key, at_most=delay)
        self._settler.wait(candidate, reason=action.reason, message=action.message, delay=delay)

    # -- asking QuickBooks -------------------------------------------------------------------------------

    def _proof(self, candidate: Candidate) -> _Proof:
        # Taken before the lookup: only a lookup begun afterwards proves absence.
        forbidden = self._grace.remaining(candidate.snapshot, monotonic=self._clock.monotonic())
        return self._outbox.absence_proven_in(candidate), forbidden

    async def _found(
        self, candidates: Sequence[Candidate], connection: Connection, client: CompanyClient
    ) -> list[tuple[Invoice, ...]]:
        """For each candidate the invoices that may be its own; and every name in their specs is known then."""
        await learn_names(candidates, connection, client)
        questions = [
            question(
                candidate,
                connection,
                contended=self._claimed_by(candidate) is not None,
                suspect=self._grace.suspects(candidate.snapshot),
            )
            for candidate in candidates
        ]
        found = await ask(client, candidates, questions, connection)
        return [
            await _with_remembered(client, candidate, connection, rows)
            for candidate, rows in zip(candidates, found, strict=True)
        ]

    # -- deciding ----------------------------------------------------------------------------------------

    def _decide(
        self,
        candidate: Candidate,
        connection: Connection,
        client: CompanyClient,
        rows: tuple[Invoice, ...],
        proof: _Proof,
    ) -> None:
        try:
            desired = self._desired(candidate, connection)
            action = decide(desired, rows, self._surroundings(candidate, connection, rows, proof))
            if desired.customer_id is None and isinstance(action, Adopt | Refuse):
                missing_entries(candidate.spec.invoice, candidate.desk.references, connection)
            if isinstance(action, Create):
                self._create(candidate, connection, client)
            elif isinstance(action, Adopt | Recover):
                self._found_it(candidate, action, connection)
            else:
                self.conclude(candidate, action)
        except SpecError as error:
            self.conclude(candidate, Refuse(error.reason, str(error)))

    def _create(self, candidate: Candidate, connection: Connection, client: CompanyClient) -> None:
        invoice, references = candidate.spec.invoice, candidate.desk.references
        observing = candidate.spec.mode is Mode.OBSERVE
        if candidate.key in candidate.desk.sent and not observing:
            # Frozen: what the spec says now goes out as an update, once this is settled.
            self._outbox.create(candidate, connection=connection, client=client, resolved={})
            return
        entries = missing_entries(invoice, references, connection)
        check_currency(invoice, references, connection)
        _check_sendable(candidate, connection)
        if observing:
            also = f"{told(entries)} and " if entries else ""
            would = f"would create {also}invoice {candidate.number or ''}, net amount {net_total(invoice)}"
            self._settler.observed(candidate, would=" ".join(would.split()), connection=connection)
        elif candidate.adopt_id is not None:
            absent = f"there is no invoice {candidate.adopt_id} in QuickBooks: correct the annotation qbsync.dev/adopt"
            self.conclude(candidate, Refuse(InvoiceReason.REFERENCE_NOT_FOUND, absent))
        elif entries:
            self._creation.begin(candidate, entries, connection, client)
        else:
            resolved = references.resolve(references_of(invoice))
            self._outbox.create(candidate, connection=connection, client=client, resolved=resolved)

    def _found_it(self, candidate: Candidate, action: Adopt | Recover, connection: Connection) -> None:
        invoice = action.invoice
        mark = mark_of(invoice.row)
        adopted = isinstance(action, Adopt) or (mark is not None and mark.adopted)
        carried = self._carried(candidate, invoice, adopted=adopted, recovered=isinstance(action, Recover))
        origin = Origin.ADOPTED if adopted else Origin.CREATED
        if candidate.spec.mode is Mode.OBSERVE:
            self._settler.observed(
                candidate, would="", connection=connection, invoice=invoice, carried=carried, origin=origin
            )
            return
        outcome = Outcome.ADOPTED if isinstance(action, Adopt) else Outcome.RECOVERED
        self._settler.synced(
            candidate, outcome=outcome, invoice=invoice, carried=carried, connection=connection, origin=origin
        )

    def _carried(self, candidate: Candidate, invoice: Invoice, *, adopted: bool, recovered: bool) -> Carried:
        try:
            stated = candidate.stated()
        except SpecError:
            if recovered:
                # It is ours whatever the spec says now; what is wrong with that is told next.
                return Carried({}, None)
            raise
        return as_found(stated, candidate.content_hash, invoice.row, adopted=adopted)

    def _desired(self, candidate: Candidate, connection: Connection) -> Desired:
        invoice = candidate.spec.invoice
        return Desired(
            doc_number=candidate.number,
            customer_id=_customer_id(candidate),
            currency=invoice.currency,
            transaction_date=invoice.transaction_date,
            net=net_total(invoice),
            mark=candidate.mark,
            adoption=connection.adoption_for(candidate.spec),
            adopt_id=candidate.adopt_id,
            numbered_there=connection.numbers_itself or candidate.desk.renumbers,
            discreet=candidate.key.namespace != candidate.company.namespace,
        )

    def _surroundings(
        self,
        candidate: Candidate,
        connection: Connection,
        rows: tuple[Invoice, ...],
        proof: tuple[timedelta | None, timedelta | None],
    ) -> Surroundings:
        marks = {mark.uid for row in rows if (mark := mark_of(row.row)) is not None}
        return Surroundings(
            home_currency=connection.home_currency,
            live_uid_marks=frozenset(mark for mark in marks if self._others(candidate, by_uid_mark(mark))),
            recorded_elsewhere={
                row.id: f"{others[0].key.namespace}/{others[0].key.name}"
                for row in rows
                if (others := self._others(candidate, by_id(row.id)))
            },
            claimed_by=self._claimed_by(candidate),
            absence_proven_in=proof[0],
            create_forbidden_for=proof[1],
        )

    def _claimed_by(self, candidate: Candidate) -> str | None:
        """Another live object that claims the same and has an invoice."""
        others = self._others(candidate, by_claim(candidate.claim))
        recorded = (other.key for other in others if other.status.get("quickbooksId"))
        return next((f"{key.namespace}/{key.name}" for key in recorded), None)

    def _others(self, candidate: Candidate, label: str) -> list[Snapshot]:
        labelled = self._store.labelled(candidate.company, label)
        return [snapshot for snapshot in labelled if snapshot.key != candidate.key]

    def _refuse_value(self, candidates: Sequence[Candidate], error: ValueRefused) -> None:
        """QuickBooks cannot even be asked for one value: whoever wrote it is refused, the others go on."""
        for candidate in candidates:
            if error.value in names_in(candidate.spec.invoice):
                message = f"QuickBooks cannot look up {error.value!r}: {error}"
                self._settler.refused(
                    candidate, reason=InvoiceReason.INVALID_INVOICE, message=message, error=error
                )
            else:
                self._settler.again(candidate)


async def _with_remembered(
    client: CompanyClient, candidate: Candidate, connection: Connection, rows: tuple[Invoice, ...]
) -> tuple[Invoice, ...]:
    """What was found, what this process created so lately that the query may have missed it, and what a
    person named.
    """
    lately = candidate.desk.remembered(candidate.claim)
    if lately is not None and candidate.number is None and not is_own(candidate, lately, connection):
        lately = None
    for wanted in (lately.id if lately is not None else None, candidate.adopt_id):
        if wanted is not None and all(row.id != wanted for row in rows):
            there = await existing(client, wanted)
            rows = rows if there is None else (*rows, there)
    return rows


def _customer_id(candidate: Candidate) -> str | None:
    try:
        return candidate.desk.references.id_of(customer_reference(candidate.spec.invoice.customer))
    except ReferenceMissing:
        return None


def _check_sendable(candidate: Candidate, connection: Connection) -> None:
    """Raises `InvalidSpec` for what could not be done, or not be found again, after the create."""
    if connection.mark_place.nowhere and needs_intent(candidate, connection):
        raise InvalidSpec(
            "an invoice whose number QuickBooks chooses is found again by its owner mark only, and the connection "
            "has spec.invoices.ownerMark None: set another place there, or switch on Custom transaction "
            "numbers in QuickBooks and write spec.invoice.docNumber"
        )
    if candidate.spec.send is Send.AFTER_CREATE and not candidate.spec.invoice.bill_email:
        raise InvalidSpec(
            "spec.send AfterCreate needs spec.invoice.billEmail: where the invoice is e-mailed to"
        )
