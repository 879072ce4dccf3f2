"""What is left to read of everything that was done: history, Events, the audit log, the columns, the export."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from cluster.harness import manifests
from cluster.harness.commands import CommandLine
from cluster.harness.stage import Kubectl, Stage, foreign_invoice
from cluster.harness.watching import Watch, eventually, is_ready, ready
from qbsync.invoices.register import COLUMNS
from qbsync.kube.desk import INVOICE_PAGE

pytest_plugins = ["cluster.harness.plugin"]

REQUIRED = {"time", "level", "logger", "message", "audit", "action", "outcome"} | {
    *("namespace", "connection", "uid", "object", "doc_number")
}
OPTIONAL = {"source", "quickbooks_id", "intuit_tid", "fault_code"}


def source(name: str) -> dict[str, str]:
    return {"system": "hubspot", "id": f"id of {name}", "number": f"HS-{name}"}


def document(name: str, **more: Any) -> dict[str, Any]:
    return manifests.invoice(name, source=source(name), **more)


def one_of_each(stage: Stage) -> dict[str, dict[str, Any]]:
    """Everything that can become of an InvoiceSync, one after the other; each object as it was last seen."""
    stage.seed([foreign_invoice("ADOPTED", 100), foreign_invoice("CONFLICT", 7)])
    stage.operator("--invoice-events=all")
    stage.connected(invoices={"permit": {"deletion": ["Retain", "Void", "Delete"]}})
    watch = stage.watch()

    def settled(*names: str) -> None:
        for name in names:
            watch.object(name, is_ready, what="Ready")

    stage.apply(document("adopted"), document("updated"))
    settled("adopted", "updated")
    stage.apply(document("updated", amount="120.00"))
    watch.reason("updated", "Updated")
    stage.simulator.fault({"operation": "create"}, {"drop": "after"})
    stage.apply(document("recovered"))
    settled("recovered")
    for policy in ("Void", "Delete"):
        stage.apply(document(policy.lower(), deletionPolicy=policy))
        settled(policy.lower())
        stage.delete("invoicesync", policy.lower())
    stage.apply(document("conflict"), document("rejected", customer={"id": "4711"}))
    watch.reason("conflict", "DocNumberConflict")
    watch.reason("rejected", "ReferenceNotFound")
    return {event.name: event.body for event in watch.events}


DONE: dict[str, list[str]] = {
    "adopted": ["Adopted"],
    "updated": ["Created", "Updated"],
    "recovered": ["Recovered"],
    "void": ["Created", "Voided"],
    "delete": ["Created", "Deleted"],
    "conflict": ["DocNumberConflict"],
    "rejected": ["ReferenceNotFound"],
}
EVENTS = {
    "adopted": {("Normal", "InvoiceAdopted")},
    "updated": {("Normal", "InvoiceCreated"), ("Normal", "InvoiceUpdated")},
    "recovered": {("Normal", "InvoiceRecovered")},
    "void": {("Normal", "InvoiceCreated"), ("Normal", "InvoiceVoided")},
    # The API names no Event for it: the object and the invoice are both gone.
    "delete": {("Normal", "InvoiceCreated")},
    "conflict": {("Warning", "DocNumberConflict")},
    "rejected": {("Warning", "InvoiceRejected")},
}


def test_each_thing_done_is_one_history_entry_one_audit_line_and_its_event(stage: Stage) -> None:
    last = one_of_each(stage)

    history = {name: [entry["outcome"] for entry in body["status"]["history"]] for name, body in last.items()}
    assert history == {name: done[::-1] for name, done in DONE.items()}
    lines = {name: stage.audit(name) for name in DONE}
    assert {name: [line["outcome"] for line in told] for name, told in lines.items()} == DONE
    for name, expected in EVENTS.items():
        eventually(
            lambda name=name, expected=expected: stage.events(name) == expected, what=f"Events of {name}"
        )

    tids = {entry["intuitTid"]: entry["operation"] for entry in stage.simulator.requests()}
    for name, told in lines.items():
        _assert_schema(stage, name, last[name], told)
        for entry, line in zip(last[name]["status"]["history"][::-1], told, strict=True):
            assert entry.get("intuitTid") == line.get("intuit_tid")
    # What was done by a call names the very call.
    calls = [tids[line["intuit_tid"]] for told in lines.values() for line in told if "intuit_tid" in line]
    assert sorted(calls) == ["create"] * 4 + ["delete", "update", "void"]
    assert lines["rejected"][0]["fault_code"] == "2500"


def _assert_schema(stage: Stage, name: str, body: dict[str, Any], told: list[dict[str, Any]]) -> None:
    for line in told:
        assert set(line) >= REQUIRED
        assert set(line) - REQUIRED <= OPTIONAL
        assert (line["logger"], line["action"], line["audit"]) == ("qbsync.audit", "invoice.sync", True)
        assert (line["namespace"], line["connection"]) == (stage.namespace, "acme")
        assert (line["object"], line["uid"]) == (f"{stage.namespace}/{name}", body["metadata"]["uid"])
        assert (line["source"], line["doc_number"]) == (f"HS-{name}", name.upper())
        assert line.get("quickbooks_id") == body["status"].get("quickbooksId")


def test_the_wide_columns_show_the_source_s_number_beside_quickbooks_id(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(document("inv-1"))
    status = watch.object("inv-1", is_ready, what="Ready")["status"]
    printed = stage.kubectl("get", "invoicesyncs", "-n", stage.namespace, "-o", "wide")
    heading, row = (line.split() for line in printed.splitlines())
    shown = dict(zip(heading, row, strict=False))
    assert (shown["SOURCE"], shown["QUICKBOOKS-ID"]) == ("HS-inv-1", status["quickbooksId"])
    assert (shown["DOC-NUMBER"], shown["OUTCOME"]) == ("INV-1", "Created")
    assert "MESSAGE" in heading


# -- the export --------------------------------------------------------------------------------------------


def exported(stage: Stage, watch: Watch) -> CommandLine:
    """Two invoices of one connection, one that waits for another; and the command line."""
    stage.apply(document("inv-1"), document("inv-2", customer={"id": "4711"}))
    stage.apply(manifests.invoice("other", connection="nobody"))
    watch.object("inv-1", is_ready, what="Ready")
    watch.reason("inv-2", "ReferenceNotFound")
    watch.reason("other", "ConnectionNotFound")
    return CommandLine(stage)


def test_the_export_maps_sources_to_quickbooks_ids(stage: Stage, tmp_path: Path) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    qbsync = exported(stage, watch)
    here = ("invoices", "export", "-n", stage.namespace)

    told = qbsync(*here, key=None)
    assert (told.code, told.err) == (0, "3 InvoiceSyncs\n")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(told.out))}
    status = watch.objects["inv-1"]["status"]
    first = rows["inv-1"]
    assert tuple(first) == COLUMNS
    assert (first["sourceNumber"], first["quickbooksId"]) == ("HS-inv-1", status["quickbooksId"])
    assert (first["total"], first["balance"], first["currency"]) == ("100.00", "100.00", "USD")
    assert (first["paymentStatus"], first["origin"], first["outcome"]) == ("Unpaid", "Created", "Created")
    assert (first["ready"], first["reason"]) == ("True", "Created")
    assert first["lastSync"] == status["lastSyncTime"]
    assert first["connection"] == f"{stage.namespace}/acme"
    assert (rows["inv-2"]["ready"], rows["inv-2"]["quickbooksId"]) == ("False", "")
    assert rows["inv-2"]["message"] == ready(watch.objects["inv-2"])["message"]
    assert (rows["other"]["ready"], rows["other"]["docNumber"]) == ("Unknown", "OTHER")

    found = qbsync(*here, "-o", "json", "--connection", f"{stage.namespace}/acme", key=None).json()
    assert {row["name"] for row in found} == {"inv-1", "inv-2"}
    assert found[0] == {name: value or None for name, value in rows["inv-1"].items()}
    path = tmp_path / "register.csv"
    assert qbsync(*here, "--connection", "nobody", "--output", str(path), key=None).out == ""
    (row,) = csv.DictReader(io.StringIO(path.read_text()))
    assert row["name"] == "other"


def test_the_right_to_list_invoicesyncs_is_enough_for_it(
    kubectl: Kubectl, namespace: str, crds_installed: None, tmp_path: Path, bin_dir: Path
) -> None:
    """More objects than fit a page, read by an account that may do nothing else."""
    count = INVOICE_PAGE + 20
    objects = [manifests.invoice(f"inv-{n:03}") for n in range(count)]
    many = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("create", "-n", namespace, "-f", "-", stdin=many)
    kubectl("create", "serviceaccount", "auditor", "-n", namespace)
    rights = ("--verb=list", "--resource=invoicesyncs.qbsync.dev", "-n", namespace)
    kubectl("create", "role", "auditor", *rights)
    binding = ("--role=auditor", f"--serviceaccount={namespace}:auditor", "-n", namespace)
    kubectl("create", "rolebinding", "auditor", *binding)

    class Auditor:
        """As much of a stage as the command line needs."""

        def __init__(self) -> None:
            config = kubectl.json("config", "view", "--raw", "--minify")
            token = kubectl("create", "token", "auditor", "-n", namespace).strip()
            config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
            self.kubeconfig = tmp_path / "auditor"
            self.kubeconfig.write_text(json.dumps(config))
            self.kubectl = self

    qbsync: Any = CommandLine(Auditor())  # type: ignore[arg-type]
    told = qbsync("invoices", "export", "-n", namespace, key=None)
    assert told.code == 0, told.err
    assert [row["name"] for row in csv.DictReader(io.StringIO(told.out))] == [
        body["metadata"]["name"] for body in objects
    ]
    refused = qbsync("invoices", "export", "--all-namespaces", key=None)
    assert (refused.code, refused.out) == (2, "")
    assert "lacks a right" in refused.err
