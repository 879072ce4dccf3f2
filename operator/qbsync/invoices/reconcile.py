"""From due keys to settled invoices: the life of one invoice reads from here downwards.

A round takes the due InvoiceSyncs of one company, lets through those that have something to do, looks all
of them up with one query, decides each with pure functions, and acts. A send goes on after the round; its
key is ended when its outcome is settled.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError

from qbsync.api.conditions import InvoiceReason
from qbsync.api.connection import NamespacesFrom
from qbsync.api.meta import IN_USE_FINALIZER, INVOICE_FINALIZER, Kind
from qbsync.engine.clock import Clock
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.worker import Done
from qbsync.invoices.arrivals import Arrivals
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import LOOK_AGAIN, Connection, NamespaceLabels, gate
from qbsync.invoices.creation import Creation
from qbsync.invoices.decide import Refuse, Wait
from qbsync.invoices.desk import Desk
from qbsync.invoices.farewell import Farewell, is_prepared
from qbsync.invoices.follow import Following
from qbsync.invoices.labels import by_claim, by_id, claim_of
from qbsync.invoices.mailing import Mailing
from qbsync.invoices.news import News
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.references import References
from qbsync.invoices.report import CREATE
from qbsync.invoices.settle import Settler
from qbsync.invoices.upkeep import Upkeep
from qbsync.kube.objects import ObjectsApi
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.errors import QuickBooksError

logger = logging.getLogger(__name__)


class InvoiceReconciler:
    """The engine's reconciler for InvoiceSyncs."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        store: ObjectStore,
        settler: Settler,
        outbox: Outbox,
        grace: TakeoverGrace,
        objects: ObjectsApi,
        deletion_patience: timedelta,
        terminating: Callable[[str], Awaitable[bool]],
        client_of: Callable[[Company], CompanyClient | None],
        namespace_labels: Callable[[str], Awaitable[NamespaceLabels]],
        enqueue: Callable[[Company, Key, timedelta], None],
        access_failed: Callable[[Candidate, QuickBooksError], None],
        saves_names: Callable[[Company], bool] = lambda _: False,
    ) -> None:
        """`saves_names`: whether a company's known names are not to be looked up again, since reads run short."""
        self._clock, self._store, self._settler, self._outbox = clock, store, settler, outbox
        self._grace, self._client_of, self._namespace_labels = grace, client_of, namespace_labels
        self._enqueue, self._saves_names = enqueue, saves_names
        creation = Creation(
            clock=clock,
            rng=rng,
            store=store,
            settler=settler,
            outbox=outbox,
            grace=grace,
            access_failed=access_failed,
        )
        self._arrivals = Arrivals(
            clock=clock, store=store, settler=settler, outbox=outbox, creation=creation, grace=grace
        )
        self._upkeep = Upkeep(
            clock=clock,
            rng=rng,
            settler=settler,
            outbox=outbox,
            creation=creation,
            access_failed=access_failed,
            create_again=self._create_again,
        )
        self._mailing = Mailing(
            clock=clock, settler=settler, outbox=outbox, grace=grace, access_failed=access_failed
        )
        self._following = Following(rng=rng, settler=settler, access_failed=access_failed)
        self._farewell = Farewell(
            clock=clock,
            rng=rng,
            objects=objects,
            settler=settler,
            outbox=outbox,
            grace=grace,
            patience=deletion_patience,
            terminating=terminating,
            access_failed=access_failed,
        )
        self._desks: dict[Company, Desk] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        """Bring these InvoiceSyncs of one company forward (engine.worker.Reconciler)."""
        desk = self._desk(company)
        connection = self._connection(company)
        if connection is not None:
            desk.time_zone = connection.time_zone
        labels = await self._labels(connection or self._leaving(company), keys)
        admitted = []
        for key in keys:
            candidate = self._parse(company, desk, key, done)
            if candidate is not None and self._admit(candidate, connection, labels):
                admitted.append(candidate)
        if admitted and connection is not None:
            await self._work(connection, admitted)

    def woken(self, company: Company, *, changed: bool) -> None:
        """The connection became ready, or (`changed`) its spec did: those that wait for it go on.

        What was refused is tried again only after a change.
        """
        desk = self._desk(company)
        for snapshot in self._store.members(company, Kind.INVOICE):
            if changed:
                desk.reconsider.add(snapshot.key)
            self._enqueue(company, snapshot.key, timedelta())

    def told(self, company: Company, key: Key, news: News) -> None:
        """QuickBooks was heard of an object's invoice: it is looked at as soon as its turn comes."""
        self._desk(company).news.put(key, news)
        self._enqueue(company, key, timedelta())

    def echoes(self, company: Company, quickbooks_id: str) -> bool:
        """Whether what is heard of an invoice now comes from what this process wrote itself."""
        desk, now = self._desk(company), self._clock.monotonic()
        if desk.echoes.heard(quickbooks_id, monotonic=now):
            return True
        ours = [snapshot.key for snapshot in self._store.labelled(company, by_id(quickbooks_id))]
        changing = any(key in desk.changes for key in ours)
        if changing or not ours or any(self._mailing.under_way(key) for key in ours):
            # Of an unknown invoice too: its create may have no answer yet.
            desk.echoes.early(quickbooks_id, monotonic=now)
        # What comes of a change is looked at; of what is not answered yet, only a look tells.
        return changing

    def gone(self, snapshot: Snapshot) -> None:
        """An InvoiceSync was deleted. What was sent for it, by whichever process, keeps its number until that
        can no longer arrive: who asks for the number next would not find it.
        """
        desk = self._desk(snapshot.company)
        desk.news.drop(snapshot.key)
        claim, arriving = claim_of(snapshot.body), self._arrives_within(desk, snapshot)
        if arriving > timedelta():
            desk.claims.hold(claim, snapshot.key)
        desk.gone[snapshot.key] = (claim, self._clock.monotonic() + arriving.total_seconds())
        self._enqueue(snapshot.company, snapshot.key, timedelta())

    def _bury(self, company: Company, desk: Desk, key: Key) -> timedelta | None:
        """What is left to do for an object that is gone: its number is given back once nothing can arrive."""
        if key not in desk.gone:
            return None
        claim, until = desk.gone[key]
        sent = desk.sent.get(key)
        at_work = (self._outbox.at_work_for(sent) if sent is not None else None) or timedelta()
        wait = max(at_work, timedelta(seconds=until - self._clock.monotonic()))
        if wait > timedelta():
            return wait
        del desk.gone[key]
        desk.settled(key)
        self._settler.release(company, desk.claims.release(claim, key))
        return None

    def _arrives_within(self, desk: Desk, snapshot: Snapshot) -> timedelta:
        """How long a create of this object, sent by whichever process, may still arrive; 0 or less: none may."""
        if snapshot.status.get("quickbooksId"):
            return timedelta()
        sent, intent = desk.sent.get(snapshot.key), snapshot.status.get("intent") or {}
        left = [
            self._outbox.at_work_for(sent) if sent is not None else None,
            self._grace.remaining(snapshot, monotonic=self._clock.monotonic()),
        ]
        if intent.get("operation") == CREATE and intent.get("time"):
            since = datetime.fromisoformat(intent["time"])
            left.append(since + self._outbox.at_work_at_most - self._clock.now())
        return max((one for one in left if one is not None), default=timedelta())

    # -- before anything is asked of QuickBooks ------------------------------------------------------

    def _parse(self, company: Company, desk: Desk, key: Key, done: Done) -> Candidate | None:
        snapshot = self._store.get(key)
        if snapshot is None or (snapshot.deleting and INVOICE_FINALIZER not in snapshot.finalizers):
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
        if candidate.snapshot.deleting:
            if self._kept_back(candidate):
                self._settler.end(candidate)
            else:
                self._say_farewell(candidate, connection, labels)
            return False
        if connection is not None and self._follows(candidate):
            return True
        if self._rests(candidate):
            return False
        closed = self._closed(candidate, connection, labels)
        if closed is not None:
            self._arrivals.conclude(candidate, closed)
            return False
        recorded = candidate.status.quickbooks_id is not None
        return self._farewell.prepare(candidate) and (recorded or self._claimed(candidate))

    def _follows(self, candidate: Candidate) -> bool:
        """True if something was heard of its invoice, and that is all there is to look at."""
        desk, key = candidate.desk, candidate.key
        quiet = candidate.quiet and key not in desk.reconsider and self._client_of(candidate.company)
        if key not in desk.news or (quiet and is_prepared(candidate)):
            return key in desk.news
        if not quiet:
            # It is looked at anyway.
            desk.news.drop(key)
        return False

    def _kept_back(self, candidate: Candidate) -> bool:
        """True if its deletion was refused, and nothing was heard since that could change that."""
        desk, key = candidate.desk, candidate.key
        heard = key in desk.news or key in desk.reconsider
        desk.news.drop(key)
        return candidate.refused and not (heard or candidate.asked or candidate.forced)

    def _rests(self, candidate: Candidate) -> bool:
        """True if there is nothing to do for this version of the object; it is ended then."""
        if candidate.spec.suspend:
            self._settler.suspended(candidate)
        elif candidate.refused and not (candidate.asked or candidate.key in candidate.desk.reconsider):
            self._settler.end(candidate)
        elif candidate.at_rest and not (candidate.asked or candidate.resumed) and is_prepared(candidate):
            if candidate.mail is not None:
                return False
            self._settler.unchanged(candidate)
        else:
            return False
        return True

    def _closed(
        self, candidate: Candidate, connection: Connection | None, labels: Mapping[str, NamespaceLabels]
    ) -> Wait | Refuse | None:
        return gate(
            company=candidate.company,
            namespace=candidate.key.namespace,
            namespace_labels=labels.get(candidate.key.namespace, {}),
            spec=candidate.spec,
            adopt_id=candidate.adopt_id,
            connection=connection,
            deleting=candidate.snapshot.deleting,
        )

    def _say_farewell(
        self, candidate: Candidate, connection: Connection | None, labels: Mapping[str, NamespaceLabels]
    ) -> None:
        connection = connection or self._leaving(candidate.company)
        self._farewell.begin(
            candidate,
            closed=self._closed(candidate, connection, labels),
            connection=connection,
            client=self._client_of(candidate.company),
        )

    def _claimed(self, candidate: Candidate) -> bool:
        claiming = self._store.labelled(candidate.company, by_claim(candidate.claim))
        rivals = [rival for rival in claiming if rival.key == candidate.key or _contends(rival)]
        arriving = self._arriving(candidate, claiming)
        if arriving <= timedelta() and candidate.desk.claims.claim(candidate.claim, candidate.key, rivals):
            return True
        self._settler.wait(
            candidate,
            reason=InvoiceReason.QUEUED,
            message="another InvoiceSync "
            + (
                f"is settling DocNumber {candidate.number} first"
                if candidate.number
                else "of its source goes first"
            ),
            delay=min(arriving, LOOK_AGAIN / 2) if arriving > timedelta() else LOOK_AGAIN / 2,
        )
        return False

    def _arriving(self, candidate: Candidate, claiming: Sequence[Snapshot]) -> timedelta:
        """How long a create of another object, be it deleted, suspended or refused since, may still arrive."""
        waits_anyway = (
            self._grace.remaining(candidate.snapshot, monotonic=self._clock.monotonic()) is not None
        )
        others = [other for other in claiming if other.key != candidate.key]
        if waits_anyway:
            others = [other for other in others if not other.inherited]
        return max((self._arrives_within(candidate.desk, other) for other in others), default=timedelta())

    async def _labels(self, connection: Connection | None, keys: Sequence[Key]) -> dict[str, NamespaceLabels]:
        allowed = connection.spec.allowed_namespaces if connection is not None else None
        if connection is None or allowed is None or allowed.from_ is not NamespacesFrom.SELECTOR:
            return {}
        foreign = {key.namespace for key in keys} - {connection.snapshot.key.namespace}
        return {namespace: await self._namespace_labels(namespace) for namespace in foreign}

    # -- what is asked of QuickBooks --------------------------------------------------------------------

    async def _work(self, connection: Connection, admitted: list[Candidate]) -> None:
        client = self._client_of(connection.snapshot.company)
        if client is None:
            for candidate in admitted:
                message = f"connection {candidate.company} is being opened"
                wait = Wait(InvoiceReason.CONNECTION_NOT_READY, message, LOOK_AGAIN)
                self._arrivals.conclude(candidate, wait)
            return
        told = {one.key for one in admitted if one.key in one.desk.news}
        self._following.take_in([one for one in admitted if one.key in told], connection, client)
        admitted = [one for one in admitted if one.key not in told]
        recorded = [candidate for candidate in admitted if candidate.status.quickbooks_id is not None]
        arriving = [candidate for candidate in admitted if candidate.status.quickbooks_id is None]
        # What is asked of an invoice goes before its e-mail.
        mails = {one.key: one.mail for one in recorded if one.at_rest and not (one.asked or one.resumed)}
        for candidate in recorded:
            intent = mails.get(candidate.key)
            if intent is not None:
                self._mailing.begin(candidate, intent, client)
        looked_at = [one for one in recorded if mails.get(one.key) is None]
        self._upkeep.look_after(looked_at, connection, client)
        if arriving:
            await self._arrivals.work(arriving, connection, client)

    def _create_again(self, candidate: Candidate) -> None:
        """Its invoice is gone, and a person wants another: from here it is like one that never had any."""
        connection, client = self._connection(candidate.company), self._client_of(candidate.company)
        if connection is None or client is None or not self._claimed(candidate):
            return
        self._start(self._arrivals.work([candidate], connection, client))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _desk(self, company: Company) -> Desk:
        if company not in self._desks:
            self._desks[company] = Desk(
                self._clock, References(self._clock, lambda: self._saves_names(company))
            )
        return self._desks[company]

    def _connection(self, company: Company) -> Connection | None:
        snapshot = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if snapshot is None or snapshot.deleting:
            return None
        return Connection.parse(snapshot)

    def _leaving(self, company: Company) -> Connection | None:
        """A deleted connection that still serves deletions; None where it needs somebody who may never come."""
        snapshot = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if snapshot is None or not snapshot.deleting or IN_USE_FINALIZER not in snapshot.finalizers:
            return None
        connection = Connection.parse(snapshot)
        return None if connection.helpless else connection


def _contends(rival: Snapshot) -> bool:
    """It is alive, and its outcome is open."""
    if rival.deleting or rival.spec.get("suspend") or rival.status.get("quickbooksId"):
        return False
    refused = any(
        condition.get("type") == "Ready" and condition.get("status") == "False"
        for condition in rival.status.get("conditions") or ()
    )
    return not (refused and rival.status.get("observedGeneration") == rival.generation)
