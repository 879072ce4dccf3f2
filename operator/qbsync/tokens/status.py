"""From a grant's health to a connection's status: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from qbsync.api.conditions import (
    Condition,
    ConditionType,
    ConnectionReason,
    ReadyStatus,
    set_condition,
    summarize,
    suspended,
)
from qbsync.api.connection import CircuitState as ReportedState
from qbsync.api.connection import (
    CircuitStatus,
    CompanyStatus,
    EncryptionStatus,
    InvoiceCounters,
    QuickBooksConnectionStatus,
)
from qbsync.api.connection import RefreshRecord as HistoryRecord
from qbsync.api.meta import Kind
from qbsync.engine.breaker import Circuit
from qbsync.tokens.health import Authorized, GrantHealth, RefreshRecord

HISTORY_LENGTH = 20
_AUTHORIZED = {True: ReadyStatus.TRUE, False: ReadyStatus.FALSE, None: ReadyStatus.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Ready says."""

    reason: ConnectionReason
    message: str


@dataclass(frozen=True, slots=True)
class Occasion:
    """When, and about which version of the connection, something is reported."""

    now: datetime
    generation: int
    suspended: bool
    handled_request: str | None
    """The request that has been carried out by now; None: none new."""


def connection_status(
    previous: QuickBooksConnectionStatus,
    occasion: Occasion,
    *,
    verdict: Verdict,
    health: GrantHealth | None,
    company: CompanyStatus | None,
    counters: InvoiceCounters | None,
    circuit: Circuit,
) -> QuickBooksConnectionStatus:
    """The whole status; `health` None where the grant was not even looked at. `circuit`: the worst one."""
    conditions = summarize(
        previous=previous.conditions,
        kind=Kind.CONNECTION,
        reason=verdict.reason,
        message=verdict.message,
        generation=occasion.generation,
        now=occasion.now,
    )
    if health is not None:
        conditions = set_condition(conditions, _authorized(health.authorized, occasion))
    if occasion.suspended:
        conditions = suspended(conditions, generation=occasion.generation)
    status = previous.model_copy(
        update={
            "observed_generation": occasion.generation,
            "conditions": conditions,
            "company": company,
            "invoices": counters,
            "circuit": CircuitStatus(
                state=ReportedState(circuit.state), opened_at=circuit.opened_at, retry_at=circuit.retry_at
            ),
            "last_handled_request": occasion.handled_request or previous.last_handled_request,
        }
    )
    return status if health is None else _with_health(status, health)


def _with_health(status: QuickBooksConnectionStatus, health: GrantHealth) -> QuickBooksConnectionStatus:
    encryption = status.encryption
    if health.key_id is not None or health.sequence is not None:
        encryption = EncryptionStatus(key_id=health.key_id, sequence=health.sequence)
    return status.model_copy(
        update={
            "access_token_expires_at": health.access_expires_at,
            "refresh_token_expires_at": health.refresh_expires_at,
            "refresh_token_hard_expires_at": health.refresh_hard_expires_at,
            "last_refresh_time": health.last_refresh or status.last_refresh_time,
            "next_refresh_time": health.next_refresh,
            "consecutive_refresh_failures": health.consecutive_failures,
            "refresh_history": _history(status.refresh_history, health.records),
            "encryption": encryption,
        }
    )


def _history(
    earlier: tuple[HistoryRecord, ...], records: Iterable[RefreshRecord]
) -> tuple[HistoryRecord, ...]:
    newest_first = [
        HistoryRecord(
            time=record.time,
            outcome=record.outcome,
            trigger=record.trigger,
            duration_ms=round(record.duration.total_seconds() * 1000),
            error=record.error,
            intuit_tid=record.intuit_tid,
        )
        for record in records
    ][::-1]
    return (*newest_first, *earlier)[:HISTORY_LENGTH]


def _authorized(authorized: Authorized, occasion: Occasion) -> Condition:
    return Condition(
        type=ConditionType.AUTHORIZED,
        status=_AUTHORIZED[authorized.status],
        reason=authorized.reason,
        message=authorized.message,
        last_transition_time=occasion.now,
        observed_generation=occasion.generation,
    )
