"""What runs while this process leads, composed: made when the lease is won, drained when that ends."""

import asyncio
import logging
import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from qbsync.announce import ObjectAnnouncer
from qbsync.api.meta import Kind
from qbsync.companies import CompanyClients, EndpointPolicy
from qbsync.engine.breaker import BreakerSettings, Circuits
from qbsync.engine.clock import Clock
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.intake import Intake
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.sweep import Sweep
from qbsync.engine.worker import Lane, Workers
from qbsync.feedback import Feedback
from qbsync.handlers import Watch
from qbsync.invoices.batching import HANDFUL
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import LabelsUnknown, NamespaceLabels
from qbsync.invoices.labels import labels_of
from qbsync.invoices.news import News
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.reconcile import InvoiceReconciler
from qbsync.invoices.settle import Settler
from qbsync.kube import errors as kube_errors
from qbsync.kube.api import KubeApi
from qbsync.kube.election import Election
from qbsync.kube.events import EventRecorder
from qbsync.kube.objects import KubeObjects
from qbsync.kube.secrets import KubeSecrets
from qbsync.quickbooks.batch import MOST_ITEMS
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.errors import QuickBooksError
from qbsync.quickbooks.oauth import OAuthClient
from qbsync.quickbooks.transport import Transport
from qbsync.settings import InvoiceEvents, OperatorSettings
from qbsync.telemetry.metrics import Metrics
from qbsync.tokens.counters import COUNTED_EVERY
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.parting import Parting
from qbsync.tokens.reconcile import ConnectionReconciler
from qbsync.tokens.spec import GrantSpec, KeeperSettings
from qbsync.tokens.spool import Spool

logger = logging.getLogger(__name__)

INVOICE_ROUND = 3 * MOST_ITEMS
"""InvoiceSyncs looked up together: three full batches of creates for one metered read."""
INVOICES_OUTSTANDING = MOST_ITEMS
"""Sends still open when the next round may start: the last batch of the round before."""
CRD_POLL = timedelta(seconds=2)
ROUND_LINGER = timedelta(milliseconds=100)


def company_of(kind: Kind, body: Mapping[str, Any]) -> Company:
    """The connection itself, or the one that an InvoiceSync refers to, whether that exists or not."""
    metadata = body["metadata"]
    if kind is Kind.CONNECTION:
        return Company(metadata["namespace"], metadata["name"])
    reference = (body.get("spec") or {}).get("connectionRef") or {}
    return Company(reference.get("namespace") or metadata["namespace"], reference.get("name") or "")


class SendingFence:
    """Open while this process leads and has not begun to stop: what waits for its turn then is not sent."""

    def __init__(self, election: Election) -> None:
        self._election = election
        self.stopping = False

    def holds(self) -> bool:
        return not self.stopping and self._election.holds()


class Leadership:
    """One term as leader."""

    def __init__(
        self,
        *,
        settings: OperatorSettings,
        api: KubeApi,
        transport: Transport,
        keyring: Keyring,
        election: Election,
        grace: TakeoverGrace,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        identity: str,
        closed_namespace: str | None,
        spool: Spool,
    ) -> None:
        self.grace = grace
        """How long a predecessor's requests may still be at work."""
        self._settings, self._api, self._metrics = settings, api, metrics
        self._clock = clock
        self._sending = SendingFence(election)
        self._objects = KubeObjects(api, namespaces=settings.namespaces)
        self._store = ObjectStore(clock=clock, company_of=company_of, labels_of=labels_of)
        self._recorder = EventRecorder(api, instance=identity)
        announcer = ObjectAnnouncer(self._recorder)
        self._reporter = Reporter(
            objects=self._objects, store=self._store, clock=clock, rng=rng, observer=metrics
        )
        self._circuits = Circuits(
            clock=clock,
            rng=rng,
            settings=BreakerSettings(
                window=settings.breaker_window,
                failure_rate=settings.breaker_failure_rate,
                minimum_calls=settings.breaker_minimum_calls,
                open_time=settings.breaker_open_time,
            ),
            on_change=self._touch,
        )
        secrets = KubeSecrets(api)
        self._feedback = Feedback(
            settings=settings,
            secrets=secrets,
            store=self._store,
            reporter=self._reporter,
            announcer=announcer,
            metrics=metrics,
            clock=clock,
            rng=rng,
            closed_namespace=closed_namespace,
            client_of=self._client_of,
            tell=self._told,
            echoes=self._echoes,
            access_failed=self._refused,
            touch=self._touch,
        )
        self._keeper = Keeper(
            secrets=secrets,
            oauth=OAuthClient(transport=transport),
            keyring=keyring,
            clock=clock,
            rng=rng,
            fence=election,
            process_id=identity,
            settings=KeeperSettings(
                token_timeout=settings.token_timeout, server_timeout=settings.quickbooks_server_timeout
            ),
            circuits=self._circuits,
            spool=spool,
            on_change=self._grant_changed,
            inspect=self._inspect,
        )
        self._clients = CompanyClients(
            transport=transport,
            clock=clock,
            server_timeout=settings.quickbooks_server_timeout,
            tokens_of=self._keeper.token_source,
            observer_of=lambda company: self._feedback.usage.observing(company, metrics.requests_of(company)),
            circuits=self._circuits,
            before_read=self._feedback.meter.before_read,
        )
        policy = EndpointPolicy.of(
            allow_custom_endpoints=settings.allow_custom_endpoints, custom_endpoint=settings.custom_endpoint
        )
        self._connections = ConnectionReconciler(
            clock=clock,
            rng=rng,
            store=self._store,
            reporter=self._reporter,
            keeper=self._keeper,
            circuits=self._circuits,
            announcer=announcer,
            observer=metrics,
            provider_of=policy.provider,
            client_of=self._clients.connect,
            closed_namespace=closed_namespace,
            wake_invoices=self._wake_invoices,
            enqueue=self._enqueue,
            parting=Parting(
                clock=clock,
                store=self._store,
                objects=self._objects,
                secrets=secrets,
                keeper=self._keeper,
                announcer=announcer,
                patience=settings.deletion_patience,
                terminating=self._terminating,
            ),
            reads_blocked=self._feedback.reads_blocked,
        )
        settler = Settler(
            clock=clock,
            reporter=self._reporter,
            announcer=announcer,
            observer=metrics,
            enqueue=self._enqueue,
            counted=self._counted,
            renumbered=self._connections.company_moved,
            every_event=settings.invoice_events is InvoiceEvents.ALL,
        )
        outbox = Outbox(
            clock=clock,
            rng=rng,
            store=self._store,
            objects=self._objects,
            settler=settler,
            fence=self._sending,
            server_timeout=settings.quickbooks_server_timeout,
            access_failed=self._access_failed,
            # Nothing but the grace guards what a dead process sent in a batch.
            handful=None if settings.no_takeover_grace else HANDFUL,
        )
        self._invoices = InvoiceReconciler(
            clock=clock,
            rng=rng,
            store=self._store,
            settler=settler,
            outbox=outbox,
            grace=grace,
            objects=self._objects,
            deletion_patience=settings.deletion_patience,
            terminating=self._terminating,
            client_of=self._clients.known,
            saves_names=self._feedback.usage.saves_names,
            namespace_labels=self._namespace_labels,
            enqueue=self._enqueue,
            access_failed=self._access_failed,
        )
        self._workers = Workers(
            clock=clock,
            rng=rng,
            lanes={
                Kind.CONNECTION: Lane(self._connections, round_size=1, outstanding=0),
                Kind.INVOICE: Lane(
                    self._invoices,
                    round_size=INVOICE_ROUND,
                    outstanding=INVOICES_OUTSTANDING,
                    linger=ROUND_LINGER,
                ),
            },
        )
        intake = Intake(
            store=self._store,
            queue=self._workers.queue,
            observer=metrics,
            instance=settings.instance,
            on_gone=self._gone,
        )
        self._intake = intake
        self._sweep = Sweep(
            objects=self._objects,
            store=self._store,
            clock=clock,
            rng=rng,
            observer=metrics,
            on_found=intake.seen,
            on_gone=intake.gone,
        )
        self._watch = Watch(deliver=self._deliver, namespaces=settings.namespaces, identity=identity)
        self._background: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Work until something that has to run forever ends; raises what ended it."""
        await self._until_served()
        self._background = [
            asyncio.create_task(self._workers.queue.run(), name="queue"),
            asyncio.create_task(self._sweep.run(), name="sweep"),
            asyncio.create_task(self._recorder.run(), name="events"),
            *(asyncio.create_task(work, name="feedback") for work in self._feedback.running()),
        ]
        self._watch.start()
        watching = asyncio.create_task(self._watch.failed(), name="watch")
        ended, _ = await asyncio.wait([watching, *self._background], return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            problem = task.exception() or (task.result() if task is watching else None)
            raise RuntimeError(f"{task.get_name()} ended: {problem}")

    async def _until_served(self) -> None:
        """Wait for the CRDs: kopf looks for them once, and what comes later it would never see."""
        told = False
        while True:
            try:
                missing = await self._objects.missing()
            except kube_errors.KubeError as error:
                logger.warning("cannot see which kinds are served: %s", error)
            else:
                if not missing:
                    return
                if not told:
                    names = ", ".join(sorted(missing))
                    logger.warning("waiting for the CustomResourceDefinitions of %s: apply crds/", names)
                    told = True
            await self._clock.sleep(CRD_POLL)

    async def drain(self, timeout: timedelta) -> bool:
        """Take no new work, await what was sent, record it. False if that was not finished in time."""
        self._workers.stop_taking()
        self._feedback.stop_taking()
        self._sending.stopping = True
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await asyncio.gather(self._workers.drained(), self._feedback.drained(), self._keeper.drain())
                await self._reporter.flush()
                await self._recorder.flush()
        except TimeoutError:
            logger.exception(
                "not everything was finished in time",
                extra={"unrecorded": self._reporter.waiting, "spooled": self._keeper.give_up()},
            )
            return False
        return True

    @property
    def unwritable_for(self) -> timedelta:
        """Since when no token Secret at all could be written."""
        return self._keeper.unwritable_for

    async def close(self) -> None:
        """Stop watching and keeping time."""
        self._feedback.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._watch.stop()

    async def webhook(self, app: str, signature: str, body: bytes) -> int:
        """Take a webhook; returns the HTTP status of the answer."""
        return await self._feedback.webhook(app, signature, body)

    def measure(self) -> None:
        """Bring the gauges that follow the store up to date; called before each scrape."""
        self._metrics.count_invoices(self._store.all(Kind.INVOICE))
        connections = self._store.all(Kind.CONNECTION)
        self._metrics.count_keys(connections)
        for connection in connections:
            company = connection.company
            self._metrics.measure_circuits(company, self._circuits.each(company))
            self._feedback.measure(company)
            self._metrics.measure_queue(
                company,
                depth=self._workers.queue.depth(company, Kind.INVOICE),
                oldest=self._workers.queue.oldest(company, Kind.INVOICE),
            )

    # -- how the rooms reach each other --------------------------------------------------------------------

    def _deliver(self, kind: Kind, type_: str | None, body: Mapping[str, Any]) -> None:
        self._intake.event(kind, type_, body)
        if kind is Kind.INVOICE:
            self._connections.referred(company_of(kind, body))

    def _enqueue(self, company: Company, key: Key, delay: timedelta) -> None:
        self._workers.queue.add(company, key, delay=delay)

    def _client_of(self, company: Company) -> CompanyClient | None:
        return self._clients.known(company)

    def _told(self, company: Company, key: Key, news: News) -> None:
        self._invoices.told(company, key, news)

    def _echoes(self, company: Company, quickbooks_id: str) -> bool:
        return self._invoices.echoes(company, quickbooks_id)

    async def _inspect(self, grant: GrantSpec, token: SecretStr) -> None:
        await self._clients.inspect(grant, token)

    def _touch(self, company: Company) -> None:
        self._connections.touch(company)

    def _grant_changed(self, grant: GrantSpec) -> None:
        self._connections.touch(Company(grant.namespace, grant.name))

    def _wake_invoices(self, company: Company, changed: bool) -> None:
        self._invoices.woken(company, changed=changed)
        self._feedback.woken(company)

    def _counted(self, company: Company) -> None:
        self._connections.touch(company, delay=COUNTED_EVERY)
        self._feedback.settled(company)

    def _access_failed(self, candidate: Candidate, error: QuickBooksError) -> None:
        self._refused(candidate.company, error)

    def _refused(self, company: Company, error: QuickBooksError) -> None:
        self._connections.refused(company, error)

    async def _namespace_labels(self, namespace: str) -> NamespaceLabels:
        if self._settings.namespaces:
            why = "allowedNamespaces with a Selector needs an operator that watches all namespaces (no --namespaces)"
            return LabelsUnknown(why, passing=False)
        try:
            body = await self._api.get(f"/api/v1/namespaces/{namespace}")
        except kube_errors.KubeError as error:
            return LabelsUnknown(
                f"the labels of namespace {namespace} could not be read: {error}", passing=True
            )
        labels: Mapping[str, str] = body["metadata"].get("labels") or {}
        return labels

    async def _terminating(self, namespace: str) -> bool:
        try:
            body = await self._api.get(f"/api/v1/namespaces/{namespace}")
        except kube_errors.NotFound:
            return True
        except kube_errors.KubeError:
            # Without the right to read namespaces a deletion takes its full patience.
            return False
        return "deletionTimestamp" in body["metadata"]

    def _gone(self, snapshot: Snapshot) -> None:
        if snapshot.key.kind is Kind.INVOICE:
            self._invoices.gone(snapshot)
            self._connections.touch(snapshot.company, delay=COUNTED_EVERY)
        else:
            self._connections.gone(snapshot)
            self._feedback.gone(snapshot)
            self._clients.forget(snapshot.company)
            self._metrics.forget(snapshot.company)
