"""The chart of accounts."""

from collections.abc import Mapping

from qbsync.simulator.entities.checks import limit_lengths, referred, require
from qbsync.simulator.entities.hierarchy import full_name
from qbsync.simulator.entities.kinds import ACCOUNT
from qbsync.simulator.entities.lists import refuse_taken
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, amount
from qbsync.simulator.faults import account_type_missing, business_rule, invalid_enumeration
from qbsync.simulator.jsoncodec import JsonObject

COMPUTED = frozenset(
    {
        "FullyQualifiedName",
        "SubAccount",
        "Classification",
        "CurrentBalance",
        "CurrentBalanceWithSubAccounts",
        "CurrencyRef",
    }
)
_LENGTHS = {"Name": 100, "Description": 100, "AcctNum": 20}

_TYPES: Mapping[str, tuple[str, str]] = {
    "Bank": ("Asset", "CashOnHand Checking MoneyMarket RentsHeldInTrust Savings TrustAccounts"),
    "Other Current Asset": (
        "Asset",
        "EmployeeCashAdvances AllowanceForBadDebts DevelopmentCosts Inventory "
        "Investment_MortgageRealEstateLoans Investment_Other Investment_TaxExemptSecurities "
        "Investment_USGovernmentObligations LoansToOfficers LoansToOthers LoansToStockholders "
        "OtherCurrentAssets PrepaidExpenses Retainage UndepositedFunds",
    ),
    "Fixed Asset": (
        "Asset",
        "FurnitureAndFixtures AccumulatedDepletion AccumulatedDepreciation DepletableAssets "
        "FixedAssetComputers FixedAssetCopiers FixedAssetFurniture FixedAssetPhone FixedAssetPhotoVideo "
        "FixedAssetSoftware FixedAssetOtherToolsEquipment IntangibleAssets Land LeaseholdImprovements "
        "MachineryAndEquipment OtherFixedAssets Vehicles Buildings",
    ),
    "Other Asset": (
        "Asset",
        "OtherLongTermAssets AccumulatedAmortizationOfOtherAssets Goodwill LeaseBuyout Licenses "
        "OrganizationalCosts SecurityDeposits",
    ),
    "Accounts Receivable": ("Asset", "AccountsReceivable"),
    "Equity": (
        "Equity",
        "RetainedEarnings AccumulatedAdjustment CommonStock EstimatedTaxes Healthcare OpeningBalanceEquity "
        "OwnersEquity PaidInCapitalOrSurplus PartnerContributions PartnerDistributions PartnersEquity "
        "PersonalExpense PersonalIncome PreferredStock TreasuryStock",
    ),
    "Expense": (
        "Expense",
        "OfficeGeneralAdministrativeExpenses AdvertisingPromotional Auto BadDebts BankCharges "
        "CharitableContributions CommissionsAndFees CostOfLabor DuesSubscriptions Entertainment "
        "EntertainmentMeals EquipmentRental FinanceCosts GlobalTaxExpense Insurance InterestPaid "
        "LegalProfessionalFees OtherBusinessExpenses OtherMiscellaneousServiceCost PayrollExpenses "
        "PromotionalMeals RentOrLeaseOfBuildings RepairMaintenance ShippingFreightDelivery "
        "SuppliesMaterials TaxesPaid Travel TravelMeals UnappliedCashBillPaymentExpense Utilities",
    ),
    "Other Expense": (
        "Expense",
        "Depreciation Amortization ExchangeGainOrLoss GasAndFuel HomeOffice OtherHomeOfficeExpenses "
        "OtherMiscellaneousExpense OtherVehicleExpenses PenaltiesSettlements VehicleRegistration",
    ),
    "Cost of Goods Sold": (
        "Expense",
        "SuppliesMaterialsCogs CostOfLaborCos EquipmentRentalCos OtherCostsOfServiceCos "
        "ShippingFreightDeliveryCos",
    ),
    "Accounts Payable": ("Liability", "AccountsPayable"),
    "Credit Card": ("Liability", "CreditCard"),
    "Long Term Liability": ("Liability", "NotesPayable OtherLongTermLiabilities ShareholderNotesPayable"),
    "Other Current Liability": (
        "Liability",
        "OtherCurrentLiabilities CurrentTaxLiability DirectDepositPayable FederalIncomeTaxPayable "
        "GlobalTaxPayable GlobalTaxSuspense InsurancePayable LineOfCredit LoanPayable PayrollClearing "
        "PayrollTaxPayable PrepaidExpensesPayable RentsInTrustLiability SalesTaxPayable "
        "StateLocalIncomeTaxPayable TrustAccountsLiabilities UnpaidHolidays",
    ),
    "Income": (
        "Revenue",
        "ServiceFeeIncome DiscountsRefundsGiven NonProfitIncome OtherPrimaryIncome SalesOfProductIncome "
        "UnappliedCashPaymentIncome",
    ),
    "Other Income": (
        "Revenue",
        "OtherInvestmentIncome DividendIncome InterestEarned OtherMiscellaneousIncome TaxExemptInterest "
        "UnrealisedLossOnSecuritiesNetOfTax",
    ),
}
"""AccountType: its Classification, and its AccountSubTypes, the default one first."""

_TYPE_OF = {subtype: name for name, (_, subtypes) in _TYPES.items() for subtype in subtypes.split()}


def build(making: Making, body: JsonObject) -> JsonObject:
    """An account. Raises Refusal."""
    require(body, "Name")
    limit_lengths(body, _LENGTHS)
    name = str(body["Name"]).strip()
    if ":" in name or '"' in name:
        raise business_rule("An account name must not contain a colon or double quotes")
    account_type, subtype = _types(body)
    full = full_name(making, ACCOUNT, body, name)
    refuse_taken(making, ACCOUNT, "FullyQualifiedName", full)
    document: JsonObject = {"Name": name, "SubAccount": ":" in full}
    if ":" in full:
        _check_parent_type(making, body, account_type)
        document["ParentRef"] = {"value": body["ParentRef"]["value"]}
    document["FullyQualifiedName"] = full
    document["Active"] = body.get("Active", True)
    document["Classification"] = _TYPES[account_type][0]
    document["AccountType"] = account_type
    document["AccountSubType"] = subtype
    for field in ("CurrentBalance", "CurrentBalanceWithSubAccounts"):
        document[field] = making.carried(field, amount(ZERO))
    document["CurrencyRef"] = making.carried("CurrencyRef", making.company.home_currency)
    kept = {field: value for field, value in body.items() if field not in COMPUTED | document.keys()}
    return {**kept, **document, **making.frame()}


def _types(body: JsonObject) -> tuple[str, str]:
    """Type and sub-type, either from the other."""
    account_type, subtype = body.get("AccountType"), body.get("AccountSubType")
    if not account_type and not subtype:
        raise account_type_missing()
    if account_type and account_type not in _TYPES:
        raise invalid_enumeration("AccountType", str(account_type))
    if subtype and subtype not in _TYPE_OF:
        raise invalid_enumeration("AccountSubType", str(subtype))
    if not account_type:
        return _TYPE_OF[str(subtype)], str(subtype)
    if subtype and _TYPE_OF[str(subtype)] != account_type:
        raise business_rule(
            f"The account sub-type {subtype} does not go with the account type {account_type}"
        )
    return str(account_type), str(subtype or _TYPES[str(account_type)][1].split()[0])


def _check_parent_type(making: Making, body: JsonObject, account_type: str) -> None:
    parent = referred(making.company, ACCOUNT, body["ParentRef"])
    if parent.values["AccountType"] != account_type:
        raise business_rule("For subaccounts, you must select the same account type as their parent.")
