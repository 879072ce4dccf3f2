"""The currency of an invoice against its customer and company: checked before anything is sent."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from fixtures.invoices_scene import Scene, running
from fixtures.simulator_server import Door

LINDENHOF = "60"
"""A customer in EUR of the sample company with several currencies, whose own is USD."""


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Scene]:
    simulator.reset()
    realm = simulator.post("/_simulator/realms", {"company": "multicurrency"})["realmId"]
    door = Door({**simulator.ready, "realmId": realm})
    async with running(Scene(door)) as made:
        made.connect(company={"multicurrency": True}, permit={"createMissing": ["Customers"]})
        yield made
    door.close()


def message(scene: Scene, name: str) -> str:
    return str(scene.condition(name, "Ready")["message"])


async def test_an_invoice_in_its_customers_currency_passes_with_its_rate(scene: Scene) -> None:
    foreign = {"customer": {"id": LINDENHOF}, "currency": "EUR", "exchangeRate": "1.25"}
    scene.apply("a", "A-1", invoice=foreign)
    status = await scene.until("a", "Created")
    (invoice,) = scene.door.invoices("A-1")
    assert (invoice["CurrencyRef"]["value"], Decimal(str(invoice["ExchangeRate"]))) == (
        "EUR",
        Decimal("1.25"),
    )
    assert (status["currency"], status["totalAmount"]) == ("EUR", "100.00")


@pytest.mark.parametrize(
    ("invoice", "told"),
    [
        ({"customer": {"id": LINDENHOF}}, "write currency: EUR"),
        ({"customer": {"id": LINDENHOF}, "currency": "GBP"}, "customer 60 has EUR"),
        ({"customer": {"name": "Gärtnerei Lindenhof GmbH"}}, "customer 60 has EUR"),
        ({"customer": {"id": "1"}, "currency": "EUR"}, "customer 1 has USD"),
    ],
)
async def test_another_currency_than_the_customers_is_refused_unsent(
    scene: Scene, invoice: dict[str, Any], told: str
) -> None:
    scene.apply("a", "A-1", invoice=invoice)
    await scene.until("a", "InvalidInvoice")
    assert told in message(scene, "a")
    assert scene.door.requests("create") == []


async def test_a_rate_between_the_companys_own_currency_and_itself_is_refused_unsent(scene: Scene) -> None:
    """QuickBooks would drop it without a word."""
    scene.apply("a", "A-1", invoice={"exchangeRate": "1.25"})
    scene.apply("b", "B-1", invoice={"currency": "USD", "exchangeRate": "0.5"})
    for name in ("a", "b"):
        await scene.until(name, "InvalidInvoice")
        assert "leave exchangeRate out" in message(scene, name)
    assert scene.door.requests("create") == []


async def test_a_rate_of_1_says_nothing_wrong(scene: Scene) -> None:
    scene.apply("a", "A-1", invoice={"exchangeRate": "1.0"})
    await scene.until("a", "Created")
    scene.edit("a", exchangeRate="1.25")
    await scene.until("a", "InvalidInvoice")
    assert "leave exchangeRate out" in message(scene, "a")
    assert scene.door.requests("update") == []
    scene.edit("a", exchangeRate=None)
    await scene.until("a", "Created", "Updated")


async def test_a_rate_of_1_is_no_drift_where_there_are_no_rates(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator)) as scene:
        scene.connect(company={"multicurrency": False})
        scene.door.write_invoice("A-1")
        scene.apply("a", "A-1", invoice={"exchangeRate": "1"})
        await scene.until("a", "Adopted")
        assert scene.condition("a", "Drifted") == {}


async def test_a_new_rate_of_an_invoice_that_stands_is_sent(scene: Scene) -> None:
    foreign = {"customer": {"id": LINDENHOF}, "currency": "EUR", "exchangeRate": "1.25"}
    scene.apply("a", "A-1", invoice=foreign)
    await scene.until("a", "Created")
    scene.edit("a", exchangeRate="1.5")
    await scene.until("a", "Updated")
    assert scene.door.invoices("A-1")[0]["ExchangeRate"] == 1.5


async def test_an_invoice_does_not_go_to_a_customer_of_another_currency(scene: Scene) -> None:
    scene.apply("a", "A-1")
    await scene.until("a", "Created")
    scene.edit("a", customer={"id": LINDENHOF})
    await scene.until("a", "InvalidInvoice")
    assert "customer 60 has EUR" in message(scene, "a")
    assert scene.door.requests("update") == []


async def test_a_new_customer_is_made_in_the_currency_of_its_invoice(scene: Scene) -> None:
    customer = {"name": "Neu", "create": {"displayName": "Neu"}}
    scene.apply("a", "A-1", invoice={"customer": customer, "currency": "EUR"})
    await scene.until("a", "Created")
    (made,) = [row for row in scene.door.state()["customers"] if row["DisplayName"] == "Neu"]
    assert made["CurrencyRef"]["value"] == "EUR"


async def test_customers_by_id_are_looked_up_once(scene: Scene) -> None:
    for number in range(5):
        scene.apply(f"i{number}", f"A-{number}")
        await scene.until(f"i{number}", "Created")
    asked = [one["statement"] for one in scene.door.requests("query") if " Customer " in one["statement"]]
    assert len(asked) == 1


async def test_a_company_of_one_currency_is_not_asked_for_another(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator)) as scene:
        scene.connect(company={"multicurrency": False})
        scene.apply("a", "A-1", invoice={"currency": "EUR"})
        scene.apply("b", "B-1", invoice={"currency": "USD"})
        await scene.until("a", "InvalidInvoice")
        assert "the company works in USD only" in message(scene, "a")
        await scene.until("b", "Created")
        assert len(simulator.requests("create")) == 1


async def test_where_it_is_not_known_quickbooks_decides(simulator: Door) -> None:
    simulator.reset()
    async with running(Scene(simulator)) as scene:
        scene.connect()
        scene.apply("a", "A-1", invoice={"currency": "EUR"})
        await scene.until("a", "InvalidInvoice")
        assert "Multicurrency is not enabled" in message(scene, "a")
        assert len(simulator.requests("create")) == 1
