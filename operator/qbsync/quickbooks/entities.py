"""QuickBooks' objects as this project reads them.

Unknown fields are ignored: Intuit adds fields without a new minor version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from qbsync.quickbooks.errors import IncompleteAnswer
from qbsync.quickbooks.exactjson import dump_json, load_json

__all__ = [
    "CompanyInfo",
    "Entity",
    "Invoice",
    "NamedRow",
    "Preferences",
    "dump_json",
    "load_json",
    "parse_company_info",
    "parse_invoice",
    "parse_named",
    "parse_preferences",
]


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice, as far as identity, money and payment go."""

    id: str
    sync_token: str
    doc_number: str | None
    """None if the company uses custom numbers and none was given."""
    txn_date: date | None
    due_date: date | None
    customer_id: str
    currency: str | None
    """ISO 4217; None if the answer names none (the company's home currency)."""
    total: Decimal
    """TotalAmt, tax included, in `currency`."""
    balance: Decimal
    """What is still to be paid."""
    total_tax: Decimal
    tax_inclusive: bool
    """GlobalTaxCalculation is TaxInclusive: the line amounts contain the tax."""
    private_note: str | None
    email_status: str | None
    """NotSet, NeedToSend or EmailSent."""
    created: datetime | None
    """MetaData.CreateTime."""
    row: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All of it, as QuickBooks answered."""


@dataclass(frozen=True, slots=True)
class CompanyInfo:
    """The company behind a realm."""

    name: str
    legal_name: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class Preferences:
    """The settings of a company that decide how invoices behave."""

    custom_transaction_numbers: bool
    """False: QuickBooks numbers the invoices itself, and may replace a DocNumber sent."""
    home_currency: str | None
    """ISO 4217."""
    multicurrency: bool


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A row of a name list: customer, item, term, class …"""

    id: str
    name: str
    """DisplayName, Name or FullyQualifiedName: the first that the answer holds."""
    active: bool
    full_name: str | None = None
    """FullyQualifiedName, "Parent:Child"."""
    currency: str | None = None
    """ISO 4217; customers only."""


class Entity(dict[str, Any]):
    """An object as QuickBooks answered it, with the id of the answer."""

    def __init__(self, content: Mapping[str, Any], *, intuit_tid: str | None = None) -> None:
        super().__init__(content)
        self.intuit_tid = intuit_tid
        """Intuit's transaction id of the call that returned it."""


def parse_invoice(mapping: Mapping[str, Any]) -> Invoice:
    """Read an invoice of an answer. Raises IncompleteAnswer without id, token, customer, total or balance."""
    return Invoice(
        id=_required(mapping, "Id"),
        sync_token=_required(mapping, "SyncToken"),
        doc_number=_string(mapping.get("DocNumber")),
        txn_date=_date(mapping.get("TxnDate")),
        due_date=_date(mapping.get("DueDate")),
        customer_id=_required(_part(mapping, "CustomerRef"), "value", "CustomerRef"),
        currency=_string(_part(mapping, "CurrencyRef").get("value")),
        total=_money(mapping, "TotalAmt"),
        balance=_money(mapping, "Balance"),
        total_tax=_decimal(_part(mapping, "TxnTaxDetail").get("TotalTax")) or Decimal(0),
        tax_inclusive=mapping.get("GlobalTaxCalculation") == "TaxInclusive",
        private_note=_string(mapping.get("PrivateNote")),
        email_status=_string(mapping.get("EmailStatus")),
        created=parse_moment(_part(mapping, "MetaData").get("CreateTime")),
        row=mapping,
    )


def parse_named(mapping: Mapping[str, Any]) -> NamedRow:
    """Read a row of a name list; `Active` absent means active. Raises IncompleteAnswer without id."""
    full_name = _string(mapping.get("FullyQualifiedName"))
    return NamedRow(
        id=_required(mapping, "Id"),
        name=_string(mapping.get("DisplayName")) or _string(mapping.get("Name")) or full_name or "",
        active=_boolean(mapping.get("Active"), default=True),
        full_name=full_name,
        currency=_string(_part(mapping, "CurrencyRef").get("value")),
    )


def parse_company_info(mapping: Mapping[str, Any]) -> CompanyInfo:
    """Read the CompanyInfo object. Raises IncompleteAnswer without a name."""
    return CompanyInfo(
        name=_required(mapping, "CompanyName"),
        legal_name=_string(mapping.get("LegalName")),
        country=_string(mapping.get("Country")),
    )


def parse_preferences(mapping: Mapping[str, Any]) -> Preferences:
    """Read the Preferences object.

    A missing CustomTxnNumbers counts as off, the careful reading: then no DocNumber proves identity.
    """
    currencies = _part(mapping, "CurrencyPrefs")
    return Preferences(
        custom_transaction_numbers=_boolean(_part(mapping, "SalesFormsPrefs").get("CustomTxnNumbers")),
        home_currency=_string(_part(currencies, "HomeCurrency").get("value")),
        multicurrency=_boolean(currencies.get("MultiCurrencyEnabled")),
    )


def _part(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = mapping.get(name)
    return part if isinstance(part, Mapping) else {}


def _string(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _required(mapping: Mapping[str, Any], name: str, told: str | None = None) -> str:
    value = _string(mapping.get(name))
    if not value:
        raise IncompleteAnswer(f"QuickBooks' answer holds no {told or name}: it proves nothing")
    return value


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _money(mapping: Mapping[str, Any], name: str) -> Decimal:
    number = _decimal(mapping.get(name))
    if number is None:
        raise IncompleteAnswer(f"QuickBooks' answer holds no {name}: it proves nothing")
    return number


def _boolean(value: object, *, default: bool = False) -> bool:
    if isinstance(value, str):
        return value.lower() == "true"
    return value if isinstance(value, bool) else default


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def parse_moment(value: object) -> datetime | None:
    """A moment with its offset; None for anything else."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
