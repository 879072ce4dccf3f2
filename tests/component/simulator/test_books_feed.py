"""The feed of changes, what queries see and when, and what is announced."""

from datetime import timedelta
from typing import Any

import pytest

from qbsync.simulator import jsoncodec
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, PAYMENT, Change, Kind
from qbsync.simulator.ledger import Moment

from .desk import MOMENT, NOW, Desk, later, line


def changes(desk: Desk, *kinds: Kind, since: float = 0, at: float = 0, limit: int = 1000) -> dict[str, Any]:
    """The feed, `since` and `at` in seconds after MOMENT."""
    found = desk.ledger.changes(desk.company, kinds, NOW + timedelta(seconds=since), later(at), limit=limit)
    return {name: [jsoncodec.load_object(body) for body in bodies] for name, bodies in found.items()}


def make(desk: Desk, moment: Moment = MOMENT, **fields: Any) -> dict[str, Any]:
    return desk.create(INVOICE, {"CustomerRef": {"value": "1"}, "Line": [line(5)], **fields}, moment)


def seen(desk: Desk, where: str, at: float) -> list[dict[str, Any]]:
    """The invoices a query sees."""
    answer = desk.ledger.query(desk.company, f"SELECT * FROM Invoice WHERE {where}", later(at))
    return list(jsoncodec.load_object(answer).get("Invoice", []))


def test_the_feed_has_what_was_made_changed_and_deleted_since() -> None:
    desk = Desk()
    assert changes(desk, INVOICE, CUSTOMER, since=1, at=9) == {"Invoice": [], "Customer": []}
    first, second = make(desk, later(2)), make(desk, later(3))
    changed = desk.update(INVOICE, first, later(5), PrivateNote="x")
    desk.ledger.delete(desk.company, INVOICE, second, later(7))
    found = changes(desk, INVOICE, CUSTOMER, since=1, at=9)
    assert found["Invoice"] == [
        changed,
        {
            "domain": "QBO",
            "status": "Deleted",
            "Id": second["Id"],
            "MetaData": {"LastUpdatedTime": "2026-11-23T01:00:07-08:00"},
        },
    ]
    assert [each["Id"] for each in found["Customer"]] == ["1"]
    assert changes(desk, INVOICE, since=6, at=9)["Invoice"] == found["Invoice"][1:]
    assert changes(desk, INVOICE, since=8, at=9)["Invoice"] == []


def test_the_feed_counts_in_whole_seconds() -> None:
    desk = Desk()
    made = make(desk, later(2.4))
    assert changes(desk, INVOICE, since=2.9, at=9)["Invoice"] == [made]


@pytest.mark.parametrize(("kept", "ids"), [("oldest", [0, 1, 2]), ("newest", [2, 3, 4])])
def test_the_feed_is_cut_off_without_a_hint(kept: str, ids: list[int]) -> None:
    desk = Desk(changesKept=kept)
    made = [make(desk, later(second)) for second in range(1, 6)]
    found = changes(desk, INVOICE, since=1, at=9, limit=3)
    assert found == {"Invoice": [made[each] for each in ids]}
    over_all = changes(desk, CUSTOMER, INVOICE, PAYMENT, since=1, at=9, limit=4)
    assert sum(map(len, over_all.values())) == 4


def test_the_feed_shows_inactive_names() -> None:
    desk = Desk()
    desk.update(CUSTOMER, desk.read("2", CUSTOMER), later(2), Active=False)
    (found,) = changes(desk, CUSTOMER, since=1, at=9)["Customer"]
    assert (found["Id"], found["Active"]) == ("2", False)


def test_the_feed_is_behind_creation_and_deletion() -> None:
    desk = Desk(readLagSeconds=100)
    made = make(desk)
    assert changes(desk, INVOICE)["Invoice"] == []
    assert changes(desk, INVOICE, at=100)["Invoice"] == [made]
    desk.ledger.delete(desk.company, INVOICE, made, later(200))
    assert changes(desk, INVOICE, since=150, at=200)["Invoice"] == []
    assert changes(desk, INVOICE, since=150, at=300)["Invoice"][0]["status"] == "Deleted"


def test_queries_and_feed_are_behind_updates_by_switch() -> None:
    desk = Desk(readLagSeconds=100)
    made = make(desk, DocNumber="A-1")
    desk.update(INVOICE, made, later(200), PrivateNote="at once")
    assert [each.get("PrivateNote") for each in seen(desk, "DocNumber = 'A-1'", 200)] == ["at once"]
    desk.switches.put({"lagAfterUpdate": True})
    desk.update(INVOICE, desk.read(made["Id"]), later(300), PrivateNote="later", DocNumber="A-2")
    assert desk.read(made["Id"])["PrivateNote"] == "later"
    assert seen(desk, "DocNumber = 'A-2'", 300) == []
    assert [each["PrivateNote"] for each in seen(desk, f"Id = '{made['Id']}'", 300)] == ["at once"]
    assert changes(desk, INVOICE, since=250, at=300)["Invoice"] == []
    assert [each["PrivateNote"] for each in seen(desk, "DocNumber = 'A-2'", 400)] == ["later"]
    assert changes(desk, INVOICE, since=250, at=400)["Invoice"][0]["PrivateNote"] == "later"


def test_a_row_too_young_for_queries_stays_so_through_updates() -> None:
    desk = Desk(readLagSeconds=100, lagAfterUpdate=True)
    made = make(desk, DocNumber="A-1")
    desk.update(INVOICE, made, PrivateNote="x")
    assert seen(desk, "DocNumber = 'A-1'", 0) == []
    assert [each["PrivateNote"] for each in seen(desk, "DocNumber = 'A-1'", 100)] == ["x"]


def test_states_of_the_past_are_not_kept() -> None:
    desk = Desk(readLagSeconds=1, lagAfterUpdate=True)
    made = make(desk)
    for second in range(1, 20):
        made = desk.update(INVOICE, made, later(10 * second), PrivateNote=str(second))
    depth, record = 0, desk.record(INVOICE, made["Id"])
    while record.behind is not None:
        depth, record = depth + 1, record.behind
    assert depth <= 1


def test_every_committed_change_is_announced_and_no_other() -> None:
    desk = Desk()
    made = make(desk)
    desk.update(INVOICE, made, PrivateNote="x")
    desk.code(lambda: desk.update(INVOICE, made, PrivateNote="stale"))
    desk.ledger.send(desk.company, INVOICE, made["Id"], MOMENT, send_to="a@example.org")
    _, payment = desk.ledger.pay(desk.company, made["Id"], None, MOMENT)
    desk.ledger.void_by_hand(desk.company, made["Id"], MOMENT)
    desk.ledger.delete_by_hand(desk.company, made["Id"], MOMENT)
    name = made["Id"]
    assert desk.heard == [
        ("Invoice", name, Change.CREATED),
        ("Invoice", name, Change.UPDATED),
        ("Invoice", name, Change.EMAILED),
        ("Payment", payment.id, Change.CREATED),
        ("Invoice", name, Change.UPDATED),
        ("Invoice", name, Change.VOIDED),
        ("Payment", payment.id, Change.UPDATED),
        ("Invoice", name, Change.DELETED),
    ]
