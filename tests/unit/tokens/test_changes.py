"""What has to stand in the Secret after an answer, whatever stands there by then."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from qbsync.kube.secrets import Secret
from qbsync.tokens import changes
from qbsync.tokens.claim import Intent
from qbsync.tokens.errors import DamagedEnvelope, WrongKey
from qbsync.tokens.grant import Grant, ImportMemory
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.store import Draft, Stored

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SECRET = Secret("billing", "tokens")
BEFORE = Grant(SecretStr("RT-5"), 5, "uid", ImportMemory(b""), NOW, access_token=SecretStr("AT-5"), claim=7)
MINE = Intent("me", "mine", 5, 8, "")
OTHERS = Intent("other", "theirs", 5, 9, "")
FRESH = replace(BEFORE, refresh_token=SecretStr("RT-6"), access_token=SecretStr("AT-6"), claim=8)
CLAIMED = Stored(SECRET, BEFORE, "kid", MINE)
REFUSED = Rejection(5, 1, NOW, "client")


def _deposit(stored: Stored, *, floor: int = 0, gone: bool = False) -> Draft | None:
    return changes.deposit(stored, FRESH, mine=MINE, floor=floor, gone=gone)


def _refuse(stored: Stored, *, gone: bool = False) -> Draft | None:
    return changes.refuse(stored, BEFORE, REFUSED, mine=MINE, gone=gone)


def test_unchanged_since_the_claim() -> None:
    assert _deposit(CLAIMED) == Draft(replace(FRESH, sequence=6))


def test_a_rolled_back_sequence_goes_on_above_what_was_known() -> None:
    assert _deposit(CLAIMED, floor=11) == Draft(replace(FRESH, sequence=12))


def test_somebody_else_claimed_meanwhile_their_lock_stays() -> None:
    assert _deposit(replace(CLAIMED, intent=OTHERS)) == Draft(replace(FRESH, sequence=6), intent=OTHERS)


def test_an_earlier_answer_was_stored_late() -> None:
    earlier = replace(BEFORE, sequence=6, claim=6)
    assert _deposit(replace(CLAIMED, grant=earlier)) == Draft(replace(FRESH, sequence=7))


def test_a_later_answer_stays() -> None:
    later = replace(BEFORE, sequence=6, claim=9)
    assert _deposit(Stored(SECRET, later, "kid", None)) is None
    assert _deposit(Stored(SECRET, later, "kid", OTHERS)) is None
    assert _deposit(Stored(SECRET, later, "kid", MINE)) == Draft(later)


def test_already_stored() -> None:
    assert _deposit(Stored(SECRET, replace(FRESH, sequence=6), "kid", None)) is None


def test_same_claim_number_other_tokens_is_not_ours() -> None:
    stranger = replace(FRESH, access_token=SecretStr("AT-x"), sequence=6)
    assert _deposit(Stored(SECRET, stranger, "kid", None)) == Draft(replace(FRESH, sequence=7))


def test_deleted_meanwhile() -> None:
    assert _deposit(Stored()) == Draft(replace(FRESH, sequence=6))
    assert _deposit(Stored(), gone=True) is None


def test_damaged_meanwhile_is_overwritten_another_key_is_not() -> None:
    assert _deposit(Stored(SECRET, unopened=DamagedEnvelope("x"))) == Draft(replace(FRESH, sequence=6))
    with pytest.raises(WrongKey):
        _deposit(Stored(SECRET, unopened=WrongKey(sealed_with="a", available=("b",))))


def test_a_refusal_is_counted_beside_untouched_tokens() -> None:
    assert _refuse(CLAIMED) == Draft(BEFORE, rejection=REFUSED)
    assert _refuse(replace(CLAIMED, intent=OTHERS)) == Draft(BEFORE, intent=OTHERS, rejection=REFUSED)
    assert _refuse(Stored(SECRET, BEFORE, "kid", None, REFUSED)) is None


def test_a_refusal_of_what_was_replaced_meanwhile_means_nothing() -> None:
    newer = replace(FRESH, sequence=6)
    assert _refuse(Stored(SECRET, newer, "kid", None)) is None
    assert _refuse(Stored(SECRET, newer, "kid", MINE)) == Draft(newer)


def test_a_refused_import_gives_way_to_what_stood_by() -> None:
    imported = replace(FRESH, sequence=5, standby=BEFORE, memory=ImportMemory(b"k", ("h",)))
    draft = _refuse(Stored(SECRET, imported, "kid", MINE))
    assert draft is not None
    assert draft.grant == replace(BEFORE, sequence=6, memory=imported.memory, claim=8)
    assert draft.rejection is None


def test_a_refusal_and_no_secret() -> None:
    assert _refuse(Stored()) == Draft(BEFORE, rejection=REFUSED)
    assert _refuse(Stored(), gone=True) is None
    assert _refuse(Stored(SECRET, unopened=DamagedEnvelope("x"))) is None


def test_what_a_dead_process_left_is_stored_like_an_answer() -> None:
    draft = changes.recover(CLAIMED, FRESH, mine=MINE)
    assert draft == Draft(grant=replace(FRESH, sequence=6))
    assert changes.recover(Stored(), FRESH, mine=MINE) == Draft(grant=replace(FRESH, sequence=6))
    stored = replace(CLAIMED, grant=replace(FRESH, sequence=6), intent=None)
    assert changes.recover(stored, FRESH, mine=MINE) is None, "it was stored right before the process died"


def test_what_a_dead_process_left_gives_way_to_what_was_stored_since() -> None:
    imported = replace(BEFORE, sequence=6, refresh_token=SecretStr("RT-of-a-person"))
    assert changes.recover(replace(CLAIMED, grant=imported), FRESH, mine=MINE) == Draft(grant=imported)
    later = replace(BEFORE, sequence=6, refresh_token=SecretStr("RT-7"), claim=9)
    assert changes.recover(replace(CLAIMED, grant=later, intent=None), FRESH, mine=MINE) is None


def test_what_a_dead_process_left_ends_a_refusal_of_the_older_token() -> None:
    draft = changes.recover(replace(CLAIMED, rejection=REFUSED, intent=None), FRESH, mine=MINE)
    assert draft == Draft(grant=replace(FRESH, sequence=6))
