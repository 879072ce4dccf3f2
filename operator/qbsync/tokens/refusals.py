"""A company that refuses us at the door: the grant is refreshed, and yet QuickBooks lets nobody in with it. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from qbsync.api.conditions import ConditionType, ConnectionReason, find
from qbsync.api.connection import QuickBooksConnectionSpec, QuickBooksConnectionStatus
from qbsync.quickbooks.errors import AccessLost, QuickBooksError, Unauthorized, WrongRealm
from qbsync.tokens.status import Verdict

REFUSED: Final = (WrongRealm, AccessLost, Unauthorized)
"""What a refusal looks like; everything else says nothing about the grant."""

REASONS: Final[Mapping[type[QuickBooksError], ConnectionReason]] = MappingProxyType(
    {
        WrongRealm: ConnectionReason.REALM_MISMATCH,
        AccessLost: ConnectionReason.ACCESS_LOST,
        Unauthorized: ConnectionReason.REAUTHORIZATION_REQUIRED,
    }
)


def verdict(
    error: QuickBooksError, spec: QuickBooksConnectionSpec, status: QuickBooksConnectionStatus
) -> Verdict:
    """What Ready says of a refusal; `status` knows of one that an earlier process met."""
    reason = REASONS.get(type(error))
    if reason is None:
        ready = find(status.conditions, ConditionType.READY)
        return Verdict(
            ConnectionReason(ready.reason) if ready is not None else ConnectionReason.ACCESS_LOST, str(error)
        )
    advice = _compare(spec) if reason is ConnectionReason.REALM_MISMATCH else ""
    return Verdict(reason, f"{error}{advice}")


def _compare(spec: QuickBooksConnectionSpec) -> str:
    return (
        f". See that spec.realmId {spec.realm_id} is the company that was connected, and that Secret "
        f"{spec.client_secret_ref.name} holds the keys of environment {spec.environment}: "
        "sandbox keys open no production company, nor the reverse"
    )
