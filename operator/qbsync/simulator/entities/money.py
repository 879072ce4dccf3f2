"""Money as QuickBooks counts and writes it."""

from collections.abc import Iterable, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

ZERO = Decimal(0)
_CENT = Decimal("0.01")
_ONE_PLACE = Decimal("0.1")
_LARGEST = Decimal(10) ** 15
_SMALLEST = Decimal("1e-10")
# Wide enough that no product of two representable numbers is ever rounded, or refused, before we round it.
_WIDE = Context(prec=80, rounding=ROUND_HALF_UP)


def half_up(amount: Decimal) -> Decimal:
    """Two places, halves away from zero: 1861.075 is 1861.08 (fault 6070 goes by this)."""
    return amount.quantize(_CENT, context=_WIDE)


def product(first: Decimal, second: Decimal) -> Decimal:
    """Exact."""
    return _WIDE.multiply(first, second)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Exact."""
    result = ZERO
    for each in amounts:
        result = _WIDE.add(result, each)
    return result


def representable(value: Decimal) -> bool:
    """Whether QuickBooks could hold this number at all; guards against 1e999999."""
    if not value.is_finite():
        return False
    return value == 0 or (_SMALLEST <= abs(value) < _LARGEST)


@lru_cache(maxsize=4096)
def amount(value: Decimal | int) -> Decimal | int:
    """As QuickBooks writes amounts: 0 for nothing, else at least one decimal (100.0, 1861.08)."""
    if value == 0:
        return 0
    plain = _plain(value)
    return plain if _places(plain) >= 1 else plain.quantize(_ONE_PLACE, context=_WIDE)


@lru_cache(maxsize=4096)
def quantity(value: Decimal | int) -> Decimal | int:
    """As QuickBooks writes quantities and prices: 35, 4.5."""
    plain = _plain(value)
    return int(plain) if _places(plain) == 0 else plain


def _plain(value: Decimal | int) -> Decimal:
    """Without trailing zeros and without an exponent."""
    trimmed = Decimal(value).normalize(_WIDE)
    return trimmed.quantize(Decimal(1), context=_WIDE) if _exponent(trimmed) > 0 else trimmed


def _places(value: Decimal) -> int:
    return max(-_exponent(value), 0)


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def ratio(numerator: Decimal, denominator: Decimal, places: Decimal) -> Decimal:
    """Their quotient, half up to as many places as `places` has."""
    return _WIDE.divide(numerator, denominator).quantize(places, context=_WIDE)


def spread(whole: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """`whole` cents shared out by weight: each share within a cent of its exact one, and nothing lost or won.

    The cents that rounding down leaves over go to the shares that lost most, the first ones among equals.
    """
    weight = total(weights)
    if weight == 0:
        # What weighs nothing together can still carry cents: the heaviest takes them all.
        heaviest = max(range(len(weights)), key=lambda index: abs(weights[index]), default=None)
        return [whole if index == heaviest else ZERO for index in range(len(weights))]
    exact = [_WIDE.divide(_WIDE.multiply(whole, each), weight) for each in weights]
    shares = [each.quantize(_CENT, rounding=ROUND_FLOOR, context=_WIDE) for each in exact]
    left_over = int((whole - total(shares)) / _CENT)
    by_loss = sorted(range(len(shares)), key=lambda index: (shares[index] - exact[index], index))
    for index in by_loss[:left_over]:
        shares[index] += _CENT
    return shares
