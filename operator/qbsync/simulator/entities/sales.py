"""What invoices, credit memos and sales receipts have in common: customer, dates, custom fields, totals, voiding."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from qbsync.simulator.entities import lines as sales_lines
from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.currency import CurrencyRules, check_unchanged, currency_of
from qbsync.simulator.entities.kinds import CUSTOMER, Kind
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import amount, half_up
from qbsync.simulator.entities.numbers import number_of
from qbsync.simulator.entities.tax import apply_tax
from qbsync.simulator.entities.tax_rules import TaxRules
from qbsync.simulator.entities.tracking import TrackingRules, apply_tracking
from qbsync.simulator.faults import business_rule, invalid_email, invalid_enumeration, invalid_reference
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import business_date

COMPUTED = frozenset(
    {
        "Id",
        "SyncToken",
        "MetaData",
        "domain",
        "sparse",
        "status",
        "LinkedTxn",
        "TotalAmt",
        "HomeTotalAmt",
        "Balance",
        "HomeBalance",
        "RemainingCredit",
        "HomeRemainingCredit",
        "DeliveryInfo",
        "InvoiceLink",
        "EInvoiceStatus",
    }
)
LENGTHS = {
    "DocNumber": 21,
    "PrivateNote": 4000,
    "CustomerMemo.value": 1000,
    "BillEmail.Address": 100,
    "PaymentRefNum": 21,
}
_ENUMERATIONS = {
    "EmailStatus": frozenset({"NotSet", "NeedToSend", "EmailSent"}),
    "PrintStatus": frozenset({"NotSet", "NeedToPrint", "PrintComplete"}),
    "GlobalTaxCalculation": frozenset({"TaxInclusive", "TaxExcluded", "NotApplicable"}),
}
_AS_SENT = frozenset(
    {
        "ShipDate",
        "TrackingNum",
        "ShipFromAddr",
        "FreeFormAddress",
        "SalesTermRef",
        "ClassRef",
        "DepartmentRef",
        "ShipMethodRef",
        "CustomerMemo",
        "BillEmail",
        "BillEmailCc",
        "BillEmailBcc",
        "PaymentMethodRef",
        "PaymentRefNum",
        "DepositToAccountRef",
        "GlobalTaxCalculation",
        "TransactionLocationType",
        "TaxExemptionRef",
        "ProjectRef",
        "Deposit",
    }
)
# The order QuickBooks writes the fields in; what is not listed follows.
_ORDER = (
    *("AllowIPNPayment", "AllowOnlinePayment", "AllowOnlineCreditCardPayment", "AllowOnlineACHPayment"),
    *(
        "domain",
        "sparse",
        "Id",
        "SyncToken",
        "MetaData",
        "CustomField",
        "DocNumber",
        "TxnDate",
        "DepartmentRef",
    ),
    *("CurrencyRef", "ExchangeRate", "PrivateNote", "LinkedTxn", "Line", "TxnTaxDetail", "CustomerRef"),
    *("CustomerMemo", "BillAddr", "ShipAddr", "FreeFormAddress", "ShipFromAddr", "ClassRef", "SalesTermRef"),
    *(
        "DueDate",
        "ShipMethodRef",
        "ShipDate",
        "TrackingNum",
        "GlobalTaxCalculation",
        "TotalAmt",
        "HomeTotalAmt",
    ),
    *("ApplyTaxAfterDiscount", "PrintStatus", "EmailStatus", "BillEmail", "BillEmailCc", "BillEmailBcc"),
    *("Balance", "HomeBalance", "RemainingCredit", "DeliveryInfo", "Deposit", "PaymentMethodRef"),
    *("PaymentRefNum", "DepositToAccountRef"),
)
_ADDRESSES = re.compile(r"[^@\s,;]+@[^@\s,;]+(\s*[,;]\s*[^@\s,;]+@[^@\s,;]+)*")
_CUSTOM_FIELD_LENGTH = 31


def build_form(making: Making, kind: Kind, body: JsonObject, customer: JsonObject) -> JsonObject:
    """All of a sales form but what its kind adds. Raises Refusal."""
    lines = _lines(making, body)
    number = number_of(making, kind, body.get("DocNumber"))
    document = making.frame()
    document["CustomField"] = custom_fields(making, body.get("CustomField", []))
    if number is not None:
        document["DocNumber"] = number
    document["TxnDate"] = transaction_date(making, body)
    document.update(currency_of(making.company, body, customer, rules=CurrencyRules.of(making.switches)))
    if body.get("PrivateNote"):
        document["PrivateNote"] = body["PrivateNote"]
    document["LinkedTxn"] = making.carried("LinkedTxn", [])
    document["Line"] = lines
    if customer:
        document["CustomerRef"] = {"value": customer["Id"], "name": customer["DisplayName"]}
    _addresses(making, document, body, customer)
    document.update({name: value for name, value in body.items() if name in _AS_SENT})
    if "Deposit" in document:
        document["Deposit"] = amount(half_up(Decimal(document["Deposit"])))
    document["ApplyTaxAfterDiscount"] = body.get("ApplyTaxAfterDiscount", False)
    finish_totals(making, document, customer, body)
    document["PrintStatus"] = body.get("PrintStatus", "NeedToPrint")
    document["EmailStatus"] = body.get("EmailStatus", "NotSet")
    if making.carried("DeliveryInfo", None) is not None:
        document["DeliveryInfo"] = making.carried("DeliveryInfo", None)
    return document


def check(making: Making, body: JsonObject, *, customer_required: bool = True) -> JsonObject:
    """All that can be refused without looking at the lines; the customer's document, empty for none."""
    require(body, "Line", *(["CustomerRef"] if customer_required else []))
    limit_lengths(body, LENGTHS)
    check_header(body)
    if making.before is not None:
        check_unchanged(making.before, body)
    if "CustomerRef" not in body:
        return {}
    return customer_of(making, body["CustomerRef"])


def customer_of(making: Making, reference: Mapping[str, Any]) -> JsonObject:
    """The customer; one made inactive is refused, but not in a transaction that is theirs already."""
    before = making.carried("CustomerRef", {})
    record = making.company.table(CUSTOMER).get(str(reference.get("value", "")))
    if record is not None and making.before is not None and before.get("value") == record.id:
        return record.document()
    return referred(making.company, CUSTOMER, reference, inactive_code=making.inactive_code).document()


def check_header(body: Mapping[str, Any]) -> None:
    """Enumerations and e-mail. Raises Refusal 2170, 2210 or 6000."""
    for name, allowed in _ENUMERATIONS.items():
        if name in body and body[name] not in allowed:
            raise invalid_enumeration(name, str(body[name]))
    for name in ("BillEmail", "BillEmailCc", "BillEmailBcc"):
        check_address(body.get(name, {}).get("Address"))
    if body.get("EmailStatus") == "NeedToSend" and not body.get("BillEmail", {}).get("Address"):
        raise business_rule("Email address is required when EmailStatus is NeedToSend")


def check_address(address: str | None) -> None:
    """One e-mail address, or several with commas between. Raises Refusal 2210."""
    if address and not _ADDRESSES.fullmatch(address.strip()):
        raise invalid_email(address)


def transaction_date(making: Making, body: Mapping[str, Any]) -> str:
    """TxnDate: as sent, else today in Pacific time; a full update without it by switch."""
    if "TxnDate" in body:
        return str(body["TxnDate"])
    today = business_date(making.now).isoformat()
    return (
        str(making.carried("TxnDate", today)) if making.switches.choice("fullUpdateDate") == "keep" else today
    )


def custom_fields(making: Making, sent: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """The company's own fields, with what was sent for them; one it does not have, by switch, is dropped or 2500."""
    names = making.company.custom_fields
    values: dict[str, str] = {}
    for entry in sent:
        identifier = str(entry.get("DefinitionId", ""))
        if identifier in names:
            values[identifier] = str(entry.get("StringValue", ""))
            limit_lengths({"StringValue": values[identifier]}, {"StringValue": _CUSTOM_FIELD_LENGTH})
        elif making.switches.choice("unknownCustomField") == "refuse":
            raise invalid_reference("CustomField", identifier)
    return [
        {
            "DefinitionId": identifier,
            "Name": name,
            "Type": "StringType",
            **({"StringValue": values[identifier]} if values.get(identifier) else {}),
        }
        for identifier, name in names.items()
    ]


def finish_totals(
    making: Making, document: JsonObject, customer: Mapping[str, Any], body: Mapping[str, Any]
) -> None:
    """Tax, the SubTotal line and TotalAmt, as QuickBooks counts them. Raises Refusal 6000 below 0."""
    sales_lines.settle_percentages(making, document["Line"])
    sent = None if making.keeps("TxnTaxDetail") else body.get("TxnTaxDetail", {})
    document["TxnTaxDetail"] = making.carried("TxnTaxDetail", {})
    apply_tracking(making.company, document, rules=TrackingRules.of(making.switches))
    rules = TaxRules.of(making.switches)
    tax = apply_tax(making.company, document, customer=customer, sent=sent, rules=rules)
    subtotal = sales_lines.subtotal(document["Line"])
    taken_off = [line for line in document["Line"] if sales_lines.is_of(line, sales_lines.DISCOUNT)]
    others = [line for line in document["Line"] if not sales_lines.is_of(line, sales_lines.DISCOUNT)]
    closing: JsonObject = {
        "Amount": amount(half_up(subtotal)),
        "DetailType": "SubTotalLineDetail",
        "SubTotalLineDetail": {},
    }
    document["Line"] = [*others, closing, *taken_off]
    due = half_up(subtotal - sales_lines.discounts(taken_off) + tax)
    if due < 0:
        raise business_rule("Transaction amount must be 0 or greater.")
    document["TotalAmt"] = amount(due)


def void(document: JsonObject, *, note: str) -> None:
    """Every amount 0, the number kept; PrivateNote `replace`d by, `prefix`ed with "Voided", or `keep`t."""
    for line in sales_lines.flat(document["Line"]):
        if "Amount" in line:
            line["Amount"] = 0
        detail = line.get("SalesItemLineDetail", {})
        for field in ("Qty", "UnitPrice", "TaxInclusiveAmt"):
            if field in detail:
                detail[field] = 0
    for field in ("TotalAmt", "Balance", "HomeTotalAmt", "HomeBalance", "RemainingCredit", "Deposit"):
        if field in document:
            document[field] = 0
    document["TxnTaxDetail"] = {"TotalTax": 0}
    void_note(document, note=note)


def void_note(document: JsonObject, *, note: str) -> None:
    """What a void makes of PrivateNote."""
    before = str(document.get("PrivateNote", ""))
    if note == "replace" or (note == "prefix" and not before):
        document["PrivateNote"] = "Voided"
    elif note == "prefix" and not before.startswith("Voided"):
        document["PrivateNote"] = f"Voided - {before}"[: LENGTHS["PrivateNote"]]


def arranged(document: JsonObject) -> JsonObject:
    """The fields in QuickBooks' order."""
    first = {name: document[name] for name in _ORDER if name in document}
    return {**first, **document}


def deposit(document: Mapping[str, Any]) -> Decimal:
    """What was paid when the form was written."""
    return Decimal(document.get("Deposit", 0))


def undeposited(document: Mapping[str, Any]) -> Decimal | int:
    """The open balance of a form that nothing has paid but its deposit."""
    return amount(Decimal(document["TotalAmt"]) - deposit(document))


def _lines(making: Making, body: JsonObject) -> list[JsonObject]:
    """The lines sent, built; those of before where a sparse update leaves them out."""
    if making.before is not None and making.keeps("Line"):
        return [line for line in making.before["Line"] if not sales_lines.is_of(line, sales_lines.SUBTOTAL)]
    return sales_lines.build_lines(making, body["Line"])


def _addresses(making: Making, document: JsonObject, body: JsonObject, customer: JsonObject) -> None:
    """Copied from the customer where the request has none, and anew when the customer changes."""
    moved = making.before is not None and making.carried("CustomerRef", {}) != document.get("CustomerRef", {})
    for name in ("BillAddr", "ShipAddr"):
        own = None if moved and name not in making.sent else body.get(name)
        if own is not None:
            document[name] = own
        elif name not in making.sent and name in customer:
            document[name] = customer[name]
