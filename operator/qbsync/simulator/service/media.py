"""Formats: which ones a request may come in, and which one it is answered in."""

from enum import StrEnum

from qbsync.simulator.calls import Call
from qbsync.simulator.faults import NothingSaid, missing_parameters, unsupported_operation

_JSON = frozenset({"application/json", "text/json"})
_XML = frozenset({"application/xml", "text/xml"})
_WILDCARDS = frozenset({"*/*", "application/*", "text/*"})
_STATEMENTS = frozenset({"application/text", "application/json"})


class Format(StrEnum):
    """How an answer is written."""

    JSON = "json"
    XML = "xml"


def check_content_type(call: Call, *, json_send: str) -> None:
    """Raises Refusal where QuickBooks cannot read what the body is said to be; no Content-Type is always fine.

    `json_send` is the switch `jsonSend`: a `send` with application/json is refused, or raises NothingSaid.
    """
    sent = call.content_type
    if not sent or _is_readable(call.operation, sent):
        return
    if call.operation == "send" and sent in _JSON:
        if json_send == "500":
            raise NothingSaid
        raise missing_parameters("DeliveryAddress.Address")
    raise unsupported_operation("Cannot consume content type")


def _is_readable(operation: str, sent: str) -> bool:
    if operation == "query":
        return sent in _STATEMENTS or sent.startswith("text/")
    if operation == "send":
        return sent == "application/octet-stream"
    return operation == "unsupported" or sent in _JSON


def answer_format(accept: str, *, otherwise: Format) -> Format | None:
    """The format asked for; `otherwise` where none is named; None where only others are."""
    best: tuple[float, Format] | None = None
    for part in accept.split(","):
        media, *parameters = (each.strip().lower() for each in part.split(";"))
        quality = _quality(parameters)
        found = _format(media, otherwise)
        if found is not None and quality > 0 and (best is None or quality > best[0]):
            best = (quality, found)
    return best[1] if best is not None else None


def check_accept(call: Call, wanted: Format | None) -> None:
    """Raises Refusal for an answer in a format there is not."""
    if wanted is None and call.operation != "pdf":
        raise unsupported_operation("No match for accept header")


def _format(media: str, otherwise: Format) -> Format | None:
    if media in _JSON:
        return Format.JSON
    if media in _XML:
        return Format.XML
    return otherwise if not media or media in _WILDCARDS else None


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 1.0
    return 1.0
