"""Customers and items that a spec names and QuickBooks does not have: what would be created, pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from qbsync.api.connection import Creatable
from qbsync.api.invoice import InvoiceSpec, NewCustomer
from qbsync.invoices.connection import Connection
from qbsync.invoices.errors import InvalidSpec, ReferenceMissing
from qbsync.invoices.fields import address_part
from qbsync.invoices.identity import normalized_name
from qbsync.invoices.references import (
    Name,
    Reference,
    References,
    account_reference,
    references_of,
)

JsonObject = dict[str, Any]
_CUSTOMER: Final = "Customer"
_ITEM: Final = "Item"
_EMAIL: Final = "PrimaryEmailAddr"
_LONGEST_ITEM: Final = 100
"""Intuit: Item.Name."""
_PERMITS: Final = {_CUSTOMER: Creatable.CUSTOMERS, _ITEM: Creatable.ITEMS}


@dataclass(frozen=True, slots=True)
class Entry:
    """A customer or item that is to be created."""

    entity: str
    path: str
    """Which field of the spec names it."""
    name: str
    """Its full name, "Parent:Child" for one below another."""
    names: tuple[Name, ...]
    """All that it will be found by."""
    body: JsonObject = field(repr=False)

    @property
    def own_name(self) -> str:
        """The name without those above it: what is unique among customers, vendors and employees."""
        return self.name.rpartition(":")[2]

    @property
    def claims(self) -> frozenset[tuple[str, str]]:
        """What no other create may be about at the same time."""
        return frozenset((name.field, normalized_name(name.text)) for name in self.names)

    @property
    def field(self) -> str:
        """The field of the spec that is not written without it."""
        return "customer" if self.entity == _CUSTOMER else "lines"

    def __str__(self) -> str:
        return f"{self.entity.lower()} {self.name!r}"


def needed_for(invoice: InvoiceSpec, references: References, connection: Connection) -> Iterator[Reference]:
    """What has to be known before what is missing can be created: parents, and the account of items."""
    for reference in _creatable(invoice, references, connection):
        parent = _parent(reference)
        if parent is not None:
            yield parent
        account = _income_account(connection)
        if reference.name is not None and reference.name.entity == _ITEM and account is not None:
            yield account


def missing_entries(
    invoice: InvoiceSpec, references: References, connection: Connection
) -> tuple[Entry, ...]:
    """What has to be created before the invoice, each once; empty if all is there.

    Raises `ReferenceMissing` for what is not there and may not, or cannot, be created; `InvalidSpec` for what
    contradicts itself. Nothing is created then.
    """
    absent = list(_creatable(invoice, references, connection))
    for reference in references_of(invoice):
        if reference not in absent:
            _require(reference, invoice, references)
    entries: dict[tuple[str, str], Entry] = {}
    for reference in absent:
        entry = _entry(reference, invoice, references, connection)
        entries.setdefault((entry.entity, normalized_name(entry.name)), entry)
    return tuple(entries.values())


def _creatable(invoice: InvoiceSpec, references: References, connection: Connection) -> Iterator[Reference]:
    permitted = connection.permit.create_missing
    for reference in references_of(invoice):
        name = reference.name
        if name is None or not references.absent(reference) or _PERMITS.get(name.entity) not in permitted:
            continue
        if name.entity == _CUSTOMER and invoice.customer.create is None:
            continue
        if name.field != "Sku":
            yield reference


def _require(reference: Reference, invoice: InvoiceSpec, references: References) -> None:
    try:
        references.id_of(reference)
    except ReferenceMissing as error:
        raise ReferenceMissing(f"{error}{_advice(reference, invoice, references)}") from None


def _advice(reference: Reference, invoice: InvoiceSpec, references: References) -> str:
    """What else would help: having it created."""
    name = reference.name
    if name is None or name.entity not in _PERMITS or not references.absent(reference):
        return ""
    if name.field == "Sku":
        return ", or name it by item.name: what has only an SKU is not created"
    allow = f"spec.invoices.permit.createMissing: [{_PERMITS[name.entity]}] of the connection"
    if name.entity == _CUSTOMER and invoice.customer.create is None:
        return f", or write customer.create where {allow} allows that"
    return f", or have the connection's owner allow it to be created: {allow}"


def _entry(
    reference: Reference, invoice: InvoiceSpec, references: References, connection: Connection
) -> Entry:
    name = reference.name
    if name is None:
        raise ReferenceMissing(f"{reference.path}: not given")
    above = _above(reference, references)
    if name.entity == _ITEM:
        return _item(reference, name, above, references, connection)
    return _customer(reference, name, invoice, above, connection)


def _customer(
    reference: Reference, name: Name, invoice: InvoiceSpec, above: JsonObject, connection: Connection
) -> Entry:
    new = invoice.customer.create
    if new is None:
        raise ReferenceMissing(f"{reference.path}: write customer.create to have it created")
    display_name = _display_name(name, new)
    email = _email(name, new)
    currency = _customer_currency(invoice, new, connection)
    full = f"{name.text.rpartition(':')[0]}:{display_name}" if above else display_name
    names = [name, Name(_CUSTOMER, "DisplayName", display_name), Name(_CUSTOMER, "FullyQualifiedName", full)]
    if email is not None:
        names.append(Name(_CUSTOMER, _EMAIL, email))
    body = {"DisplayName": display_name, **above, **_customer_fields(new, email, currency)}
    return Entry(_CUSTOMER, reference.path, full, tuple(dict.fromkeys(names)), body)


def _display_name(name: Name, new: NewCustomer) -> str:
    path = "spec.invoice.customer.create.displayName"
    display_name = " ".join(new.display_name.split())
    if ":" in display_name:
        raise InvalidSpec(f"{path}: a colon is not allowed; write Parent:Child in customer.name only")
    own = name.text.rpartition(":")[2]
    if name.field != _EMAIL and normalized_name(own) != normalized_name(display_name):
        raise InvalidSpec(
            f"{path} is {display_name!r}, but customer.name asks for {own!r}: write the same in both"
        )
    return display_name


def _email(name: Name, new: NewCustomer) -> str | None:
    asked = name.text if name.field == _EMAIL else None
    if asked is not None and new.email is not None and new.email.casefold() != asked.casefold():
        raise InvalidSpec("spec.invoice.customer.create.email is not customer.email: leave it out")
    return new.email or asked


def _customer_fields(new: NewCustomer, email: str | None, currency: str | None) -> JsonObject:
    texts = (
        ("CompanyName", new.company_name),
        ("GivenName", new.given_name),
        ("FamilyName", new.family_name),
    )
    fields: JsonObject = {key: text for key, text in texts if text is not None}
    inner = (
        ("PrimaryEmailAddr", "Address", email),
        ("PrimaryPhone", "FreeFormNumber", new.phone),
        ("CurrencyRef", "value", currency),
    )
    fields.update({key: {part: text} for key, part, text in inner if text is not None})
    if new.billing_address is not None:
        fields["BillAddr"] = {key: text for key, text in address_part(new.billing_address).items() if text}
    return fields


def _customer_currency(invoice: InvoiceSpec, new: NewCustomer, connection: Connection) -> str | None:
    """The currency to create a customer in; None: the company's own."""
    path = "spec.invoice.customer.create"
    home = connection.home_currency
    billed = invoice.currency or home
    wanted = new.currency or billed
    if billed is not None and wanted != billed:
        raise InvalidSpec(
            f"{path}.currency is {wanted}, but the invoice is in {billed}: write the same in both"
        )
    return wanted if wanted != home else None


def _item(
    reference: Reference, name: Name, above: JsonObject, references: References, connection: Connection
) -> Entry:
    account = _income_account(connection)
    if account is None:
        raise ReferenceMissing(
            f"{reference.path}: no item is called {name.text!r}, and an item that is created needs an income "
            "account: set spec.invoices.incomeAccount of the connection, or create the item in QuickBooks"
        )
    own = " ".join(name.text.rpartition(":")[2].split())
    if len(own) > _LONGEST_ITEM:
        raise InvalidSpec(
            f"{reference.path}: QuickBooks takes at most {_LONGEST_ITEM} characters for a new item"
        )
    body: JsonObject = {
        "Name": own,
        "Type": "Service",
        "IncomeAccountRef": {"value": references.id_of(account)},
        **above,
    }
    full = f"{name.text.rpartition(':')[0]}:{own}" if above else own
    names = (
        name,
        Name(_ITEM, "FullyQualifiedName", full),
        *((Name(_ITEM, "Name", own),) if not above else ()),
    )
    return Entry(_ITEM, reference.path, full, tuple(dict.fromkeys(names)), body)


def _above(reference: Reference, references: References) -> JsonObject:
    """The entry above: it is never created along."""
    parent = _parent(reference)
    if parent is None:
        return {}
    try:
        ref = {"ParentRef": {"value": references.id_of(parent)}}
    except ReferenceMissing as error:
        raise ReferenceMissing(f"{error}; only the last part of a name is created") from None
    return {
        **ref,
        ("SubItem" if reference.name is not None and reference.name.entity == _ITEM else "Job"): True,
    }


def _parent(reference: Reference) -> Reference | None:
    name = reference.name
    if name is None or ":" not in name.text or name.field == _EMAIL:
        return None
    above = name.text.rpartition(":")[0]
    by = "DisplayName" if name.entity == _CUSTOMER and ":" not in above else "FullyQualifiedName"
    return Reference(f"{reference.slot}.parent", reference.path, name=Name(name.entity, by, above))


def _income_account(connection: Connection) -> Reference | None:
    text = connection.income_account
    if text is None:
        return None
    return account_reference("incomeAccount", "spec.invoices.incomeAccount of the connection", text)


def told(entries: Sequence[Entry]) -> str:
    """Several of them for people."""
    return ", ".join(map(str, entries))
