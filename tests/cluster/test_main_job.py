"""The main job on a real API server: an applied InvoiceSync becomes exactly one invoice."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cluster.harness import manifests
from cluster.harness.stage import NewStage, Stage, as_list, foreign_invoice, outcomes
from cluster.harness.watching import Watch, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]

COUNT, SAME, OTHER = 200, 50, 10
READS_PER_INVOICE = 0.04


def concluded(body: Mapping[str, Any]) -> bool:
    """Ready says yes or no about the generation that stands."""
    return ready(body).get("status") in {"True", "False"} and ready(body)["observedGeneration"] == 1


def all_concluded(watch: Watch, count: int, *, timeout: float) -> dict[str, Any]:
    """The objects, once each of them is Ready or refused."""

    def check(objects: Mapping[str, Any]) -> dict[str, Any] | None:
        done = {name: body for name, body in objects.items() if concluded(body)}
        return done if len(done) == count else None

    done = watch.until(check, what=f"{count} InvoiceSyncs concluded", timeout=timeout)
    assert done is not None
    return done


def test_two_hundred_of_which_fifty_exist_and_ten_exist_with_other_content(new_stage: NewStage) -> None:
    stage = new_stage("--latency", "20,100", profile="realistic")
    numbers = [f"INV-{n:04}" for n in range(COUNT)]
    amounts = {number: f"{100 + n}.{n % 100:02}" for n, number in enumerate(numbers)}
    stage.seed(foreign_invoice(number, float(amounts[number])) for number in numbers[:SAME])
    stage.seed(foreign_invoice(number, 7) for number in numbers[SAME : SAME + OTHER])
    operator = stage.operator()
    connections = stage.connected()
    watch = stage.watch()
    reads = stage.simulator.counters()["meteredReads"]

    documents = [
        manifests.invoice(
            number.lower(),
            amount=amounts[number],
            customer={"name": "Amy's Bird Sanctuary"} if n % 2 else {"id": "1"},
        )
        for n, number in enumerate(numbers)
    ]
    stage.apply(*documents)
    objects = all_concluded(watch, COUNT, timeout=180)

    assert outcomes(objects) == {"Created": COUNT - SAME - OTHER, "Adopted": SAME, "DocNumberConflict": OTHER}
    assert stage.more_than_sample() == COUNT
    assert Counter(stage.numbers()[number] for number in numbers) == {1: COUNT}
    _assert_totals_as_asked(stage, objects, amounts)

    # One status write each: the watch has delivered every revision, and the operator counts the same.
    writes = Counter(event.name for event in watch.modifications())
    assert Counter(writes.values()) == {1: COUNT}
    counted = operator.metrics().total("qbsync_kubernetes_writes_total")
    assert counted == COUNT + len(connections.modifications())

    counters = stage.simulator.counters()
    # What the operator created, one by one or in batches, and what was there before.
    assert counters["requests"]["create"] + counters["batchItems"].get("create", 0) == COUNT
    assert counters["throttled"] == 0
    # They arrive one after the other, so this is more than for a backlog: see the next test.
    assert counters["meteredReads"] - reads <= COUNT * READS_PER_INVOICE * 2


def _assert_totals_as_asked(stage: Stage, objects: Mapping[str, Any], amounts: Mapping[str, str]) -> None:
    books = {row["Id"]: row for row in stage.simulator.invoices()}
    for body in objects.values():
        status = body["status"]
        if ready(body)["status"] == "True":
            number = body["spec"]["invoice"]["docNumber"]
            assert books[status["quickbooksId"]]["DocNumber"] == number
            assert status["totalAmount"] == amounts[number]
        else:
            assert "quickbooksId" not in status


def test_a_backlog_costs_few_reads(new_stage: NewStage) -> None:
    stage = new_stage("--latency", "20,100", profile="realistic")
    stage.simulator.switch(limitPerSecond=0, limitConcurrent=0)
    watch = stage.watch()
    stage.apply(
        *(manifests.invoice(f"inv-{n:03}", customer={"name": "Cool Cars"}) for n in range(COUNT // 2))
    )
    stage.operator().leads()
    limits = {"requestsPerSecond": 50, "concurrentRequests": 20}
    stage.connected(limits=limits)
    objects = all_concluded(watch, COUNT // 2, timeout=120)
    assert outcomes(objects) == {"Created": COUNT // 2}
    # CompanyInfo and Preferences are read once for a company, not once for an invoice.
    assert stage.simulator.counters()["meteredReads"] - 2 <= COUNT // 2 * READS_PER_INVOICE


def test_the_same_manifest_again_is_no_call_and_no_write(stage: Stage) -> None:
    operator = stage.operator()
    stage.connected()
    watch = stage.watch()
    documents = [manifests.invoice(f"inv-{n}") for n in range(20)]
    stage.kubectl("apply", "-n", stage.namespace, "-f", "-", stdin=as_list(documents))
    all_concluded(watch, 20, timeout=60)
    calls, versions = stage.simulator.counters(), _versions(stage)
    writes = operator.metrics().total("qbsync_kubernetes_writes_total")

    told = stage.kubectl("apply", "-n", stage.namespace, "-f", "-", stdin=as_list(documents))
    assert told.count("unchanged") == 20
    # Something for the operator to see that changes nothing, and something that it has to do: when that is done,
    # whatever it wanted to do about the others is done too.
    stage.kubectl("label", "invoicesync", "--all", "-n", stage.namespace, "team=billing")
    stage.apply(manifests.invoice("last"))
    watch.object("last", is_ready, what="Ready")

    requests = stage.simulator.counters()["requests"]
    assert requests["create"] == calls["requests"]["create"] + 1
    assert requests["query"] == calls["requests"]["query"] + 1
    assert sum(requests.values()) == sum(calls["requests"].values()) + 2
    assert (
        operator.metrics().total("qbsync_kubernetes_writes_total") - writes <= 2
    )  # `last`, and the counters
    for name, version in versions.items():
        modified = watch.modifications(name)
        assert len(modified) == 2  # the sync and our label
        assert modified[0].body["metadata"]["resourceVersion"] == version


def test_applied_by_the_server_again_is_no_revision_at_all(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    watch.object("inv-1", is_ready, what="Ready")
    before = stage.get("invoicesync", "inv-1")["metadata"]["resourceVersion"]
    stage.apply(manifests.invoice("inv-1"))
    assert stage.get("invoicesync", "inv-1")["metadata"]["resourceVersion"] == before


def test_everything_that_can_be_said_of_an_invoice_reaches_quickbooks(stage: Stage) -> None:
    stage.operator()
    stage.connected(timeZone="America/Los_Angeles")
    watch = stage.watch()
    lines = [
        {
            "item": {"name": "Design"},
            "description": "Winter garden",
            "quantity": "3",
            "unitPrice": "128.35",
            "serviceDate": "2026-11-20",
        },
        {"item": {"id": "1"}, "description": "Travel", "amount": "44.00"},
        {"item": {"name": "Hours"}, "quantity": "0.333", "unitPrice": "10.5"},
    ]
    fields = {
        "transactionDate": "2026-11-21",
        "dueDate": "2026-12-21",
        "billEmail": "a@example.com",
        "customerMemo": "Thank you",
        "privateNote": "Offer 117",
    }
    source = {"system": "hubspot", "id": "4711", "number": "INV-1"}
    document = manifests.invoice(
        "inv-1", customer={"name": "Cool Cars"}, lines=lines, fields=fields, source=source
    )
    stage.apply(document)
    status = watch.object("inv-1", is_ready, what="Ready")["status"]

    (row,) = stage.simulator.invoices("INV-1")
    assert row["CustomerRef"]["value"] == "3"
    assert (row["TxnDate"], row["DueDate"]) == ("2026-11-21", "2026-12-21")
    assert row["BillEmail"] == {"Address": "a@example.com"}
    assert row["CustomerMemo"] == {"value": "Thank you"}
    assert row["PrivateNote"].startswith("Offer 117\n[qbsync k:")
    sales = [line for line in row["Line"] if line["DetailType"] == "SalesItemLineDetail"]
    assert [line["Amount"] for line in sales] == [385.05, 44, 3.5]
    assert sales[0]["SalesItemLineDetail"]["ServiceDate"] == "2026-11-20"
    assert (sales[0]["Description"], sales[1]["Description"]) == ("Winter garden", "Travel")

    assert status["totalAmount"] == status["balance"] == "432.55"
    assert status["quickbooksId"] == row["Id"]
    assert {
        name: status[name] for name in ("docNumber", "outcome", "origin", "currency", "paymentStatus")
    } == {
        "docNumber": "INV-1",
        "outcome": "Created",
        "origin": "Created",
        "currency": "USD",
        "paymentStatus": "Unpaid",
    }
    assert [entry["outcome"] for entry in status["history"]] == ["Created"]
    assert status["requestId"]
    assert status["appliedHash"]
    assert status["lastSyncTime"]
    assert "intent" not in status
    assert "lastError" not in status


def test_the_rest_of_what_can_be_said_reaches_quickbooks(stage: Stage) -> None:
    stage.operator()
    stage.connected(invoices={"permit": {"extra": ["AllowIPNPayment"]}})
    watch = stage.watch()
    lines = [
        {"item": {"sku": "RF-100"}, "quantity": "2", "unitPrice": "50.00", "taxCode": "TAX"},
        {"subtotal": {}},
        {"text": "As agreed by telephone"},
        {"discount": {"percent": "10"}},
    ]
    fields = {
        "terms": "Net 30",
        "currency": "USD",
        "billEmail": "a@example.com",
        "billEmailCc": "b@example.com",
        "shippingAddress": {"line1": "1 Pier", "city": "Bayshore"},
        "customFields": [{"definitionId": "1", "value": "7"}],
        "deposit": "20.00",
        "onlinePayment": {"ach": True},
        "extra": {"AllowIPNPayment": True},
    }
    customer = {"email": "Cool_Cars@intuit.com"}
    stage.apply(manifests.invoice("inv-1", customer=customer, lines=lines, fields=fields))
    status = watch.object("inv-1", is_ready, what="Ready")["status"]

    (row,) = stage.simulator.invoices("INV-1")
    assert row["CustomerRef"]["name"] == "Cool Cars"
    told = [
        (line["DetailType"], line.get("Description"), line["Amount"])
        for line in row["Line"]
        if "Amount" in line
    ]
    assert ("SalesItemLineDetail", None, 100) in told
    assert ("SubTotalLineDetail", None, 100) in told
    assert ("DiscountLineDetail", None, 10) in told
    assert "As agreed by telephone" in [line.get("Description") for line in row["Line"]]
    assert row["SalesTermRef"]["value"] == "3"  # Net 30
    assert row["BillEmailCc"] == {"Address": "b@example.com"}
    assert (row["ShipAddr"]["Line1"], row["ShipAddr"]["City"]) == ("1 Pier", "Bayshore")
    assert [field.get("StringValue") for field in row["CustomField"]] == ["7"]
    assert (row["AllowOnlineACHPayment"], row["AllowIPNPayment"]) == (True, True)
    assert (row["Deposit"], row["TotalAmt"]) == (20, 90)
    assert (status["totalAmount"], status["balance"], status["paymentStatus"]) == (
        "90.00",
        "70.00",
        "PartiallyPaid",
    )
    assert "Drifted" not in {condition["type"] for condition in status["conditions"]}


def test_an_invoice_of_750_lines(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    lines = [{"item": {"id": "1"}, "description": f"Position {n}", "amount": "0.01"} for n in range(750)]
    stage.apply(manifests.invoice("inv-1", lines=lines))
    assert watch.object("inv-1", is_ready, what="Ready")["status"]["totalAmount"] == "7.50"
    (row,) = stage.simulator.invoices("INV-1")
    assert [line["Description"] for line in row["Line"][:750]] == [line["description"] for line in lines]


def _versions(stage: Stage) -> dict[str, str]:
    return {name: body["metadata"]["resourceVersion"] for name, body in stage.all("invoicesyncs").items()}
