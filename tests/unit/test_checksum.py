"""Whatever bit of a recording flips, it is not read, or it is read as if none had."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit import recordings as build
from tests.unit.recordings import row
from tifbpf.errors import InputDamagedError, TifbpfError
from tifbpf.recording import checksum, parquet
from tifbpf.recording.metadata import encode, pack
from tifbpf.recording.reader import load
from tifbpf.recording.schema import SCHEMA

ROWS = [row(number % 3, number + 1, comm=f"thread{number % 7}") for number in range(200)]


def sealed(packed: bool = False) -> bytes:
    """A recording as the writer writes it."""
    about = build.metadata(ROWS, dimensions=("comm",))
    stream = io.BytesIO()
    footer = pack(about) if packed else encode(about)
    parquet.write(stream, [build.table(ROWS, about.layout)], SCHEMA, footer)
    return stream.getvalue()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_it_is_of_the_whole_file() -> None:
    assert checksum.verify(io.BytesIO(sealed()))
    assert pq.ParquetFile(io.BytesIO(sealed())).metadata.metadata[checksum.KEY] != checksum.UNKNOWN


def test_a_recording_of_before_has_none(tmp_path: Path) -> None:
    path = build.write(tmp_path / "a.tif.parquet", ROWS, dimensions=("comm",))
    assert not checksum.verify(io.BytesIO(path.read_bytes()))
    assert build.load([path])[0].num_rows == len(ROWS)


def test_it_is_where_the_stream_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.write(b"before")
        parquet.write(stream, [build.table(ROWS, build.layout_618())], SCHEMA, b"{}")
        assert stream.tell() == path.stat().st_size
    assert checksum.verify(io.BytesIO(path.read_bytes().removeprefix(b"before")))


@pytest.mark.parametrize("packed", [False, True])
def test_every_bit_counts(packed: bool, tmp_path: Path) -> None:
    content = sealed(packed)
    path = tmp_path / "a.tif.parquet"
    unseen = 0
    for bit in range(8 * len(content)):
        changed = flipped(content, bit)
        try:
            if checksum.verify(io.BytesIO(changed)):
                pytest.fail(f"bit {bit} is not in the checksum")
        except ValueError:
            continue
        # The footer's length, the magic number or the checksum's key: to the reader it is no checksum.
        unseen += 1
        path.write_bytes(changed)
        with pytest.raises(TifbpfError) as error:
            load([path])
        assert str(error.value).isprintable()
    assert 0 < unseen < 8 * 64


def test_the_reader_looks_at_it_before_anything_else(tmp_path: Path) -> None:
    content = sealed()
    path = tmp_path / "a.tif.parquet"
    path.write_bytes(content.replace(b'"recorded":', b'"recorder":'))
    with pytest.raises(InputDamagedError, match=r"is damaged: it does not match its checksum$"):
        load([path])


def test_a_key_that_no_recording_has(tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    table = build.table(ROWS, build.layout_618())
    about = {b"tifbpf": encode(build.metadata(ROWS)), b"tifbpf.crc33": b"00000000"}
    pq.write_table(table.replace_schema_metadata(about), path)
    with pytest.raises(InputDamagedError, match=r"has what no recording has: b'tifbpf\.crc33'$"):
        load([path])
