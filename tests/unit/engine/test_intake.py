"""What the watch brings, and what our own calls learn before it."""

from datetime import timedelta

import pytest

from fakes.clock import FakeClock
from fakes.objects import MemoryObjects
from qbsync.api.meta import REQUESTED_AT, Kind
from qbsync.engine.intake import Intake
from qbsync.engine.keys import Key
from qbsync.engine.queue import WorkQueue
from qbsync.engine.store import ObjectStore
from qbsync.leading import company_of


class Room:
    """A store with its intake, and what became due."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.objects = MemoryObjects()
        self.store = ObjectStore(clock=self.clock, company_of=company_of)
        self.queue = WorkQueue(clock=self.clock, on_due=lambda _company, _kind: None)
        self.intake = Intake(
            store=self.store, queue=self.queue, observer=self, instance=None, on_gone=lambda _: None
        )

    def event_seen(self) -> None: ...

    def due(self) -> list[Key]:
        keys = [
            key
            for company in [company_of(Kind.INVOICE, self.body)]
            for key in self.queue.take(company, Kind.INVOICE, 9)
        ]
        for key in keys:
            self.queue.done(company_of(Kind.INVOICE, self.body), key, again=None)
        return keys

    @property
    def body(self) -> dict[str, object]:
        return self.objects.objects[Kind.INVOICE, "ns", "a"]


@pytest.fixture
def room() -> Room:
    made = Room()
    made.objects.add(Kind.INVOICE, "a", connectionRef={"name": "acme"})
    made.intake.event(Kind.INVOICE, "ADDED", made.body)
    assert len(made.due()) == 1
    return made


async def write_status(room: Room) -> None:
    key = Key(Kind.INVOICE, "ns", "a", "uid-a")
    status = {"outcome": "Created"}
    room.store.overlay(key, status)
    room.store.stored(
        key, status, await room.objects.replace_status(Kind.INVOICE, "ns", "a", "uid-a", status)
    )


async def test_our_own_status_is_no_news(room: Room) -> None:
    await write_status(room)
    room.intake.event(Kind.INVOICE, "MODIFIED", room.body)
    assert room.due() == []


async def test_a_change_that_our_status_overtook_is_not_lost(room: Room) -> None:
    """The answer to a status write holds a newer spec than the watch has shown: its event comes too late."""
    changed = room.objects.touch(Kind.INVOICE, "a", suspend=True)
    await write_status(room)
    room.intake.event(Kind.INVOICE, "MODIFIED", changed)
    assert len(room.due()) == 1


async def test_a_wish_that_our_status_overtook_is_not_lost(room: Room) -> None:
    wished = room.objects.touch(Kind.INVOICE, "a")
    wished["metadata"]["generation"] -= 1
    wished["metadata"]["annotations"] = {REQUESTED_AT: "now"}
    await write_status(room)
    room.intake.event(Kind.INVOICE, "MODIFIED", wished)
    assert len(room.due()) == 1


async def test_a_change_that_a_read_of_ours_showed_is_not_lost(room: Room) -> None:
    changed = room.objects.touch(Kind.INVOICE, "a", suspend=True)
    room.store.learned(Kind.INVOICE, await room.objects.read(Kind.INVOICE, "ns", "a"))
    room.intake.event(Kind.INVOICE, "MODIFIED", changed)
    assert len(room.due()) == 1
    await room.clock.advance(timedelta(seconds=1))
    assert room.due() == []
