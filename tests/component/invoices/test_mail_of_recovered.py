"""An invoice that is found again may have been e-mailed by whoever had it before, a moment ago."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fixtures.invoices_scene import Scene, eventually, running
from fixtures.simulator_server import Door


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Scene]:
    simulator.reset()
    async with running(Scene(simulator)) as made:
        made.connect(permit={"send": True})
        yield made


def order(scene: Scene, **spec: Any) -> None:
    scene.apply("a", "A-1", send="AfterCreate", invoice={"billEmail": "customer@example.com"}, **spec)


async def settled(scene: Scene) -> None:
    await scene.until("a", "Recovered")
    await eventually(
        lambda: "intent" not in scene.status("a") and scene.workers.in_work == 0,
        "its e-mail is settled",
        lambda: scene.status("a"),
    )


async def test_an_e_mail_of_its_predecessor_that_is_still_under_way_is_not_sent_twice(scene: Scene) -> None:
    scene.door.switch(requestidMemory="forget")
    scene.door.fault({"operation": "send"}, {"status": 504, "commitAfterSeconds": 0.9})
    order(scene)
    await eventually(lambda: bool(scene.door.requests("send")), "the e-mail under way")
    scene.delete("a")
    order(scene, uid="uid-again")
    await settled(scene)
    assert len(scene.door.requests("send")) == 1


async def test_an_e_mail_that_a_query_does_not_show_yet_is_not_sent_twice(scene: Scene) -> None:
    scene.door.switch(readLagSeconds=1)
    order(scene)
    await eventually(lambda: scene.status("a").get("emailStatus") == "EmailSent", "sent")
    scene.delete("a")
    order(scene, uid="uid-again")
    await settled(scene)
    assert len(scene.door.requests("send")) == 1
