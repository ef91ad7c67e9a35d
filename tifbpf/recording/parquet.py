"""How a recording is a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.recording.metadata import FOOTER_KEY


def write(stream: BinaryIO, tables: Iterable[pa.Table], schema: pa.Schema, footer: bytes) -> None:
    """Write `tables`, each as one row group or more.

    Args:
        stream: to write to; it stays open.
        tables: the rows.
        schema: their columns.
        footer: the metadata, encoded.
    """
    with pq.ParquetWriter(
        stream, schema, compression="zstd", write_page_checksum=True, version="2.6"
    ) as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(None))
        # Not as metadata of the Arrow schema, which the footer holds once more, in base64.
        writer.add_key_value_metadata({FOOTER_KEY: footer})
