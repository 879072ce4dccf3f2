"""Webhooks from the simulator, and from strangers, at the real listener."""

import asyncio
import gc
import json
import os
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fixtures.feedback_scene import VERIFIER, Followed, following, post, signature_of
from fixtures.invoices_scene import ACME, SERVER_TIMEOUT, eventually
from fixtures.simulator_server import Door, RunningSimulator
from qbsync.api.meta import Kind
from qbsync.webhooks.server import LARGEST_BODY

FORGED = int(os.environ.get("QBSYNC_FORGED_WEBHOOKS", "10000"))
RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "quickbooks" / "dotnet-sdk"


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator("--server-timeout", f"{SERVER_TIMEOUT.total_seconds()}s") as started:
        yield started


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Followed]:
    simulator.reset()
    async with following(Followed(simulator)) as made:
        made.connect()
        made.wake()
        made.hear()
        yield made


async def created(scene: Followed, name: str = "a", number: str = "A-1") -> str:
    scene.apply(name, number)
    return str((await scene.until(name, "Created"))["quickbooksId"])


async def paid(scene: Followed, name: str) -> None:
    await eventually(
        lambda: scene.status(name).get("paymentStatus") == "Paid", "paid", lambda: scene.status(name)
    )


def event(scene: Followed, id_: str = "1", *, entity: str = "invoice", number: int = 1, **fields: Any) -> Any:
    return {
        "specversion": "1.0",
        "id": f"event-{number}",
        "type": f"qbo.{entity}.updated.v1",
        "intuitentityid": id_,
        "intuitaccountid": scene.door.realm_id,
        "data": {},
        **fields,
    }


def body_of(*events: Any) -> bytes:
    return json.dumps(events).encode()


async def settled(scene: Followed) -> None:
    """Wait until the webhooks of the simulator so far were taken."""
    await eventually(
        lambda: not any(box["pending"] for box in scene.door.get("/_simulator/webhooks")["endpoints"]),
        "everything delivered",
        lambda: scene.door.get("/_simulator/webhooks"),
    )


async def test_a_payment_shows_as_paid_by_webhook_with_one_call(
    scene: Followed, record_property: Any
) -> None:
    id_ = await created(scene)
    await settled(scene)
    assert scene.calls("cdc") == 0, "our own write came back as a webhook, and asked for nothing"
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.to_thread(scene.door.post, f"/_simulator/invoices/{id_}/pay", {})
    await paid(scene, "a")
    took = loop.time() - started
    record_property("figure", f"a payment shows as Paid by webhook after {took:.2f} s")
    assert took < 2
    assert scene.calls("cdc") == 1
    assert scene.noted.events.count("InvoicePaid") == 1


async def test_the_older_form_is_understood(scene: Followed) -> None:
    scene.hear(format="legacy")
    id_ = await created(scene)
    scene.door.post(f"/_simulator/invoices/{id_}/pay", {})
    await paid(scene, "a")


async def test_replays_disorder_and_losses_change_no_result(simulator: Door) -> None:
    simulator.reset()
    simulator.switch(webhookDuplicates=0.5, webhookReordering=0.5, webhookDelaySeconds=1)
    async with following(Followed(simulator)) as scene:
        scene.connect()
        scene.wake()
        scene.hear()
        ids = [await created(scene, f"o{index}", f"N-{index}") for index in range(6)]
        for id_ in ids:
            scene.door.post(f"/_simulator/invoices/{id_}/pay", {"amount": "10.00"})
            scene.door.post(f"/_simulator/invoices/{id_}/pay", {})
        for index in range(6):
            await paid(scene, f"o{index}")
        assert scene.noted.events.count("InvoicePaid") == 6


async def test_an_edit_and_a_deletion_come_by_webhook_too(scene: Followed) -> None:
    edited, deleted = await created(scene), await created(scene, "b", "B-1")
    await settled(scene)
    scene.door.post(f"/_simulator/invoices/{edited}/edit", {"CustomerRef": {"value": "2"}})
    scene.door.post(f"/_simulator/invoices/{deleted}/delete")
    await scene.until("b", "DeletedInQuickBooks")
    await eventually(lambda: scene.condition("a", "Drifted") != {}, "drift")


async def test_with_drift_off_only_what_is_paid_is_followed(simulator: Door) -> None:
    simulator.reset()
    async with following(Followed(simulator)) as scene:
        scene.connect(drift={"mode": "Off"})
        scene.wake()
        scene.hear()
        id_ = await created(scene)
        await settled(scene)
        scene.door.post(f"/_simulator/invoices/{id_}/edit", {"CustomerMemo": {"value": "edited"}})
        scene.door.post(f"/_simulator/invoices/{id_}/pay", {})
        await paid(scene, "a")
        assert scene.condition("a", "Drifted") == {}


async def test_other_peoples_invoices_cost_nothing(scene: Followed) -> None:
    await created(scene)
    await settled(scene)
    assert await post(scene, body_of(event(scene, "999"))) == 200
    assert await post(scene, body_of(event(scene, entity="customer", number=2))) == 200
    assert await post(scene, body_of(event(scene, number=3, intuitaccountid="42"))) == 200
    await asyncio.sleep(0.5)
    assert scene.calls("cdc") == 0


async def test_what_is_not_signed_is_refused(scene: Followed) -> None:
    id_ = await created(scene)
    body = body_of(event(scene, id_))
    assert await post(scene, body, signature="") == 401
    assert await post(scene, body, signature=signature_of(body, "another")) == 401
    assert await post(scene, body + b" ", signature=signature_of(body)) == 401
    assert await post(scene, body, url=scene.url[:-12] + "0" * 12) == 404
    assert await post(scene, body, url=scene.url[:-12] + "x") == 404
    for recorded in RECORDED.glob("webhook_*.json"):
        assert await post(scene, recorded.read_bytes()) == 200
    assert await post(scene, b"\xff not json") == 200
    assert scene.calls("cdc") == 0


async def test_a_new_verifier_token_holds_soon_and_without_one_nothing_is_genuine(scene: Followed) -> None:
    body = body_of(event(scene, "999"))
    assert await post(scene, body) == 200
    scene.app_secret(verifier=None)
    assert scene.feedback is not None
    assert await post(scene, body) == 200, "remembered for minutes"
    forgotten = Followed(scene.door)
    forgotten.connect()
    forgotten.app_secret(verifier=None)
    assert await forgotten._receive(scene.url[-12:], signature_of(body), body, False) == 401
    await forgotten.aclose()


async def test_a_large_body_is_cut_off(scene: Followed) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        for _ in range(64 * LARGEST_BODY // 65536):
            yield b" " * 65536

    for body in (b"[" + b" " * LARGEST_BODY + b"]", dripping()):
        async with httpx2.AsyncClient(trust_env=False) as client:
            try:
                answer = await client.post(scene.url, content=body, headers={"intuit-signature": "x"})
            except httpx2.TransportError:
                continue  # the connection was closed under a body that was still being sent
            assert answer.status_code == 413
    assert await post(scene, body_of(event(scene, "999"))) == 200


async def test_a_slow_body_is_cut_off(scene: Followed) -> None:
    """Who sends the head and a little, and then nothing, holds a connection for a moment only."""
    body = body_of(event(scene, "999"))
    head = (
        f"POST {scene.url.partition(scene.server.address)[2]} HTTP/1.1\r\nHost: {scene.server.address}\r\n"
        f"intuit-signature: {signature_of(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, _, port = scene.server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.encode() + body[:-1])
        async with asyncio.timeout(20):
            answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert await post(scene, body) == 200


async def test_one_app_is_limited(scene: Followed) -> None:
    body = body_of(event(scene, "999"))
    assert scene.feedback is not None
    route, signature = scene.url[-12:], signature_of(body)
    answers = [await scene.feedback.webhook(route, signature, body) for _ in range(200)]
    assert answers[0] == 200
    assert set(answers) == {200, 429}


async def test_only_connections_of_that_app_count(scene: Followed) -> None:
    """Another app's owner, with a valid signature of its own, makes nobody else's company due."""
    id_ = await created(scene)
    await settled(scene)
    scene.client_id = "another-app"
    other = Followed(scene.door)
    other.connect()
    heard: list[object] = []
    assert other.feedback is not None
    other.feedback._inbox._notified = lambda company, named: heard.append((company, named))
    body = body_of(event(scene, id_))
    assert await other._receive("0" * 12, signature_of(body), body, False) == 404
    other.store.observe(  # the same realm under an app of another id
        other.connection.key.kind,
        {
            **other.connection.body,
            "metadata": {**other.connection.metadata, "resourceVersion": "999999"},
            "spec": {**other.connection.spec, "realmId": "1"},
        },
    )
    other.feedback.woken(ACME)
    assert await other._receive(other.url[-12:], signature_of(body), body, False) == 200
    assert heard == []
    await other.aclose()


async def test_forged_and_damaged_bodies_change_nothing_and_leave_no_memory_behind(
    scene: Followed, record_property: Any
) -> None:
    id_ = await created(scene)
    await settled(scene)
    rng = random.Random(7)
    good = body_of(event(scene, id_))
    assert scene.feedback is not None
    before = dict(scene.objects.objects[Kind.INVOICE, "ns", "a"])

    async def attack(count: int) -> set[int]:
        answers = set()
        for _ in range(count):
            body, signature = _damaged(good, rng)
            answers.add(await scene.feedback.webhook(scene.url[-12:], signature, body))  # type: ignore[union-attr]
        return answers

    await attack(500)
    gc.collect()
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        answers = await attack(FORGED)
        gc.collect()
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for _ in range(100):
        body, signature = _damaged(good, rng)
        answers.add(await post(scene, body, signature=signature))
    record_property("figure", f"{FORGED} forged webhooks: {(end - start) / 1024:.0f} kB more memory")
    assert answers == {401}
    assert end - start < 256 * 1024
    assert scene.calls("cdc") == 0
    assert scene.objects.objects[Kind.INVOICE, "ns", "a"] == before


def _damaged(good: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A body and a signature that do not belong together."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 4000)), signature_of(good)
    if kind == 1:
        place = rng.randrange(len(good))
        return good[:place] + bytes([good[place] ^ (1 << rng.randrange(8))]) + good[
            place + 1 :
        ], signature_of(good)
    if kind == 2:
        return good[: rng.randrange(len(good))], signature_of(good)
    if kind == 3:
        return good, signature_of(good, f"{VERIFIER}{rng.randrange(100)}")
    return b"[" * rng.randrange(1, 100_000), "A" * 44


async def test_the_status_tells_the_calls_and_the_metrics_what_is_left(scene: Followed) -> None:
    await created(scene)
    assert scene.feedback is not None
    await eventually(lambda: scene.connection.status.get("usage", {}).get("writes") == 1, "usage")
    usage = scene.connection.status["usage"]
    assert (usage["reads"], usage["appBudget"]) == (1, 500_000)
    assert usage["appReads"] == 0, "a sandbox is not metered"
    scene.feedback.measure(ACME)
    exposition = scene.metrics.exposition().decode()
    assert 'qbsync_quickbooks_read_budget_remaining{connection="acme",namespace="ns"} 500000.0' in exposition
    assert 'qbsync_webhooks_total{result="accepted"}' in exposition
