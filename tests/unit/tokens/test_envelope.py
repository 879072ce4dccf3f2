"""The stored form: opens for its owner, and for nobody and nothing else."""

import base64
import os
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from qbsync.tokens import envelope
from qbsync.tokens import grant as grants
from qbsync.tokens.envelope import EnvelopeBinding
from qbsync.tokens.errors import DamagedEnvelope, WrongKey
from qbsync.tokens.grant import Grant, ImportMemory
from qbsync.tokens.keyring import Keyring

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
KEYRING = Keyring.from_environment({"ENCRYPTION_MASTER_KEY": base64.b64encode(b"k" * 32).decode()})
OTHER = Keyring.from_environment({"ENCRYPTION_MASTER_KEY": base64.b64encode(b"o" * 32).decode()})
BINDING = EnvelopeBinding("billing", "acme", "9341453908123456", "Sandbox", "oauth.platform.intuit.com")
GRANT = Grant(
    refresh_token=SecretStr("RT1-39-H3-1785429816rcysb9dns1ofreknypnm"),
    sequence=17,
    uid="9b0c…",
    memory=ImportMemory(b"m" * 32, ("a" * 32, "b" * 32)),
    obtained_at=NOW,
    access_token=SecretStr("eyJ" + "x" * 900),
    access_issued_at=NOW,
    access_expires_at=NOW + timedelta(hours=1),
    refresh_expires_at=NOW + timedelta(days=101),
    refresh_hard_expires_at=NOW + timedelta(days=1800),
    refreshed_at=NOW,
    rotated_at=NOW - timedelta(hours=3),
    claim=23,
    jitter=0.73,
    scrub=True,
    standby=Grant(SecretStr("RT-standby"), 3, "u", ImportMemory(b"n" * 32), NOW),
)
SEALED = envelope.seal(GRANT, binding=BINDING, keyring=KEYRING)


def test_what_was_sealed_opens() -> None:
    assert envelope.open(SEALED, binding=BINDING, keyring=KEYRING) == GRANT


def test_the_form_is_the_documented_one() -> None:
    version, kid, salt, nonce, sealed = SEALED.split(".")
    assert (version, kid) == ("v1", KEYRING.primary.kid)
    assert [len(base64.urlsafe_b64decode(part + "==")) for part in (salt, nonce)] == [16, 12]
    assert "=" not in salt + nonce + sealed
    assert envelope.kid_of(SEALED) == kid
    assert envelope.kid_of("nonsense") == ""


def test_no_two_writes_share_salt_or_nonce() -> None:
    made = [envelope.seal(GRANT, binding=BINDING, keyring=KEYRING).split(".") for _ in range(50)]
    assert len({parts[2] for parts in made}) == len({parts[3] for parts in made}) == 50


def test_no_token_in_the_text() -> None:
    assert "RT1" not in SEALED
    assert "x" * 20 not in SEALED


@given(st.integers(min_value=0, max_value=len(SEALED) - 1), st.integers(min_value=0, max_value=6))
def test_any_flipped_bit_closes_it(position: int, bit: int) -> None:
    flipped = SEALED[:position] + chr(ord(SEALED[position]) ^ (1 << bit)) + SEALED[position + 1 :]
    with pytest.raises((DamagedEnvelope, WrongKey)):
        envelope.open(flipped, binding=BINDING, keyring=KEYRING)


@given(st.integers(min_value=0, max_value=len(SEALED) - 1), st.integers(min_value=1, max_value=40))
def test_any_cut_closes_it(start: int, length: int) -> None:
    with pytest.raises((DamagedEnvelope, WrongKey)):
        envelope.open(SEALED[:start] + SEALED[start + length :], binding=BINDING, keyring=KEYRING)


@given(st.text(max_size=200))
def test_any_other_text_is_damaged(text: str) -> None:
    with pytest.raises((DamagedEnvelope, WrongKey)):
        envelope.open(text, binding=BINDING, keyring=KEYRING)


@given(st.sampled_from([field.name for field in fields(EnvelopeBinding)]), st.text(max_size=30))
def test_any_other_binding_closes_it(field: str, value: str) -> None:
    other = replace(BINDING, **{field: value})
    if other == BINDING:
        return
    with pytest.raises(DamagedEnvelope):
        envelope.open(SEALED, binding=other, keyring=KEYRING)


def test_bindings_that_read_alike_when_joined_differ() -> None:
    other = replace(BINDING, namespace="billing/acme", name="")
    with pytest.raises(DamagedEnvelope):
        envelope.open(SEALED, binding=other, keyring=KEYRING)


def test_a_wrong_key_names_both() -> None:
    with pytest.raises(WrongKey) as wrong:
        envelope.open(SEALED, binding=BINDING, keyring=OTHER)
    assert wrong.value.sealed_with == KEYRING.primary.kid
    assert wrong.value.available == OTHER.kids
    assert KEYRING.primary.kid in str(wrong.value)
    assert OTHER.primary.kid in str(wrong.value)


def test_a_forged_key_id_does_not_help() -> None:
    forged = SEALED.replace(KEYRING.primary.kid, OTHER.primary.kid)
    both = Keyring([*OTHER._keys, *KEYRING._keys])
    with pytest.raises(DamagedEnvelope):
        envelope.open(forged, binding=BINDING, keyring=both)


def test_every_key_of_the_ring_opens_and_the_first_seals() -> None:
    both = Keyring([OTHER.primary, KEYRING.primary])
    assert envelope.open(SEALED, binding=BINDING, keyring=both) == GRANT
    assert envelope.kid_of(envelope.seal(GRANT, binding=BINDING, keyring=both)) == OTHER.primary.kid


def test_nothing_is_shown() -> None:
    shown = f"{GRANT!r} {GRANT} {GRANT.memory!r}"
    for secret in ("RT1-39", "RT-standby", "eyJ", "aaaa", (b"m" * 32).hex(), str(b"m" * 4)[2:-1]):
        assert secret not in shown


times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
tokens = st.text(min_size=1, max_size=60).map(SecretStr)


@given(
    st.builds(
        Grant,
        refresh_token=tokens,
        sequence=st.integers(0, 10**9),
        uid=st.text(max_size=40),
        memory=st.builds(ImportMemory, st.binary(min_size=32, max_size=32), st.tuples(st.text(max_size=8))),
        obtained_at=times,
        access_token=st.none() | tokens,
        access_expires_at=st.none() | times,
        refresh_expires_at=st.none() | times,
        jitter=st.floats(0, 1),
        claim=st.integers(0, 10**9),
    )
)
def test_plaintext_round_trip(grant: Grant) -> None:
    assert grants.load(grants.dump(grant)) == grant


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format":2}', b'{"format":1,"sequence":1}', b"\xff"])
def test_unreadable_plaintext_says_nothing_of_its_content(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a grant that this release can read"):
        grants.load(text)


def test_memory_of_imports() -> None:
    memory = ImportMemory(os.urandom(32))
    token = SecretStr("RT-imported")
    known = memory.remember(token)
    assert not memory.knows(token)
    assert known.knows(token)
    assert known.remember(token) is known
    assert not ImportMemory(os.urandom(32), known.hashes).knows(token)
    crowded = known
    for number in range(64):
        crowded = crowded.remember(SecretStr(str(number)))
    assert len(crowded.hashes) == 64
    assert not crowded.knows(token)
