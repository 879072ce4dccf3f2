"""Properties of sales transactions and of the parts they share (Finance.xsd, v75 era)."""

from collections.abc import Mapping

from qbsync.simulator.entities.shapes import ENTITY, Fields, Shape, each

_TRANSACTION: Fields = {
    **ENTITY,
    **each("string", "DocNumber PrivateNote TxnStatus TxnSource TaxFormType TaxFormNum"),
    **each("string", "TransactionLocationType"),
    **each("date", "TxnDate"),
    **each("number", "ExchangeRate"),
    **each("Ref", "DepartmentRef CurrencyRef RecurDataRef TaxExemptionRef ProjectRef"),
    **each("any", "Tag RecurringInfo"),
    "LinkedTxn": ("LinkedTxn",),
    "Line": ("Line",),
    "TxnTaxDetail": "TxnTaxDetail",
}
_SALES: Fields = {
    **_TRANSACTION,
    **each("string", "PrintStatus EmailStatus GlobalTaxCalculation InvoiceLink TrackingNum FOB PONumber"),
    **each("string", "PaymentRefNum PaymentDetailsMessage ECloudStatusTimeStamp"),
    **each("date", "DueDate ShipDate"),
    **each("number", "TotalAmt HomeTotalAmt Balance HomeBalance Deposit DiscountAmt DiscountRate"),
    **each("bool", "ApplyTaxAfterDiscount FreeFormAddress AutoDocNumber ManuallyClosed"),
    **each("Ref", "CustomerRef ClassRef SalesTermRef ShipMethodRef DepositToAccountRef PaymentMethodRef"),
    **each("Ref", "SalesRepRef RemitToRef ARAccountRef PayerRef TemplateRef"),
    **each("Address", "BillAddr ShipAddr ShipFromAddr"),
    **each("Email", "BillEmail BillEmailCc BillEmailBcc"),
    **each("any", "TxnApprovalInfo ConvenienceFeeDetail CostEnvelope"),
    "CheckPayment": "CheckPayment",
    "CreditCardPayment": "CreditCardPayment",
    "DeliveryInfo": "DeliveryInfo",
    "CustomerMemo": "Memo",
}

TRANSACTIONS: Mapping[str, Mapping[str, Shape]] = {
    "MetaData": {
        **each("string", "CreateTime LastUpdatedTime LastChangedInQB"),
        **each("Ref", "CreatedByRef LastModifiedByRef"),
        "Synchronized": "bool",
    },
    "Ref": each("string", "value name type"),
    "Memo": each("string", "value id"),
    "Email": {**each("string", "Address Id Tag"), "Default": "bool"},
    "Phone": {
        **each("string", "FreeFormNumber Id DeviceType CountryCode AreaCode ExchangeCode Extension Tag"),
        "Default": "bool",
    },
    "Web": {**each("string", "URI Id Tag"), "Default": "bool"},
    "Address": each(
        "string",
        "Id Line1 Line2 Line3 Line4 Line5 City Country CountryCode CountrySubDivisionCode PostalCode "
        "PostalCodeSuffix Lat Long Tag Note County",
    ),
    "CustomField": {
        **each("string", "DefinitionId Name Type StringValue"),
        "DateValue": "date",
        "BooleanValue": "bool",
        "NumberValue": "number",
    },
    "LinkedTxn": each("string", "TxnId TxnType TxnLineId"),
    "DeliveryInfo": each("string", "DeliveryType DeliveryTime DeliveryErrorType"),
    "CheckPayment": each("string", "CheckNum Status NameOnAcct AcctNum BankName"),
    "CreditCardPayment": {"CreditChargeInfo": "any", "CreditChargeResponse": "any"},
    "Line": {
        **each("string", "Id Description DetailType"),
        **each("number", "LineNum Amount Received"),
        "LinkedTxn": ("LinkedTxn",),
        "CustomField": ("CustomField",),
        "ProjectRef": "Ref",
        **{
            name: name
            for name in (
                "SalesItemLineDetail",
                "DiscountLineDetail",
                "DescriptionLineDetail",
                "SubTotalLineDetail",
                "GroupLineDetail",
                "TaxLineDetail",
            )
        },
        **each("any", "LineEx PaymentLineDetail DepositLineDetail ItemBasedExpenseLineDetail"),
        **each("any", "AccountBasedExpenseLineDetail JournalEntryLineDetail"),
    },
    "SalesItemLineDetail": {
        **each("Ref", "ItemRef ClassRef PriceLevelRef UOMRef ItemAccountRef TaxCodeRef InventorySiteRef"),
        **each("Ref", "TaxClassificationRef"),
        **each("number", "UnitPrice RatePercent Qty TaxInclusiveAmt DiscountRate DiscountAmt"),
        "MarkupInfo": "MarkupInfo",
        "DeferredRevenue": "any",
        "ServiceDate": "date",
    },
    "MarkupInfo": {
        "PercentBased": "bool",
        **each("number", "Value Percent"),
        **each("Ref", "PriceLevelRef MarkUpIncomeAccountRef"),
    },
    "DiscountLineDetail": {
        **each("Ref", "DiscountAccountRef ClassRef TaxCodeRef DiscountRef"),
        "PercentBased": "bool",
        "DiscountPercent": "number",
        "ServiceDate": "date",
    },
    "DescriptionLineDetail": {"ServiceDate": "date", "TaxCodeRef": "Ref"},
    "SubTotalLineDetail": {"ItemRef": "Ref", "ServiceDate": "date"},
    "GroupLineDetail": {
        "GroupItemRef": "Ref",
        "Quantity": "number",
        "UOMRef": "Ref",
        "ServiceDate": "date",
        "Line": ("Line",),
    },
    "TxnTaxDetail": {
        **each("Ref", "TxnTaxCodeRef DefaultTaxCodeRef"),
        "TotalTax": "number",
        "TaxLine": ("Line",),
    },
    "TaxLineDetail": {
        "TaxRateRef": "Ref",
        "PercentBased": "bool",
        **each("number", "TaxPercent NetAmountTaxable TaxInclusiveAmount OverrideDeltaAmount"),
        "ServiceDate": "date",
    },
    "Invoice": {
        **_SALES,
        **each("bool", "AllowIPNPayment AllowOnlinePayment AllowOnlineCreditCardPayment"),
        **each("bool", "AllowOnlineACHPayment LessCIS"),
        **each("any", "InvoiceEx invoiceStatusLog callToAction"),
        "EInvoiceStatus": "string",
    },
    "CreditMemo": {
        **_SALES,
        **each("number", "RemainingCredit HomeRemainingCredit"),
        "PaymentType": "string",
        "InvoiceRef": "Ref",
    },
    "SalesReceipt": {**_SALES, "PaymentType": "string", "CreditCardTxn": "any"},
    "Payment": {
        **_TRANSACTION,
        **each("string", "PaymentRefNum PaymentType"),
        **each("number", "TotalAmt UnappliedAmt HomeTotalAmt"),
        **each("Ref", "CustomerRef RemitToRef ARAccountRef DepositToAccountRef PaymentMethodRef ClassRef"),
        "ProcessPayment": "bool",
        "CheckPayment": "CheckPayment",
        "CreditCardPayment": "CreditCardPayment",
    },
}
"""Transactions and their parts, by name."""
