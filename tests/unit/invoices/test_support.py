"""What is not done yet is refused by name."""

from typing import Any

import pytest

from qbsync.api.connection import QuickBooksConnectionSpec
from qbsync.api.invoice import InvoiceSyncSpec
from qbsync.api.meta import ADOPT, RECREATE
from qbsync.invoices.support import connection_not_supported_yet, not_supported_yet


def spec(*, invoice: dict[str, Any] | None = None, **fields: Any) -> InvoiceSyncSpec:
    plain = {
        "docNumber": "INV-1",
        "customer": {"name": "Amy's Bird Sanctuary"},
        "lines": [
            {
                "item": {"name": "Services"},
                "description": "Hours",
                "quantity": "1",
                "unitPrice": "2",
                "serviceDate": "2026-11-01",
            }
        ],
        "transactionDate": "2026-11-01",
        "dueDate": "2026-12-01",
        "billEmail": "a@example.com",
        "customerMemo": "Thanks",
        "privateNote": "note",
    }
    return InvoiceSyncSpec.model_validate(
        {"connectionRef": {"name": "acme"}, "invoice": {**plain, **(invoice or {})}, **fields}
    )


def test_what_this_release_does_is_not_refused() -> None:
    assert not_supported_yet(spec(source={"system": "hubspot", "id": "1", "number": "INV-1"}), {}) == ()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"deletionPolicy": "Void"}, "spec.deletionPolicy Void"),
        ({"deletionPolicy": "Delete"}, "spec.deletionPolicy Delete"),
        ({"send": "AfterCreate"}, "spec.send AfterCreate"),
        ({"mode": "Observe"}, "spec.mode Observe"),
        ({"source": {"system": "hubspot", "total": "1.00"}}, "spec.source.total"),
        ({"invoice": {"currency": "EUR"}}, "spec.invoice.currency"),
        ({"invoice": {"terms": "Net 30"}}, "spec.invoice.terms"),
        ({"invoice": {"class": "East"}}, "spec.invoice.class"),
        ({"invoice": {"tax": {"code": "TAX"}}}, "spec.invoice.tax"),
        ({"invoice": {"extra": {"Foo": "bar"}}}, "spec.invoice.extra"),
        ({"invoice": {"customFields": [{"definitionId": "1", "value": "x"}]}}, "spec.invoice.customFields"),
        ({"invoice": {"customer": {"email": "a@example.com"}}}, "spec.invoice.customer.email"),
        (
            {"invoice": {"customer": {"name": "New", "create": {"displayName": "New"}}}},
            "spec.invoice.customer.create",
        ),
        ({"invoice": {"lines": [{"text": "hello"}]}}, "spec.invoice.lines[0].text"),
        ({"invoice": {"lines": [{"subtotal": {}}]}}, "spec.invoice.lines[0].subtotal"),
        ({"invoice": {"lines": [{"discount": {"percent": "10"}}]}}, "spec.invoice.lines[0].discount"),
        ({"invoice": {"lines": [{"item": {"sku": "A"}, "amount": "1"}]}}, "spec.invoice.lines[0].item.sku"),
        (
            {"invoice": {"lines": [{"item": {"id": "1"}, "amount": "1", "taxCode": "TAX"}]}},
            "spec.invoice.lines[0].taxCode",
        ),
    ],
)
def test_what_this_release_does_not_do_is_named(given: dict[str, Any], named: str) -> None:
    assert named in not_supported_yet(spec(**given), {})


def test_an_invoice_without_a_number_is_named() -> None:
    assert "an invoice without spec.invoice.docNumber" in not_supported_yet(
        spec(invoice={"docNumber": None}), {}
    )


@pytest.mark.parametrize("annotation", [RECREATE, ADOPT])
def test_verbs_of_later_releases_are_named(annotation: str) -> None:
    assert not_supported_yet(spec(), {annotation: "1"}) == (f"annotation {annotation}",)


@pytest.mark.parametrize("mark", ["None", "CustomField:1"])
def test_an_owner_mark_in_another_place_is_named(mark: str) -> None:
    connection = {
        "realmId": "9341453908123456",
        "environment": "Sandbox",
        "clientSecretRef": {"name": "app"},
        "invoices": {"ownerMark": mark},
    }
    assert mark in connection_not_supported_yet(QuickBooksConnectionSpec.model_validate(connection))[0]
