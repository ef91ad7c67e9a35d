from __future__ import annotations

import base64
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit.recordings import START_NS, metadata, slow_only, syscalls_only
from tifbpf.errors import OutputExistsError, OutputUnwritableError
from tifbpf.layouts.model import Context
from tifbpf.recording import writer
from tifbpf.recording.exits import ExitClass, ExitClasses
from tifbpf.recording.metadata import FOOTER_KEY, Metadata, decode
from tifbpf.recording.place import segments_directory
from tifbpf.recording.writer import RecordingWriter

SIGPENDING = 0x2
NEED_FPU_LOAD = 0x80000


def rows() -> list[ExitClass]:
    return [
        ExitClass(context=Context.SYSCALL, word=SIGPENDING, syscall_work=0, count=3, comm="a", pid=7),
        ExitClass(context=Context.SYSCALL, word=NEED_FPU_LOAD, syscall_work=None, count=4),
        ExitClass(context=Context.SYSCALL, word=SIGPENDING, syscall_work=0x4, count=5),
    ]


def flush(to: RecordingWriter, given: list[ExitClass] | None = None) -> None:
    to.flush(
        ExitClasses.of(rows() if given is None else given),
        start_ns=START_NS,
        interval_ns=10,
        metadata=metadata(),
        recorder=(1, 2),
    )


def footer(path: Path) -> Metadata:
    return decode(pq.ParquetFile(path).metadata.metadata[FOOTER_KEY])


def test_rows_are_written_with_their_path_and_tiers(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    recording = RecordingWriter(output, force=False)
    flush(recording)
    recording.finish(metadata())
    written = pq.read_table(output, page_checksum_verification=True).to_pylist()
    assert [
        (row["word"], row["syscall_work"], row["path"], row["tier"], row["count"]) for row in written
    ] == [
        (SIGPENDING, 0, "slow", "loop", 3),
        (NEED_FPU_LOAD, None, "fast", None, 4),
        (SIGPENDING, 4, "slow", "loop+syscall_work", 5),
    ]
    assert [(row["comm"], row["pid"]) for row in written] == [("a", 7), (None, None), (None, None)]
    assert {row["interval_ns"] for row in written} == {10}


def test_rows_of_a_route_that_sees_slow_exits_only(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    about = metadata(contexts=(slow_only(Context.SYSCALL), *syscalls_only()[1:]))
    given = [
        ExitClass(
            context=Context.SYSCALL,
            word=SIGPENDING,
            syscall_work=0,
            count=3,
            latency_log2=10,
            ns=4000,
            ns_max=1500,
        ),
        # Its bit was gone when the route looked.
        ExitClass(context=Context.SYSCALL, word=NEED_FPU_LOAD, syscall_work=0, count=4),
        ExitClass(context=Context.SYSCALL, word=None, syscall_work=None, count=50, comm="a"),
    ]
    recording = RecordingWriter(output, force=False)
    recording.flush(ExitClasses.of(given), start_ns=START_NS, interval_ns=10, metadata=about, recorder=(1, 2))
    recording.finish(about)
    names = ("word", "path", "tier", "count", "latency_log2", "ns", "ns_max", "comm")
    assert [tuple(row[name] for name in names) for row in pq.read_table(output).to_pylist()] == [
        (SIGPENDING, "slow", "loop", 3, 10, 4000, 1500, None),
        (NEED_FPU_LOAD, "slow", None, 4, None, None, None, None),
        (None, "all", None, 50, None, None, None, "a"),
    ]


def test_segments_are_there_until_the_recording_is(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    recording = RecordingWriter(output, force=False)
    flush(recording)
    flush(recording)
    segments = sorted(segments_directory(output).iterdir())
    assert [path.name for path in segments] == ["000000.tif.parquet", "000001.tif.parquet"]
    about = footer(segments[1])
    assert about.segment is not None
    assert (about.segment.first, about.segment.number, about.complete, about.ended) == (
        1,
        1,
        False,
        "recording",
    )
    assert not output.exists()
    recording.finish(metadata())
    assert not segments_directory(output).exists()
    assert footer(output).complete
    assert pq.ParquetFile(output).metadata.num_rows == 6


def test_many_segments_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_ROLL_UP", 4)
    output = tmp_path / "a.tif.parquet"
    recording = RecordingWriter(output, force=False)
    for _ in range(10):
        flush(recording)
    ranges = [
        (segment.first, segment.number)
        for path in sorted(segments_directory(output).iterdir())
        if (segment := footer(path).segment)
    ]
    assert ranges == [(0, 3), (4, 7), (8, 8), (9, 9)]
    recording.finish(metadata())
    assert pq.ParquetFile(output).metadata.num_rows == 30


def test_an_interval_without_exits_is_written(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    recording = RecordingWriter(output, force=False)
    flush(recording, [])
    recording.finish(metadata())
    assert pq.ParquetFile(output).metadata.num_rows == 0


def test_a_recording_is_not_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    output.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="--force"):
        RecordingWriter(output, force=False)
    assert output.read_bytes() == b"precious"
    recording = RecordingWriter(output, force=True)
    assert output.read_bytes() == b"precious"
    flush(recording)
    recording.finish(metadata())
    assert footer(output).complete


def test_an_unfinished_recording_is_not_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    killed = RecordingWriter(output, force=False)
    flush(killed)
    killed.place.close()
    with pytest.raises(OutputExistsError, match="unfinished recording"):
        RecordingWriter(output, force=False)
    RecordingWriter(output, force=True)
    assert list(segments_directory(output).iterdir()) == []


def test_what_a_recorder_left_that_wrote_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    RecordingWriter(output, force=False).place.close()
    RecordingWriter(output, force=False)


def test_what_never_began_leaves_nothing(tmp_path: Path) -> None:
    RecordingWriter(tmp_path / "a.tif.parquet", force=False).abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["no/such/a.tif.parquet", "."])
def test_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputUnwritableError, match="cannot be written"):
        RecordingWriter(tmp_path / name, force=True)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "a.tif.parquet"
    recording = RecordingWriter(output, force=False)
    flush(recording)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputUnwritableError, match="No space left on device; what was recorded until then"):
        flush(recording)
    recording.abandon()
    # No temporary file, and the segment that was written.
    assert [path.name for path in segments_directory(output).iterdir()] == ["000000.tif.parquet"]


def test_the_metadata_is_in_the_footer_once(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    recording = RecordingWriter(output, force=False)
    flush(recording)
    recording.finish(metadata())
    assert footer(output) == metadata()
    arrow_schema = base64.b64decode(pq.ParquetFile(output).metadata.metadata[b"ARROW:schema"])
    assert b"00000000-0000-4000" not in arrow_schema


def test_flushes_share_a_row_group(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    recording = RecordingWriter(output, force=False)
    for number in range(130):
        flush(
            recording, [ExitClass(context=Context.SYSCALL, word=1, syscall_work=0, count=1, comm=f"{number}")]
        )
    recording.finish(metadata())
    written = pq.ParquetFile(output)
    assert written.num_row_groups == 1
    assert written.read(["comm"])["comm"].to_pylist() == [f"{number}" for number in range(130)]
