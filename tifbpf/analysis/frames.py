"""Frames of what was added up: the only place where sums meet pandas before the Python API returns them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from pandas.tseries.frequencies import to_offset

from tifbpf.analysis import naming
from tifbpf.analysis.rows import Line, Rows, Values
from tifbpf.layouts.model import Word
from tifbpf.recording.reader import Recording
from tifbpf.recording.schema import SCHEMA

COUNT = "UInt64"
SHARE = "Float64"
NAME = "str"
TIME = "datetime64[ns, UTC]"
_NULLABLE = {
    pa.uint64(): pd.UInt64Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int8(): pd.Int8Dtype(),
}
"""A word with nulls beside it would otherwise become a float and lose its low bits."""


def of_table(table: pa.Table) -> pd.DataFrame:
    """Return a frame with integers that stay integers (and may be NA) and names as plain strings."""
    plain = pa.table(
        {
            name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )
    frame: pd.DataFrame = plain.to_pandas(types_mapper=_NULLABLE.get)
    return frame


def of_lines(lines: Iterable[Line], index: Mapping[str, str], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return lines as a frame, NA for None.

    Args:
        lines: with the names of `index` and `columns`; times are ns since the epoch.
        index: the names of the index, each with its type.
        columns: those of the columns.
    """
    found = list(lines)
    frame = pd.DataFrame(
        {name: column([line[name] for line in found], kind) for name, kind in {**index, **columns}.items()}
    )
    return frame.set_index(list(index))


def column(values: Sequence[Any], kind: str) -> Any:
    """Return the values of a column of that type, NA for None."""
    if kind == TIME:
        return pd.to_datetime(values, utc=True, unit="ns").as_unit("ns")
    of_any_type: Any = pd.array
    return of_any_type(values, dtype=kind)


def type_of(dimension: str) -> str:
    """Return the type of a dimension's values."""
    number = dimension in SCHEMA.names and SCHEMA.field(dimension).type == pa.int32()
    return "Int32" if number and dimension != "syscall" else NAME


def step_ns(freq: str | None) -> int | None:
    """Return the length of a step as pandas writes it, ns; None: steps are intervals."""
    return None if freq is None else pd.Timedelta(to_offset(freq).nanos, "ns").value


def values(frame: pd.DataFrame) -> Values:
    """Return the columns as plain Python values."""
    return {str(name): plain(frame[name]) for name in frame.columns}


def plain(series: pd.Series) -> list[Any]:
    """Return plain Python values, None for NA; many times as fast as a loop over the series."""
    column: Any = series  # whose stubs know of no na_value for objects
    found: list[Any] = column.to_numpy(dtype=object, na_value=None).tolist()
    return found


def name_syscalls(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace number and ABI by the system call's name, null where there is none."""
    if "syscall" not in frame:
        return frame
    names = naming.syscall_names(plain(frame["syscall"]), plain(frame["abi"]))
    return frame.assign(syscall=pd.Series(names, index=frame.index, dtype="str")).drop(columns="abi")


def name_hosts(frame: pd.DataFrame, rows: Rows, places: str) -> pd.DataFrame:
    """Add the host's name; `places` is the column of recordings."""
    hosts = naming.host_names(frame[places], rows.recordings)
    return frame.assign(host=pd.Series(hosts, index=frame.index, dtype="str"))


def name_words(frame: pd.DataFrame, recordings: Sequence[Recording]) -> pd.DataFrame:
    """Replace `word` and `syscall_work` by names (`tif`, `syscall_work`) and numbers (`…_value`).

    Args:
        frame: with the columns recording, word and syscall_work.
        recordings: where the layouts are taken from.
    """
    frame = frame.rename(columns={"word": "tif_value", "syscall_work": "syscall_work_value"})
    for word in Word:
        numbers = plain(frame[f"{word}_value"])
        names = naming.word_names(plain(frame["recording"]), numbers, word, recordings)
        frame[word.value] = pd.Series(names, index=frame.index, dtype="str")
    return frame
