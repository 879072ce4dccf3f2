"""Money and quantities: decimal strings outside, `Decimal` inside, never a float."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


def round_half_up(amount: Decimal, places: int = 2) -> Decimal:
    """Round as QuickBooks does: 1861.075 becomes 1861.08, -0.005 becomes -0.01 (Intuit: Fault 6070)."""
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def with_cents(amount: Decimal) -> Decimal:
    """The same amount with at least two decimals, as people write money: 1250.0 becomes 1250.00."""
    exponent = amount.as_tuple().exponent
    return amount.quantize(Decimal("0.01")) if isinstance(exponent, int) and exponent > -2 else amount


def decimal_text(value: Decimal) -> str:
    """The value in plain digits, never with an exponent; trailing zeros stay."""
    return f"{value:f}"


@dataclass(frozen=True, slots=True)
class DecimalString:
    """Marks a `Decimal` that is written as a string of digits."""

    integers: int = 10
    """At most that many digits before the point."""
    places: int = 2
    """At most that many behind it."""
    signed: bool = True

    @property
    def pattern(self) -> str:
        sign = "-?" if self.signed else ""
        return rf"^{sign}[0-9]{{1,{self.integers}}}(\.[0-9]{{1,{self.places}}})?$"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(decimal_text, when_used="json"),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        length = self.integers + self.places + 1 + int(self.signed)
        return {"type": "string", "minLength": 1, "maxLength": length, "pattern": self.pattern}


def _validate(value: object) -> Decimal:
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise ValueError(f"{value!r} is not a decimal number") from None
    else:
        # pydantic turns a ValueError, not a TypeError, into its ValidationError
        raise ValueError('write numbers as strings, such as "128.35"')  # noqa: TRY004
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return number


Amount = Annotated[Decimal, DecimalString()]
"""Money of one line or invoice, at most two decimals; may be negative."""
PositiveAmount = Annotated[Decimal, DecimalString(signed=False)]
"""Money that cannot be negative."""
Quantity = Annotated[Decimal, DecimalString(places=7)]
"""A quantity or a price per unit: more decimals than money has."""
Rate = Annotated[Decimal, DecimalString(integers=7, places=10, signed=False)]
"""An exchange rate."""
Percent = Annotated[Decimal, DecimalString(integers=3, places=5, signed=False)]
"""A percentage, without its sign."""
StatusAmount = Annotated[Decimal, DecimalString(integers=15, places=7)]
"""Money as QuickBooks returned it."""
