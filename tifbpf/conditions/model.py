"""A condition as it was written, before it is known for which kernel."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias, assert_never

import msgspec


class Field(StrEnum):
    """What a comparison is about."""

    CPU = "cpu"
    PID = "pid"
    CONTEXT = "context"
    SYSCALL = "syscall"
    COMM = "comm"
    CGROUP = "cgroup"
    BIT = "bit"
    """The triggers of a slow exit, in either word: an exit has any number of them."""
    WORD = "word"
    """All of the TIF word."""
    SYSCALL_WORK = "syscall_work"
    """All of the second word."""
    PATH = "path"
    """`fast` or `slow`."""


_DIMENSIONS = (Field.SYSCALL, Field.COMM, Field.PID, Field.CGROUP, Field.CPU)
"""In the order of a recording's columns. Not from its schema, which brings in pyarrow: the command line hands
conditions on to the recorder, and needs it for nothing else."""


class Compared(msgspec.Struct, frozen=True, kw_only=True, tag="compared"):
    """Whether a field has one of some values; of BIT: whether one of them triggered."""

    field: Field
    names: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    """Of CPU and PID, which have no names: first and last."""
    column: int
    """Where it begins in the condition's text, from 1."""


class Not(msgspec.Struct, frozen=True, tag="not"):
    """The contrary."""

    operand: Expression


class AllOf(msgspec.Struct, frozen=True, tag="all"):
    """Joined by `and`."""

    operands: tuple[Expression, ...]


class AnyOf(msgspec.Struct, frozen=True, tag="any"):
    """Joined by `or`."""

    operands: tuple[Expression, ...]


Expression: TypeAlias = Compared | Not | AllOf | AnyOf


class Measure(StrEnum):
    """What of the matching exits has a limit."""

    COUNT = "count"
    RATE = "rate"
    """A second."""
    SHARE = "share"
    """Of all exits that could have matched, had their words been others; between 0 and 1."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """The most that is allowed."""

    measure: Measure = Measure.COUNT
    value: float = 0
    reached: bool = False
    """Whether reaching `value` is too much already (`>=`)."""

    def exceeded(self, value: float) -> bool:
        """Whether `value` is too much."""
        return value >= self.value if self.reached else value > self.value


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One `--fail-on`."""

    text: str
    expression: Expression | None
    """None: all slow exits."""
    limit: Limit = Limit()

    @property
    def comparisons(self) -> tuple[Compared, ...]:
        """All comparisons, from left to right."""
        return () if self.expression is None else tuple(_comparisons(self.expression))

    @property
    def fields(self) -> frozenset[Field]:
        """The fields that it names."""
        return frozenset(compared.field for compared in self.comparisons)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What `record --by` must keep apart for it, in the recording's order."""
        return tuple(str(field) for field in _DIMENSIONS if field in self.fields)


def _comparisons(expression: Expression) -> Iterator[Compared]:
    match expression:
        case Compared():
            yield expression
        case Not():
            yield from _comparisons(expression.operand)
        case AllOf() | AnyOf():
            for operand in expression.operands:
                yield from _comparisons(operand)
        case _:
            assert_never(expression)
