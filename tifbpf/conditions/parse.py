"""From text to a `Condition`."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Sequence
from pathlib import Path

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError
from lark.parsers.lalr_interactive_parser import InteractiveParser

from tifbpf.conditions.model import AllOf, AnyOf, Compared, Condition, Expression, Field, Limit, Measure, Not
from tifbpf.errors import ConditionSyntaxError, TifbpfError
from tifbpf.layouts import syscalls
from tifbpf.layouts.model import Context
from tifbpf.recording.paths import ExitPath
from tifbpf.text import printable

_KNOWN = {
    Field.CONTEXT: tuple(map(str, Context)),
    Field.PATH: (str(ExitPath.FAST), str(ExitPath.SLOW)),
}
_EXPECTED = {
    "COUNT": "count",
    "RATE": "rate",
    "SHARE": "share",
    "NUMBER_FIELD": "cpu, pid",
    "NAME_FIELD": "bit, cgroup, comm, context, path, syscall, syscall_work, word",
    "PATH": "slow, fast",
    "EQUAL": "==, !=",
    "OVER": ">, >=",
    "NUMBER": "a number",
    "RANGE": "a number or a range such as 2-7",
    "NAME": "a name",
    "PER_SECOND": "/s",
    "PERCENT": "%",
    "_AND": "and",
    "_OR": "or",
    "_NOT": "not",
    "_IN": "in",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": "a comma",
    "$END": "the end",
}
"""Terminals as readers know them; STRING is a name too."""
_LONGEST = 4096
"""Characters of a condition; of a number longer than that Python refuses to make an int."""
_DEEPEST = 100
"""Parentheses and negations in one another: each takes some of Python's stack, and more when it is judged."""


def parse(text: str) -> Condition:
    """Return the condition that `text` is.

    Bytes of a command line that are no UTF-8 become what recordings have for them: a backslash, x, digits.

    Raises:
        ConditionSyntaxError: it is none; the line says where.
    """
    text = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    if len(text) > _LONGEST:
        raise ConditionSyntaxError(f"no condition: it is longer than {_LONGEST} characters; say it in less")
    parsing = _grammar().parse_interactive(text)
    try:
        for token in parsing.iter_parse():
            if len(parsing.parser_state.state_stack) > _DEEPEST:
                raise _at(text, token.column or 1, "it nests too deep")
        if "$END" not in parsing.accepts():  # type: ignore[no-untyped-call]
            raise _unexpected(text, len(text) + 1, parsing)
        expression, limit = _Builder().transform(parsing.feed_eof())  # type: ignore[no-untyped-call]
    except UnexpectedInput as error:
        raise _unexpected(text, error.column, parsing) from None
    except VisitError as error:
        if isinstance(error.orig_exc, _ValueAtError):
            raise _at(text, error.orig_exc.column, str(error.orig_exc)) from None
        raise
    return Condition(text=text, expression=expression, limit=limit)


@functools.cache
def _grammar() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text()
    return Lark(grammar, parser="lalr", maybe_placeholders=False, keep_all_tokens=False)


class _ValueAtError(Exception):
    """A token that the grammar takes and that means nothing."""

    def __init__(self, token: Token, what: str) -> None:
        super().__init__(what)
        self.column = token.column or 1


@v_args(inline=True)
class _Builder(Transformer[Token, tuple[Expression | None, Limit]]):
    """Makes the model from the grammar's tree, rule by rule."""

    def plain(self, expression: Expression) -> tuple[Expression, Limit]:
        return expression, Limit()

    def limited(self, measure: Token, *rest: Token | Expression) -> tuple[Expression | None, Limit]:
        scope = None if isinstance(rest[0], Token) else rest[0]
        over, number = (str(token) for token in rest[scope is not None :][:2])
        kind = Measure(str(measure))
        value = float(number) / (100 if kind is Measure.SHARE else 1)
        if math.isinf(value):
            raise _ValueAtError(measure, f"no {measure} is that high")
        return scope, Limit(measure=kind, value=value, reached=over == ">=")

    def either(self, *operands: Expression) -> AnyOf:
        return AnyOf(operands)

    def both(self, *operands: Expression) -> AllOf:
        return AllOf(operands)

    def negated(self, operand: Expression) -> Not:
        return Not(operand)

    def path(self, token: Token) -> Compared:
        return Compared(field=Field.PATH, names=(str(token),), column=token.column or 1)

    def compared(self, field: Token, operator: Token, value: Token) -> Expression:
        found = _compared(field, [value])
        return Not(found) if operator == "!=" else found

    def listed(self, field: Token, *values: Token) -> Compared:
        return _compared(field, values)

    def unlisted(self, field: Token, *values: Token) -> Not:
        return Not(_compared(field, values))


def _compared(field: Token, values: Sequence[Token]) -> Compared:
    kind, column = Field(str(field)), field.column or 1
    if kind in (Field.CPU, Field.PID):
        return Compared(field=kind, ranges=tuple(map(_range, values)), column=column)
    return Compared(field=kind, names=tuple(_name(kind, value) for value in values), column=column)


def _range(token: Token) -> tuple[int, int]:
    first, _, last = token.partition("-")
    if int(last or first) < int(first):
        raise _ValueAtError(token, f"the range {token} is empty")
    return int(first), int(last or first)


def _name(field: Field, token: Token) -> str:
    name = str(ast.literal_eval(token)) if token.type == "STRING" else str(token)
    if (known := _KNOWN.get(field)) and name not in known:
        raise _ValueAtError(token, f"no {field} '{printable(name)}'; there are {', '.join(known)}")
    if field is Field.SYSCALL:
        try:
            syscalls.number(name)
        except TifbpfError as error:
            raise _ValueAtError(token, str(error)) from None
    return name


def _unexpected(text: str, column: int, parsing: InteractiveParser) -> ConditionSyntaxError:
    accepted = parsing.accepts()  # type: ignore[no-untyped-call]
    return _at(
        text, column, f"expected {', '.join(_EXPECTED[name] for name in _EXPECTED if name in accepted)}"
    )


def _at(text: str, column: int, what: str) -> ConditionSyntaxError:
    found = text[column - 1 :].split()
    place = f"character {column}, '{printable(found[0])}'" if found else "the end"
    return ConditionSyntaxError(
        f"no condition: {printable(text)}: at {place}: {what}; give one such as "
        "'cpu in 2-7 and bit == NEED_RESCHED'"
    )
