"""What a pair of words means to an exit, looked up once for each pair: for those who count live."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.recording.exits import ExitClass
from tifbpf.recording.metadata import Coverage
from tifbpf.recording.paths import ExitPath, classify


class Trigger(NamedTuple):
    """A bit of a work mask that was set."""

    word: Word
    bit: str


class Meaning(NamedTuple):
    """What exits of one class were."""

    path: ExitPath
    tier: str | None
    """Tiers joined by "+"; None unless slow, and where the bits were gone when the route looked."""
    triggers: tuple[Trigger, ...]


class Meanings:
    """What the words of one kernel mean, by how its contexts are observed."""

    def __init__(self, layout: Layout, contexts: Iterable[Coverage]) -> None:
        """Take what a recording's metadata says."""
        self._layout = layout
        self._slow_only = {coverage.context for coverage in contexts if coverage.slow_only}
        self._known: dict[tuple[Context, int | None, int | None], Meaning] = {}

    def slow_only(self, context: Context) -> bool:
        """Whether only slow exits of that context are seen, all of them being counted apart or not at all."""
        return context in self._slow_only

    def of(self, row: ExitClass) -> Meaning:
        """Return what the exits of `row` were."""
        words = (row.context, row.word, row.syscall_work)
        if words not in self._known:
            path, tier = classify(self._layout, *words, slow_only=self.slow_only(row.context))
            self._known[words] = Meaning(path, tier, self._triggers(*words))
        return self._known[words]

    def mask_bits(self, context: Context) -> tuple[Trigger, ...]:
        """Return all bits of the work masks of `context`, lowest first."""
        return tuple(
            Trigger(word, name)
            for word in Word
            for name in self._layout.names(word, self._layout.work_mask(context, word))
        )

    def _triggers(self, context: Context, word: int | None, syscall_work: int | None) -> tuple[Trigger, ...]:
        return tuple(
            Trigger(which, name)
            for which, value in ((Word.TIF, word), (Word.SYSCALL_WORK, syscall_work))
            for name in self._layout.names(which, (value or 0) & self._layout.work_mask(context, which))
        )


def known_bits(coverage: Coverage, bits: Iterable[Trigger], taken_out: Iterable[Trigger]) -> list[Trigger]:
    """Return those of `bits` whose count is known there, so that 0 of them is an answer.

    Args:
        coverage: of the context.
        bits: the bits of its work masks.
        taken_out: bits that our own hooks set, which nobody can tell from another's.
    """
    if coverage.route is None:
        return []
    unknown = {Trigger(bit.word, bit.bit) for bit in coverage.unseen} | set(taken_out)
    return [bit for bit in bits if bit not in unknown]
