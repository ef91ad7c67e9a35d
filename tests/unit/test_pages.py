"""Every page of a recording is what was written, or the recording is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.recordings import row, write
from tifbpf.recording import bounds, pages
from tifbpf.recording.bounds import Chunk
from tifbpf.recording.schema import SCHEMA


def chunks(path: Path) -> tuple[Chunk, ...]:
    with path.open("rb") as stream:
        return bounds.chunks(stream)


def verified(path: Path, found: tuple[Chunk, ...] | None = None) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pages.verify(descriptor, chunks(path) if found is None else found)
    finally:
        os.close(descriptor)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rows = [row(number % 3, number + 1, comm=f"thread{number % 7}") for number in range(5_000)]
    return write(tmp_path / "a.tif.parquet", rows)


def data_of(path: Path) -> list[tuple[int, int]]:
    """Where the data of pages is that a checksum covers."""
    found = []
    content = path.read_bytes()
    for chunk in chunks(path):
        position = chunk.first
        while position < chunk.first + chunk.compressed:
            header = pages._header(content[position : chunk.first + chunk.compressed], 0)
            position += header.end
            found.append((position, position + header.compressed))
            position += header.compressed
    return found


def test_chunks_are_what_arrow_says(recording: Path) -> None:
    footer = pq.read_metadata(recording)
    columns = [
        footer.row_group(group).column(place)
        for group in range(footer.num_row_groups)
        for place in range(footer.num_columns)
    ]
    assert [
        (chunk.name, chunk.rows, chunk.uncompressed, chunk.compressed) for chunk in chunks(recording)
    ] == [
        (
            column.path_in_schema,
            column.num_values,
            column.total_uncompressed_size,
            column.total_compressed_size,
        )
        for column in columns
    ]


def test_what_was_written_is_accepted(recording: Path) -> None:
    verified(recording)


def test_every_flipped_bit_of_the_data_is_found(recording: Path, tmp_path: Path) -> None:
    found = chunks(recording)
    content = bytearray(recording.read_bytes())
    places = [place for start, end in data_of(recording) for place in range(start, end)]
    assert len(places) > 1_000
    for place in places[:: len(places) // 500]:
        bit = 1 << place % 8
        content[place] ^= bit
        (tmp_path / "b.tif.parquet").write_bytes(content)
        with pytest.raises(pages.DamagedPageError, match="does not match its checksum"):
            verified(tmp_path / "b.tif.parquet", found)
        content[place] ^= bit


def test_a_chunk_that_the_file_does_not_hold(recording: Path) -> None:
    found = chunks(recording)
    os.truncate(recording, 200)
    with pytest.raises(pages.DamagedPageError):
        verified(recording, found)


def test_pages_without_checksums_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": list(range(10_000))}), path)
    verified(path)


def test_pages_of_the_second_version(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"a": [None, *range(10_000)]}), path, data_page_version="2.0", write_page_checksum=True
    )
    verified(path)


def test_nothing_recorded(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(SCHEMA.empty_table(), path, write_page_checksum=True)
    verified(path)
