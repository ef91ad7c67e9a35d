"""Sums over the rows of recordings as frames; pandas sees what an engine has added up, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tifbpf.engines.loading import CLASS, Loaded
from tifbpf.engines.query import GROUP, RECORDING, STEP, TIME, Among, Keys, Query
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.reader import Recording
from tifbpf.recording.weights import weighted

_NULLABLE = {
    pa.uint64(): pd.UInt64Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int8(): pd.Int8Dtype(),
}
"""A word with nulls beside it would otherwise become a float and lose its low bits."""
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
        wanted = tuple(dict.fromkeys(keys))
        some = _canonical(wanted)
        table = self._table(some, slow_only, step_ns)
        if table is None:
            self.expect([some], slow_only=slow_only, step_ns=step_ns)
            table = self._known[some, slow_only, step_ns if STEP in some else None]
        frame = to_pandas(table.select([*wanted, *_SUMS]))
        frame["ns"] = frame["ns"].where(frame["rows_with_ns"] == frame["rows"])
        return frame.drop(columns=["rows", "rows_with_ns"])

    def among(self, keys: Iterable[str], values: Among, *, step_ns: int | None = None) -> pd.DataFrame:
        """Return `count` by `keys` as `summed` does, of rows that have some values alone; not kept."""
        wanted = tuple(dict.fromkeys(keys))
        query = Query(keys=(_asked(wanted),), measures=("count",), among=values, step_ns=step_ns)
        return to_pandas(_named(self._loaded.sums(query, self._groups, self.places)[_asked(wanted)], wanted))

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
        found = _added(finer, keys, {"rows": "sum", "rows_with_ns": "sum"})
        self._known[keys, slow_only, step] = found.sort_by([(name, "ascending") for name in keys])
        return found

    def span(self) -> tuple[int, int] | None:
        """Return the starts of the first interval and of the last, ns since the epoch; None without any."""
        times = self.lengths()["time"].dt.as_unit("ns").astype("int64")
        return None if times.empty else (int(times.min()), int(times.max()))

    @property
    def any_timed(self) -> bool:
        """Whether the time that any exit spent in the slowpath was measured."""
        return bool(pc.any(pc.greater(self._loaded.kinds["rows_with_ns"], 0)).as_py())

    def timed(self, keys: Iterable[str]) -> pd.DataFrame:
        """Return `count`, `ns` and `ns_max` of slow exits by keys of `CLASS`."""
        return to_pandas(_added(self._classes(slow_only=True), tuple(keys), {"ns_max": "max"}))

    def parts(self, keys: Iterable[str]) -> pd.DataFrame:
        """Return `count`, `variance` and `spread` by `keys`; see `tifbpf.analysis.estimates`."""
        wanted = tuple(dict.fromkeys(keys))
        query = Query(keys=(_asked(wanted),), measures=("count", "variance", "spread"))
        frame = to_pandas(_named(self._loaded.sums(query, self._groups, self.places)[_asked(wanted)], wanted))
        return frame.astype({"count": float})

    def lengths(self, *keys: str) -> pd.DataFrame:
        """Return the lengths of the intervals.

        Columns: place, time, those of `keys`; interval_ns.
        """
        wanted = ("place", TIME, *keys)
        if wanted not in self._lengths:
            query = Query(keys=(_asked(wanted),), measures=("interval_ns",))
            found = self._loaded.sums(query, self._groups, self.places)[_asked(wanted)]
            self._lengths[wanted] = _named(found, wanted)
        return to_pandas(self._lengths[wanted])

    def _classes(self, *, slow_only: bool) -> pa.Table:
        """Return the sums by `CLASS`, which loading made; with the group as `recording`."""
        table = self._loaded.kinds
        wanted = pc.is_in(table[RECORDING], pa.array(self.places, table[RECORDING].type))
        if slow_only:
            wanted = pc.and_(wanted, pc.equal(table["path"], ExitPath.SLOW.value))
        table = table.filter(wanted)
        groups = pa.array(self._groups, pa.int32()).take(table[RECORDING])
        names = ["place" if name == RECORDING else name for name in table.column_names]
        return table.rename_columns(names).append_column(RECORDING, groups)


def _added(table: pa.Table, keys: Keys, others: dict[str, str]) -> pa.Table:
    wanted = {"count": "sum", "ns": "sum", **others}
    grouped = table.group_by(list(keys), use_threads=False).aggregate(list(wanted.items()))
    return grouped.rename_columns([*keys, *wanted]) if keys else grouped.rename_columns(list(wanted))


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


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a frame with integers that stay integers (and may be NA) and names as plain strings."""
    plain = pa.table(
        {
            name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )
    frame: pd.DataFrame = plain.to_pandas(types_mapper=_NULLABLE.get)
    return frame
