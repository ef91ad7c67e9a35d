"""Judging a condition by what was recorded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeAlias

import msgspec

from tifbpf.conditions.bind import Bound, bind
from tifbpf.conditions.facts import Facts, Value
from tifbpf.conditions.model import Condition, Field, Measure
from tifbpf.layouts import syscalls
from tifbpf.layouts.model import Context
from tifbpf.recording.exits import ExitClass
from tifbpf.recording.metadata import Metadata, Totals
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.triggers import Meanings, Trigger

Values: TypeAlias = dict[Field, frozenset[Value]]

_MOST_KEPT = 4096
"""Kinds of matching exits that are told apart; what comes later is counted together."""


class Outcome(StrEnum):
    """What came of a condition."""

    MET = "met"
    NOT_MET = "not met"
    UNDECIDED = "undecided"
    """Exits that were lost, or whose bits were not seen, would have decided."""


class Matched(msgspec.Struct, frozen=True):
    """Exits that matched, alike in what the condition looks at."""

    context: Context
    path: ExitPath
    bits: tuple[Trigger, ...]
    """What triggered; of fast exits none."""
    values: tuple[tuple[str, str], ...]
    """Dimension and value, of those that the condition names."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A condition's outcome, and what it rests on."""

    condition: Condition
    outcome: Outcome
    matched: int
    uncertain: int
    """Exits of which it is not known: lost ones, those that `--sample` passed by, and slow ones whose bits
    were gone when the route looked."""
    exits: int | None
    """What a share is of; None where no share is asked for."""
    value: float
    """What the limit is compared with: `matched`, a rate or a share."""
    seconds: float
    classes: tuple[tuple[Matched, int], ...]
    """What matched, commonest first."""
    sampled: bool = False
    """Not every exit was looked at: `matched` and `exits` are those that were."""
    gaps: bool = False
    """For a part of the time nothing was recorded: of how many exits it is not known, nobody knows."""


class Judge:
    """Judges one condition, over as many rows as there are."""

    def __init__(self, condition: Condition) -> None:
        """Begin without an exit."""
        self._condition = condition
        self._classes: Counter[Matched | None] = Counter()
        self._matched = self._uncertain = self._exits = self._missing_exits = 0
        self._seconds = 0.0
        self._sampled = self._gaps = False

    def watch(self, metadata: Metadata, cpus: int) -> Watch:
        """Return what takes the rows of one recording.

        Raises:
            ConditionUnusableError: they could not tell.
        """
        return Watch(self, bind(self._condition, metadata, cpus), metadata)

    def count(self, matched: Matched, count: int) -> None:
        """Count exits that matched."""
        self._matched += count
        kept = matched if matched in self._classes or len(self._classes) < _MOST_KEPT else None
        self._classes[kept] += count

    def doubt(self, count: int) -> None:
        """Count exits of which it is not known."""
        self._uncertain += count

    def compare_with(self, count: int) -> None:
        """Count exits that a share is of."""
        self._exits += count

    def end(self, metadata: Metadata, seconds: float, missing: int = 0) -> None:
        """Take note of what a recording lost or left out, and how long it was.

        Args:
            metadata: of the recording.
            seconds: that it lasted.
            missing: exits that were recorded, and are not there any more.
        """
        totals = metadata.totals
        self._uncertain += _unknown(totals) + missing
        self._left_out(metadata)
        self._missing_exits += totals.uncounted + totals.not_sampled_of_all
        self._seconds += seconds

    def _left_out(self, metadata: Metadata) -> None:
        if (sampling := metadata.sampling) is not None:
            self._sampled |= not sampling.exact
            self._gaps |= sampling.every > 1 or bool(sampling.steps)

    def verdict(self, metadata: Metadata | None = None, seconds: float = 0.0) -> Verdict:
        """Return what came of it.

        Args:
            metadata: of a recording that has not ended yet.
            seconds: that this one lasted until now.
        """
        seconds += self._seconds
        totals = metadata.totals if metadata else None
        if metadata:
            self._left_out(metadata)
        uncertain = self._uncertain + (_unknown(totals) if totals else 0)
        missing = self._missing_exits
        if totals:
            missing += totals.uncounted + totals.not_sampled_of_all
        limit = self._condition.limit
        value, least, most = self._bounds(uncertain, missing, seconds)
        if limit.exceeded(least):
            outcome = Outcome.MET
        elif limit.exceeded(most):
            outcome = Outcome.UNDECIDED
        else:
            outcome = Outcome.NOT_MET
        return Verdict(
            condition=self._condition,
            outcome=outcome,
            matched=self._matched,
            uncertain=uncertain,
            exits=self._exits if limit.measure is Measure.SHARE else None,
            value=value,
            seconds=seconds,
            classes=tuple((name, count) for name, count in self._classes.most_common() if name is not None),
            sampled=self._sampled,
            gaps=self._gaps,
        )

    def _bounds(self, uncertain: int, missing: int, seconds: float) -> tuple[float, float, float]:
        """Return the value, and between what it would be if everything were known."""
        matched, most = self._matched, math.inf if self._gaps else self._matched + uncertain
        match self._condition.limit.measure:
            case Measure.COUNT:
                return matched, matched, most
            case Measure.RATE:
                of = seconds or 1.0
                return matched / of, matched / of, most / of
            case Measure.SHARE:
                if matched > self._exits:
                    # A thread that changes its name on the way is slow in one class and counted in another.
                    return 1.0, 0.0, 1.0
                of = self._exits or 1
                least = 0.0 if self._gaps else matched / (of + missing + uncertain)
                return matched / of, least, min(most / of, 1.0)


def _unknown(totals: Totals) -> int:
    return totals.losses.total + totals.not_sampled


class Watch:
    """Takes the rows of one recording for a `Judge`."""

    def __init__(self, judge: Judge, bound: Bound, metadata: Metadata) -> None:
        """Take rows for `judge`; see `Judge.watch`."""
        self._judge = judge
        self._bound = bound
        self._meanings = Meanings(metadata.layout, metadata.contexts)
        self._masks = {context: frozenset(self._meanings.mask_bits(context)) for context in Context}
        self._share = bound.condition.limit.measure is Measure.SHARE
        self._dimensions = tuple(Field(name) for name in bound.condition.dimensions)

    def add(self, rows: Iterable[ExitClass]) -> None:
        """Take rows."""
        for row in rows:
            if row.context not in self._bound.contexts:
                continue
            path, _, triggered = self._meanings.of(row)
            matching = path is ExitPath.SLOW or (path is ExitPath.FAST and self._bound.fast_too)
            counting = self._share and (path is ExitPath.ALL) == self._meanings.slow_only(row.context)
            if matching or counting:
                values: Values = {field: frozenset({_value(row, field)}) for field in self._dimensions}
                values[Field.CONTEXT] = frozenset({str(row.context)})
                if counting:
                    self._count_all(row, values)
                if matching:
                    self._match(row, path, triggered, values)

    def _count_all(self, row: ExitClass, values: Values) -> None:
        """Count exits that would have matched with some word or other."""
        facts = Facts(values=values, triggers=self._masks[row.context], triggers_known=False)
        if self._bound.test(facts) is not False:
            self._judge.compare_with(row.count)

    def _match(self, row: ExitClass, path: ExitPath, triggered: tuple[Trigger, ...], values: Values) -> None:
        known = path is ExitPath.FAST or bool(triggered)
        seen: Values = {**values, Field.PATH: frozenset({str(path)})}
        if known:
            seen |= {Field.WORD: frozenset({row.word}), Field.SYSCALL_WORK: frozenset({row.syscall_work})}
        triggers = frozenset(triggered) if known else self._masks[row.context]
        found = self._bound.test(Facts(values=seen, triggers=triggers, triggers_known=known))
        if found:
            shown = tuple((str(field), _shown(row, field)) for field in self._dimensions)
            self._judge.count(Matched(row.context, path, triggered, shown), row.count)
        elif found is None:
            self._judge.doubt(row.count)


def _value(row: ExitClass, field: Field) -> Value:
    if field is Field.SYSCALL:
        return None if row.syscall is None or row.abi is None else (row.abi, row.syscall)
    value: Value = getattr(row, field)
    return value


def _shown(row: ExitClass, field: Field) -> str:
    if field is Field.SYSCALL:
        return "none" if row.syscall is None or row.abi is None else syscalls.name(row.syscall, row.abi)
    return str(getattr(row, field))
