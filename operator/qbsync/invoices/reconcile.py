"""From due keys to settled invoices: the life of one invoice reads from here downwards.

A round takes the due InvoiceSyncs of one company, lets through those that have something to do, looks all
of them up with one query, decides each with pure functions, and acts. A send goes on after the round; its
key is ended when its outcome is settled.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from itertools import chain

from pydantic import ValidationError

from qbsync.api.conditions import InvoiceReason
from qbsync.api.connection import NamespacesFrom
from qbsync.api.invoice import Outcome
from qbsync.api.meta import Kind
from qbsync.engine.clock import Clock
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.worker import Done
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import LOOK_AGAIN, Connection, NamespaceLabels, gate
from qbsync.invoices.decide import Adopt, Create, Desired, Recover, Refuse, Surroundings, Wait, decide
from qbsync.invoices.desk import Desk
from qbsync.invoices.errors import ReferenceMissing, SpecError
from qbsync.invoices.identity import docnumber_claim, find_mark
from qbsync.invoices.labels import by_id, by_number, by_uid_mark
from qbsync.invoices.lines import net_total
from qbsync.invoices.lookup import CompanyDirectory, existing, invoices_by_number
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.references import References, customer_reference, names_in, references_of
from qbsync.invoices.settle import Settler
from qbsync.invoices.support import not_supported_yet
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.errors import NoAccessToken, QuickBooksError, ValueRefused

logger = logging.getLogger(__name__)

_PLAIN = re.compile(r"[A-Za-z0-9 ._:/#-]*")
"""What no query stumbles over: if it is refused, the statement is wrong, not the value."""
_FoundByNumber = Mapping[str, tuple[Invoice, ...]]


class InvoiceReconciler:
    """The engine's reconciler for InvoiceSyncs."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: ObjectStore,
        settler: Settler,
        outbox: Outbox,
        grace: TakeoverGrace,
        client_of: Callable[[Company], CompanyClient | None],
        namespace_labels: Callable[[str], Awaitable[NamespaceLabels]],
        enqueue: Callable[[Company, Key, timedelta], None],
        access_failed: Callable[[Candidate, QuickBooksError], None],
    ) -> None:
        self._clock, self._store, self._settler, self._outbox = clock, store, settler, outbox
        self._grace, self._client_of, self._namespace_labels = grace, client_of, namespace_labels
        self._enqueue, self._access_failed = enqueue, access_failed
        self._desks: dict[Company, Desk] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        """Bring these InvoiceSyncs of one company forward (engine.worker.Reconciler)."""
        desk = self._desk(company)
        connection = self._connection(company)
        labels = await self._labels(connection, keys)
        admitted = []
        for key in keys:
            candidate = self._parse(company, desk, key, done)
            if candidate is not None and self._admit(candidate, connection, labels):
                admitted.append(candidate)
        if admitted and connection is not None:
            await self._work(desk, connection, admitted)

    def woken(self, company: Company, *, changed: bool) -> None:
        """The connection became ready, or (`changed`) its spec did: those that wait for it go on.

        What was refused is tried again only after a change.
        """
        desk = self._desk(company)
        for snapshot in self._store.members(company, Kind.INVOICE):
            if changed:
                desk.reconsider.add(snapshot.key)
            self._enqueue(company, snapshot.key, timedelta())

    def gone(self, snapshot: Snapshot) -> None:
        """An InvoiceSync was deleted. What was sent for it, by whichever process, keeps its number until that
        can no longer arrive: who asks for the number next would not find it.
        """
        desk = self._desk(snapshot.company)
        number = str((snapshot.spec.get("invoice") or {}).get("docNumber") or "")
        recorded = bool(snapshot.status.get("quickbooksId"))
        now = self._clock.monotonic()
        inherited = None if recorded else self._grace.remaining(snapshot, monotonic=now)
        if inherited is not None:
            desk.claims.hold(number, snapshot.key)
        desk.gone[snapshot.key] = (number, now + (inherited or timedelta()).total_seconds())
        self._enqueue(snapshot.company, snapshot.key, timedelta())

    def _bury(self, company: Company, desk: Desk, key: Key) -> timedelta | None:
        """What is left to do for an object that is gone: its number is given back once nothing can arrive."""
        if key not in desk.gone:
            return None
        number, until = desk.gone[key]
        sent = desk.sent.get(key)
        at_work = (self._outbox.at_work_for(sent) if sent is not None else None) or timedelta()
        wait = max(at_work, timedelta(seconds=until - self._clock.monotonic()))
        if wait > timedelta():
            return wait
        del desk.gone[key]
        desk.settled(key)
        self._settler.release(company, desk.claims.release(number, key))
        return None

    # -- before anything is asked of QuickBooks ------------------------------------------------------

    def _parse(self, company: Company, desk: Desk, key: Key, done: Done) -> Candidate | None:
        snapshot = self._store.get(key)
        if snapshot is None or snapshot.deleting:
            done(key, self._bury(company, desk, key))
            return None
        try:
            return Candidate.parse(company, desk, snapshot, done)
        except ValidationError as error:
            where = error.errors()[0]["loc"]
            logger.error("unreadable InvoiceSync %s at %s: are the CRDs of this release?", key, where)  # noqa: TRY400
            done(key, None)
            return None

    def _admit(
        self, candidate: Candidate, connection: Connection | None, labels: Mapping[str, NamespaceLabels]
    ) -> bool:
        """True if QuickBooks has to be asked; everything else is settled here."""
        if candidate.spec.suspend:
            self._settler.suspended(candidate)
            return False
        if candidate.status.quickbooks_id is not None and not self._admit_recorded(candidate):
            return False
        tried = candidate.key in candidate.desk.reconsider or candidate.request_pending
        if candidate.refused and not tried:
            self._settler.end(candidate)
            return False
        missing = not_supported_yet(candidate.spec, candidate.snapshot.annotations)
        if missing and candidate.status.quickbooks_id is None:
            self._refuse(candidate, InvoiceReason.INVALID_INVOICE, f"not supported yet: {', '.join(missing)}")
            return False
        closed = gate(
            company=candidate.company,
            namespace=candidate.key.namespace,
            namespace_labels=labels.get(candidate.key.namespace, {}),
            spec=candidate.spec,
            connection=connection,
        )
        if closed is not None:
            self._conclude(candidate, closed)
        return closed is None and (candidate.status.quickbooks_id is not None or self._claimed(candidate))

    def _admit_recorded(self, candidate: Candidate) -> bool:
        """True if somebody asked for a sync of an invoice that stands; what the spec says may have moved."""
        if candidate.status.applied_hash != candidate.content_hash:
            if not candidate.refused or candidate.request_pending:
                self._refuse(
                    candidate,
                    InvoiceReason.INVALID_INVOICE,
                    f"not supported yet: a change of spec.invoice after invoice {candidate.status.quickbooks_id} "
                    "was created. Change it in QuickBooks, or take the change of the spec back",
                )
            else:
                self._settler.end(candidate)
            return False
        if candidate.request_pending:
            return True
        if candidate.deleted_in_quickbooks:
            self._settler.end(candidate)
        else:
            self._settler.unchanged(candidate)
        return False

    def _claimed(self, candidate: Candidate) -> bool:
        rivals = [
            rival
            for rival in self._store.labelled(candidate.company, by_number(candidate.number))
            if rival.key == candidate.key or _contends(rival)
        ]
        if candidate.desk.claims.claim(candidate.number, candidate.key, rivals):
            return True
        self._settler.wait(
            candidate,
            reason=InvoiceReason.QUEUED,
            message=f"another InvoiceSync is settling DocNumber {candidate.number} first",
            delay=LOOK_AGAIN / 2,
        )
        return False

    async def _labels(self, connection: Connection | None, keys: Sequence[Key]) -> dict[str, NamespaceLabels]:
        allowed = connection.spec.allowed_namespaces if connection is not None else None
        if connection is None or allowed is None or allowed.from_ is not NamespacesFrom.SELECTOR:
            return {}
        foreign = {key.namespace for key in keys} - {connection.snapshot.key.namespace}
        return {namespace: await self._namespace_labels(namespace) for namespace in foreign}

    # -- asking QuickBooks, and deciding ---------------------------------------------------------------

    async def _work(self, desk: Desk, connection: Connection, admitted: list[Candidate]) -> None:
        client = self._client_of(connection.snapshot.company)
        if client is None:
            for candidate in admitted:
                message = f"connection {candidate.company} is being opened"
                self._conclude(candidate, Wait(InvoiceReason.CONNECTION_NOT_READY, message, LOOK_AGAIN))
            return
        fresh = []
        for candidate in admitted:
            if candidate.status.quickbooks_id is not None:
                self._start(self._verify(candidate, connection, client))
            else:
                fresh.append(candidate)
        if not fresh:
            return
        proofs = {candidate.key: self._proof(candidate) for candidate in fresh}
        try:
            found = await invoices_by_number(client, [candidate.number for candidate in fresh])
            named = chain.from_iterable(references_of(candidate.spec.invoice) for candidate in fresh)
            await desk.references.learn(named, CompanyDirectory(client))
            found = {number: rows async for number, rows in _with_remembered(client, fresh, found)}
        except QuickBooksError as error:
            if isinstance(error, ValueRefused) and not _PLAIN.fullmatch(error.value):
                self._refuse_value(fresh, error)
                return
            for candidate in fresh:
                self._put_off(candidate, error)
            return
        for candidate in fresh:
            rows = found.get(docnumber_claim(candidate.number), ())
            try:
                self._decide(candidate, connection, client, rows, proofs[candidate.key])
            except Exception as error:
                # A fault of ours in one object is no reason to touch the others, whose sends are under way.
                logger.exception("deciding failed", extra={"object": str(candidate.key)})
                self._outbox.retry_later(candidate, error)

    def _proof(self, candidate: Candidate) -> tuple[timedelta | None, timedelta | None]:
        # Taken before the lookup: only a lookup begun afterwards proves absence.
        forbidden = self._grace.remaining(candidate.snapshot, monotonic=self._clock.monotonic())
        return self._outbox.absence_proven_in(candidate), forbidden

    def _decide(
        self,
        candidate: Candidate,
        connection: Connection,
        client: CompanyClient,
        rows: tuple[Invoice, ...],
        proof: tuple[timedelta | None, timedelta | None],
    ) -> None:
        try:
            desired = self._desired(candidate, connection)
            action = decide(desired, rows, self._surroundings(candidate, connection, rows, proof))
            if isinstance(action, Create):
                resolved = candidate.desk.references.resolve(references_of(candidate.spec.invoice))
                self._outbox.create(candidate, connection=connection, client=client, resolved=resolved)
                return
        except SpecError as error:
            missing = isinstance(error, ReferenceMissing)
            reason = InvoiceReason.REFERENCE_NOT_FOUND if missing else InvoiceReason.INVALID_INVOICE
            self._refuse(candidate, reason, str(error))
            return
        if isinstance(action, Adopt | Recover):
            outcome = Outcome.ADOPTED if isinstance(action, Adopt) else Outcome.RECOVERED
            self._settler.synced(candidate, outcome=outcome, invoice=action.invoice, connection=connection)
        else:
            self._conclude(candidate, action)

    def _desired(self, candidate: Candidate, connection: Connection) -> Desired:
        invoice = candidate.spec.invoice
        return Desired(
            doc_number=candidate.number,
            customer_id=candidate.desk.references.id_of(customer_reference(invoice.customer)),
            currency=None,
            transaction_date=invoice.transaction_date,
            net=net_total(invoice),
            mark=candidate.mark,
            adoption=connection.adoption_for(candidate.spec),
            discreet=candidate.key.namespace != candidate.company.namespace,
        )

    def _surroundings(
        self,
        candidate: Candidate,
        connection: Connection,
        rows: tuple[Invoice, ...],
        proof: tuple[timedelta | None, timedelta | None],
    ) -> Surroundings:
        marks = {mark.uid for row in rows if (mark := find_mark(row.private_note)) is not None}
        return Surroundings(
            home_currency=connection.home_currency,
            live_uid_marks=frozenset(mark for mark in marks if self._others(candidate, by_uid_mark(mark))),
            recorded_elsewhere={
                row.id: f"{others[0].key.namespace}/{others[0].key.name}"
                for row in rows
                if (others := self._others(candidate, by_id(row.id)))
            },
            absence_proven_in=proof[0],
            create_forbidden_for=proof[1],
        )

    def _others(self, candidate: Candidate, label: str) -> list[Snapshot]:
        labelled = self._store.labelled(candidate.company, label)
        return [snapshot for snapshot in labelled if snapshot.key != candidate.key]

    async def _verify(self, candidate: Candidate, connection: Connection, client: CompanyClient) -> None:
        try:
            await self._look_at(candidate, connection, client)
        except Exception as error:
            logger.exception("verifying failed", extra={"object": str(candidate.key)})
            self._outbox.retry_later(candidate, error)

    async def _look_at(self, candidate: Candidate, connection: Connection, client: CompanyClient) -> None:
        """Somebody asked for a sync of an invoice that is recorded: is it still there, and what is paid?"""
        quickbooks_id = candidate.status.quickbooks_id or ""
        try:
            invoice = await existing(client, quickbooks_id)
        except QuickBooksError as error:
            self._put_off(candidate, error)
            return
        if invoice is None:
            gone = f"invoice {quickbooks_id} was deleted in QuickBooks; it is not created again by itself"
            self._refuse(candidate, InvoiceReason.DELETED_IN_QUICKBOOKS, gone)
        else:
            self._settler.verified(candidate, invoice=invoice, connection=connection)

    # -- outcomes ----------------------------------------------------------------------------------------

    def _conclude(self, candidate: Candidate, action: Wait | Refuse) -> None:
        if isinstance(action, Refuse):
            self._refuse(candidate, action.reason, action.message)
            return
        delay = action.delay
        if action.reason is InvoiceReason.OUTCOME_UNKNOWN:
            # It may turn up before its absence is proven: look again soon, less and less often.
            delay = min(delay, timedelta(seconds=2 ** min(candidate.desk.failed(candidate.key), 6)))
        self._settler.wait(candidate, reason=action.reason, message=action.message, delay=delay)

    def _refuse(self, candidate: Candidate, reason: InvoiceReason, message: str) -> None:
        self._settler.refused(candidate, reason=reason, message=message)

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

    def _put_off(self, candidate: Candidate, error: QuickBooksError) -> None:
        """A lookup that failed is unknown, never absent."""
        self._access_failed(candidate, error)
        no_token = isinstance(error, NoAccessToken)
        reason = InvoiceReason.CONNECTION_NOT_READY if no_token else InvoiceReason.RETRYING
        self._outbox.retry_later(candidate, error, reason=reason)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _desk(self, company: Company) -> Desk:
        if company not in self._desks:
            self._desks[company] = Desk(self._clock, References(self._clock))
        return self._desks[company]

    def _connection(self, company: Company) -> Connection | None:
        snapshot = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if snapshot is None or snapshot.deleting:
            return None
        return Connection.parse(snapshot)


def _contends(rival: Snapshot) -> bool:
    """It is alive, and its outcome is open."""
    if rival.deleting or rival.spec.get("suspend") or rival.status.get("quickbooksId"):
        return False
    refused = any(
        condition.get("type") == "Ready" and condition.get("status") == "False"
        for condition in rival.status.get("conditions") or ()
    )
    return not (refused and rival.status.get("observedGeneration") == rival.generation)


async def _with_remembered(
    client: CompanyClient, candidates: Sequence[Candidate], found: _FoundByNumber
) -> AsyncIterator[tuple[str, tuple[Invoice, ...]]]:
    """What was found, and what this process created so lately that the query may have missed it."""
    for candidate in candidates:
        number = docnumber_claim(candidate.number)
        rows = found.get(number, ())
        lately = candidate.desk.remembered(candidate.number)
        if lately is not None and all(row.id != lately.id for row in rows):
            still_there = await existing(client, lately.id)
            rows = rows if still_there is None else (*rows, still_there)
        yield number, rows
