"""Random lines through the mapping to a simulator that checks every product (fault 6070), and back to the cent.

QBSYNC_AMOUNT_LINES scales it up (default 2,000); QBSYNC_AMOUNT_SEED repeats a run. What is expected is counted
with fractions, so that nothing of the product's arithmetic vouches for itself.
"""

import os
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from fixtures.invoices_scene import Scene
from fixtures.simulator_server import Door
from qbsync.api.invoice import InvoiceSpec
from qbsync.invoices.fields import Statement, statements
from qbsync.invoices.identity import OwnerMark
from qbsync.invoices.lines import net_total
from qbsync.invoices.mapping import MarkPlace, create_body, update_body
from qbsync.invoices.references import references_of
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice, parse_invoice
from qbsync.quickbooks.errors import Rejected

LINES = int(os.environ.get("QBSYNC_AMOUNT_LINES", "2000"))
SEED = int(os.environ.get("QBSYNC_AMOUNT_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
PER_INVOICE = 400
UPDATED_EVERY = 5
"""So many invoices come to their lines by an update instead of the create."""
MARK = OwnerMark("aaaaaaaaaa", "bbbbbb")
HALF = Fraction(1, 2)


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Scene]:
    """A company that deals in several currencies, and checks what a percentage comes to as well."""
    simulator.reset()
    simulator.switch(percentDiscount="check")
    realm = simulator.post("/_simulator/realms", {"company": "multicurrency"})["realmId"]
    door = Door({**simulator.ready, "realmId": realm})
    made = Scene(door)
    yield made
    await made.aclose()
    door.close()


@dataclass(frozen=True)
class Payer:
    """A customer, and the one currency of its invoices."""

    id: str
    currency: str


async def payers(scene: Scene) -> list[Payer]:
    """In the company's own currency, in another, and in one that has no cents at all."""
    client = scene.client
    yen = await client.read("CompanyCurrency", "4")
    active = {"Id": yen["Id"], "SyncToken": yen["SyncToken"], "Active": True}
    await client.update("CompanyCurrency", active, requestid="yen", before_send=lambda: None)
    customer = {"DisplayName": "Kaisha KK", "CurrencyRef": {"value": "JPY"}}
    kaisha = await client.create("Customer", customer, requestid="kaisha", before_send=lambda: None)
    return [Payer("1", "USD"), Payer("60", "EUR"), Payer(str(kaisha["Id"]), "JPY")]


# -- what is written ------------------------------------------------------------------------------------------


def cents(exact: Fraction) -> int:
    """Half up, away from zero (Intuit: Fault 6070)."""
    rounded = (abs(exact) * 100 + HALF).__floor__()
    return rounded if exact >= 0 else -rounded


class Writer:
    """Writes specs as people do, and counts by itself what they come to."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kinds: list[Callable[[], tuple[str, str]]] = [
            self._ordinary,
            self._ordinary,
            self._tie,
            self._large,
            self._tiny,
            self._nothing,
        ]

    def lines(self, count: int) -> tuple[list[dict[str, Any]], int]:
        """So many lines, and the cents that they come to: never less than nothing."""
        written, sum_ = [], 0
        for _ in range(count - 2):
            line, worth = self._line()
            written.append(line)
            sum_ += worth
        # QuickBooks has no invoice of less than nothing.
        balance = max(-sum_, 0) + self.rng.choice([0, 0, 1, self.rng.randrange(10**9)])
        written.append({"item": {"id": "1"}, "amount": _money(balance)})
        sum_ += balance
        discount, off = self._discount(sum_)
        return [*written, discount], sum_ - off

    def _line(self) -> tuple[dict[str, Any], int]:
        kind = self.rng.random()
        if kind < 0.04:
            return self.rng.choice([{"text": "Thank you"}, {"subtotal": {}}]), 0
        if kind < 0.16:
            worth = self.rng.choice([0, 1, -1, self.rng.randrange(-(10**7), 10**8)])
            return {"item": {"id": "1"}, "amount": _money(worth)}, worth
        quantity, price = self.rng.choice(self.kinds)()
        if self.rng.random() < 0.15:
            quantity = f"-{quantity}"
        if self.rng.random() < 0.1:
            price = f"-{price}"
        worth = cents(Fraction(quantity) * Fraction(price))
        line: dict[str, Any] = {"item": {"id": "1"}, "quantity": quantity, "unitPrice": price}
        return (line | {"amount": _money(worth)} if self.rng.random() < 0.1 else line), worth

    def _ordinary(self) -> tuple[str, str]:
        return self._number(1000), self._number(10_000)

    def _tie(self) -> tuple[str, str]:
        """Exactly half a cent is left over."""
        return (
            f"{self.rng.randrange(1000)}.5",
            f"{self.rng.randrange(10_000)}.{self.rng.randrange(1, 100, 2):02}",
        )

    def _large(self) -> tuple[str, str]:
        return self._number(100_000), self._number(90_000)

    def _tiny(self) -> tuple[str, str]:
        return f"0.{self.rng.randrange(200):05}", f"{self.rng.randrange(3)}.{self.rng.randrange(10**5):05}"

    def _nothing(self) -> tuple[str, str]:
        return self.rng.choice([("0", self._number(100)), (self._number(100), "0.00"), ("0", "0")])

    def _number(self, below: int) -> str:
        places = self.rng.choice([0, 0, 1, 2, 2, 3, 4, 5])
        whole = str(self.rng.randrange(below))
        return f"{whole}.{self.rng.randrange(10**places):0{places}}" if places else whole

    def _discount(self, sum_: int) -> tuple[dict[str, Any], int]:
        kind = self.rng.random()
        if kind < 0.3:
            return {"text": "No discount"}, 0
        if kind < 0.6:
            off = self.rng.choice([0, sum_, self.rng.randint(0, sum_)])
            return {"discount": {"amount": _money(off)}}, off
        percent = self.rng.choice(["0", "100", "33.33333", self._number(100)])
        return {"discount": {"percent": percent}}, cents(Fraction(sum_, 100) * Fraction(percent) / 100)


def _money(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


# -- what is sent ---------------------------------------------------------------------------------------------


def spec_of(payer: Payer, lines: list[dict[str, Any]]) -> InvoiceSpec:
    return InvoiceSpec.model_validate(
        {"customer": {"id": payer.id}, "currency": payer.currency, "lines": lines}
    )


def stated(spec: InvoiceSpec) -> tuple[Statement, ...]:
    return statements(spec, {one.slot: str(one.id) for one in references_of(spec)})


def body_of(spec: InvoiceSpec) -> dict[str, Any]:
    return create_body(spec, stated(spec), mark=MARK, place=MarkPlace(), day=date(2026, 11, 23))


async def posted(client: CompanyClient, number: int, payer: Payer, spec: InvoiceSpec) -> Invoice:
    """An invoice with these lines, by a create, or by the update of a smaller one."""
    if number % UPDATED_EVERY:
        return await sent(client, f"create {number}", body_of(spec))
    small = await sent(
        client, f"begin {number}", body_of(spec_of(payer, [{"item": {"id": "1"}, "amount": "1"}]))
    )
    changed = [one for one in stated(spec) if one.name == "lines"]
    body = update_body(changed, small.row, mark=MARK, place=MarkPlace())
    row = await client.update("Invoice", body, requestid=f"update {number}", before_send=lambda: None)
    return parse_invoice(row)


async def sent(client: CompanyClient, requestid: str, body: dict[str, Any]) -> Invoice:
    return parse_invoice(await client.create("Invoice", body, requestid=requestid, before_send=lambda: None))


async def test_every_line_is_accepted_and_every_total_is_exact_to_the_cent(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    writer, customers = Writer(random.Random(SEED)), await payers(scene)
    left, number = LINES, 0
    while left > 0:
        size = max(min(PER_INVOICE, left), 3)
        payer = customers[number % len(customers)]
        lines, worth = writer.lines(size)
        spec = spec_of(payer, lines)
        expected = Decimal(worth) / 100
        assert net_total(spec) == expected, f"seed {SEED}, invoice {number}"
        answered = await posted(scene.client, number, payer, spec)
        read = parse_invoice(await scene.client.read("Invoice", answered.id))
        figures = [(one.total, one.balance, one.currency) for one in (answered, read)]
        assert figures == [(expected, expected, payer.currency)] * 2, f"seed {SEED}, invoice {number}"
        left, number = left - size, number + 1
    record_property("figure", f"amounts: {LINES} lines on {number} invoices, to the cent, seed {SEED}")


@pytest.mark.parametrize("off", ["0.01", "-0.01"])
async def test_a_cent_too_much_or_too_little_is_refused(scene: Scene, off: str) -> None:
    """The control: that simulator does check."""
    spec = spec_of(Payer("1", "USD"), [{"item": {"id": "1"}, "quantity": "14.50", "unitPrice": "128.35"}])
    body = body_of(spec)
    (line,) = body["Line"]
    assert line["Amount"] == Decimal("1861.08")
    wrong = {**body, "Line": [{**line, "Amount": line["Amount"] + Decimal(off)}]}
    with pytest.raises(Rejected) as refused:
        await sent(scene.client, "wrong", wrong)
    assert refused.value.code == "6070"
    assert (await sent(scene.client, "right", body)).total == Decimal("1861.08")
