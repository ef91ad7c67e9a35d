"""The rows of several recordings as one table, and sums over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import pyarrow as pa

from tifbpf.recording.reader import Recording
from tifbpf.recording.weights import weighted

_NULLABLE = {
    pa.uint64(): pd.UInt64Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int8(): pd.Int8Dtype(),
}
"""A word with nulls beside it would otherwise become a float and lose its low bits."""


def combine(recordings: Sequence[Recording], places: Iterable[int] | None = None) -> pa.Table:
    """Return the rows of those recordings, all by default, with their place as the column `recording`."""
    sampled = any(recording.metadata.sampling is not None for recording in recordings)
    tables = []
    for place in range(len(recordings)) if places is None else places:
        table = recordings[place].rows
        if sampled:
            table = weighted(table)
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


def summed(table: pa.Table, keys: Iterable[str]) -> pd.DataFrame:
    """Return `count` and `ns` summed over each combination of `keys`; `ns` is NA where any row's is."""
    grouped = table.group_by(list(keys)).aggregate(
        [("count", "sum"), ("ns", "sum"), ("ns", "count"), ("count", "count")]
    )
    frame = to_pandas(grouped)
    frame["ns"] = frame["ns_sum"].where(frame["ns_count"] == frame["count_count"])
    return frame.drop(columns=["ns_sum", "ns_count", "count_count"]).rename(columns={"count_sum": "count"})
