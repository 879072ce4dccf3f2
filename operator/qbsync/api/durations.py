"""Durations as Go and Kubernetes write them: `2s`, `30m`, `6h`, `1h30m`."""

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

_MICROSECONDS: Final[Mapping[str, Decimal]] = MappingProxyType(
    {
        "ns": Decimal("0.001"),
        "us": Decimal(1),
        "µs": Decimal(1),
        "μs": Decimal(1),
        "ms": Decimal(1_000),
        "s": Decimal(1_000_000),
        "m": Decimal(60_000_000),
        "h": Decimal(3_600_000_000),
    }
)
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")

PATTERN: Final = r"^([0-9]{1,7}(\.[0-9]{1,3})?(ms|s|m|h))+$"
"""What the API takes of it: no sign, no unit below a millisecond."""


def parse_duration(text: str) -> timedelta:
    """Read Go's syntax; zero, and a leading minus, are allowed. Exact to the microsecond.

    Raises `ValueError` with a message that says what to write.
    """
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text)
    parts = _PART.findall(rest)
    if rest == "0":
        return timedelta()
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 2s, 30m or 1h30m")
    total = sum((Decimal(number) * _MICROSECONDS[unit] for number, unit in parts), Decimal())
    try:
        return sign * timedelta(microseconds=int(total))
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration") from None


def format_duration(value: timedelta) -> str:
    """The shortest form in hours, minutes and seconds: `6h`, `1h30m`, `1.5s`; zero is `0s`."""
    micros = abs(value) // timedelta(microseconds=1)
    hours, rest = divmod(micros, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds = (
        f"{Decimal(rest) / 1_000_000:f}".rstrip("0").rstrip(".")
        if rest % 1_000_000
        else f"{rest // 1_000_000}"
    )
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{seconds}s" if rest else ""]
    return ("-" if value < timedelta() else "") + ("".join(parts) or "0s")


class GoDuration:
    """Marks a `timedelta` that is written in Go's syntax."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(format_duration, when_used="json"),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 2,
            "maxLength": 20,
            "pattern": PATTERN,
            "x-kubernetes-validations": [
                {
                    "rule": f"!self.matches('{PATTERN.replace(chr(92), chr(92) * 2)}') "
                    "|| duration(self) >= duration('1s')",
                    "message": "write a duration of at least 1s, such as 30m",
                }
            ],
        }


def _validate(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError("write a duration as a string, such as 30m")


Duration = Annotated[timedelta, GoDuration()]
