"""The reporter and the store: each result once, until it is stored, and seen at once."""

import asyncio
import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from fakes.clock import FakeClock, settle
from fakes.objects import MemoryObjects
from qbsync.api.meta import Kind
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import NotRecorded, Reporter
from qbsync.engine.store import ObjectStore

ACME = Company("ns", "acme")
DONE = {"quickbooksId": "7"}


class Counting:
    def __init__(self) -> None:
        self.written = self.orphaned = self.failed = 0

    def status_written(self) -> None:
        self.written += 1

    def result_orphaned(self) -> None:
        self.orphaned += 1

    def status_failed(self) -> None:
        self.failed += 1


def labels_of(_: Kind, body: Mapping[str, Any]) -> list[str]:
    return [f"id:{(body.get('status') or {}).get('quickbooksId')}"]


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.objects = MemoryObjects()
        self.counting = Counting()
        self.store = ObjectStore(clock=self.clock, company_of=lambda *_: ACME, labels_of=labels_of)
        self.reporter = Reporter(
            objects=self.objects,
            store=self.store,
            clock=self.clock,
            rng=random.Random(1),
            observer=self.counting,
        )

    def add(self, name: str, uid: str = "") -> Key:
        body = self.objects.add(Kind.INVOICE, name, uid=uid)
        snapshot = self.store.observe(Kind.INVOICE, body)
        assert snapshot is not None
        return snapshot.key

    def status(self, key: Key) -> Mapping[str, Any]:
        snapshot = self.store.get(key)
        assert snapshot is not None
        return snapshot.status


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_result_is_seen_before_it_is_stored_and_written_once(scene: Scene) -> None:
    key = scene.add("a")
    scene.reporter.report(key, DONE)
    assert scene.status(key) == DONE
    assert scene.objects.writes == 0
    await scene.reporter.flush()
    assert (scene.objects.writes, scene.status(key)) == (1, DONE)


async def test_the_same_status_again_is_no_write(scene: Scene) -> None:
    key = scene.add("a")
    assert scene.reporter.report(key, DONE)
    await scene.reporter.flush()
    assert not scene.reporter.report(key, dict(DONE))
    await scene.reporter.flush()
    assert scene.objects.writes == 1


async def test_an_outage_is_outlasted_and_only_the_newest_is_written(scene: Scene) -> None:
    key = scene.add("a")
    scene.objects.outages = 3
    scene.reporter.report(key, {"outcome": "old"})
    await settle()
    scene.reporter.report(key, DONE)
    for _ in range(5):
        await scene.clock.advance(timedelta(seconds=30))
    assert scene.reporter.waiting == 0
    assert (scene.objects.writes, scene.counting.failed) == (1, 3)
    assert scene.objects.objects[Kind.INVOICE, "ns", "a"]["status"] == DONE


async def test_an_old_echo_of_the_watch_does_not_hide_what_was_written(scene: Scene) -> None:
    body = scene.objects.add(Kind.INVOICE, "a")
    scene.store.observe(Kind.INVOICE, body)
    key = Key(Kind.INVOICE, "ns", "a", "uid-a")
    scene.reporter.report(key, DONE)
    await scene.reporter.flush()
    assert scene.store.observe(Kind.INVOICE, body) is None
    assert scene.store.observe(Kind.INVOICE, scene.objects.objects[Kind.INVOICE, "ns", "a"]) is None
    assert scene.status(key) == DONE


async def test_a_result_whose_object_is_gone_ends(scene: Scene) -> None:
    key = scene.add("a")
    scene.objects.delete(Kind.INVOICE, "a")
    scene.reporter.report(key, DONE)
    await scene.reporter.flush()
    assert (scene.objects.writes, scene.counting.orphaned) == (0, 1)


async def test_a_result_never_lands_on_another_object_of_the_same_name(scene: Scene) -> None:
    key = scene.add("a", uid="first")
    scene.objects.delete(Kind.INVOICE, "a")
    scene.add("a", uid="second")
    scene.reporter.report(key, DONE)
    await scene.reporter.flush()
    assert (scene.objects.writes, scene.counting.orphaned) == (0, 1)
    assert scene.store.get(key) is None


async def test_a_status_that_the_schema_refuses_is_kept_and_tried_again(scene: Scene) -> None:
    key = scene.add("a")
    scene.objects.invalid = True
    scene.reporter.report(key, DONE)
    await scene.clock.advance(timedelta(seconds=60))
    assert scene.reporter.waiting == 1
    assert scene.status(key) == DONE
    scene.objects.invalid = False
    await scene.clock.advance(timedelta(seconds=60))
    assert (scene.reporter.waiting, scene.objects.writes) == (0, 1)


async def test_labels_follow_what_was_recorded(scene: Scene) -> None:
    key = scene.add("a")
    assert [found.key for found in scene.store.labelled(ACME, "id:None")] == [key]
    scene.reporter.report(key, DONE)
    assert [found.key for found in scene.store.labelled(ACME, "id:7")] == [key]
    assert scene.store.labelled(ACME, "id:None") == []
    await scene.reporter.flush()
    scene.store.forget(Kind.INVOICE, "ns", "a", uid="uid-a")
    assert scene.store.labelled(ACME, "id:7") == []


async def test_a_deletion_of_an_older_incarnation_is_ignored(scene: Scene) -> None:
    scene.add("a", uid="first")
    key = scene.add("a", uid="second")
    assert scene.store.forget(Kind.INVOICE, "ns", "a", uid="first") is None
    assert scene.store.get(key) is not None


async def test_what_is_to_be_recorded_first_is_awaited(scene: Scene) -> None:
    key = scene.add("a")
    scene.reporter.report(key, DONE)
    await scene.reporter.recorded(key, within=timedelta(seconds=5))
    assert scene.objects.writes == 1
    await scene.reporter.recorded(key, within=timedelta(seconds=5))


async def test_what_cannot_be_recorded_in_time_is_told_and_written_later(scene: Scene) -> None:
    key = scene.add("a")
    scene.objects.outages = 1
    scene.reporter.report(key, DONE)
    with pytest.raises(NotRecorded, match="yet"):
        await scene.reporter.recorded(key, within=timedelta(milliseconds=20))
    await scene.clock.advance(timedelta(seconds=60))
    assert scene.objects.writes == 1


async def test_what_is_recorded_for_an_object_that_is_gone_is_told(scene: Scene) -> None:
    key = scene.add("a")
    scene.objects.delete(Kind.INVOICE, "a")
    scene.reporter.report(key, DONE)
    with pytest.raises(NotRecorded, match="gone"):
        await scene.reporter.recorded(key, within=timedelta(seconds=5))


async def test_a_result_reported_the_moment_a_writer_ends_is_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = scene.add("a")
    loop = asyncio.get_running_loop()
    later = iter([{"outcome": "Updated"}])

    def written() -> None:
        # Runs between the end of the writer and whatever is called when it has ended.
        for status in later:
            loop.call_soon(scene.reporter.report, key, status)

    monkeypatch.setattr(scene.counting, "status_written", written)
    scene.reporter.report(key, DONE)
    await scene.reporter.flush()
    await asyncio.sleep(0)
    await scene.reporter.flush()
    assert scene.objects.writes == 2
