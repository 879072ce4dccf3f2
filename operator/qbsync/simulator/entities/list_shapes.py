"""Properties of the name lists (Finance.xsd, v75 era)."""

from collections.abc import Mapping

from qbsync.simulator.entities.shapes import ENTITY, Fields, Shape, each

_NAMED: Fields = {
    **ENTITY,
    **each("string", "Title GivenName MiddleName FamilyName Suffix CompanyName DisplayName"),
    **each("string", "PrintOnCheckName UserId IntuitId V4IDPseudonym"),
    **each("bool", "Active Organization"),
    **each("Phone", "PrimaryPhone AlternatePhone Mobile Fax"),
    "PrimaryEmailAddr": "Email",
    "WebAddr": "Web",
    "OtherContactInfo": ("any",),
    "DefaultTaxCodeRef": "Ref",
}
"""Customers, vendors and employees (NameBase)."""


def _tree(child: str) -> Fields:
    return {
        **ENTITY,
        **each("string", "Name FullyQualifiedName"),
        **each("bool", f"Active {child}"),
        "ParentRef": "Ref",
    }


LISTS: Mapping[str, Mapping[str, Shape]] = {
    "Customer": {
        **_NAMED,
        **each("string", "FullyQualifiedName Notes ResaleNum PreferredDeliveryMethod AcctNum"),
        **each("string", "TaxIdentifier PrimaryTaxIdentifier SecondaryTaxIdentifier TaxExemptionReasonId"),
        **each("string", "GSTIN GSTRegistrationType BusinessNumber ClientEntityId"),
        **each("bool", "Taxable Job BillWithParent IsProject"),
        **each("number", "Balance BalanceWithJobs OverDueBalance TotalRevenue CreditLimit Level OpenBalance"),
        **each("date", "OpenBalanceDate"),
        **each("Ref", "ParentRef RootCustomerRef CurrencyRef SalesTermRef SalesRepRef PaymentMethodRef"),
        **each("Ref", "CustomerTypeRef ARAccountRef TaxExemptionRef JobInfoRef PriceLevelRef"),
        **each("Address", "BillAddr ShipAddr"),
        **each("any", "CCDetail JobInfo"),
    },
    "Vendor": {
        **_NAMED,
        **each("string", "ContactName AltContactName Notes TaxIdentifier BusinessNumber AcctNum GSTIN"),
        **each("string", "GSTRegistrationType TaxReportingBasis"),
        **each("bool", "Vendor1099 HasTPAR T4AEligible T5018Eligible"),
        **each("number", "Balance OpenBalance CreditLimit BillRate"),
        **each("date", "OpenBalanceDate TaxReportingDate"),
        **each("Ref", "TermRef PrefillAccountRef CurrencyRef APAccountRef ParentRef"),
        **each("Address", "BillAddr ShipAddr OtherAddr"),
        "VendorPaymentBankDetail": "any",
    },
    "Employee": {
        **_NAMED,
        **each("string", "EmployeeType EmployeeNumber SSN Gender Notes"),
        **each("bool", "BillableTime UseTimeEntry"),
        **each("number", "BillRate CostRate Balance"),
        **each("date", "HiredDate ReleasedDate BirthDate"),
        **each("Address", "PrimaryAddr"),
    },
    "Item": {
        **ENTITY,
        **each("string", "Name Sku Description PurchaseDesc FullyQualifiedName Type ItemCategoryType Source"),
        **each("string", "TaxClassification UQCDisplayText UQCId ServiceType"),
        **each("bool", "Active SubItem Taxable SalesTaxIncluded PurchaseTaxIncluded TrackQtyOnHand"),
        **each("bool", "PrintGroupedItems PercentBased SpecialItem"),
        **each("number", "UnitPrice RatePercent PurchaseCost QtyOnHand QtyOnPurchaseOrder QtyOnSalesOrder"),
        **each("number", "ReorderPoint Level ManPartNum AvgCost AbatementRate ReverseChargeRate"),
        **each("date", "InvStartDate"),
        **each("Ref", "ParentRef IncomeAccountRef ExpenseAccountRef COGSAccountRef AssetAccountRef"),
        **each("Ref", "PrefVendorRef SalesTaxCodeRef PurchaseTaxCodeRef ClassRef TaxClassificationRef"),
        **each("Ref", "PaymentMethodRef UOMSetRef DepositToAccountRef"),
        "ItemGroupDetail": "ItemGroupDetail",
    },
    "ItemGroupDetail": {"ItemGroupLine": ("ItemGroupLine",)},
    "ItemGroupLine": {"ItemRef": "Ref", "Qty": "number", "UOMRef": "Ref"},
    "Account": {
        **_tree("SubAccount"),
        **each("string", "Description Classification AccountType AccountSubType AcctNum AcctNumExtn BankNum"),
        **each("string", "AccountAlias TxnLocationType FIName"),
        **each("number", "OpeningBalance CurrentBalance CurrentBalanceWithSubAccounts"),
        **each("date", "OpeningBalanceDate"),
        **each("bool", "TaxAccount OnlineBankingEnabled"),
        **each("Ref", "CurrencyRef TaxCodeRef JournalCodeRef"),
    },
    "Class": _tree("SubClass"),
    "Department": {**_tree("SubDepartment"), "Address": "Address"},
    "Term": {
        **ENTITY,
        **each("string", "Name Type"),
        **each("bool", "Active"),
        **each("number", "DiscountPercent DueDays DiscountDays DayOfMonthDue DueNextMonthDays"),
        **each("number", "DiscountDayOfMonth"),
    },
    "PaymentMethod": {**ENTITY, **each("string", "Name Type"), "Active": "bool"},
    "CompanyCurrency": {**ENTITY, **each("string", "Name Code"), "Active": "bool"},
    "TaxCode": {
        **ENTITY,
        **each("string", "Name Description TaxCodeConfigType"),
        **each("bool", "Active Hidden Taxable TaxGroup"),
        **each("TaxRateList", "SalesTaxRateList PurchaseTaxRateList AdjustmentTaxRateList"),
    },
    "TaxRateList": {"TaxRateDetail": ("TaxRateDetail",)},
    "TaxRateDetail": {
        "TaxRateRef": "Ref",
        "TaxTypeApplicable": "string",
        **each("number", "TaxOrder TaxOnTaxOrder"),
    },
    "TaxRate": {
        **ENTITY,
        **each("string", "Name Description SpecialTaxType DisplayType"),
        **each("bool", "Active"),
        **each("number", "RateValue"),
        **each("Ref", "AgencyRef TaxReturnLineRef OriginalTaxRate"),
        "EffectiveTaxRate": ("EffectiveTaxRate",),
    },
    "EffectiveTaxRate": {"RateValue": "number", **each("string", "EffectiveDate EndDate")},
    "TaxAgency": {
        **ENTITY,
        **each("string", "DisplayName TaxRegistrationNumber TaxAgencyConfig"),
        **each("bool", "TaxTrackedOnPurchases TaxTrackedOnSales"),
        **each("date", "LastFileDate"),
    },
}
"""Name lists and their parts, by name."""
