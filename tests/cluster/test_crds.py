"""The CRDs on the real API server: what is stored, what `kubectl get` shows, what a client can select."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pytest

from qbsync.api.connection import QuickBooksConnectionStatus
from qbsync.api.invoice import FORBIDDEN_EXTRA, MAX_LINES, InvoiceSyncStatus
from qbsync.api.meta import GROUP, PLURALS, Kind
from unit.api.documents import full, manifest

pytestmark = pytest.mark.usefixtures("crds_installed")

STATUS_OF: Mapping[Kind, type[QuickBooksConnectionStatus | InvoiceSyncStatus]] = {
    Kind.CONNECTION: QuickBooksConnectionStatus,
    Kind.INVOICE: InvoiceSyncStatus,
}


class Kubectl(Protocol):
    """What these tests need of the fixture."""

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str: ...

    def json(self, *arguments: str, stdin: str = "") -> Any: ...


@pytest.fixture
def apply(kubectl: Kubectl, namespace: str) -> Callable[..., Any]:
    """Server-side apply into the test's namespace, as the examples do it; returns the stored object."""

    def run(document: Mapping[str, Any]) -> Any:
        arguments = ("apply", "--server-side", "-n", namespace, "-f", "-")
        return kubectl.json(*arguments, stdin=json.dumps(document))

    return run


def resource(kind: Kind) -> str:
    return f"{PLURALS[kind]}.{GROUP}"


def set_status(kubectl: Kubectl, namespace: str, kind: Kind, name: str, status: Mapping[str, Any]) -> Any:
    """As the operator does it: one JSON patch with the whole status."""
    patch = json.dumps([{"op": "add", "path": "/status", "value": status}])
    arguments = (
        "patch",
        resource(kind),
        name,
        "-n",
        namespace,
        "--subresource=status",
        "--type=json",
        "-p",
        patch,
    )
    return kubectl.json(*arguments)


def dump(status: QuickBooksConnectionStatus | InvoiceSyncStatus) -> dict[str, Any]:
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


@pytest.mark.parametrize("kind", Kind)
def test_every_field_is_stored_and_comes_back(
    kubectl: Kubectl, namespace: str, apply: Callable[..., Any], kind: Kind
) -> None:
    document = full(kind)
    stored = apply(document)
    assert stored["spec"] == document["spec"]
    status = STATUS_OF[kind].model_validate(document["status"])
    patched = set_status(kubectl, namespace, kind, "full", dump(status))
    assert patched["status"] == document["status"]
    assert STATUS_OF[kind].model_validate(patched["status"]) == status


@pytest.mark.parametrize("kind", Kind)
def test_a_new_object_is_not_taken_for_a_finished_one(apply: Callable[..., Any], kind: Kind) -> None:
    stored = apply(manifest(kind, {}, name="new"))
    assert stored["status"] == {"observedGeneration": -1}
    assert dump(STATUS_OF[kind].model_validate(stored["status"])) == stored["status"]


@pytest.mark.parametrize(
    ("kind", "defaults"),
    [
        (Kind.CONNECTION, {"deletionPolicy": "Retain", "suspend": False}),
        (Kind.INVOICE, {"deletionPolicy": "Retain", "mode": "Apply", "send": "Never", "suspend": False}),
    ],
)
def test_only_what_defines_meaning_is_filled_in(
    apply: Callable[..., Any], kind: Kind, defaults: Mapping[str, Any]
) -> None:
    document = manifest(kind, {}, name="bare")
    assert apply(document)["spec"] == {**document["spec"], **defaults}


def table(text: str) -> list[list[str]]:
    """Lines of `kubectl get`, cells separated by two blanks or more; empty cells vanish."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_kubectl_get_shows_connections_at_a_glance(
    kubectl: Kubectl, namespace: str, apply: Callable[..., Any]
) -> None:
    document = full(Kind.CONNECTION)
    apply(document)
    set_status(kubectl, namespace, Kind.CONNECTION, "full", document["status"])
    header, row = table(kubectl("get", "qbconnections", "-n", namespace))
    assert " ".join(header) == (
        "NAME READY REASON REALM COMPANY ACCESS-EXPIRES REFRESH-EXPIRES NEXT-REFRESH CIRCUIT AGE"
    )
    assert row[:-1] == [
        "full",
        "True",
        "TokenFresh",
        "9341453908123456",
        "Müller & Söhne",
        "2026-11-23T09:00:00Z",
        "2027-03-04T08:00:00Z",
        "2026-11-23T08:28:11Z",
        "Open",
    ]
    wide_header, wide_row = table(kubectl("get", "qbc", "-n", namespace, "-o", "wide"))
    assert wide_header == [*header, "INVOICES", "QUEUE", "KEY", "MESSAGE"]
    assert wide_row[-4:] == ["200", "0", "3fa9c1d2", "the access token is valid until 09:00"]


def test_kubectl_get_shows_invoices_at_a_glance(
    kubectl: Kubectl, namespace: str, apply: Callable[..., Any]
) -> None:
    document = full(Kind.INVOICE)
    apply(document)
    set_status(kubectl, namespace, Kind.INVOICE, "full", document["status"])
    header, row = table(kubectl("get", "isync", "-n", namespace))
    assert " ".join(header) == (
        "NAME READY REASON DOC-NUMBER QUICKBOOKS-ID TOTAL BALANCE PAID CONNECTION AGE"
    )
    assert row[:-1] == ["full", "Unknown", "OutcomeUnknown", "INV-1042", "145", "385.05", "0", "Paid", "acme"]
    wide_header, wide_row = table(kubectl("get", "invoicesyncs", "-n", namespace, "-o", "wide"))
    assert wide_header == [*header, "SOURCE", "OUTCOME", "MESSAGE"]
    assert wide_row[-3:] == ["INV-1042", "Created", "sent, and no answer came"]


def test_every_name_of_the_kinds_works(kubectl: Kubectl, namespace: str, apply: Callable[..., Any]) -> None:
    apply(manifest(Kind.CONNECTION, {}, name="acme"))
    apply(manifest(Kind.INVOICE, {}, name="inv-1"))
    connection, invoice = f"quickbooksconnection.{GROUP}/acme", f"invoicesync.{GROUP}/inv-1"
    both = {connection, invoice}
    for names, found in {
        "qbconnections,qbconnection,qbc,quickbooksconnection,quickbooksconnections": connection,
        "isync,invoicesync,invoicesyncs": invoice,
    }.items():
        for name in names.split(","):
            assert kubectl("get", name, "-n", namespace, "-o", "name").split() == [found]
    for names in ("qbsync", "qbconnections,invoicesyncs"):
        assert {*kubectl("get", names, "-n", namespace, "-o", "name").split()} == both


@pytest.mark.parametrize(
    "selector",
    [
        "spec.connectionRef.name=acme",
        "spec.connectionRef.namespace=billing",
        "spec.invoice.docNumber=INV-1042",
        "status.quickbooksId=145",
    ],
)
def test_invoices_can_be_selected(
    kubectl: Kubectl, namespace: str, apply: Callable[..., Any], selector: str
) -> None:
    document = full(Kind.INVOICE)
    apply(document)
    set_status(kubectl, namespace, Kind.INVOICE, "full", document["status"])
    apply(manifest(Kind.INVOICE, {"connectionRef": {"name": "other"}}, name="other"))
    names = kubectl("get", "isync", "-n", namespace, "--field-selector", selector, "-o", "name").split()
    assert names == ["invoicesync.qbsync.dev/full"]


@pytest.mark.parametrize(
    "arguments",
    [("apply", "--server-side"), ("apply",), ("create",)],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"invoice": {"docnumber": "INV-1"}}, "spec.invoice.docnumber"),
        ({"invoice": {"customer": {"surname": "A"}}}, "spec.invoice.customer.surname"),
        ({"deletePolicy": "Void"}, "spec.deletePolicy"),
    ],
)
def test_unknown_fields_are_refused(
    kubectl: Kubectl, namespace: str, arguments: tuple[str, ...], change: Mapping[str, Any], field: str
) -> None:
    document = json.dumps(manifest(Kind.INVOICE, change, name="odd"))
    with pytest.raises(RuntimeError, match=field.replace(".", r"\.")):
        kubectl(*arguments, "-n", namespace, "--dry-run=server", "-f", "-", stdin=document)


@pytest.mark.parametrize("arguments", [("apply",), ("create",)], ids=" ".join)
def test_a_float_is_refused_with_its_place(
    kubectl: Kubectl, namespace: str, arguments: tuple[str, ...]
) -> None:
    lines = [{"item": {"name": "Design"}, "quantity": "3", "unitPrice": 128.35}]
    document = json.dumps(manifest(Kind.INVOICE, {"invoice": {"lines": lines}}, name="float"))
    with pytest.raises(
        RuntimeError, match=r'spec\.invoice\.lines\[0\]\.unitPrice in body must be of type string: "number"'
    ):
        kubectl(*arguments, "-n", namespace, "--dry-run=server", "-f", "-", stdin=document)


def test_extra_never_carries_what_the_spec_or_the_identity_says(kubectl: Kubectl, namespace: str) -> None:
    changes = {key: {"invoice": {"extra": {key: "1"}}} for key in FORBIDDEN_EXTRA}
    documents = [manifest(Kind.INVOICE, change, name=key.lower()) for key, change in changes.items()]
    documents.append(
        manifest(Kind.INVOICE, {"invoice": {"extra": {"AllowIPNPayment": True}}}, name="allowed")
    )
    arguments = ("apply", "--server-side", "--dry-run=server", "-n", namespace, "-f", "-")
    with pytest.raises(RuntimeError) as caught:
        kubectl(*arguments, stdin="\n---\n".join(json.dumps(document) for document in documents))
    refused = {
        line.split('"')[1]
        for line in str(caught.value).splitlines()
        if '"spec.invoice.extra" must not' in line
    }
    assert refused == {key.lower() for key in FORBIDDEN_EXTRA}


def lines(count: int) -> list[dict[str, Any]]:
    line = {
        "item": {"name": "Landscaping:Garden design and planning"},
        "description": "x" * 1000,
        "quantity": "14.5000000",
        "unitPrice": "128.3500000",
        "amount": "1861.08",
        "taxCode": "NON",
        "class": "Projects:Garden",
        "serviceDate": "2026-11-20",
    }
    return [line] * count


def test_an_invoice_of_750_long_lines_fits_and_changes(apply: Callable[..., Any]) -> None:
    document = manifest(
        Kind.INVOICE, {"invoice": {"docNumber": "INV-750", "lines": lines(MAX_LINES)}}, name="big"
    )
    assert len(apply(document)["spec"]["invoice"]["lines"]) == MAX_LINES
    document["spec"]["invoice"]["lines"][-1] = {"text": "the end"}
    assert apply(document)["spec"]["invoice"]["lines"][-1] == {"text": "the end"}


def test_an_invoice_of_751_lines_is_refused(kubectl: Kubectl, namespace: str) -> None:
    document = json.dumps(manifest(Kind.INVOICE, {"invoice": {"lines": lines(MAX_LINES + 1)}}, name="big"))
    with pytest.raises(
        RuntimeError, match=r"spec\.invoice\.lines: Too many: 751: must have at most 750 items"
    ):
        kubectl("apply", "--server-side", "-n", namespace, "--dry-run=server", "-f", "-", stdin=document)


def test_wait_for_ready_ends_with_the_status(
    kubectl: Kubectl, namespace: str, apply: Callable[..., Any]
) -> None:
    document = full(Kind.CONNECTION)
    apply(document)
    set_status(kubectl, namespace, Kind.CONNECTION, "full", document["status"])
    waited = kubectl("wait", "--for=condition=Ready", "--timeout=10s", "-n", namespace, "qbconnection/full")
    assert "condition met" in waited
