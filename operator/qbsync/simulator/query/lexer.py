"""Characters to tokens, with the complaints of the JavaCC parser QuickBooks uses."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from qbsync.simulator.faults import Refusal, query_unparsable


class TokenType(StrEnum):
    """What a token is, by the name the real parser gives it in its complaints."""

    IDENTIFIER = "IDENTIFIER"
    STRING = "STRING"
    NUMBER = "NUMBER"
    SYMBOL = "SYMBOL"
    END = "EOF"


class Token(NamedTuple):
    """`text` as written, `value` as meant (a string without quotes and escapes), `offset` where it begins."""

    type: TokenType
    text: str
    value: str
    offset: int

    @property
    def word(self) -> str:
        """The identifier in capitals, for keywords; empty for anything else."""
        return self.value.upper() if self.type is TokenType.IDENTIFIER else ""


_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f]+)
  | (?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|\*))*)
  | (?P<STRING>'(?:[^'\\]|\\.)*')
  | (?P<NUMBER>-?[0-9]+(?:\.[0-9]+)?)
  | (?P<SYMBOL><=|>=|[*(),=<>])
    """,
    re.VERBOSE | re.DOTALL,
)
_TYPES = {name: TokenType(name) for name in _TOKEN.groupindex if name != "space"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_TAB = 8
_LONGEST_SHOWN = 200


def tokens(statement: str) -> Iterator[Token]:
    """The tokens one by one and a final END. Raises Refusal 4000 at a character that begins none.

    As the real one: what comes after the first token out of place is not looked at.
    """
    position = 0
    while position < len(statement):
        match = _TOKEN.match(statement, position)
        if match is None:
            raise _lexical_error(statement, position)
        token_type = _TYPES.get(match.lastgroup or "")
        if token_type is not None:
            text = match.group()
            yield Token(token_type, text, _meaning(token_type, text), position)
        position = match.end()
    # JavaCC finds the end where the last character is.
    yield Token(TokenType.END, "", "", len(statement) - 1)


def quoted(text: str) -> str:
    r"""A string literal: `'` and `\` escaped with a backslash."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def place(statement: str, offset: int) -> str:
    """Where a character stands, in words; JavaCC counts from 1 and takes a tab for up to eight columns."""
    line, column, broken = 1, 0, False
    for character in statement[: offset + 1]:
        if broken:
            line, column = line + 1, 0
        column += _TAB - column % _TAB if character == "\t" else 1
        broken = character == "\n"
    return f"line {line}, column {column}"


def shown(text: str) -> str:
    """How JavaCC quotes what it met: nothing but printable ASCII."""
    cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
    return "".join(
        character if " " <= character <= "~" else f"\\u{min(ord(character), 0xFFFF):04x}" for character in cut
    )


def _meaning(token_type: TokenType, text: str) -> str:
    if token_type is not TokenType.STRING:
        return text
    return _ESCAPE.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]


def _lexical_error(statement: str, position: int) -> Refusal:
    """The words of a recorded one (pbrink231/quickbooks-node-promise, issue 1); an open string runs to the end."""
    if statement[position] == "'":
        where = place(statement, len(statement) - 1)
        return query_unparsable(
            f'Invalid content. Lexical error at {where}.  Encountered: <EOF> after : "{shown(statement[position:])}"'
        )
    character = statement[position]
    return query_unparsable(
        f"Invalid content. Lexical error at {place(statement, position)}.  "
        f'Encountered: "{shown(character)}" ({ord(character)}), after : ""'
    )
