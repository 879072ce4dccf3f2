"""An InvoiceSync that says nothing of adoption gets what the connection says, never more than it permits."""

from typing import Any

import pytest

from qbsync.api.invoice import Adoption, InvoiceSyncSpec
from qbsync.api.meta import Kind
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import Snapshot
from qbsync.invoices.connection import Connection

INVOICE = {"docNumber": "1", "customer": {"id": "1"}, "lines": [{"item": {"id": "1"}, "amount": "1"}]}


def policy(said: str | None, **invoices: Any) -> Adoption:
    spec = {"realmId": "9341453908123456", "environment": "Sandbox", "clientSecretRef": {"name": "app"}}
    body = {"metadata": {}, "spec": {**spec, "invoices": invoices}, "status": {}}
    key, company = Key(Kind.CONNECTION, "billing", "acme", "u"), Company("billing", "acme")
    connection = Connection.parse(Snapshot(key, company, body, heard_at=0.0, inherited=False))
    wanted = {"connectionRef": {"name": "acme"}, "invoice": INVOICE, **({"adoption": said} if said else {})}
    return connection.adoption_for(InvoiceSyncSpec.model_validate(wanted))


@pytest.mark.parametrize(
    ("said", "invoices", "expected"),
    [
        (None, {}, Adoption.IF_MATCHING),
        (None, {"adoption": "Never"}, Adoption.NEVER),
        ("Never", {}, Adoption.NEVER),
        ("IfMatching", {"adoption": "Never"}, Adoption.IF_MATCHING),
        (None, {"permit": {"adoption": ["Never"]}}, Adoption.NEVER),
        (None, {"adoption": "IfMatching", "permit": {"adoption": ["Never"]}}, Adoption.NEVER),
        (None, {"adoption": "Always"}, Adoption.IF_MATCHING),
        (None, {"adoption": "Always", "permit": {"adoption": ["IfMatching", "Always"]}}, Adoption.ALWAYS),
        (None, {"permit": {"adoption": ["Always"]}}, Adoption.IF_MATCHING),
    ],
)
def test_what_applies(said: str | None, invoices: dict[str, Any], expected: Adoption) -> None:
    assert policy(said, **invoices) is expected
