"""JSON with money: decimals in, decimals out, never a float."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

JsonObject = dict[str, Any]

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)

Raw = msgspec.Raw
"""Bytes that already are JSON, spliced into a larger document as they stand."""


class UnreadableJson(ValueError):
    """The bytes are not JSON, or not JSON this machine can hold."""


def dump(value: Mapping[str, Any] | list[Any]) -> bytes:
    """Encode; decimals become JSON numbers with their digits as they are."""
    return _encoder.encode(value)


def load(data: bytes) -> Any:
    """Decode; fractional numbers become Decimal. Raises UnreadableJson."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ArithmeticError) as error:
        raise UnreadableJson(str(error) or "invalid JSON") from None


def load_object(data: bytes) -> JsonObject:
    """Decode an object. Raises UnreadableJson, also for any other JSON value."""
    value = load(data)
    if not isinstance(value, dict):
        raise UnreadableJson("the document is not an object")
    return value
