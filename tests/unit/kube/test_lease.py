"""The rules of the Lease, without a server."""

from datetime import UTC, datetime, timedelta

from qbsync.api.meta import Kind
from qbsync.engine.grace import NO_GRACE, TakeoverGrace
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import Snapshot
from qbsync.kube.lease import LeaseRecord, LeaseTimes, RivalWatch, Takeover, claimed, released

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TIMES = LeaseTimes(timedelta(seconds=15))


def lease(holder: str, version: str = "1", transitions: int = 3) -> dict[str, object]:
    return {
        "metadata": {"name": "qbsync", "namespace": "ns", "resourceVersion": version},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "leaseTransitions": transitions,
            "acquireTime": "2026-11-23T08:00:00.000000Z",
        },
    }


def test_a_holder_gives_up_before_anybody_may_take_over() -> None:
    assert TIMES.renew_deadline == timedelta(seconds=10)
    assert TIMES.retry_period == timedelta(seconds=2)
    assert TIMES.renew_deadline < TIMES.duration


def test_a_rival_expires_only_by_our_own_watching() -> None:
    rival = RivalWatch()
    record = LeaseRecord.parse(lease("other"))
    assert not rival.expired(record, monotonic=1000.0)
    assert not rival.expired(record, monotonic=1014.9)
    assert rival.expired(record, monotonic=1015.0)


def test_a_rival_that_renews_lives_on() -> None:
    rival = RivalWatch()
    assert not rival.expired(LeaseRecord.parse(lease("other", "1")), monotonic=0.0)
    assert not rival.expired(LeaseRecord.parse(lease("other", "2")), monotonic=14.0)
    assert not rival.expired(LeaseRecord.parse(lease("other", "2")), monotonic=28.0)
    assert rival.expired(LeaseRecord.parse(lease("other", "2")), monotonic=29.0)


def test_a_claim_counts_the_transition_and_keeps_the_version_it_was_made_on() -> None:
    taken = claimed(lease("other"), identity="me", namespace="ns", name="qbsync", times=TIMES, now=NOW)
    assert taken["metadata"]["resourceVersion"] == "1"
    assert taken["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "leaseTransitions": 4,
        "acquireTime": "2026-11-23T09:00:00.000000Z",
        "renewTime": "2026-11-23T09:00:00.000000Z",
    }


def test_a_renewal_moves_the_renew_time_only() -> None:
    renewed = claimed(lease("me"), identity="me", namespace="ns", name="qbsync", times=TIMES, now=NOW)
    assert renewed["spec"]["leaseTransitions"] == 3
    assert renewed["spec"]["acquireTime"] == "2026-11-23T08:00:00.000000Z"


def test_a_released_lease_has_no_holder() -> None:
    assert LeaseRecord.parse(released(lease("me"), now=NOW)).holder == ""


def snapshot(*, inherited: bool) -> Snapshot:
    key = Key(Kind.INVOICE, "ns", "a", "u")
    return Snapshot(key, Company("ns", "acme"), {"metadata": {}}, heard_at=0.0, inherited=inherited)


def test_after_an_unclean_takeover_creates_for_inherited_objects_wait() -> None:
    grace = TakeoverGrace.after(
        Takeover(clean=False, rival_last_seen=100.0, rival_duration=timedelta(seconds=15)),
        times=TIMES,
        server_timeout=timedelta(seconds=120),
        lookup_lag=timedelta(seconds=5),
    )
    assert grace.remaining(snapshot(inherited=True), monotonic=120.0) == timedelta(seconds=120)
    assert grace.remaining(snapshot(inherited=True), monotonic=240.0) is None
    assert grace.remaining(snapshot(inherited=False), monotonic=120.0) is None


def test_after_a_clean_takeover_nothing_waits() -> None:
    grace = TakeoverGrace.after(
        Takeover(clean=True),
        times=TIMES,
        server_timeout=timedelta(seconds=120),
        lookup_lag=timedelta(seconds=5),
    )
    assert grace is NO_GRACE
    assert grace.remaining(snapshot(inherited=True), monotonic=0.0) is None


def test_a_holder_says_where_it_takes_webhooks_and_its_successor_takes_that_back() -> None:
    def take(over: dict[str, object], webhooks: str | None) -> dict[str, object]:
        return claimed(
            over, identity="me", namespace="ns", name="qbsync", times=TIMES, now=NOW, webhooks=webhooks
        )

    taken = take(lease("other"), "10.0.0.7:8081")
    assert LeaseRecord.parse(taken).webhooks == "10.0.0.7:8081"
    assert LeaseRecord.parse(take(taken, "[fd00::1]:8081")).webhooks == "[fd00::1]:8081"
    assert LeaseRecord.parse(take(taken, None)).webhooks is None


def test_an_address_that_is_none_is_not_believed() -> None:
    for address in ("evil.example/path:80", "user@host:80", "host", "host:80 x", ""):
        body = lease("other")
        body["metadata"] = {"resourceVersion": "1", "annotations": {"qbsync.dev/webhooks": address}}
        assert LeaseRecord.parse(body).webhooks is None
