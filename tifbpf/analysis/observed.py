"""Where and how long each context was observed: what rates and shares are taken of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tifbpf.layouts.model import Context, Word
from tifbpf.recording.metadata import Coverage
from tifbpf.recording.reader import Recording


class Observed:
    """The contexts that some recordings covered, and those of which they counted all exits.

    Seconds are seconds of recording: those of two hosts, or of two recordings of one host, add up, so that a
    rate is per host and second whatever was recorded side by side.
    """

    def __init__(self, recordings: Sequence[Recording], places: Iterable[int] | None = None) -> None:
        """Look at those `recordings` whose places are given, at all of them by default."""
        self._coverage: dict[tuple[int, Context], Coverage] = {}
        self._taken_out: set[tuple[Word, str]] = set()
        self._duration_ns: dict[int, int] = {}
        for place in range(len(recordings)) if places is None else places:
            self._duration_ns[place] = recordings[place].duration_ns
            metadata = recordings[place].metadata
            for coverage in metadata.contexts:
                self._coverage[place, coverage.context] = coverage
            self._taken_out |= {
                (effect.word, effect.bit) for effect in metadata.observer_effects if effect.ours
            }

    def covered(self, context: Context) -> bool:
        """Whether any of them covered it."""
        return any(self._covered(place, context) for place in self._duration_ns)

    def counted(self, context: Context) -> bool:
        """Whether any of them counted all its exits, and not only the slow ones."""
        return any(self.counted_in(place, context) for place in self._duration_ns)

    def counted_in(self, place: int, context: Context) -> bool:
        """Whether that recording counted all exits of the context."""
        coverage = self._coverage[place, context]
        return coverage.route is not None and coverage.denominator is not None

    def taken_out(self, word: Word, bit: str) -> bool:
        """Whether one of them took the bit out of its words, because its own hook sets it everywhere."""
        return (word, bit) in self._taken_out

    def seconds(self, context: Context) -> float:
        """Seconds for which the context was covered."""
        return self._seconds(place for place in self._duration_ns if self._covered(place, context))

    def seconds_counted(self, context: Context) -> float:
        """Seconds for which all its exits were counted."""
        return self._seconds(place for place in self._duration_ns if self.counted_in(place, context))

    def _covered(self, place: int, context: Context) -> bool:
        return self._coverage[place, context].route is not None

    def _seconds(self, places: Iterable[int]) -> float:
        return sum(self._duration_ns[place] for place in places) / 1e9
