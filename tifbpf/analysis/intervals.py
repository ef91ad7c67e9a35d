"""Recordings as series of intervals: what is sampled where uncertainty is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tifbpf.analysis.ratios import Sums
from tifbpf.analysis.rows import Rows
from tifbpf.recording.reader import Recording

MOST = 4096
"""Intervals that are looked at one by one."""

_Key = TypeVar("_Key", bound=Hashable)


class Intervals:
    """The intervals of some recordings, in the order of time; one recording after the other.

    So what differs from one recording to the next is a slow change of the whole series, and counts as one,
    also where they were made side by side.

    An interval in which nothing was recorded has no row, and is one all the same. Where segments are missing
    that cannot be told, and only those that have rows are here. A merged recording says which it had.

    Of more than `MOST`, neighbours in one recording are one: what decides is how the whole varies slowly,
    which as few tell as well (`tifbpf.analysis.ratios` looks at the lowest frequencies alone).

    Attributes:
        key: the column that tells them apart in one recording, `time` or `step`.
        step_ns: the length of a step; None where the key is `time`.
        seconds: their lengths.
    """

    def __init__(self, rows: Rows) -> None:
        """Find the intervals of the recordings of `rows`."""
        recorded = by_place(rows)
        self.step_ns = _step_ns(rows, sum(map(len, recorded.values())))
        self.key = "time" if self.step_ns is None else "step"
        lengths: dict[tuple[int, int], int] = {}
        for place in sorted(rows.places, key=lambda place: rows.recordings[place].metadata.started_ns):
            for start, length in recorded[place]:
                moment = place, start if self.step_ns is None else start // self.step_ns * self.step_ns
                lengths[moment] = lengths.get(moment, 0) + length
        self._numbers = pd.Series(
            range(len(lengths)),
            pd.MultiIndex.from_arrays([[place for place, _ in lengths], [start for _, start in lengths]]),
            dtype="int64",
        )
        self.seconds: Sums = np.array(list(lengths.values()), dtype=float) / 1e9

    def __len__(self) -> int:
        return len(self.seconds)

    def sums(self, frame: pd.DataFrame, values: pd.Series, keys: Iterable[_Key]) -> dict[_Key, Sums]:
        """Add up `values` for each key and interval.

        Args:
            frame: with the columns place and `key`, one row for each of `values`.
            values: what to add up; NA adds nothing.
            keys: of each row.
        """
        if frame.empty:
            return {}
        moments = pd.MultiIndex.from_arrays([frame["place"].astype("int64"), _ns(frame[self.key])])
        numbers = self._numbers.loc[moments].to_numpy()
        known = values.notna().to_numpy()
        counts = values.fillna(0).to_numpy(dtype=float)
        found: dict[_Key, list[int]] = {}
        for row, key in enumerate(keys):
            if known[row]:
                found.setdefault(key, []).append(row)
        return {key: self._added(numbers[rows], counts[rows]) for key, rows in found.items()}

    def _added(self, numbers: NDArray[np.integer], counts: Sums) -> Sums:
        return np.bincount(numbers, weights=counts, minlength=len(self)).astype(float)


def _step_ns(rows: Rows, intervals: int) -> int | None:
    if intervals <= MOST:
        return None
    longest = max(rows.recordings[place].metadata.interval_ns for place in rows.places)
    return longest * -(-intervals // MOST)


def by_place(rows: Rows) -> dict[int, list[tuple[int, int]]]:
    """Return start and length, ns, of each interval of each recording, in order."""
    lengths = rows.lengths()
    lengths["time"] = _ns(lengths["time"])
    known: dict[int, list[tuple[int, int]]] = {}
    for place, start, length in zip(
        *(lengths[name].tolist() for name in ("place", "time", "interval_ns")), strict=True
    ):
        known.setdefault(place, []).append((start, length))
    return {place: list(_intervals(rows.recordings[place], known.get(place, []))) for place in rows.places}


def _ns(times: pd.Series) -> pd.Series:
    numbers: pd.Series = times.dt.as_unit("ns").astype("int64")
    return numbers


def _intervals(recording: Recording, known: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield start and length, ns, of each interval; `known` are those that have rows, in order."""
    metadata = recording.metadata
    if recording.gaps or metadata.merged is not None:
        yield from sorted([*known, *(metadata.merged.idle if metadata.merged else ())])
        return
    reached = metadata.started_ns
    for start, length in [*known, (metadata.started_ns + recording.duration_ns, 0)]:
        yield from _empty(reached, start, metadata.interval_ns)
        if length:
            yield start, length
        reached = start + length


def _empty(first: int, last: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the intervals between two times, in which nothing was recorded."""
    if last <= first:
        return
    number = max(1, round((last - first) / length))
    edges = [first + (last - first) * place // number for place in range(number + 1)]
    yield from ((start, end - start) for start, end in itertools.pairwise(edges))
