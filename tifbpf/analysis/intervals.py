"""Recordings as series of intervals: what is sampled where uncertainty is asked for."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from tifbpf.analysis.ratios import Sums
from tifbpf.recording.reader import Recording

_Key = TypeVar("_Key", bound=Hashable)


class Intervals:
    """The intervals of some recordings, in the order of time; one recording after the other.

    So what differs from one recording to the next is a slow change of the whole series, and counts as one,
    also where they were made side by side.

    An interval in which nothing was recorded has no row, and is one all the same. Where segments are missing
    that cannot be told, and only those that have rows are here. A merged recording says which it had.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        """Find the intervals of `recordings`."""
        places = sorted(range(len(recordings)), key=lambda place: recordings[place].metadata.started_ns)
        found = [
            (start, length, place) for place in places for start, length in intervals_of(recordings[place])
        ]
        self._places = {(place, start): number for number, (start, _, place) in enumerate(found)}
        self.seconds: Sums = np.array([length for _, length, _ in found], dtype=float) / 1e9

    def __len__(self) -> int:
        return len(self.seconds)

    def sums(self, frame: pd.DataFrame, values: pd.Series, keys: Iterable[_Key]) -> dict[_Key, Sums]:
        """Add up `values` for each key and interval.

        Args:
            frame: with the columns recording and time (ns), one row for each of `values`.
            values: what to add up; NA adds nothing.
            keys: of each row.
        """
        sums: defaultdict[_Key, Sums] = defaultdict(lambda: np.zeros(len(self)))
        rows = zip(keys, frame["recording"], frame["time"], values, strict=True)
        for key, place, time, value in rows:
            if not pd.isna(value):
                sums[key][self._places[place, time]] += int(value)
        return dict(sums)


def intervals_of(recording: Recording) -> Iterator[tuple[int, int]]:
    """Yield start and length, ns, of each interval."""
    rows = recording.rows
    times = pa.table({"time": rows["time"].cast(pa.int64()), "length": rows["interval_ns"]})
    lengths = times.group_by(["time"]).aggregate([("length", "max")]).sort_by("time")
    known = list(zip(lengths["time"].to_pylist(), lengths["length_max"].to_pylist(), strict=True))
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
