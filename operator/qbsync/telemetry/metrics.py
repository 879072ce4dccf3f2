"""Prometheus metrics: labels are namespace and connection, never an invoice."""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from qbsync import __version__
from qbsync.api.connection import QuickBooksConnectionStatus
from qbsync.engine.breaker import Circuit, CircuitState
from qbsync.engine.keys import Company
from qbsync.engine.store import Snapshot

_CONNECTION = ("namespace", "connection")
_NO_REFRESH = "Imported"
"""Stands in the history too, but nothing was asked of the provider."""
_AUTH_CHECKS = {401: "unauthorized", 403: "forbidden"}
_CIRCUIT = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
_SYNC_SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class RefreshFigures(Protocol):
    """One refresh, as far as metrics are concerned."""

    @property
    def outcome(self) -> str: ...

    @property
    def duration(self) -> timedelta: ...


class GrantFigures(Protocol):
    """What a look at a grant brought."""

    @property
    def records(self) -> Sequence[RefreshFigures]: ...


class Metrics:
    """Every metric of one process, and the observers that the rooms ask for."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.access_expiry = self._gauge("access_token_expiry_timestamp_seconds", "End of the access token.")
        self.refresh_expiry = self._gauge(
            "refresh_token_expiry_timestamp_seconds", "End of the refresh token."
        )
        self.hard_expiry = self._gauge(
            "refresh_token_hard_expiry_timestamp_seconds", "End of the grant, whatever is refreshed."
        )
        self.refreshes = self._counter("token_refreshes", "Token refreshes by outcome.", "outcome")
        self.refresh_seconds = Histogram(
            "qbsync_token_refresh_duration_seconds",
            "Time of one token refresh.",
            _CONNECTION,
            registry=self.registry,
            buckets=_CALL_SECONDS,
        )
        self.requests = self._counter(
            "quickbooks_requests", "Requests to QuickBooks.", "operation", "status", "code"
        )
        self.request_seconds = Histogram(
            "qbsync_quickbooks_request_duration_seconds",
            "Time of one request to QuickBooks.",
            (*_CONNECTION, "operation"),
            registry=self.registry,
            buckets=_CALL_SECONDS,
        )
        self.metered_reads = self._counter("quickbooks_metered_reads", "Requests that Intuit meters.")
        self.read_budget = self._gauge(
            "quickbooks_read_budget_remaining", "Metered reads that the app of this connection has left."
        )
        self.webhooks = Counter(
            "qbsync_webhooks", "Webhooks by what became of them.", ("result",), registry=self.registry
        )
        self.queue_depth = self._gauge("queue_depth", "InvoiceSyncs that are due and wait.")
        self.queue_oldest = self._gauge("queue_oldest_seconds", "How long the first of them has waited.")
        self.invoices = self._gauge("invoices", "InvoiceSyncs by state.", "state")
        self.syncs = self._counter("invoice_syncs", "Invoices settled, by outcome.", "outcome")
        self.sync_seconds = Histogram(
            "qbsync_invoice_sync_duration_seconds",
            "From apply to Ready.",
            _CONNECTION,
            registry=self.registry,
            buckets=_SYNC_SECONDS,
        )
        self.condition = self._gauge(
            "connection_condition", "1 for what holds now.", "type", "status", "reason"
        )
        self.circuit = self._gauge("circuit_state", "0 closed, 1 half open, 2 open.", "endpoint")
        self.auth_checks = self._counter(
            "auth_checks", "Whether QuickBooks took the access token of a call.", "result"
        )
        self.secrets_by_key = Gauge(
            "qbsync_secrets_by_key",
            "Token Secrets by the key that they are encrypted with.",
            ("key_id",),
            registry=self.registry,
        )
        self.errors = Counter(
            "qbsync_reconcile_errors", "Failures by class.", ("class",), registry=self.registry
        )
        self.kubernetes_writes = self._plain_counter("kubernetes_writes", "Statuses written.")
        self.orphaned = self._plain_counter("orphaned_results", "Results whose object was gone.")
        self.pruned = self._plain_counter("watch_gap_pruned", "Objects that vanished unseen by the watch.")
        self.last_event = Gauge(
            "qbsync_watch_last_event_timestamp_seconds", "When the watch last spoke.", registry=self.registry
        )
        self.leader = Gauge("qbsync_leader", "1 while this process leads.", registry=self.registry)
        build = Gauge("qbsync_build_info", "The running release.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def forget(self, company: Company) -> None:
        """A connection is gone: so are its series."""
        for gauge in (
            self.access_expiry,
            self.refresh_expiry,
            self.hard_expiry,
            self.condition,
            self.circuit,
            self.queue_depth,
            self.queue_oldest,
            self.read_budget,
        ):
            self._drop(gauge, company)

    # -- observers -------------------------------------------------------------------------------------

    def status_written(self) -> None:
        self.kubernetes_writes.inc()

    def status_failed(self) -> None:
        self.errors.labels("kubernetes").inc()

    def result_orphaned(self) -> None:
        self.orphaned.inc()

    def gap_pruned(self) -> None:
        self.pruned.inc()

    def event_seen(self) -> None:
        self.last_event.set(time.time())

    def reconcile_failed(self, error_class: str) -> None:
        self.errors.labels(error_class).inc()

    def invoice_settled(self, company: Company, outcome: str, since_created: timedelta) -> None:
        self.syncs.labels(company.namespace, company.name, outcome).inc()
        self.sync_seconds.labels(company.namespace, company.name).observe(since_created.total_seconds())

    def connection_seen(
        self, company: Company, status: QuickBooksConnectionStatus, health: GrantFigures | None
    ) -> None:
        """A connection was looked at: its expiries, its conditions, its refreshes."""
        labels = (company.namespace, company.name)
        self.access_expiry.labels(*labels).set(timestamp(status.access_token_expires_at))
        self.refresh_expiry.labels(*labels).set(timestamp(status.refresh_token_expires_at))
        self.hard_expiry.labels(*labels).set(timestamp(status.refresh_token_hard_expires_at))
        self._drop(self.condition, company)
        for condition in status.conditions:
            self.condition.labels(*labels, condition.type, condition.status, condition.reason).set(1)
        for record in health.records if health is not None else ():
            if record.outcome == _NO_REFRESH:
                continue
            self.refreshes.labels(*labels, record.outcome).inc()
            self.refresh_seconds.labels(*labels).observe(record.duration.total_seconds())

    def count_invoices(self, snapshots: Iterable[Snapshot]) -> None:
        """How many InvoiceSyncs of each connection are in which state."""
        self.invoices.clear()
        for snapshot in snapshots:
            company = snapshot.company
            self.invoices.labels(company.namespace, company.name, _state(snapshot)).inc()

    def count_keys(self, connections: Iterable[Snapshot]) -> None:
        """How many token Secrets each encryption key has sealed."""
        self.secrets_by_key.clear()
        for connection in connections:
            key_id = (connection.status.get("encryption") or {}).get("keyId")
            if key_id:
                self.secrets_by_key.labels(key_id).inc()

    def measure_circuits(self, company: Company, circuits: Iterable[Circuit]) -> None:
        """How a company's circuits stand."""
        for circuit in circuits:
            labels = (company.namespace, company.name, circuit.endpoint)
            self.circuit.labels(*labels).set(_CIRCUIT[circuit.state])

    def measure_queue(self, company: Company, *, depth: int, oldest: timedelta) -> None:
        """How much of a company's work is due and waits."""
        self.queue_depth.labels(company.namespace, company.name).set(depth)
        self.queue_oldest.labels(company.namespace, company.name).set(oldest.total_seconds())

    def measure_budget(self, company: Company, remaining: int) -> None:
        """How many metered reads are left this month."""
        self.read_budget.labels(company.namespace, company.name).set(remaining)

    def webhook_received(self, result: str) -> None:
        self.webhooks.labels(result).inc()

    def requests_of(self, company: Company) -> "RequestMetrics":
        """The observer of one company's client."""
        return RequestMetrics(self, company)

    def _drop(self, gauge: Gauge, company: Company) -> None:
        gauge.remove_by_labels({"namespace": company.namespace, "connection": company.name})

    # -- construction ----------------------------------------------------------------------------------

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"qbsync_{name}", text, (*_CONNECTION, *labels), registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"qbsync_{name}", text, (*_CONNECTION, *labels), registry=self.registry)

    def _plain_counter(self, name: str, text: str) -> Counter:
        return Counter(f"qbsync_{name}", text, registry=self.registry)


class RequestMetrics:
    """Counts one company's requests (`quickbooks.client.RequestObserver`)."""

    def __init__(self, metrics: Metrics, company: Company) -> None:
        self._metrics, self._labels = metrics, (company.namespace, company.name)

    def observed(
        self, *, operation: str, status: int | None, code: str | None, seconds: float, metered: bool
    ) -> None:
        self._metrics.requests.labels(*self._labels, operation, str(status or ""), code or "").inc()
        self._metrics.request_seconds.labels(*self._labels, operation).observe(seconds)
        if status is not None and (status < 400 or status in _AUTH_CHECKS):
            result = _AUTH_CHECKS.get(status, "accepted")
            self._metrics.auth_checks.labels(*self._labels, result).inc()
        if metered:
            self._metrics.metered_reads.labels(*self._labels).inc()


def _state(snapshot: Snapshot) -> str:
    conditions = {condition["type"]: condition for condition in snapshot.status.get("conditions") or ()}
    ready = conditions.get("Ready")
    return str(ready["reason"]) if ready is not None else "New"


def timestamp(moment: datetime | None) -> float:
    """Seconds since the epoch; NaN for what is not known."""
    return moment.timestamp() if moment is not None else float("nan")
