"""The answers that fault rules ask for, in the shape the real thing would use."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from qbsync.simulator import faults, jsoncodec, responses
from qbsync.simulator.faults import FaultError, Refusal
from qbsync.simulator.injection import Effect
from qbsync.simulator.responses import JSON, Answer

_CLOSED = (
    "The account period has closed and the account books cannot be updated through the QBO Services API. "
    "Please use the QBO website to make these changes."
)
_NO_ACCESS = "AuthorizationFailure: -11014-You do not have access to use QuickBooks Online Plus."
_WAIT = (
    "An unexpected error occurred while accessing or saving your data. Please wait a few minutes and try again. "
    "If the problem persists, contact customer support."
)

_CATALOGUE: Mapping[str, Callable[[], Refusal]] = {
    "120": lambda: Refusal(
        FaultError("120", "Authorization Failure", _NO_ACCESS), status=401, fault_type="AuthorizationFault"
    ),
    "500": lambda: faults.unsupported_operation("requested"),
    "600": faults.duplicate_request,
    "610": faults.object_not_found,
    "2010": lambda: faults.unknown_property("Invoice", "BadJson", ("DocNumber", "Line")),
    "2020": lambda: faults.missing_parameters("Line"),
    "2030": lambda: faults.invalid_id("1.5"),
    "2050": lambda: faults.length_out_of_range("DocNumber", maximum=21, supplied=25),
    "2170": lambda: faults.invalid_enumeration("EmailStatus", "Sent"),
    "2500": lambda: faults.invalid_reference("Names", "75"),
    "4000": lambda: faults.query_unparsable('Encountered "<EOF>" at line 1, column 1.'),
    "4001": lambda: faults.query_invalid("Property NoSuchField not found for Entity Invoice"),
    "5010": lambda: faults.stale_object("Invoice"),
    "6000": lambda: Refusal(
        FaultError(
            "6000", "A business validation error has occurred while processing your request", _WAIT, ""
        )
    ),
    "6070": lambda: faults.amount_mismatch(Decimal("1861.07")),
    "6140": lambda: faults.duplicate_number("1001", None),
    "6190": lambda: Refusal(
        FaultError("6190", "Subscription period has ended or canceled", "Subscription period has ended", "")
    ),
    "6210": lambda: Refusal(FaultError("6210", "Account Period Closed", _CLOSED, "")),
    "6240": faults.duplicate_name,
    "10000": faults.system_failure,
}


def api_answer(effect: Effect, now: datetime, access_token: str) -> Answer:
    """The answer of the accounting API that a rule describes: `html`, else `fault`, else `status`."""
    if effect.html:
        return _page(effect)
    if effect.fault is not None:
        return _fault(effect, now, access_token)
    return _by_status(effect.status or 500, now, access_token)


def token_answer(effect: Effect, now: datetime) -> Answer:
    """The same for the OAuth endpoints: `fault` is an OAuth error such as `invalid_grant`, or a whole body."""
    if effect.html:
        return _page(effect)
    if isinstance(effect.fault, Mapping):
        return Answer(effect.status or 400, jsoncodec.dump(dict(effect.fault)), responses.TOKEN_JSON)
    if effect.fault is not None:
        error = str(effect.fault)
        return responses.token_error(effect.status or (401 if error == "invalid_client" else 400), error)
    return _token_answer_by_status(effect.status or 500, now)


def _token_answer_by_status(status: int, now: datetime) -> Answer:
    if status >= 500:
        return responses.html_error(status)
    if status == 429:
        return responses.throttled(now)
    if status < 300:
        return Answer(status, b"", responses.TOKEN_JSON)
    return responses.token_error(status, "invalid_client" if status == 401 else "invalid_request")


def _page(effect: Effect) -> Answer:
    page = responses.html_error(effect.status or 503)
    return page if effect.html is True else Answer(page.status, str(effect.html).encode(), page.content_type)


def _by_status(status: int, now: datetime, access_token: str) -> Answer:
    gateway = {
        401: lambda: responses.unauthorized(f"Token expired: {access_token}", now),
        403: lambda: responses.wrong_realm(now),
        429: lambda: responses.throttled(now),
    }.get(status)
    if gateway is not None:
        return gateway()
    if status in {408, 502, 504}:
        return responses.html_error(status)
    if status < 300:
        return Answer(status, b"", responses.SERVICE_JSON)
    return responses.refused(_CATALOGUE["6000"]() if status == 400 else faults.system_failure(status), now)


def _fault(effect: Effect, now: datetime, access_token: str) -> Answer:
    """`fault` is a code, an object with code, message, detail, element and type, or a whole body."""
    description = effect.fault
    if isinstance(description, Mapping) and ("Fault" in description or "fault" in description):
        return Answer(effect.status or 400, jsoncodec.dump(dict(description)), JSON)
    fields = _lower_keys(description) if isinstance(description, Mapping) else {"code": description}
    code = str(fields.get("code", "6000"))
    if set(fields) <= {"code"} and effect.status is None:
        gateway = {"3200": 401, "3100": 403, "3001": 429}.get(code)
        if gateway is not None:
            return _by_status(gateway, now, access_token)
    usual = _CATALOGUE.get(code, faults.system_failure)()
    error = FaultError(
        code,
        str(fields.get("message", usual.errors[0].message)),
        str(fields.get("detail", usual.errors[0].detail)),
        fields.get("element", usual.errors[0].element),
    )
    status = effect.status or (usual.status if code in _CATALOGUE else 400)
    refusal = Refusal(error, status=status, fault_type=str(fields.get("type", usual.fault_type)))
    return responses.refused(refusal, now, lower_case=effect.lower_case)


def _lower_keys(description: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in description.items()}
