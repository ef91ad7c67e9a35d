"""One side of a comparison: what its recordings count in each interval, and what they cannot tell."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from tifbpf.analysis import frequency
from tifbpf.analysis.classes import BitName, classes
from tifbpf.analysis.frames import name_syscalls, name_words, plain
from tifbpf.analysis.frames import values as frame_values
from tifbpf.analysis.intervals import Intervals
from tifbpf.analysis.naming import NONE_SET
from tifbpf.analysis.ratios import Sums
from tifbpf.analysis.recordings import Recordings
from tifbpf.engines.query import Among
from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.recording.paths import ExitPath

_UNNAMED = "bit"
"""How the name of a bit without a name begins; a number follows."""


class WordKey(NamedTuple):
    """Both words of an exit by the names of their bits, as recordings of different layouts share them."""

    context: str
    tif: str
    syscall_work: str | None
    """None where the kernel has no such word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """Slow exits of some kind in each interval, and the exits that they are among, by context."""

    slow: Mapping[Context, Sums]
    exits: Mapping[Context, Sums]
    contexts: tuple[Context, ...]
    """Where their number is known; a context that is not in `slow` had none."""
    why: str = ""
    """Why they are not known; "" where they are."""


class Side:
    """The recordings of one side."""

    def __init__(self, recordings: Recordings, contexts: Sequence[Context]) -> None:
        """Look at some contexts of `recordings`, which all of them cover."""
        self._recordings = recordings.recordings
        self._layouts = [metadata.layout for metadata in recordings.metadata]
        self._sums = recordings.rows
        self._contexts = tuple(contexts)
        self.observed = recordings.observed
        self.intervals = Intervals(recordings.rows)

    @cached_property
    def stands_for(self) -> float:
        """For how many exits each that was looked at was counted, on average over what was counted."""
        if not any(recording.estimated for recording in self._recordings):
            return 1.0
        parts = self._sums.parts(["context"])
        counted = float(parts["count"].sum())
        return 1 + float(parts["spread"].sum()) / counted if counted else 1.0

    def expect(self, dimensions: Sequence[str]) -> None:
        """Have what all exits of some dimensions, and of each interval, come to summed in one pass."""
        alike = ["recording", "context", "path"]
        by = [[*alike, *frequency.columns_of([name])] for name in dimensions]
        step_ns = self.intervals.step_ns
        self._sums.expect([[*alike, "place", self.intervals.key], *by], step_ns=step_ns)

    def _rows(self, *keys: str, among: Among | None = None, slow_only: bool = False) -> pd.DataFrame:
        """Return `count` by recording, place, interval, context, path and `keys`."""
        wanted = ["recording", "place", self.intervals.key, "context", "path", *keys]
        step_ns = self.intervals.step_ns
        if among is None:
            frame = self._sums.summed(wanted, step_ns=step_ns, slow_only=slow_only)
        else:
            frame = self._sums.among(wanted, among, step_ns=step_ns)
        found: pd.DataFrame = frame[frame["context"].isin([str(context) for context in self._contexts])]
        return found

    def _by_context(self, frame: pd.DataFrame, values: pd.Series) -> dict[Context, Sums]:
        return self.intervals.sums(frame, values, map(Context, frame["context"]))

    @cached_property
    def exits(self) -> dict[Context, Sums]:
        """All exits, of the contexts that counted them."""
        frame = self._rows()
        return self._by_context(frame, self.observed.exits(frame))

    def total(self) -> Tallied:
        """Return all slow exits."""
        frame = self._rows()
        slow = frame[frame["path"] == ExitPath.SLOW]
        found = self._by_context(slow, slow["count"])
        return Tallied(slow=found, exits=self.exits, contexts=self._contexts)

    @cached_property
    def triggers(self) -> dict[BitName, dict[Context, Sums]]:
        """The exits that each bit made slow, of the bits that any did."""
        slow = self._rows("word", "syscall_work", slow_only=True)
        found = [
            (row, (trigger, exits.context))
            for row, exits in enumerate(classes(frame_values(slow), self._recordings))
            for trigger in exits.decoded.triggers
        ]
        # An exit for which two bits triggered is in both.
        each = slow.iloc[[row for row, _ in found]]
        result: defaultdict[BitName, dict[Context, Sums]] = defaultdict(dict)
        sums = self.intervals.sums(each, each["count"], [key for _, key in found])
        for (trigger, context), series in sums.items():
            result[trigger][context] = series
        return dict(result)

    def bit(self, bit: BitName) -> Tallied:
        """Return the exits that `bit` made slow, where that can be told."""
        contexts, why = self._telling(bit)
        return Tallied(slow=self.triggers.get(bit, {}), exits=self.exits, contexts=contexts, why=why)

    def _telling(self, bit: BitName) -> tuple[tuple[Context, ...], str]:
        """Return the contexts in which `bit` can be told to have triggered or not; if none, why."""
        for layout in self._layouts:
            if not _has(layout, bit.word, bit.bit):
                return (), f"layout {layout.name} has no such bit"
        if self.observed.taken_out(bit):
            return (), "our own hook sets it on every task"
        testing = [
            context
            for context in self._contexts
            if all(bit.bit in _mask(layout, context, bit.word) for layout in self._layouts)
        ]
        if not testing:
            return (), f"in no work mask of {' or '.join(self._contexts)} exits"
        telling = tuple(
            context
            for context in testing
            if not any(self.observed.unseen_in(place, context, bit) for place in range(len(self._recordings)))
        )
        return telling, "" if telling else "the route does not see it"

    def mask_bits(self) -> set[BitName]:
        """Return the bits of the work masks of any of the contexts."""
        return {
            BitName(word, name)
            for layout in self._layouts
            for context in self._contexts
            for word in Word
            for name in _mask(layout, context, word)
        }

    @cached_property
    def words(self) -> dict[WordKey, Sums]:
        """Slow exits by their words."""
        named = name_words(self._rows("word", "syscall_work", slow_only=True), self._recordings)
        keys = [
            WordKey(context, tif, None if pd.isna(work) else work)
            for context, tif, work in zip(named["context"], named["tif"], named["syscall_work"], strict=True)
        ]
        return self.intervals.sums(named, named["count"], keys)

    def word(self, key: WordKey, counted: Sequence[Context]) -> Tallied:
        """Return the slow exits with these words; they are among all exits of the `counted` contexts."""
        context = Context(key.context)
        why = self._why_no_word(key)
        return Tallied(
            slow={context: self.words[key]} if key in self.words else {},
            exits={context: self.added(self.exits, counted)},
            contexts=() if why else (context,),
            why=why,
        )

    def _why_no_word(self, key: WordKey) -> str:
        names = [
            BitName(word, name)
            for word, joined in ((Word.TIF, key.tif), (Word.SYSCALL_WORK, key.syscall_work))
            for name in (joined or NONE_SET).split("|")
            if name != NONE_SET
        ]
        for layout in self._layouts:
            if missing := [bit for bit in names if not _has(layout, bit.word, bit.bit)]:
                return f"layout {layout.name} has no {missing[0].bit}"
            if (key.syscall_work is None) == any(bit.word is Word.SYSCALL_WORK for bit in layout.bits):
                return f"layout {layout.name} has {'no' if key.syscall_work is not None else 'a'} second word"
        for place, layout in enumerate(self._layouts):
            triggers = [bit for bit in names if bit.bit in _mask(layout, Context(key.context), bit.word)]
            if triggers and all(
                self.observed.unseen_in(place, Context(key.context), bit) for bit in triggers
            ):
                return "the route does not see it"
        return ""

    def slow_by(self, dimension: str) -> dict[Hashable, int]:
        """Return how many slow exits each value of a dimension had; None is that of those that have none."""
        found: Counter[Hashable] = Counter()
        frame = self._of_dimension(dimension)
        for value, path, count in zip(
            *map(plain, (frame[dimension], frame["path"], frame["count"])), strict=True
        ):
            found[value] += count if path == ExitPath.SLOW else 0
        return found

    def _of_dimension(self, dimension: str) -> pd.DataFrame:
        """Return `count` by context, path and a dimension, and the columns that it is made of as `raw`."""
        columns = frequency.columns_of([dimension])
        frame = self._sums.summed(["recording", "context", "path", *columns])
        frame = frame[frame["context"].isin([str(context) for context in self._contexts])]
        raw = list(zip(*(plain(frame[column]) for column in columns), strict=True))
        return name_syscalls(frame).assign(raw=pd.Series(raw, index=frame.index, dtype=object))

    def by(self, dimension: str, values: Collection[Hashable]) -> dict[Hashable, Tallied]:
        """Return slow exits by some values of a dimension; None for those that have none."""
        every = self._of_dimension(dimension)
        wanted = [value in values for value in plain(every[dimension])]
        columns = frequency.columns_of([dimension])
        among = Among(tuple(columns), tuple(dict.fromkeys(every["raw"][wanted])))
        frame = name_syscalls(self._rows(*columns, among=among))
        frame["exits"] = self.observed.exits(frame)
        keys = list(zip(plain(frame[dimension]), map(Context, frame["context"]), strict=True))
        slow = frame["count"].where(frame["path"] == ExitPath.SLOW, 0)
        found: defaultdict[Hashable, tuple[dict[Context, Sums], dict[Context, Sums]]]
        found = defaultdict(lambda: ({}, {}))
        for number, series in enumerate((slow, frame["exits"])):
            for (value, context), sums in self.intervals.sums(frame, series, keys).items():
                found[value][number][context] = sums
        return {
            value: Tallied(slow=slow_of, exits=exits_of, contexts=self._contexts)
            for value, (slow_of, exits_of) in found.items()
        }

    def none(self) -> Tallied:
        """Return the slow exits of a kind that never was."""
        return Tallied(slow={}, exits={}, contexts=self._contexts)

    def added(self, sums: Mapping[Context, Sums], contexts: Sequence[Context]) -> Sums:
        """Return the sum over some contexts, for each interval."""
        found = np.zeros(len(self.intervals))
        for context in contexts:
            found = found + sums.get(context, 0.0)
        return found


def _mask(layout: Layout, context: Context, word: Word) -> tuple[str, ...]:
    return layout.names(word, layout.work_mask(context, word))


def _has(layout: Layout, word: Word, name: str) -> bool:
    """Whether the layout has a bit of that name; one without a name, such as bit19, has the number."""
    number = name.removeprefix(_UNNAMED)
    if name != number and number.isdecimal():
        return layout.at(word, int(number)) is None
    return layout.named(name, word) is not None
