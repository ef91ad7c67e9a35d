"""Recordings as nobody wrote them: what a disk, a network or a stranger makes of honest ones.

Each kind is a function of a random generator, so that `file(number)` is always the same file.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tests.torture.fuzz import thrift
from tests.unit import recordings as build
from tests.unit.recordings import row
from tifbpf.recording import parquet
from tifbpf.recording.metadata import FOOTER_KEY, Merged, Metadata, Sampling, Step, encode, pack
from tifbpf.recording.schema import DIMENSIONS, SCHEMA
from tifbpf.recording.weights import schema_for

EXAMPLE = Path(__file__).parents[3] / "docs/example.tif.parquet"
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


@dataclass(frozen=True)
class Mutant:
    """One file."""

    kind: str
    content: bytes
    original: bytes | None = None
    """What it was made of by accident: it has to be refused, or to read as this does."""


# Honest recordings


def _rows(count: int, random_: random.Random) -> list[dict[str, Any]]:
    return [
        row(
            random_.choice((0, 0, 2, 0x12, 0x100)),
            random_.randrange(1, 1000),
            comm=f"thread{random_.randrange(9)}",
            pid=random_.randrange(300),
            cgroup=f"/system.slice/{random_.randrange(5)}.service",
            cpu=random_.randrange(4),
            syscall=random_.randrange(400),
            abi="x86-64",
            time=build.START_NS + place // 40 * build.SECOND_NS,
        )
        for place in range(count)
    ]


def _about(rows: list[dict[str, Any]], **given: Any) -> Metadata:
    return build.metadata(rows, dimensions=DIMENSIONS, **given)


@functools.cache
def written(count: int = 120, groups: int = 2, packed: bool = False) -> bytes:
    """A recording as tifbpf writes it."""
    rows = _rows(count, random.Random(count))  # noqa: S311
    about = _about(rows)
    table = build.table(rows, about.layout)
    stream = io.BytesIO()
    writer = parquet.Writer(stream, schema_for(about))
    for number in range(groups):
        writer.write(table.slice(number * count // groups, count // groups))
    if packed:
        merged = Merged(
            sources=("a", "b"), step_ns=build.SECOND_NS, ended={"duration": 2}, until_ns=build.START_NS
        )
        about = msgspec.structs.replace(about, schema=4, merged=merged)
    writer.finish(pack(about) if packed else encode(about))
    return stream.getvalue()


@functools.cache
def sampled() -> bytes:
    """A recording that did not look at every exit."""
    sampling = Sampling(
        one_in=10, every=2, max_overhead=1.0, steps=(Step(at_ns=5, every=4, cost=1.5),), recorded_ns=5 * 10**9
    )
    with tempfile.TemporaryDirectory() as directory:
        rows = [row(0, 9, every=2), row(2, 4, every=4)]
        return build.write(Path(directory) / "a", rows, sampling=sampling).read_bytes()


@functools.cache
def bare(compression: str = "none", version: str = "1.0", checksums: bool = False) -> bytes:
    """A recording without a checksum over all of it; `checksums` are those of its pages."""
    rows = _rows(120, random.Random(7))  # noqa: S311
    about = _about(rows)
    return saved(
        build.table(rows, about.layout),
        encode(about),
        compression=compression,
        data_page_version=version,
        write_page_checksum=checksums,
    )


def saved(table: pa.Table, footer: bytes, **options: Any) -> bytes:
    """Return any Parquet file with that footer."""
    stream = io.BytesIO()
    table = table.replace_schema_metadata({FOOTER_KEY: footer})
    pq.write_table(table, stream, **{"compression": "zstd", "write_page_checksum": True, **options})
    return stream.getvalue()


def small() -> Iterator[bytes]:
    """Yield what fuzzing begins with."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        rows = [row(0, 90), row(2, 10, comm="sh")]
        yield build.write(place / "a", rows, dimensions=("comm",)).read_bytes()
    about = build.metadata(rows)
    table = build.table(rows, about.layout)
    yield saved(table, encode(about), compression="none", write_page_checksum=False)
    yield saved(table, encode(about), compression="none", data_page_version="2.0", write_statistics=False)
    yield sampled()


# What a disk does: one change, and nobody corrects the checksum


def _flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _honest(random_: random.Random) -> bytes:
    return random_.choice(
        (written(), written(groups=1), written(12, 1), written(packed=True), written(1998, 3))
    )


def flipped(random_: random.Random) -> Mutant:
    """One bit, anywhere."""
    content = _honest(random_)
    return Mutant("a flipped bit", _flip(content, random_.randrange(8 * len(content))), content)


def flipped_in_data(random_: random.Random) -> Mutant:
    """One bit of a page."""
    content = _honest(random_)
    first, _ = thrift.footer_of(content)
    return Mutant("a flipped bit in data", _flip(content, random_.randrange(32, 8 * first)), content)


def overwritten(random_: random.Random) -> Mutant:
    """A block of zeros, of another place, or of noise."""
    content = _honest(random_)
    size = random_.choice((1, 4, 64, 512, 4096))
    at, other = random_.randrange(len(content)), random_.randrange(len(content))
    block = random_.choice((b"\0" * size, content[other : other + size], random_.randbytes(size)))
    changed = content[:at] + block + content[at + len(block) :]
    return Mutant("a block overwritten", changed, content)


def cut(random_: random.Random) -> Mutant:
    """The file ends early, or lacks a piece."""
    content = _honest(random_)
    at = random_.randrange(len(content))
    if random_.random() < 0.5:
        return Mutant("cut short", content[:at], content)
    gone = random_.randrange(1, 200)
    return Mutant("a piece missing", content[:at] + content[at + gone :], content)


def spliced(random_: random.Random) -> Mutant:
    """The footer of another recording behind these rows."""
    one, other = _honest(random_), random_.choice((_honest(random_), sampled(), bare(), EXAMPLE.read_bytes()))
    first, second = thrift.footer_of(one)[0], thrift.footer_of(other)[0]
    return Mutant("another's footer", one[:first] + other[second:])


# What a stranger does: whatever checksums there are, are right


def _bare(random_: random.Random) -> bytes:
    return random_.choice(
        (
            bare(),
            bare(version="2.0"),
            bare("zstd"),
            bare("snappy"),
            bare("gzip"),
            bare("zstd", "2.0", True),
            sampled(),
        )
    )


def _changed(content: bytes, random_: random.Random, first: int, end: int) -> bytes:
    changed = bytearray(content)
    for _ in range(random_.choice((1, 1, 1, 2, 3, 8))):
        at = random_.randrange(first, min(end, len(changed)))
        match random_.randrange(4):
            case 0:
                changed[at] ^= 1 << random_.randrange(8)
            case 1:
                changed[at] = random_.choice(_INTERESTING)
            case 2:
                changed[at : at + 4] = random_.randbytes(4)
            case _:
                other = random_.randrange(first, end)
                changed[at : at + 16] = changed[other : other + 16]
    return bytes(changed)


def pages_changed(random_: random.Random) -> Mutant:
    """Pages and their headers, of a file without checksums."""
    content = _bare(random_)
    return Mutant("pages changed", _changed(content, random_, 4, thrift.footer_of(content)[0]))


def footer_changed(random_: random.Random) -> Mutant:
    """Parquet's part of the footer, of a file without checksums."""
    content = _bare(random_)
    return Mutant(
        "footer changed", _changed(content, random_, thrift.footer_of(content)[0], len(content) - 8)
    )


def sealed_again(random_: random.Random) -> Mutant:
    """Any byte, with the checksum made right."""
    content = _changed(_honest(random_), random_, 4, 1 << 30)
    return Mutant("changed, and its checksum too", thrift.sealed(content))


def numbers_changed(random_: random.Random) -> Mutant:
    """Numbers of the footer and of page headers, written as Parquet has them."""
    content = _bare(random_)
    return Mutant("absurd numbers", thrift.with_numbers(content, random_))


_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**53, 2**63, 2**64 - 1, -(2**63), 10**400, 1.5, -0.0, 1e308),
    *("", "\0", "\x1b[31m", "\n", "\u202e", "a" * 70_000, [], {}, [[]], {"a": {}}, ["syscall"] * 3),
)


def _places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for name, value in items:
        yield from _places(value, (*place, name))


def _put(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return document


def json_changed(random_: random.Random) -> Mutant:
    """What the footer says in JSON."""
    rows = _rows(12, random_)
    given: dict[str, Any] = {}
    about = _about(rows, **given)
    document: Any = json.loads(encode(about))
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        place = random_.choice(list(_places(document)))
        if random_.random() < 0.2 and place:
            name = place[-1]
            inner = document
            for step in place[:-1]:
                inner = inner[step]
            del inner[name]
        else:
            document = _put(document, place, random_.choice(_ODD))
    text = json.dumps(document).encode()
    match random_.randrange(12):
        case 0:
            text = text.replace(b"web1", b"\xff\xfe", 1)
        case 1:
            text = b'{"schema":2,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        case 2:
            packed = base64.b64encode(
                random_.choice((_zeros(), b"", text, pa.compress(text, "zstd", asbytes=True)))
            )
            text = b'{"schema":4,"zstd":"' + packed + b'"}'
        case 3:
            text = text[: random_.randrange(len(text))]
    return Mutant("JSON changed", saved(build.table(rows, about.layout), text))


@functools.cache
def _zeros() -> bytes:
    return bytes(pa.compress(b"\0" * (256 << 20), "zstd", asbytes=True))


_TYPES = (
    *(
        pa.int8(),
        pa.int64(),
        pa.uint64(),
        pa.float64(),
        pa.string(),
        pa.binary(),
        pa.bool_(),
        pa.large_string(),
    ),
    *(pa.timestamp("ns"), pa.timestamp("us", tz="UTC"), pa.dictionary(pa.int8(), pa.string()), pa.null()),
)


def columns_changed(random_: random.Random) -> Mutant:
    """Columns that are missing, there twice, of another type, nested, or of nobody."""
    rows = _rows(12, random_)
    about = _about(rows)
    table = build.table(rows, about.layout)
    names = table.column_names
    place = random_.randrange(len(names))
    match random_.randrange(6):
        case 0:
            table = table.remove_column(place)
        case 1:
            table = table.append_column(table.schema.field(place), table.column(place))
        case 2:
            kind = random_.choice(_TYPES)
            table = table.set_column(place, names[place], pa.nulls(len(table), kind))
        case 3:
            nested = pa.array([[{"a": 1}]] * len(table), pa.list_(pa.struct([("a", pa.int64())])))
            table = table.set_column(place, names[place], nested)
        case 4:
            table = table.append_column("another", pa.array([{"word": 1}] * len(table)))
        case _:
            order = random_.sample(range(len(names)), len(names))
            table = table.select(order)
    return Mutant("columns changed", saved(table, encode(about)))


_NUMBERS = (0, 1, -1, 127, -128, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1, 10**18)


def values_changed(random_: random.Random) -> Mutant:
    """Values that the columns can hold and no recorder writes, under a footer that agrees with their sum."""
    rows = _rows(6, random_)
    about = _about(rows)
    table = build.table(rows, about.layout)
    for _ in range(random_.choice((1, 1, 2, 4))):
        place = random_.randrange(len(SCHEMA))
        field = SCHEMA.field(place)
        kept = (
            table.column(place).to_pylist()
            if field.name != "time"
            else table.column(place).cast("i8").to_pylist()
        )
        kept[random_.randrange(len(kept))] = (
            random_.choice(("", "\n", "a" * 100_000, "slow", "all", "\x1b[2J", "loop+loop", "interrupt"))
            if pa.types.is_dictionary(field.type)
            else random_.choice((*_NUMBERS, *([None] if field.nullable else [])))
        )
        try:
            column = pa.array(kept, pa.int64() if field.name == "time" else field.type)
        except (pa.ArrowException, OverflowError):
            continue
        table = table.set_column(place, field, column.cast(field.type))
    recorded = sum(count or 0 for count in table["count"].to_pylist())
    totals = msgspec.structs.replace(about.totals, seen=recorded, recorded=recorded)
    return Mutant("absurd values", saved(table, encode(msgspec.structs.replace(about, totals=totals))))


def bomb(random_: random.Random) -> Mutant:
    """A little that claims to be much."""
    return Mutant("bombs", random_.choice(list(thrift.bombs()))(random_))


KINDS: tuple[tuple[int, Callable[[random.Random], Mutant]], ...] = (
    (2600, flipped),
    (1000, flipped_in_data),
    (400, overwritten),
    (400, cut),
    (200, spliced),
    (1600, pages_changed),
    (1000, footer_changed),
    (500, sealed_again),
    (900, numbers_changed),
    (700, json_changed),
    (250, columns_changed),
    (300, values_changed),
    (150, bomb),
)
"""How many of 10,000 are of each kind."""
MANY = sum(share for share, _ in KINDS)


def file(number: int) -> Mutant:
    """Return the file of that number, whichever kind falls to it."""
    random_ = random.Random(number)  # noqa: S311
    (make,) = random_.choices([kind for _, kind in KINDS], [share for share, _ in KINDS])
    return make(random_)
