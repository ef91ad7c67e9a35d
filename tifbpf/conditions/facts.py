"""What is known of some exits, and what follows from it for a condition: yes, no, or not known.

Kleene's logic: `False and unknown` is False, `False or unknown` is unknown. With facts of which
little is known it tells, before anything is recorded, which exits a condition could match at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from tifbpf.conditions.model import AllOf, AnyOf, Compared, Expression, Field, Not
from tifbpf.recording.triggers import Trigger

Value: TypeAlias = int | str | tuple[str, int] | None
"""Of SYSCALL: ABI and number; None where an exit has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Exits of which some things are known."""

    values: Mapping[Field, frozenset[Value]]
    """For each field but BIT the values that it may have; a field that is not here may have any."""
    triggers: frozenset[Trigger]
    """The bits that triggered, or could have."""
    triggers_known: bool
    """True: all of `triggers` did. False: each of them may have, or not."""


Test: TypeAlias = Callable[[Facts], bool | None]
"""None: not known."""


def compiled(expression: Expression, resolve: Callable[[Compared], Test]) -> Test:
    """Return the test of a whole expression; `resolve` gives those of its comparisons."""
    match expression:
        case Compared():
            return resolve(expression)
        case Not():
            return _not(compiled(expression.operand, resolve))
        case AllOf():
            return _all([compiled(operand, resolve) for operand in expression.operands])
        case AnyOf():
            negated = [_not(compiled(operand, resolve)) for operand in expression.operands]
            return _not(_all(negated))
        case _:
            assert_never(expression)


def _not(test: Test) -> Test:
    def contrary(facts: Facts) -> bool | None:
        found = test(facts)
        return None if found is None else not found

    return contrary


def _all(tests: Sequence[Test]) -> Test:
    def every(facts: Facts) -> bool | None:
        result: bool | None = True
        for test in tests:
            found = test(facts)
            if found is False:
                return False
            if found is None:
                result = None
        return result

    return every


def has_value(field: Field, accepts: Callable[[Value], bool]) -> Test:
    """Return the test whether a field has a value that is accepted."""

    def test(facts: Facts) -> bool | None:
        possible = facts.values.get(field)
        if possible is None:
            return None
        accepted = {accepts(value) for value in possible}
        return accepted.pop() if len(accepted) == 1 else None

    return test


def has_trigger(wanted: Iterable[Trigger]) -> Test:
    """Return the test whether one of these bits triggered."""
    names = frozenset(wanted)

    def test(facts: Facts) -> bool | None:
        if not names & facts.triggers:
            return False
        return True if facts.triggers_known else None

    return test
