"""requestids, owner marks, content hashes."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from qbsync.invoices.identity import (
    content_hash,
    docnumber_claim,
    find_mark,
    owner_mark,
    requestid,
    with_mark,
)


def test_a_requestid_fits_and_moves_with_every_part() -> None:
    base = requestid(uid="u", recreate="", operation="create", n=0)
    others = {
        requestid(uid="v", recreate="", operation="create", n=0),
        requestid(uid="u", recreate="1", operation="create", n=0),
        requestid(uid="u", recreate="", operation="void", n=0),
        requestid(uid="u", recreate="", operation="create", n=1),
    }
    assert len(base) == 32
    assert base not in others
    assert len(others) == 4
    assert base == requestid(uid="u", recreate="", operation="create", n=0)


def test_a_mark_follows_the_source_and_survives_a_new_uid() -> None:
    before = owner_mark(namespace="a", name="b", uid="1", source_system="hubspot", source_id="9")
    after = owner_mark(namespace="x", name="y", uid="2", source_system="hubspot", source_id="9")
    unnamed = owner_mark(namespace="a", name="b", uid="1", source_system=None, source_id=None)
    assert before.same_owner(after)
    assert before.uid != after.uid
    assert not before.same_owner(unnamed)


@given(note=st.none() | st.text(max_size=200))
def test_a_mark_is_found_again_in_any_note(note: str | None) -> None:
    mark = owner_mark(namespace="a", name="b", uid="1", source_system=None, source_id=None)
    marked = with_mark(note, mark)
    assert find_mark(marked) == mark
    assert len(with_mark("n" * 3960, mark)) <= 4000
    assert note is None or marked.startswith(note)


def test_notes_without_a_mark_have_none() -> None:
    assert find_mark(None) is None
    assert find_mark("paid by qbsync k:1 u:2") is None


def test_a_content_hash_moves_with_content_and_not_with_spelling() -> None:
    three = content_hash({"quantity": Decimal("3"), "note": None})
    assert three == content_hash({"quantity": Decimal("3.00")})
    assert three != content_hash({"quantity": Decimal("3.01")})
    assert content_hash({"n": Decimal("300")}) == content_hash({"n": Decimal("3E+2")})


def test_two_spellings_of_a_number_are_one_claim() -> None:
    assert docnumber_claim(" Inv-1 ") == docnumber_claim("INV-1")
