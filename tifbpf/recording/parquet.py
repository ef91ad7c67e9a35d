"""How a recording is a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.recording.metadata import FOOTER_KEY

_ROWS = 32_768
"""A row group takes 1.6 kB of the footer, whatever is in it."""


def write(stream: BinaryIO, tables: Iterable[pa.Table], schema: pa.Schema, footer: bytes) -> None:
    """Write `tables`; small ones share a row group.

    Args:
        stream: to write to; it stays open.
        tables: the rows.
        schema: their columns.
        footer: the metadata, encoded.
    """
    with open_writer(stream, schema) as writer:
        for table in _together(tables):
            writer.write_table(table)
        describe(writer, footer)


def open_writer(stream: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """Return what writes tables to `stream`, for one that comes after the other; see `describe`."""
    return pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True, version="2.6")


def describe(writer: pq.ParquetWriter, footer: bytes) -> None:
    """Add the metadata, before `writer` is closed."""
    # Not as metadata of the Arrow schema, which the footer holds once more, in base64.
    writer.add_key_value_metadata({FOOTER_KEY: footer})


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
