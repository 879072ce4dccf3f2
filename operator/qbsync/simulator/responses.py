"""What goes back: answers, and the two ways in which no answer does."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.faults import FaultError, Refusal
from qbsync.simulator.pacific import envelope_time

JSON = "application/json"
SERVICE_JSON = "application/json;charset=utf-8"
TOKEN_JSON = "application/json;charset=UTF-8"  # noqa: S105
HTML = "text/html;charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer without the headers that every answer of its origin has."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    from_service: bool = False
    code: str | None = None

    @property
    def succeeded(self) -> bool:
        """A 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Truncated:
    """The start of an answer, then the end of the connection."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Reset:
    """No byte of an answer: the connection is reset."""


Outcome = Answer | Truncated | Reset


def service_answer(envelope: bytes) -> Answer:
    """A 200 of the accounting service; create answers 200 too, never 201."""
    return Answer(200, envelope, SERVICE_JSON, from_service=True)


def envelope(name: str, body: bytes, now: datetime) -> bytes:
    """`{"Invoice":{…},"time":"…"}` from a body that already is JSON."""
    return b'{"%b":%b,"time":"%b"}' % (name.encode(), body, envelope_time(now).encode())


def refused(refusal: Refusal, now: datetime, *, lower_case: bool = False) -> Answer:
    """A fault of the service, in its own shape or, on request, in the gateway's."""
    code = refusal.errors[0].code if refusal.errors else None
    if lower_case:
        return _gateway_body(refusal.status, refusal.fault_type, refusal.errors, now)
    document: dict[str, Any] = {
        "Fault": {"Error": [_service_error(error) for error in refusal.errors], "type": refusal.fault_type}
    }
    if refusal.timed:
        document["time"] = envelope_time(now)
    return Answer(refusal.status, jsoncodec.dump(document), JSON, code=code)


def _service_error(error: FaultError) -> dict[str, Any]:
    entry: dict[str, Any] = {"Message": error.message}
    if error.detail is not None:
        entry["Detail"] = error.detail
    entry["code"] = error.code
    if error.element is not None:
        entry["element"] = error.element
    return entry


def unauthorized(detail: str | None, now: datetime, *, message: str = "AuthenticationFailed") -> Answer:
    """401/3200 of the gateway. The real one quotes the access token in `detail`, so this one does."""
    error = FaultError("3200", f"message={message}; errorCode=003200; statusCode=401", detail)
    answer = _gateway_body(401, "AUTHENTICATION", (error,), now)
    challenge = ("www-authenticate", 'Bearer realm="Intuit", error="invalid_token"')
    return Answer(401, answer.body, JSON, (challenge,), code="3200")


def wrong_realm(now: datetime) -> Answer:
    """403/3100: this token is not for this company."""
    message = "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403"
    return _gateway_body(403, "SERVICE", (FaultError("3100", message),), now)


def throttled(now: datetime, *, service_shape: bool = False) -> Answer:
    """429/3001: limits and an exhausted read quota answer alike, without Retry-After."""
    error = FaultError(
        "3001",
        "message=ThrottleExceeded; errorCode=003001; statusCode=429",
        "The request limit was reached.  Try again later",
    )
    if service_shape:
        return refused(Refusal(error, status=429, fault_type="SERVICE"), now)
    return _gateway_body(429, "SERVICE", (error,), now)


def _gateway_body(status: int, fault_type: str, errors: Any, now: datetime) -> Answer:
    document: dict[str, Any] = {
        "warnings": None,
        "intuitObject": None,
        "fault": {
            "error": [
                {"message": e.message, "detail": e.detail, "code": e.code, "element": e.element}
                for e in errors
            ],
            "type": fault_type,
        },
        "report": None,
        "queryResponse": None,
        "batchItemResponse": [],
        "attachableResponse": [],
        "syncErrorResponse": None,
        "requestId": None,
        "time": int(now.timestamp() * 1000),
        "status": None,
        "cdcresponse": [],
    }
    return Answer(status, jsoncodec.dump(document), JSON, code=errors[0].code if errors else None)


_PHRASES = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


def html_error(status: int) -> Answer:
    """What a proxy in front of QuickBooks says when it gets nothing from behind."""
    title = f"{status} {_PHRASES.get(status, 'Error')}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, page.encode(), "text/html")


def token_answer(document: dict[str, Any]) -> Answer:
    """A 200 of the token endpoint."""
    return Answer(200, jsoncodec.dump(document), TOKEN_JSON)


def token_error(status: int, error: str, description: str | None = None) -> Answer:
    """A refusal of the token endpoint: RFC 6749's shape, as Intuit sends it."""
    document = {"error": error}
    if description is not None:
        document = {"error_description": description, "error": error}
    return Answer(status, jsoncodec.dump(document), TOKEN_JSON, code=error)


def door_answer(document: dict[str, Any] | list[Any], status: int = 200) -> Answer:
    """An answer of the control door."""
    return Answer(status, jsoncodec.dump(document), JSON)
