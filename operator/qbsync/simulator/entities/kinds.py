"""The kinds of entities: where they live, what a query may ask of them, which numbers they share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class FieldType(StrEnum):
    """How a filterable field compares."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    MOMENT = "moment"
    FLAG = "flag"
    IDENTIFIER = "identifier"


class Change(StrEnum):
    """What happened to an entity; webhooks and the change feed speak of it."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    VOIDED = "voided"
    MERGED = "merged"
    EMAILED = "emailed"


@dataclass(frozen=True, slots=True)
class Kind:
    """One entity of the accounting API.

    `fields` are the filterable ones; `family` is QuickBooks' word in fault 2500; kinds with the same `sequence`
    share their ids; `indexed` fields are found without looking at every row; `numbered` kinds have a
    DocNumber of the one sequence of sales forms.
    """

    name: str
    family: str
    sequence: str
    fields: Mapping[str, FieldType]
    indexed: tuple[str, ...] = ()
    named_by: str | None = None
    writable: bool = False
    single: bool = False
    numbered: bool = False
    path: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.name.lower())

    @property
    def is_list(self) -> bool:
        """Name lists hide their inactive rows from queries."""
        return self.named_by is not None


def _fields(**names: str) -> Mapping[str, FieldType]:
    table = {"Id": FieldType.IDENTIFIER}
    for kind, listed in names.items():
        table.update(dict.fromkeys(listed.split(), FieldType(kind)))
    table["MetaData.CreateTime"] = FieldType.MOMENT
    table["MetaData.LastUpdatedTime"] = FieldType.MOMENT
    return MappingProxyType(table)


INVOICE = Kind(
    name="Invoice",
    family="Txns",
    sequence="txn",
    fields=_fields(
        text="DocNumber", date="TxnDate DueDate ShipDate", number="Balance TotalAmt", identifier="CustomerRef"
    ),
    indexed=("DocNumber", "CustomerRef"),
    writable=True,
    numbered=True,
)
CREDIT_MEMO = Kind(
    name="CreditMemo",
    family="Txns",
    sequence="txn",
    fields=_fields(
        text="DocNumber", date="TxnDate", number="Balance RemainingCredit TotalAmt", identifier="CustomerRef"
    ),
    indexed=("DocNumber", "CustomerRef"),
    writable=True,
    numbered=True,
)
SALES_RECEIPT = Kind(
    name="SalesReceipt",
    family="Txns",
    sequence="txn",
    fields=_fields(
        text="DocNumber PaymentRefNum", date="TxnDate", number="Balance TotalAmt", identifier="CustomerRef"
    ),
    indexed=("DocNumber", "CustomerRef"),
    writable=True,
    numbered=True,
)
PAYMENT = Kind(
    name="Payment",
    family="Txns",
    sequence="txn",
    fields=_fields(
        text="PaymentRefNum", date="TxnDate", number="TotalAmt UnappliedAmt", identifier="CustomerRef"
    ),
    indexed=("PaymentRefNum", "CustomerRef"),
    writable=True,
)
CUSTOMER = Kind(
    name="Customer",
    family="Names",
    sequence="name",
    fields=_fields(
        text="DisplayName FullyQualifiedName GivenName MiddleName FamilyName CompanyName PrintOnCheckName "
        "PrimaryEmailAddr",
        number="Balance",
        flag="Active Job",
    ),
    indexed=("DisplayName", "FullyQualifiedName"),
    named_by="DisplayName",
    writable=True,
)
VENDOR = Kind(
    name="Vendor",
    family="Names",
    sequence="name",
    fields=_fields(
        text="DisplayName GivenName MiddleName FamilyName CompanyName PrintOnCheckName PrimaryEmailAddr",
        number="Balance",
        flag="Active Vendor1099",
    ),
    indexed=("DisplayName",),
    named_by="DisplayName",
    writable=True,
)
EMPLOYEE = Kind(
    name="Employee",
    family="Names",
    sequence="name",
    fields=_fields(
        text="DisplayName GivenName MiddleName FamilyName PrintOnCheckName", date="HiredDate", flag="Active"
    ),
    indexed=("DisplayName",),
    named_by="DisplayName",
    writable=True,
)
ITEM = Kind(
    name="Item",
    family="Items",
    sequence="item",
    fields=_fields(
        text="Name FullyQualifiedName Sku Type Description", number="UnitPrice", flag="Active Taxable"
    ),
    indexed=("Name", "FullyQualifiedName", "Sku"),
    named_by="Name",
    writable=True,
)
ACCOUNT = Kind(
    name="Account",
    family="Accounts",
    sequence="account",
    fields=_fields(
        text="Name FullyQualifiedName Description AccountType AccountSubType Classification AcctNum",
        number="CurrentBalance CurrentBalanceWithSubAccounts",
        flag="Active SubAccount",
        identifier="ParentRef",
    ),
    indexed=("Name", "FullyQualifiedName"),
    named_by="Name",
    writable=True,
)
TERM = Kind(
    name="Term",
    family="Terms",
    sequence="term",
    fields=_fields(text="Name Type", number="DueDays DiscountPercent DiscountDays", flag="Active"),
    indexed=("Name",),
    named_by="Name",
    writable=True,
)
PAYMENT_METHOD = Kind(
    name="PaymentMethod",
    family="PaymentMethods",
    sequence="paymentmethod",
    fields=_fields(text="Name Type", flag="Active"),
    indexed=("Name",),
    named_by="Name",
    writable=True,
)
CLASS = Kind(
    name="Class",
    family="Klasses",
    sequence="class",
    fields=_fields(text="Name FullyQualifiedName", flag="Active SubClass", identifier="ParentRef"),
    indexed=("Name", "FullyQualifiedName"),
    named_by="Name",
    writable=True,
)
DEPARTMENT = Kind(
    name="Department",
    family="Depts",
    sequence="department",
    fields=_fields(text="Name FullyQualifiedName", flag="Active SubDepartment", identifier="ParentRef"),
    indexed=("Name", "FullyQualifiedName"),
    named_by="Name",
    writable=True,
)
COMPANY_CURRENCY = Kind(
    name="CompanyCurrency",
    family="Currencies",
    sequence="currency",
    fields=_fields(text="Name Code", flag="Active"),
    indexed=("Name", "Code"),
    named_by="Name",
    writable=True,
)
TAX_CODE = Kind(
    name="TaxCode",
    family="TaxCodes",
    sequence="taxcode",
    fields=_fields(text="Name Description", flag="Active Taxable TaxGroup"),
    indexed=("Name",),
    named_by="Name",
)
TAX_RATE = Kind(
    name="TaxRate",
    family="TaxRates",
    sequence="taxrate",
    fields=_fields(text="Name Description SpecialTaxType", flag="Active"),
    indexed=("Name",),
    named_by="Name",
)
TAX_AGENCY = Kind(
    name="TaxAgency",
    family="Vendors",
    sequence="taxagency",
    fields=_fields(text="DisplayName", flag="TaxTrackedOnSales TaxTrackedOnPurchases"),
    indexed=("DisplayName",),
    named_by="DisplayName",
)
COMPANY_INFO = Kind(name="CompanyInfo", family="Companies", sequence="company", fields=_fields(), single=True)
PREFERENCES = Kind(
    name="Preferences", family="Companies", sequence="preferences", fields=_fields(), single=True
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        INVOICE,
        CREDIT_MEMO,
        SALES_RECEIPT,
        PAYMENT,
        CUSTOMER,
        VENDOR,
        EMPLOYEE,
        ITEM,
        ACCOUNT,
        TERM,
        PAYMENT_METHOD,
        CLASS,
        DEPARTMENT,
        COMPANY_CURRENCY,
        TAX_CODE,
        TAX_RATE,
        TAX_AGENCY,
        COMPANY_INFO,
        PREFERENCES,
    )
}
BY_PATH: Mapping[str, Kind] = {kind.path: kind for kind in KINDS.values()}
ELSEWHERE = (
    "Attachable",
    "Bill",
    "BillPayment",
    "Budget",
    "Deposit",
    "Estimate",
    "ExchangeRate",
    "InventoryAdjustment",
    "JournalCode",
    "JournalEntry",
    "Purchase",
    "PurchaseOrder",
    "RecurringTransaction",
    "RefundReceipt",
    "ReimburseCharge",
    "TimeActivity",
    "Transfer",
    "VendorCredit",
)
"""Entities of the real QuickBooks that this one does not have: there are none of them, and never a change."""
