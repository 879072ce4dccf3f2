"""Audit lines: who did what to which grant, with what outcome. Never a token.

Logger `qbsync.audit`; the fields are passed as `extra` and are a stable schema.
"""

import logging
from datetime import timedelta

from qbsync.tokens.spec import Place

logger = logging.getLogger("qbsync.audit")


def record(
    spec: Place,
    *,
    who: str,
    action: str,
    outcome: str,
    trigger: str | None = None,
    sequence: int | None = None,
    key_id: str | None = None,
    intuit_tid: str | None = None,
    duration: timedelta | None = None,
    stored_in: timedelta | None = None,
    detail: str | None = None,
) -> None:
    """Write one line; `stored_in` is the time from the provider's answer to the stored envelope.

    `who`: the process that did it, as it also stands in the intent on the Secret.
    """
    fields = {
        "audit": True,
        "who": who,
        "action": action,
        "outcome": outcome,
        "namespace": spec.namespace,
        "connection": spec.name,
        "uid": spec.uid,
        "realm": spec.realm,
        "trigger": trigger,
        "sequence": sequence,
        "key_id": key_id,
        "intuit_tid": intuit_tid,
        "duration_ms": _milliseconds(duration),
        "stored_ms": _milliseconds(stored_in),
        "detail": detail,
    }
    present = {key: value for key, value in fields.items() if value is not None}
    logger.info("%s %s/%s: %s", action, spec.namespace, spec.name, outcome, extra=present)


def _milliseconds(duration: timedelta | None) -> float | None:
    return round(duration.total_seconds() * 1000, 3) if duration is not None else None
