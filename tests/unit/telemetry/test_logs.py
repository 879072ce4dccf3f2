"""JSON logs: one object a line, and nothing that looks like a token."""

import json
import logging
import sys

import pytest

from qbsync.telemetry.logs import REDACTED, JsonFormatter, redact


def line(message: str, **extra: object) -> str:
    record = logging.LogRecord("qbsync.test", logging.INFO, __file__, 1, message, None, None)
    vars(record).update(extra)
    return JsonFormatter().format(record)


def test_a_record_is_one_object_with_its_extras() -> None:
    parsed = json.loads(line("invoice synced", quickbooksId="7"))
    assert parsed["message"] == "invoice synced"
    assert parsed["quickbooksId"] == "7"
    assert parsed["level"] == "info"
    assert "\n" not in line("two\nlines")


@pytest.mark.parametrize(
    "secret",
    [
        "RT1-39-H3-1785429816rcysb9dns1ofreknypnm",
        "AB11601390262kxQ9wxyzAbCdEfGh",
        "eyJlbmMiOiJBMTI4Q0JDIn0..cV2BmpdS2NIXxXdv.Y6gk",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "refresh_token={}", "Authorization: Bearer {}", "Token expired: {}"]
)
def test_nothing_that_looks_like_a_token_passes(secret: str, around: str) -> None:
    written = line(around.format(secret), detail=around.format(secret))
    assert secret not in written
    assert REDACTED in written


def test_a_traceback_is_redacted_too() -> None:
    try:
        int("refused RT1-39-H3-1785429816rcysb9dns1ofreknypnm")
    except ValueError:
        record = logging.LogRecord("t", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    written = JsonFormatter().format(record)
    assert "ValueError" in written
    assert "rcysb9dns1ofreknypnm" not in written


@pytest.mark.parametrize(
    "text", ["invoice 126 created", "code 6140: DocNumber=1 is assigned", "key b9a19c80 (primary)"]
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text
