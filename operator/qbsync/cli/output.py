"""What commands print: tables as kubectl's, or JSON; and their exit codes."""

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

OK: Final = 0
FINDINGS: Final = 1
"""The command worked, and something needs a person."""
FAILED: Final = 2
"""It could not be done: a wrong option, no access, no key."""


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they need to be; an empty cell is a dash."""
    lines = [tuple(header), *(tuple(cell or "-" for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def document(content: Any) -> None:
    """JSON on standard output."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """A remark for the person, beside the result."""
    print(text, file=sys.stderr)


def complain(text: object) -> None:
    """Why it was not done: one line, as every command says it."""
    print(f"qbsync: {text}", file=sys.stderr)
