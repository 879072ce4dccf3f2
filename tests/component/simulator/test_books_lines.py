"""Lines of sales forms: bundles, discounts, texts, deposits, custom fields, dates; and that totals are their sums."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbsync.simulator import jsoncodec
from qbsync.simulator.entities.kinds import CREDIT_MEMO, CUSTOMER, INVOICE, ITEM, SALES_RECEIPT, TERM
from qbsync.simulator.entities.money import half_up

from .desk import MOMENT, Desk, line

CENT = Decimal("0.01")
MONEY = st.decimals(min_value="0.01", max_value="9999.99", places=2)


def discount(percent: Any = None, **fields: Any) -> dict[str, Any]:
    """A discount line, by percent or by amount."""
    detail = {} if percent is None else {"PercentBased": True, "DiscountPercent": percent}
    return {"DetailType": "DiscountLineDetail", "DiscountLineDetail": detail, **fields}


def bundle(desk: Desk, *members: tuple[str, int]) -> str:
    """The Id of a new bundle of items."""
    lines = [{"ItemRef": {"value": item}, "Qty": sold} for item, sold in members]
    body = {"Name": "Assorted", "Type": "Group", "ItemGroupDetail": {"ItemGroupLine": lines}}
    return str(desk.create(ITEM, body)["Id"])


def group(item: str, quantity: Any = 1, *lines: dict[str, Any]) -> dict[str, Any]:
    """A line of a bundle."""
    detail: dict[str, Any] = {"GroupItemRef": {"value": item}, "Quantity": quantity}
    if lines:
        detail["Line"] = list(lines)
    return {"Amount": 0, "DetailType": "GroupLineDetail", "GroupLineDetail": detail}


# Bundles


def test_a_bundle_is_opened_at_the_items_own_prices() -> None:
    desk = Desk()
    assorted = bundle(desk, ("4", 2), ("10", 1))
    made = desk.invoice(group(assorted, 3), line(5))
    opened = made["Line"][0]
    assert (opened["Id"], opened["LineNum"], opened["Amount"]) == ("1", 1, 0)
    detail = opened["GroupLineDetail"]
    assert (detail["GroupItemRef"], detail["Quantity"]) == ({"value": assorted, "name": "Assorted"}, 3)
    members = [
        (each["Id"], each["LineNum"], each["Amount"], each["SalesItemLineDetail"]["Qty"])
        for each in detail["Line"]
    ]
    assert members == [("2", 2, 450, 6), ("3", 3, 105, 3)]
    assert [each["Description"] for each in detail["Line"]] == ["Custom Design", "Pest Control Services"]
    assert (made["Line"][1]["Id"], made["Line"][1]["LineNum"]) == ("4", 4)
    assert made["Line"][-1]["Amount"] == made["TotalAmt"] == 560


def test_a_bundle_s_lines_can_be_sent_as_recorded() -> None:
    """invoice_with_bundle_line_item.xml: 7.96 + 2.65, less 20 %: 10.61 and 2.12."""
    desk = Desk()
    assorted = bundle(desk, ("4", 5), ("10", 8))
    lines = (
        line("7.96", "4", UnitPrice=Decimal("0.5306667"), Qty=15),
        line("2.65", "10", UnitPrice=Decimal("0.1104167"), Qty=24),
    )
    made = desk.invoice(group(assorted, 3, *lines), discount(20))
    assert [each["DetailType"] for each in made["Line"]] == [
        "GroupLineDetail",
        "SubTotalLineDetail",
        "DiscountLineDetail",
    ]
    assert [each["Amount"] for each in made["Line"]] == [0, Decimal("10.61"), Decimal("2.12")]
    assert made["TotalAmt"] == Decimal("8.49")


def test_a_bundle_survives_updates_and_a_void_empties_it() -> None:
    desk = Desk()
    made = desk.invoice(group(bundle(desk, ("4", 1)), 2))
    same = desk.update(INVOICE, made, PrivateNote="x")
    assert same["Line"] == made["Line"]
    back = desk.update(INVOICE, same, Line=made["Line"])
    assert back["Line"] == made["Line"]
    desk.ledger.void_by_hand(desk.company, made["Id"], MOMENT)
    member = desk.read(made["Id"])["Line"][0]["GroupLineDetail"]["Line"][0]
    assert (member["Amount"], member["SalesItemLineDetail"]["Qty"]) == (0, 0)


def test_what_a_bundle_cannot_be() -> None:
    desk = Desk()
    empty = bundle(desk)
    full = str(desk.create(ITEM, {"Name": "Full", "Type": "Group", "ItemGroupDetail": _of("4")})["Id"])
    assert desk.refused(group("1"))[0] == "6000"
    assert desk.refused(group(empty))[0] == "6000"
    assert desk.refused(group("999"))[0] == "2500"
    assert desk.refused({"DetailType": "GroupLineDetail", "GroupLineDetail": {}})[0] == "2020"
    assert desk.refused({"DetailType": "GroupLineDetail"})[0] == "2020"
    assert desk.refused(group(full, 1, discount(10)))[0] == "6000"
    assert desk.refused(group(full, 1, line(1, item="7")))[0] == "610"
    assert desk.code(
        lambda: desk.create(ITEM, {"Name": "B", "Type": "Group", "ItemGroupDetail": _of("99")})
    ) == ("2500")


def _of(item: str) -> dict[str, Any]:
    return {"ItemGroupLine": [{"ItemRef": {"value": item}, "Qty": 1}]}


@pytest.mark.parametrize("depth", [100, 900])
def test_a_bundle_within_bundles_is_refused(depth: int) -> None:
    desk = Desk()
    made, nested = desk.invoice(), line(1)
    for _ in range(depth):
        nested = group("1", 1, nested)
    assert desk.refused(nested)[0] in {"2010", "6000"}
    assert desk.code(lambda: desk.update(INVOICE, made, Line=[nested])) in {"2010", "6000"}


def test_what_is_nested_without_end_is_refused() -> None:
    desk = Desk()
    assert desk.invoice(Tag=jsoncodec.load(b"[" * 100 + b"]" * 100))["TotalAmt"] == 100
    assert desk.refused(Tag=jsoncodec.load(b"[" * 900 + b"]" * 900))[0] == "2010"


# Discounts


def test_a_percentage_is_counted_from_the_lines() -> None:
    desk = Desk()
    made = desk.invoice(line("33.33"), discount("12.5"))
    assert made["Line"][-1]["Amount"] == Decimal("4.17")
    assert made["TotalAmt"] == Decimal("29.16")
    corrected = desk.invoice(line(100), discount(10, Amount=99))
    assert (corrected["Line"][-1]["Amount"], corrected["TotalAmt"]) == (10, 90)


def test_a_percentage_s_own_amount_is_checked_by_switch() -> None:
    desk = Desk(percentDiscount="check")
    assert desk.refused(line(100), discount(10, Amount=99))[0] == "6000"
    assert desk.invoice(line(100), discount(10, Amount=10))["TotalAmt"] == 90
    assert desk.invoice(line(100), discount(10))["TotalAmt"] == 90


def test_a_percentage_follows_the_lines_of_an_update() -> None:
    desk = Desk()
    made = desk.invoice(line(100), discount(10))
    lines = [{**made["Line"][0], "Amount": 200}, made["Line"][1], made["Line"][2]]
    changed = desk.update(INVOICE, made, Line=lines)
    assert (changed["TotalAmt"], changed["Line"][-1]["Amount"]) == (180, 20)
    assert [each.get("Id") for each in changed["Line"]] == ["1", None, "2"]


def test_what_a_discount_cannot_be() -> None:
    desk = Desk()
    assert desk.refused(line(100), discount(101))[0] == "6000"
    assert desk.refused(line(100), discount(-1))[0] == "6000"
    assert desk.refused(line(100), discount(Amount=-1))[0] == "6000"
    assert desk.refused(line(100), discount())[0] == "2020"
    assert desk.refused(line(100), discount(Amount=101))[0] == "6000"
    named = discount(Amount=1)
    named["DiscountLineDetail"]["DiscountAccountRef"] = {"value": "999"}
    assert desk.refused(line(100), named)[0] == "2500"
    named["DiscountLineDetail"]["DiscountAccountRef"] = {"value": "86"}
    shown = desk.invoice(line(100), named)["Line"][-1]["DiscountLineDetail"]
    assert shown["DiscountAccountRef"] == {"value": "86", "name": "Discounts given"}


# Other lines


def test_a_text_has_no_amount_and_counts_nothing() -> None:
    text = {"DetailType": "DescriptionOnly", "Description": "Just a description"}
    made = Desk().invoice(text)
    assert made["Line"] == [
        {
            "Id": "1",
            "LineNum": 1,
            "Description": "Just a description",
            "DetailType": "DescriptionOnly",
            "DescriptionLineDetail": {},
        },
        {"Amount": 0, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
    ]
    assert made["TotalAmt"] == made["Balance"] == 0


def test_a_subtotal_sent_is_not_a_line() -> None:
    desk = Desk()
    subtotal = {"Amount": 7, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}
    assert len(desk.invoice(line(100), subtotal)["Line"]) == 2
    assert desk.refused(subtotal)[0] == "2020"


def test_quantity_and_price_of_nothing_are_none() -> None:
    """python-quickbooks sends both as 0 with any Amount; QuickBooks takes it."""
    desk = Desk()
    detail = desk.invoice(line(100, Qty=0, UnitPrice=0))["Line"][0]["SalesItemLineDetail"]
    assert "Qty" not in detail
    assert desk.refused(line(100, Qty=1, UnitPrice=0))[0] == "6070"


def test_lines_have_an_end() -> None:
    desk = Desk()
    assert len(desk.invoice(*[line(1)] * 750)["Line"]) == 751
    assert desk.refused(*[line(1)] * 751)[0] == "6000"
    desk.switches.put({"linesPerTransaction": 2})
    assert desk.refused(group(bundle(desk, ("4", 1), ("10", 1))))[0] == "6000"
    desk.switches.put({"linesPerTransaction": 0})
    assert desk.invoice(*[line(1)] * 751)["TotalAmt"] == 751


def test_ids_sent_twice_or_never_given_are_given_anew() -> None:
    desk = Desk()
    made = desk.invoice(line(1), line(2))
    lines = [{**line(1), "Id": "2"}, {**line(2), "Id": "2"}, {**line(3), "Id": "77"}]
    changed = desk.update(INVOICE, made, Line=lines)
    assert [each.get("Id") for each in changed["Line"]] == ["2", "3", "4", None]


# Deposits


def test_a_deposit_is_paid_already() -> None:
    desk = Desk()
    owed = desk.balance()
    made = desk.invoice(line(100), Deposit=30)
    assert (made["TotalAmt"], made["Balance"], made["Deposit"]) == (100, 70, 30)
    assert desk.balance() == owed + 70
    desk.payment(20, (made["Id"], 20))
    changed = desk.update(INVOICE, desk.read(made["Id"]), Deposit=50)
    assert changed["Balance"] == 30
    assert desk.refused(line(100), Deposit=101)[0] == "6000"
    assert desk.refused(line(100), Deposit=-1)[0] == "6000"
    assert desk.invoice(line(100), Deposit=0)["Balance"] == 100


def test_deposits_can_be_forbidden() -> None:
    assert Desk({"AllowDeposit": False}).refused(line(100), Deposit=1)[0] == "6000"


# Custom fields


def fields(*names: str) -> dict[str, Any]:
    """Preferences of a company with these custom fields; empty ones are not in use."""
    used = [
        {"Name": f"SalesFormsPrefs.UseSalesCustom{n}", "Type": "BooleanType", "BooleanValue": bool(name)}
        for n, name in enumerate(names, start=1)
    ]
    called = [
        {"Name": f"SalesFormsPrefs.SalesCustomName{n}", "Type": "StringType", "StringValue": name}
        for n, name in enumerate(names, start=1)
    ]
    return {"SalesFormsPrefs": {"CustomField": [{"CustomField": used}, {"CustomField": called}]}}


def test_custom_fields_are_the_company_s_own_three() -> None:
    desk = Desk(fields("Crew #", "", "PO"))
    sent = [
        {"DefinitionId": "3", "Name": "ignored", "Type": "StringType", "StringValue": "PO-7"},
        {"DefinitionId": "2", "StringValue": "not in use"},
        {"DefinitionId": "9", "StringValue": "unheard of"},
    ]
    made = desk.invoice(CustomField=sent)
    assert made["CustomField"] == [
        {"DefinitionId": "1", "Name": "Crew #", "Type": "StringType"},
        {"DefinitionId": "3", "Name": "PO", "Type": "StringType", "StringValue": "PO-7"},
    ]
    assert desk.update(INVOICE, made, PrivateNote="x")["CustomField"] == made["CustomField"]
    desk.switches.put({"unknownCustomField": "refuse"})
    assert desk.refused(CustomField=sent)[0] == "2500"
    assert desk.refused(CustomField=[{"DefinitionId": "1", "StringValue": "x" * 32}])[0] == "2050"
    assert Desk(fields()).invoice()["CustomField"] == []


# Dates and terms


@pytest.mark.parametrize(
    ("term", "dated", "due"),
    [
        ({"DueDays": 0}, "2026-11-23", "2026-11-23"),
        ({"DueDays": 45}, "2026-11-23", "2027-01-07"),
        ({"DayOfMonthDue": 31}, "2026-02-03", "2026-02-28"),
        ({"DayOfMonthDue": 15, "DueNextMonthDays": 10}, "2026-11-10", "2026-12-15"),
        ({"DayOfMonthDue": 15, "DueNextMonthDays": 5}, "2026-11-10", "2026-11-15"),
    ],
)
def test_terms_say_when_an_invoice_is_due(term: dict[str, int], dated: str, due: str) -> None:
    desk = Desk()
    made = desk.create(TERM, {"Name": "Ours", **term})
    own = desk.invoice(TxnDate=dated, SalesTermRef={"value": made["Id"]})
    assert own["DueDate"] == due
    customer = desk.create(CUSTOMER, {"DisplayName": "Ada", "SalesTermRef": {"value": made["Id"]}})
    theirs = desk.invoice(TxnDate=dated, CustomerRef={"value": customer["Id"]})
    assert theirs["DueDate"] == due
    assert desk.invoice(TxnDate=dated, SalesTermRef={"value": made["Id"]}, DueDate="2026-01-01")[
        "DueDate"
    ] == ("2026-01-01")


def test_a_due_date_stays_in_a_sparse_update_and_is_counted_anew_in_a_full_one() -> None:
    desk = Desk()
    made = desk.invoice(TxnDate="2026-11-01", SalesTermRef={"value": "2"})
    assert desk.update(INVOICE, made, TxnDate="2026-11-05")["DueDate"] == "2026-11-16"
    current = desk.read(made["Id"])
    full = desk.replace(
        INVOICE,
        current,
        CustomerRef={"value": "1"},
        Line=[line(1)],
        TxnDate="2026-11-05",
        SalesTermRef={"value": "2"},
    )
    assert full["DueDate"] == "2026-11-20"


# Totals


@st.composite
def forms(draw: st.DrawFn) -> tuple[list[dict[str, Any]], Decimal, Decimal]:
    """Lines, what they add up to, and what discounts take off."""
    lines, subtotal = [], Decimal(0)
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            sold = draw(st.decimals(min_value="0.001", max_value="999", places=3))
            price = draw(st.decimals(min_value="0.01", max_value="999.9999", places=4))
            amount = half_up(sold * price)
            lines.append(line(amount, Qty=sold, UnitPrice=price))
        else:
            amount = draw(MONEY)
            lines.append(line(amount))
        subtotal += amount
        if draw(st.integers(0, 4)) == 0:
            back = min(draw(MONEY), subtotal)
            lines.append(line(-back))
            subtotal -= back
    taken = Decimal(0)
    kind = draw(st.sampled_from(["none", "percent", "amount"]))
    if kind == "percent":
        percent = draw(st.decimals(min_value=0, max_value=100, places=2))
        taken = (subtotal * percent / 100).quantize(CENT, rounding=ROUND_HALF_UP)
        lines.append(discount(percent))
    elif kind == "amount" and subtotal > 0:
        taken = draw(st.decimals(min_value=0, max_value=subtotal, places=2))
        lines.append(discount(Amount=taken))
    return draw(st.permutations(lines)), subtotal, taken


@settings(max_examples=60, deadline=None)
@given(forms(), st.sampled_from([INVOICE, CREDIT_MEMO, SALES_RECEIPT]))
def test_every_total_is_the_sum_of_its_lines(
    form: tuple[list[dict[str, Any]], Decimal, Decimal], kind: Any
) -> None:
    lines, subtotal, taken = form
    desk = Desk()
    made = desk.create(kind, {"CustomerRef": {"value": "1"}, "Line": lines})
    for each in (
        made,
        desk.update(kind, made, PrivateNote="x"),
        desk.replace(
            kind, {**made, "SyncToken": "1"}, **{"CustomerRef": {"value": "1"}, "Line": made["Line"]}
        ),
    ):
        assert each["TotalAmt"] == subtotal - taken
        (shown,) = (entry for entry in each["Line"] if entry["DetailType"] == "SubTotalLineDetail")
        assert shown["Amount"] == subtotal
        assert each["Balance"] == (0 if kind is SALES_RECEIPT else subtotal - taken)
