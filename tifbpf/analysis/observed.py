"""Where and how long each context was observed: what rates and shares are taken of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tifbpf.analysis.classes import BitName
from tifbpf.analysis.rows import Rows
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Coverage
from tifbpf.recording.paths import ExitPath

if TYPE_CHECKING:
    import pandas as pd


class Observed:
    """The contexts that some recordings covered, and those of which they counted all exits.

    Seconds are seconds of recording: those of two hosts, or of two recordings of one host, add up, so that a
    rate is per host and second whatever was recorded side by side.
    """

    def __init__(self, rows: Rows) -> None:
        """Look at the recordings of `rows`."""
        self._coverage: dict[tuple[int, Context], Coverage] = {}
        self._taken_out: set[BitName] = set()
        self._duration_ns: dict[int, int] = {}
        self._exits: dict[tuple[int, Context], Counter[ExitPath]] = {}
        for place in rows.places:
            self._duration_ns[place] = rows.recordings[place].duration_ns
            metadata = rows.recordings[place].metadata
            for coverage in metadata.contexts:
                self._coverage[place, coverage.context] = coverage
                self._exits[place, coverage.context] = Counter()
            self._taken_out |= {
                BitName(effect.word, effect.bit) for effect in metadata.observer_effects if effect.ours
            }
        sums = rows.values(["place", "context", "path"])
        for place, context, path, count in zip(
            sums["place"], sums["context"], sums["path"], sums["count"], strict=True
        ):
            self._exits[place, Context(context)][ExitPath(path)] += count

    def covered(self, context: Context) -> bool:
        """Whether any of them covered it."""
        return any(self.covered_in(place, context) for place in self._duration_ns)

    def covered_in(self, place: int, context: str) -> bool:
        """Whether that recording covered it."""
        return self._coverage[place, Context(context)].route is not None

    def counted(self, context: Context) -> bool:
        """Whether any of them counted all its exits, and not only the slow ones."""
        return any(self.counted_in(place, context) for place in self._duration_ns)

    def counted_in(self, place: int, context: str) -> bool:
        """Whether that recording counted all exits of the context; False where the count cannot be right."""
        coverage = self._coverage[place, Context(context)]
        return (
            coverage.route is not None
            and coverage.denominator is not None
            and not self.undercounted_in(place, context)
        )

    def undercounted_in(self, place: int, context: str) -> bool:
        """Whether what should have counted all its exits counted fewer than there were slow ones."""
        coverage = self._coverage[place, Context(context)]
        exits = self._exits[place, Context(context)]
        return (
            coverage.slow_only
            and coverage.denominator is not None
            and exits[ExitPath.ALL] < exits[ExitPath.SLOW]
        )

    def slow_only_in(self, place: int, context: Context) -> bool:
        """Whether the route saw slow exits only there, so that all exits are counted beside them."""
        return self._coverage[place, context].slow_only

    def words_seen_in(self, place: int, context: Context) -> bool:
        """Whether the words of all its exits were seen there, and not of the slow ones alone."""
        return self.counted_in(place, context) and not self._coverage[place, context].slow_only

    def exits_in(self, place: int, context: Context) -> int:
        """All exits of the context in that recording, where `counted_in`."""
        exits = self._exits[place, context]
        if self._coverage[place, context].slow_only:
            return exits[ExitPath.ALL]
        return exits[ExitPath.FAST] + exits[ExitPath.SLOW]

    def all_exits(self) -> int:
        """All exits of the contexts and recordings that counted them."""
        return sum(self.exits_in(*pair) for pair in self.pairs() if self.counted_in(*pair))

    def unseen_in(self, place: int, context: Context, bit: BitName) -> bool:
        """Whether the route could not see exits there that were slow for this bit alone."""
        return any((unseen.word, unseen.bit) == bit for unseen in self._coverage[place, context].unseen)

    def taken_out(self, bit: BitName) -> bool:
        """Whether one of them took the bit out of its words, because its own hook sets it everywhere."""
        return bit in self._taken_out

    def pairs(self) -> Iterator[tuple[int, Context]]:
        """Yield each recording's place with each context that it covered."""
        return (pair for pair in self._coverage if self.covered_in(*pair))

    def seconds(self, context: Context) -> float:
        """Seconds for which the context was covered."""
        return self._seconds_covered[context]

    def seconds_counted(self, context: Context) -> float:
        """Seconds for which all its exits were counted."""
        return self._seconds_counted[context]

    def all_seconds(self) -> float:
        """Seconds of all recordings."""
        return self._seconds(self._duration_ns)

    @cached_property
    def _seconds_covered(self) -> dict[Context, float]:
        return {
            context: self._seconds(place for place in self._duration_ns if self.covered_in(place, context))
            for context in Context
        }

    @cached_property
    def _seconds_counted(self) -> dict[Context, float]:
        return {
            context: self._seconds(place for place in self._duration_ns if self.counted_in(place, context))
            for context in Context
        }

    def _seconds(self, places: Iterable[int]) -> float:
        return sum(self._duration_ns[place] for place in places) / 1e9

    def adds_up_in(self, place: int, context: str, path: str) -> bool:
        """Whether such rows are what counts all exits there."""
        slow_only = self._coverage[place, Context(context)].slow_only
        return self.counted_in(place, context) and (path == ExitPath.ALL) == slow_only

    def exits(self, frame: pd.DataFrame) -> pd.Series:
        """Return what each row adds to all exits: its count, or NA if that is not what counts them.

        Args:
            frame: with the columns recording, context, path and count.
        """
        triples = zip(frame["recording"], frame["context"], frame["path"], strict=True)
        counting: Any = [self.adds_up_in(*triple) for triple in triples]
        return frame["count"].where(counting)

    def slow_counted(self, frame: pd.DataFrame) -> pd.Series:
        """Return each row's slow exits, NA where not all exits of its context were counted.

        Args:
            frame: with the columns recording, context and slow.
        """
        pairs = zip(frame["recording"], frame["context"], strict=True)
        counted: Any = [self.counted_in(*pair) for pair in pairs]
        return frame["slow"].where(counted)
