"""The life of the objects: deleted, applied again, asked for, waited for, gone with their namespace."""

import time
from typing import Any

from cluster.harness import manifests
from cluster.harness.stage import Kubectl, Stage
from cluster.harness.watching import handled, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]


def synced(stage: Stage, *names: str) -> dict[str, Any]:
    """Apply InvoiceSyncs and wait until they are Ready; their statuses."""
    watch = stage.watch()
    stage.apply(*(manifests.invoice(name) for name in names))
    return {name: watch.object(name, is_ready, what="Ready")["status"] for name in names}


def test_a_deleted_and_applied_invoicesync_is_recovered(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    first = synced(stage, "inv-1", "inv-2")["inv-1"]
    uid = stage.get("invoicesync", "inv-1")["metadata"]["uid"]
    creates = stage.simulator.counters()["requests"]["create"]

    stage.delete("invoicesync", "inv-1")
    assert stage.simulator.invoices("INV-1"), "deletionPolicy Retain leaves the invoice"
    second = synced(stage, "inv-1")["inv-1"]

    assert stage.get("invoicesync", "inv-1")["metadata"]["uid"] != uid
    assert (second["outcome"], second["quickbooksId"]) == ("Recovered", first["quickbooksId"])
    assert second["origin"] == "Created"
    assert stage.simulator.counters()["requests"]["create"] == creates
    assert stage.more_than_sample() == 2


def test_under_another_name_the_source_is_recognised(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    source = {"system": "hubspot", "id": "4711"}
    stage.apply(manifests.invoice("old", number="INV-1", source=source))
    first = watch.object("old", is_ready, what="Ready")["status"]
    stage.delete("invoicesync", "old")
    stage.apply(
        manifests.invoice("new", number="INV-1", source=source),
        manifests.invoice("thief", number="INV-1", source={"system": "hubspot", "id": "4712"}),
    )
    second = watch.object("new", is_ready, what="Ready")["status"]
    assert (second["outcome"], second["quickbooksId"]) == ("Recovered", first["quickbooksId"])
    watch.reason("thief", "DocNumberConflict")
    assert stage.more_than_sample() == 1


def test_a_deleted_and_applied_connection_needs_no_reconnect(stage: Stage) -> None:
    operator = stage.operator()
    connections = stage.connected()
    synced(stage, "inv-1", "inv-2")
    before = stage.get("qbconnection", "acme")
    invoices = stage.watch()
    counters = stage.simulator.counters()

    stage.delete("qbconnection", "acme")
    assert stage.get("secret", "acme-qbsync-tokens")["type"] == "qbsync.dev/tokens"
    # As GitOps would: all of it again, the import with the token that was imported already too.
    grant = stage.simulator.ready
    stage.apply(manifests.client_secret("acme", grant), stage.connection())
    uid = stage.get("qbconnection", "acme")["metadata"]["uid"]
    body = connections.object(
        "acme", lambda body: is_ready(body) and body["metadata"]["uid"] == uid, what="Ready again"
    )

    after = stage.simulator.counters()
    assert after["refreshes"] == counters["refreshes"]
    assert after["requests"].get("token", 0) == counters["requests"].get("token", 0)
    assert body["status"]["accessTokenExpiresAt"] == before["status"]["accessTokenExpiresAt"]
    assert body["status"]["encryption"]["keyId"] == before["status"]["encryption"]["keyId"]
    events = stage.kubectl.json("get", "events", "-n", stage.namespace)["items"]
    assert "TokensAdopted" in {event["reason"] for event in events}

    # The invoices stayed, and went on standing; new ones get made.
    assert synced(stage, "inv-3")["inv-3"]["outcome"] == "Created"
    assert stage.more_than_sample() == 3
    for name in ("inv-1", "inv-2"):
        assert all(ready(event.body)["status"] == "True" for event in invoices.modifications(name))
    assert operator.running


def test_an_import_that_git_brings_back_is_not_imported_again(stage: Stage) -> None:
    stage.operator()
    grant = stage.simulator.tokens()
    connections = stage.watch("quickbooksconnections")
    documents = (
        manifests.client_secret("acme", grant),
        manifests.import_secret("acme", grant),
        stage.connection(),
    )
    stage.apply(*documents)
    connections.object("acme", is_ready, what="Ready")
    stage.delete("qbconnection", "acme")
    refreshes = stage.simulator.counters()["refreshes"]

    stage.apply(*documents)
    uid = stage.get("qbconnection", "acme")["metadata"]["uid"]
    connections.object(
        "acme", lambda body: is_ready(body) and body["metadata"]["uid"] == uid, what="Ready again"
    )
    synced(stage, "inv-1")
    assert stage.simulator.counters()["refreshes"] == refreshes
    history = stage.get("qbconnection", "acme")["status"].get("refreshHistory", [])
    assert [entry["trigger"] for entry in history].count("Import") <= 1


def test_invoices_wait_for_their_connection(stage: Stage) -> None:
    stage.operator()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    body = watch.reason("inv-1", "ConnectionNotFound")
    assert ready(body)["status"] == "Unknown"
    stage.connected()
    assert watch.object("inv-1", is_ready, what="Ready")["status"]["outcome"] == "Created"
    assert watch.reasons("inv-1") == ["ConnectionNotFound", "Created"]


def test_kubectl_wait_and_the_columns(stage: Stage) -> None:
    stage.operator()
    kubectl, here = stage.kubectl, ("-n", stage.namespace)
    stage.connect()
    assert "condition met" in kubectl(
        "wait", "--for=condition=Ready", "qbconnection/acme", *here, "--timeout=60s"
    )
    stage.apply(manifests.invoice("inv-1", amount="12.50"))
    assert "condition met" in kubectl(
        "wait", "--for=condition=Ready", "invoicesync/inv-1", *here, "--timeout=60s"
    )

    connections = _table(kubectl("get", "qbconnections", *here))
    status = stage.get("qbconnection", "acme")["status"]
    assert connections["NAME"] == "acme"
    assert (connections["READY"], connections["REASON"]) == ("True", "TokenFresh")
    assert connections["REALM"] == stage.simulator.realm_id
    assert connections["COMPANY"] == status["company"]["name"]
    assert connections["ACCESS-EXPIRES"] == status["accessTokenExpiresAt"]
    assert connections["REFRESH-EXPIRES"] == status["refreshTokenExpiresAt"]
    assert connections["NEXT-REFRESH"] == status["nextRefreshTime"]

    invoices = _table(kubectl("get", "isync", *here))
    assert (invoices["READY"], invoices["REASON"]) == ("True", "Created")
    assert (invoices["DOC-NUMBER"], invoices["TOTAL"], invoices["BALANCE"]) == ("INV-1", "12.50", "12.50")
    assert (invoices["PAID"], invoices["CONNECTION"]) == ("Unpaid", "acme")
    assert invoices["QUICKBOOKS-ID"] == stage.simulator.invoices("INV-1")[0]["Id"]

    both = kubectl("get", "qbconnections,invoicesyncs", *here)
    assert "quickbooksconnection.qbsync.dev/acme" in both
    assert "invoicesync.qbsync.dev/inv-1" in both
    assert "inv-1" in kubectl("get", "qbsync", *here)
    found = kubectl("get", "isync", *here, "--field-selector=spec.invoice.docNumber=INV-1", "-o", "name")
    assert found.strip() == "invoicesync.qbsync.dev/inv-1"


def _table(printed: str) -> dict[str, str]:
    """The first row by column: a cell starts where its heading does."""
    heading, row, *_ = printed.splitlines()
    names = heading.split()
    starts = [heading.index(f" {name}") + 1 if n else 0 for n, name in enumerate(names)]
    ends = [*starts[1:], len(row)]
    return {name: row[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)}


def test_requested_at_on_an_invoice_brings_what_was_paid(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1", amount="100.00"))
    status = watch.object("inv-1", is_ready, what="Ready")["status"]
    before = stage.simulator.counters()

    door = f"/_simulator/invoices/{status['quickbooksId']}/pay"
    stage.simulator.post(door, {"amount": 40})
    stage.annotate("invoicesync", "inv-1", requested_at="first")
    status = watch.object("inv-1", handled("first"), what="requested-at handled")["status"]
    assert (status["balance"], status["totalAmount"], status["paymentStatus"]) == (
        "60.00",
        "100.00",
        "PartiallyPaid",
    )

    stage.simulator.post(door, {})
    stage.annotate("invoicesync", "inv-1", requested_at="second")
    body = watch.object("inv-1", handled("second"), what="requested-at handled")
    assert (body["status"]["balance"], body["status"]["paymentStatus"]) == ("0.00", "Paid")
    assert ready(body)["status"] == "True"

    # Nothing had to change, and it is recorded all the same.
    stage.annotate("invoicesync", "inv-1", requested_at="third")
    body = watch.object("inv-1", handled("third"), what="requested-at handled")
    assert body["status"]["paymentStatus"] == "Paid"
    after = stage.simulator.counters()
    assert after["requests"]["create"] == before["requests"]["create"]
    assert after["meteredReads"] - before["meteredReads"] == 3


def test_requested_at_finds_an_invoice_deleted_in_quickbooks_and_leaves_it_so(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    id_ = synced(stage, "inv-1")["inv-1"]["quickbooksId"]
    watch = stage.watch()
    stage.simulator.post(f"/_simulator/invoices/{id_}/delete", {})
    stage.annotate("invoicesync", "inv-1", requested_at="now")
    body = watch.object("inv-1", handled("now"), what="requested-at handled")
    assert (ready(body)["status"], ready(body)["reason"]) == ("False", "DeletedInQuickBooks")
    assert stage.simulator.invoices("INV-1") == []


def test_requested_at_on_a_connection_refreshes_now(stage: Stage) -> None:
    stage.operator()
    watch = stage.connected()
    before = stage.get("qbconnection", "acme")["status"]
    refreshes = stage.simulator.counters()["refreshes"]
    stage.annotate("qbconnection", "acme", requested_at="now")
    status = watch.object("acme", handled("now"), what="requested-at handled")["status"]
    assert stage.simulator.counters()["refreshes"] == refreshes + 1
    assert status["refreshHistory"][0]["trigger"] == "Requested"
    assert status["encryption"]["sequence"] > before["encryption"]["sequence"]
    assert ready({"status": status})["status"] == "True"


def test_a_suspended_invoice_waits_and_goes_on(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1", suspend=True), manifests.invoice("inv-2"))
    watch.object("inv-2", is_ready, what="Ready")
    assert stage.simulator.invoices("INV-1") == []
    stage.apply(manifests.invoice("inv-1", suspend=False))
    assert watch.object("inv-1", is_ready, what="Ready")["status"]["outcome"] == "Created"
    stage.apply(manifests.invoice("inv-1", suspend=True))
    body = watch.object(
        "inv-1", lambda body: ready(body).get("message", "").startswith("suspended:"), what="suspended"
    )
    assert ready(body)["status"] == "True"


def test_a_suspended_connection_stops_invoices_and_keeps_its_grant(stage: Stage) -> None:
    stage.operator()
    connections = stage.connected(suspend=True)
    refreshes = stage.simulator.counters()["refreshes"]
    stage.apply(manifests.invoice("inv-1"))
    stage.annotate("qbconnection", "acme", requested_at="now")
    connections.object("acme", handled("now"), what="refreshed though suspended")
    assert stage.simulator.counters()["refreshes"] == refreshes + 1
    assert stage.simulator.invoices("INV-1") == []
    watch = stage.watch()
    stage.apply(stage.connection(suspend=False))
    watch.object("inv-1", is_ready, what="Ready")


def test_a_namespace_ends_with_the_operator_alive(stage: Stage, kubectl: Kubectl) -> None:
    operator = stage.operator()
    stage.connected()
    synced(stage, *(f"inv-{n}" for n in range(10)))
    started = time.monotonic()
    kubectl("delete", "namespace", stage.namespace, "--timeout=60s")
    assert time.monotonic() - started < 40
    assert stage.more_than_sample() == 10
    assert operator.running
    assert operator.get("/readyz").status_code == 200
    assert operator.terminate() == 0


def test_a_namespace_ends_without_any_operator(stage: Stage, kubectl: Kubectl) -> None:
    operator = stage.operator()
    stage.connected()
    synced(stage, *(f"inv-{n}" for n in range(10)))
    operator.kill()
    kubectl("delete", "namespace", stage.namespace, "--timeout=60s")
    assert stage.more_than_sample() == 10
