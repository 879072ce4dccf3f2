"""Payments and credit memos: what they pay, what is left of them, and what becomes of the links."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qbsync.simulator.entities.kinds import CREDIT_MEMO, CUSTOMER, INVOICE, PAYMENT, Change
from qbsync.simulator.faults import Refusal

from .desk import MOMENT, Desk, later, line

FORM = {"CustomerRef": {"value": "1"}, "Line": [line(50)]}


def to(kind: str, identifier: str, amount: Decimal | int) -> dict[str, Any]:
    """A payment's line."""
    return {"Amount": amount, "LinkedTxn": [{"TxnId": identifier, "TxnType": kind}]}


def test_a_payment_pays_several_invoices_in_part() -> None:
    desk = Desk()
    owed = desk.balance()
    first, second = desk.invoice(line(100)), desk.invoice(line(40))
    desk.heard.clear()
    paid = desk.payment(120, (first["Id"], 70), (second["Id"], 40))
    assert (paid["TotalAmt"], paid["UnappliedAmt"], paid["LinkedTxn"]) == (120, 10, [])
    assert [each["Amount"] for each in paid["Line"]] == [70, 40]
    assert desk.heard == [
        ("Payment", paid["Id"], Change.CREATED),
        ("Invoice", first["Id"], Change.UPDATED),
        ("Invoice", second["Id"], Change.UPDATED),
    ]
    after = desk.read(first["Id"])
    assert (after["Balance"], after["TotalAmt"], after["SyncToken"]) == (30, 100, "1")
    assert after["LinkedTxn"] == [{"TxnId": paid["Id"], "TxnType": "Payment"}]
    assert desk.read(second["Id"])["Balance"] == 0
    assert desk.balance() == owed + 140 - 120


def test_credits_count_or_not_by_switch() -> None:
    desk = Desk(creditsLowerBalance=False)
    owed = desk.balance()
    desk.payment(20)
    desk.create(CREDIT_MEMO, FORM)
    assert desk.balance() == owed
    desk = Desk()
    desk.payment(20)
    desk.create(CREDIT_MEMO, FORM)
    assert desk.balance() == owed - 70


@pytest.mark.parametrize("moves", [True, False])
def test_a_payment_moves_the_invoice_s_time_and_by_switch_its_synctoken(moves: bool) -> None:
    desk = Desk(paymentMovesSyncToken=moves)
    made = desk.invoice(line(100))
    body = {
        "CustomerRef": {"value": "1"},
        "TotalAmt": 100,
        "Line": [to("Invoice", made["Id"], 100)],
    }
    desk.create(PAYMENT, body, later(30))
    after = desk.read(made["Id"])
    assert after["SyncToken"] == ("1" if moves else "0")
    assert after["MetaData"]["LastUpdatedTime"] == "2026-11-23T01:00:30-08:00"
    assert after["MetaData"]["CreateTime"] == made["MetaData"]["CreateTime"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"TotalAmt": None}, "2020"),
        ({"CustomerRef": None}, "2020"),
        ({"CustomerRef": {"value": "99"}}, "2500"),
        ({"CustomerRef": {"value": "13"}}, "610"),
        ({"TotalAmt": -1, "Line": []}, "6000"),
        ({"Line": [to("Invoice", "105", 1)]}, "6000"),  # another customer's
        ({"Line": [to("Invoice", "99999", 1)]}, "2500"),
        ({"Line": [to("Invoice", "109", 101)]}, "6000"),  # more than received
        ({"TotalAmt": 1000, "Line": [to("Invoice", "109", 640)]}, "6000"),  # more than owed
        ({"TotalAmt": 1000, "Line": [to("Invoice", "109", 320), to("Invoice", "109", 320)]}, "6000"),
        ({"Line": [to("Invoice", "109", -5)]}, "6000"),
        ({"Line": [to("JournalEntry", "109", 5)]}, "6000"),
        ({"Line": [{"Amount": 5}]}, "2020"),
        ({"Line": [{"LinkedTxn": [{"TxnId": "109", "TxnType": "Invoice"}]}]}, "2020"),
        ({"Line": [to("Invoice", "101", 1)]}, "6000"),  # paid already
        ({"PaymentRefNum": "x" * 22}, "2050"),
        ({"PrivateNote": "x" * 4001}, "2050"),
        ({"DepositToAccountRef": {"value": "999"}}, "2500"),
        ({"Unknown": 1}, "2010"),
    ],
)
def test_what_a_payment_cannot_be(fields: dict[str, Any], code: str) -> None:
    desk = Desk()
    body = {"CustomerRef": {"value": "1"}, "TotalAmt": 100, **fields}
    assert desk.code(lambda: desk.create(PAYMENT, body)) == code


def test_a_parent_pays_for_those_below() -> None:
    desk = Desk()
    made = desk.invoice(line(10), CustomerRef={"value": "9"})
    desk.payment(10, (made["Id"], 10), CustomerRef={"value": "7"})
    assert desk.read(made["Id"])["Balance"] == 0
    other = desk.invoice(line(10), CustomerRef={"value": "7"})
    assert desk.code(lambda: desk.payment(10, (other["Id"], 10), CustomerRef={"value": "9"})) == "6000"


def test_a_payment_s_links_can_be_changed() -> None:
    desk = Desk()
    first, second = desk.invoice(line(100)), desk.invoice(line(100))
    paid = desk.payment(100, (first["Id"], 100))
    moved = desk.update(PAYMENT, paid, Line=[to("Invoice", first["Id"], 25), to("Invoice", second["Id"], 60)])
    assert moved["UnappliedAmt"] == 15
    assert (desk.read(first["Id"])["Balance"], desk.read(second["Id"])["Balance"]) == (75, 40)
    assert desk.code(lambda: desk.update(PAYMENT, moved, TotalAmt=80)) == "6000"
    assert desk.update(PAYMENT, moved, TotalAmt=85)["UnappliedAmt"] == 0
    moved = desk.read(paid["Id"], PAYMENT)
    bare = desk.replace(PAYMENT, moved, CustomerRef={"value": "1"}, TotalAmt=85)
    assert (bare["Line"], bare["UnappliedAmt"]) == ([], 85)
    assert (desk.read(first["Id"])["Balance"], desk.read(first["Id"])["LinkedTxn"]) == (100, [])


def test_a_note_on_a_payment_leaves_its_invoice_alone() -> None:
    desk = Desk()
    made = desk.invoice(line(100))
    paid = desk.payment(100, (made["Id"], 100))
    before = desk.read(made["Id"])
    desk.heard.clear()
    assert desk.update(PAYMENT, paid, PrivateNote="x")["PrivateNote"] == "x"
    assert desk.read(made["Id"]) == before
    assert desk.heard == [("Payment", paid["Id"], Change.UPDATED)]


@pytest.mark.parametrize("operation", ["void", "delete"])
def test_without_its_payment_an_invoice_is_open_again(operation: str) -> None:
    desk = Desk()
    owed = desk.balance()
    made = desk.invoice(line(100))
    paid = desk.payment(120, (made["Id"], 100), PrivateNote="cheque")
    if operation == "void":
        voided = desk.ledger.void(desk.company, PAYMENT, paid, MOMENT).document()
        assert (voided["TotalAmt"], voided["UnappliedAmt"], voided["Line"]) == (0, 0, [])
        assert (voided["PrivateNote"], voided["SyncToken"]) == ("Voided", "1")
    else:
        assert desk.ledger.delete(desk.company, PAYMENT, paid, MOMENT)["Id"] == paid["Id"]
        assert desk.code(lambda: desk.read(paid["Id"], PAYMENT)) == "610"
    after = desk.read(made["Id"])
    assert (after["Balance"], after["LinkedTxn"], after["SyncToken"]) == (100, [], "2")
    assert desk.balance() == owed + 100


# Changes that would break a link


def broken(desk: Desk, made: dict[str, Any], change: str) -> Callable[[], Any]:
    """An attempt to change a paid invoice."""
    current = desk.read(made["Id"])
    return {
        "void": lambda: desk.ledger.void(desk.company, INVOICE, current, MOMENT),
        "delete": lambda: desk.ledger.delete(desk.company, INVOICE, current, MOMENT),
        "move": lambda: desk.update(INVOICE, current, CustomerRef={"value": "2"}),
        "shrink": lambda: desk.update(INVOICE, current, Line=[line(70)]),
    }[change]


@pytest.mark.parametrize("change", ["void", "delete", "move", "shrink"])
def test_links_are_in_the_way_or_taken_off_by_switch(change: str) -> None:
    desk = Desk()
    made = desk.invoice(line(100))
    first = desk.payment(60, (made["Id"], 60))
    second = desk.payment(30, (made["Id"], 30))
    assert desk.code(broken(desk, made, change)) == "6000"
    desk.switches.put({"linkedPayments": "unlink"})
    owed = desk.balance("1") + desk.balance("2")
    broken(desk, made, change)()
    left = [desk.read(each["Id"], PAYMENT)["UnappliedAmt"] for each in (first, second)]
    if change == "shrink":
        after = desk.read(made["Id"])
        assert left == [0, 20]
        assert (after["Balance"], after["TotalAmt"], len(after["LinkedTxn"])) == (0, 70, 2)
        assert desk.balance("1") + desk.balance("2") == owed - 30
    else:
        assert left == [60, 30]
    if change == "move":
        after = desk.read(made["Id"])
        assert (after["Balance"], after["LinkedTxn"], after["CustomerRef"]["value"]) == (100, [], "2")
        assert after["BillAddr"]["Line1"] == "12 Ocean Dr."
        assert desk.balance("1") + desk.balance("2") == owed
    if change in {"void", "delete"}:
        assert desk.balance("1") + desk.balance("2") == owed - 100


def test_a_total_shrunk_to_nothing_paid_loses_the_last_link() -> None:
    desk = Desk(linkedPayments="unlink")
    made = desk.invoice(line(100))
    first = desk.payment(60, (made["Id"], 60))
    desk.payment(40, (made["Id"], 40))
    desk.update(INVOICE, desk.read(made["Id"]), Line=[line(60)])
    assert desk.read(made["Id"])["LinkedTxn"] == [{"TxnId": first["Id"], "TxnType": "Payment"}]


def test_people_may_do_what_the_api_refuses() -> None:
    desk = Desk()
    made = desk.invoice(line(100))
    paid = desk.payment(100, (made["Id"], 100))
    desk.ledger.deposit(desk.company, paid["Id"], "900", MOMENT)
    deposited = desk.read(paid["Id"], PAYMENT)
    for attempt in (
        lambda: desk.update(PAYMENT, deposited, PrivateNote="x"),
        lambda: desk.ledger.void(desk.company, PAYMENT, deposited, MOMENT),
        lambda: desk.ledger.delete(desk.company, PAYMENT, deposited, MOMENT),
    ):
        assert desk.code(attempt) == "6540"
    assert desk.code(lambda: desk.ledger.deposit(desk.company, paid["Id"], "901", MOMENT)) == "6000"
    desk.ledger.delete_by_hand(desk.company, paid["Id"], MOMENT, kind=PAYMENT)
    assert desk.read(made["Id"])["Balance"] == 100


# Credit memos


def test_a_credit_memo_is_used_up_by_a_payment() -> None:
    desk = Desk()
    owed = desk.balance()
    memo = desk.create(CREDIT_MEMO, FORM)
    assert (memo["TotalAmt"], memo["Balance"], memo["RemainingCredit"]) == (50, 50, 50)
    assert desk.balance() == owed - 50
    made = desk.invoice(line(80))
    lines = [to("Invoice", made["Id"], 80), to("CreditMemo", memo["Id"], 30)]
    paid = desk.create(PAYMENT, {"CustomerRef": {"value": "1"}, "TotalAmt": 50, "Line": lines})
    assert paid["UnappliedAmt"] == 0
    assert desk.read(made["Id"])["Balance"] == 0
    used = desk.read(memo["Id"], CREDIT_MEMO)
    assert (used["Balance"], used["RemainingCredit"], used["SyncToken"]) == (20, 20, "1")
    assert used["LinkedTxn"] == [{"TxnId": paid["Id"], "TxnType": "Payment"}]
    assert desk.balance() == owed - 20
    assert desk.code(lambda: desk.update(CREDIT_MEMO, used, Line=[line(29)])) == "6000"
    assert desk.update(CREDIT_MEMO, used, Line=[line(30)])["Balance"] == 0
    current = desk.read(memo["Id"], CREDIT_MEMO)
    assert desk.code(lambda: desk.ledger.delete(desk.company, CREDIT_MEMO, current, MOMENT)) == "6000"
    desk.ledger.delete(desk.company, PAYMENT, desk.read(paid["Id"], PAYMENT), MOMENT)
    free = desk.read(memo["Id"], CREDIT_MEMO)
    assert free["Balance"] == 30
    desk.ledger.delete(desk.company, CREDIT_MEMO, free, MOMENT)
    assert desk.balance() == owed + 80


def test_credits_alone_pay_nothing() -> None:
    desk = Desk()
    memo = desk.create(CREDIT_MEMO, FORM)
    body = {"CustomerRef": {"value": "1"}, "TotalAmt": 0, "Line": [to("CreditMemo", memo["Id"], 30)]}
    assert desk.code(lambda: desk.create(PAYMENT, body)) == "6000"


# Whatever happens, the books balance


class Bookkeeping(RuleBasedStateMachine):
    """Invoices, credits and payments made, changed, voided and deleted in any order, also where that is refused."""

    @initialize(policy=st.sampled_from(["refuse", "unlink"]))
    def open(self, policy: str) -> None:
        self.desk = Desk(linkedPayments=policy)
        self.opening = self.desk.balance("6")

    def ids(self, kind: Any) -> list[str]:
        return [row.id for row in self.desk.company.table(kind).having("CustomerRef", "6")]

    def attempt(self, change: Callable[[], Any]) -> None:
        before = self.desk.books()
        try:
            change()
        except Refusal:
            assert self.desk.books() == before

    @rule(amount=st.integers(1, 300))
    def write_an_invoice(self, amount: int) -> None:
        self.desk.invoice(line(Decimal(amount) / 100), CustomerRef={"value": "6"})

    @rule(amount=st.integers(1, 300))
    def give_a_credit(self, amount: int) -> None:
        body = {"CustomerRef": {"value": "6"}, "Line": [line(Decimal(amount) / 100)]}
        self.desk.create(CREDIT_MEMO, body)

    @rule(data=st.data(), total=st.integers(0, 300))
    def receive(self, data: st.DataObject, total: int) -> None:
        body = {
            "CustomerRef": {"value": "6"},
            "TotalAmt": Decimal(total) / 100,
            "Line": self.links(data),
        }
        self.attempt(lambda: self.desk.create(PAYMENT, body))

    @rule(data=st.data())
    def relink(self, data: st.DataObject) -> None:
        if found := self.ids(PAYMENT):
            paid = self.desk.read(data.draw(st.sampled_from(found)), PAYMENT)
            lines = self.links(data)
            self.attempt(lambda: self.desk.update(PAYMENT, paid, Line=lines))

    @rule(data=st.data(), amount=st.integers(1, 300))
    def rewrite(self, data: st.DataObject, amount: int) -> None:
        kind = data.draw(st.sampled_from([INVOICE, CREDIT_MEMO]))
        if found := self.ids(kind):
            document = self.desk.read(data.draw(st.sampled_from(found)), kind)
            lines = [line(Decimal(amount) / 100)]
            self.attempt(lambda: self.desk.update(kind, document, Line=lines))

    @rule(data=st.data(), operation=st.sampled_from(["void", "delete"]))
    def undo(self, data: st.DataObject, operation: str) -> None:
        kind = data.draw(st.sampled_from([INVOICE, CREDIT_MEMO, PAYMENT]))
        if found := self.ids(kind):
            document = self.desk.read(data.draw(st.sampled_from(found)), kind)
            change = getattr(self.desk.ledger, operation)
            self.attempt(lambda: change(self.desk.company, kind, document, MOMENT))

    def links(self, data: st.DataObject) -> list[dict[str, Any]]:
        targets = [
            *(("Invoice", each) for each in self.ids(INVOICE)),
            *(("CreditMemo", each) for each in self.ids(CREDIT_MEMO)),
        ]
        if not targets:
            return []
        chosen = data.draw(st.lists(st.sampled_from(targets), max_size=3, unique=True))
        return [to(kind, each, Decimal(data.draw(st.integers(1, 300))) / 100) for kind, each in chosen]

    @invariant()
    def every_sum_holds(self) -> None:
        if not hasattr(self, "desk"):
            return
        applied: dict[tuple[str, str], Decimal] = {}
        owed = Decimal(0)
        for each in self.ids(PAYMENT):
            paid = self.desk.read(each, PAYMENT)
            used = Decimal(0)
            for entry in paid["Line"]:
                link = entry["LinkedTxn"][0]
                key = (link["TxnType"], link["TxnId"])
                applied[key] = applied.get(key, Decimal(0)) + entry["Amount"]
                used += entry["Amount"] * (-1 if link["TxnType"] == "CreditMemo" else 1)
            assert paid["UnappliedAmt"] == paid["TotalAmt"] - used >= 0
            owed -= paid["UnappliedAmt"]
        for kind, sign in ((INVOICE, 1), (CREDIT_MEMO, -1)):
            for each in self.ids(kind):
                document = self.desk.read(each, kind)
                paid_off = applied.pop((kind.name, each), Decimal(0))
                assert document["Balance"] == document["TotalAmt"] - paid_off >= 0
                assert bool(document["LinkedTxn"]) == bool(paid_off)
                owed += sign * document["Balance"]
        assert applied == {}
        assert self.desk.balance("6") == self.opening + owed
        assert self.desk.record(CUSTOMER, "6").sync_token == "0"


TestBookkeeping = Bookkeeping.TestCase
TestBookkeeping.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


# Merging


def test_two_customers_become_one() -> None:
    desk = Desk()
    made = desk.invoice(line(100), CustomerRef={"value": "6"})
    paid = desk.payment(40, (made["Id"], 30), CustomerRef={"value": "6"})
    before = desk.balance("2")
    desk.heard.clear()
    assert desk.ledger.merge(desk.company, "6", "2", MOMENT).id == "2"
    assert desk.heard == [
        ("Customer", "6", Change.MERGED),
        ("Invoice", made["Id"], Change.UPDATED),
        ("Payment", paid["Id"], Change.UPDATED),
    ]
    assert desk.read(made["Id"])["CustomerRef"] == {"value": "2", "name": "Bill's Windsurf Shop"}
    gone = desk.read("6", CUSTOMER)
    assert (gone["Active"], gone["DisplayName"], gone["Balance"]) == (False, "Dylan Sollfrank (deleted)", 0)
    assert desk.balance("2") == before + 60
    desk.ledger.void(desk.company, PAYMENT, desk.read(paid["Id"], PAYMENT), MOMENT)
    assert desk.read(made["Id"])["Balance"] == 100
    assert desk.code(lambda: desk.ledger.merge(desk.company, "2", "2", MOMENT)) == "6000"
    assert desk.code(lambda: desk.ledger.merge(desk.company, "2", "999", MOMENT)) == "610"
