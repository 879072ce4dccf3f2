"""Tokens to a statement: `SELECT … FROM … [WHERE … AND …] [ORDERBY …] [STARTPOSITION n] [MAXRESULTS n]`.

The keywords are those the real parser lists in its complaints (mcohen01/node-quickbooks, issue 56): `ORDER BY` is one
of them beside `ORDERBY`, and it knows OR, which Intuit's pages then exclude.
"""

from dataclasses import dataclass

from qbsync.simulator.faults import Refusal, query_unparsable
from qbsync.simulator.query.lexer import Token, TokenType, place, shown, tokens

_COMPARISONS = frozenset({"=", "<", ">", "<=", ">="})
_KEYWORDS = frozenset(
    {"SELECT", "FROM", "WHERE", "AND", "OR", "IN", "LIKE", "ORDER", "BY", "ORDERBY", "ASC", "DESC"}
    | {"STARTPOSITION", "MAXRESULTS", "ITERATOR"}
)
_NAMED = frozenset({"AND", "OR"})
"""Keywords with a token name of their own in complaints."""
_LONGEST_INTEGER = 10


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written: quoted or not (numbers, true, false)."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """`field operator value[s]`; IN has any number of values, the others one."""

    field: str
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Ordering:
    """One sort key."""

    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One query. `fields` empty means `*`; the positions are as written, checked by the evaluator."""

    entity: str
    count: bool
    fields: tuple[str, ...]
    where: tuple[Condition, ...]
    order: tuple[Ordering, ...]
    start: int | None
    limit: int | None


def parse(statement: str) -> Statement:
    """Read one statement. Raises Refusal 4000 for anything that is none."""
    if not statement.strip():
        raise query_unparsable("The query provided was empty")
    return _Parser(statement).statement()


class _Parser:
    """Recursive descent; every unexpected token ends it with the real parser's complaint."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._stream = tokens(statement)
        self._token: Token = next(self._stream)

    def statement(self) -> Statement:
        self._keyword("SELECT")
        count, fields = self._selection()
        self._keyword("FROM")
        entity = self._identifier()
        where = self._conditions() if self._accept("WHERE") else ()
        order = self._orderings() if self._sorted() else ()
        start, limit = self._page()
        if self._token.type is not TokenType.END:
            raise self._unexpected()
        return Statement(entity, count, fields, where, order, start, limit)

    def _selection(self) -> tuple[bool, tuple[str, ...]]:
        if self._accept_symbol("*"):
            # python-quickbooks asks for `*, Sku`: Sku once was no part of everything.
            while self._accept_symbol(","):
                self._identifier()
            return False, ()
        name = self._identifier()
        if name.upper() == "COUNT" and self._accept_symbol("("):
            self._symbol("*")
            self._symbol(")")
            return True, ()
        fields = [name]
        while self._accept_symbol(","):
            fields.append(self._identifier())
        return False, tuple(fields)

    def _conditions(self) -> tuple[Condition, ...]:
        conditions = [self._condition()]
        while self._accept("AND"):
            conditions.append(self._condition())
        return tuple(conditions)

    def _condition(self) -> Condition:
        field = self._identifier()
        if self._accept("IN"):
            return Condition(field, "IN", self._list())
        if self._accept("LIKE"):
            return Condition(field, "LIKE", (self._literal(),))
        operator = self._token
        if operator.type is not TokenType.SYMBOL or operator.text not in _COMPARISONS:
            raise self._unexpected()
        self._advance()
        return Condition(field, operator.text, (self._literal(),))

    def _list(self) -> tuple[Literal, ...]:
        self._symbol("(")
        values = [self._literal()]
        while self._accept_symbol(","):
            values.append(self._literal())
        self._symbol(")")
        return tuple(values)

    def _literal(self) -> Literal:
        token = self._token
        if (
            token.type is TokenType.STRING
            or token.type is TokenType.NUMBER
            or token.word in {"TRUE", "FALSE"}
        ):
            self._advance()
            return Literal(token.value, quoted=token.type is TokenType.STRING)
        raise self._unexpected()

    def _sorted(self) -> bool:
        if self._accept("ORDER"):
            self._keyword("BY")
            return True
        return self._accept("ORDERBY")

    def _orderings(self) -> tuple[Ordering, ...]:
        orderings = [self._ordering()]
        while self._accept_symbol(","):
            orderings.append(self._ordering())
        return tuple(orderings)

    def _ordering(self) -> Ordering:
        field = self._identifier()
        if self._accept("DESC"):
            return Ordering(field, descending=True)
        self._accept("ASC")
        return Ordering(field, descending=False)

    def _page(self) -> tuple[int | None, int | None]:
        """STARTPOSITION and MAXRESULTS, in either order (recorded traffic has both)."""
        found: dict[str, int] = {}
        while self._token.word in {"STARTPOSITION", "MAXRESULTS"} and self._token.word not in found:
            word = self._token.word
            self._advance()
            found[word] = self._integer()
        return found.get("STARTPOSITION"), found.get("MAXRESULTS")

    def _integer(self) -> int:
        token = self._token
        if token.type is not TokenType.NUMBER or "." in token.text or len(token.text) > _LONGEST_INTEGER:
            raise self._unexpected()
        self._advance()
        return int(token.text)

    def _identifier(self) -> str:
        token = self._token
        if token.type is not TokenType.IDENTIFIER or token.word in _KEYWORDS:
            raise self._unexpected()
        self._advance()
        return token.value

    def _advance(self) -> None:
        self._token = next(self._stream)

    def _keyword(self, word: str) -> None:
        if not self._accept(word):
            raise self._unexpected()

    def _symbol(self, text: str) -> None:
        if not self._accept_symbol(text):
            raise self._unexpected()

    def _accept(self, word: str) -> bool:
        if self._token.word != word:
            return False
        self._advance()
        return True

    def _accept_symbol(self, text: str) -> bool:
        if self._token.type is not TokenType.SYMBOL or self._token.text != text:
            return False
        self._advance()
        return True

    def _unexpected(self) -> Refusal:
        token = self._token
        where = f"at {place(self._statement, token.offset)}."
        if token.type is TokenType.END:
            return query_unparsable(f'Encountered "<EOF>" {where}')
        kind = f"<{token.type}>"
        if token.word in _NAMED:
            kind = f"<{token.word}>"
        elif token.type is TokenType.SYMBOL or token.word in _KEYWORDS:
            kind = f'"{token.text.lower()}"'
        return query_unparsable(f'Encountered " {kind} "{shown(token.text)} "" {where}')
