"""Customers: names shared with vendors and employees, sub-customers, balances kept by QuickBooks."""

from qbsync.simulator.entities.checks import limit_lengths, referred
from qbsync.simulator.entities.currency import check_unchanged, currency_of_name
from qbsync.simulator.entities.hierarchy import full_name
from qbsync.simulator.entities.kinds import CUSTOMER, TERM
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, amount
from qbsync.simulator.entities.names import display_name, refuse_taken
from qbsync.simulator.entities.sales import check_address
from qbsync.simulator.entities.tax import customer_tax
from qbsync.simulator.jsoncodec import JsonObject

_LENGTHS = {
    "DisplayName": 500,
    "GivenName": 100,
    "MiddleName": 100,
    "FamilyName": 100,
    "CompanyName": 500,
    "PrintOnCheckName": 110,
    "PrimaryEmailAddr.Address": 100,
    "PrimaryPhone.FreeFormNumber": 30,
    "Notes": 2000,
}
COMPUTED = frozenset(
    {
        "Id",
        "SyncToken",
        "MetaData",
        "domain",
        "sparse",
        "status",
        "FullyQualifiedName",
        "Balance",
        "BalanceWithJobs",
        "Level",
    }
)
_DEEPEST = 5


def build(making: Making, body: JsonObject) -> JsonObject:
    """A customer, new or changed. Raises Refusal."""
    company = making.company
    limit_lengths(body, _LENGTHS)
    check_address(body.get("PrimaryEmailAddr", {}).get("Address"))
    name = display_name(body)
    refuse_taken(making, name)
    full = full_name(making, CUSTOMER, body, name, levels=_DEEPEST)
    if "SalesTermRef" in body:
        referred(company, TERM, body["SalesTermRef"], inactive_code=making.inactive_code)
    if making.before is not None:
        check_unchanged(making.before, body)
    document: JsonObject = {
        "Taxable": True,
        "Job": full != name,
        "BillWithParent": False,
        "Balance": making.carried("Balance", amount(ZERO)),
        "BalanceWithJobs": making.carried("BalanceWithJobs", amount(ZERO)),
        "CurrencyRef": making.carried("CurrencyRef", None) or currency_of_name(company, body),
        "PreferredDeliveryMethod": "Print",
        **making.frame(),
        "FullyQualifiedName": full,
        "DisplayName": name,
        "PrintOnCheckName": body.get("CompanyName", name),
        "Active": making.carried("Active", True),
    }
    document.update({field: value for field, value in body.items() if field != "CurrencyRef"})
    document.update(customer_tax(company, body))
    document["DisplayName"] = name
    if full != name:
        document["Level"] = full.count(":")
    return document
