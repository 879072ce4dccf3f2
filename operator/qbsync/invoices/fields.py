"""The fields of an invoice one by one: what the spec says of each, and what stands in QuickBooks. Pure.

The three-way comparison of an update lives on this: a field that the spec moved is sent, a field that
somebody moved in QuickBooks is drift, and a field that both moved is nobody's to overwrite.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from qbsync.api.invoice import Address, InvoiceSpec, TaxCalculation
from qbsync.invoices.identity import canonical, without_mark
from qbsync.invoices.lines import canonical_lines, lines_agree, lines_body
from qbsync.invoices.references import Resolved
from qbsync.quickbooks.exactjson import objects_in

JsonObject = dict[str, Any]
_HASH_LENGTH: Final = 12
_COMPUTED: Final = frozenset({"name", "Id", "Lat", "Long", "Tag", "type"})
"""Parts of a structure that QuickBooks fills in by itself."""
_TAX: Final = {
    TaxCalculation.EXCLUDED: "TaxExcluded",
    TaxCalculation.INCLUSIVE: "TaxInclusive",
    TaxCalculation.NOT_APPLICABLE: "NotApplicable",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """What a spec says of one field."""

    name: str
    """Its path in spec.invoice: "dueDate", "lines", "customFields.2", "extra.Tag"."""
    part: JsonObject = field(repr=False)
    """The same in QuickBooks' words: top-level fields of the invoice."""
    spec_hash: str
    """Of the spec's own words: moves exactly when the spec does."""
    agrees: Callable[[Mapping[str, Any]], bool] = field(repr=False, compare=False)
    """Whether an invoice, as QuickBooks answered it, says the same."""


def statements(invoice: InvoiceSpec, resolved: Resolved) -> tuple[Statement, ...]:
    """All fields that a spec states, in its order. An empty text states that the field is to be empty.

    Raises `InvalidSpec`.
    """
    document = invoice.model_dump(by_alias=True, exclude_none=True)
    return tuple(_statements(invoice, resolved, document))


def returned_hash(name: str, row: Mapping[str, Any]) -> str:
    """A hash of one field as QuickBooks returned it, which moves when somebody edits it there."""
    return _hash(_observed(name, row))


def shown(name: str, row: Mapping[str, Any]) -> str:
    """One field of an answer for people; lines only by their number."""
    value = _observed(name, row)
    if name == "lines":
        return (
            f"{len(value)} lines, {sum((_decimal(line.get('amount')) for line in value), Decimal(0))} in all"
        )
    return "empty" if value in (None, "", {}, []) else _words(value)


def described(statement: Statement) -> str:
    """The same for what a spec says."""
    return shown(statement.name, statement.part)


def _statements(invoice: InvoiceSpec, resolved: Resolved, document: JsonObject) -> Iterator[Statement]:
    yield _plain("customer", document["customer"], {"CustomerRef": {"value": resolved["customer"]}})
    yield _lines(invoice, resolved, document)
    for name, part in _header(invoice, resolved):
        yield _plain(name, document[name], part)
    if invoice.tax is not None:
        yield _plain("tax", document["tax"], _tax(invoice, resolved))
    for custom in invoice.custom_fields:
        entry = {"DefinitionId": custom.definition_id, "Type": "StringType", "StringValue": custom.value}
        yield _plain(f"customFields.{custom.definition_id}", custom.value, {"CustomField": [entry]})
    payment = invoice.online_payment
    if payment is not None and payment.credit_card is not None:
        part = {"AllowOnlineCreditCardPayment": payment.credit_card}
        yield _plain("onlinePayment.creditCard", payment.credit_card, part)
    if payment is not None and payment.ach is not None:
        yield _plain("onlinePayment.ach", payment.ach, {"AllowOnlineACHPayment": payment.ach})
    for name, value in invoice.extra.items():
        yield _plain(f"extra.{name}", value, {name: value})


def _header(invoice: InvoiceSpec, resolved: Resolved) -> Iterator[tuple[str, JsonObject]]:
    dates: tuple[tuple[str, str, date | None], ...] = (
        ("transactionDate", "TxnDate", invoice.transaction_date),
        ("dueDate", "DueDate", invoice.due_date),
    )
    yield from ((name, {key: day.isoformat()}) for name, key, day in dates if day is not None)
    texts = (
        ("terms", "SalesTermRef", invoice.terms),
        ("location", "DepartmentRef", invoice.location),
        ("class", "ClassRef", invoice.class_),
    )
    for name, key, text in texts:
        if text is not None:
            yield name, {key: {"value": resolved[name] if text else ""}}
    inner = (
        ("currency", "CurrencyRef", "value", invoice.currency),
        ("billEmail", "BillEmail", "Address", invoice.bill_email),
        ("billEmailCc", "BillEmailCc", "Address", invoice.bill_email_cc),
        ("customerMemo", "CustomerMemo", "value", invoice.customer_memo),
    )
    yield from ((name, {key: {part: value}}) for name, key, part, value in inner if value is not None)
    plain: tuple[tuple[str, str, Any], ...] = (
        ("exchangeRate", "ExchangeRate", invoice.exchange_rate),
        ("privateNote", "PrivateNote", invoice.private_note),
        ("deposit", "Deposit", invoice.deposit),
    )
    yield from ((name, {key: value}) for name, key, value in plain if value is not None)
    if invoice.tax_calculation is not None:
        yield "taxCalculation", {"GlobalTaxCalculation": _TAX[invoice.tax_calculation]}
    if invoice.shipping_address is not None:
        yield "shippingAddress", {"ShipAddr": address_part(invoice.shipping_address)}
    if invoice.billing_address is not None:
        yield "billingAddress", {"BillAddr": address_part(invoice.billing_address)}


def _lines(invoice: InvoiceSpec, resolved: Resolved, document: JsonObject) -> Statement:
    lines = lines_body(invoice, resolved)
    return Statement(
        "lines",
        {"Line": lines},
        _hash(document["lines"]),
        lambda row: lines_agree(invoice, lines, row.get("Line")),
    )


def _plain(name: str, said: Any, part: JsonObject) -> Statement:
    wanted = _observed(name, part)
    return Statement(name, part, _hash(said), lambda row: _says(wanted, _observed(name, row)))


def _tax(invoice: InvoiceSpec, resolved: Resolved) -> JsonObject:
    detail: JsonObject = {}
    if "tax.code" in resolved:
        detail["TxnTaxCodeRef"] = {"value": resolved["tax.code"]}
    if invoice.tax is not None and invoice.tax.amount is not None:
        detail["TotalTax"] = invoice.tax.amount
    return {"TxnTaxDetail": detail}


def address_part(address: Address) -> JsonObject:
    """An address in QuickBooks' words; an empty text clears."""
    return {
        name: value
        for name, value in (
            ("Line1", address.line1),
            ("Line2", address.line2),
            ("Line3", address.line3),
            ("Line4", address.line4),
            ("Line5", address.line5),
            ("City", address.city),
            ("CountrySubDivisionCode", address.country_sub_division_code),
            ("PostalCode", address.postal_code),
            ("Country", address.country),
        )
        if value is not None
    }


_KEYS: Final = {
    "customer": "CustomerRef",
    "transactionDate": "TxnDate",
    "dueDate": "DueDate",
    "terms": "SalesTermRef",
    "location": "DepartmentRef",
    "class": "ClassRef",
    "currency": "CurrencyRef",
    "billEmail": "BillEmail",
    "billEmailCc": "BillEmailCc",
    "customerMemo": "CustomerMemo",
    "deposit": "Deposit",
    "taxCalculation": "GlobalTaxCalculation",
    "shippingAddress": "ShipAddr",
    "billingAddress": "BillAddr",
    "onlinePayment.creditCard": "AllowOnlineCreditCardPayment",
    "onlinePayment.ach": "AllowOnlineACHPayment",
}


def _observed(name: str, row: Mapping[str, Any]) -> Any:
    """One field of an invoice without what QuickBooks computes in it, and without our own mark."""
    if name == "lines":
        return canonical_lines(row.get("Line"))
    if name == "privateNote":
        return without_mark(row.get("PrivateNote"))
    if name == "tax":
        return _tax_of(row.get("TxnTaxDetail"))
    if name == "exchangeRate":
        # A company of one currency shows none.
        return row.get("ExchangeRate", 1)
    family, _, member = name.partition(".")
    if family == "customFields":
        return _custom_value(row.get("CustomField"), member)
    return _bare(row.get(member if family == "extra" else _KEYS[name]))


def _tax_of(detail: object) -> Any:
    found = detail if isinstance(detail, Mapping) else {}
    return _bare({key: found.get(key) for key in ("TxnTaxCodeRef", "TotalTax")})


def _custom_value(rows: object, definition: str) -> str | None:
    for row in objects_in(rows):
        if str(row.get("DefinitionId")) == definition:
            return str(row.get("StringValue") or "") or None
    return None


def _bare(value: Any) -> Any:
    """A value without computed parts: a reference is its id, an empty text is nothing."""
    if isinstance(value, Mapping):
        if "value" in value:
            return _bare(value["value"])
        return {str(key): _bare(part) for key, part in value.items() if key not in _COMPUTED} or None
    if isinstance(value, list | tuple):
        return [_bare(entry) for entry in value]
    return None if value == "" else value


def _says(wanted: Any, found: Any) -> bool:
    """Whether what was found holds at least what is wanted; None wants nothing to be there."""
    if isinstance(wanted, Mapping) and (found is None or isinstance(found, Mapping)):
        return all(_says(value, (found or {}).get(name)) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_says, wanted, found))
    return bool(wanted == found)


def _hash(value: Any) -> str:
    content = msgspec.json.encode(canonical(value), order="deterministic")
    return hashlib.sha256(content).hexdigest()[:_HASH_LENGTH]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    return str(value)[:200]


def _decimal(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else Decimal(0)
