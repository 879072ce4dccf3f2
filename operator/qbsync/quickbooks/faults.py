"""What QuickBooks says when it refuses: both fault shapes, and one table from code to what to do.

A fault is judged by HTTP status and code, never by its `type`: the documentation, the schema and the wire
spell the types differently (ValidationFault, AUTHENTICATION, SERVICE, "AuthorizatonFault"). Codes: Intuit's
error table and recorded answers.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from qbsync.quickbooks.exactjson import UnreadableJson, load_json

if TYPE_CHECKING:
    from qbsync.quickbooks.transport import HttpResponse


class ErrorClass(StrEnum):
    """What a fault asks for."""

    TRANSIENT = "Transient"
    """QuickBooks is in trouble or throttles: wait and repeat. Says nothing about the outcome of a write."""
    AUTH_ONCE = "AuthOnce"
    """The access token is not accepted: refresh it, repeat once."""
    RECONNECT = "Reconnect"
    """The grant does not reach this company (any more): a person has to act."""
    CONFIGURATION = "Configuration"
    """The app's own credentials are wrong."""
    PERMANENT = "Permanent"
    """The request is wrong and was not executed; the same request is refused again."""
    CONFLICT = "Conflict"
    """Not executed, because something else is there: look it up, then decide again."""


THROTTLED: Final = "3001"
ACCESS_LOST: Final = "120"
WRONG_REALM: Final = "3100"
DUPLICATE_DOCUMENT_NUMBER: Final = "6140"
QUERY_CODES: Final = frozenset({"4000", "4001"})
"""The statement does not parse (4000), or asks for what cannot be asked (4001)."""

_CLASSES: Final[Mapping[str, ErrorClass]] = {
    "120": ErrorClass.RECONNECT,  # AuthorizationFailure: the connecting user is no longer an admin
    "500": ErrorClass.PERMANENT,  # Unsupported Operation, comes with HTTP 400
    "600": ErrorClass.CONFLICT,  # Duplicate Request ID
    "610": ErrorClass.PERMANENT,  # Object Not Found, also for inactive references
    "2010": ErrorClass.PERMANENT,  # invalid or unsupported property
    "2020": ErrorClass.PERMANENT,  # required parameter missing
    "2030": ErrorClass.PERMANENT,  # invalid id
    "2050": ErrorClass.PERMANENT,  # string too long or too short
    "2170": ErrorClass.PERMANENT,  # invalid enumeration
    "2500": ErrorClass.PERMANENT,  # invalid reference id
    "3001": ErrorClass.TRANSIENT,  # throttle
    "3100": ErrorClass.RECONNECT,  # ApplicationAuthorizationFailed: other realm or other environment
    "3200": ErrorClass.AUTH_ONCE,  # AuthenticationFailed: token expired, revoked or malformed
    "4000": ErrorClass.PERMANENT,  # query does not parse
    "4001": ErrorClass.PERMANENT,  # query not valid
    "5010": ErrorClass.CONFLICT,  # Stale Object
    "6000": ErrorClass.PERMANENT,  # business validation; see `classify` for its other meaning
    "6070": ErrorClass.PERMANENT,  # amount is not quantity times price
    "6140": ErrorClass.CONFLICT,  # duplicate document number
    "6190": ErrorClass.PERMANENT,  # subscription ended
    "6210": ErrorClass.PERMANENT,  # account period closed
    "6240": ErrorClass.PERMANENT,  # duplicate name
    "6540": ErrorClass.PERMANENT,  # already deposited
}
_SEVERITY: Final = (
    ErrorClass.RECONNECT,
    ErrorClass.CONFIGURATION,
    ErrorClass.AUTH_ONCE,
    ErrorClass.TRANSIENT,
    ErrorClass.CONFLICT,
    ErrorClass.PERMANENT,
)
"""Which class wins in a fault with several errors, see `deciding`."""
_TEXT_LIMIT: Final = 4000
REDACTED: Final = "[redacted]"


@dataclass(frozen=True, slots=True)
class Fault:
    """One error of a fault, in QuickBooks' words, with secrets taken out. Missing parts are empty or None."""

    code: str
    type: str
    message: str
    detail: str | None = None
    element: str | None = None


@dataclass(frozen=True, slots=True)
class DuplicateDocNumber:
    """What a fault 6140 tells of the transaction that has the number."""

    doc_number: str | None
    txn_type: str | None
    """Any transaction type, spaces included: "Invoice", "Credit Memo". None in the short form."""
    txn_id: str | None
    """QuickBooks id of that transaction. None in the short form."""

    @classmethod
    def parse(cls, detail: str | None) -> "DuplicateDocNumber | None":
        """Read the detail of a 6140, both forms; None if it speaks of something else."""
        if detail is None:
            return None
        long_form = _ASSIGNED.search(detail)
        if long_form is not None:
            return cls(long_form["number"], long_form["type"].strip(), long_form["id"])
        return cls(None, None, None) if "already been used" in detail else None


def parse_faults(response: "HttpResponse", *, redact: Sequence[SecretStr]) -> tuple[Fault, ...]:
    """Every error of a fault in an answer, whatever the HTTP status; () where the body has none.

    Reads `Fault`/`Error`/`Message` and the gateway's `fault`/`error`/`message`. HTML, XML, truncated or
    otherwise unreadable bodies have no faults. `redact`: secrets that must not survive in any text;
    QuickBooks' 401 holds the access token in `detail`.
    """
    try:
        body = load_json(response.body)
    except UnreadableJson:
        return ()
    return faults_of(body, redact=redact)


def faults_of(body: object, *, redact: Sequence[SecretStr]) -> tuple[Fault, ...]:
    """The same for a body, or a part of one, that is already parsed."""
    if not isinstance(body, Mapping):
        return ()
    fault = _lower(body).get("fault")
    if fault is None:
        return ()
    parts = _lower(fault) if isinstance(fault, Mapping) else {}
    kind = _text(parts.get("type"), redact) or ""
    errors = parts.get("error")
    listed = errors if isinstance(errors, list) else [errors]
    read = tuple(_fault(entry, kind, redact) for entry in listed if isinstance(entry, Mapping))
    # A fault that names no error is still a fault: the answer must not pass for a good one.
    return read or (Fault(code="", type=kind, message=""),)


def classify(fault: Fault) -> ErrorClass:
    """What one error asks for.

    Unknown codes from 500 to 2999 and from 4000 to 9999 are about the request (Permanent); everything else
    unknown (general, gateway and system codes, a missing code) proves nothing and is Transient.
    """
    if fault.code == "6000" and _WAIT.search(f"{fault.message} {fault.detail or ''}"):
        return ErrorClass.TRANSIENT
    known = _CLASSES.get(fault.code)
    if known is not None:
        return known
    number = int(fault.code) if fault.code.isascii() and fault.code.isdigit() and len(fault.code) < 7 else 0
    about_the_request = 500 <= number < 3000 or 4000 <= number < 10_000
    return ErrorClass.PERMANENT if about_the_request else ErrorClass.TRANSIENT


def deciding(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """The same errors, the one that decides first.

    The rule: what stops the whole company goes first (Reconnect, Configuration, AuthOnce); then Transient,
    because a single doubt makes the outcome doubtful; then Conflict, because "it is already there" must be
    looked up even if the request was wrong as well (6140 with 2020 beside it is real); Permanent last.
    Among equals the order of the answer stays.
    """
    return tuple(sorted(faults, key=lambda fault: _SEVERITY.index(classify(fault))))


def redacted(text: str, secrets: Iterable[SecretStr]) -> str:
    """The text without the secrets, and without whatever follows "Token expired:" or "Token revoked"."""
    for secret in secrets:
        value = secret.get_secret_value()
        if value:
            text = text.replace(value, REDACTED)
    text = _TOKEN_SHOWN.sub(rf"\1: {REDACTED}", text)
    return _BEARER.sub(rf"\1 {REDACTED}", text)[:_TEXT_LIMIT]


_ASSIGNED: Final = re.compile(
    r"DocNumber=(?P<number>.*) is assigned to TxnType=(?P<type>.+?) with TxnId=(?P<id>\d+)", re.DOTALL
)
_WAIT: Final = re.compile(r"unexpected error.*wait a few minutes", re.IGNORECASE | re.DOTALL)
_TOKEN_SHOWN: Final = re.compile(r"(token (?:expired|revoked))\W*\w.*", re.IGNORECASE | re.DOTALL)
_BEARER: Final = re.compile(r"\b(bearer)\s+(?!token\b|realm=)\S{8,}", re.IGNORECASE)


def _fault(entry: Mapping[str, Any], kind: str, redact: Sequence[SecretStr]) -> Fault:
    parts = _lower(entry)
    return Fault(
        code=_text(parts.get("code"), redact) or "",
        type=kind,
        message=_text(parts.get("message"), redact) or "",
        detail=_text(parts.get("detail"), redact),
        element=_text(parts.get("element"), redact) or None,
    )


def _lower(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in mapping.items()}


def _text(value: object, redact: Sequence[SecretStr]) -> str | None:
    return None if value is None else redacted(str(value).strip(), redact)
