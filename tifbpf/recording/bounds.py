"""What the footer of a recording may claim, looked at before any library believes it.

A Parquet file of kilobytes can claim rows for hours: row groups may share their pages, and a page may say
"all alike" of any number of rows. How long a reader takes, and how much memory, depends on these claims, and
Arrow ends the process where some contradict each other. So this much of the footer we read ourselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from tifbpf.recording.thrift import NUMBERS, Compact

MOST_FOOTER = 64 << 20
"""Bytes. A row group takes 1.6 kB of it, and holds 32,768 rows or more."""
_END = 8
"""The footer's length and the magic number, behind it."""
_ROWS_PER_BYTE = 16
"""Of the file. Recordings have 0.02 to 0.3, as every row has a count of its own."""
_ROWS_ANYWAY = 1 << 20
_MOST_GROUP = 256 << 20
"""Bytes of a row group, uncompressed; of 32,768 rows no column has more than 1 MB but for names."""
_WIDEST = 8
"""Bytes of a value in memory, beside the text of names."""
_MEMORY_PER_BYTE = 128
"""Of segments; those that are written take 30 to 50."""
_MEMORY_ANYWAY = 256 << 20
_CODECS = frozenset({0, 1, 6})
"""UNCOMPRESSED, SNAPPY and ZSTD of parquet.thrift: those that are written, and pyarrow's own choice."""

# Fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_NUM_ROWS, _ROW_GROUPS, _KEY_VALUES = 3, 4, 5
_COLUMNS, _GROUP_ROWS = 1, 3
_FILE_PATH, _META_DATA = 1, 3
_PATH, _CODEC, _NUM_VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA, _INDEX, _DICTIONARY = 3, 4, 5, 6, 7, 9, 10, 11


class ExcessError(ValueError):
    """A footer that no recording has."""


class Chunk(NamedTuple):
    """The pages of one column in one row group."""

    name: str
    rows: int
    codec: int
    uncompressed: int
    """Bytes, with the headers of pages."""
    compressed: int
    first: int
    """Where they begin in the file."""


def chunks(stream: BinaryIO) -> tuple[Chunk, ...]:
    """Return what a file holds by its footer, once that is something that a recording can have.

    Args:
        stream: of a file with the magic number at its end; is left somewhere.

    Raises:
        ExcessError: it is not.
        ThriftError: it is no footer at all.
        OSError: it cannot be read.
    """
    footer, size = read_footer(stream)
    rows, groups = _file(Compact(footer))
    if not 0 <= rows <= max(_ROWS_ANYWAY, _ROWS_PER_BYTE * size):
        raise ExcessError(f"a file of {size} bytes claims {rows} rows")
    if sum(held for held, _ in groups) != rows:
        raise ExcessError(f"its row groups do not hold the {rows} rows that its footer claims")
    for _, group in groups:
        if (uncompressed := sum(chunk.uncompressed for chunk in group)) > _MOST_GROUP:
            raise ExcessError(f"a row group claims {uncompressed} bytes uncompressed")
    found = tuple(chunk for _, group in groups for chunk in group)
    left = size
    for chunk in found:
        left -= chunk.compressed
        if chunk.compressed < 0 or left < 0 or not 0 < chunk.first <= size - chunk.compressed:
            raise ExcessError(f"the column {chunk.name} claims bytes that the file does not have")
        if chunk.uncompressed < 0:
            raise ExcessError(f"the column {chunk.name} claims {chunk.uncompressed} bytes uncompressed")
        if chunk.codec not in _CODECS:
            raise ExcessError(f"the column {chunk.name} is compressed in a way that is never written")
    return found


def memory(held: Iterable[Chunk]) -> int:
    """Return the bytes that chunks take at most once they are read."""
    return sum(_WIDEST * chunk.rows + chunk.uncompressed for chunk in held)


def most_memory(size: int) -> int:
    """Return the bytes that all segments of a recording may take, whose files have `size` bytes."""
    return max(_MEMORY_ANYWAY, _MEMORY_PER_BYTE * size)


def read_footer(stream: BinaryIO) -> tuple[bytes, int]:
    """Return the footer, and the size of the file.

    Raises:
        ExcessError: it claims to be longer than it can be.
        OSError: it cannot be read.
    """
    size = stream.seek(0, 2)
    stream.seek(size - _END)
    length = int.from_bytes(stream.read(4), "little")
    if length > min(size - _END, MOST_FOOTER):
        raise ExcessError(f"it claims a footer of {length} bytes")
    stream.seek(size - _END - length)
    return stream.read(length), size


def _file(footer: Compact) -> tuple[int, list[tuple[int, list[Chunk]]]]:
    rows = -1
    groups: list[tuple[int, list[Chunk]]] = []
    for field, kind in footer.fields():
        if field == _NUM_ROWS and kind in NUMBERS:
            rows = footer.number()
        elif field == _ROW_GROUPS:
            groups += [_group(footer) for _ in footer.items(kind)]
        else:
            footer.skip(kind)
    return rows, groups


def _group(footer: Compact) -> tuple[int, list[Chunk]]:
    rows = -1
    columns: list[Chunk] = []
    for field, kind in footer.fields():
        if field == _COLUMNS:
            columns += [chunk for _ in footer.items(kind) for chunk in _chunk(footer)]
        elif field == _GROUP_ROWS and kind in NUMBERS:
            rows = footer.number()
        else:
            footer.skip(kind)
    for chunk in columns:
        if chunk.rows != rows:
            raise ExcessError(f"the column {chunk.name} claims {chunk.rows} of {rows} rows")
    return rows, columns


def _chunk(footer: Compact) -> Iterator[Chunk]:
    for field, kind in footer.fields():
        if field == _META_DATA:
            yield _column(footer)
        elif field == _FILE_PATH:
            raise ExcessError("it has columns in another file")
        else:
            footer.skip(kind)


def _column(footer: Compact) -> Chunk:
    numbers = dict.fromkeys((_CODEC, _NUM_VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA, _DICTIONARY), -1)
    name = ""
    for field, kind in footer.fields():
        if field in numbers and kind in NUMBERS:
            numbers[field] = footer.number()
        elif field == _PATH:
            name = ".".join(footer.binary().decode("ascii", "replace") for _ in footer.items(kind))
        else:
            footer.skip(kind)
    # A chunk without a row has a dictionary, and no data page.
    offsets = (numbers[_DICTIONARY], numbers[_DATA])
    return Chunk(
        name=name,
        rows=numbers[_NUM_VALUES],
        codec=numbers[_CODEC],
        uncompressed=numbers[_UNCOMPRESSED],
        compressed=numbers[_COMPRESSED],
        first=min((offset for offset in offsets if offset > 0), default=0),
    )
