"""Environment and flags, as one typed object."""

from datetime import timedelta
from enum import StrEnum
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
    operator_namespace: str | None = None
    """Where the Lease lives; its Secrets are closed to connections."""
    no_takeover_grace: bool = False
    """Create at once after another process died, at the risk of its last requests still arriving."""
    instance: str | None = None
    """Take care only of objects labelled qbsync.dev/instance with this name."""
    namespaces: Names = ()
    """Watch only these namespaces; empty: all."""
    invoice_events: InvoiceEvents = InvoiceEvents.WARNINGS
    log_level: Annotated[str, Field(pattern=r"(?i)^(debug|info|warning|error)$")] = "info"

    @field_validator("listen")
    @classmethod
    def _has_port(cls, value: str) -> str:
        _, _, port = value.rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{value!r} is no address: write host:port, such as 127.0.0.1:8080 or :8080")
        return value

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.lease_duration < timedelta(seconds=2):
            raise ValueError("lease-duration must be at least 2s")
        return self

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host (empty: all interfaces) and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def operator_settings(**given: Any) -> OperatorSettings:
    """The settings from flags (`given`, None = not given), else the environment, else the defaults.

    Raises pydantic's `ValidationError`.
    """
    return OperatorSettings(**{name: value for name, value in given.items() if value is not None})
