"""States, callbacks and authorization Secrets."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from qbsync.kube.secrets import Secret
from qbsync.tokens import authorization
from qbsync.tokens.authorization import AUTHORIZED_AT, AuthorizationUnreadable, SentCodes
from qbsync.tokens.consent import CallbackRefused, Consent

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
WHOLE = {"code": b"c0de", "realmId": b"123", "redirectUri": b"https://example.com/cb"}


def address(consent: Consent, query: str = "code=c0de&realmId=123") -> str:
    return f"https://example.com/cb?{query}&state={consent.state}\n"


def test_a_callback_brings_code_and_company() -> None:
    consent = Consent(NOW)
    callback = consent.accept(address(consent), now=NOW + timedelta(minutes=9))
    assert (callback.code.get_secret_value(), callback.realm) == ("c0de", "123")
    assert consent.state not in repr(consent)
    assert "c0de" not in repr(callback)


def test_states_differ() -> None:
    assert len({Consent(NOW).state for _ in range(100)}) == 100


def test_a_state_is_good_once() -> None:
    consent = Consent(NOW)
    consent.accept(address(consent), now=NOW)
    with pytest.raises(CallbackRefused, match="used before"):
        consent.accept(address(consent), now=NOW)


def test_a_strangers_callback_is_refused_and_spoils_nothing() -> None:
    consent = Consent(NOW)
    for stranger in (address(Consent(NOW)), "/callback", "/callback?code=c0de&realmId=123&state="):
        with pytest.raises(CallbackRefused, match="does not belong"):
            consent.accept(stranger, now=NOW)
    assert consent.accept(address(consent), now=NOW).realm == "123"


@pytest.mark.parametrize(
    ("query", "after", "said"),
    [
        ("code=c0de&realmId=123", timedelta(minutes=10, seconds=1), "longer than 10 minutes"),
        ("error=access_denied", timedelta(), "did not consent"),
        ("error=server_error", timedelta(), "refused the consent"),
        ("code=c0de", timedelta(), "no realmId"),
    ],
)
def test_what_else_comes_back(query: str, after: timedelta, said: str) -> None:
    consent = Consent(NOW)
    with pytest.raises(CallbackRefused, match=said):
        consent.accept(address(consent, query), now=NOW + after)


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_every_key_is_needed(missing: str) -> None:
    data = {key: value for key, value in WHOLE.items() if key != missing}
    with pytest.raises(AuthorizationUnreadable, match=missing):
        authorization.parse(Secret("ns", "s", data=data))
    with pytest.raises(AuthorizationUnreadable, match=missing):
        authorization.parse(Secret("ns", "s", data={**WHOLE, missing: b"two\nlines"}))


@pytest.mark.parametrize(
    ("annotated", "created", "stale"),
    [
        ("2026-11-23T08:51:00Z", "", False),
        ("2026-11-23T08:49:00Z", "", True),
        ("2026-11-23T08:49:00Z", "2026-11-23T08:55:00Z", False),
        ("2026-11-23T08:55:00Z", "2026-11-22T08:55:00Z", False),
        ("2027-11-23T08:55:00Z", "2026-11-22T08:55:00Z", True),
        ("nonsense", "2026-11-22T08:55:00Z", True),
        ("", "", False),
    ],
)
def test_the_later_of_two_times_counts(annotated: str, created: str, stale: bool) -> None:
    secret = Secret("ns", "s", annotations={AUTHORIZED_AT: annotated}, created=created)
    assert authorization.is_stale(secret, now=NOW, lifetime=timedelta(minutes=10)) is stale


def test_sent_codes_are_remembered_and_not_shown() -> None:
    sent = SentCodes.parse(None)
    for number in range(20):
        sent = sent.remember(SecretStr(f"code-{number}"))
    again = SentCodes.parse(sent.dump())
    assert again == sent
    assert again.knows(SecretStr("code-19"))
    assert not again.knows(SecretStr("code-20"))
    assert "code-19" not in again.dump()
    assert len(again.hashes) == 16
    assert SentCodes.parse(None).salt != SentCodes.parse(None).salt


def test_long_names_fit() -> None:
    name = authorization.secret_name("x" * 253)
    assert len(name) <= 253
    assert name.endswith("-qbsync-authorization")
