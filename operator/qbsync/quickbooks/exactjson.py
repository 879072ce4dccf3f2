"""JSON with exact decimals: money never passes through a float."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class UnreadableJson(ValueError):
    """Bytes that are not one complete JSON document. Quotes nothing of them."""


def dump_json(mapping: Mapping[str, Any]) -> bytes:
    """The mapping as JSON; a Decimal becomes a number with exactly its digits.

    Raises ValueError for NaN and infinities, which JSON does not know.
    """
    _refuse_non_finite(mapping)
    return _ENCODER.encode(mapping)


def load_json(raw: bytes) -> Any:
    """The document as Python objects, every number with a fraction or exponent as Decimal.

    Raises UnreadableJson for anything but one complete JSON document in UTF-8.
    """
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError):
        pass
    # Raised outside the handler: the decoder's texts can quote the bytes, and bodies can hold tokens.
    raise UnreadableJson("not one complete JSON document")


def objects_in(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; what is no object is left out, and what is no list has none."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _refuse_non_finite(value: object) -> None:
    if isinstance(value, Mapping):
        for part in value.values():
            _refuse_non_finite(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_non_finite(part)
    elif isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is no JSON number")
