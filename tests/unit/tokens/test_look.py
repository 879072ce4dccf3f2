"""What a process that has just begun knows of a connection by its status."""

from datetime import UTC, datetime

import pytest

from qbsync.api.connection import QuickBooksConnectionStatus
from qbsync.tokens.look import Memory

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def remembered(reason: str, message: str) -> Memory:
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-23T08:00:00Z",
    }
    return Memory.begin("uid", QuickBooksConnectionStatus.model_validate({"conditions": [ready]}), now=NOW)


@pytest.mark.parametrize("reason", ["RealmMismatch", "AccessLost", "ReauthorizationRequired"])
@pytest.mark.parametrize("prefix", ["", "suspended: "])
def test_a_refusal_is_asked_about_at_once_and_told_without_what_may_have_ended(
    reason: str, prefix: str
) -> None:
    memory = remembered(reason, f"{prefix}nobody is let in")
    assert str(memory.refused) == "nobody is let in"
    assert memory.probe_at == NOW


def test_what_says_nothing_of_the_company_is_not_remembered() -> None:
    assert remembered("StoreFailing", "no Secret can be written").refused is None
