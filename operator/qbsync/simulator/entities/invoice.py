"""Invoices: numbers, lines, totals, dates. Money is Decimal throughout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, ITEM, TERM
from qbsync.simulator.entities.money import ZERO, amount, half_up, product, quantity, total
from qbsync.simulator.faults import (
    amount_mismatch,
    business_rule,
    duplicate_number,
    invalid_enumeration,
    missing_parameters,
)
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import business_date, stamp

AUTO_GENERATE = "AUTO_GENERATE"
_DEFAULT_TERM_DAYS = 30
_LENGTHS = {"DocNumber": 21, "PrivateNote": 4000, "CustomerMemo.value": 1000, "BillEmail.Address": 100}
_LINE_LENGTHS = {"Description": 4000}
_LINE_TYPES = frozenset(
    {"SalesItemLineDetail", "DescriptionOnly", "DiscountLineDetail", "SubTotalLineDetail"}
)
_ENUMERATIONS = {
    "EmailStatus": frozenset({"NotSet", "NeedToSend", "EmailSent"}),
    "PrintStatus": frozenset({"NotSet", "NeedToPrint", "PrintComplete"}),
    "GlobalTaxCalculation": frozenset({"TaxInclusive", "TaxExcluded", "NotApplicable"}),
}
_AS_SENT = (
    "ShipDate",
    "TrackingNum",
    "ShipFromAddr",
    "SalesTermRef",
    "ClassRef",
    "DepartmentRef",
    "ShipMethodRef",
    "CustomerMemo",
    "BillEmail",
    "BillEmailCc",
    "BillEmailBcc",
    "DepositToAccountRef",
    "ExchangeRate",
    "GlobalTaxCalculation",
    "TransactionLocationType",
    "Deposit",
)


@dataclass(frozen=True, slots=True)
class Numbering:
    """How DocNumbers are treated; the open questions are switches."""

    check_duplicates: bool = False
    name_holder: bool = True
    keep_sent_number: bool = False
    continue_last_pattern: bool = False
    inactive_code: str = "610"


def build(
    company: Company,
    body: JsonObject,
    *,
    identifier: str,
    now: datetime,
    numbering: Numbering,
) -> JsonObject:
    """A new invoice from a request that already has QuickBooks' types. Raises Refusal."""
    customer = check(company, body, numbering=numbering)
    lines = _lines(company, body["Line"], numbering)
    number = _number(company, body.get("DocNumber"), numbering)
    document = _defaults(identifier, now)
    document["CustomField"] = body.get("CustomField", document["CustomField"])
    if number is not None:
        document["DocNumber"] = number
    document["TxnDate"] = body.get("TxnDate", business_date(now).isoformat())
    document["CurrencyRef"] = company.home_currency
    if body.get("PrivateNote"):
        document["PrivateNote"] = body["PrivateNote"]
    document["LinkedTxn"] = []
    document["Line"] = lines
    document["TxnTaxDetail"] = {"TotalTax": 0}
    document["CustomerRef"] = {"value": customer["Id"], "name": customer["DisplayName"]}
    for name in ("BillAddr", "ShipAddr"):
        address = body.get(name, customer.get(name))
        if address is not None:
            document[name] = address
    document.update({name: body[name] for name in _AS_SENT if name in body})
    document["DueDate"] = _due_date(company, document, body)
    due = finish_totals(document)
    document["ApplyTaxAfterDiscount"] = body.get("ApplyTaxAfterDiscount", False)
    document["PrintStatus"] = body.get("PrintStatus", "NeedToPrint")
    document["EmailStatus"] = body.get("EmailStatus", "NotSet")
    document["Balance"] = amount(due - Decimal(document.get("Deposit", 0)))
    return document


def check(company: Company, body: JsonObject, *, numbering: Numbering) -> JsonObject:
    """All that can be refused without looking at the lines; the customer's document."""
    require(body, "Line", "CustomerRef")
    limit_lengths(body, _LENGTHS)
    check_header(company, body)
    return referred(company, CUSTOMER, body["CustomerRef"], inactive_code=numbering.inactive_code).document()


def check_header(company: Company, body: Mapping[str, Any]) -> None:
    """Enumerations, e-mail and currency. Raises Refusal 2170 or 6000."""
    for name, allowed in _ENUMERATIONS.items():
        if name in body and body[name] not in allowed:
            raise invalid_enumeration(name, str(body[name]))
    if body.get("EmailStatus") == "NeedToSend" and not body.get("BillEmail", {}).get("Address"):
        raise business_rule("Email address is required when EmailStatus is NeedToSend")
    currency = body.get("CurrencyRef", {}).get("value")
    if currency not in (None, company.home_currency["value"]):
        raise business_rule("Multicurrency is not enabled for this company")


def replace_lines(
    company: Company, document: JsonObject, lines: Sequence[JsonObject], numbering: Numbering
) -> None:
    """Put other lines into an invoice, whole, and count it anew."""
    document["Line"] = _lines(company, lines, numbering)
    paid = Decimal(document["TotalAmt"]) - Decimal(document["Balance"])
    document["Balance"] = amount(finish_totals(document) - paid)


def finish_totals(document: JsonObject) -> Decimal:
    """Append the SubTotal line and set TotalAmt, as QuickBooks does; the total."""
    discounts = [line for line in document["Line"] if _is(line, "DiscountLineDetail")]
    subtotal = total(_counted(line) for line in document["Line"])
    others = [line for line in document["Line"] if not _is(line, "DiscountLineDetail")]
    closing: JsonObject = {
        "Amount": amount(half_up(subtotal)),
        "DetailType": "SubTotalLineDetail",
        "SubTotalLineDetail": {},
    }
    document["Line"] = [*others, closing, *discounts]
    due = half_up(subtotal - total(Decimal(line["Amount"]) for line in discounts))
    if due < 0:
        raise business_rule("Transaction amount must be 0 or greater.")
    document["TotalAmt"] = amount(due)
    return due


def void(document: JsonObject, *, note: str) -> None:
    """Every amount 0, the number kept; PrivateNote `replace`d by, `prefix`ed with "Voided", or `keep`t."""
    for line in document["Line"]:
        line["Amount"] = 0
        detail = line.get("SalesItemLineDetail", {})
        for field in ("Qty", "UnitPrice"):
            if field in detail:
                detail[field] = 0
    document["TotalAmt"] = 0
    document["Balance"] = 0
    document["LinkedTxn"] = []
    before = document.get("PrivateNote", "")
    if note == "replace":
        document["PrivateNote"] = "Voided"
    elif note == "prefix":
        document["PrivateNote"] = f"Voided - {before}"[:4000] if before else "Voided"


def _defaults(identifier: str, now: datetime) -> JsonObject:
    return {
        "AllowIPNPayment": False,
        "AllowOnlinePayment": False,
        "AllowOnlineCreditCardPayment": False,
        "AllowOnlineACHPayment": False,
        "domain": "QBO",
        "sparse": False,
        "Id": identifier,
        "SyncToken": "0",
        "MetaData": {"CreateTime": stamp(now), "LastUpdatedTime": stamp(now)},
        "CustomField": [{"DefinitionId": "1", "Name": "Crew #", "Type": "StringType"}],
    }


def check_number(company: Company, number: str, numbering: Numbering, *, own_id: str | None = None) -> None:
    """Refuse a DocNumber another invoice has (6140), where the check is on."""
    if not numbering.check_duplicates:
        return
    for row in company.table(INVOICE).having("DocNumber", number):
        if row.id != own_id:
            raise duplicate_number(number, ("Invoice", row.id) if numbering.name_holder else None)


def _number(company: Company, sent: str | None, numbering: Numbering) -> str | None:
    """Custom numbers on: yours or none. Off: the next one, or yours where the switch keeps it."""
    following = company.next_number(continue_last_pattern=numbering.continue_last_pattern)
    if sent == AUTO_GENERATE:
        return following
    if not company.custom_numbers:
        return sent if sent and numbering.keep_sent_number else following
    if not sent:
        return None
    check_number(company, sent, numbering)
    return sent


def _due_date(company: Company, document: JsonObject, body: JsonObject) -> str:
    if "DueDate" in body:
        return str(body["DueDate"])
    days = _DEFAULT_TERM_DAYS
    if "SalesTermRef" in body:
        days = int(referred(company, TERM, body["SalesTermRef"]).document().get("DueDays", 0))
    try:
        return (date.fromisoformat(document["TxnDate"]) + timedelta(days=days)).isoformat()
    except OverflowError:
        return str(document["TxnDate"])


def _lines(company: Company, lines: Sequence[JsonObject], numbering: Numbering) -> list[JsonObject]:
    """Lines as QuickBooks keeps them: numbered from 1, checked, without the SubTotal line a client sends back."""
    kept = [line for line in lines if not _is(line, "SubTotalLineDetail")]
    if not kept:
        raise missing_parameters("Line")
    taken = {line["Id"] for line in kept if "Id" in line}
    free = (str(number) for number in range(1, len(kept) + len(taken) + 1) if str(number) not in taken)
    result = []
    for position, line in enumerate(kept, start=1):
        identifier = line.get("Id") or next(free)
        result.append(_line(company, line, identifier, position, numbering))
    return result


def _line(
    company: Company, line: JsonObject, identifier: str, position: int, numbering: Numbering
) -> JsonObject:
    limit_lengths(line, _LINE_LENGTHS)
    require(line, "DetailType")
    if line["DetailType"] not in _LINE_TYPES:
        raise invalid_enumeration("DetailType", str(line["DetailType"]))
    kept: JsonObject = {"Id": identifier, "LineNum": position}
    if "Description" in line:
        kept["Description"] = line["Description"]
    if not _is(line, "DescriptionOnly"):
        require(line, "Amount")
        kept["Amount"] = amount(line["Amount"])
    kept["DetailType"] = line["DetailType"]
    if _is(line, "SalesItemLineDetail"):
        kept["SalesItemLineDetail"] = _sales_detail(company, line, numbering)
    elif _is(line, "DiscountLineDetail"):
        kept["DiscountLineDetail"] = line.get("DiscountLineDetail", {})
    else:
        kept["DescriptionLineDetail"] = line.get("DescriptionLineDetail", {})
    return kept


def _sales_detail(company: Company, line: JsonObject, numbering: Numbering) -> JsonObject:
    detail = line.get("SalesItemLineDetail", {})
    if not detail.get("ItemRef", {}).get("value"):
        raise missing_parameters("SalesItemLineDetail.ItemRef")
    item = referred(company, ITEM, detail["ItemRef"], inactive_code=numbering.inactive_code)
    _check_amount(line["Amount"], detail)
    kept: JsonObject = {"ItemRef": {"value": item.id, "name": item.values["FullyQualifiedName"]}}
    for field, value in detail.items():
        if field != "ItemRef":
            kept[field] = quantity(value) if isinstance(value, Decimal) else value
    if company.preference("TaxPrefs", "UsingSalesTax") is not True:
        kept["TaxCodeRef"] = {"value": "NON"}
    else:
        kept.setdefault("TaxCodeRef", {"value": "NON"})
    return kept


def _check_amount(supplied: Decimal, detail: JsonObject) -> None:
    """6070 unless Amount is Qty x UnitPrice, rounded half up to cents."""
    quantity_sold, price = detail.get("Qty"), detail.get("UnitPrice")
    if quantity_sold is None or price is None:
        return
    if supplied != half_up(product(quantity_sold, price)):
        raise amount_mismatch(supplied)


def _is(line: Mapping[str, Any], detail_type: str) -> bool:
    return line.get("DetailType") == detail_type


def _counted(line: Mapping[str, Any]) -> Decimal:
    """What a line adds to the subtotal."""
    return Decimal(line["Amount"]) if _is(line, "SalesItemLineDetail") else ZERO
