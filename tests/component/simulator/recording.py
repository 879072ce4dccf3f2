"""Recorded exchanges, and the comparison of a recorded answer with ours, field by field."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from .conftest import decoded

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "quickbooks"
FORMATS = {
    "intuit_tid": r"1-[0-9a-f]{8}-[0-9a-f]{24}",
    "x-amzn-trace-id": r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}",
    "x-spanid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "qbo-version": r"\d{4}\.\d{3}",
    "service-time": r"total=\d+, db=\d+",
    "content-length": r"\d+",
    "strict-transport-security": r"max-age=\d+",
    "date": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "server": r"nginx|(istio-)?envoy",
}
"""Headers whose values differ from answer to answer; of the others the value counts."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?[+-]\d\d:\d\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_AT_ONCE = 5.0
_LONGEST_TERM = 30


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded request and its answer. `path` is relative to the company."""

    method: str
    path: str
    body: Any
    status: int
    headers: Mapping[str, str]
    answer: Any


def exchanges(name: str, realm_id: str = "-COMPANY_ID-") -> list[Exchange]:
    """The steps of one recording, in their order; `realm_id` in place of the one its author redacted."""
    text = (RECORDED / "minimul-qbo_api" / f"{name}.json").read_text().replace("-COMPANY_ID-", realm_id)
    return [_exchange(step) for step in json.loads(text, parse_float=Decimal)]


def _exchange(step: Mapping[str, Any]) -> Exchange:
    request, response = step["request"], step["response"]
    headers = {name.lower(): str(value) for name, value in response["headers"].items()}
    if "intuit-tid" in headers:  # re-cased by the recorder
        headers["intuit_tid"] = headers.pop("intuit-tid")
    # In some the author of the recording left the realm out, with the step before it.
    path = re.sub(r"^company/[^/]+/", "", request["uri"].partition("/v3/")[2])
    return Exchange(request["method"], path, request["body"], response["status"], headers, response["body"])


def document(name: str) -> Any:
    """A recorded document that is no exchange."""
    return json.loads((RECORDED / name).read_text(), parse_float=Decimal)


def differences(exchange: Exchange, response: httpx2.Response) -> dict[str, str]:
    """Where ours differs from the recorded answer, by path (rows of lists as []), and how."""
    found = dict(_header_differences(exchange, response))
    if response.status_code != exchange.status:
        found["status"] = f"{exchange.status} became {response.status_code}"
    if isinstance(exchange.answer, str):
        return found
    theirs, ours = exchange.answer, decoded(response)
    ours = _cut(theirs, ours)
    return found | dict(_compared(theirs, ours, "", (_time_of(theirs), _time_of(ours))))


def _header_differences(exchange: Exchange, response: httpx2.Response) -> Iterator[tuple[str, str]]:
    for name in sorted(exchange.headers.keys() | response.headers.keys()):
        theirs, ours = exchange.headers.get(name), response.headers.get(name)
        if theirs is None or ours is None:
            yield f"header {name}", "missing" if ours is None else "unheard of"
        elif name in FORMATS:
            if not all(re.fullmatch(FORMATS[name], value) for value in (theirs, ours)):
                yield f"header {name}", f"{theirs!r} became {ours!r}"
        elif theirs != ours:
            yield f"header {name}", f"{theirs!r} became {ours!r}"


def _cut(theirs: Any, ours: Any) -> Any:
    """Ours with its rows cut to eight where those of the recording are."""
    recorded = theirs.get("QueryResponse", {})
    entity = next((name for name, value in recorded.items() if isinstance(value, list)), None)
    if entity is None or len(recorded[entity]) == recorded["maxResults"]:
        return ours
    rows = ours["QueryResponse"][entity]
    assert len(rows) == ours["QueryResponse"]["maxResults"]
    return {**ours, "QueryResponse": {**ours["QueryResponse"], entity: rows[: len(recorded[entity])]}}


Times = tuple[datetime | None, datetime | None]
"""When the recorded and when our answer was given."""


def _time_of(answer: Any) -> datetime | None:
    time = answer.get("time")
    return datetime.fromisoformat(time) if isinstance(time, str) else None


def compared(theirs: Any, ours: Any) -> dict[str, str]:
    """Where two documents differ, by path, and how."""
    return dict(_compared(theirs, ours, "", (None, None)))


def _compared(theirs: Any, ours: Any, path: str, times: Times) -> Iterator[tuple[str, str]]:
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        yield from _compared_fields(theirs, ours, path, times)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield path, f"{len(theirs)} rows became {len(ours)}"
        for one, other in zip(theirs, ours, strict=False):
            yield from _compared(one, other, f"{path}[]", times)
    elif not _same(theirs, ours, path, times):
        yield path, f"{theirs!r} became {ours!r}"


def _same(theirs: Any, ours: Any, path: str, times: Times) -> bool:
    if _kind(theirs) != _kind(ours):
        return False
    return bool(theirs == ours or _since(theirs, times[0], path) == _since(ours, times[1], path))


def _compared_fields(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], path: str, times: Times
) -> Iterator[tuple[str, str]]:
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        where = f"{path}.{name}" if path else name
        if name not in ours:
            yield where, "missing"
        elif name not in theirs:
            yield where, "unheard of"
        else:
            yield from _compared(theirs[name], ours[name], where, times)
    common, order = [name for name in theirs if name in ours], [name for name in ours if name in theirs]
    if common != order:
        yield f"{path} order", f"{common} became {order}"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, Decimal, float)) else type(value).__name__


def _since(value: Any, now: datetime | None, path: str) -> Any:
    """A time or date that follows from the time of the request as its distance from that; else the value."""
    if path == "time" and isinstance(value, int):
        return value > 10**12  # milliseconds, not seconds
    if now is None or not isinstance(value, str):
        return value
    if _TIME.fullmatch(value):
        return abs((datetime.fromisoformat(value) - now).total_seconds()) <= _AT_ONCE or value
    if _DATE.fullmatch(value):
        days = (date.fromisoformat(value) - now.date()).days
        return days if 0 <= days <= _LONGEST_TERM else value
    return value
