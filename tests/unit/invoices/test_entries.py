"""What is created because a spec names it: one test for each rule."""

from typing import Any

import pytest

from fakes.clock import FakeClock
from qbsync.api.invoice import InvoiceSpec
from qbsync.api.meta import Kind
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import Snapshot
from qbsync.invoices.connection import Connection
from qbsync.invoices.currency import check_currency
from qbsync.invoices.entries import Entry, missing_entries, needed_for
from qbsync.invoices.errors import InvalidSpec, ReferenceMissing
from qbsync.invoices.references import Name, References, references_of
from qbsync.quickbooks.entities import NamedRow

BOTH = ["Customers", "Items"]
NEWCO = {"name": "NewCo", "create": {"displayName": "NewCo"}}


def connection(
    *, permit: list[str] = BOTH, company: dict[str, Any] | None = None, **invoices: Any
) -> Connection:
    spec = {
        "realmId": "1",
        "environment": "Sandbox",
        "clientSecretRef": {"name": "app"},
        "invoices": {"permit": {"createMissing": permit}, "incomeAccount": "id:1", **invoices},
    }
    status = {"company": {"currency": "USD", **(company or {})}}
    metadata = {"name": "acme", "namespace": "ns", "uid": "u"}
    key = Key(Kind.CONNECTION, "ns", "acme", "u")
    body = {"metadata": metadata, "spec": spec, "status": status}
    return Connection.parse(Snapshot(key, Company("ns", "acme"), body, heard_at=0.0, inherited=False))


def invoice(**fields: Any) -> InvoiceSpec:
    plain = {"customer": {"id": "1"}, "lines": [{"item": {"id": "1"}, "amount": "1"}]}
    return InvoiceSpec.model_validate({**plain, **fields})


async def looked_up(
    spec: InvoiceSpec, used: Connection, known: dict[str, NamedRow] | None = None
) -> References:
    """References as they are once everything was asked for and QuickBooks has only what is `known`."""

    class Directory:
        async def named(self, entity: str, field: str, names: Any) -> list[tuple[str, NamedRow]]:
            return [(name, known[name]) for name in names if known and name in known]

    references = References(FakeClock())
    await references.learn(references_of(spec), Directory())
    await references.learn(list(needed_for(spec, references, used)), Directory())
    return references


async def entries(
    spec: InvoiceSpec, used: Connection, known: dict[str, NamedRow] | None = None
) -> tuple[Entry, ...]:
    return missing_entries(spec, await looked_up(spec, used, known), used)


async def test_nothing_is_missing_where_all_is_given_by_id_or_found() -> None:
    row = NamedRow("7", "NewCo", active=True)
    assert await entries(invoice(), connection()) == ()
    assert await entries(invoice(customer=NEWCO), connection(), {"NewCo": row}) == ()


async def test_a_customer_is_known_by_all_its_names() -> None:
    customer = {"email": "A@b.example", "create": {"displayName": " New  Co "}}
    (entry,) = await entries(invoice(customer=customer), connection())
    assert entry.body == {"DisplayName": "New Co", "PrimaryEmailAddr": {"Address": "A@b.example"}}
    assert entry.names == (
        Name("Customer", "PrimaryEmailAddr", "A@b.example"),
        Name("Customer", "DisplayName", "New Co"),
        Name("Customer", "FullyQualifiedName", "New Co"),
    )


async def test_an_item_is_a_service_with_the_income_account() -> None:
    spec = invoice(
        lines=[{"item": {"name": "Work"}, "amount": "1"}, {"item": {"name": "WORK"}, "amount": "2"}]
    )
    (entry,) = await entries(spec, connection())
    assert entry.body == {"Name": "Work", "Type": "Service", "IncomeAccountRef": {"value": "1"}}


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"customer": {"name": "Up:Down", "create": {"displayName": "Down"}}}, "Job"),
        ({"lines": [{"item": {"name": "Up:Down"}, "amount": "1"}]}, "SubItem"),
    ],
)
async def test_what_stands_below_another_refers_to_it(fields: dict[str, Any], key: str) -> None:
    (entry,) = await entries(invoice(**fields), connection(), {"Up": NamedRow("9", "Up", active=True)})
    assert (entry.body["ParentRef"], entry.body[key]) == ({"value": "9"}, True)
    assert (entry.name, entry.own_name) == ("Up:Down", "Down")


@pytest.mark.parametrize(
    ("fields", "used", "told"),
    [
        ({"customer": NEWCO}, connection(permit=[]), "createMissing: [Customers]"),
        ({"customer": {"name": "NewCo"}}, connection(), "write customer.create"),
        (
            {"lines": [{"item": {"name": "W"}, "amount": "1"}]},
            connection(permit=[]),
            "createMissing: [Items]",
        ),
        ({"lines": [{"item": {"sku": "W"}, "amount": "1"}]}, connection(), "only an SKU is not created"),
        (
            {"lines": [{"item": {"name": "W"}, "amount": "1"}]},
            connection(incomeAccount=None),
            "incomeAccount",
        ),
        ({"customer": {"name": "Up:Down", "create": {"displayName": "Down"}}}, connection(), "'Up'"),
        ({"terms": "Net 30", "customer": NEWCO}, connection(), "'Net 30'"),
    ],
)
async def test_what_may_not_or_cannot_be_created_is_told(
    fields: dict[str, Any], used: Connection, told: str
) -> None:
    with pytest.raises(ReferenceMissing, match=told.replace("[", r"\[")):
        await entries(invoice(**fields), used)


async def test_an_inactive_entry_is_not_created_again() -> None:
    with pytest.raises(ReferenceMissing, match="reactivate"):
        await entries(invoice(customer=NEWCO), connection(), {"NewCo": NamedRow("7", "NewCo", active=False)})


@pytest.mark.parametrize(
    "customer",
    [
        {"name": "NewCo", "create": {"displayName": "Other"}},
        {"email": "a@b.example", "create": {"displayName": "A:B"}},
        {"email": "a@b.example", "create": {"displayName": "A", "email": "c@d.example"}},
        {"name": "NewCo", "create": {"displayName": "NewCo", "currency": "EUR"}},
    ],
)
async def test_a_customer_that_contradicts_itself_is_refused(customer: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec, match=r"customer\.create"):
        await entries(invoice(customer=customer), connection())


async def test_a_name_too_long_for_an_item_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="100 characters"):
        await entries(invoice(lines=[{"item": {"name": "x" * 101}, "amount": "1"}]), connection())


async def test_a_new_customer_gets_the_currency_of_the_invoice_unless_it_is_the_companys() -> None:
    (foreign,) = await entries(invoice(customer=NEWCO, currency="EUR"), connection())
    (own,) = await entries(invoice(customer=NEWCO, currency="USD"), connection())
    assert foreign.body["CurrencyRef"] == {"value": "EUR"}
    assert "CurrencyRef" not in own.body


@pytest.mark.parametrize(
    ("currency", "of_customer", "multicurrency", "told"),
    [
        (None, "USD", True, None),
        ("EUR", "EUR", True, None),
        ("EUR", None, True, None),
        ("EUR", None, None, None),
        (None, "EUR", True, "write currency: EUR"),
        ("GBP", "EUR", True, "write currency: EUR"),
        ("EUR", None, False, "works in USD only"),
    ],
)
async def test_currencies_are_compared_as_far_as_they_are_known(
    currency: str | None, of_customer: str | None, multicurrency: bool | None, told: str | None
) -> None:
    spec = invoice(customer={"name": "NewCo"}, currency=currency)
    used = connection(company={"multicurrency": multicurrency})
    row = NamedRow("7", "NewCo", active=True, currency=of_customer)
    references = await looked_up(spec, used, {"NewCo": row})
    if told is None:
        check_currency(spec, references, used)
    else:
        with pytest.raises(InvalidSpec, match=told):
            check_currency(spec, references, used)
