"""The intent: written, read, watched, counted."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from qbsync.tokens import claim
from qbsync.tokens.claim import Intent, LockWatch
from qbsync.tokens.grant import Grant, ImportMemory
from qbsync.tokens.spec import KeeperSettings, default_secret_name, label_value

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
GRANT = Grant(SecretStr("RT"), 5, "uid", ImportMemory(b""), NOW, claim=7)
LOCK = timedelta(seconds=180)


def _intent(nonce: str = "n", number: int = 1) -> Intent:
    return Intent("other", nonce, 5, number, "then")


def test_round_trip() -> None:
    intent = claim.claim(GRANT, None, holder="me", now=NOW)
    assert claim.parse(intent.dump()) == intent
    assert (intent.holder, intent.sequence, intent.claim) == ("me", 5, 8)
    assert "RT" not in intent.dump().replace("START", "")


def test_claims_are_counted_over_grant_and_standing_intent() -> None:
    assert claim.claim(GRANT, _intent(number=20), holder="me", now=NOW).claim == 21
    assert claim.claim(GRANT, _intent(number=3), holder="me", now=NOW).claim == 8


@pytest.mark.parametrize("text", [None, ""])
def test_no_intent(text: str | None) -> None:
    assert claim.parse(text) is None


@pytest.mark.parametrize("text", ["x", "{}", "[]", '{"holder":1}', "null"])
def test_an_unreadable_one_stands_for_itself(text: str) -> None:
    intent = claim.parse(text)
    assert intent is not None
    assert intent == claim.parse(text)
    assert intent.holder == ""


def test_a_lock_is_abandoned_only_when_seen_unchanged_long_enough() -> None:
    watch = LockWatch()
    assert not watch.abandoned(_intent(), monotonic=1000.0, patience=LOCK)
    assert not watch.abandoned(_intent(), monotonic=1179.9, patience=LOCK)
    assert watch.abandoned(_intent(), monotonic=1180.0, patience=LOCK)
    assert not watch.abandoned(_intent("another"), monotonic=1181.0, patience=LOCK)
    assert not watch.abandoned(_intent(), monotonic=1400.0, patience=LOCK)


@pytest.mark.parametrize(("now", "inside"), [(100.0, True), (110.0, True), (110.1, False)])
def test_the_fence(now: float, inside: bool) -> None:
    assert claim.within_fence(claimed=100.0, monotonic=now, limit=timedelta(seconds=10)) is inside


def test_figures_of_the_protocol() -> None:
    settings = KeeperSettings()
    assert settings.lock == timedelta(seconds=180)
    assert settings.claim_limit == timedelta(seconds=10)
    scaled = KeeperSettings(token_timeout=timedelta(seconds=2), server_timeout=timedelta(seconds=3))
    assert (scaled.lock, scaled.claim_limit) == (timedelta(seconds=5), timedelta(seconds=1))


@pytest.mark.parametrize("length", [1, 200, 238, 239, 240, 253])
def test_the_default_name_fits(length: int) -> None:
    name = default_secret_name("a" * length)
    assert len(name) <= 253
    assert name.endswith("-qbsync-tokens")
    assert name.startswith("a" * min(length, 200))
    assert default_secret_name("a" * 252 + "b") != default_secret_name("a" * 253)


def test_label_values_fit() -> None:
    assert label_value("acme") == "acme"
    assert len(label_value("a.b" * 60)) <= 63
    assert label_value("a" * 100) != label_value("a" * 101)
