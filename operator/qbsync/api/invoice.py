"""InvoiceSync: one invoice, wanted in QuickBooks exactly once."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from qbsync.api.base import (
    ATOMIC_MAP,
    BY_TYPE,
    SCHEMA_DEFAULT,
    ApiModel,
    Count,
    Date,
    Deadline,
    MediumText,
    Name,
    NamespaceName,
    Newest,
    Rule,
    Schema,
    ShortText,
    StatusModel,
    Timestamp,
)
from qbsync.api.conditions import Condition
from qbsync.api.money import Amount, Percent, PositiveAmount, Quantity, Rate, StatusAmount


class Adoption(StrEnum):
    """What happens with an unmarked invoice in QuickBooks that has the number."""

    IF_MATCHING = "IfMatching"
    ALWAYS = "Always"
    NEVER = "Never"


class InvoiceDeletionPolicy(StrEnum):
    """What happens in QuickBooks when the InvoiceSync is deleted."""

    RETAIN = "Retain"
    VOID = "Void"
    DELETE = "Delete"


class Send(StrEnum):
    """Whether QuickBooks e-mails the invoice."""

    NEVER = "Never"
    AFTER_CREATE = "AfterCreate"


class Mode(StrEnum):
    """Whether anything is written to QuickBooks."""

    APPLY = "Apply"
    OBSERVE = "Observe"


class TaxCalculation(StrEnum):
    """How amounts relate to tax (QuickBooks: GlobalTaxCalculation)."""

    EXCLUDED = "Excluded"
    INCLUSIVE = "Inclusive"
    NOT_APPLICABLE = "NotApplicable"


class Origin(StrEnum):
    """Where the invoice came from."""

    CREATED = "Created"
    ADOPTED = "Adopted"


class Outcome(StrEnum):
    """What the last sync did."""

    CREATED = "Created"
    ADOPTED = "Adopted"
    RECOVERED = "Recovered"
    UPDATED = "Updated"
    UNCHANGED = "Unchanged"
    VOIDED = "Voided"


class PaymentStatus(StrEnum):
    """How much of the invoice is paid."""

    UNPAID = "Unpaid"
    PARTIALLY_PAID = "PartiallyPaid"
    PAID = "Paid"
    OVERDUE = "Overdue"
    VOIDED = "Voided"


MAX_LINES: Final = 750
FORBIDDEN_EXTRA: Final = (
    "Id",
    "SyncToken",
    "sparse",
    "domain",
    "status",
    "MetaData",
    "DocNumber",
    "CustomerRef",
    "Line",
    "TxnDate",
    "DueDate",
    "SalesTermRef",
    "CurrencyRef",
    "ExchangeRate",
    "DepartmentRef",
    "ClassRef",
    "BillEmail",
    "BillEmailCc",
    "CustomerMemo",
    "PrivateNote",
    "GlobalTaxCalculation",
    "TxnTaxDetail",
    "ShipAddr",
    "BillAddr",
    "CustomField",
    "Deposit",
    "AllowOnlineCreditCardPayment",
    "AllowOnlineACHPayment",
    "EmailStatus",
    "TotalAmt",
    "Balance",
)
"""Keys that `invoice.extra` may never carry: they identify the invoice, or a field of the spec means them."""

_Clearable = Annotated[str, Field(max_length=500)]
"""Text that may be empty, which clears it in QuickBooks; absent leaves it alone."""
_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Id = Annotated[str, Field(min_length=1, max_length=20, pattern="^[0-9]+$")]
_Email = Annotated[str, Field(min_length=3, max_length=100, pattern=r"^[^@\s,]+@[^@\s,]+$")]
_Emails = Annotated[
    str,
    Field(max_length=100, pattern=r"^([^@\s,]+@[^@\s,]+(\s*,\s*[^@\s,]+@[^@\s,]+)*)?$"),
]
_Currency = Annotated[str, Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$")]


class ConnectionRef(ApiModel):
    """The connection whose company gets the invoice."""

    name: Name
    """Name of the QuickBooksConnection."""
    namespace: NamespaceName | None = None
    """Its namespace; absent: that of the InvoiceSync."""


class Source(ApiModel):
    """Where the invoice comes from: the other side of the mapping."""

    system: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    ] | (None) = None
    """The system it comes from, such as hubspot. Immutable."""
    number: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Its number there."""
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Its id there; with system it identifies the invoice even if this object is made anew. Immutable."""
    url: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^https?://[^\s]+$")] | None = None
    """Where a person can see it."""
    total: Amount | None = None
    """Its total there, compared with QuickBooks' total."""


class Address(ApiModel):
    """A postal address; absent fields are left to QuickBooks, an empty string clears one."""

    line1: _Clearable | None = None
    """First line."""
    line2: _Clearable | None = None
    """Second line."""
    line3: _Clearable | None = None
    """Third line."""
    line4: _Clearable | None = None
    """Fourth line."""
    line5: _Clearable | None = None
    """Fifth line."""
    city: Annotated[str, Field(max_length=255)] | None = None
    """City."""
    country_sub_division_code: Annotated[str, Field(max_length=255)] | None = None
    """State, province or region, such as CA."""
    postal_code: Annotated[str, Field(max_length=30)] | None = None
    """Postal code, as a string."""
    country: Annotated[str, Field(max_length=255)] | None = None
    """Country."""


class NewCustomer(ApiModel):
    """A customer that is created if there is none."""

    display_name: _Text
    """Name of the customer, unique among customers, vendors and employees of the company."""
    company_name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Name of the customer's firm."""
    given_name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """First name of a person."""
    family_name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Last name of a person."""
    email: _Email | None = None
    """E-mail address."""
    phone: Annotated[str, Field(min_length=1, max_length=30)] | None = None
    """Telephone number."""
    currency: _Currency | None = None
    """Currency of the customer; it can never change."""
    billing_address: Address | None = None
    """Billing address."""


class CustomerRef(ApiModel):
    """The customer: exactly one of id, name and email."""

    id: _Id | None = None
    """QuickBooks' id of the customer."""
    name: _Text | None = None
    """Its display name; Parent:Child for a sub-customer."""
    email: _Email | None = None
    """Its primary e-mail address."""
    create: NewCustomer | None = None
    """What to create if there is no such customer and the connection permits it; with name or email."""

    rules = (
        Rule(
            "[has(self.id), has(self.name), has(self.email)].filter(x, x).size() == 1",
            "write exactly one of customer.id, customer.name and customer.email",
        ),
        Rule(
            "!has(self.create) || !has(self.id)",
            "write customer.create with customer.name or customer.email: an id names a customer that exists",
            field_path=".create",
        ),
    )


class ItemRef(ApiModel):
    """The product or service: exactly one of id, name and sku."""

    id: _Id | None = None
    """QuickBooks' id of the item."""
    name: _Text | None = None
    """Its name; Category:Item where the name alone is ambiguous."""
    sku: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Its SKU."""

    rules = (
        Rule(
            "[has(self.id), has(self.name), has(self.sku)].filter(x, x).size() == 1",
            "write exactly one of item.id, item.name and item.sku",
        ),
    )


class Discount(ApiModel):
    """A discount on the lines above."""

    percent: (
        Annotated[
            Percent,
            Rule("!self.matches('^[0-9.]+$') || double(self) <= 100.0", "write a percentage of at most 100"),
        ]
        | None
    ) = None
    """Percentage, such as "10"."""
    amount: PositiveAmount | None = None
    """Amount, such as "25.00"; it is subtracted."""
    account: _Text | None = None
    """Account of the discount: its full name, or id:<QuickBooks id>; absent: the company's default."""

    rules = (
        Rule(
            "has(self.percent) != has(self.amount)",
            "write exactly one of discount.percent and discount.amount",
        ),
    )


class Subtotal(ApiModel):
    """The sum of the lines above; it has no fields."""


_ITEM_ONLY: Final = ("description", "quantity", "unitPrice", "amount", "taxCode", "class", "serviceDate")


class Line(ApiModel):
    """One line: an item, a discount, a subtotal or text."""

    item: ItemRef | None = None
    """The product or service that is sold."""
    description: Annotated[str, Field(max_length=1000)] | None = None
    """What the customer reads for an item."""
    quantity: Quantity | None = None
    """How many, as a string: "3"."""
    unit_price: Quantity | None = None
    """Price of one, as a string: "128.35"."""
    amount: Amount | None = None
    """Amount of the line, as a string; absent: quantity times unitPrice, rounded half up to cents."""
    tax_code: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Tax code by name, such as TAX or NON, or id:<QuickBooks id>."""
    class_: Annotated[_Text | None, Field(alias="class")] = None
    """Class by full name, or id:<QuickBooks id>."""
    service_date: Date | None = None
    """Day of the service, such as "2026-11-23"."""
    discount: Discount | None = None
    """A discount on the lines above."""
    subtotal: Subtotal | None = None
    """The sum of the lines above; write {}."""
    text: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Text without an amount."""

    rules = (
        Rule(
            "[has(self.item), has(self.discount), has(self.subtotal), has(self.text)]"
            ".filter(x, x).size() == 1",
            "write exactly one of item, discount, subtotal and text in a line",
        ),
        Rule(
            "!has(self.item) || has(self.amount) || (has(self.quantity) && has(self.unitPrice))",
            "write quantity and unitPrice, or amount, for an item",
        ),
        Rule(
            f"has(self.item) || !({' || '.join(f'has(self.{name})' for name in _ITEM_ONLY)})",
            f"write {', '.join(_ITEM_ONLY[:-1])} and {_ITEM_ONLY[-1]} only in a line with an item",
        ),
    )


class Tax(ApiModel):
    """Tax of the whole invoice; absent: QuickBooks calculates it."""

    code: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Tax code by name, or id:<QuickBooks id>."""
    amount: PositiveAmount | None = None
    """Total tax."""


class CustomField(ApiModel):
    """A custom field of the company's invoices."""

    definition_id: _Id
    """QuickBooks' DefinitionId of the field."""
    value: Annotated[str, Field(max_length=100)]
    """Its value; an empty string clears it."""


class OnlinePayment(ApiModel):
    """Which online payments the customer is offered; absent: the company's setting."""

    credit_card: bool | None = None
    """Whether by card."""
    ach: bool | None = None
    """Whether by bank transfer (ACH)."""


_DOC_NUMBER_KEPT: Final = (
    "has(self.docNumber) == has(oldSelf.docNumber) "
    "&& (!has(self.docNumber) || self.docNumber == oldSelf.docNumber)"
)


class InvoiceSpec(ApiModel):
    """The invoice as it shall stand in QuickBooks.

    Absent fields are left to QuickBooks; an empty string clears a text.
    """

    doc_number: (
        Annotated[
            str,
            Field(min_length=1, max_length=21, pattern=r"\S"),
            Rule("self != 'AUTO_GENERATE'", "leave docNumber out to have QuickBooks choose the next number"),
        ]
        | None
    ) = None
    """Number of the invoice, at most 21 characters; absent: QuickBooks' next number. Immutable."""
    customer: CustomerRef
    """The customer: exactly one of id, name and email."""
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES)]
    """The lines in order, 1 to 750."""
    transaction_date: Date | None = None
    """Date of the invoice; absent: the day this object was created, in the connection's time zone."""
    due_date: Date | None = None
    """When it is due; absent: as the terms say."""
    terms: Annotated[str, Field(max_length=100)] | None = None
    """Payment terms by name, such as Net 30, or id:<QuickBooks id>."""
    currency: _Currency | None = None
    """ISO 4217 code; absent: the company's home currency."""
    exchange_rate: Rate | None = None
    """Home currency per unit of currency, as a string; absent: QuickBooks' rate of the day."""
    location: _Clearable | None = None
    """Location (department) by full name, or id:<QuickBooks id>."""
    class_: Annotated[_Clearable | None, Field(alias="class")] = None
    """Class of the whole invoice by full name, or id:<QuickBooks id>."""
    bill_email: _Emails | None = None
    """Where QuickBooks sends the invoice; several addresses with commas."""
    bill_email_cc: _Emails | None = None
    """Who gets a copy; several addresses with commas."""
    customer_memo: Annotated[str, Field(max_length=1000)] | None = None
    """Message to the customer, printed on the invoice; an empty string clears it."""
    private_note: Annotated[str, Field(max_length=3960)] | None = None
    """Memo that is not printed on the invoice, but may stand on statements; the owner mark is added to it."""
    tax_calculation: TaxCalculation | None = None
    """Whether amounts are without tax (Excluded), contain it (Inclusive), or NotApplicable."""
    tax: Tax | None = None
    """Tax of the whole invoice; absent: QuickBooks calculates it."""
    shipping_address: Address | None = None
    """Where goods go; absent: the customer's."""
    billing_address: Address | None = None
    """Who pays; absent: the customer's."""
    custom_fields: Annotated[
        tuple[CustomField, ...],
        Field(max_length=20),
        Schema({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["definitionId"]}),
    ] = ()
    """Custom fields of the company's invoices."""
    deposit: PositiveAmount | None = None
    """Money already received, as a string."""
    online_payment: OnlinePayment | None = None
    """Which online payments the customer is offered."""
    extra: Annotated[
        dict[str, Any],
        Field(max_length=50),
        Schema({"not": {"anyOf": [{"required": [key]} for key in FORBIDDEN_EXTRA]}}),
    ] = Field(default_factory=dict)
    """Other fields of QuickBooks' Invoice, by QuickBooks' names, as far as the connection's permit.extra
    lists them. Fields that this spec has itself, and those that identify an invoice (Id, SyncToken,
    DocNumber, …), are refused.
    """

    rules = (
        Rule(
            _DOC_NUMBER_KEPT,
            "docNumber cannot change, be added or removed: delete this InvoiceSync and create another one",
            field_path=".docNumber",
        ),
    )


_SOURCE_KEPT: Final = "cannot change, be added or removed: create another InvoiceSync instead"


def _source_rule(field: str) -> Rule:
    def given(root: str) -> str:
        return f"(has({root}.source) && has({root}.source.{field}))"

    return Rule(
        f"{given('self')} == {given('oldSelf')} "
        f"&& (!{given('self')} || self.source.{field} == oldSelf.source.{field})",
        f"source.{field} {_SOURCE_KEPT}",
        field_path=f".source.{field}",
    )


class InvoiceSyncSpec(ApiModel):
    """What is wanted."""

    connection_ref: Annotated[
        ConnectionRef,
        ATOMIC_MAP,
        Rule("self == oldSelf", "connectionRef cannot change: create another InvoiceSync instead"),
    ]
    """The QuickBooksConnection whose company gets the invoice. Immutable."""
    source: Source | None = None
    """Where the invoice comes from."""
    invoice: InvoiceSpec
    """The invoice as it shall stand in QuickBooks."""
    send: Annotated[Send, SCHEMA_DEFAULT] = Send.NEVER
    """AfterCreate: QuickBooks e-mails invoices created here, once; within the connection's permit."""
    adoption: Adoption | None = None
    """What happens if QuickBooks has an unmarked invoice of that number: IfMatching adopts it if it says
    the same, Always adopts it, Never refuses; within the connection's permit. Absent: as the connection
    says.
    """
    deletion_policy: Annotated[InvoiceDeletionPolicy, SCHEMA_DEFAULT] = InvoiceDeletionPolicy.RETAIN
    """What happens in QuickBooks when this object is deleted: Retain (nothing), Void or Delete; within the
    connection's permit.
    """
    mode: Annotated[Mode, SCHEMA_DEFAULT] = Mode.APPLY
    """Observe never writes to QuickBooks, and says in status what it would do."""
    suspend: Annotated[bool, SCHEMA_DEFAULT] = False
    """True leaves the invoice alone."""

    rules = (_source_rule("system"), _source_rule("id"))


class LastError(StatusModel):
    """What went wrong last; never a token, never customer data beyond what QuickBooks said."""

    code: ShortText | None = None
    """QuickBooks' fault code."""
    type: ShortText | None = None
    """QuickBooks' fault type."""
    message: MediumText | None = None
    """What happened, and what to do."""
    detail: MediumText | None = None
    """QuickBooks' own words."""
    intuit_tid: ShortText | None = None
    """Intuit's transaction id, for its support."""
    time: Timestamp | None = None
    """When it happened."""


class HistoryEntry(StatusModel):
    """One result."""

    time: Timestamp
    """When it was recorded."""
    outcome: ShortText
    """What was done, or the reason it was not."""
    message: MediumText | None = None
    """The same for people."""
    intuit_tid: ShortText | None = None
    """Intuit's transaction id, for its support."""


class Intent(StatusModel):
    """A write that was about to be sent, whose outcome is not recorded yet."""

    operation: ShortText | None = None
    """Create, Update, Void, Delete or Send."""
    request_id: Annotated[str, Field(max_length=50)] | None = None
    """QuickBooks' requestid of it."""
    body_hash: ShortText | None = None
    """Hash of the body that goes with it."""
    generation: Count | None = None
    """The metadata.generation that the body was made from."""
    time: Deadline | None = None
    """When it was last sent, rounded up to the second."""
    customer_id: Annotated[str, Field(max_length=64)] | None = None
    """QuickBooks' id of the customer in the body: where the invoice is searched."""
    transaction_date: Date | None = None
    """The date in the body."""


class InvoiceSyncStatus(StatusModel):
    """What the operator observed."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The metadata.generation that was acted on last; -1: none yet."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), BY_TYPE] = ()
    """Ready is the summary; Reconciling and Stalled explain it; Drifted and TotalMismatch are findings."""
    quickbooks_id: Annotated[str, Field(max_length=64)] | None = None
    """QuickBooks' id of the invoice."""
    doc_number: Annotated[str, Field(max_length=64)] | None = None
    """Number of the invoice in QuickBooks."""
    sync_token: Annotated[str, Field(max_length=64)] | None = None
    """QuickBooks' version of the invoice."""
    applied_hash: ShortText | None = None
    """Hash of spec.invoice as it was last sent."""
    applied: Annotated[dict[str, Annotated[str, Field(max_length=128)]], Field(max_length=64)] = Field(
        default_factory=dict
    )
    """Hash per field as QuickBooks returned it, to tell edits there from edits here."""
    origin: Origin | None = None
    """Whether the invoice was created here or adopted; set once."""
    url: Annotated[str, Field(max_length=2048)] | None = None
    """The invoice in QuickBooks' web application."""
    outcome: Outcome | None = None
    """What the last sync did."""
    total_amount: StatusAmount | None = None
    """Total in QuickBooks."""
    balance: StatusAmount | None = None
    """What is still to be paid."""
    currency: ShortText | None = None
    """Currency of the invoice."""
    payment_status: PaymentStatus | None = None
    """How much of it is paid."""
    due_date: Date | None = None
    """By when it is to be paid, as QuickBooks says; the midnight after, it is Overdue."""
    email_status: ShortText | None = None
    """QuickBooks' EmailStatus: NotSet, NeedToSend or EmailSent."""
    request_id: Annotated[str, Field(max_length=50)] | None = None
    """QuickBooks' requestid of the create."""
    rejections: Count | None = None
    """Creates that QuickBooks definitely refused; each moves the requestid on."""
    attempts: Count | None = None
    """Tries since the spec changed or something succeeded."""
    next_retry_time: Deadline | None = None
    """When it is tried next."""
    last_sync_time: Timestamp | None = None
    """When the invoice and this object were last known to agree."""
    last_handled_request: MediumText | None = None
    """The value of qbsync.dev/requested-at that was done last."""
    last_handled_recreate: MediumText | None = None
    """The value of qbsync.dev/recreate that was done last."""
    intent: Intent | None = None
    """A write whose outcome is not recorded yet."""
    last_error: LastError | None = None
    """What went wrong last."""
    history: Annotated[tuple[HistoryEntry, ...], Newest(10)] = ()
    """The last results, newest first."""
