"""An interval's rows as a table, and the files of such tables: all that a recorder needs Arrow for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.layouts.model import Context
from tifbpf.recording import parquet
from tifbpf.recording.columns import column
from tifbpf.recording.exits import ExitClass
from tifbpf.recording.metadata import Metadata, encode
from tifbpf.recording.paths import ExitPath, classify
from tifbpf.recording.schema import SCHEMA
from tifbpf.recording.weights import schema_for, with_weights


def table(
    rows: Iterable[ExitClass], *, start_ns: int, interval_ns: int, metadata: Metadata, every: int
) -> pa.Table:
    """Return one interval; for the arguments see `writer.RecordingWriter.flush`."""
    return with_weights(_table(rows, start_ns, interval_ns, metadata), metadata, every)


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


def _table(rows: Iterable[ExitClass], start_ns: int, interval_ns: int, metadata: Metadata) -> pa.Table:
    slow_only = {coverage.context: coverage.slow_only for coverage in metadata.contexts}
    classified: dict[tuple[Context, int | None, int | None], tuple[ExitPath, str | None]] = {}
    columns: dict[str, list[Any]] = {field.name: [] for field in SCHEMA}
    given = [(field, columns[field]) for field in ExitClass.__struct_fields__]
    for row in rows:
        for field, values in given:
            values.append(getattr(row, field))
        words = (row.context, row.word, row.syscall_work)
        if words not in classified:
            classified[words] = classify(metadata.layout, *words, slow_only=slow_only[row.context])
        path, tier = classified[words]
        columns["path"].append(path)
        columns["tier"].append(tier)
    length = len(columns["word"])
    columns["time"] = [start_ns] * length
    columns["interval_ns"] = [interval_ns] * length
    return pa.table([column(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
