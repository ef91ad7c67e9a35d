"""`Comparison`: what changed between two sets of recordings, how surely, and what cannot be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from tifbpf.analysis import ratios
from tifbpf.analysis.classes import BitName
from tifbpf.analysis.comparable import Difference, differences
from tifbpf.analysis.ratios import Ratio, Verdict
from tifbpf.analysis.recordings import Recordings, read
from tifbpf.analysis.sides import Side, Tallied
from tifbpf.errors import InputRepeatedError, NotComparableError, TifbpfError
from tifbpf.layouts.model import Context, Word
from tifbpf.text import printable

CONFIDENCE = 0.95
"""With which all intervals of one table hold together."""
BAND = 0.1
"""The greatest change, up or down, that counts as none."""

_Pairs: TypeAlias = dict[tuple[Hashable, ...], tuple[Tallied, Tallied]]
"""What both sides have, by the key of the line."""

_VALUES = ("events", "value", "low", "high")
_COLUMNS = (
    *(f"{side}_{value}" for side in ("before", "after") for value in _VALUES),
    *("change", "change_low", "change_high", "verdict", "why"),
)


class Measure(StrEnum):
    """What is compared."""

    SHARE = "share"
    """Of exits."""
    RATE = "rate"
    """A second."""


def compare(
    before: str | Path | Iterable[str | Path],
    after: str | Path | Iterable[str | Path],
    *,
    anyway: bool = False,
    band: float = BAND,
) -> Comparison:
    """Read and compare recordings; several on one side add up.

    Args:
        before: one or more recordings, as `tifbpf.read` takes them.
        after: the same.
        anyway: compare also where they did not see the same; `Comparison.differences` then says what.
        band: the greatest change, up or down, that counts as none; 0.1 is 10 %.

    Raises:
        NotComparableError: they did not see the same, or no context in common.
        TifbpfError: one cannot be read (see `tifbpf.read`), or is on both sides.
    """
    return Comparison(read(before), read(after), anyway=anyway, band=band)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a table: a ratio on both sides, None where it is not known."""

    key: tuple[Hashable, ...]
    before: Ratio | None
    after: Ratio | None
    why: str


class Comparison:
    """What changed from some recordings to others.

    NA means not known: a bit that one kernel does not have, or whose exits the route does not see, is not 0
    there. Only contexts that all recordings cover are compared, and shares only where all of them counted all
    exits.

    The methods return frames with the columns before_events (slow exits), before_value (a share between 0 and
    1, or a rate per second of recording), before_low, before_high (its own 95 % interval); the same of after;
    change (after / before - 1; NA where there were none before), change_low, change_high (its interval; NA:
    it has no upper end, or there are too few intervals for one), verdict (`tifbpf.analysis.ratios.Verdict`),
    why (why not comparable).
    The intervals of the changes in one frame with one measure hold all together with a probability of 95 %
    (Bonferroni), so that each verdict follows from what is shown. `tifbpf.analysis.ratios` says how they are
    made.

    Attributes:
        before: the one side.
        after: the other.
        band: the greatest change, up or down, that counts as none.
        differences: in what the recordings differ, what forbids a comparison first.
        contexts: those that all recordings cover.
        counted: those of them of which all recordings counted all exits.
    """

    def __init__(
        self, before: Recordings, after: Recordings, *, anyway: bool = False, band: float = BAND
    ) -> None:
        """Compare; see `compare`."""
        self.before, self.after, self.band = before, after, band
        _check_distinct(before, after)
        self.differences = differences(before.metadata, after.metadata)
        if not anyway:
            _check_comparable(self.differences)
        everything = [*before.metadata, *after.metadata]
        covered = [
            {coverage.context for coverage in metadata.contexts if coverage.route is not None}
            for metadata in everything
        ]
        self.contexts = tuple(context for context in Context if all(context in some for some in covered))
        if not self.contexts:
            raise NotComparableError("no context is covered by all recordings; record both sides in one way")
        self._sides = (Side(before, self.contexts), Side(after, self.contexts))
        self.counted = tuple(
            context
            for context in self.contexts
            if all(
                side.observed.counted_in(place, context)
                for side, recordings in zip(self._sides, (before, after), strict=True)
                for place in range(len(recordings.recordings))
            )
        )
        self._by: dict[str, dict[Hashable, int]] = {}
        recorded = [set(metadata.dimensions) for metadata in everything]
        self.dimensions = tuple(name for name in before.dimensions if all(name in some for some in recorded))

    @property
    def intervals(self) -> tuple[int, int]:
        """How many intervals there are before and after."""
        return len(self._sides[0].intervals), len(self._sides[1].intervals)

    def total(self) -> pd.DataFrame:
        """Return all slow exits. Index measure."""
        return self._frame({(): (self._sides[0].total(), self._sides[1].total())}, [])

    def bits(self) -> pd.DataFrame:
        """Return the exits that each bit made slow, of the bits that any did, commonest first.

        Index (measure, word, bit). A share is of all exits of the contexts that test the bit.
        """
        triggered = dict.fromkeys(bit for side in self._sides for bit in side.triggers)
        pairs: _Pairs = {
            (str(bit.word), bit.bit): (self._sides[0].bit(bit), self._sides[1].bit(bit)) for bit in triggered
        }
        return self._frame(_commonest(pairs, None), ["word", "bit"])

    def idle_bits(self) -> list[BitName]:
        """Return the bits of both sides' work masks that could have been seen to trigger, and never did."""
        triggered = {bit for side in self._sides for bit in side.triggers}
        before, after = ({bit for bit in side.mask_bits() if side.bit(bit).contexts} for side in self._sides)
        return sorted(before & after - triggered, key=lambda bit: (list(Word).index(bit.word), bit.bit))

    def words(self, top: int | None = 10) -> pd.DataFrame:
        """Return the words of slow exits, the `top` commonest.

        Index (measure, context, tif, syscall_work). A share is of all exits of all contexts.
        """
        return self._frame(_commonest(self._words, top), ["context", "tif", "syscall_work"])

    @cached_property
    def _words(self) -> _Pairs:
        before, after = self._sides
        keys = {**before.words, **after.words}
        return {tuple(key): (before.word(key, self.counted), after.word(key, self.counted)) for key in keys}

    def by(self, dimension: str, top: int | None = 10) -> pd.DataFrame:
        """Return slow exits by the values of a dimension, the `top` commonest.

        Index (measure, `dimension`). A share is of the exits with that value.

        Raises:
            TifbpfError: not all recordings have the dimension.
        """
        wanted = list(self._slow_by(dimension))[:top]
        before, after = self._sides
        # By interval the commonest alone: a fleet has millions of pairs of an interval and a process.
        found = before.by(dimension, wanted), after.by(dimension, wanted)
        pairs: _Pairs = {
            (value,): (found[0].get(value, before.none()), found[1].get(value, after.none()))
            for value in wanted
        }
        return self._frame(pairs, [dimension])

    def _slow_by(self, dimension: str) -> dict[Hashable, int]:
        """Return the slow exits of both sides by the values of a dimension, the commonest first."""
        if dimension not in self.dimensions:
            raise TifbpfError(f"not all recordings have {dimension}; record both sides with --by {dimension}")
        if dimension not in self._by:
            both: Counter[Hashable] = Counter()
            for side in self._sides:
                for value, slow in side.slow_by(dimension).items():
                    both[value] += slow
            self._by[dimension] = dict(both.most_common())
        return self._by[dimension]

    def sizes(self) -> dict[str, int]:
        """Return how many words there are (`words`), and values of each dimension."""
        for side in self._sides:
            side.expect(self.dimensions)
        return {"words": len(self._words)} | {name: len(self._slow_by(name)) for name in self.dimensions}

    def _frame(self, pairs: _Pairs, names: list[str]) -> pd.DataFrame:
        records = []
        for measure in Measure:
            lines = [self._line(key, *pair, measure) for key, pair in pairs.items()]
            compared = sum(line.before is not None and line.after is not None for line in lines)
            confidence = 1 - (1 - CONFIDENCE) / max(compared, 1)
            for line in lines:
                index = {"measure": str(measure), **dict(zip(names, line.key, strict=True))}
                records.append(index | self._told(line, confidence))
        frame = pd.DataFrame(records, columns=["measure", *names, *_COLUMNS])
        counts = [name for name in _COLUMNS if name.endswith("_events")]
        figures = [name for name in _COLUMNS if name not in (*counts, "verdict", "why")]
        types = {**dict.fromkeys(counts, "UInt64"), **dict.fromkeys(figures, "Float64")}
        return frame.astype(types).set_index(["measure", *names])

    def _line(self, key: tuple[Hashable, ...], before: Tallied, after: Tallied, measure: Measure) -> _Line:
        pair = (before, after)
        common = tuple(context for context in before.contexts if context in after.contexts)
        why = next((tallied.why for tallied in pair if tallied.why), "")
        if not common and not why:
            why = "known of different contexts"
        found = [
            # Where one side cannot tell, the other says what it knows.
            _ratio(side, tallied, self._wanted(common or tallied.contexts, measure), measure)
            for side, tallied in zip(self._sides, pair, strict=True)
        ]
        if not why and None in found:
            why = (
                "not all exits were counted"
                if not self.counted
                else "no exits were counted, or fewer than were slow"
            )
        return _Line(key, found[0], found[1], why)

    def _wanted(self, contexts: Sequence[Context], measure: Measure) -> tuple[Context, ...]:
        return tuple(context for context in contexts if measure is Measure.RATE or context in self.counted)

    def _told(self, line: _Line, confidence: float) -> dict[str, Any]:
        told: dict[str, Any] = dict.fromkeys(_COLUMNS)
        for name, ratio in (("before", line.before), ("after", line.after)):
            if ratio is not None:
                low, high = ratio.interval(CONFIDENCE) or (None, None)
                values = (ratio.events, ratio.value, low, high)
                told |= {f"{name}_{what}": value for what, value in zip(_VALUES, values, strict=True)}
        told["why"] = line.why
        if line.why or line.before is None or line.after is None:
            return told | {"verdict": str(Verdict.NOT_COMPARABLE)}
        change = ratios.change(line.before, line.after, confidence)
        if change is not None:
            told |= {"change": change.value, "change_low": change.low, "change_high": change.high}
        return told | {"verdict": str(ratios.verdict(change, self.band))}


def _check_distinct(before: Recordings, after: Recordings) -> None:
    known = {recording.metadata.id: recording for recording in before.recordings}
    for recording in after.recordings:
        if (same := known.get(recording.metadata.id)) is not None:
            raise InputRepeatedError(
                f"{printable(str(same.path))} and {printable(str(recording.path))} are one recording; "
                "compare it with another"
            )


def _check_comparable(found: Sequence[Difference]) -> None:
    forbidding = [difference.text for difference in found if difference.forbids]
    if forbidding:
        more = f" ({len(forbidding) - 1} more)" if len(forbidding) > 1 else ""
        raise NotComparableError(
            f"the recordings did not see the same: {printable(forbidding[0]).rstrip('.')}{more}; record both "
            "sides in one way, or compare them with --anyway"
        )


def _commonest(pairs: _Pairs, top: int | None) -> _Pairs:
    """Return those with most slow exits, both sides together, most first."""

    def slow(pair: tuple[Tallied, Tallied]) -> float:
        return sum(float(sums.sum()) for tallied in pair for sums in tallied.slow.values())

    return dict(sorted(pairs.items(), key=lambda item: -slow(item[1]))[:top])


def _ratio(side: Side, tallied: Tallied, contexts: Sequence[Context], measure: Measure) -> Ratio | None:
    if not contexts:
        return None
    slow = side.added(tallied.slow, contexts)
    if measure is Measure.RATE:
        return ratios.ratio(slow, side.intervals.seconds, of_same=False, stands_for=side.stands_for)
    exits = side.added(tallied.exits, contexts)
    # What counts all exits may have counted a thread under another name than the slow ones.
    if slow.sum() > exits.sum():
        return None
    return ratios.ratio(slow, exits, of_same=True, stands_for=side.stands_for)
