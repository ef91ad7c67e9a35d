"""Sums over the rows of recordings: what an engine has added up, as plain values or as frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tifbpf.engines.loading import CLASS, Loaded
from tifbpf.engines.local import shared
from tifbpf.engines.query import GROUP, MEASURES, RECORDING, STEP, TIME, Among, Keys, Query
from tifbpf.recording.columns import column, scalar
from tifbpf.recording.exits import Numbers
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.reader import Recording
from tifbpf.recording.weights import weighted

if TYPE_CHECKING:
    import pandas as pd

Line = dict[str, Any]
"""A line of a table, by the names of its columns: plain Python values, None where one is not known."""
Values = dict[str, list[Any]]
"""The columns of many lines."""
_SUMS = ("count", "ns", "rows", "rows_with_ns")


class Rows:
    """The rows of recordings, of which sums are asked; each is made once.

    `recording` is the first of the recordings that are alike: whose layout, coverage and own bits are the
    same, so that decoding one is decoding all. A fleet has as many as it has kernels and ways to record.
    """

    def __init__(self, loaded: Loaded, places: Sequence[int] | None = None) -> None:
        """Look at those recordings whose places are given, at all of them by default."""
        self._loaded = loaded
        self.places = tuple(range(len(loaded.recordings)) if places is None else places)
        self._groups = _alike(loaded)
        self._known: dict[tuple[Keys, bool, int | None], pa.Table] = {}
        self._lengths: dict[Keys, pa.Table] = {}

    def of(self, places: Sequence[int]) -> Rows:
        """Return the rows of some of the recordings."""
        return self if tuple(places) == self.places else Rows(self._loaded, places)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """All recordings, also those whose rows are not looked at."""
        return self._loaded.recordings

    def expect(
        self, keys: Iterable[Iterable[str]], *, slow_only: bool = False, step_ns: int | None = None
    ) -> None:
        """Make several sums in one pass, which will be asked for one by one.

        Args:
            keys: as of `summed`, several.
            slow_only: as of `summed`.
            step_ns: as of `summed`; of those that have a `step`.
        """
        wanted = {_canonical(some) for some in keys}
        # What has more keys adds up to what has fewer.
        missing = tuple(
            some
            for some in sorted(wanted)
            if self._table(some, slow_only, step_ns) is None
            and not any(set(some) < set(other) for other in wanted)
        )
        if not missing:
            return
        asked = Query(keys=tuple(map(_asked, missing)), measures=_SUMS, slow_only=slow_only, step_ns=step_ns)
        found = self._loaded.sums(asked, self._groups, self.places)
        for some in missing:
            step = step_ns if STEP in some else None
            self._known[some, slow_only, step] = _named(found[_asked(some)], some)

    def summed(
        self, keys: Iterable[str], *, slow_only: bool = False, step_ns: int | None = None
    ) -> pd.DataFrame:
        """Return `count` and `ns` summed over each combination of `keys`; `ns` is NA where any row's is.

        Args:
            keys: columns of the recordings' schema, `recording` (see above), `place` (of the recording
                itself), `step` (the start of a step).
            slow_only: leave out all but slow exits.
            step_ns: the length of a step, ns.
        """
        from tifbpf.analysis.frames import of_table

        frame = of_table(self._summed(keys, slow_only, step_ns))
        frame["ns"] = frame["ns"].where(frame["rows_with_ns"] == frame["rows"])
        return frame.drop(columns=["rows", "rows_with_ns"])

    def values(self, keys: Iterable[str], *, slow_only: bool = False, step_ns: int | None = None) -> Values:
        """Return what `summed` does as plain values, times as ns since the epoch; arguments as there."""
        found = _values(self._summed(keys, slow_only, step_ns))
        found["ns"] = [
            ns if timed == rows else None
            for ns, timed, rows in zip(found["ns"], found.pop("rows_with_ns"), found.pop("rows"), strict=True)
        ]
        return found

    def _summed(self, keys: Iterable[str], slow_only: bool, step_ns: int | None) -> pa.Table:
        wanted = tuple(dict.fromkeys(keys))
        some = _canonical(wanted)
        table = self._table(some, slow_only, step_ns)
        if table is None:
            self.expect([some], slow_only=slow_only, step_ns=step_ns)
            table = self._known[some, slow_only, step_ns if STEP in some else None]
        return table.select([*wanted, *_SUMS])

    def among(self, keys: Iterable[str], values: Among, *, step_ns: int | None = None) -> pd.DataFrame:
        """Return `count` by `keys` as `summed` does, of rows that have some values alone; not kept."""
        wanted = tuple(dict.fromkeys(keys))
        from tifbpf.analysis.frames import of_table

        query = Query(keys=(_asked(wanted),), measures=("count",), among=values, step_ns=step_ns)
        return of_table(_named(self._loaded.sums(query, self._groups, self.places)[_asked(wanted)], wanted))

    def _table(self, keys: Keys, slow_only: bool, step_ns: int | None) -> pa.Table | None:
        """Return sums that are known, or follow from such."""
        step = step_ns if STEP in keys else None
        if (known := self._known.get((keys, slow_only, step))) is not None:
            return known
        if set(keys) <= {*CLASS, "place"}:
            finer: pa.Table | None = self._classes(slow_only=slow_only)
        else:
            those = [
                table
                for (others, slow, length), table in self._known.items()
                if slow == slow_only and length == step and set(keys) < set(others)
            ]
            finer = min(those, key=len, default=None)
        if finer is None:
            return None
        found = _added(finer, keys, _SUMS)
        self._known[keys, slow_only, step] = found
        return found

    def span(self) -> tuple[int, int] | None:
        """Return the starts of the first interval and of the last, ns since the epoch; None without any."""
        found = pc.min_max(self._lengths_of(())[TIME].cast(pa.int64())).as_py()
        return None if found["min"] is None else (found["min"], found["max"])

    @property
    def any_timed(self) -> bool:
        """Whether the time that any exit spent in the slowpath was measured."""
        return bool(pc.max(self._loaded.kinds["rows_with_ns"]).as_py())

    def timed(self, keys: Iterable[str]) -> pd.DataFrame:
        """Return `count`, `ns` and `ns_max` of slow exits by keys of `CLASS`."""
        from tifbpf.analysis.frames import of_table

        return of_table(_added(self._classes(slow_only=True), tuple(keys), ("count", "ns", "ns_max")))

    def parts(self, keys: Iterable[str]) -> pd.DataFrame:
        """Return `count`, `variance` and `spread` by `keys`; see `tifbpf.analysis.estimates`."""
        from tifbpf.analysis.frames import of_table

        wanted = tuple(dict.fromkeys(keys))
        query = Query(keys=(_asked(wanted),), measures=("count", "variance", "spread"))
        frame = of_table(_named(self._loaded.sums(query, self._groups, self.places)[_asked(wanted)], wanted))
        return frame.astype({"count": float})

    def lengths(self, *keys: str) -> pd.DataFrame:
        """Return the lengths of the intervals.

        Columns: place, time, those of `keys`; interval_ns.
        """
        from tifbpf.analysis.frames import of_table

        return of_table(self._lengths_of(keys))

    def recorded_ns(self, *keys: str, step_ns: int | None) -> dict[tuple[Any, ...], int]:
        """Return the lengths of all intervals together, by the start of their step and `keys`.

        Args:
            keys: as of `lengths`.
            step_ns: the length of a step, ns; None: of each start of an interval.
        """
        start = f"epoch_ns({TIME})"
        if step_ns is not None:
            start = f"{start} // {step_ns:d} * {step_ns:d}"
        by = {STEP: start, **{key: key for key in keys}}
        sums = shared().added(self._lengths_of(keys), by, {"ns": "sum(interval_ns)::BIGINT"})
        found = _values(sums)
        return dict(zip(zip(*(found[name] for name in by), strict=True), found["ns"], strict=True))

    def _lengths_of(self, keys: Sequence[str]) -> pa.Table:
        wanted = ("place", TIME, *keys)
        if wanted not in self._lengths:
            query = Query(keys=(_asked(wanted),), measures=("interval_ns",))
            found = self._loaded.sums(query, self._groups, self.places)[_asked(wanted)]
            self._lengths[wanted] = _named(found, wanted)
        return self._lengths[wanted]

    def _classes(self, *, slow_only: bool) -> pa.Table:
        """Return the sums by `CLASS`, which loading made; with the group as `recording`."""
        table = self._loaded.kinds
        wanted = pc.is_in(table[RECORDING], _numbers(self.places))
        if slow_only:
            wanted = pc.and_(wanted, pc.equal(table["path"], scalar(ExitPath.SLOW.value)))
        table = table.filter(wanted)
        groups = _numbers(self._groups).take(table[RECORDING])
        names = ["place" if name == RECORDING else name for name in table.column_names]
        return table.rename_columns(names).append_column(RECORDING, groups)


def _added(table: pa.Table, keys: Keys, measures: Iterable[str]) -> pa.Table:
    # Arrow's own group_by imports pandas.
    sums = {name: MEASURES[name].of_sums for name in measures}
    return shared().added(table, {key: f'"{key}"' for key in keys}, sums)


def _canonical(keys: Iterable[str]) -> Keys:
    return tuple(sorted(set(keys)))


def _name(key: str) -> str:
    return {"place": RECORDING, "recording": GROUP}.get(key, key)


def _asked(keys: Keys) -> Keys:
    return tuple(map(_name, keys))


def _named(table: pa.Table, keys: Keys) -> pa.Table:
    """Return an engine's answer with our names, and times as such."""
    table = table.rename_columns([*keys, *table.column_names[len(keys) :]])
    for number, name in enumerate(table.column_names):
        if name in (TIME, STEP):
            table = table.set_column(number, name, table[name].cast(pa.timestamp("ns", tz="UTC")))
    return table


def _alike(loaded: Loaded) -> list[int]:
    """Return, for each recording, the first of those that are like it."""
    counts: dict[tuple[int, str, str], int] = {}
    kinds = loaded.kinds
    for place, context, path, count in zip(
        *(kinds[name].to_pylist() for name in (RECORDING, "context", "path", "count")), strict=True
    ):
        counts[place, context, path] = counts.get((place, context, path), 0) + count
    first: dict[object, int] = {}
    groups = []
    for place, recording in enumerate(loaded.recordings):
        metadata = recording.metadata
        undercounted = tuple(
            coverage.slow_only
            and counts.get((place, coverage.context, ExitPath.ALL), 0)
            < counts.get((place, coverage.context, ExitPath.SLOW), 0)
            for coverage in metadata.contexts
        )
        observed = tuple(
            (
                coverage.context,
                coverage.route is None,
                coverage.denominator is None,
                coverage.slow_only,
                coverage.unseen,
            )
            for coverage in metadata.contexts
        )
        own = tuple((effect.word, effect.bit) for effect in metadata.observer_effects if effect.ours)
        key = (metadata.layout, observed, own, metadata.dimensions, metadata.sampling, undercounted)
        groups.append(first.setdefault(key, place))
    return groups


def combine(recordings: Sequence[Recording]) -> pa.Table:
    """Return all rows of the recordings, with their place as the column `recording`."""
    sampled = any(recording.metadata.sampling is not None for recording in recordings)
    tables = []
    for place, recording in enumerate(recordings):
        table = weighted(recording.rows) if sampled else recording.rows
        tables.append(table.append_column("recording", pa.repeat(pa.scalar(place, pa.int32()), len(table))))
    return pa.concat_tables(tables).unify_dictionaries()


def _numbers(values: Sequence[int]) -> pa.Array:
    return column(Numbers(values), pa.int32(), len(values))


def _values(table: pa.Table) -> Values:
    """Return plain values; of times ns since the epoch, which datetime has no room for."""
    return {
        name: (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
