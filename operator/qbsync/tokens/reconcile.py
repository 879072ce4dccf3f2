"""The engine's reconciler for QuickBooksConnections: the grant is looked after, the company is known.

A connection is due when its token is, when it was changed, when somebody asks, or when a call to its
company was refused at the door.
"""

import logging
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from qbsync.api.conditions import ConnectionReason
from qbsync.api.connection import Limits, QuickBooksConnectionSpec, QuickBooksConnectionStatus
from qbsync.api.meta import IN_USE_FINALIZER, REVOKE_FINALIZER, Kind
from qbsync.engine.announcer import Announcer
from qbsync.engine.breaker import Circuits
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.worker import Done
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.errors import QuickBooksError
from qbsync.quickbooks.oauth import Provider
from qbsync.tokens import refusals, rivals
from qbsync.tokens.announcements import Announcements
from qbsync.tokens.counters import Counting
from qbsync.tokens.errors import EndpointRefused
from qbsync.tokens.inquiry import Inquiry
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.look import PROBE_INTERVAL, Findings, Look, Memory
from qbsync.tokens.parting import AGAIN, Parting
from qbsync.tokens.publish import ConnectionObserver, Publisher
from qbsync.tokens.spec import GrantSpec, Trigger
from qbsync.tokens.status import Verdict

logger = logging.getLogger(__name__)

PARTING_CHECK: Final = timedelta(seconds=60)
"""A deleted connection that InvoiceSyncs still need is looked at so often at least."""
FINALIZER_RETRY: Final = timedelta(seconds=5)


class ConnectionReconciler:
    """Brings connections forward (engine.worker.Reconciler)."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        store: ObjectStore,
        reporter: Reporter,
        keeper: Keeper,
        circuits: Circuits,
        announcer: Announcer,
        observer: ConnectionObserver,
        provider_of: Callable[[QuickBooksConnectionSpec], Provider],
        client_of: Callable[[Company, GrantSpec, Limits], CompanyClient],
        closed_namespace: str | None,
        wake_invoices: Callable[[Company, bool], None],
        enqueue: Callable[[Company, Key, timedelta], None],
        parting: Parting,
        reads_blocked: Callable[[Company], timedelta | None] = lambda _: None,
    ) -> None:
        """`provider_of` raises `EndpointRefused`. `closed_namespace`: its Secrets are not for connections.
        `reads_blocked`: in how long a read is tried again where the app's allowance is used up.

        `wake_invoices(company, changed)`: the connection became ready, or its spec has changed.
        """
        self._clock, self._store, self._keeper, self._parting = clock, store, keeper, parting
        self._provider_of, self._closed_namespace, self._enqueue = provider_of, closed_namespace, enqueue
        self._memory: dict[Company, Memory] = {}
        self._counting = Counting(clock=clock, store=store)
        self._inquiry = Inquiry(clock, circuits, client_of, reads_blocked)
        self._publisher = Publisher(
            clock=clock,
            rng=rng,
            store=store,
            reporter=reporter,
            announcements=Announcements(announcer, circuits),
            observer=observer,
            circuits=circuits,
            counting=self._counting,
            wake_invoices=wake_invoices,
            reads_blocked=reads_blocked,
        )

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        """Bring a company's connection forward."""
        for key in keys:
            snapshot = self._store.get(key)
            if snapshot is None:
                done(key, None)
            elif snapshot.deleting:
                done(key, await self._part(company, snapshot))
            else:
                done(key, await self._attend(company, snapshot))

    # -- what others noticed -------------------------------------------------------------------------------

    def refused(self, company: Company, error: QuickBooksError) -> None:
        """A call to the company failed; if it was refused at the door, the connection says so."""
        memory = self._memory.get(company)
        if memory is None or not isinstance(error, refusals.REFUSED):
            return
        if memory.refused is None:
            memory.probe_at = self._clock.now() + PROBE_INTERVAL
        memory.refused = error
        self.touch(company)

    def touch(self, company: Company, *, delay: timedelta = timedelta()) -> None:
        """Look at a company's connection again."""
        snapshot = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if snapshot is not None:
            self._enqueue(company, snapshot.key, delay)

    def company_moved(self, company: Company) -> None:
        """A call showed that the company's preferences are not what they were: read them again."""
        memory = self._memory.get(company)
        if memory is not None:
            memory.company_moved = True
            self.touch(company)

    def gone(self, snapshot: Snapshot) -> None:
        """The connection was deleted: its Secret stays, its memory goes."""
        self._forget(snapshot.company)
        self._keeper.forget(snapshot.key.namespace, snapshot.key.name)
        for other in self._store.all(Kind.CONNECTION):
            if other.spec.get("realmId") == snapshot.spec.get("realmId"):
                self._enqueue(other.company, other.key, timedelta())

    def referred(self, company: Company) -> None:
        """An InvoiceSync of the company was seen, or left: its connection may need a finalizer, or be free to go."""
        snapshot = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if snapshot is not None and (snapshot.deleting or self._parting.needs(snapshot)):
            self._enqueue(company, snapshot.key, timedelta())

    # -- one look ------------------------------------------------------------------------------------------

    async def _attend(self, company: Company, snapshot: Snapshot) -> timedelta | None:
        """Look after a connection, with the finalizers it needs in place before anything else."""
        look = self._look(company, snapshot)
        prepared = await self._parting.prepare(snapshot, look.spec)
        again = await self._look_after(look)
        return again if prepared else min(again or FINALIZER_RETRY, FINALIZER_RETRY)

    async def _part(self, company: Company, snapshot: Snapshot) -> timedelta | None:
        """A deleted connection serves the InvoiceSyncs that still need it, then goes."""
        if not {REVOKE_FINALIZER, IN_USE_FINALIZER} & set(snapshot.finalizers):
            return None
        users = await self._parting.users(snapshot)
        if users:
            remark = (
                f"deleted; it stays until {users} InvoiceSync(s) with deletionPolicy Void or Delete are gone"
            )
            again = await self._look_after(self._look(company, snapshot, remark))
            return min(again or PARTING_CHECK, PARTING_CHECK)
        look = self._look(company, snapshot)
        waiting = await self._parting.part(
            snapshot, self._grant_to_end(look), rivals.of(snapshot, self._store)
        )
        if waiting is None:
            return None
        self._publisher.publish(look, Findings(waiting, look.status.company))
        return AGAIN

    def _grant_to_end(self, look: Look) -> GrantSpec | None:
        """None if the connection cannot be used, so that there is nothing to revoke with."""
        if look.snapshot.key.namespace == self._closed_namespace:
            return None
        try:
            return look.grant(self._provider_of(look.spec))
        except EndpointRefused as error:
            logger.info("%s is deleted without its endpoints: %s", look.snapshot.key, error)
            return None

    async def _look_after(self, look: Look) -> timedelta | None:
        refused = self._closed(look.snapshot)
        if refused is None:
            try:
                return self._publisher.publish(
                    look, await self._find(look, look.grant(self._provider_of(look.spec)))
                )
            except EndpointRefused as error:
                refused = Verdict(ConnectionReason.ENDPOINT_NOT_ALLOWED, str(error))
        tested = self._inquiry.untested(look, refused)
        return self._publisher.publish(look, Findings(refused, look.status.company, tested=tested))

    async def _find(self, look: Look, grant: GrantSpec) -> Findings:
        """Have the grant kept alive, then ask the company where that is due."""
        health = await self._keeper.ensure(grant, force=look.request is not None, trigger=Trigger.REQUESTED)
        verdict = Verdict(health.reason, health.message)
        if not health.usable:
            tested = self._inquiry.untested(look, verdict)
            return Findings(verdict, look.status.company, health, tested)
        tested = await self._inquiry.test(look, grant)
        verdict, company = await self._inquiry.know(look, grant, verdict)
        return Findings(verdict, company, health, tested)

    def _closed(self, snapshot: Snapshot) -> Verdict | None:
        """Why this connection may not work at all."""
        if snapshot.key.namespace != self._closed_namespace:
            return rivals.conflict(snapshot, self._store)
        return Verdict(
            ConnectionReason.SECRET_CONFLICT,
            "the Secrets of the operator's own namespace are closed to connections: "
            "create this connection in another namespace",
        )

    def _look(self, company: Company, snapshot: Snapshot, remark: str = "") -> Look:
        spec = QuickBooksConnectionSpec.model_validate(snapshot.spec)
        status = QuickBooksConnectionStatus.model_validate(snapshot.status)
        return Look(company, snapshot, spec, status, self._memory_of(company, snapshot, status), remark)

    def _memory_of(self, company: Company, snapshot: Snapshot, status: QuickBooksConnectionStatus) -> Memory:
        memory = self._memory.get(company)
        if memory is None or memory.uid != snapshot.key.uid:
            self._forget(company)
            memory = Memory.begin(snapshot.key.uid, status, now=self._clock.now())
            self._memory[company] = memory
        return memory

    def _forget(self, company: Company) -> None:
        self._memory.pop(company, None)
        self._counting.forget(company)
