"""Environment and flags, as one typed object."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from qbsync.api.durations import parse_duration


class InvoiceEvents(StrEnum):
    """Which Events are posted about single invoices."""

    WARNINGS = "warnings"
    ALL = "all"


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class OperatorSettings(BaseSettings):
    """How one operator process runs; every field is also an environment variable `QBSYNC_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="QBSYNC_", frozen=True, extra="ignore")

    allow_custom_endpoints: bool = False
    """Connections with environment Custom may name endpoints on this machine (loopback only)."""
    custom_endpoint: Names = ()
    """Further hosts, as host:port, that environment Custom may name."""
    quickbooks_server_timeout: Duration = timedelta(seconds=120)
    """How long QuickBooks may be at work on one request (Intuit: 120 s)."""
    token_timeout: Duration = timedelta(seconds=60)
    """Deadline of one call to the token endpoint."""
    lease_duration: Duration = timedelta(seconds=15)
    """How long a dead leader's lease lasts; renewals follow from it."""
    listen: str = "127.0.0.1:0"
    """host:port of probes and metrics; port 0 takes a free one."""
    webhook_listen: str | None = None
    """host:port for Intuit's webhooks; absent: nothing listens, and changes are only asked for."""
    drift_interval: Duration = timedelta(hours=6)
    """How often QuickBooks is asked what changed, where a connection does not say."""
    read_budget: Annotated[int, Field(ge=1)] = 500_000
    """Metered reads that Intuit allows each app in a month."""
    operator_namespace: str | None = None
    """Where the Lease lives; its Secrets are closed to connections."""
    no_takeover_grace: bool = False
    """Create at once after another process died, at the risk of its last requests still arriving."""
    instance: str | None = None
    """Take care only of objects labelled qbsync.dev/instance with this name."""
    namespaces: Names = ()
    """Watch only these namespaces; empty: all."""
    invoice_events: InvoiceEvents = InvoiceEvents.WARNINGS
    deletion_patience: Duration = timedelta(minutes=10)
    """How long a deletion waits: an InvoiceSync's for a connection that cannot void its invoice, a connection's for
    its revocation. Then it is released.
    """
    spool_dir: Path | None = None
    """Where answers of the token endpoint wait, encrypted, until their Secret can be written; absent: nowhere."""
    breaker_window: Duration = timedelta(seconds=60)
    """Calls of the last so many seconds tell whether an endpoint is left alone for one company."""
    breaker_failure_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of failed calls in that window that opens its circuit."""
    breaker_minimum_calls: Annotated[int, Field(ge=1, le=10_000)] = 5
    """With fewer calls in the window it stays closed."""
    breaker_open_time: Duration = timedelta(seconds=30)
    """How long it is open the first time, plus jitter; doubled each time after, up to 5 min."""
    log_level: Annotated[str, Field(pattern=r"(?i)^(debug|info|warning|error)$")] = "info"

    @field_validator("listen", "webhook_listen")
    @classmethod
    def _has_port(cls, value: str | None) -> str | None:
        if value is None:
            return None
        _, _, port = value.rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{value!r} is no address: write host:port, such as 127.0.0.1:8080 or :8080")
        return value

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.lease_duration < timedelta(seconds=2):
            raise ValueError("lease-duration must be at least 2s")
        if self.drift_interval < timedelta(seconds=1):
            raise ValueError("drift-interval must be at least 1s")
        if min(self.breaker_window, self.breaker_open_time) < timedelta(seconds=1):
            raise ValueError("breaker-window and breaker-open-time must be at least 1s")
        return self

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host (empty: all interfaces) and port."""
        return _address(self.listen)

    @property
    def webhook_address(self) -> tuple[str, int] | None:
        """The same for webhooks; None: they are off."""
        return _address(self.webhook_listen) if self.webhook_listen else None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def operator_settings(**given: Any) -> OperatorSettings:
    """The settings from flags (`given`, None = not given), else the environment, else the defaults.

    Raises pydantic's `ValidationError`.
    """
    return OperatorSettings(**{name: value for name, value in given.items() if value is not None})
