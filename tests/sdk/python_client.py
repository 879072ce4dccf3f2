"""python-quickbooks at the simulator: only `api_url_v3`, an attribute of its client class, is another."""

import warnings
from typing import Any

from intuitlib.client import AuthClient
from quickbooks import QuickBooks
from quickbooks.objects import Customer, Invoice, Item, Ref, SalesItemLine, SalesItemLineDetail

from fixtures.simulator_server import Door

CALLBACK = "http://localhost:8000/callback"


def auth_client(door: Door, grant: dict[str, Any]) -> AuthClient:
    """Intuit's OAuth client with a grant."""
    return AuthClient(
        grant["client_id"],
        grant["client_secret"],
        CALLBACK,
        f"{door.base_url}/.well-known/openid_sandbox_configuration/",
        access_token=grant["access_token"],
        refresh_token=grant["refresh_token"],
        realm_id=grant["realm_id"],
    )


def quickbooks(door: Door, grant: dict[str, Any] | None = None, **options: Any) -> QuickBooks:
    """A client of the grant's company; of the first one unless told otherwise."""
    grant = grant or door.ready

    class AtTheSimulator(QuickBooks):
        api_url_v3 = f"{door.base_url}/v3"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return AtTheSimulator(
            auth_client=auth_client(door, grant),
            refresh_token=grant["refresh_token"],
            company_id=grant["realm_id"],
            minorversion=75,
            **options,
        )


def reference(identifier: str) -> Ref:
    """A reference as the library's users write it."""
    ref = Ref()
    ref.value = identifier
    return ref


def new_customer(name: str) -> Customer:
    """A customer that is not saved yet."""
    customer = Customer()
    customer.DisplayName = name
    return customer


def new_item(name: str) -> Item:
    """A service that is not saved yet; account 79 takes its income."""
    item = Item()
    item.Name = name
    item.Type = "Service"
    item.IncomeAccountRef = reference("79")
    return item


def new_line(amount: Any, *, item: str = "1") -> SalesItemLine:
    """A line as the library's own tests make it: an amount, no quantity, no price."""
    line = SalesItemLine()
    line.Amount = amount
    line.SalesItemLineDetail = SalesItemLineDetail()
    line.SalesItemLineDetail.ItemRef = reference(item)
    return line


def new_invoice(amount: Any = 100, *, customer: str = "1", item: str = "1", **fields: Any) -> Invoice:
    """An invoice of one line that is not saved yet."""
    invoice = Invoice()
    invoice.CustomerRef = reference(customer)
    invoice.Line.append(new_line(amount, item=item))
    for name, value in fields.items():
        setattr(invoice, name, value)
    return invoice
