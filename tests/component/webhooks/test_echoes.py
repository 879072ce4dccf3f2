"""What this process wrote itself comes back as webhooks: no news; and what people do next still is."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fixtures.feedback_scene import Followed, following
from fixtures.invoices_scene import SERVER_TIMEOUT, eventually
from fixtures.simulator_server import Door, RunningSimulator
from qbsync.invoices.news import ECHO_SECONDS, Echoes


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator("--server-timeout", f"{SERVER_TIMEOUT.total_seconds()}s") as started:
        yield started


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Followed]:
    """Nothing is looked at but what a webhook asks for."""
    simulator.reset()
    async with following(Followed(simulator)) as made:
        made.connect(permit={"send": True})
        made.wake()
        made.hear()
        yield made


async def delivered(scene: Followed) -> None:
    """Wait until all webhooks so far were taken."""
    await eventually(
        lambda: not any(box["pending"] for box in scene.door.get("/_simulator/webhooks")["endpoints"]),
        "everything delivered",
    )


async def mailed(scene: Followed) -> str:
    scene.apply("a", "A-1", send="AfterCreate", invoice={"billEmail": "to@customer.example"})
    await eventually(lambda: scene.status("a").get("emailStatus") == "EmailSent", "sent")
    await delivered(scene)
    return str(scene.status("a")["quickbooksId"])


async def edited(scene: Followed, id_: str) -> None:
    """A bookkeeper's edit is seen."""
    scene.door.post(f"/_simulator/invoices/{id_}/edit", {"CustomerRef": {"value": "2"}})
    await eventually(lambda: scene.condition("a", "Drifted") != {}, "the edit is seen")
    assert "customer: 2" in scene.condition("a", "Drifted")["message"]


async def test_our_own_e_mail_is_nobodys_edit(scene: Followed) -> None:
    id_ = await mailed(scene)
    assert scene.calls("cdc") == 0
    assert scene.condition("a", "Drifted") == {}
    await edited(scene, id_)
    assert scene.calls("cdc") == 1


async def test_after_an_e_mail_whose_answer_was_lost_an_edit_is_seen(scene: Followed) -> None:
    scene.door.fault({"operation": "send"}, {"drop": "after"})
    await edited(scene, await mailed(scene))


async def test_after_an_update_whose_answer_was_lost_an_edit_is_seen(scene: Followed) -> None:
    scene.apply("a", "A-1")
    id_ = str((await scene.until("a", "Created"))["quickbooksId"])
    await delivered(scene)
    scene.door.fault({"operation": "update"}, {"drop": "after"})
    scene.edit("a", dueDate="2027-03-31")
    await scene.until("a", "OutcomeUnknown")
    await delivered(scene)
    await scene.until("a", "Updated")
    assert scene.calls("cdc") == 0
    await edited(scene, id_)


async def test_an_edit_that_the_answer_to_an_e_mail_shows_is_told(simulator: Door) -> None:
    """Nobody else would: from then on the SyncToken of the edit is known."""
    simulator.reset()
    async with following(Followed(simulator)) as scene:
        scene.connect(permit={"send": True})
        simulator.fault({"operation": "send"}, {"delaySeconds": 0.5})
        scene.apply("a", "A-1", send="AfterCreate", invoice={"billEmail": "to@customer.example"})
        await eventually(lambda: bool(simulator.requests("send")), "the e-mail under way")
        id_ = scene.status("a")["quickbooksId"]
        simulator.post(f"/_simulator/invoices/{id_}/edit", {"CustomerRef": {"value": "2"}})
        await eventually(lambda: scene.condition("a", "Drifted") != {}, "the edit is seen")
        assert scene.status("a")["emailStatus"] == "EmailSent"


def test_each_write_accounts_for_one_echo() -> None:
    echoes = Echoes()
    echoes.expect("1", monotonic=0)
    echoes.expect("1", monotonic=1)
    assert [echoes.heard("1", monotonic=2) for _ in range(3)] == [True, True, False]
    echoes.expect("1", monotonic=3)
    assert not echoes.heard("1", monotonic=3 + ECHO_SECONDS)


def test_an_echo_that_came_before_the_answer_is_not_expected_again() -> None:
    echoes = Echoes()
    echoes.early("1", monotonic=0)
    echoes.expect("1", monotonic=1)
    assert not echoes.heard("1", monotonic=2)
    echoes.expect("1", monotonic=3)
    assert echoes.heard("1", monotonic=4)
    echoes.early("1", monotonic=5)
    echoes.expect("1", monotonic=5 + ECHO_SECONDS)
    assert echoes.heard("1", monotonic=6 + ECHO_SECONDS), "that was of another write"
