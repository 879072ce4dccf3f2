"""The answers that fault rules ask for, in the shape the real thing would use."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from qbsync.simulator import faults, jsoncodec, responses
from qbsync.simulator.faults import FaultError, Refusal
from qbsync.simulator.injection import Effect
from qbsync.simulator.responses import JSON, Answer

_NO_ACCESS = "AuthorizationFailure: -11014-You do not have access to use QuickBooks Online Plus."
_CATALOGUE: Mapping[str, Callable[[], Refusal]] = {
    "120": lambda: Refusal(
        FaultError("120", "Authorization Failure", _NO_ACCESS), status=401, fault_type="AuthorizationFault"
    ),
    "500": lambda: faults.unsupported_operation("requested"),
    "1040": lambda: faults.batch_too_large(30, 31),
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
    "6000": faults.try_later,
    "6070": lambda: faults.amount_mismatch(Decimal("1861.07")),
    "6140": lambda: faults.duplicate_number("1001", None),
    "6190": faults.subscription_ended,
    "6210": faults.period_closed,
    "6240": faults.duplicate_name,
    "6540": faults.deposited,
    "10000": faults.system_failure,
}
_GATEWAY_CODES: Mapping[str, int] = {"3200": 401, "3100": 403, "3001": 429}


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
    fields = _fields(description)
    if set(fields) <= {"code"} and effect.status is None:
        gateway = _GATEWAY_CODES.get(str(fields.get("code")))
        if gateway is not None:
            return _by_status(gateway, now, access_token)
    if fields == {"code": "3100"} and effect.status == 500:
        return responses.refused(faults.gateway_failure(), now, lower_case=True)
    return responses.refused(_described(fields, effect.status), now, lower_case=effect.lower_case)


def item_refusal(effect: Effect, access_token: str) -> Refusal:
    """The fault that a rule puts in the place of one item of a batch, inside a 200."""
    fields = _fields(effect.fault) if effect.fault is not None else {}
    status = effect.status or _GATEWAY_CODES.get(str(fields.get("code"))) or 0
    gateway = {
        401: lambda: faults.authentication_failed(f"Token expired: {access_token}"),
        403: faults.authorization_failed,
        429: faults.throttle_exceeded,
    }.get(status)
    if gateway is not None and set(fields) <= {"code"}:
        return gateway()
    if fields:
        return _described(fields, None)
    return faults.system_failure(status) if status >= 500 else faults.try_later()


def _described(fields: Mapping[str, Any], status: int | None) -> Refusal:
    """The fault of a code with its usual words, or with those given."""
    code = str(fields.get("code", "6000"))
    usual = _CATALOGUE.get(code, faults.system_failure)()
    error = FaultError(
        code,
        str(fields.get("message", usual.errors[0].message)),
        str(fields.get("detail", usual.errors[0].detail)),
        fields.get("element", usual.errors[0].element),
    )
    status = status or (usual.status if code in _CATALOGUE else 400)
    return Refusal(error, status=status, fault_type=str(fields.get("type", usual.fault_type)))


def _fields(description: Any) -> Mapping[str, Any]:
    return _lower_keys(description) if isinstance(description, Mapping) else {"code": description}


def _lower_keys(description: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in description.items()}
