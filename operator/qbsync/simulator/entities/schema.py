"""The properties QuickBooks knows (Finance.xsd, v75 era): unknown ones are refused with 2010, nested ones too."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from qbsync.simulator.entities.money import representable
from qbsync.simulator.faults import unknown_property, unreadable_property
from qbsync.simulator.jsoncodec import JsonObject

Shape = str | tuple[str]
"""`string`, `number`, `bool`, `date`, `any`, the name of a structure, or a list of one as a 1-tuple."""

_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T+Z-].*)?", re.DOTALL)


def _all(shape: Shape, names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), shape)


_REF: dict[str, Shape] = _all("string", "value name type")
_ENTITY: dict[str, Shape] = {
    **_all("string", "Id SyncToken domain status"),
    "sparse": "bool",
    "MetaData": "any",
    "CustomField": ("CustomField",),
    "AttachableRef": ("any",),
}
_TRANSACTION: dict[str, Shape] = {
    **_ENTITY,
    **_all(
        "string", "DocNumber PrivateNote TxnStatus TxnSource TaxFormType TaxFormNum TransactionLocationType"
    ),
    **_all(
        "string",
        "PrintStatus EmailStatus EInvoiceStatus GlobalTaxCalculation InvoiceLink TrackingNum FOB PONumber",
    ),
    **_all("string", "PaymentRefNum PaymentDetailsMessage ECloudStatusTimeStamp"),
    **_all("date", "TxnDate DueDate ShipDate"),
    **_all(
        "number", "TotalAmt HomeTotalAmt Balance HomeBalance Deposit ExchangeRate DiscountAmt DiscountRate"
    ),
    **_all("bool", "AllowIPNPayment AllowOnlinePayment AllowOnlineCreditCardPayment AllowOnlineACHPayment"),
    **_all("bool", "ApplyTaxAfterDiscount FreeFormAddress AutoDocNumber ManuallyClosed LessCIS"),
    **_all(
        "Ref", "CustomerRef CurrencyRef DepartmentRef ClassRef SalesTermRef ShipMethodRef DepositToAccountRef"
    ),
    **_all(
        "Ref", "SalesRepRef PaymentMethodRef RecurDataRef RemitToRef ARAccountRef PayerRef TaxExemptionRef"
    ),
    **_all("Address", "BillAddr ShipAddr ShipFromAddr"),
    **_all("Email", "BillEmail BillEmailCc BillEmailBcc"),
    **_all(
        "any",
        "TxnTaxDetail DeliveryInfo CheckPayment CreditCardPayment TxnApprovalInfo InvoiceEx RecurringInfo",
    ),
    **_all("any", "ConvenienceFeeDetail invoiceStatusLog callToAction Tag CostEnvelope ProjectRef"),
    "CustomerMemo": "Memo",
    "LinkedTxn": ("LinkedTxn",),
    "Line": ("Line",),
}

STRUCTURES: Mapping[str, Mapping[str, Shape]] = {
    "Ref": _REF,
    "Memo": _all("string", "value id"),
    "Email": {**_all("string", "Address Id Tag"), "Default": "bool"},
    "Phone": {
        **_all("string", "FreeFormNumber Id DeviceType CountryCode AreaCode ExchangeCode Extension Tag"),
        "Default": "bool",
    },
    "Web": {**_all("string", "URI Id Tag"), "Default": "bool"},
    "Address": _all(
        "string",
        "Id Line1 Line2 Line3 Line4 Line5 City Country CountryCode CountrySubDivisionCode PostalCode "
        "PostalCodeSuffix Lat Long Tag Note County",
    ),
    "CustomField": {
        **_all("string", "DefinitionId Name Type StringValue DateValue"),
        "BooleanValue": "bool",
        "NumberValue": "number",
    },
    "LinkedTxn": _all("string", "TxnId TxnType TxnLineId"),
    "Line": {
        **_all("string", "Id Description DetailType"),
        **_all("number", "LineNum Amount Received"),
        "LinkedTxn": ("LinkedTxn",),
        "CustomField": ("CustomField",),
        "SalesItemLineDetail": "SalesItemLineDetail",
        "DiscountLineDetail": "DiscountLineDetail",
        "DescriptionLineDetail": "DescriptionLineDetail",
        "SubTotalLineDetail": "any",
        "GroupLineDetail": "any",
        "TaxLineDetail": "any",
        "LineEx": "any",
    },
    "SalesItemLineDetail": {
        **_all("Ref", "ItemRef ClassRef PriceLevelRef UOMRef ItemAccountRef TaxCodeRef InventorySiteRef"),
        **_all("Ref", "TaxClassificationRef"),
        **_all("number", "UnitPrice RatePercent Qty TaxInclusiveAmt DiscountRate DiscountAmt"),
        **_all("any", "MarkupInfo DeferredRevenue"),
        "ServiceDate": "date",
    },
    "DiscountLineDetail": {
        **_all("Ref", "DiscountAccountRef ClassRef TaxCodeRef DiscountRef"),
        "PercentBased": "bool",
        "DiscountPercent": "number",
        "ServiceDate": "date",
    },
    "DescriptionLineDetail": {"ServiceDate": "date", "TaxCodeRef": "Ref"},
    "Invoice": _TRANSACTION,
    "Customer": {
        **_ENTITY,
        **_all(
            "string",
            "Title GivenName MiddleName FamilyName Suffix FullyQualifiedName CompanyName DisplayName",
        ),
        **_all(
            "string", "PrintOnCheckName UserId Notes ResaleNum PreferredDeliveryMethod AcctNum V4IDPseudonym"
        ),
        **_all(
            "string", "TaxIdentifier PrimaryTaxIdentifier SecondaryTaxIdentifier TaxExemptionReasonId GSTIN"
        ),
        **_all("string", "GSTRegistrationType BusinessNumber ClientEntityId IntuitId"),
        **_all("bool", "Active Taxable Job BillWithParent IsProject Organization"),
        **_all("number", "Balance BalanceWithJobs OverDueBalance TotalRevenue CreditLimit Level OpenBalance"),
        **_all("date", "OpenBalanceDate"),
        **_all("Ref", "ParentRef RootCustomerRef CurrencyRef SalesTermRef SalesRepRef PaymentMethodRef"),
        **_all(
            "Ref", "CustomerTypeRef ARAccountRef DefaultTaxCodeRef TaxExemptionRef JobInfoRef PriceLevelRef"
        ),
        **_all("Address", "BillAddr ShipAddr"),
        **_all("Phone", "PrimaryPhone AlternatePhone Mobile Fax"),
        "PrimaryEmailAddr": "Email",
        "WebAddr": "Web",
        "OtherContactInfo": ("any",),
        "CCDetail": "any",
        "JobInfo": "any",
    },
    "Item": {
        **_ENTITY,
        **_all("string", "Name Sku Description PurchaseDesc FullyQualifiedName Type ItemCategoryType Source"),
        **_all(
            "string", "TaxClassification UQCDisplayText UQCId AbatementRate ReverseChargeRate ServiceType"
        ),
        **_all(
            "bool",
            "Active SubItem Taxable SalesTaxIncluded PurchaseTaxIncluded TrackQtyOnHand PrintGroupedItems",
        ),
        **_all("bool", "PercentBased SpecialItem"),
        **_all("number", "UnitPrice RatePercent PurchaseCost QtyOnHand QtyOnPurchaseOrder QtyOnSalesOrder"),
        **_all("number", "ReorderPoint Level ManPartNum AvgCost"),
        **_all("date", "InvStartDate"),
        **_all(
            "Ref", "ParentRef IncomeAccountRef ExpenseAccountRef COGSAccountRef AssetAccountRef PrefVendorRef"
        ),
        **_all(
            "Ref",
            "SalesTaxCodeRef PurchaseTaxCodeRef ClassRef TaxClassificationRef PaymentMethodRef UOMSetRef",
        ),
        **_all("Ref", "DepositToAccountRef"),
        "ItemGroupDetail": "any",
    },
}


def conform(entity: str, body: JsonObject, *, refuse_unknown: bool) -> JsonObject:
    """The body in QuickBooks' types: strings, Decimals, ISO dates; nulls dropped.

    Raises Refusal 2010 for unknown properties (unless they are to be ignored) and for values of another type.
    """
    return _structure(entity, body, refuse_unknown)


def _structure(name: str, value: Any, refuse_unknown: bool) -> JsonObject:
    if not isinstance(value, dict):
        kind = "ReferenceType" if name == "Ref" else name
        raise unreadable_property(
            f"Can not instantiate value of type [simple type, class com.intuit.schema.finance.v3.{kind}] "
            f"from {_java_type(value)} value; no single-String constructor/factory method"
        )
    known = STRUCTURES[name]
    result: JsonObject = {}
    for field, content in value.items():
        shape = known.get(field)
        if shape is None:
            if refuse_unknown:
                raise unknown_property("ReferenceType" if name == "Ref" else name, field, known)
        elif content is not None:
            result[field] = _value(shape, field, content, refuse_unknown)
    return result


def _value(shape: Shape, field: str, content: Any, refuse_unknown: bool) -> Any:
    if isinstance(shape, tuple):
        entries = content if isinstance(content, list) else [content]
        return [_value(shape[0], field, entry, refuse_unknown) for entry in entries if entry is not None]
    scalar = _SCALARS.get(shape)
    if scalar is not None:
        return scalar(field, content)
    return content if shape == "any" else _structure(shape, content, refuse_unknown)


def _string(field: str, content: Any) -> str:
    if isinstance(content, bool):
        return "true" if content else "false"
    if isinstance(content, (str, int, Decimal)):
        return str(content)
    raise _wrong_type("java.lang.String", field, content)


def _number(field: str, content: Any) -> Decimal:
    if isinstance(content, bool) or not isinstance(content, (str, int, Decimal)):
        raise _wrong_type("java.math.BigDecimal", field, content)
    try:
        value = Decimal(content)
    except (InvalidOperation, ValueError):
        raise _wrong_type("java.math.BigDecimal", field, content) from None
    if not representable(value):
        raise _wrong_type("java.math.BigDecimal", field, content)
    return value


def _bool(field: str, content: Any) -> bool:
    if isinstance(content, bool):
        return content
    if content in ("true", "false"):
        return bool(content == "true")
    raise _wrong_type("java.lang.Boolean", field, content)


def _date(field: str, content: Any) -> str:
    match = _DATE.fullmatch(content) if isinstance(content, str) else None
    if match is None:
        raise _wrong_type("java.util.Date", field, content)
    try:
        return date.fromisoformat(match[1]).isoformat()
    except ValueError:
        raise _wrong_type("java.util.Date", field, content) from None


_SCALARS = {"string": _string, "number": _number, "bool": _bool, "date": _date}


def _wrong_type(java: str, field: str, content: Any) -> Exception:
    shown = str(content)[:50] if isinstance(content, (str, int, bool)) else _java_type(content)
    return unreadable_property(f"Can not construct instance of {java} from {field} value '{shown}'")


def _java_type(value: Any) -> str:
    if isinstance(value, str):
        return "String"
    return {list: "Array", dict: "Object", bool: "Boolean"}.get(type(value), "Number")
