"""What an app is told and when: gathering, retries, duplicates, order. Pure; time is passed in."""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.simulator.entities.kinds import Change
from qbsync.simulator.switches import Switches
from qbsync.simulator.webhooks import endpoints, events
from qbsync.simulator.webhooks.endpoints import Endpoint, UnreadableEndpoint
from qbsync.simulator.webhooks.events import Event
from qbsync.simulator.webhooks.outbox import Delivery, Outbox

AT = 1_800_000_000.25


def event(number: int, *, realm: str = "1", change: Change = Change.CREATED) -> Event:
    return Event(f"e-{number}", realm, "Invoice", str(number), change, AT)


class Desk:
    """An outbox with a clock and an app that answers as told."""

    def __init__(self, **switches: Any) -> None:
        self.box = Outbox("app", Endpoint("http://a/", "v"), Switches(switches), Random(7))
        self.now = 0.0

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.box.add(event(number), self.now)

    def take(self) -> Delivery:
        delivery = self.box.take(self.now)
        assert delivery is not None
        return delivery

    def idle(self) -> bool:
        return self.box.take(self.now) is None

    def answer(self, delivery: Delivery, *, ok: bool = True) -> None:
        if ok:
            self.box.succeeded(delivery, self.now)
        else:
            self.box.failed(delivery, "answered 500", self.now)

    def fail_next(self) -> float:
        """Wait for the next attempt, let it fail; how long the wait was."""
        before = self.now
        due = self.box.next_due()
        assert due is not None
        self.now = due
        self.answer(self.take(), ok=False)
        return due - before


def ids(delivery: Delivery) -> list[int]:
    return [int(entry.entity_id) for entry in delivery.events]


def test_what_happens_together_travels_together() -> None:
    desk = Desk()
    desk.add(1, 2, 3)
    delivery = desk.take()
    assert ids(delivery) == [1, 2, 3]
    desk.answer(delivery)
    assert desk.box.next_due() is None
    assert (desk.box.sent, desk.box.acknowledged, desk.box.pending) == (1, 3, 0)


def test_a_window_gathers_from_its_first_event_on() -> None:
    desk = Desk(webhookAggregationSeconds=60)
    desk.add(1)
    desk.now = 59
    desk.add(2)
    assert desk.idle()
    assert desk.box.next_due() == 60
    desk.now = 60
    desk.add(3)  # belongs to the next window
    first = desk.take()
    assert ids(first) == [1, 2]
    desk.answer(first)
    assert desk.box.next_due() == 120


def test_never_more_than_a_hundred_in_one() -> None:
    desk = Desk()
    desk.add(*range(250))
    sizes = []
    while desk.box.next_due() is not None:
        delivery = desk.take()
        sizes.append(len(delivery.events))
        desk.answer(delivery)
    assert sizes == [100, 100, 50]


@pytest.mark.parametrize("first", [0, 10])
def test_the_schedule_of_retries(first: int) -> None:
    desk = Desk(webhookFirstRetrySeconds=first)
    desk.add(1)
    waits = [desk.fail_next() for _ in range(11)]
    assert waits == [0, first, 20, 30, 300, 1200, 7200, 14400, 21600, 21600, 21600]
    assert (desk.box.last_error, desk.box.pending, desk.box.sent) == ("answered 500", 1, 11)


def test_later_events_wait_for_the_first_to_be_acknowledged() -> None:
    desk = Desk()
    desk.add(1)
    desk.answer(desk.take(), ok=False)
    desk.add(2, 3)
    assert desk.idle()
    desk.now = 10
    first = desk.take()
    assert ids(first) == [1]
    desk.answer(first)
    assert ids(desk.take()) == [2, 3]


def test_or_they_do_not_wait() -> None:
    desk = Desk(webhookHolds=False)
    desk.add(1)
    desk.answer(desk.take(), ok=False)
    desk.add(2)
    second = desk.take()
    assert ids(second) == [2]
    desk.answer(second)
    assert desk.idle()
    desk.now = 10
    assert ids(desk.take()) == [1]


def test_an_acknowledged_delivery_may_come_again_once() -> None:
    desk = Desk(webhookDuplicates=1)
    desk.add(1)
    first = desk.take()
    desk.answer(first)
    second = desk.take()
    assert second.events == first.events
    desk.answer(second)
    assert desk.box.next_due() is None
    assert (desk.box.sent, desk.box.acknowledged, desk.box.pending) == (2, 1, 0)


def test_some_never_come() -> None:
    desk = Desk(webhookLosses=1)
    desk.add(1, 2)
    assert (desk.box.next_due(), desk.box.lost) == (None, 2)


def test_an_event_may_come_after_later_ones() -> None:
    desk = Desk(webhookReordering=0.5)
    arrived: list[int] = []
    for number in range(40):
        desk.add(number)
        desk.now += 1
        while (delivery := desk.box.take(desk.now)) is not None:
            arrived += ids(delivery)
            desk.answer(delivery)
    desk.now += 10
    while (delivery := desk.box.take(desk.now)) is not None:
        arrived += ids(delivery)
        desk.answer(delivery)
    assert sorted(arrived) == list(range(40))
    assert arrived != list(range(40))


def test_events_come_late() -> None:
    desk = Desk(webhookDelaySeconds=100)
    desk.add(1)
    due = desk.box.next_due()
    assert due is not None
    assert 0 < due < 100


def test_a_closed_box_forgets() -> None:
    desk = Desk()
    desk.add(1)
    delivery = desk.take()
    desk.add(2)
    desk.box.close()
    desk.answer(delivery)
    assert (desk.box.next_due(), desk.box.pending, desk.box.acknowledged) == (None, 0, 0)


@settings(deadline=None, max_examples=60)
@given(
    switches=st.fixed_dictionaries(
        {
            "webhookHolds": st.booleans(),
            "webhookDuplicates": st.sampled_from([0, 0.5, 1]),
            "webhookReordering": st.sampled_from([0, 0.3, 1]),
            "webhookDelaySeconds": st.sampled_from([0, 30]),
            "webhookAggregationSeconds": st.sampled_from([0, 60]),
        }
    ),
    steps=st.lists(st.sampled_from(["add", "ok", "fail", "wait"]), max_size=40),
)
def test_whatever_happens_each_event_arrives_at_least_once(
    switches: Mapping[str, Any], steps: list[str]
) -> None:
    desk, added, arrived = Desk(**switches), 0, Counter[int]()
    for step in [*steps, *["drain"] * 150]:
        if step == "add":
            desk.add(added)
            added += 1
        elif step in {"wait", "drain"}:
            due = desk.box.next_due()
            if due is None:
                continue
            desk.now = max(desk.now, due)
        if step in {"ok", "fail", "drain"} and (delivery := desk.box.take(desk.now)) is not None:
            desk.answer(delivery, ok=step != "fail")
            if step != "fail":
                arrived.update(ids(delivery))
        assert desk.box.pending + desk.box.acknowledged == added
    assert set(arrived) == set(range(added))
    assert max(arrived.values(), default=0) <= 2


# What is written


def test_the_current_form_is_intuit_s() -> None:
    recorded = {
        "specversion": "1.0",
        "id": "e-1",
        "type": "qbo.invoice.voided.v1",
        "datacontenttype": "application/json",
        "time": "2027-01-15T08:00:00.250000000Z",
        "intuitentityid": "1",
        "intuitaccountid": "310687",
        "data": {},
    }
    (entry,) = json.loads(
        events.cloudevents([event(1, realm="310687", change=Change.VOIDED)], client_id="app")
    )
    source = entry.pop("source")
    assert entry == recorded
    prefix, _, digest = source.partition(".")
    assert (prefix, len(base64.b64decode(digest, validate=True))) == ("intuit", 32)


@pytest.mark.parametrize(
    ("with_offset", "time"), [(False, "2027-01-15T08:00:00.250Z"), (True, "2027-01-15T00:00:00-0800")]
)
def test_the_older_form_groups_by_company(time: str, *, with_offset: bool) -> None:
    told = [event(1, realm="7"), event(2, realm="8"), event(3, realm="7", change=Change.DELETED)]
    document = json.loads(events.legacy(told, with_offset=with_offset))
    assert document == {
        "eventNotifications": [
            {
                "realmId": "7",
                "dataChangeEvent": {
                    "entities": [
                        {"name": "Invoice", "id": "1", "operation": "Create", "lastUpdated": time},
                        {"name": "Invoice", "id": "3", "operation": "Delete", "lastUpdated": time},
                    ]
                },
            },
            {
                "realmId": "8",
                "dataChangeEvent": {
                    "entities": [{"name": "Invoice", "id": "2", "operation": "Create", "lastUpdated": time}]
                },
            },
        ]
    }


RECORDED = Path(__file__).parents[2] / "fixtures" / "quickbooks" / "dotnet-sdk"


def shape(value: Any) -> Any:
    """A document's field names and types; lists by their first entry."""
    if isinstance(value, dict):
        return {name: shape(entry) for name, entry in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value)


def test_both_forms_have_the_shape_that_intuit_s_own_sdk_reads() -> None:
    recorded = json.loads((RECORDED / "webhook_cloudevents.json").read_text())
    ours = json.loads(events.cloudevents([event(1)], client_id="app"))
    # `data` can be empty, and the newer samples say what it would be.
    assert recorded[0].pop("data").keys() == {"alternative_ids"}
    assert (ours[0].pop("data"), ours[0].pop("datacontenttype")) == ({}, "application/json")
    assert shape(ours) == shape(recorded)
    assert len(ours[0]["time"]) == len(recorded[0]["time"])
    recorded = json.loads((RECORDED / "webhook_legacy.json").read_text())
    ours = json.loads(events.legacy([event(1)], with_offset=False))
    assert shape(ours) == shape(recorded)


def test_every_change_has_a_word_in_both_forms() -> None:
    for change in Change:
        assert (
            f"qbo.invoice.{change.value}.v1"
            in events.cloudevents([event(1, change=change)], client_id="a").decode()
        )
        assert events.legacy([event(1, change=change)], with_offset=False)


def test_the_signature_is_over_the_bytes() -> None:
    body = b'{"a":1}'
    expected = hmac.new(b"token", body, hashlib.sha256).digest()
    assert base64.b64decode(events.signature(body, "token")) == expected


# Endpoints


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "url"),
        ({"url": "ftp://a"}, "url"),
        ({"url": "http://a:99999/"}, "url"),
        ({"url": "http://a", "format": "xml"}, "cloudevents or legacy"),
        ({"url": "http://a", "entities": "Invoice"}, "list of some of"),
        ({"url": "http://a", "entities": ["Moon"]}, "list of some of"),
        ({"url": "http://a", "verifierToken": 5}, "verifierToken"),
        ({"url": "http://a", "uri": "x"}, "uri"),
    ],
)
def test_endpoints_that_cannot_be_set(document: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadableEndpoint, match=words):
        endpoints.read(document, verifier_token="v")
