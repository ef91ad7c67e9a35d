"""Exits by bit, word, process and system call: in the last interval, and since the start."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tifbpf.layouts import syscalls
from tifbpf.layouts.model import Context, Word
from tifbpf.recorder.session import Flush
from tifbpf.recording.exits import ExitClass
from tifbpf.recording.metadata import Coverage, Metadata
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.triggers import Meaning, Meanings, Trigger, known_bits

MOST_PROCESSES = 4096
"""So many are kept apart since the start; the rest, those with the fewest slow exits, are one line."""


class View(StrEnum):
    """By what exits are kept apart."""

    BITS = "bits"
    WORDS = "words"
    PROCESSES = "processes"
    SYSCALLS = "syscalls"


@dataclass(frozen=True, slots=True)
class Process:
    """A thread's name in a process; no pid: all that had no line of their own."""

    pid: int | None
    comm: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Both words of exits from one context, by name."""

    context: Context
    tif: tuple[str, ...]
    syscall_work: tuple[str, ...]


OTHERS = Process(None, "others")
GONE = Trigger(Word.TIF, "")
"""In place of a bit: the work was done, and its bit cleared, before the route looked."""


@dataclass(slots=True)
class Line:
    """Exits that have something in common."""

    exits: int = 0
    """Fast and slow, from contexts where all are counted."""
    slow: int = 0
    slow_counted: int = 0
    """Slow ones from contexts where all are counted: what may be divided by `exits`."""
    sole: int = 0
    """By bit: exits that it alone made slow."""
    triggers: Counter[Trigger] = field(default_factory=Counter)

    def merge(self, other: Line) -> None:
        """Add another line to this one."""
        self.exits += other.exits
        self.slow += other.slow
        self.slow_counted += other.slow_counted
        self.sole += other.sole
        self.triggers.update(other.triggers)

    @property
    def share(self) -> float | None:
        """Of all exits, those that were slow; None where all are not known.

        What counts all exits need not be what sees the slow ones: a process that was in the kernel already
        when counting began may have more of these.
        """
        return self.slow_counted / self.exits if self.exits >= max(self.slow_counted, 1) else None


class Span:
    """A length of time."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seconds = 0.0
        self.all = Line()
        self.lines: dict[View, defaultdict[Hashable, Line]] = {view: defaultdict(Line) for view in View}

    def merge(self, other: Span) -> None:
        """Add another span to this one."""
        self.seconds += other.seconds
        self.all.merge(other.all)
        for view, lines in other.lines.items():
            for key, line in lines.items():
                self.lines[view][key].merge(line)

    def bound(self, most: int = MOST_PROCESSES) -> None:
        """Fold processes into one line when there are twice as many as may be kept apart."""
        lines = self.lines[View.PROCESSES]
        if len(lines) < 2 * most:
            return
        kept = sorted((key for key in lines if key != OTHERS), key=lambda key: lines[key].slow, reverse=True)
        for key in kept[most:]:
            lines[OTHERS].merge(lines.pop(key))


class Account:
    """All of a session."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.current = Span()
        """Since the last `turn`."""
        self.last = Span()
        """The interval that `turn` ended."""
        self.total = Span()
        """All that ended."""
        self.metadata: Metadata | None = None
        self.known: frozenset[Trigger] = frozenset()
        """Bits of work masks whose count is known in every context that tests them, be it 0."""
        self.unknown: frozenset[Trigger] = frozenset()
        """The other bits of work masks: a route does not see them, or they are our own."""
        self._meanings: Meanings | None = None

    def add(self, flush: Flush) -> None:
        """Add `flush` to the current interval."""
        self.metadata = metadata = flush.metadata
        if self._meanings is None:
            self._meanings = Meanings(metadata.layout, metadata.contexts)
            self._learn(metadata, self._meanings)
        counted = {coverage.context for coverage in metadata.contexts if coverage.denominator is not None}
        span = self.current
        span.seconds += flush.interval_ns / 1e9
        for row in flush.rows:
            meaning = self._meanings.of(row)
            # Of a context whose route sees slow exits only, all exits are in rows of their own.
            of_all = (meaning.path is ExitPath.ALL) == self._meanings.slow_only(row.context)
            line = Line(exits=row.count if of_all and row.context in counted else 0)
            if meaning.path is ExitPath.SLOW:
                line.slow = row.count
                line.slow_counted = row.count if row.context in counted else 0
                line.triggers.update(dict.fromkeys(meaning.triggers, row.count))
                self._add_slow(span, row, meaning, metadata)
            span.all.merge(line)
            span.lines[View.PROCESSES][Process(row.pid, row.comm or "")].merge(line)
            span.lines[View.SYSCALLS][_syscall(row)].merge(line)

    def turn(self) -> None:
        """End the current interval, and begin the next one."""
        self.last, self.current = self.current, Span()
        self.total.merge(self.last)
        self.total.bound()

    def frozen(self) -> Account:
        """Return what it is now, which `turn` does not change."""
        twin = copy.copy(self)
        twin.total = Span()
        twin.total.merge(self.total)
        return twin

    def _add_slow(self, span: Span, row: ExitClass, meaning: Meaning, metadata: Metadata) -> None:
        for bit in meaning.triggers or (GONE,):
            line = span.lines[View.BITS][bit]
            line.slow += row.count
            line.sole += row.count if len(meaning.triggers) == 1 else 0
        names = metadata.layout.names
        pair = Pair(
            row.context, names(Word.TIF, row.word or 0), names(Word.SYSCALL_WORK, row.syscall_work or 0)
        )
        span.lines[View.WORDS][pair].slow += row.count

    def _learn(self, metadata: Metadata, meanings: Meanings) -> None:
        taken_out = [Trigger(effect.word, effect.bit) for effect in metadata.observer_effects if effect.ours]
        tested: dict[Context, tuple[Trigger, ...]] = {
            coverage.context: meanings.mask_bits(coverage.context) for coverage in _covered(metadata.contexts)
        }
        known = _known(metadata.contexts, tested, taken_out)
        everything = frozenset(bit for bits in tested.values() for bit in bits)
        self.unknown = frozenset(
            bit
            for bit in everything
            if any(bit in bits and bit not in known[context] for context, bits in tested.items())
        )
        self.known = everything - self.unknown


def _covered(contexts: Iterable[Coverage]) -> list[Coverage]:
    return [coverage for coverage in contexts if coverage.route is not None]


def _known(
    contexts: Iterable[Coverage], tested: Mapping[Context, tuple[Trigger, ...]], taken_out: list[Trigger]
) -> dict[Context, list[Trigger]]:
    return {
        coverage.context: known_bits(coverage, tested[coverage.context], taken_out)
        for coverage in _covered(contexts)
    }


def _syscall(row: ExitClass) -> str:
    if row.syscall is None or row.abi is None:
        return f"({row.context})"
    return syscalls.name(row.syscall, row.abi)
