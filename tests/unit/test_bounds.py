"""What a file of kilobytes claims to hold is not believed."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.torture.fuzz import thrift
from tests.unit import recordings as build
from tests.unit.recordings import row
from tifbpf.errors import InputDamagedError, TifbpfError
from tifbpf.layouts import syscalls
from tifbpf.recording import bounds
from tifbpf.recording.metadata import Segment, Totals, encode, schema_of
from tifbpf.recording.reader import load
from tifbpf.recording.schema import SCHEMA

ROWS = [row(0, 1), row(2, 3)]


def test_what_is_written_is_within(tmp_path: Path) -> None:
    path = build.write(tmp_path / "a.tif.parquet", ROWS)
    with path.open("rb") as stream:
        assert sum(chunk.rows for chunk in bounds.chunks(stream)) == len(ROWS) * len(SCHEMA)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("_one_chunk_for_all", "rows$|claims bytes that the file does not have$"),
        ("_footer_length", "damaged"),
        ("_large_footer", "damaged"),
        ("_packed_json", "its footer cannot be read"),
    ],
)
def test_bombs(name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    for number in range(4):
        path.write_bytes(getattr(thrift, name)(random.Random(number)))  # noqa: S311
        with pytest.raises(InputDamagedError, match=said) as error:
            load([path])
        assert str(error.value).isprintable()


def test_a_megabyte_of_rows_that_are_all_alike(tmp_path: Path) -> None:
    """They are read as far as there may be so many of them, and not for hours."""
    path = tmp_path / "a.tif.parquet"
    path.write_bytes(thrift.alike(1_000_000))
    assert load([path])[0].num_rows == 1_000_000
    path.write_bytes(thrift.alike(2_000_000))
    with pytest.raises(InputDamagedError, match=r"bytes claims 2000000 rows$"):
        load([path])


def test_segments_that_claim_much_together(tmp_path: Path) -> None:
    """Each is one that may be; their rows would all be in memory."""
    directory = tmp_path / "a.tif.parquet.segments"
    directory.mkdir()
    for number in range(12):
        path = directory / f"{number:06}.tif.parquet"
        build.save(path, thrift.alike_rows(250_000), segment_footer(number, 250_000 * (number + 1)))
        assert path.stat().st_size < 30_000
        if number == 0:
            assert load([directory])[0].num_rows == 250_000
    with pytest.raises(InputDamagedError, match=r"files of their size hold$") as error:
        load([directory])
    assert "000000" not in str(error.value)


def test_a_segment_that_claims_much(tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    build.save(path, thrift.alike_rows(4_000_000), segment_footer(0, 4_000_000))
    with pytest.raises(InputDamagedError, match="claims"):
        load([path])


def segment_footer(number: int, recorded: int) -> bytes:
    segment = Segment(first=number, number=number, recorder_pid=1, recorder_start=1)
    return encode(build.metadata([], totals=Totals(seen=recorded, recorded=recorded), segment=segment))


@pytest.mark.parametrize("codec", ["gzip", "brotli", "lz4"])
def test_a_codec_that_is_never_written(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    about = build.metadata(ROWS)
    table = build.table(ROWS, about.layout).replace_schema_metadata({b"tifbpf": encode(about)})
    pq.write_table(table, path, compression=codec)
    with pytest.raises(InputDamagedError, match=r"never written$"):
        load([path])


def test_json_that_nests_too_deep(tmp_path: Path) -> None:
    text = b'{"schema":2,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert schema_of(text) is None
    path = tmp_path / "a.tif.parquet"
    build.save(path, build.table(ROWS, build.layout_618()), text)
    with pytest.raises(InputDamagedError, match="no schema that ever was"):
        load([path])


def test_an_abi_of_nobody_is_called_what_the_recording_calls_it() -> None:
    assert syscalls.name(39, "arm64") == "arm64:syscall_39"


def test_a_footer_that_would_end_the_process(tmp_path: Path) -> None:
    """Arrow's accessors abort where one number of it contradicts the others."""
    path = tmp_path / "a.tif.parquet"
    content = build.write(path, ROWS).read_bytes()
    refused = 0
    for number in range(300):
        path.write_bytes(thrift.with_numbers(content, random.Random(number)))  # noqa: S311
        try:
            build.load([path])
        except TifbpfError as error:
            refused += 1
            assert str(error).isprintable()  # noqa: PT017
    assert refused > 100


@pytest.mark.parametrize("number", [-1, 64, 10**18])
def test_a_layout_with_a_bit_that_no_word_has(number: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    text = encode(build.metadata(ROWS)).replace(b'"number":0', b'"number":%d' % number, 1)
    build.save(path, build.table(ROWS, build.layout_618()), text)
    with pytest.raises(InputDamagedError, match="footer cannot be read"):
        load([path])


def test_a_name_that_is_no_line(tmp_path: Path) -> None:
    path = build.write(tmp_path / "a.tif.parquet", [row(0, 1, path="\x1b[2J\n")])
    with pytest.raises(InputDamagedError) as error:
        build.load([path])
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"started_ns":1780000000000000000', b'"started_ns":' + b"9" * 30, "more than 64 bits"),
        (b'"cpus":2', b'"cpus":18446744073709551615', "more than 64 bits"),
        (b'"map_full":0,"read_failed":0', b'"map_full":-1,"read_failed":1', "total below zero"),
    ],
)
def test_numbers_that_nothing_counts(old: bytes, new: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    text = encode(build.metadata(ROWS))
    assert old in text
    build.save(path, build.table(ROWS, build.layout_618()), text.replace(old, new, 1))
    with pytest.raises(InputDamagedError, match=said):
        load([path])


def test_statistics_are_not_believed(tmp_path: Path) -> None:
    """A file without checksums, in whose only page of words another word is put."""
    path = tmp_path / "a.tif.parquet"
    table = build.table(ROWS, build.layout_618())
    table = table.replace_schema_metadata({b"tifbpf": encode(build.metadata(ROWS))})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    (word,) = (chunk for chunk in chunks_of(path) if chunk.name == "word")
    content = bytearray(path.read_bytes())
    place = content.index((2).to_bytes(8, "little"), word.first + 30)
    content[place + 6] = 1
    path.write_bytes(content)
    found = build.loaded([path]).kinds["word"].to_pylist()
    assert sorted(found) == [0, 1 << 48 | 2]


def chunks_of(path: Path) -> tuple[bounds.Chunk, ...]:
    with path.open("rb") as stream:
        return bounds.chunks(stream)
