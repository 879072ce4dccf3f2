"""The composition root: settings in, a running operator out. Owns the process, its signals and its end."""

import asyncio
import logging
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from qbsync import __version__
from qbsync.engine.clock import SystemClock
from qbsync.engine.grace import NO_GRACE, TakeoverGrace
from qbsync.invoices.outbox import LOOKUP_LAG
from qbsync.kube import errors as kube_errors
from qbsync.kube.api import KubeApi, Login, login
from qbsync.kube.election import Election
from qbsync.kube.lease import LeaseTimes, Takeover
from qbsync.kube.secrets import KubeSecrets
from qbsync.leading import Leadership
from qbsync.quickbooks.transport import HttpTransport
from qbsync.settings import OperatorSettings
from qbsync.telemetry import logs
from qbsync.telemetry.metrics import Metrics
from qbsync.telemetry.probes import ProbeServer
from qbsync.tokens.errors import KeyringError
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spool import Recovery, Spool
from qbsync.tokens.store import TokenStore
from qbsync.webhooks.forward import Forwarder
from qbsync.webhooks.server import WebhookServer

logger = logging.getLogger(__name__)

LEASE = "qbsync"
MAX_CONNECTIONS = 200
MAX_FORWARDED = 20
EVERY_INTERFACE = frozenset({"", "0.0.0.0", "[::]"})  # noqa: S104 - compared with, not bound to
LOST_LEASE_DRAIN = timedelta(seconds=10)
"""Without the lease only what is under way is finished and recorded, and not for long."""
DRAIN_MARGIN = timedelta(seconds=15)
UNREADY_AFTER = timedelta(seconds=30)
UNWRITABLE_AFTER = timedelta(seconds=60)
"""Without a single token Secret written for so long, something is wrong with the process, not with a company."""
EXIT_CONFIGURATION = 2


@dataclass(frozen=True, slots=True)
class OwnNamespace:
    """Where the Lease lives, and whether connections may live there too."""

    name: str
    closed: bool
    """It was named on purpose, so its Secrets are the operator's own."""

    @classmethod
    def of(cls, settings: OperatorSettings, entry: Login) -> "OwnNamespace":
        if settings.operator_namespace:
            return cls(settings.operator_namespace, closed=True)
        if entry.in_cluster and entry.namespace:
            return cls(entry.namespace, closed=True)
        return cls(entry.namespace or "default", closed=False)


def main(settings: OperatorSettings, environment: Mapping[str, str] = os.environ) -> int:
    """Run one operator process to its end; returns the exit code."""
    logs.configure(settings.log_level)
    try:
        keyring = Keyring.from_environment(environment)
    except KeyringError as error:
        sys.stderr.write(f"qbsync: {error}\n")
        return EXIT_CONFIGURATION
    try:
        return asyncio.run(_Process(settings, keyring, environment).run())
    except kube_errors.KubeError as error:
        sys.stderr.write(f"qbsync: {error}\n")
        return EXIT_CONFIGURATION


class _Process:
    def __init__(self, settings: OperatorSettings, keyring: Keyring, environment: Mapping[str, str]) -> None:
        self._settings, self._keyring = settings, keyring
        host = environment.get("POD_NAME") or socket.gethostname()
        self._pod_ip = environment.get("POD_IP") or ""
        self._identity = f"{host}-{secrets.token_hex(8)}"
        self._metrics = Metrics()
        self._times = LeaseTimes(settings.lease_duration)
        self._stop = asyncio.Event()
        self._leadership: Leadership | None = None
        self._forwarder: Forwarder
        self._spool = Spool(settings.spool_dir)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        entry = await login()
        own = OwnNamespace.of(self._settings, entry)
        webhooks = self._webhook_server()
        election = Election(
            connect=_connect,
            namespace=own.name,
            name=f"{LEASE}-{self._settings.instance}" if self._settings.instance else LEASE,
            identity=self._identity,
            times=self._times,
            webhooks=self._reached_at(webhooks),
        )
        transport = HttpTransport(max_connections=MAX_FORWARDED)
        self._forwarder = Forwarder(transport=transport, leader=lambda: election.leader_webhooks)
        probes = ProbeServer(
            address=self._settings.listen_address,
            metrics=self._metrics,
            unready=lambda: _unready(election) or self._unwritable(),
            before_scrape=self._measure,
        )
        serving = [asyncio.create_task(one.run()) for one in (probes, webhooks) if one is not None]
        self._say_hello(own, probes, webhooks)
        election.start()
        try:
            return await self._stand_and_lead(entry, own, election)
        finally:
            for server in (probes, webhooks):
                if server is not None:
                    server.stop()
            await asyncio.gather(*serving)
            await transport.aclose()

    def _webhook_server(self) -> WebhookServer | None:
        address = self._settings.webhook_address
        return WebhookServer(address=address, receive=self._webhook) if address is not None else None

    def _reached_at(self, server: WebhookServer | None) -> str | None:
        """host:port at which those that stand by reach this process's webhooks; None: they cannot."""
        if server is None:
            return None
        host, _, port = server.address.rpartition(":")
        if host in EVERY_INTERFACE:
            host = self._pod_ip
        return f"[{host}]:{port}" if ":" in host.strip("[]") else f"{host}:{port}" if host else None

    async def _webhook(self, app: str, signature: str, body: bytes, forwarded: bool) -> int:
        if self._leadership is not None:
            return await self._leadership.webhook(app, signature, body)
        if forwarded:
            return 503
        status = await self._forwarder.receive(app, signature, body)
        self._metrics.webhook_received("failed" if status == 503 else "forwarded")
        return status

    async def _recover(self, entry: Login) -> None:
        """Store what an earlier process left in the spool, leading or not: those tokens are spent."""
        if not self._spool.usable:
            return
        api, clock = KubeApi(entry.configuration), SystemClock()
        store = TokenStore(secrets=KubeSecrets(api), keyring=self._keyring, clock=clock)
        try:
            await Recovery(spool=self._spool, store=store, clock=clock, rng=random.SystemRandom()).run()
        except Exception:
            logger.exception("the spool directory could not be worked off; who leads tries again")
        finally:
            await api.aclose()

    async def _stand_and_lead(self, entry: Login, own: OwnNamespace, election: Election) -> int:
        recovering = asyncio.create_task(self._recover(entry), name="spool")
        try:
            return await self._stand(entry, own, election)
        finally:
            recovering.cancel()
            await asyncio.gather(recovering, return_exceptions=True)

    async def _stand(self, entry: Login, own: OwnNamespace, election: Election) -> int:
        stopped = asyncio.create_task(self._stop.wait())
        won = asyncio.create_task(election.won())
        await asyncio.wait([stopped, won], return_when=asyncio.FIRST_COMPLETED)
        if not won.done():
            won.cancel()
            await election.stop(release=False)
            return 0
        takeover = won.result()
        self._metrics.leader.set(1)
        try:
            return await self._lead(entry, own, election, takeover)
        finally:
            self._metrics.leader.set(0)
            stopped.cancel()

    async def _lead(self, entry: Login, own: OwnNamespace, election: Election, takeover: Takeover) -> int:
        api, transport = KubeApi(entry.configuration), HttpTransport(max_connections=MAX_CONNECTIONS)
        leadership = self._leadership = Leadership(
            settings=self._settings,
            api=api,
            transport=transport,
            keyring=self._keyring,
            election=election,
            grace=self._grace(takeover),
            metrics=self._metrics,
            clock=SystemClock(),
            rng=random.SystemRandom(),
            identity=self._identity,
            closed_namespace=own.name if own.closed else None,
            spool=self._spool,
        )
        try:
            return await self._work(leadership, election)
        finally:
            self._leadership = None
            await transport.aclose()
            await api.aclose()

    async def _work(self, leadership: Leadership, election: Election) -> int:
        """Lead until told to stop, the lease is lost, or something broke; then drain and leave."""
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        lost = asyncio.create_task(election.lost(), name="lease")
        running = asyncio.create_task(leadership.run(), name="work")
        await asyncio.wait([stopped, lost, running], return_when=asyncio.FIRST_COMPLETED)
        holding = election.holds()
        for task in (stopped, lost):
            task.cancel()
        logger.info("draining", extra={"holdsLease": holding})
        drained = await leadership.drain(self._drain_time() if holding else LOST_LEASE_DRAIN)
        broken = running.exception() if running.done() else None
        running.cancel()
        await leadership.close()
        # Whoever comes next has to wait out what is left of our grace as well, so it must not find the lease free.
        clean = drained and holding and broken is None and leadership.grace.is_over(time.monotonic())
        await election.stop(release=clean)
        if broken is not None:
            logger.error("stopped, since %s", broken)
        logger.info("stopped", extra={"drained": drained})
        return 0 if holding and broken is None else 1

    def _drain_time(self) -> timedelta:
        return max(self._settings.quickbooks_server_timeout, self._settings.token_timeout) + DRAIN_MARGIN

    def _grace(self, takeover: Takeover) -> TakeoverGrace:
        if self._settings.no_takeover_grace:
            return NO_GRACE
        grace = TakeoverGrace.after(
            takeover,
            times=self._times,
            server_timeout=self._settings.quickbooks_server_timeout,
            lookup_lag=LOOKUP_LAG,
        )
        if not takeover.clean:
            wait = max(grace.until - time.monotonic(), 0)
            logger.warning(
                "took over from a process that ended without a word: creates for objects that it may have sent for "
                "wait %.0f s",
                wait,
            )
        return grace

    def _unwritable(self) -> str | None:
        if self._leadership is None or self._leadership.unwritable_for < UNWRITABLE_AFTER:
            return None
        seconds = self._leadership.unwritable_for.total_seconds()
        return f"no token Secret could be written for {seconds:.0f} s"

    def _measure(self) -> None:
        if self._leadership is not None:
            self._leadership.measure()

    def _say_hello(self, own: OwnNamespace, probes: ProbeServer, webhooks: WebhookServer | None) -> None:
        logger.info(
            "started",
            extra={
                "version": __version__,
                "identity": self._identity,
                "listen": probes.address,
                "webhooks": webhooks.address if webhooks is not None else "off",
                "namespace": own.name,
                "watching": list(self._settings.namespaces) or "all namespaces",
                "keys": self._keyring.describe(),
            },
        )


def _unready(election: Election) -> str | None:
    if election.last_contact is None:
        return "the Kubernetes API server has not answered yet"
    silent = timedelta(seconds=time.monotonic() - election.last_contact)
    if silent > UNREADY_AFTER:
        return f"the Kubernetes API server has not answered for {silent.total_seconds():.0f} s"
    return None


async def _connect(timeout: timedelta) -> KubeApi:
    return KubeApi((await login()).configuration, timeout=timeout)
