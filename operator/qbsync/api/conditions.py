"""Conditions: what they look like, and how a reason becomes Ready, Reconciling and Stalled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from qbsync.api.base import StatusModel, Timestamp
from qbsync.api.meta import Kind
from qbsync.api.reasons import (
    REASONS,
    ConnectionReason,
    InvoiceReason,
    ReadyStatus,
    ReasonRow,
    Retry,
)

__all__ = [
    "REASONS",
    "SUSPENDED",
    "Condition",
    "ConditionType",
    "ConnectionReason",
    "InvoiceReason",
    "ReadyStatus",
    "ReasonRow",
    "Retry",
    "find",
    "set_condition",
    "summarize",
    "suspended",
]

MESSAGE_LENGTH: Final = 1024
SUSPENDED: Final = "suspended: "
"""What the message of a suspended object's Ready begins with."""


class ConditionType(StrEnum):
    """The conditions that qbsync sets."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    AUTHORIZED = "Authorized"
    DRIFTED = "Drifted"
    TOTAL_MISMATCH = "TotalMismatch"


class Condition(StatusModel):
    """One observation about the object, as Kubernetes' API conventions define it."""

    type: Annotated[str, Field(min_length=1, max_length=316, pattern=r"^[A-Za-z0-9][-A-Za-z0-9_./]*$")]
    """What is observed: Ready, Reconciling, Stalled, and others of the kind."""
    status: ReadyStatus
    """True, False or Unknown."""
    reason: Annotated[
        str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """Why, in one CamelCase word; docs/reference/reasons.md lists them."""
    message: Annotated[str, Field(max_length=32768)]
    """The same for people, and what to do about it."""
    last_transition_time: Timestamp
    """When the status last became what it is; a new reason or message does not move it."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The metadata.generation that this was observed on."""


def find(conditions: Sequence[Condition], type: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type), None)


def set_condition(previous: Sequence[Condition], condition: Condition) -> tuple[Condition, ...]:
    """`previous` with that condition in place of the one of its type, or added.

    `last_transition_time` is taken over from `previous` where the status is the same; the message is cut.
    """
    old = find(previous, condition.type)
    kept = old is not None and old.status == condition.status
    new = condition.model_copy(
        update={
            "message": _cut(condition.message),
            "last_transition_time": old.last_transition_time
            if old is not None and kept
            else condition.last_transition_time,
        }
    )
    if old is None:
        return (*previous, new)
    return tuple(new if other.type == new.type else other for other in previous)


def summarize(
    *,
    previous: Sequence[Condition],
    kind: Kind,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
    stalled: bool | None = None,
    ready: bool | None = None,
) -> tuple[Condition, ...]:
    """The conditions of an object that is in this state now.

    Ready comes from the table; Reconciling and Stalled are there, and True, only while so (kstatus).
    Conditions of other types stay. `stalled=True` is for a wait that has become hopeless
    (`ConnectionNotFound` after 10 min): Ready stays as in the table, Stalled takes Reconciling's place.
    `ready` decides reasons that may be either (`Observed`).
    Raises `KeyError` for a reason that the kind does not have.
    """
    row = REASONS[kind, reason]
    state = _decide(row, stalled=stalled, ready=ready)

    def condition(type: ConditionType, status: ReadyStatus) -> Condition:
        return Condition(
            type=type,
            status=status,
            reason=reason,
            message=_cut(message),
            last_transition_time=now,
            observed_generation=generation,
        )

    result = set_condition(previous, condition(ConditionType.READY, state.ready))
    for type_, holds in (
        (ConditionType.RECONCILING, state.reconciling),
        (ConditionType.STALLED, state.stalled),
    ):
        if holds:
            result = set_condition(result, condition(type_, ReadyStatus.TRUE))
        else:
            result = tuple(other for other in result if other.type != type_)
    return result


def suspended(previous: Sequence[Condition], *, generation: int) -> tuple[Condition, ...]:
    """The conditions of a suspended object: as they were, Ready's message prefixed with `suspended:`.

    An object that never had a Ready gets none; doing it twice changes nothing.
    """
    ready = find(previous, ConditionType.READY)
    if ready is None:
        return tuple(previous)
    message = SUSPENDED + ready.message.removeprefix(SUSPENDED)
    marked = ready.model_copy(update={"message": message, "observed_generation": generation})
    return set_condition(previous, marked)


@dataclass(frozen=True, slots=True)
class _State:
    ready: ReadyStatus
    reconciling: bool
    stalled: bool


def _decide(row: ReasonRow, *, stalled: bool | None, ready: bool | None) -> _State:
    if ready is not None:
        return _State(
            ReadyStatus.TRUE if ready else ReadyStatus.FALSE, reconciling=False, stalled=bool(stalled)
        )
    if stalled is None or stalled == row.stalled:
        return _State(row.ready, row.reconciling, row.stalled)
    return _State(row.ready, reconciling=row.reconciling and not stalled, stalled=stalled)


def _cut(message: str) -> str:
    return message if len(message) <= MESSAGE_LENGTH else f"{message[: MESSAGE_LENGTH - 1]}…"
