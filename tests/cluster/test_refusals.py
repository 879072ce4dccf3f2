"""Bad input: refused at apply time where the schema can say it, else with a reason; never a burden to others."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster.harness import manifests
from cluster.harness.stage import GROUP_PATH, Kubectl, Stage, foreign_invoice
from cluster.harness.watching import Watch, condition, eventually, handled, is_ready, ready
from cluster.operator_process import RunningOperator

pytest_plugins = ["cluster.harness.plugin"]

ROOT = Path(__file__).resolve().parents[2]


# -- at apply time -----------------------------------------------------------------------------------------


def _without(path: str) -> dict[str, Any]:
    document = manifests.invoice("inv-1")
    *parents, last = path.split(".")
    place: Any = document
    for name in parents:
        place = place[name]
    del place[last]
    return document


BAD = {
    "missing customer": (_without("spec.invoice.customer"), "spec.invoice.customer: Required value"),
    "amount as float": (
        manifests.invoice("inv-1", lines=[{"item": {"id": "1"}, "amount": 12.5}]),
        r"\.spec\.invoice\.lines\[0\]\.amount: expected string",
    ),
    "DocNumber of 22 characters": (manifests.invoice("inv-1", number="X" * 22), "may not be more than 21"),
    "two ways of naming the customer": (
        manifests.invoice("inv-1", customer={"id": "1", "name": "Cool Cars"}),
        r"write exactly one of customer\.id, customer\.name and customer\.email",
    ),
}


@pytest.mark.parametrize(("document", "message"), BAD.values(), ids=BAD.keys())
def test_refused_at_apply_time(
    kubectl: Kubectl, namespace: str, crds_installed: None, document: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=json.dumps(document))


def test_a_changed_immutable_field_is_refused(kubectl: Kubectl, namespace: str, crds_installed: None) -> None:
    def apply(document: Mapping[str, Any]) -> None:
        kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=json.dumps(document))

    apply(manifests.invoice("inv-1"))
    with pytest.raises(RuntimeError, match="docNumber cannot change"):
        apply(manifests.invoice("inv-1", number="OTHER"))
    with pytest.raises(RuntimeError, match="connectionRef cannot change"):
        apply(manifests.invoice("inv-1", connection="other"))


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_accepted(
    kubectl: Kubectl, namespace: str, crds_installed: None, path: Path
) -> None:
    text = path.read_text().replace("  namespace: billing\n", "")
    kubectl("apply", "--server-side", "--dry-run=server", "-n", namespace, "-f", "-", stdin=text)


# -- what the connection does not permit, and what its company does not have ---------------------------------

LINE = {"item": {"id": "1"}, "amount": "10.00"}
BEYOND: dict[str, dict[str, Any]] = {
    "spec.adoption Always": {"adoption": "Always"},
    "spec.deletionPolicy Delete": {"deletionPolicy": "Delete"},
    "spec.send AfterCreate": {"send": "AfterCreate"},
    "spec.invoice.extra.AllowIPNPayment": {"fields": {"extra": {"AllowIPNPayment": True}}},
}
MISSING: dict[str, dict[str, Any]] = {
    "spec.invoice.terms: no payment term is called 'Net 31'": {"fields": {"terms": "Net 31"}},
    "spec.invoice.location: no location is called 'Berlin'": {"fields": {"location": "Berlin"}},
    "spec.invoice.class: no class is called 'A'": {"fields": {"class": "A"}},
    "spec.invoice.tax.code: no tax code is called 'X'": {"fields": {"tax": {"code": "X"}}},
    "spec.invoice.customer.email: no customer has the e-mail": {"customer": {"email": "a@example.com"}},
    "spec.invoice.lines[1].taxCode: no tax code is called 'X'": {"lines": [LINE, LINE | {"taxCode": "X"}]},
    "spec.invoice.lines[0].class: no class is called 'A'": {"lines": [LINE | {"class": "A"}]},
    "spec.invoice.lines[0].item.sku: no item has the SKU 'X'": {
        "lines": [{"item": {"sku": "X"}, "amount": "10.00"}]
    },
}


def refused_in(stage: Stage, cases: Mapping[str, Mapping[str, Any]], reason: str) -> dict[str, str]:
    """Apply an InvoiceSync for each case, beside a good one; their messages, once all are refused for `reason`."""
    stage.operator()
    stage.connected()
    watch = stage.watch()
    names = {case: f"inv-{n:02}" for n, case in enumerate(cases)}
    documents = [manifests.invoice(names[case], **change) for case, change in cases.items()]
    stage.apply(*documents, manifests.invoice("good"))
    watch.object("good", is_ready, what="Ready")
    refused = {case: watch.reason(name, reason) for case, name in names.items()}
    for body in refused.values():
        assert (ready(body)["status"], condition(body, "Stalled")["status"]) == ("False", "True")
    assert stage.more_than_sample() == 1
    return {case: ready(body)["message"] for case, body in refused.items()}


def test_what_is_not_permitted_is_named_and_nothing_is_sent(stage: Stage) -> None:
    for what, message in refused_in(stage, BEYOND, "NotPermitted").items():
        assert message.startswith(f"{what} is beyond what the connection permits")


def test_what_the_company_does_not_have_is_named_and_nothing_is_sent(stage: Stage) -> None:
    for what, message in refused_in(stage, MISSING, "ReferenceNotFound").items():
        assert message.startswith(what)


# -- what QuickBooks refuses -------------------------------------------------------------------------------


def test_quickbooks_words_code_and_transaction_id_stand_in_the_status(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1", customer={"id": "4711"}), manifests.invoice("inv-2"))
    body = watch.reason("inv-1", "ReferenceNotFound")
    error = body["status"]["lastError"]
    assert error["code"] == "2500"
    assert error["type"] == "ValidationFault"
    assert error["message"] == "Invalid Reference Id"
    assert "Names element id 4711 not found" in error["detail"]
    tids = {entry["intuitTid"] for entry in stage.simulator.requests("create")}
    assert error["intuitTid"] in tids
    assert body["status"]["history"][0]["intuitTid"] == error["intuitTid"]
    assert condition(body, "Stalled")["status"] == "True"
    assert "Invalid Reference Id" in ready(body)["message"]
    watch.object("inv-2", is_ready, what="Ready")
    events = stage.kubectl.json("get", "events.events.k8s.io", "-n", stage.namespace)["items"]
    told = [event for event in events if event["regarding"]["name"] == "inv-1"]
    assert [(event["type"], event["reason"]) for event in told] == [("Warning", "InvoiceRejected")]


def test_a_refused_invoice_is_not_tried_again_until_its_spec_changes(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1", customer={"id": "4711"}))
    body = watch.reason("inv-1", "ReferenceNotFound")
    first = body["status"].get("rejections")
    creates = stage.simulator.counters()["requests"]["create"]

    stage.kubectl("label", "invoicesync", "inv-1", "-n", stage.namespace, "team=billing")
    stage.apply(manifests.invoice("inv-2"))
    watch.object("inv-2", is_ready, what="Ready")
    assert stage.simulator.counters()["requests"]["create"] == creates + 1

    stage.apply(manifests.invoice("inv-1", customer={"id": "2"}))
    body = watch.object("inv-1", is_ready, what="Ready")
    assert body["status"]["outcome"] == "Created"
    assert "lastError" not in body["status"]
    # Another intended change, so another requestid: QuickBooks may answer the first one with its refusal for ever.
    ids = [entry["requestid"] for entry in stage.simulator.requests("create")]
    assert len(set(ids)) == len(ids)
    assert first == 1


def test_references_are_looked_up_by_name_and_what_is_wrong_is_said(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(
        manifests.invoice("unknown", customer={"name": "Nobody's"}),
        manifests.invoice("inactive", customer={"name": "Former Client (deleted)"}),
        manifests.invoice("item", lines=[{"item": {"name": "Nothing"}, "amount": "1.00"}]),
        manifests.invoice("child", customer={"name": "Freeman Sporting Goods:55 Twin Lane"}),
        manifests.invoice("apostrophe", number="O'N\\EIL-1", customer={"name": "Amy's Bird Sanctuary"}),
    )
    for name in ("child", "apostrophe"):
        watch.object(name, is_ready, what="Ready")
    assert len(stage.simulator.invoices("O'N\\EIL-1")) == 1
    messages = {
        name: ready(watch.reason(name, "ReferenceNotFound"))["message"]
        for name in ("unknown", "inactive", "item")
    }
    assert "no customer is called" in messages["unknown"]
    assert "Nobody's" in messages["unknown"]
    assert "inactive: reactivate it" in messages["inactive"]
    assert "spec.invoice.lines[0].item.name" in messages["item"]
    assert stage.more_than_sample() == 2


def test_amounts_that_contradict_each_other_are_refused_before_anything_is_sent(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    line = {"item": {"id": "1"}, "quantity": "3", "unitPrice": "1.00", "amount": "4.00"}
    stage.apply(manifests.invoice("inv-1", lines=[line]))
    message = ready(watch.reason("inv-1", "InvalidInvoice"))["message"]
    assert "spec.invoice.lines[0].amount is 4.00, but quantity x unitPrice is 3.00" in message
    assert "create" not in stage.simulator.counters()["requests"]


def test_adoption_policies(stage: Stage) -> None:
    stage.seed(foreign_invoice(f"INV-{n}", 100) for n in range(1, 5))
    stage.seed([foreign_invoice("INV-2", 100)])  # the number is not unique in QuickBooks
    stage.operator()
    stage.connected(invoices={"permit": {"adoption": ["IfMatching", "Always", "Never"]}})
    watch = stage.watch()
    stage.apply(
        manifests.invoice("inv-1", adoption="Never"),
        manifests.invoice("inv-2"),
        manifests.invoice("inv-3", amount="5.00", adoption="Always"),
        manifests.invoice("inv-4", fields={"transactionDate": "2020-01-01"}),
    )
    assert "adoption is Never" in ready(watch.reason("inv-1", "DocNumberConflict"))["message"]
    assert "2 invoices have it" in ready(watch.reason("inv-2", "DocNumberConflict"))["message"]
    assert watch.object("inv-3", is_ready, what="Ready")["status"]["outcome"] == "Adopted"
    assert "the spec says 2020-01-01" in ready(watch.reason("inv-4", "DocNumberConflict"))["message"]
    assert stage.more_than_sample() == 5


def test_two_invoicesyncs_for_one_number_make_one_invoice(stage: Stage) -> None:
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(*(manifests.invoice(f"inv-{n}", number="INV-1") for n in range(5)))
    watch.until(
        lambda objects: (
            sorted(str(ready(body).get("reason")) for body in objects.values())
            == ["Created"] + ["DocNumberConflict"] * 4
        ),
        what="one Created, four refused",
    )
    assert stage.more_than_sample() == 1


def test_a_conflict_that_a_person_resolved_goes_on_when_asked_to(stage: Stage) -> None:
    (other,) = stage.seed([foreign_invoice("INV-1", 7)])
    stage.operator()
    stage.connected()
    watch = stage.watch()
    stage.apply(manifests.invoice("inv-1"))
    watch.reason("inv-1", "DocNumberConflict")
    stage.annotate("invoicesync", "inv-1", requested_at="still there")
    body = watch.object("inv-1", handled("still there"), what="handled")
    assert ready(body)["reason"] == "DocNumberConflict"
    stage.simulator.post(f"/_simulator/invoices/{other['Id']}/delete", {})
    stage.annotate("invoicesync", "inv-1", requested_at="gone")
    body = watch.object("inv-1", is_ready, what="Ready")
    assert body["status"]["outcome"] == "Created"
    assert body["status"]["lastHandledRequest"] == "gone"


# -- other namespaces --------------------------------------------------------------------------------------


@pytest.fixture
def neighbours(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """Another namespace."""
    name = f"{namespace}-next"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def test_another_namespace_needs_leave_and_learns_nothing_without(stage: Stage, neighbours: str) -> None:
    (theirs,) = stage.seed([foreign_invoice("THEIRS", "77.77")])
    stage.operator("--namespaces", f"{stage.namespace},{neighbours}")
    connections = stage.connected()
    watch = Watch(
        binary=stage.bin_dir / "kubectl",
        kubeconfig=stage.kubectl.kubeconfig,
        path=f"{GROUP_PATH}/namespaces/{neighbours}/invoicesyncs",
    )
    try:
        for name in ("acme", "nobody"):
            document = manifests.invoice(f"for-{name}", number=f"N-{name}", connection=name)
            document["spec"]["connectionRef"]["namespace"] = stage.namespace
            stage.kubectl("apply", "--server-side", "-n", neighbours, "-f", "-", stdin=json.dumps(document))
        messages = [
            ready(watch.reason(f"for-{name}", "ConnectionNotAllowed"))["message"].replace(name, "…")
            for name in ("acme", "nobody")
        ]
        assert messages[0] == messages[1], "an unknown and a forbidden one are told apart by nobody"

        stage.apply(stage.connection(allowedNamespaces={"from": "All"}))
        connections.object("acme", is_ready, what="Ready")
        assert watch.object("for-acme", is_ready, what="Ready")["status"]["outcome"] == "Created"

        document = manifests.invoice("curious", number="THEIRS", amount="1.00")
        document["spec"]["connectionRef"]["namespace"] = stage.namespace
        stage.kubectl("apply", "--server-side", "-n", neighbours, "-f", "-", stdin=json.dumps(document))
        message = ready(watch.reason("curious", "DocNumberConflict"))["message"]
        assert theirs["Id"] in message
        assert "77" not in message.replace(theirs["Id"], "")
    finally:
        watch.close()


def test_a_selector_is_refused_where_namespaces_may_not_be_read(stage: Stage, neighbours: str) -> None:
    stage.operator("--namespaces", f"{stage.namespace},{neighbours}")
    selector = {"from": "Selector", "selector": {"matchLabels": {"team": "billing"}}}
    connections = stage.connect(allowedNamespaces=selector)
    document = manifests.invoice("inv-1")
    document["spec"]["connectionRef"]["namespace"] = stage.namespace
    stage.kubectl("apply", "--server-side", "-n", neighbours, "-f", "-", stdin=json.dumps(document))
    stage.apply(manifests.invoice("inv-1"))

    def told() -> bool:
        texts = [json.dumps(body) for body in connections.objects.values()]
        found = stage.kubectl("get", "isync", "-A", "-o", "json")
        return any("Selector" in text and "--namespaces" in text for text in (*texts, found))

    eventually(told, what="a message that names Selector and --namespaces", timeout=30)


# -- nobody pays for others --------------------------------------------------------------------------------


def test_one_broken_object_delays_no_other(stage: Stage) -> None:
    """A dead company, refused invoices and lost answers: all others are done while those still wait."""
    stage.operator()
    stage.connected()
    dead = stage.connection("dead", realm=stage.simulator.realm())
    dead["spec"]["endpoints"] = {
        "api": "http://127.0.0.1:9",
        "token": "http://127.0.0.1:9/oauth2/v1/tokens/bearer",
    }
    grant = stage.simulator.tokens()
    stage.apply(manifests.client_secret("dead", grant), manifests.import_secret("dead", grant), dead)
    watch = stage.watch()
    broken = [
        manifests.invoice("broken-0", connection="dead"),
        manifests.invoice("broken-1", connection="nobody"),
        manifests.invoice("broken-2", customer={"name": "Nobody"}),
        manifests.invoice("broken-3", customer={"id": "4711"}),
        manifests.invoice("broken-4", deletionPolicy="Delete"),
    ]
    # Two of them, since the invoice with the unknown customer is sent as well.
    stage.simulator.fault({"operation": "create"}, {"drop": "before"}, times=2)
    # A handful: more of them might go out together.
    good = [manifests.invoice(f"inv-{n}") for n in range(8)]
    stage.apply(*broken, manifests.invoice("lost", number="A-LOST"), *good)
    watch.until(
        lambda objects: sum(is_ready(objects[f"inv-{n}"]) for n in range(8) if f"inv-{n}" in objects) >= 6,
        what="the good ones Ready",
        timeout=20,
    )
    assert not is_ready(watch.objects["broken-0"])
    lost = [entry for entry in stage.simulator.requests("create") if entry["status"] is None]
    assert len(lost) == 2
    watch.until(
        lambda objects: all(is_ready(objects[f"inv-{n}"]) for n in range(8)), what="all good ones Ready"
    )


def test_a_slow_company_delays_no_other(stage: Stage) -> None:
    slow = stage.simulator.realm()
    stage.operator()
    stage.connected()
    stage.connected("slow", realm=slow)
    watch = stage.watch()
    stage.simulator.fault({"realmId": slow}, {"delaySeconds": 2.5}, times=None)
    stage.apply(
        *(manifests.invoice(f"slow-{n}", connection="slow") for n in range(20)),
        *(manifests.invoice(f"inv-{n}") for n in range(20)),
    )
    watch.until(
        lambda objects: (
            sum(is_ready(body) for name, body in objects.items() if name.startswith("inv-")) == 20
        ),
        what="the others Ready",
    )
    assert sum(is_ready(body) for name, body in watch.objects.items() if name.startswith("slow-")) < 20


# -- the process -------------------------------------------------------------------------------------------

SALTED = {"ENCRYPTION_SALT": "sixteen bytes or more"}
BAD_KEYS: dict[str, tuple[dict[str, str | None], str]] = {
    "missing": ({"ENCRYPTION_MASTER_KEY": None}, "ENCRYPTION_MASTER_KEY is not set"),
    "empty": ({"ENCRYPTION_MASTER_KEY": "  "}, "ENCRYPTION_MASTER_KEY is not set"),
    "short": ({"ENCRYPTION_MASTER_KEY": "too short", **SALTED}, "ENCRYPTION_MASTER_KEY is too short"),
    "short base64": (
        {"ENCRYPTION_MASTER_KEY": "base64:c2hvcnQ="},
        "ENCRYPTION_MASTER_KEY: after base64: come",
    ),
    "no salt": ({"ENCRYPTION_MASTER_KEY": "passphrase:" + "long enough " * 4}, "ENCRYPTION_SALT is not set"),
}


@pytest.mark.parametrize(("environment", "message"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_without_a_proper_master_key_it_does_not_start(
    controlplane: Path, tmp_path: Path, environment: Mapping[str, str | None], message: str
) -> None:
    log = tmp_path / "operator.log"
    operator = RunningOperator(kubeconfig=controlplane, log_file=log, environment=environment)
    assert operator.wait(timeout=60) == 2
    text = log.read_text()
    assert text.count("\n") == 1, text
    assert text.startswith("qbsync: ")
    assert message in text
    key = (
        (environment["ENCRYPTION_MASTER_KEY"] or "")
        .strip()
        .removeprefix("passphrase:")
        .removeprefix("base64:")
    )
    assert not key or key not in text.replace("is too short", "")


BAD_FLAGS = {
    "duration": (("--lease-duration", "soon"), "--lease-duration"),
    "address": (("--listen", "nowhere"), "--listen"),
    "level": (("--log-level", "loud"), "--log-level"),
}


@pytest.mark.parametrize(("flags", "message"), BAD_FLAGS.values(), ids=BAD_FLAGS.keys())
def test_a_flag_that_makes_no_sense_is_named(
    controlplane: Path, tmp_path: Path, flags: tuple[str, str], message: str
) -> None:
    log = tmp_path / "operator.log"
    operator = RunningOperator(kubeconfig=controlplane, log_file=log, flags=flags)
    assert operator.wait(timeout=60) == 2
    text = log.read_text()
    assert message in text
    assert "Traceback" not in text


def test_without_a_cluster_it_says_what_to_do(tmp_path: Path) -> None:
    log = tmp_path / "operator.log"
    operator = RunningOperator(kubeconfig=tmp_path / "missing", log_file=log)
    assert operator.wait(timeout=60) != 0
    assert "KUBECONFIG" in log.read_text()
    assert "Traceback" not in log.read_text()
