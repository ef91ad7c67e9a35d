"""The rows of a merged recording: classes of exits, summed over steps of time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from tifbpf.recording.schema import SCHEMA

_MEASURES = {"count": "sum", "ns": "sum", "ns_max": "max"}
_LENGTH = "interval_ns"
_CLASS = [name for name in SCHEMA.names if name not in (*_MEASURES, _LENGTH)]
_BESIDE = {"syscall": ("syscall", "abi")}
"""The columns of a dimension that has more than one of its own name."""
_KIND = ("context", "path", "tier", "word", "syscall_work", "latency_log2")
"""What exits are by themselves, whenever and whosever they were."""


class Sums(NamedTuple):
    """What exits add up to: their number, their time in the slowpath, and the longest of them."""

    exits: int
    ns: int
    ns_max: int


Kinds: TypeAlias = dict[tuple[Any, ...], Sums]
"""By context, path, tier, both words and bucket of times."""


def downsampled(rows: pa.Table, step_ns: int, dropped: Collection[str]) -> pa.Table:
    """Return `rows` summed over steps of time, and over the dimensions that are dropped.

    `interval_ns` is null: it is `finished` that knows how much of a step was observed.
    """
    times = rows["time"].cast(pa.int64()).to_numpy() // step_ns * step_ns
    gone = {column for name in dropped for column in _BESIDE.get(name, (name,))}
    columns = [
        pa.array(times).cast(field.type)
        if field.name == "time"
        else pa.nulls(len(rows), field.type)
        if field.name in gone or field.name == _LENGTH
        else rows[field.name]
        for field in SCHEMA
    ]
    return summed([pa.table(columns, names=SCHEMA.names)])


def summed(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all `tables`, those of one class and step as one."""
    table = pa.concat_tables(tables).unify_dictionaries()
    grouped = table.group_by(_CLASS).aggregate(list(_MEASURES.items()))
    found = [
        pa.nulls(len(grouped), field.type)
        if field.name == _LENGTH
        else grouped[f"{field.name}_{_MEASURES[field.name]}" if field.name in _MEASURES else field.name]
        for field in SCHEMA
    ]
    return pa.table(found, names=SCHEMA.names)


def finished(rows: pa.Table, observed: Mapping[int, int]) -> pa.Table:
    """Return `rows` in the order of time and class, each with the time observed of its step.

    Args:
        rows: of `summed`.
        observed: ns, by where the step begins, ns since the epoch.
    """
    keys = pa.table({name: _plain(rows[name]) for name in _CLASS})
    rows = rows.take(pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in _CLASS]))
    starts = pa.array(observed.keys(), pa.int64())
    lengths = pa.array(observed.values(), pa.int64())
    of_rows = lengths.take(pc.index_in(rows["time"].cast(pa.int64()), starts))
    place = SCHEMA.get_field_index(_LENGTH)
    return rows.set_column(place, SCHEMA.field(place), of_rows).cast(SCHEMA)


def classes(rows: pa.Table) -> int:
    """Return how many classes of exits there are, whenever they were."""
    return len(rows.group_by([name for name in _CLASS if name != "time"]).aggregate([]))


def by_kind(rows: pa.Table) -> Kinds:
    """Return what each kind of exits adds up to: what no merge may change."""
    grouped = rows.group_by(list(_KIND)).aggregate(list(_MEASURES.items()))
    return {
        tuple(line[name] for name in _KIND): Sums(
            *(line[f"{name}_{how}"] or 0 for name, how in _MEASURES.items())
        )
        for line in grouped.to_pylist()
    }


def add(kinds: Kinds, more: Kinds) -> None:
    """Add `more` to `kinds`."""
    for kind, sums in more.items():
        known = kinds.get(kind, Sums(0, 0, 0))
        kinds[kind] = Sums(known.exits + sums.exits, known.ns + sums.ns, max(known.ns_max, sums.ns_max))


def holds(kinds: Kinds, part: Kinds) -> bool:
    """Whether `part` can be a part of `kinds`."""
    return all(all(map(int.__le__, sums, kinds.get(kind, Sums(0, 0, 0)))) for kind, sums in part.items())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
