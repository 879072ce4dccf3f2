"""Durations in Go's syntax."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.api.durations import PATTERN, format_duration, parse_duration

SPANS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2s", timedelta(seconds=2)),
        ("30m", timedelta(minutes=30)),
        ("6h", timedelta(hours=6)),
        ("1h30m", timedelta(minutes=90)),
        ("1h0m0.5s", timedelta(hours=1, milliseconds=500)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("100ms", timedelta(milliseconds=100)),
        ("7us", timedelta(microseconds=7)),
        ("7µs", timedelta(microseconds=7)),
        ("1500ns", timedelta(microseconds=1)),
        ("0", timedelta(0)),
        ("-90s", timedelta(seconds=-90)),
    ],
)
def test_reads_what_go_reads(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "s", "30", "1d", "3 h", "1h 2m", "h1", "1..5s", "1,5h", "PT1H", "--1s", "+ 1s"]
)
def test_refuses_anything_else_and_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2s, 30m or 1h30m"):
        parse_duration(text)


def test_refuses_what_no_clock_can_count() -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration("99999999999999999h")


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(hours=6), "6h"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(hours=1, seconds=2), "1h2s"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(seconds=10), "10s"),
        (timedelta(seconds=100), "1m40s"),
        (timedelta(days=101), "2424h"),
        (timedelta(microseconds=1), "0.000001s"),
        (timedelta(seconds=-90), "-1m30s"),
    ],
)
def test_writes_the_shortest_form(span: timedelta, text: str) -> None:
    assert format_duration(span) == text


@given(SPANS)
def test_what_is_written_is_read_again(span: timedelta) -> None:
    assert parse_duration(format_duration(span)) == span
    assert parse_duration(format_duration(-span)) == -span


@given(st.integers(min_value=0, max_value=10**12))
def test_what_is_written_may_stand_in_a_manifest(milliseconds: int) -> None:
    assert re.search(PATTERN, format_duration(timedelta(milliseconds=milliseconds)))
