"""Characters to tokens, with the complaints of the JavaCC parser QuickBooks uses."""

import re
from dataclasses import dataclass
from enum import StrEnum

from qbsync.simulator.faults import query_unparsable


class TokenType(StrEnum):
    """What a token is, by the name the real parser gives it in its complaints."""

    IDENTIFIER = "IDENTIFIER"
    STRING = "STRING"
    NUMBER = "NUMBER"
    SYMBOL = "SYMBOL"
    END = "EOF"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` as written, `value` as meant (a string without quotes and escapes), both counted from 1."""

    type: TokenType
    text: str
    value: str
    line: int
    column: int

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
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def tokens(statement: str) -> list[Token]:
    """All tokens and a final END. Raises Refusal 4000 at the first character that begins none."""
    found: list[Token] = []
    position, line, line_start = 0, 1, 0
    while position < len(statement):
        match = _TOKEN.match(statement, position)
        column = position - line_start + 1
        if match is None:
            raise _lexical_error(statement, position, line, column)
        text = match.group()
        kind = match.lastgroup
        if kind is not None and kind != "space":
            token_type = TokenType(kind)
            found.append(Token(token_type, text, _meaning(token_type, text), line, column))
        breaks = text.count("\n")
        if breaks:
            line += breaks
            line_start = position + text.rindex("\n") + 1
        position = match.end()
    found.append(Token(TokenType.END, "", "", line, len(statement) - line_start + 1))
    return found


def quoted(text: str) -> str:
    r"""A string literal: `'` and `\` escaped with a backslash."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _meaning(token_type: TokenType, text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1]) if token_type is TokenType.STRING else text


def _lexical_error(statement: str, position: int, line: int, column: int) -> Exception:
    character = statement[position]
    return query_unparsable(
        f'Lexical error at line {line}, column {column}.  Encountered: "{character}" ({ord(character)}), after : ""'
    )
