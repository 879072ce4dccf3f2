"""The documents that the tests apply."""

from collections.abc import Mapping, Sequence
from typing import Any

JsonObject = dict[str, Any]
API_VERSION = "qbsync.dev/v1alpha1"


def secret(name: str, **data: str) -> JsonObject:
    """A Secret with plain text."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def client_secret(name: str, grant: Mapping[str, Any]) -> JsonObject:
    """The Intuit app of a grant, as the simulator's door hands it out."""
    return secret(f"{name}-intuit-app", client_id=grant["client_id"], client_secret=grant["client_secret"])


def import_secret(name: str, grant: Mapping[str, Any]) -> JsonObject:
    """The refresh token of a grant, for importTokensFrom."""
    return secret(f"{name}-tokens-import", refresh_token=grant["refresh_token"])


def connection(name: str, *, base_url: str, realm: str, token_url: str = "", **spec: Any) -> JsonObject:
    """A connection to a simulator."""
    token = token_url or f"{base_url}/oauth2/v1/tokens/bearer"
    return {
        "apiVersion": API_VERSION,
        "kind": "QuickBooksConnection",
        "metadata": {"name": name},
        "spec": {
            "realmId": realm,
            "environment": "Custom",
            "endpoints": {"api": base_url, "token": token},
            "clientSecretRef": {"name": f"{name}-intuit-app"},
            "importTokensFrom": {"name": f"{name}-tokens-import"},
            **spec,
        },
    }


def invoice(
    name: str,
    *,
    connection: str = "acme",
    amount: str = "100.00",
    number: str | None = None,
    customer: Mapping[str, Any] | None = None,
    lines: Sequence[Mapping[str, Any]] | None = None,
    fields: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> JsonObject:
    """An InvoiceSync with one line of `amount` for the sample company's customer and item 1.

    Its DocNumber is its name in capitals unless `number` says otherwise; `fields` go into spec.invoice.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "InvoiceSync",
        "metadata": {"name": name, **({"annotations": dict(annotations)} if annotations else {})},
        "spec": {
            "connectionRef": {"name": connection},
            "invoice": {
                "docNumber": number or name.upper(),
                "customer": dict(customer or {"id": "1"}),
                "lines": list(lines or [{"item": {"id": "1"}, "amount": amount}]),
                **(fields or {}),
            },
            **spec,
        },
    }
