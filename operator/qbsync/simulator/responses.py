"""What goes back: answers, and the two ways in which no answer does."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from qbsync.simulator import faults, jsoncodec
from qbsync.simulator.faults import FaultError, Refusal
from qbsync.simulator.pacific import envelope_time

JSON = "application/json"
XML = "application/xml"
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


def pdf_answer(content: bytes) -> Answer:
    """A 200 with a document in it."""
    length = ("content-length", str(len(content)))
    return Answer(200, content, "application/pdf", (length,), from_service=True)


def envelope(name: str, body: bytes, now: datetime) -> bytes:
    """`{"Invoice":{…},"time":"…"}` from a body that already is JSON."""
    return b'{"%b":%b,"time":"%b"}' % (name.encode(), body, envelope_time(now).encode())


def refused(refusal: Refusal, now: datetime, *, lower_case: bool = False) -> Answer:
    """A fault of the service, in its own shape or, on request, in the gateway's."""
    if lower_case:
        return _gateway_body(refusal, now)
    document: dict[str, Any] = {"Fault": fault_document(refusal)}
    if refusal.timed:
        document["time"] = envelope_time(now)
    return Answer(refusal.status, jsoncodec.dump(document), JSON, code=_code(refusal))


def fault_document(refusal: Refusal) -> dict[str, Any]:
    """The content of `Fault`."""
    return {"Error": [_service_error(error) for error in refusal.errors], "type": refusal.fault_type}


def _code(refusal: Refusal) -> str | None:
    return refusal.errors[0].code if refusal.errors else None


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
    challenge = ("www-authenticate", 'Bearer realm="Intuit", error="invalid_token"')
    return replace(
        _gateway_body(faults.authentication_failed(detail, message=message), now), headers=(challenge,)
    )


def wrong_realm(now: datetime) -> Answer:
    """403/3100: this token is not for this company."""
    return _gateway_body(faults.authorization_failed(), now)


def throttled(now: datetime, *, service_shape: bool = False) -> Answer:
    """429/3001: limits and an exhausted read quota answer alike, without Retry-After."""
    return refused(faults.throttle_exceeded(), now, lower_case=not service_shape)


def _gateway_body(refusal: Refusal, now: datetime) -> Answer:
    document: dict[str, Any] = {
        "warnings": None,
        "intuitObject": None,
        "fault": {
            "error": [
                {"message": e.message, "detail": e.detail, "code": e.code, "element": e.element}
                for e in refusal.errors
            ],
            "type": refusal.fault_type,
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
    return Answer(refusal.status, jsoncodec.dump(document), JSON, code=_code(refusal))


_PHRASES = {
    413: "Request Entity Too Large",
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
