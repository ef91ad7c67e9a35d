"""An interval's rows as a table, and the files of such tables: all that a recorder needs Arrow for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.recording import parquet
from tifbpf.recording.columns import column, constant
from tifbpf.recording.exits import ExitClasses, Names
from tifbpf.recording.metadata import Metadata, encode
from tifbpf.recording.paths import classify
from tifbpf.recording.schema import SCHEMA
from tifbpf.recording.weights import schema_for, with_weights


def table(rows: ExitClasses, *, start_ns: int, interval_ns: int, metadata: Metadata, every: int) -> pa.Table:
    """Return one interval; for the arguments see `writer.RecordingWriter.flush`."""
    slow_only = {coverage.context: coverage.slow_only for coverage in metadata.contexts}
    codes, words = rows.words
    paths = [classify(metadata.layout, *each, slow_only=slow_only[each[0]]) for each in words]
    told: dict[str, Names] = {
        "path": _spread(Names.of([path for path, _ in paths]), codes),
        "tier": _spread(Names.of([tier for _, tier in paths]), codes),
    }
    same = {"time": start_ns, "interval_ns": interval_ns}
    length = len(rows)
    columns = [
        constant(same[field.name], field.type, length)
        if field.name in same
        else column(told.get(field.name) or rows.column(field.name), field.type, length)
        for field in SCHEMA
    ]
    return with_weights(pa.table(columns, schema=SCHEMA), metadata, every)


def _spread(names: Names, codes: Sequence[int]) -> Names:
    """Return for each of `codes` what `names` has there."""
    missing = None if names.missing is None else bytes(map(names.missing.__getitem__, codes))
    return Names(list(map(names.codes.__getitem__, codes)), names.names, missing)


def read(stream: BinaryIO) -> pa.Table:
    """Return all of a file."""
    # Not pq.read_table(), which brings in pyarrow.dataset: half a recorder's memory again.
    with pq.ParquetFile(stream) as file:
        return file.read()


def write(stream: BinaryIO, tables: Iterable[pa.Table], metadata: Metadata) -> None:
    """Write a file; `stream` stays open."""
    parquet.write(stream, tables, schema_for(metadata), encode(metadata))


class Growing:
    """A file that grows by one table after the other."""

    def __init__(self, stream: BinaryIO, metadata: Metadata) -> None:
        """Begin."""
        self._writer = parquet.Writer(stream, schema_for(metadata))

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        self._writer.write(table.replace_schema_metadata(None))

    def finish(self, metadata: Metadata) -> None:
        """Make it a whole file; the stream stays open."""
        self._writer.finish(encode(metadata))
