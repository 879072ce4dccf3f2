"""The companies one can start with: by name, from a file, through the door."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qbsync.simulator import sample
from qbsync.simulator.app import Simulator
from qbsync.simulator.entities.kinds import ACCOUNT, CUSTOMER, INVOICE, ITEM, TAX_CODE, TAX_RATE, Kind
from qbsync.simulator.options import SimulatorOptions

from .conftest import Books, ThreadedSimulator
from .offices import Office, net

REFERENCES: list[tuple[Kind, str, Kind]] = [
    (ITEM, "IncomeAccountRef", ACCOUNT),
    (ITEM, "SalesTaxCodeRef", TAX_CODE),
    (CUSTOMER, "DefaultTaxCodeRef", TAX_CODE),
]
every_company = pytest.mark.parametrize("name", sample.NAMES)


@every_company
def test_every_company_can_sell_at_once(name: str) -> None:
    """Customer 1 and item 1, a service with an income account, are there and active; numbers are chosen by hand."""
    office = Office(name)
    item = office.read("1", ITEM)
    assert (item["Type"], item["Active"], office.read("1", CUSTOMER)["Active"]) == ("Service", True, True)
    account = office.read(item["IncomeAccountRef"]["value"], ACCOUNT)
    assert (account["AccountType"], account["Active"]) == ("Income", True)
    assert office.company.custom_numbers
    assert office.invoice(GlobalTaxCalculation="NotApplicable")["TotalAmt"] == 100


@every_company
def test_the_books_of_every_company_hold_together(name: str) -> None:
    office = Office(name)
    for kind, field, target in REFERENCES:
        for row in office.company.table(kind):
            reference = row.document().get(field)
            if reference is not None:
                assert office.company.table(target).get(reference["value"]) is not None, (row.id, field)
    for row in office.company.table(TAX_CODE):
        for detail in row.document()["SalesTaxRateList"]["TaxRateDetail"]:
            rate = office.read(detail["TaxRateRef"]["value"], TAX_RATE)
            assert rate["Name"] == detail["TaxRateRef"]["name"]
    owed: Counter[str] = Counter()
    for row in office.company.table(INVOICE):
        document = row.document()
        assert document["TotalAmt"] == net(document) + document["TxnTaxDetail"]["TotalTax"]
        assert document["DocNumber"].isdigit()
        owed[document["CustomerRef"]["value"]] += Decimal(document["Balance"])
    assert all(office.balance(row.id) == owed[row.id] for row in office.company.table(CUSTOMER))


def test_where_they_differ() -> None:
    def traits(name: str) -> tuple[Any, ...]:
        company = Office(name).company
        tax = company.preference
        return (
            company.info["Country"],
            company.home_currency["value"],
            tax("TaxPrefs", "UsingSalesTax"),
            tax("TaxPrefs", "PartnerTaxEnabled", False),
            tax("CurrencyPrefs", "MultiCurrencyEnabled"),
        )

    assert {name: traits(name) for name in sample.NAMES} == {
        "us": ("US", "USD", False, False, False),
        "us-sales-tax": ("US", "USD", True, False, False),
        "us-automated": ("US", "USD", True, True, False),
        "gst": ("CA", "CAD", True, False, False),
        "multicurrency": ("US", "USD", False, False, True),
    }


def test_a_file_laid_over_a_company_of_the_package(tmp_path: Path) -> None:
    mine = {
        "like": "us",
        "companyInfo": {"CompanyName": "Mine"},
        "preferences": {"SalesFormsPrefs": {"CustomTxnNumbers": False}},
        "customers": [{"Id": "1", "DisplayName": "First"}, {"Id": "90", "DisplayName": "Ninetieth"}],
    }
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    description = sample.load(tmp_path / "mine.json")
    names = {each["Id"]: each["DisplayName"] for each in description["customers"]}
    assert (names["1"], names["2"], names["90"]) == ("First", "Bill's Windsurf Shop", "Ninetieth")
    assert (description["companyInfo"]["CompanyName"], description["companyInfo"]["Country"]) == (
        "Mine",
        "US",
    )
    assert description["preferences"]["SalesFormsPrefs"]["AllowDiscount"] is True
    assert "like" not in description


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"like": "moon"}', "there is no company 'moon', only us, "), ("[", "mine.json")],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(sample.UnreadableCompany, match=message):
        sample.load(tmp_path / "mine.json")


def test_a_name_that_is_neither_company_nor_file() -> None:
    with pytest.raises(sample.UnreadableCompany, match="or one of us, us-sales-tax, us-automated, gst"):
        sample.load("gts")


def test_a_simulator_of_another_company() -> None:
    world = Simulator(SimulatorOptions(company=Path("gst"))).world
    assert world.companies[world.first_realm].home_currency["value"] == "CAD"
    like_it = world.add_company(None, {})
    assert like_it.info["Country"] == "CA"


def test_companies_through_the_door(simulator: ThreadedSimulator) -> None:
    realm = simulator.post(
        "/_simulator/realms", {"company": "gst", "preferences": {"CustomTxnNumbers": False}}
    )["realmId"]
    books = Books(simulator, realm)
    detail = {"ItemRef": {"value": "1"}, "TaxCodeRef": {"value": "9"}}
    made = books.create(
        "Invoice",
        {
            "CustomerRef": {"value": "3"},
            "GlobalTaxCalculation": "TaxExcluded",
            "Line": [{"Amount": 100, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}],
        },
    )
    books.close()
    assert (made["TotalAmt"], made["DocNumber"], made["CurrencyRef"]["value"]) == (
        Decimal("114.98"),
        "1005",
        "CAD",
    )


def test_an_unknown_company_at_the_door(simulator: ThreadedSimulator) -> None:
    with pytest.raises(AssertionError, match="there is no company 'moon', only us, us-sales-tax"):
        simulator.post("/_simulator/realms", {"company": "moon"})
