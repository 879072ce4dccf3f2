"""When what is due: the figures of the protocol."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from qbsync.quickbooks.oauth import QUICKBOOKS_PRODUCTION
from qbsync.tokens import schedule
from qbsync.tokens.grant import Grant, ImportMemory
from qbsync.tokens.schedule import Rejection

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PROBING = QUICKBOOKS_PRODUCTION.probing
HALF_AN_HOUR = timedelta(minutes=30)
minutes = st.integers(1, 10_000).map(lambda count: timedelta(minutes=count))


def _grant(lifetime: timedelta, jitter: float = 0.0) -> Grant:
    return Grant(
        SecretStr("RT"),
        1,
        "uid",
        ImportMemory(b""),
        NOW,
        access_token=SecretStr("AT"),
        access_issued_at=NOW,
        access_expires_at=NOW + lifetime,
        jitter=jitter,
    )


@pytest.mark.parametrize(
    ("lifetime", "before", "jitter", "due"),
    [
        (60, 30, 0.0, 30),
        (60, 30, 1.0, 24),
        (60, 10, 0.5, 47),
        (60, 60, 0.0, 20),
        (60, 600, 0.0, 20),
        (60, 59, 1.0, 1),
        (1, 30, 0.0, 1 / 3),
    ],
)
def test_next_refresh(lifetime: float, before: float, jitter: float, due: float) -> None:
    grant = _grant(timedelta(minutes=lifetime), jitter)
    found = schedule.next_refresh(grant, timedelta(minutes=before))
    assert found is not None
    assert abs(found - (NOW + timedelta(minutes=due))) < timedelta(seconds=1)


def test_no_access_token_is_due_at_once() -> None:
    assert schedule.next_refresh(replace(_grant(HALF_AN_HOUR), access_token=None), HALF_AN_HOUR) is None
    assert schedule.next_refresh(_grant(timedelta()), HALF_AN_HOUR) is None


@given(minutes, minutes, st.floats(0, 1))
def test_always_after_issue_and_before_expiry(lifetime: timedelta, before: timedelta, jitter: float) -> None:
    due = schedule.next_refresh(_grant(lifetime, jitter), before)
    assert due is not None
    assert (
        NOW + min(timedelta(seconds=60), lifetime / 3)
        <= due
        <= NOW + lifetime - min(lifetime / 2, before) / 2
    )


@given(st.floats(0, 1))
def test_jitter_is_at_most_a_tenth_of_the_lifetime_and_only_earlier(jitter: float) -> None:
    steady = schedule.next_refresh(_grant(timedelta(hours=1)), HALF_AN_HOUR)
    moved = schedule.next_refresh(_grant(timedelta(hours=1), jitter), HALF_AN_HOUR)
    assert steady is not None
    assert moved is not None
    assert timedelta() <= steady - moved <= timedelta(minutes=6)


@pytest.mark.parametrize(("left", "hold"), [(3600, 120), (120, 120), (60, 60), (30, 30), (10, 30), (0, 30)])
def test_hold_after_an_unknown_outcome(left: float, hold: float) -> None:
    found = schedule.unknown_hold(server_timeout=timedelta(seconds=120), access_left=timedelta(seconds=left))
    assert found == timedelta(seconds=hold)


def test_probing_ten_minutes_then_six_hours_then_days() -> None:
    delays = [PROBING.delay(count).total_seconds() / 60 for count in range(1, 11)]
    assert delays == [10, 60, 60, 60, 60, 60, 60, 1440, 1440, 1440]


def test_a_refused_token_is_not_tried_after_its_end() -> None:
    rejection = Rejection(1, 2, NOW, "client")
    assert schedule.next_probe(rejection, None, probing=PROBING) == NOW + timedelta(hours=1)
    assert schedule.next_probe(rejection, NOW + timedelta(hours=2), probing=PROBING) == NOW + timedelta(
        hours=1
    )
    assert schedule.next_probe(rejection, NOW + timedelta(minutes=59), probing=PROBING) is None


@pytest.mark.parametrize(("count", "final"), [(1, False), (2, True), (9, True)])
def test_one_refusal_is_not_final(count: int, final: bool) -> None:
    assert Rejection(1, count, NOW, "").final(PROBING) is final


@pytest.mark.parametrize(("left", "longest"), [(1800, 300), (300, 100), (30, 10), (2, 1), (0, 300)])
def test_a_retry_comes_inside_what_is_left_of_the_access_token(left: float, longest: float) -> None:
    rng = random.Random(1)
    delays = [
        schedule.retry_delay(20, access_left=timedelta(seconds=left), rng=rng).total_seconds()
        for _ in range(200)
    ]
    assert max(delays) <= longest
    assert max(delays) > longest * 0.9
    assert min(delays) >= 0.2


def test_expiry_is_announced_again_at_seven_days_and_at_one() -> None:
    grant = replace(_grant(HALF_AN_HOUR), refresh_hard_expires_at=NOW + timedelta(days=30))
    said = [schedule.expires_soon(grant, NOW + timedelta(hours=hours)) for hours in range(24 * 30)]
    told = list(dict.fromkeys(said))
    assert len(told) == 3
    assert ["within 30 days" in (text or "") for text in told] == [True, False, False]
    assert "within 1 day)" in (told[-1] or "")


def test_expiry_is_announced_thirty_days_before() -> None:
    grant = replace(
        _grant(HALF_AN_HOUR),
        refresh_expires_at=NOW + timedelta(days=101),
        refresh_hard_expires_at=NOW + timedelta(days=400),
    )
    assert schedule.expires_soon(grant, NOW) is None
    assert "unless a refresh" in (schedule.expires_soon(grant, NOW + timedelta(days=75)) or "")
    hard = replace(grant, refresh_hard_expires_at=NOW + timedelta(days=20))
    assert "reconnect" in (schedule.expires_soon(hard, NOW) or "")
    assert schedule.expires_soon(_grant(HALF_AN_HOUR), NOW) is None
