"""Payments entered in QuickBooks come to the objects: by webhook at once, by change data capture each interval."""

import hashlib
import time
from typing import Any

from cluster.harness import manifests
from cluster.harness.stage import Stage
from cluster.harness.watching import eventually, is_ready

pytest_plugins = ["cluster.harness.plugin"]

VERIFIER = "verifier-of-the-app"
LISTENING = ("--webhook-listen", "127.0.0.1:0")


def is_paid(body: dict[str, Any]) -> bool:
    return bool(body.get("status", {}).get("paymentStatus") == "Paid")


def listen_to(stage: Stage, address: str) -> str:
    """Let Intuit send its webhooks to that address; returns the app's path."""
    client_id = stage.simulator.tokens()["client_id"]
    path = f"/webhooks/{hashlib.sha256(client_id.encode()).hexdigest()[:12]}"
    answer = stage.simulator._door.put(
        "/_simulator/webhooks", json={"url": f"http://{address}{path}", "verifierToken": VERIFIER}
    )
    answer.raise_for_status()
    return path


def with_verifier(stage: Stage) -> None:
    grant = stage.simulator.tokens()
    secret = manifests.client_secret("acme", grant)
    stage.apply({**secret, "stringData": {**secret["stringData"], "webhook_verifier_token": VERIFIER}})


def test_a_payment_shows_within_two_seconds_by_webhook_also_through_a_standby(
    stage: Stage, record_property: Any
) -> None:
    leader = stage.operator(*LISTENING).leads()
    standby = stage.operator(*LISTENING)
    stage.connected()
    with_verifier(stage)
    took = []
    for number, operator in enumerate((leader, standby)):
        listen_to(stage, operator.started["webhooks"])
        watch = stage.watch()
        stage.apply(manifests.invoice(f"inv-{number}"))
        id_ = watch.object(f"inv-{number}", is_ready, what="Ready")["status"]["quickbooksId"]
        eventually(
            lambda: (
                not any(box["pending"] for box in stage.simulator.get("/_simulator/webhooks")["endpoints"])
            ),
            what="the webhook of the create is taken",
        )
        started = time.monotonic()
        stage.simulator.post(f"/_simulator/invoices/{id_}/pay", {})
        watch.object(f"inv-{number}", is_paid, what="Paid", timeout=10)
        took.append(time.monotonic() - started)
    figures = f"Paid by webhook after {took[0]:.2f} s, through a standby after {took[1]:.2f} s"
    record_property("figure", figures)
    assert max(took) < 2, figures
    assert leader.metrics().total("qbsync_webhooks_total", result="accepted") >= 2
    assert standby.metrics().total("qbsync_webhooks_total", result="forwarded") >= 1


def test_a_payment_shows_within_one_interval_by_change_data_capture_alone(stage: Stage) -> None:
    stage.operator("--drift-interval", "3s").leads()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"), manifests.invoice("inv-2"))
    id_ = watch.object("inv-1", is_ready, what="Ready")["status"]["quickbooksId"]
    watch.object("inv-2", is_ready, what="Ready")
    stage.simulator.post(f"/_simulator/invoices/{id_}/pay", {})
    watch.object("inv-1", is_paid, what="Paid", timeout=20)
    eventually(
        lambda: stage.get("quickbooksconnection", "acme")["status"].get("drift", {}).get("cursor"),
        what="the cursor is kept",
    )
    assert len(watch.modifications("inv-2")) == 1, "who has no change is not written"
    eventually(
        lambda: stage.get("quickbooksconnection", "acme")["status"].get("usage", {}).get("appReads"),
        what="the reads are told",
    )
