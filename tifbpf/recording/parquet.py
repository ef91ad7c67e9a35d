"""How a recording is a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.recording import checksum
from tifbpf.recording.metadata import FOOTER_KEY

_ROWS = 32_768
"""A row group takes 1.6 kB of the footer, whatever is in it."""


class Writer:
    """Writes one file, table by table; without `finish` it is none."""

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        """Begin.

        Args:
            stream: to write to, from where it is; it can be sought, and stays open.
            schema: the columns.
        """
        self._stream = checksum.Summing(stream)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._stream, "w"),
            schema,
            compression="zstd",
            write_page_checksum=True,
            version="2.6",
        )

    def write(self, table: pa.Table) -> None:
        """Write rows."""
        self._writer.write_table(table)

    def finish(self, footer: bytes) -> None:
        """Write the encoded metadata, and with it the end."""
        # Not as metadata of the Arrow schema, which the footer holds once more, in base64.
        self._writer.add_key_value_metadata({FOOTER_KEY: footer, checksum.KEY: checksum.UNKNOWN})
        self._stream.expect()
        self._writer.close()
        self._stream.seal()

    def abandon(self) -> None:
        """Write no end, if there is none."""
        # It would write one when it is collected, to a stream that is closed.
        self._writer.is_open = False


def write(stream: BinaryIO, tables: Iterable[pa.Table], schema: pa.Schema, footer: bytes) -> None:
    """Write `tables`; small ones share a row group.

    Args:
        stream: to write to; it stays open.
        tables: the rows.
        schema: their columns.
        footer: the metadata, encoded.
    """
    writer = Writer(stream, schema)
    try:
        for table in _together(tables):
            writer.write(table)
        writer.finish(footer)
    finally:
        writer.abandon()


def _together(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table.replace_schema_metadata(None))
        if sum(map(len, waiting)) >= _ROWS:
            yield _one(waiting)
            waiting = []
    if waiting:
        yield _one(waiting)


def _one(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()
