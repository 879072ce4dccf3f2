"""Money: decimal strings, rounding as QuickBooks does."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.api.money import DecimalString, decimal_text, round_half_up


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        ("1861.075", "1861.08"),  # 14.50 × 128.35: QuickBooks refuses 1861.07
        ("0.005", "0.01"),
        ("0.0049999", "0.00"),
        ("-0.005", "-0.01"),
        ("2.675", "2.68"),
        ("10", "10.00"),
    ],
)
def test_rounds_half_away_from_zero(amount: str, rounded: str) -> None:
    assert str(round_half_up(Decimal(amount))) == rounded


def test_rounds_to_other_places() -> None:
    assert str(round_half_up(Decimal("1.5"), places=0)) == "2"
    assert str(round_half_up(Decimal("0.123455"), places=5)) == "0.12346"


@pytest.mark.parametrize(
    ("mark", "good", "bad"),
    [
        (
            DecimalString(integers=10, places=2),
            ["0", "-0.5", "385.05", "1234567890.12"],
            ["", ".5", "5.", "1.234", "12345678901", "1,5", "1e3", "+1", " 1", "1\n", "NaN", "--1"],
        ),
        (DecimalString(signed=False), ["1.00"], ["-1.00"]),
        (DecimalString(places=7), ["0.0000001"], ["0.00000001"]),
    ],
)
def test_the_pattern_takes_plain_digits_only(mark: DecimalString, good: list[str], bad: list[str]) -> None:
    # \Z: the API server's $ does not match before a newline, Python's does
    pattern = re.compile(mark.pattern.replace("$", r"\Z"))
    assert all(pattern.search(text) for text in good)
    assert not any(pattern.search(text) for text in bad)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6))
def test_what_is_written_is_the_same_number_in_plain_digits(number: Decimal) -> None:
    text = decimal_text(number)
    assert Decimal(text) == number
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text)
