"""One DocNumber, one object at a time."""

from qbsync.api.meta import Kind
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import Snapshot
from qbsync.invoices.claims import Claims


def snapshot(name: str, created: str = "2026-11-23T09:00:00Z", *, recorded: bool = False) -> Snapshot:
    body = {"metadata": {"creationTimestamp": created}, "status": {"quickbooksId": "7"} if recorded else {}}
    key = Key(Kind.INVOICE, "ns", name, f"uid-{name}")
    return Snapshot(key, Company("ns", "acme"), body, heard_at=0.0, inherited=False)


A, B = snapshot("a"), snapshot("b")


def test_the_first_by_age_then_name_gets_the_number() -> None:
    claims = Claims()
    older = snapshot("z", "2026-11-22T09:00:00Z")
    assert not claims.claim("INV-1", A.key, [A, B, older])
    assert claims.claim("INV-1", older.key, [A, B, older])


def test_whoever_waits_is_woken_by_the_release_and_may_go_on() -> None:
    claims = Claims()
    assert claims.claim("INV-1", A.key, [A, B])
    assert not claims.claim("INV-1", B.key, [A, B])
    assert claims.release("INV-1", A.key) == [B.key]
    assert claims.claim("INV-1", B.key, [B])
    assert claims.release("INV-1", B.key) == []
    assert claims.claim("INV-1", A.key, [A])


def test_a_holder_that_is_gone_still_holds_until_its_outcome_is_settled() -> None:
    claims = Claims()
    assert claims.claim("INV-1", A.key, [A])
    assert not claims.claim("INV-1", B.key, [B])
    assert claims.claim("INV-1", A.key, [])
    assert claims.release("INV-1", A.key) == [B.key]


def test_nobody_releases_what_another_holds() -> None:
    claims = Claims()
    assert claims.claim("INV-1", A.key, [A])
    assert claims.release("INV-1", B.key) == []
    assert not claims.claim("INV-1", B.key, [B])


def test_an_object_with_a_recorded_invoice_comes_first() -> None:
    claims = Claims()
    recorded = snapshot("z", recorded=True)
    assert not claims.claim("INV-1", A.key, [A, recorded])
    assert claims.claim("INV-1", recorded.key, [A, recorded])
