"""Customers and items by name: one query a round, remembered, and clear words for what is missing."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from fakes.clock import FakeClock
from qbsync.api.invoice import InvoiceSpec
from qbsync.invoices.errors import ReferenceMissing
from qbsync.invoices.references import References
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


AMY = ("Customer", "Amy's Bird Sanctuary", row("1", "Amy's Bird Sanctuary"))
HOURS = ("Item", "Hours", row("2", "Hours"))


async def test_a_round_asks_once_per_kind_and_remembers() -> None:
    company, clock = Company(AMY, HOURS), FakeClock()
    references = References(clock)
    invoices = [
        spec({"name": "amy's bird sanctuary"}, {"name": "Hours"}),
        spec({"id": "9"}, {"name": "Hours"}),
    ]
    await references.learn(invoices, company)
    assert len(company.asked) == 2
    assert references.resolve(invoices[0]).customer_id == "1"
    assert references.resolve(invoices[1]).item_ids == ("2",)
    await references.learn(invoices, company)
    assert len(company.asked) == 2
    await clock.advance(timedelta(minutes=15))
    await references.learn(invoices, company)
    assert len(company.asked) == 4


async def test_what_was_missing_is_asked_for_again_soon() -> None:
    company, clock = Company(HOURS), FakeClock()
    references = References(clock)
    invoice = spec({"name": "Amy's Bird Sanctuary"}, {"name": "Hours"})
    await references.learn([invoice], company)
    with pytest.raises(ReferenceMissing, match="no customer is called"):
        references.resolve(invoice)
    company.rows = (AMY, HOURS)
    await clock.advance(timedelta(seconds=20))
    await references.learn([invoice], company)
    assert references.resolve(invoice).customer_id == "1"


async def test_a_sub_customer_is_named_by_its_path() -> None:
    company = Company(("Customer", "Amy:Shop", row("5", "Shop")))
    references = References(FakeClock())
    invoice = spec({"name": "Amy:Shop"}, {"id": "1"})
    await references.learn([invoice], company)
    assert company.asked == [("Customer", "FullyQualifiedName", ["Amy:Shop"])]
    assert references.resolve(invoice).customer_id == "5"


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
    await references.learn([invoice], Company(*rows))
    with pytest.raises(ReferenceMissing, match=words):
        references.resolve(invoice)
