"""The same answers in XML, for those who ask for it: one rendering for every entity, list and fault.

Shapes: recorded answers of ruckus/quickbooks-ruby. References and memos keep their `value` as text and the rest as
attributes; lists repeat their element; what describes an answer (`time`, `startPosition`, `bId` …) is an attribute.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import envelope_time
from qbsync.simulator.responses import JSON, SERVICE_JSON, XML, Answer, Outcome, Reset, Truncated

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_NAMESPACE = "http://schema.intuit.com/finance/v3"
_CONTENT_TYPES = {JSON: XML, SERVICE_JSON: f"{XML};charset=utf-8"}
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "Fault": frozenset({"type"}),
    "Error": frozenset({"code", "element"}),
    "QueryResponse": frozenset({"startPosition", "maxResults", "totalCount"}),
    "BatchItemResponse": frozenset({"bId"}),
}
_OF_ENTITIES = frozenset({"domain", "sparse", "status"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_OF_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def in_xml(outcome: Outcome, now: datetime) -> Outcome:
    """The outcome with its JSON as XML; anything else as it is."""
    if isinstance(outcome, Reset):
        return outcome
    if isinstance(outcome, Truncated):
        return Truncated(_translated(outcome.answer, now))
    return _translated(outcome, now)


def _translated(answer: Answer, now: datetime) -> Answer:
    content_type = _CONTENT_TYPES.get(answer.content_type)
    if content_type is None or not answer.body:
        return answer
    document = jsoncodec.load_object(answer.body)
    if "fault" in document:
        document = _as_service_fault(document["fault"])
    return replace(answer, body=render(document, now), content_type=content_type)


def render(document: JsonObject, now: datetime) -> bytes:
    """An IntuitResponse; its time is the document's own, or `now`."""
    time = document.get("time", envelope_time(now))
    parts = [_HEAD, f'<IntuitResponse xmlns="{_NAMESPACE}" time="{_escaped(time)}">']
    for name, value in document.items():
        if name != "time":
            _write(parts, name, value)
    parts.append("</IntuitResponse>")
    return "".join(parts).encode()


def _as_service_fault(fault: JsonObject) -> JsonObject:
    """The gateway's lower-case fault: in XML both have the same shape (recorded 2016)."""
    errors = [
        {
            "Message": error["message"],
            "Detail": error["detail"],
            "code": error["code"],
            "element": error["element"],
        }
        for error in fault["error"]
    ]
    return {"Fault": {"Error": errors, "type": fault["type"]}}


def _write(parts: list[str], name: str, value: Any) -> None:
    if value is None or not _NAME.fullmatch(name):
        return
    if isinstance(value, list):
        for each in value:
            _write(parts, name, each)
    elif isinstance(value, dict):
        _write_object(parts, name, value)
    else:
        parts.append(f"<{name}>{_escaped(value)}</{name}>")


def _write_object(parts: list[str], name: str, value: JsonObject) -> None:
    has_text = "value" in value and not isinstance(value["value"], (dict, list))
    known = _ATTRIBUTES.get(name, _OF_ENTITIES)
    attributes, content = "", []
    for key, each in value.items():
        if isinstance(each, (dict, list)) or not (has_text or key in known):
            content.append((key, each))
        elif each is not None and key != "value" and _NAME.fullmatch(key):
            attributes += f' {key}="{_escaped(each)}"'
    if has_text:
        parts.append(f"<{name}{attributes}>{_escaped(value['value'])}</{name}>")
        return
    parts.append(f"<{name}{attributes}>")
    for key, each in content:
        _write(parts, key, each)
    parts.append(f"</{name}>")


def _escaped(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return html.escape(_NOT_OF_XML.sub("\ufffd", text))
