"""QuickBooks' refusals, with the texts it really sends (facts from recorded traffic and Intuit's pages)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

_MADE_INACTIVE = (
    "Object Not Found : Something you're trying to use has been made inactive. "
    "Check the fields with accounts, customers, items, vendors or employees."
)


@dataclass(frozen=True, slots=True)
class FaultError:
    """One entry of a fault. `element` None leaves the key out, as QuickBooks often does."""

    code: str
    message: str
    detail: str | None = None
    element: str | None = None


class Refusal(Exception):
    """A request that QuickBooks refuses: HTTP status, fault type and one error or several."""

    def __init__(
        self, *errors: FaultError, status: int = 400, fault_type: str = "ValidationFault", timed: bool = True
    ) -> None:
        super().__init__("; ".join(f"{error.code} {error.message}" for error in errors))
        self.errors: Sequence[FaultError] = errors
        self.status = status
        self.fault_type = fault_type
        self.timed = timed


class NothingSaid(Exception):
    """A request QuickBooks fails over without a fault: a bare 500 (mozilla-ai/clawbolt, issue 1063)."""


def duplicate_number(number: str, taken_by: tuple[str, str] | None) -> Refusal:
    """6140, with TxnType and TxnId of the holder, or the short form without (Intuit: common errors)."""
    detail = (
        "Duplicate Document Number Error : You must specify a different number. "
        "This number has already been used."
    )
    if taken_by is not None:
        detail += f" DocNumber={number} is assigned to TxnType={taken_by[0]} with TxnId={taken_by[1]}"
    return Refusal(FaultError("6140", "Duplicate Document Number Error", detail, ""))


def stale_object(entity: str | None = None) -> Refusal:
    """5010: somebody else changed it first. Recorded without `entity`; newer pages of Intuit have it."""
    detail = (
        "Stale Object Error : You and Craig Carlson were working on this at the same time. "
        "Craig Carlson finished before you did, so your work was not saved."
    )
    if entity is not None:
        detail += f" Entity={entity}"
    return Refusal(FaultError("5010", "Stale Object Error", detail, ""))


def object_not_found() -> Refusal:
    """610: not there, deleted, or made inactive. HTTP 400, never 404."""
    return Refusal(FaultError("610", "Object Not Found", _MADE_INACTIVE, ""))


def invalid_reference(family: str, identifier: str) -> Refusal:
    """2500: a reference to nothing. `family` is QuickBooks' word: Names, Items, Accounts, Terms …"""
    detail = f"Invalid Reference Id : {family} element id {identifier} not found"
    return Refusal(FaultError("2500", "Invalid Reference Id", detail, ""))


def inactive_reference(code: str) -> Refusal:
    """An inactive customer or item in a transaction: 610 or 2500 with the same words."""
    if code == "2500":
        return Refusal(
            FaultError(
                "2500",
                "Invalid Reference Id",
                _MADE_INACTIVE.replace("Object Not Found", "Invalid Reference Id"),
                "",
            )
        )
    return object_not_found()


def unknown_property(entity: str, name: str, known: Iterable[str]) -> Refusal:
    """2010: unknown fields are refused, not ignored."""
    names = list(known)
    listed = ", ".join(f'"{field}"' for field in names)
    cut = listed if len(listed) <= 1000 else listed[:1000].rpartition(",")[0] + " [truncated]"
    detail = (
        f'Property Name:Unrecognized field "{name}" (class com.intuit.schema.finance.v3.{entity}), '
        f"not marked as ignorable ({len(names)} known properties: {cut}])\n specified is unsupported or invalid"
    )
    return Refusal(FaultError("2010", "Request has invalid or unsupported property", detail))


def unreadable_property(text: str) -> Refusal:
    """2010 for a value of the wrong type, and for a body that is no JSON."""
    detail = f"Property Name:{text} specified is unsupported or invalid"
    return Refusal(FaultError("2010", "Request has invalid or unsupported property", detail))


def missing_parameters(*names: str) -> Refusal:
    """2020, one error per missing field."""
    return Refusal(
        *(
            FaultError(
                "2020",
                "Required param missing, need to supply the required value for the API",
                f"Required parameter {name} is missing in the request",
                name,
            )
            for name in names
        )
    )


def invalid_id(value: str) -> Refusal:
    """2030, recorded without `time`."""
    error = FaultError("2030", "Invalid ID", f"Id should be a valid number. Supplied value:{value}", "Id")
    return Refusal(error, timed=False)


def length_out_of_range(element: str, *, maximum: int, supplied: int, minimum: int = 0) -> Refusal:
    """2050: a string too long or too short."""
    detail = (
        "String length specified does not match the supported length. "
        f"Min:{minimum} Max:{maximum} supported. Supplied length:{supplied}"
    )
    message = "String length is either shorter or longer than supported by specification"
    return Refusal(FaultError("2050", message, detail, element))


def invalid_enumeration(element: str, value: str) -> Refusal:
    """2170: a value that is none of the listed ones."""
    detail = f"Invalid Enumeration : {element} {value} is not one of the supported values"
    return Refusal(FaultError("2170", "Invalid Enumeration", detail, element))


def invalid_email(address: str) -> Refusal:
    """2210: no e-mail address."""
    detail = (
        "Invalid email address format : Email Address does not conform to the syntax rules of RFC 822. : "
        f"{address[:100]}"
    )
    return Refusal(FaultError("2210", "Invalid email address format", detail, ""))


def business_rule(text: str) -> Refusal:
    """6000: the books do not allow it."""
    message = "A business validation error has occurred while processing your request"
    return Refusal(FaultError("6000", message, f"Business Validation Error: {text}", ""))


def amount_mismatch(supplied: Decimal) -> Refusal:
    """6070: Amount is not Qty x UnitPrice, half up. The supplied value is quoted with thousands commas."""
    detail = f"Amount is not equal to UnitPrice * Qty. Supplied value:{supplied:,f}"
    return Refusal(FaultError("6070", "Amount calculation incorrect in the request", detail, ""))


def subscription_ended() -> Refusal:
    """6190: the company no longer pays for QuickBooks."""
    detail = (
        "Invalid Company Status : Subscription period has ended or canceled or there was a billing problem : "
        "You can't add data to QuickBooks Online Plus because your trial or subscription period ended or was "
        "canceled or there was a billing problem. You can still run reports and export data."
    )
    return Refusal(FaultError("6190", "Invalid Company Status", detail, ""))


def period_closed() -> Refusal:
    """6210: the transaction is dated in books that are closed."""
    detail = (
        "Account Period Closed : The account period has closed and the account books cannot be updated through "
        "the QBO Services API. Please use the QBO website to make these changes."
    )
    return Refusal(FaultError("6210", "Account Period Closed", detail, ""))


def deposited() -> Refusal:
    """6540: the money has been taken to the bank."""
    detail = (
        "Deposited Transaction cannot be changed : This transaction has been deposited. If you want to change or "
        "delete it, you must edit the deposit it appears on and remove it first."
    )
    return Refusal(FaultError("6540", "Deposited Transaction cannot be changed", detail, ""))


def duplicate_name(holder: str | None = None) -> Refusal:
    """6240: DisplayName is unique over customers, vendors and employees; other names over their list.

    Recorded in two forms: with `: null`, and naming the list (`holder`, "tax rate") with a line break in the middle.
    """
    if holder is None:
        return Refusal(
            FaultError("6240", "Duplicate Name Exists Error", "The name supplied already exists. : null")
        )
    detail = (
        f"The name supplied already exists. : Another {holder} is already using this \n"
        "name. Please use a different name."
    )
    return Refusal(FaultError("6240", "Duplicate Name Exists Error", detail, ""))


def account_type_missing() -> Refusal:
    """6010: an account of neither a type nor a sub-type (Intuit's table of codes)."""
    detail = "Either an Account.AccountType or an Account.AccountSubType must be specified"
    return Refusal(FaultError("6010", "Invalid Account.AccountType && Account.SubType", detail, ""))


def invalid_line_tax_code(supplied: str) -> Refusal:
    """6100: US lines carry the pseudo codes TAX and NON only; a real code belongs into TxnTaxCodeRef."""
    detail = f"Valid line TaxCodes for US should be TAX or NON. Supplied value: {supplied}"
    return Refusal(FaultError("6100", "Invalid Line TaxCode in the request", detail, ""))


def duplicate_request() -> Refusal:
    """600: the other way to treat a repeated requestid."""
    detail = "Duplicate Request ID : This request has already been processed."
    return Refusal(FaultError("600", "Duplicate Request ID", detail, ""))


def requestid_too_long(requestid: str) -> Refusal:
    """6000: more than 50 characters; in a batch requestid and bId count together (intuit Java SDK, issue 180)."""
    return business_rule(
        "You cannot enter more than 50 characters in the request_id field. "
        f"You tried entering {requestid[:10]}..., which is {len(requestid)} characters."
    )


def try_later() -> Refusal:
    """6000 in words that promise better times; also what repeated batches got (ruckus/quickbooks-ruby, PR 344)."""
    return business_rule(
        "An unexpected error occurred while accessing or saving your data. Please wait a few minutes and try "
        "again.  If the problem persists, contact customer support."
    )


def batch_too_large(limit: int, supplied: int) -> Refusal:
    """1040: more items than one batch may have."""
    detail = f"Batch size exceeds allowed limit. Max allowed: {limit}. Supplied: {supplied}"
    return Refusal(FaultError("1040", "Batch size exceeds allowed limit", detail, ""))


def authentication_failed(detail: str | None, *, message: str = "AuthenticationFailed") -> Refusal:
    """3200: no access token, a dead one, or none at all."""
    error = FaultError("3200", f"message={message}; errorCode=003200; statusCode=401", detail)
    return Refusal(error, status=401, fault_type="AUTHENTICATION")


def authorization_failed() -> Refusal:
    """3100: the token is not for this company."""
    message = "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403"
    return Refusal(FaultError("3100", message), status=403, fault_type="SERVICE")


def gateway_failure() -> Refusal:
    """3100 with status 500: what the gateway said in an outage (minimul/qbo_api, issue 81)."""
    message = "message=InternalServerError; errorCode=003100; statusCode=500"
    return Refusal(FaultError("3100", message), status=500, fault_type="SERVICE")


def throttle_exceeded() -> Refusal:
    """3001: a limit or an exhausted quota; both in the same words."""
    message = "message=ThrottleExceeded; errorCode=003001; statusCode=429"
    error = FaultError("3001", message, "The request limit was reached.  Try again later")
    return Refusal(error, status=429, fault_type="SERVICE")


def unsupported_operation(what: str) -> Refusal:
    """500 in the fault, HTTP 400: no such resource, or an operation it does not have."""
    detail = f"Operation {what} is not supported."
    return Refusal(FaultError("500", "Unsupported Operation", detail))


def query_unparsable(text: str) -> Refusal:
    """4000: the statement is not of the language."""
    return Refusal(FaultError("4000", "Error parsing query", f"QueryParserError: {text}"))


def query_invalid(text: str) -> Refusal:
    """4001: the statement asks for what cannot be asked."""
    return Refusal(FaultError("4001", "Invalid query", f"QueryValidationError: {text}"))


def system_failure(status: int = 500, text: str = "An unexpected error occurred") -> Refusal:
    """10000: QuickBooks itself failed."""
    error = FaultError(
        "10000",
        "An application error has occurred while processing your request",
        f"System Failure Error: {text}",
    )
    return Refusal(error, status=status, fault_type="SystemFault")
