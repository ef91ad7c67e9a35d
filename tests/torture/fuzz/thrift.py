"""Parquet by its bytes: Thrift's compact protocol, as far as hostile files need it."""

from __future__ import annotations

import functools
import io
import random
import struct
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit import recordings as build
from tests.unit.recordings import row
from tifbpf.recording import checksum
from tifbpf.recording.metadata import Totals, encode
from tifbpf.recording.schema import SCHEMA

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
_ABSURD = (
    *(0, 1, 2, -1, 127, 128, 255, 2**15, 2**20, 2**24, 2**30, 2**31 - 1, -(2**31), 2**32, 2**40, 2**62),
    *(2**63 - 1, -(2**63)),
)


def footer_of(content: bytes) -> tuple[int, int]:
    """Return where the footer of an honest file begins, and its length."""
    size = int.from_bytes(content[-8:-4], "little")
    return len(content) - 8 - size, size


def sealed(content: bytes) -> bytes:
    """Return the file with the checksum that it should have, where there is one."""
    place = content.rfind(b"\x18\x0ctifbpf.crc32\x18\x08")
    if place < 0:
        return content
    place += 16
    import zlib

    blank = content[:place] + checksum.UNKNOWN + content[place + 8 :]
    return content[:place] + b"%08x" % zlib.crc32(blank) + content[place + 8 :]


def varint(value: int) -> bytes:
    """Return an unsigned number."""
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def zigzag(value: int) -> bytes:
    """Return a signed one."""
    return varint((value << 1 ^ value >> 63) & (1 << 64) - 1)


def numbers(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Yield where the numbers of a struct are that begins at `start`, and of those in it; last its end."""
    walker = _Walker(data, start)
    walker.struct()
    yield from walker.found
    yield walker.position, walker.position


class _Walker:
    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position
        self.found: list[tuple[int, int]] = []

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def struct(self) -> None:
        while kind := self.data[self.position] & 0xF:
            explicit = not self.data[self.position] >> 4
            self.position += 1
            if explicit:
                self.number()
            self.value(kind)
        self.position += 1

    def value(self, kind: int) -> None:
        match kind:
            case 1 | 2:
                pass
            case 3:
                self.position += 1
            case 4 | 5 | 6:
                first = self.position
                self.number()
                self.found.append((first, self.position))
            case 7:
                self.position += 8
            case 8:
                size = self.number()
                self.position += size
            case 9 | 10:
                head = self.data[self.position]
                self.position += 1
                count = head >> 4 if head >> 4 < 15 else self.number()
                for _ in range(count):
                    self.value(head & 0xF)
            case 12:
                self.struct()
            case _:
                raise ValueError(f"type {kind}")


def with_numbers(content: bytes, random_: random.Random) -> bytes:
    """Return an honest file with one or two numbers of its footer or of a page header replaced."""
    first, _ = footer_of(content)
    if random_.random() < 0.6:
        footer = content[first:-8]
        for _ in range(random_.choice((1, 1, 2))):
            *places, _end = numbers(footer, 0)
            begin, end = random_.choice(places)
            footer = footer[:begin] + zigzag(random_.choice(_ABSURD)) + footer[end:]
        return content[:first] + footer + struct.pack("<I", len(footer)) + b"PAR1"
    metadata = pq.read_metadata(io.BytesIO(content))
    column = metadata.row_group(0).column(random_.randrange(metadata.num_columns))
    start = column.dictionary_page_offset or column.data_page_offset
    *places, _ = numbers(content, start)
    begin, end = random_.choice(places)
    value = zigzag(random_.choice(_ABSURD))
    # Everything else stays where it is, unless the number has another length.
    changed = content[:begin] + value + content[end:]
    if len(value) != end - begin and random_.random() < 0.5:
        changed = content[:begin] + (value + b"\0" * 10)[: end - begin] + content[end:]
    return changed


# Bombs


def _honest(rows: int = 2) -> tuple[pa.Table, bytes]:
    lines = [row(0, 1, comm="a")] * rows
    about = build.metadata(lines, dimensions=("comm",))
    return build.table(lines, about.layout), encode(about)


def _saved(table: pa.Table, footer: bytes, **options: object) -> bytes:
    stream = io.BytesIO()
    table = table.replace_schema_metadata({b"tifbpf": footer})
    pq.write_table(table, stream, **{"compression": "zstd", **options})
    return stream.getvalue()


@functools.lru_cache(1)
def alike(count: int) -> bytes:
    """Return a recording of so many rows in so few bytes: all alike."""
    footer = encode(build.metadata([], totals=Totals(seen=count, recorded=count)))
    return _saved(alike_rows(count), footer, row_group_size=count)


def alike_rows(count: int) -> pa.Table:
    """Return rows that are all alike."""
    column = pa.chunked_array
    alike = [
        column([pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), ["a"])])
        if pa.types.is_dictionary(field.type)
        else pa.repeat(pa.scalar(1, pa.int64()).cast(field.type), count)
        for field in SCHEMA
    ]
    return pa.table(alike, schema=SCHEMA)


def _many_rows(_: random.Random) -> bytes:
    return alike(10_000_000)


def _long_text(random_: random.Random) -> bytes:
    """A name of hundreds of megabytes."""
    table, footer = _honest()
    name = "a" * random_.choice((1 << 20, 64 << 20, 512 << 20))
    place = SCHEMA.get_field_index("comm")
    return _saved(
        table.set_column(place, SCHEMA.field(place), pa.array([name, "b"]).dictionary_encode()), footer
    )


def _footer_length(random_: random.Random) -> bytes:
    content = _saved(*_honest())
    size = random_.choice((0, 1, len(content), len(content) - 8, 1 << 20, 1 << 30, (1 << 32) - 1))
    return content[:-8] + struct.pack("<I", size) + b"PAR1"


def _large_footer(random_: random.Random) -> bytes:
    """A footer that is nothing but numbers of things that follow, or a long text."""
    inner = random_.choice(
        (
            b"\x15\x02\x19\xfc" + varint(1 << 30),  # a schema of 2^30 elements
            b"\x15\x02\x19\xfc" + varint((1 << 31) - 1) + b"\0" * 1_000_000,
            b"\x15\x02\x19\x1c\x48" + varint(1 << 30),  # a name of 2^30 bytes
            b"\x1c" * 1_000_000,  # a struct in a struct
            b"\x19" * 1_000_000,
            b"\0" * (100 << 20),
        )
    )
    return b"PAR1" + inner + struct.pack("<I", len(inner)) + b"PAR1"


def _large_json(random_: random.Random) -> bytes:
    table, footer = _honest()
    text = b'{"schema": 2, "tifbpf": "' + b"a" * random_.choice((1 << 20, 50 << 20, 120 << 20)) + b'"}'
    return _saved(table, random_.choice((text, footer + b" " * (80 << 20))))


def _many_groups(random_: random.Random) -> bytes:
    table, footer = _honest(1000)
    return _saved(table, footer, row_group_size=1)


def _one_chunk_for_all(random_: random.Random) -> bytes:
    """Row groups that share their pages: a file of kilobytes with rows for hours."""
    table, _ = _honest(1 << 17)
    groups = random_.choice((100, 1000))
    count = len(table) * groups
    footer = encode(build.metadata([], totals=Totals(seen=count, recorded=count), dimensions=("comm",)))
    content = _saved(table, footer)
    first, _ = footer_of(content)
    data = content[first:-8]
    walker = _Walker(data, 0)
    # FileMetaData: version, schema, num_rows, row_groups
    walker.position += 1
    walker.value(5)
    walker.position += 1
    walker.value(9)
    walker.position += 1
    begin = walker.position
    walker.value(6)
    end = walker.position
    walker.position += 1
    head = walker.position
    walker.position += 1
    group = walker.position
    walker.struct()
    one = data[group : walker.position]
    footer = (
        data[:begin]
        + zigzag(count)
        + data[end:head]
        + b"\xfc"
        + varint(groups)
        + one * groups
        + data[walker.position :]
    )
    return content[:first] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _packed_json(random_: random.Random) -> bytes:
    import base64

    table, _ = _honest()
    zeros = pa.compress(b" " * random_.choice((70 << 20, 1 << 30)), "zstd", asbytes=True)
    return _saved(table, b'{"schema":4,"zstd":"' + base64.b64encode(zeros) + b'"}')


def bombs() -> Iterator[Callable[[random.Random], bytes]]:
    """Yield how to make them."""
    yield from (_many_rows, _long_text, _footer_length, _large_footer, _large_json, _many_groups)
    yield from (_one_chunk_for_all, _packed_json)
