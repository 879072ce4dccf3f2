"""Who may use a connection, and when it is usable."""

from collections.abc import Mapping
from typing import Any

import pytest

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import InvoiceSyncSpec
from qbsync.api.meta import Kind
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import Snapshot
from qbsync.invoices.connection import Connection, LabelsUnknown, NamespaceLabels, gate
from qbsync.invoices.decide import Refuse, Wait

ACME = Company("billing", "acme")
TRUE = {
    "type": "Ready",
    "status": "True",
    "reason": "TokenFresh",
    "message": "fine",
    "lastTransitionTime": "2026-11-23T09:00:00Z",
}
COMPANY = {"name": "Acme", "currency": "USD", "customTransactionNumbers": True}


def connection(
    spec: Mapping[str, Any] | None = None,
    *,
    ready: Mapping[str, Any] = TRUE,
    company: Mapping[str, Any] | None = COMPANY,
) -> Connection:
    body = {
        "metadata": {},
        "spec": {
            "realmId": "9341453908123456",
            "environment": "Sandbox",
            "clientSecretRef": {"name": "app"},
            **(spec or {}),
        },
        "status": {"conditions": [ready], **({"company": company} if company else {})},
    }
    key = Key(Kind.CONNECTION, "billing", "acme", "u")
    return Connection.parse(Snapshot(key, ACME, body, heard_at=0.0, inherited=False))


def passing(
    used: Connection | None,
    *,
    namespace: str = "billing",
    labels: NamespaceLabels | None = None,
    adopt_id: str | None = None,
    deleting: bool = False,
    **spec: Any,
) -> Wait | Refuse | None:
    invoice = {"docNumber": "1", "customer": {"id": "1"}, "lines": [{"item": {"id": "1"}, "amount": "1"}]}
    content = {**spec, "invoice": {**invoice, **spec.get("invoice", {})}}
    parsed = InvoiceSyncSpec.model_validate({"connectionRef": {"name": "acme"}, **content})
    return gate(
        company=ACME,
        namespace=namespace,
        namespace_labels={} if labels is None else labels,
        spec=parsed,
        adopt_id=adopt_id,
        connection=used,
        deleting=deleting,
    )


def reason(action: Wait | Refuse | None) -> InvoiceReason:
    assert action is not None
    return action.reason


def test_a_ready_connection_lets_its_own_namespace_in() -> None:
    assert passing(connection()) is None


def test_a_missing_connection_is_waited_for_at_home_and_told_to_no_stranger() -> None:
    assert reason(passing(None)) is InvoiceReason.CONNECTION_NOT_FOUND
    unknown, forbidden = passing(None, namespace="shop"), passing(connection(), namespace="shop")
    assert unknown == forbidden
    assert reason(unknown) is InvoiceReason.CONNECTION_NOT_ALLOWED


def test_all_namespaces_may_be_let_in() -> None:
    assert passing(connection({"allowedNamespaces": {"from": "All"}}), namespace="shop") is None


@pytest.mark.parametrize(
    ("selector", "labels", "lets_in"),
    [
        ({"matchLabels": {"billing": "yes"}}, {"billing": "yes"}, True),
        ({"matchLabels": {"billing": "yes"}}, {"billing": "no"}, False),
        ({"matchLabels": {"billing": "yes"}}, {}, False),
        ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["a", "b"]}]}, {"env": "b"}, True),
        ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["a"]}]}, {"env": "a"}, False),
        ({"matchExpressions": [{"key": "env", "operator": "Exists"}]}, {"env": ""}, True),
        ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, {"env": ""}, False),
        ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, {}, True),
    ],
)
def test_a_selector_goes_by_the_namespaces_labels(
    selector: dict[str, Any], labels: dict[str, str], lets_in: bool
) -> None:
    selecting = connection({"allowedNamespaces": {"from": "Selector", "selector": selector}})
    action = passing(selecting, namespace="shop", labels=labels)
    assert (action is None) is lets_in


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        (LabelsUnknown("no answer", passing=True), InvoiceReason.RETRYING),
        (LabelsUnknown("no right to read", passing=False), InvoiceReason.CONNECTION_NOT_ALLOWED),
    ],
)
def test_labels_that_cannot_be_read_let_nobody_in(unknown: LabelsUnknown, expected: InvoiceReason) -> None:
    selector = {"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}
    selecting = connection({"allowedNamespaces": {"from": "Selector", "selector": selector}})
    action = passing(selecting, namespace="shop", labels=unknown)
    assert reason(action) is expected
    assert action is not None
    assert unknown.why in action.message


def test_an_adoption_beyond_the_permit_is_refused_and_a_stricter_one_is_not() -> None:
    assert reason(passing(connection(), adoption="Always")) is InvoiceReason.NOT_PERMITTED
    assert passing(connection(), adoption="Never") is None
    wide = connection({"invoices": {"permit": {"adoption": ["Always"]}}})
    assert passing(wide, adoption="Always") is None


@pytest.mark.parametrize(
    ("permit", "asked", "named"),
    [
        ({}, {"deletionPolicy": "Delete"}, "spec.deletionPolicy Delete"),
        ({}, {"send": "AfterCreate"}, "spec.send AfterCreate"),
        ({"adoption": ["Never"]}, {"adopt_id": "7"}, "qbsync.dev/adopt"),
        ({"extra": ["Tag"]}, {"invoice": {"extra": {"FOB": "x"}}}, "spec.invoice.extra.FOB"),
    ],
)
def test_what_goes_beyond_the_permit_is_named(
    permit: dict[str, Any], asked: dict[str, Any], named: str
) -> None:
    refused = passing(connection({"invoices": {"permit": permit}}), **asked)
    assert reason(refused) is InvoiceReason.NOT_PERMITTED
    assert refused is not None
    assert named in refused.message


def test_only_what_bears_on_it_holds_up_a_deletion() -> None:
    used = connection({"invoices": {"permit": {"deletion": ["Retain", "Void"]}}})
    asked: dict[str, Any] = {"adoption": "Always", "send": "AfterCreate", "adopt_id": "7"}
    asked |= {"invoice": {"billEmail": "a@b.example", "extra": {"TrackingNum": "1"}}}
    assert reason(passing(used, deletionPolicy="Void", **asked)) is InvoiceReason.NOT_PERMITTED
    assert passing(used, deletionPolicy="Void", deleting=True, **asked) is None
    refused = passing(used, deletionPolicy="Delete", deleting=True)
    assert reason(refused) is InvoiceReason.NOT_PERMITTED


def test_what_the_permit_allows_is_let_in() -> None:
    permit = {"deletion": ["Delete"], "send": True, "extra": ["FOB"], "adoption": ["IfMatching"]}
    used = connection({"invoices": {"permit": permit}})
    asked = {"deletionPolicy": "Delete", "send": "AfterCreate", "invoice": {"extra": {"FOB": "x"}}}
    assert passing(used, adopt_id="7", **asked) is None


def test_a_suspended_connection_holds_its_invoices() -> None:
    assert reason(passing(connection({"suspend": True}))) is InvoiceReason.CONNECTION_NOT_READY


def test_a_connection_that_is_not_ready_says_why() -> None:
    lost = {**TRUE, "status": "False", "reason": "AccessLost", "message": "ask an admin"}
    action = passing(connection(ready=lost))
    assert reason(action) is InvoiceReason.CONNECTION_NOT_READY
    assert action is not None
    assert "AccessLost: ask an admin" in action.message


def test_a_passing_trouble_of_the_connection_does_not_stop_a_token_that_still_works() -> None:
    assert passing(connection(ready={**TRUE, "status": "Unknown", "reason": "StoreFailing"})) is None


@pytest.mark.parametrize(("custom", "itself"), [(True, False), (False, True), (None, True)])
def test_a_company_numbers_its_own_invoices_unless_it_is_known_not_to(
    custom: bool | None, itself: bool
) -> None:
    numbering = connection(company={**COMPANY, "customTransactionNumbers": custom})
    assert passing(numbering) is None
    assert numbering.numbers_itself is itself
