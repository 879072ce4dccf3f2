"""Customers and items by name: one query a round, remembered, and clear words for what is missing."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from fakes.clock import FakeClock
from qbsync.api.invoice import InvoiceSpec
from qbsync.invoices.errors import ReferenceMissing
from qbsync.invoices.references import References, Resolved, names_in, references_of
from qbsync.quickbooks.entities import NamedRow


class Company:
    """A directory that counts how often it is asked."""

    def __init__(self, *rows: tuple[str, str, NamedRow]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, str, list[str]]] = []

    async def named(self, entity: str, field: str, names: Sequence[str]) -> Sequence[tuple[str, NamedRow]]:
        self.asked.append((entity, field, list(names)))
        wanted = {name.casefold() for name in names}
        return [(name, row) for kind, name, row in self.rows if kind == entity and name.casefold() in wanted]


def row(id_: str, name: str, *, active: bool = True) -> NamedRow:
    return NamedRow(id=id_, name=name, active=active)


def spec(customer: dict[str, Any], *items: dict[str, Any]) -> InvoiceSpec:
    lines = [{"item": item, "amount": "1"} for item in items]
    return InvoiceSpec.model_validate({"docNumber": "1", "customer": customer, "lines": lines})


async def learn(references: References, invoices: Sequence[InvoiceSpec], company: Company) -> None:
    await references.learn([one for invoice in invoices for one in references_of(invoice)], company)


def resolve(references: References, invoice: InvoiceSpec) -> Resolved:
    return references.resolve(references_of(invoice))


AMY = ("Customer", "Amy's Bird Sanctuary", row("1", "Amy's Bird Sanctuary"))
HOURS = ("Item", "Hours", row("2", "Hours"))


async def test_a_round_asks_once_per_kind_and_remembers() -> None:
    company, clock = Company(AMY, HOURS), FakeClock()
    references = References(clock)
    invoices = [
        spec({"name": "amy's bird sanctuary"}, {"name": "Hours"}),
        spec({"id": "9"}, {"name": "Hours"}),
    ]
    await learn(references, invoices, company)
    assert len(company.asked) == 2
    assert resolve(references, invoices[0])["customer"] == "1"
    assert resolve(references, invoices[1])["lines[0].item"] == "2"
    await learn(references, invoices, company)
    assert len(company.asked) == 2
    await clock.advance(timedelta(minutes=15))
    await learn(references, invoices, company)
    assert len(company.asked) == 4


async def test_what_was_missing_is_asked_for_again_soon() -> None:
    company, clock = Company(HOURS), FakeClock()
    references = References(clock)
    invoice = spec({"name": "Amy's Bird Sanctuary"}, {"name": "Hours"})
    await learn(references, [invoice], company)
    with pytest.raises(ReferenceMissing, match="no customer is called"):
        resolve(references, invoice)
    company.rows = (AMY, HOURS)
    await clock.advance(timedelta(seconds=20))
    await learn(references, [invoice], company)
    assert resolve(references, invoice)["customer"] == "1"


async def test_a_sub_customer_is_named_by_its_path() -> None:
    company = Company(("Customer", "Amy:Shop", row("5", "Shop")))
    references = References(FakeClock())
    invoice = spec({"name": "Amy:Shop"}, {"id": "1"})
    await learn(references, [invoice], company)
    assert company.asked == [("Customer", "FullyQualifiedName", ["Amy:Shop"])]
    assert resolve(references, invoice)["customer"] == "5"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((("Customer", "Amy", row("1", "Amy", active=False)),), "inactive: reactivate it"),
        ((("Customer", "Amy", row("1", "Amy")), ("Customer", "Amy", row("2", "Amy"))), r"ids 1, 2\)"),
    ],
)
async def test_what_is_inactive_or_ambiguous_is_told(rows: tuple[Any, ...], words: str) -> None:
    references = References(FakeClock())
    invoice = spec({"name": "Amy"}, {"id": "1"})
    await learn(references, [invoice], Company(*rows))
    with pytest.raises(ReferenceMissing, match=words):
        resolve(references, invoice)


async def test_everything_that_a_spec_can_name() -> None:
    invoice = InvoiceSpec.model_validate(
        {
            "docNumber": "1",
            "customer": {"email": "amy@example.com"},
            "lines": [
                {"item": {"sku": "S-1"}, "amount": "1", "taxCode": "GST", "class": "West:Shop"},
                {"item": {"id": "9"}, "amount": "1", "taxCode": "NON", "class": "id:7"},
                {"text": "Thank you"},
                {"discount": {"percent": "5", "account": "Discounts given"}},
            ],
            "terms": "Net 30",
            "location": "id:4",
            "class": "",
            "tax": {"code": "id:11"},
        }
    )
    company = Company(
        ("Customer", "amy@example.com", row("1", "Amy")),
        ("Item", "S-1", row("2", "Hours")),
        ("TaxCode", "GST", row("3", "GST")),
        ("Class", "West:Shop", row("4", "Shop")),
        ("Account", "Discounts given", row("5", "Discounts given")),
        ("Term", "Net 30", row("6", "Net 30")),
    )
    references = References(FakeClock())
    await learn(references, [invoice], company)
    assert resolve(references, invoice) == {
        "customer": "1",
        "lines[0].item": "2",
        "lines[0].taxCode": "3",
        "lines[0].class": "4",
        "lines[1].item": "9",
        "lines[1].taxCode": "NON",
        "lines[1].class": "7",
        "lines[3].discount.account": "5",
        "terms": "6",
        "location": "4",
        "tax.code": "11",
    }
    asked = {(entity, by) for entity, by, _ in company.asked}
    assert asked == {
        ("Customer", "PrimaryEmailAddr"),
        ("Item", "Sku"),
        ("TaxCode", "Name"),
        ("Class", "FullyQualifiedName"),
        ("Account", "FullyQualifiedName"),
        ("Term", "Name"),
    }
    assert names_in(invoice) == {
        "1",
        "amy@example.com",
        "S-1",
        "GST",
        "West:Shop",
        "Discounts given",
        "Net 30",
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"terms": "Net 99"}, r"spec\.invoice\.terms: no payment term is called 'Net 99'"),
        ({"location": "Moon"}, r"spec\.invoice\.location: no location is called 'Moon'"),
        ({"customer": {"email": "x@example.com"}}, r"customer\.email: no customer has the e-mail address"),
        (
            {"lines": [{"item": {"sku": "S-9"}, "amount": "1"}]},
            r"lines\[0\]\.item\.sku: no item has the SKU 'S-9'",
        ),
        (
            {"lines": [{"item": {"id": "1"}, "amount": "1", "taxCode": "VAT"}]},
            r"lines\[0\]\.taxCode: no tax code is called 'VAT'",
        ),
    ],
)
async def test_what_is_missing_is_told_by_its_path(fields: dict[str, Any], message: str) -> None:
    document = {
        "docNumber": "1",
        "customer": {"id": "1"},
        "lines": [{"item": {"id": "1"}, "amount": "1"}],
        **fields,
    }
    invoice = InvoiceSpec.model_validate(document)
    references = References(FakeClock())
    await learn(references, [invoice], Company())
    with pytest.raises(ReferenceMissing, match=message):
        resolve(references, invoice)


async def test_absent_is_only_what_was_asked_for_and_has_no_hit_at_all() -> None:
    invoice = spec({"name": "Old Shop"}, {"name": "Hours"})
    customer, item = references_of(invoice)
    references = References(FakeClock())
    assert not references.absent(customer)
    await learn(references, [invoice], Company(("Customer", "Old Shop", row("8", "Old Shop", active=False))))
    assert not references.absent(customer)
    assert references.absent(item)


async def test_what_a_slow_round_learned_is_still_absent_when_it_decides() -> None:
    invoice, clock = spec({"name": "New Shop"}, {"name": "Hours"}), FakeClock()
    customer, _ = references_of(invoice)
    references, company = References(clock), Company(HOURS)
    await learn(references, [invoice], company)
    await clock.advance(timedelta(minutes=5))
    assert references.absent(customer)
    await learn(references, [invoice], company)
    assert len(company.asked) == 3, "the next round asks again"


async def test_what_is_absent_is_asked_for_again_where_something_may_be_on_its_way() -> None:
    invoice = spec({"name": "New Shop"}, {"name": "Hours"})
    references, company = References(FakeClock()), Company(HOURS)
    await learn(references, [invoice], company)
    references.forget_absent()
    await learn(references, [invoice], company)
    assert [entity for entity, _, _ in company.asked] == ["Customer", "Item", "Customer"]


async def test_what_shall_be_created_stands_for_itself_until_it_is_there() -> None:
    invoice = spec({"name": "New Shop"}, {"name": "Hours"})
    references = References(FakeClock())
    await learn(references, [invoice], Company(HOURS))
    intended = references.intend(references_of(invoice))
    assert intended == {"customer": "'New Shop', which is to be created", "lines[0].item": "2"}
    with pytest.raises(ReferenceMissing):
        resolve(references, invoice)


async def test_what_was_created_a_moment_ago_is_known() -> None:
    invoice = spec({"name": "New Shop"}, {"id": "1"})
    customer = next(references_of(invoice))
    references, company = References(FakeClock()), Company()
    await learn(references, [invoice], company)
    assert customer.name is not None
    references.know(customer.name, row("12", "New Shop"))
    await learn(references, [invoice], company)
    assert resolve(references, invoice)["customer"] == "12"
    assert len(company.asked) == 1


async def test_what_was_created_while_it_was_asked_for_is_known() -> None:
    """The question was under way before the create: its answer says nothing of it."""
    invoice = spec({"name": "New Shop"}, {"id": "1"})
    customer = next(references_of(invoice))
    references = References(FakeClock())

    class Slow(Company):
        async def named(
            self, entity: str, field: str, names: Sequence[str]
        ) -> Sequence[tuple[str, NamedRow]]:
            found = await super().named(entity, field, names)
            assert customer.name is not None
            references.know(customer.name, row("12", "New Shop"))
            return found

    await learn(references, [invoice], Slow())
    assert not references.absent(customer)
    assert resolve(references, invoice)["customer"] == "12"
