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


@dataclass(frozen=True, slots=True)
class Kind:
    """One entity of the accounting API.

    `fields` are the filterable ones; `family` is QuickBooks' word in fault 2500; kinds with the same `sequence`
    share their ids; `indexed` fields are found without looking at every row.
    """

    name: str
    family: str
    sequence: str
    fields: Mapping[str, FieldType]
    indexed: tuple[str, ...] = ()
    named_by: str | None = None
    writable: bool = False
    single: bool = False
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
)
PAYMENT = Kind(
    name="Payment",
    family="Txns",
    sequence="txn",
    fields=_fields(
        text="PaymentRefNum", date="TxnDate", number="TotalAmt UnappliedAmt", identifier="CustomerRef"
    ),
    indexed=("CustomerRef",),
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
        text="DisplayName GivenName FamilyName CompanyName PrintOnCheckName", number="Balance", flag="Active"
    ),
    indexed=("DisplayName",),
    named_by="DisplayName",
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
        text="Name FullyQualifiedName AccountType AccountSubType Classification AcctNum", flag="Active"
    ),
    indexed=("Name", "FullyQualifiedName"),
    named_by="Name",
)
TERM = Kind(
    name="Term",
    family="Terms",
    sequence="term",
    fields=_fields(text="Name Type", number="DueDays", flag="Active"),
    indexed=("Name",),
    named_by="Name",
)
COMPANY_INFO = Kind(name="CompanyInfo", family="Companies", sequence="company", fields=_fields(), single=True)
PREFERENCES = Kind(
    name="Preferences", family="Companies", sequence="preferences", fields=_fields(), single=True
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (INVOICE, PAYMENT, CUSTOMER, VENDOR, ITEM, ACCOUNT, TERM, COMPANY_INFO, PREFERENCES)
}
BY_PATH: Mapping[str, Kind] = {kind.path: kind for kind in KINDS.values()}
