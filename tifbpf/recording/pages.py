"""The pages of a recording's file: their checksums, which not every Parquet reader verifies.

A column chunk is a row of pages, each a header (Thrift's compact protocol, `PageHeader` of parquet.thrift)
and its data, as compressed; `crc` is the CRC-32 of these. DuckDB reads past it, so a bit that flipped on a
disk would be summed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from tifbpf.recording.bounds import Chunk
from tifbpf.recording.thrift import NUMBERS, Compact, ThriftError

_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE, _CRC = 2, 3, 4
"""Fields of `PageHeader`."""


class DamagedPageError(ValueError):
    """A page that cannot be what was written."""


class _Header(NamedTuple):
    end: int
    uncompressed: int
    compressed: int
    crc: int | None


def verify(descriptor: int, chunks: Iterable[Chunk]) -> None:
    """Check every page of a file against its checksum, where it has one, and its size.

    Args:
        descriptor: of the file.
        chunks: where they are, of `tifbpf.recording.bounds.chunks`.

    Raises:
        DamagedPageError: one is not what was written, or not where the footer says.
        OSError: the file cannot be read.
    """
    for chunk in chunks:
        data = os.pread(descriptor, chunk.compressed, chunk.first)
        if len(data) != chunk.compressed:
            raise DamagedPageError(f"the column {chunk.name} ends beyond the file")
        try:
            uncompressed = _verify(data, chunk.name)
        except ThriftError as error:
            raise DamagedPageError(f"a page of the column {chunk.name} has no header: {error}") from None
        if uncompressed > chunk.uncompressed:
            raise DamagedPageError(f"pages of the column {chunk.name} are larger than their footer says")


def _verify(chunk: bytes, name: str) -> int:
    """Check the pages of a chunk; return the size of headers and data together, uncompressed."""
    position = whole = 0
    while position < len(chunk):
        header = _header(chunk, position)
        end = header.end + header.compressed
        if header.compressed < 0 or header.uncompressed < 0 or end > len(chunk):
            raise DamagedPageError(f"a page of the column {name} is cut short")
        data = memoryview(chunk)[header.end : end]
        if header.crc is not None and zlib.crc32(data) != header.crc & 0xFFFFFFFF:
            raise DamagedPageError(f"a page of the column {name} does not match its checksum")
        whole += header.end - position + header.uncompressed
        position = end
    return whole


def _header(data: bytes, start: int) -> _Header:
    found = {_UNCOMPRESSED_SIZE: -1, _COMPRESSED_SIZE: -1}
    header = Compact(data, start)
    for field, kind in header.fields():
        if kind in NUMBERS and field <= _CRC:
            found[field] = header.number()
        else:
            header.skip(kind)
    return _Header(header.position, found[_UNCOMPRESSED_SIZE], found[_COMPRESSED_SIZE], found.get(_CRC))
