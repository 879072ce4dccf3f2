"""examples/old-bridge: what another program left in QuickBooks, unknown here, is found and not made again."""

import json
from typing import Any

import yaml

from cluster.harness.stage import ROOT, Stage, foreign_invoice
from cluster.harness.watching import Watch, handled, is_ready, ready

pytest_plugins = ["cluster.harness.plugin"]

FOLDER = ROOT / "examples" / "old-bridge"
IDS = {"hs-0218": "218", "hs-0215": "215"}
SOURCES = {"hs-0218": "5234f308-0f0d-40f7-b0f5-ce310004b43c", "hs-0215": "9f822c62-"}


def documents() -> list[dict[str, Any]]:
    """The example's InvoiceSyncs, for the test's own namespace."""
    found = list(yaml.safe_load_all((FOLDER / "invoices.yaml").read_text()))
    for document in found:
        del document["metadata"]["namespace"]
    return found


def fill_up_to(stage: Stage, last: int, so_far: int) -> None:
    """Other invoices, until the next one gets the id after `last`."""
    made = stage.seed(foreign_invoice(f"OTHER-{n}") for n in range(so_far + 1, last + 1))
    assert max((int(invoice["Id"]) for invoice in made), default=so_far) == last


def put_into_quickbooks(stage: Stage) -> None:
    """The bridge's two invoices, with their very ids."""
    first, second = json.loads((FOLDER / "in-quickbooks.json").read_text())
    (filler,) = stage.seed([foreign_invoice("OTHER-0")])
    fill_up_to(stage, 214, int(filler["Id"]))
    assert stage.seed([first])[0]["Id"] == "215"
    fill_up_to(stage, 217, 215)
    assert stage.seed([second])[0]["Id"] == "218"


def adopted(watch: Watch, name: str) -> dict[str, Any]:
    """The object, once it has its invoice again."""
    body = watch.object(
        name, lambda body: is_ready(body) and ready(body)["reason"] == "Adopted", what="Adopted"
    )
    assert body["status"]["quickbooksId"] == IDS[name]
    assert body["spec"]["source"]["id"].startswith(SOURCES[name])
    return body


def test_they_are_found_again_by_apply_and_by_sync_now(stage: Stage) -> None:
    put_into_quickbooks(stage)
    lines = json.loads((FOLDER / "in-quickbooks.json").read_text())[0]["Line"]
    stage.by_hand("215", "edit", Line=[{**lines[0], "Amount": 400}])
    stage.operator()
    stage.connected("craigs-design")
    watch = stage.watch()
    before = {row["Id"]: row for row in stage.simulator.invoices()}

    stage.apply(*documents())
    adopted(watch, "hs-0218")
    body = watch.reason("hs-0215", "DocNumberConflict")
    assert "net amount 400.00, the spec says 460.40" in ready(body)["message"]
    assert {row["Id"]: row for row in stage.simulator.invoices()} == before

    stage.by_hand("215", "edit", Line=lines)
    before = {row["Id"]: row for row in stage.simulator.invoices()}
    stage.annotate("invoicesync", "hs-0215", requested_at="set right")
    watch.object("hs-0215", handled("set right"), what="handled")
    adopted(watch, "hs-0215")
    assert {row["Id"]: row for row in stage.simulator.invoices()} == before, "adopting writes nothing"


def test_what_is_lost_here_again_is_found_again(stage: Stage) -> None:
    """A restore brings objects back without their status, and under other uids."""
    put_into_quickbooks(stage)
    stage.operator()
    stage.connected("craigs-design")
    watch = stage.watch()
    stage.apply(*documents())
    for name in IDS:
        adopted(watch, name)
    before = {row["Id"]: row for row in stage.simulator.invoices()}

    lost = ("--subresource=status", "--type=merge", "-p", '{"status": null}')
    stage.kubectl("patch", "invoicesync", "hs-0218", "-n", stage.namespace, *lost)
    stage.annotate("invoicesync", "hs-0218", requested_at="where is it")
    watch.object("hs-0218", handled("where is it"), what="handled")
    stage.delete("invoicesync", "hs-0215")
    stage.apply(*documents())
    uid = stage.get("invoicesync", "hs-0215")["metadata"]["uid"]
    watch.object("hs-0215", lambda body: body["metadata"]["uid"] == uid and is_ready(body), what="Ready")
    for name in IDS:
        adopted(watch, name)
    assert {row["Id"]: row for row in stage.simulator.invoices()} == before
