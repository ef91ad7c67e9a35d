"""The pages of a recording's file: their checksums, which not every Parquet reader verifies.

A column chunk is a row of pages, each a header (Thrift's compact protocol, `PageHeader` of parquet.thrift)
and its data, as compressed; `crc` is the CRC-32 of these. DuckDB reads past it, so a bit that flipped on a
disk would be summed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow.parquet as pq

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
"""Types of the compact protocol (thrift-compact-protocol.md)."""
_VARINTS = (_I16, _I32, _I64)
_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE, _CRC = 2, 3, 4
"""Fields of `PageHeader`."""
_DEEPEST = 8
"""A page header nests three structs."""


class DamagedPageError(ValueError):
    """A page that cannot be what was written."""


class _Header(NamedTuple):
    end: int
    uncompressed: int
    compressed: int
    crc: int | None


def verify(descriptor: int, metadata: pq.FileMetaData) -> None:
    """Check every page of a file against its checksum, where it has one, and its size.

    Args:
        descriptor: of the file.
        metadata: its footer.

    Raises:
        DamagedPageError: one is not what was written, or not where the footer says.
        OSError: the file cannot be read.
    """
    for group in range(metadata.num_row_groups):
        for place, name, first, size in _chunks(metadata, group):
            chunk = os.pread(descriptor, size, first)
            if len(chunk) != size:
                raise DamagedPageError(f"the column {name} ends beyond the file")
            try:
                uncompressed = _verify(chunk, name)
            except IndexError:
                raise DamagedPageError(f"a page of the column {name} is cut short") from None
            if uncompressed > metadata.row_group(group).column(place).total_uncompressed_size:
                raise DamagedPageError(f"pages of the column {name} are larger than their footer says")


def _chunks(metadata: pq.FileMetaData, group: int) -> Iterator[tuple[int, str, int, int]]:
    columns = metadata.row_group(group)
    for place in range(columns.num_columns):
        column = columns.column(place)
        # A chunk without a row has a dictionary, and no data page.
        offsets = (column.dictionary_page_offset or 0, column.data_page_offset)
        first = min((offset for offset in offsets if offset > 0), default=0)
        if not first or column.total_compressed_size < 0:
            raise DamagedPageError(f"the column {column.path_in_schema} has no place in the file")
        yield place, column.path_in_schema, first, column.total_compressed_size


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
    position, field = start, 0
    while kind := data[position] & 0xF:
        delta = data[position] >> 4
        position += 1
        if delta:
            field += delta
        else:
            number, position = _varint(data, position)
            field = number >> 1
        if kind in _VARINTS and field <= _CRC:
            number, position = _varint(data, position)
            found[field] = (number >> 1) ^ -(number & 1)
        else:
            position = _skip(data, position, kind, 0)
    return _Header(position + 1, found[_UNCOMPRESSED_SIZE], found[_COMPRESSED_SIZE], found.get(_CRC))


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise DamagedPageError("a number in a page header has no end")


def _skip(data: bytes, position: int, kind: int, depth: int) -> int:
    """Return where the value ends that begins at `position`."""
    if depth > _DEEPEST:
        raise DamagedPageError("a page header nests too deep")
    if kind in (_TRUE, _FALSE):
        return position
    if kind == _BYTE:
        return position + 1
    if kind in _VARINTS:
        return _varint(data, position)[1]
    if kind == _DOUBLE:
        return position + 8
    if kind == _BINARY:
        length, position = _varint(data, position)
        return position + length
    if kind == _STRUCT:
        while inner := data[position] & 0xF:
            explicit = not data[position] >> 4
            position += 1
            if explicit:
                position = _varint(data, position)[1]
            position = _skip(data, position, inner, depth + 1)
        return position + 1
    # Lists, sets and maps are in no page header.
    raise DamagedPageError(f"a page header has a field of type {kind}")
