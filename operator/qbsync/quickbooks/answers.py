"""What a complete answer of the Accounting API means: the object asked for, or one of the room's errors."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import SecretStr

from qbsync.quickbooks.errors import (
    AccessLost,
    QuickBooksError,
    Rejected,
    ServerFailure,
    Throttled,
    Unauthorized,
    WrongRealm,
)
from qbsync.quickbooks.exactjson import UnreadableJson, load_json
from qbsync.quickbooks.faults import (
    ACCESS_LOST,
    THROTTLED,
    WRONG_REALM,
    ErrorClass,
    Fault,
    classify,
    deciding,
    faults_of,
)
from qbsync.quickbooks.transport import HttpResponse

_CONTENT_TYPE: Final = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}", re.IGNORECASE)
_TID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_ENVELOPE: Final = frozenset({"fault", "time", "requestid", "status", "warnings"})


def understood(response: HttpResponse) -> Mapping[str, Any] | None:
    """The body as a JSON object; None if it is anything else."""
    try:
        body = load_json(response.body)
    except UnreadableJson:
        return None
    return body if isinstance(body, dict) else None


def intuit_tid(response: HttpResponse) -> str | None:
    """Intuit's transaction id of an answer; None if it does not look like one."""
    tid = response.headers.get("intuit_tid") or response.headers.get("intuit-tid") or ""
    return tid if _TID.fullmatch(tid) else None


def said(response: HttpResponse) -> str:
    """All that may be told of a body that is no fault: status, content type, length."""
    found = _CONTENT_TYPE.match(response.headers.get("content-type", ""))
    return f"{response.status}, {found[0] if found else 'no content type'}, {len(response.body)} bytes"


def content(response: HttpResponse, *, redact: Sequence[SecretStr]) -> Mapping[str, Any]:
    """The JSON object of a good answer; raises what any other answer means.

    A fault inside a 2xx counts as a refusal, unless the answer holds anything else: then nobody knows.
    """
    body = understood(response)
    faults = deciding(faults_of(body, redact=redact))
    good = 200 <= response.status < 300
    if good and body is not None and not faults:
        return body
    kind, advice = _CONTRADICTION if good and _holds_more(body) else _kind(response.status, faults)
    told = _words(faults[0]) if faults else f"answered {said(response)}"
    raise kind(
        f"QuickBooks {told}; {advice}",
        status=response.status,
        faults=faults,
        intuit_tid=intuit_tid(response),
    )


def refusal(
    part: Mapping[str, Any], *, status: int, intuit_tid: str | None, redact: Sequence[SecretStr]
) -> QuickBooksError | None:
    """What the fault in a part of an answer means, such as one item of a batch; None if it holds none."""
    faults = deciding(faults_of(part, redact=redact))
    if not faults:
        return None
    kind, advice = _kind(status, faults)
    return kind(
        f"QuickBooks {_words(faults[0])}; {advice}", status=status, faults=faults, intuit_tid=intuit_tid
    )


def _holds_more(body: Mapping[str, Any] | None) -> bool:
    return any(value for name, value in (body or {}).items() if name.lower() not in _ENVELOPE)


_CONTRADICTION: Final = (ServerFailure, "yet the answer holds more: what became of the request is unknown")


def _kind(status: int, faults: tuple[Fault, ...]) -> tuple[type[QuickBooksError], str]:
    """The first line that applies; status and code decide, never the fault's type."""
    code = faults[0].code if faults else None
    asks = classify(faults[0]) if faults else None
    final = status in (200, 400) and asks in (ErrorClass.PERMANENT, ErrorClass.CONFLICT)
    table: tuple[tuple[bool, type[QuickBooksError], str], ...] = (
        (status == 429 or code == THROTTLED, Throttled, "too many requests: the company waits 60 s"),
        (status == 408 or status >= 500, ServerFailure, "it is in trouble: tried again later"),
        (
            code == ACCESS_LOST,
            AccessLost,
            "the user who connected the company lost access: an admin must reconnect it",
        ),
        (
            code == WRONG_REALM or (status == 403 and bool(faults)),
            WrongRealm,
            "the grant is not for this realm and environment: check both, then reconnect",
        ),
        (
            status == 401 or asks is ErrorClass.AUTH_ONCE,
            Unauthorized,
            "the access token is not accepted: reconnect the company if it persists",
        ),
        (bool(faults) and final, Rejected, "nothing was stored"),
        (bool(faults) and not 300 <= status < 400, Rejected, "tried again later"),
    )
    unknown = ServerFailure, "this is no answer of its API: what became of the request is unknown"
    return next(((kind, advice) for applies, kind, advice in table if applies), unknown)


def _words(fault: Fault) -> str:
    parts = [part for part in (fault.message, fault.detail) if part]
    return f"refused with {fault.code or 'a fault without code'}: {' - '.join(parts) or 'no message'}"
