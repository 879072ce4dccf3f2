"""Name lists: classes, locations, terms, accounts, vendors, employees, payment methods, tax codes."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qbsync.simulator.entities.kinds import (
    ACCOUNT,
    CLASS,
    DEPARTMENT,
    EMPLOYEE,
    PAYMENT_METHOD,
    TAX_AGENCY,
    TAX_CODE,
    TAX_RATE,
    TERM,
    VENDOR,
    Kind,
)
from qbsync.simulator.entities.lists import due_date
from qbsync.simulator.jsoncodec import load_object

from .desk import MOMENT, Desk
from .offices import Office

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "quickbooks" / "fyle-qbo-api"
MINIMAL: list[tuple[Kind, dict[str, Any]]] = [
    (CLASS, {"Name": "North"}),
    (DEPARTMENT, {"Name": "North"}),
    (TERM, {"Name": "Net 10", "DueDays": 10}),
    (PAYMENT_METHOD, {"Name": "Voucher"}),
    (ACCOUNT, {"Name": "Petty cash", "AccountType": "Bank"}),
    (VENDOR, {"DisplayName": "Boraski Family Store"}),
    (EMPLOYEE, {"GivenName": "Ada", "FamilyName": "Byron"}),
]
KINDS = [kind for kind, _ in MINIMAL]


def names(desk: Desk, kind: Kind, where: str = "") -> list[str]:
    found = load_object(desk.ledger.query(desk.company, f"SELECT * FROM {kind.name} {where}", MOMENT))
    return [each[kind.named_by or "Name"] for each in found.get(kind.name, [])]


@pytest.mark.parametrize(("kind", "body"), MINIMAL, ids=[kind.name for kind in KINDS])
def test_the_life_of_an_entry(kind: Kind, body: dict[str, Any]) -> None:
    desk = Desk()
    made = desk.create(kind, body)
    name = made[kind.named_by or "Name"]
    assert (made["SyncToken"], made["Active"], made["domain"], made["sparse"]) == ("0", True, "QBO", False)
    assert desk.read(made["Id"], kind) == made
    assert name in names(desk, kind)
    assert desk.refusal(lambda: desk.create(kind, body))[0] == "6240"
    gone = desk.update(kind, made, Active=False)
    assert (gone["SyncToken"], gone["Active"]) == ("1", False)
    assert gone[kind.named_by or "Name"] == f"{name} (deleted)"
    assert f"{name} (deleted)" not in names(desk, kind)
    assert f"{name} (deleted)" in names(desk, kind, "WHERE Active IN (true, false)")
    assert desk.code(lambda: desk.update(kind, made, Active=True)) == "5010"
    assert desk.create(kind, body)["Id"] != made["Id"]


@pytest.mark.parametrize("kind", [TAX_CODE, TAX_RATE, TAX_AGENCY], ids=lambda kind: kind.name)
def test_tax_is_read_only(kind: Kind) -> None:
    desk = Desk()
    assert names(desk, kind)
    assert desk.code(lambda: desk.create(kind, {"Name": "Mine"})) == "500"


@pytest.mark.parametrize(
    ("kind", "body", "fault"),
    [
        (CLASS, {}, "2020"),
        (CLASS, {"Name": "x" * 101}, "2050"),
        (CLASS, {"Name": "a:b"}, "6000"),
        (CLASS, {"Name": "x", "ParentRef": {"value": "77"}}, "2500"),
        (CLASS, {"Name": "x", "ParentRef": {"value": "5000000000000007283"}}, "610"),
        (CLASS, {"Name": "x", "Nickname": "y"}, "2010"),
        (DEPARTMENT, {"Name": "x" * 101}, "2050"),
        (TERM, {"Name": "Someday"}, "2020"),
        (TERM, {"Name": "x" * 32, "DueDays": 1}, "2050"),
        (TERM, {"Name": "Never", "DueDays": 1000}, "6000"),
        (TERM, {"Name": "Odd", "DayOfMonthDue": 32}, "6000"),
        (PAYMENT_METHOD, {"Name": "Shells", "Type": "SHELL"}, "2170"),
        (ACCOUNT, {"Name": "x"}, "6010"),
        (ACCOUNT, {"AccountType": "Bank"}, "2020"),
        (ACCOUNT, {"Name": "x", "AccountType": "Piggy bank"}, "2170"),
        (ACCOUNT, {"Name": "x", "AccountSubType": "Sock"}, "2170"),
        (ACCOUNT, {"Name": "x", "AccountType": "Bank", "AccountSubType": "Inventory"}, "6000"),
        (ACCOUNT, {"Name": 'The "big" one', "AccountType": "Bank"}, "6000"),
        (ACCOUNT, {"Name": "x", "AccountType": "Bank", "ParentRef": {"value": "45"}}, "6000"),
        (VENDOR, {}, "2020"),
        (VENDOR, {"DisplayName": "a:b"}, "6000"),
        (VENDOR, {"DisplayName": "x", "TermRef": {"value": "99"}}, "2500"),
        (VENDOR, {"DisplayName": "x", "CurrencyRef": {"value": "EUR"}}, "6000"),
        (EMPLOYEE, {"DisplayName": "Only this"}, "2020"),
        (EMPLOYEE, {"GivenName": "x" * 101}, "2050"),
    ],
)
def test_what_is_refused(kind: Kind, body: dict[str, Any], fault: str) -> None:
    desk = Desk()
    assert desk.code(lambda: desk.create(kind, body)) == fault


def test_one_name_space_for_customers_vendors_and_employees() -> None:
    desk = Desk()
    assert desk.code(lambda: desk.create(VENDOR, {"DisplayName": "amy's bird sanctuary"})) == "6240"
    ada = {"GivenName": "Jenny", "DisplayName": "Robertson & Associates"}
    assert desk.code(lambda: desk.create(EMPLOYEE, ada)) == "6240"


def test_a_list_s_own_6240_names_the_list() -> None:
    desk = Desk()
    assert desk.refusal(lambda: desk.create(DEPARTMENT, {"Name": "Tucson"})) == (
        "6240",
        "The name supplied already exists. : Another location is already using this \n"
        "name. Please use a different name.",
    )


# Trees


def test_a_tree_of_classes_is_renamed_whole() -> None:
    desk = Desk()
    top = desk.create(CLASS, {"Name": "Regions"})
    middle = desk.create(CLASS, {"Name": "North", "ParentRef": {"value": top["Id"]}})
    leaf = desk.create(CLASS, {"Name": "Tundra", "ParentRef": {"value": middle["Id"]}})
    assert (leaf["FullyQualifiedName"], leaf["SubClass"]) == ("Regions:North:Tundra", True)
    assert (top["SubClass"], "ParentRef" in top) == (False, False)
    desk.update(CLASS, top, Name="Areas")
    renamed = desk.read(leaf["Id"], CLASS)
    assert (renamed["FullyQualifiedName"], renamed["SyncToken"]) == ("Areas:North:Tundra", "0")
    moved = desk.update(CLASS, desk.read(middle["Id"], CLASS), ParentRef={"value": ""})
    assert (moved["FullyQualifiedName"], moved["SubClass"]) == ("North", False)
    assert desk.read(leaf["Id"], CLASS)["FullyQualifiedName"] == "North:Tundra"


def test_the_same_name_below_another_parent_is_another_name() -> None:
    desk = Desk()
    below = [
        desk.create(DEPARTMENT, {"Name": "Shop", "ParentRef": {"value": parent}}) for parent in ("1", "2")
    ]
    assert [each["FullyQualifiedName"] for each in below] == ["San Pablo:Shop", "Tucson:Shop"]


def test_five_levels_and_no_circles() -> None:
    desk = Desk()
    made: list[dict[str, Any]] = []
    for level in range(5):
        parent = {"ParentRef": {"value": made[-1]["Id"]}} if made else {}
        made.append(desk.create(CLASS, {"Name": f"L{level}", **parent}))
    deeper = {"Name": "L5", "ParentRef": {"value": made[-1]["Id"]}}
    assert desk.code(lambda: desk.create(CLASS, deeper)) == "6000"
    circle = {"ParentRef": {"value": made[1]["Id"]}}
    assert desk.code(lambda: desk.update(CLASS, made[0], **circle)) == "6000"


# One by one


def test_terms_by_days_and_by_the_day_of_the_month() -> None:
    desk = Desk()
    days = desk.create(TERM, {"Name": "2/10 net 30", "DueDays": 30, "DiscountPercent": 2, "DiscountDays": 10})
    assert (days["Type"], days["DueDays"], days["DiscountPercent"], days["DiscountDays"]) == (
        "STANDARD",
        30,
        2,
        10,
    )
    monthly = desk.create(TERM, {"Name": "The 1st", "DayOfMonthDue": 1, "DueNextMonthDays": 2})
    assert (monthly["Type"], monthly["DayOfMonthDue"], monthly["DueNextMonthDays"]) == ("DATE_DRIVEN", 1, 2)
    assert "DueDays" not in monthly


@pytest.mark.parametrize(
    ("term", "dated", "due"),
    [
        ({"DueDays": 30}, date(2026, 1, 31), date(2026, 3, 2)),
        ({"Type": "DATE_DRIVEN", "DayOfMonthDue": 15}, date(2026, 1, 10), date(2026, 1, 15)),
        ({"Type": "DATE_DRIVEN", "DayOfMonthDue": 15}, date(2026, 1, 16), date(2026, 2, 15)),
        ({"Type": "DATE_DRIVEN", "DayOfMonthDue": 31}, date(2026, 2, 1), date(2026, 2, 28)),
        (
            {"Type": "DATE_DRIVEN", "DayOfMonthDue": 15, "DueNextMonthDays": 5},
            date(2026, 12, 11),
            date(2027, 1, 15),
        ),
    ],
)
def test_when_a_term_is_due(term: dict[str, Any], dated: date, due: date) -> None:
    assert due_date(term, dated) == due


def test_an_account_knows_its_type_by_its_sub_type_and_the_reverse() -> None:
    desk = Desk()
    by_subtype = desk.create(ACCOUNT, {"Name": "Van", "AccountSubType": "Vehicles"})
    assert (by_subtype["AccountType"], by_subtype["Classification"]) == ("Fixed Asset", "Asset")
    by_type = desk.create(ACCOUNT, {"Name": "Fees", "AccountType": "Income", "ParentRef": {"value": "45"}})
    assert (by_type["AccountSubType"], by_type["SubAccount"], by_type["FullyQualifiedName"]) == (
        "ServiceFeeIncome",
        True,
        "Landscaping Services:Fees",
    )


def test_tax_numbers_are_shown_by_their_end() -> None:
    desk = Desk()
    vendor = desk.create(VENDOR, {"DisplayName": "Plumber", "TaxIdentifier": "123-45-9875"})
    assert vendor["TaxIdentifier"].endswith("9875")
    assert "123" not in vendor["TaxIdentifier"]
    employee = desk.create(EMPLOYEE, {"GivenName": "Ada", "SSN": "123456789"})
    assert employee["SSN"] == "XXXXX6789"
    again = desk.update(VENDOR, vendor, CompanyName="Plumber & Sons")
    assert again["TaxIdentifier"] == vendor["TaxIdentifier"]


def test_a_vendor_keeps_its_balance_through_a_full_update() -> None:
    desk = Desk()
    before = desk.read("31", VENDOR)
    after = desk.replace(VENDOR, before, DisplayName="Brosnahan", Balance=0)
    assert (after["Balance"], after["DisplayName"]) == (before["Balance"], "Brosnahan")
    assert "PrimaryPhone" not in after


def test_pseudo_tax_codes_can_be_read_and_other_words_not() -> None:
    desk = Desk()
    assert desk.read("TAX", TAX_CODE)["Taxable"] is True
    assert desk.code(lambda: desk.read("SIN", TAX_CODE)) == "2030"


# Shapes as recorded


def _fields(entry: Any) -> Any:
    """Names of fields, nested."""
    if isinstance(entry, dict):
        return {name: _fields(value) for name, value in entry.items()}
    return [_fields(each) for each in entry[:1]] if isinstance(entry, list) else type(entry) in (int, float)


def test_entries_have_the_recorded_fields() -> None:
    def recorded(name: str) -> dict[str, Any]:
        found = json.loads((RECORDED / name).read_text())
        return dict(found[0] if isinstance(found, list) else found)

    desk, gst = Desk(), Office("gst")
    for name, desk_of, kind, identifier in (
        ("class_response.json", desk, CLASS, "5000000000000007280"),
        ("department_response.json", desk, DEPARTMENT, "2"),
        ("tax_rate_get_by_id.json", desk, TAX_RATE, "2"),
        ("account_response.json", desk, ACCOUNT, "1"),
        ("tax_code_response.json", gst, TAX_CODE, "6"),
    ):
        here = _fields(desk_of.read(identifier, kind))
        missing = _fields(recorded(name)).keys() - here.keys()
        assert not missing, name
    code = recorded("tax_code_response.json")["SalesTaxRateList"]["TaxRateDetail"][0]
    assert gst.read("6", TAX_CODE)["SalesTaxRateList"]["TaxRateDetail"][0].keys() == code.keys()
