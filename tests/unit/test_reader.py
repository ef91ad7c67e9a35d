from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit import recordings as build
from tests.unit.recordings import SECOND_NS, all_exits, load, metadata, row, segment, write
from tifbpf.errors import (
    InputDamagedError,
    InputEmptyError,
    InputForeignError,
    InputMissingError,
    InputNotParquetError,
    InputRepeatedError,
    InputTooNewError,
    InputUnreadableError,
    TifbpfError,
)
from tifbpf.layouts.model import Context, Word
from tifbpf.recording.exits import ExitClass, ExitClasses
from tifbpf.recording.metadata import (
    SCHEMA_VERSION,
    Attempt,
    Coverage,
    HandlerRuns,
    Losses,
    Metadata,
    SelfTest,
    Setter,
    Totals,
    UnseenBit,
    encode,
)
from tifbpf.recording.reader import Recording, State
from tifbpf.recording.schema import SCHEMA
from tifbpf.recording.writer import RecordingWriter

ROWS = [row(0x0, 90), row(0x2, 10)]
SLOW_ONLY = (build.slow_only(Context.SYSCALL), *build.syscalls_only()[1:])

SCHEMA_1 = pa.schema(
    [
        pa.field("time", pa.timestamp("ns", tz="UTC"), nullable=False),
        pa.field("interval_ns", pa.int64(), nullable=False),
        pa.field("context", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("syscall", pa.int32()),
        pa.field("abi", pa.dictionary(pa.int32(), pa.string())),
        pa.field("comm", pa.dictionary(pa.int32(), pa.string())),
        pa.field("pid", pa.int32()),
        pa.field("cgroup", pa.dictionary(pa.int32(), pa.string())),
        pa.field("cpu", pa.int32()),
        pa.field("word", pa.uint64(), nullable=False),
        pa.field("syscall_work", pa.uint64()),
        pa.field("path", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("tier", pa.dictionary(pa.int32(), pa.string())),
        pa.field("count", pa.uint64(), nullable=False),
        pa.field("ns", pa.uint64()),
    ]
)
"""The columns of schema 1, as tifbpf wrote them until schema 2."""


def footer_1(about: Metadata) -> bytes:
    """The footer of schema 1: what it did not have is left out."""
    document = msgspec.to_builtins(about)
    document["schema"] = 1
    for name in ("setters", "setters_lost", "handlers"):
        del document[name]
    for name in ("counted", "uncounted"):
        del document["totals"][name]
    for name in ("kprobe_misses", "unclassified"):
        del document["totals"]["losses"][name]
    for context in document["contexts"]:
        for name in ("slow_only", "attempts", "blind", "unseen", "blind_cpus"):
            del context[name]
    return msgspec.json.encode(document)


def one(path: Path) -> Recording:
    (found,) = load([path])
    return found


def exits(recording: Recording) -> int:
    return sum(recording.rows["count"].to_pylist())


def refused(path: Path, error: type[TifbpfError]) -> str:
    """The one line with which `path` is refused; it names the path."""
    with pytest.raises(error) as caught:
        load([path])
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_complete_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif.parquet", ROWS)
    found = one(path)
    assert (found.path, found.state, found.duration_ns) == (path, State.COMPLETE, 10 * SECOND_NS)
    assert found.metadata == metadata(ROWS)
    assert found.rows.schema.equals(SCHEMA)
    assert found.rows["word"].to_pylist() == [0, 2]
    assert found.rows["path"].to_pylist() == ["fast", "slow"]
    assert (found.gaps, found.missing) == ((), 0)


def test_what_the_writer_writes_is_read(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a.tif.parquet", force=False)
    classes = [
        ExitClass(context=Context.SYSCALL, word=0, syscall_work=0, count=7, comm="bash"),
        ExitClass(context=Context.SYSCALL, word=2**63 | 2, syscall_work=None, count=3, comm="žluť"),
    ]
    about = metadata(totals=Totals(seen=10, recorded=10), dimensions=("comm",))
    for number in range(2):
        writer.flush(
            ExitClasses.of(classes if number == 0 else []),
            start_ns=build.START_NS,
            interval_ns=SECOND_NS,
            metadata=about,
            recorder=build.myself(),
        )
    writer.finish(about)
    found = one(tmp_path / "a.tif.parquet")
    assert found.rows["word"].to_pylist() == [0, 2**63 | 2]
    assert found.rows["comm"].to_pylist() == ["bash", "žluť"]


class TestSchema1:
    def rows(self) -> pa.Table:
        table = build.table(ROWS, build.layout_618()).select(SCHEMA_1.names)
        return pa.table(table.columns, schema=SCHEMA_1)

    def test_is_read_with_what_it_lacks_as_null(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        build.save(path, self.rows(), footer_1(metadata(ROWS)))
        found = one(path)
        assert found.rows.schema.equals(SCHEMA)
        assert found.rows["word"].to_pylist() == [0, 2]
        assert found.rows["latency_log2"].to_pylist() == found.rows["ns_max"].to_pylist() == [None, None]
        assert found.metadata.schema == 1
        assert (found.metadata.setters, found.metadata.handlers) == (None, None)
        assert found.metadata == msgspec.structs.replace(metadata(ROWS), schema=1)

    def test_adds_up_with_schema_2(self, tmp_path: Path) -> None:
        build.save(tmp_path / "a.tif.parquet", self.rows(), footer_1(metadata(ROWS)))
        write(tmp_path / "b.tif.parquet", ROWS, id="b")
        found = load([tmp_path / "a.tif.parquet", tmp_path / "b.tif.parquet"])
        assert [exits(recording) for recording in found] == [100, 100]

    def test_its_word_is_never_null(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        build.save(
            path, build.table(ROWS, build.layout_618()).select(SCHEMA_1.names), footer_1(metadata(ROWS))
        )
        assert "column word" in refused(path, InputDamagedError)


class TestDenominator:
    """Rows that count all exits of a context whose route sees slow ones only."""

    def test_it_is_in_a_total_of_its_own(self, tmp_path: Path) -> None:
        found = one(write(tmp_path / "a.tif.parquet", [row(2, 10), all_exits(90)], contexts=SLOW_ONLY))
        assert found.metadata.totals == Totals(seen=10, recorded=10, counted=90)
        assert found.rows["path"].to_pylist() == ["slow", "all"]
        assert found.rows["word"].to_pylist() == [2, None]

    def test_it_must_add_up(self, tmp_path: Path) -> None:
        totals = Totals(seen=10, recorded=10, counted=91)
        rows = [row(2, 10), all_exits(90)]
        path = write(tmp_path / "a.tif.parquet", rows, contexts=SLOW_ONLY, totals=totals)
        assert "hold 90 exits of `all` rows, and its footer says 91" in refused(path, InputDamagedError)

    def test_it_is_no_exit_more(self, tmp_path: Path) -> None:
        totals = Totals(seen=100, recorded=100)
        rows = [row(2, 10), all_exits(90)]
        path = write(tmp_path / "a.tif.parquet", rows, contexts=SLOW_ONLY, totals=totals)
        assert "hold 10 exits, and its footer says 100" in refused(path, InputDamagedError)

    @pytest.mark.parametrize(
        "contexts",
        [
            build.syscalls_only(),
            (build.slow_only(Context.SYSCALL, denominator=None), *build.syscalls_only()[1:]),
        ],
        ids=["the route counts all", "nothing counts all"],
    )
    def test_it_must_be_announced(self, tmp_path: Path, contexts: tuple[Coverage, ...]) -> None:
        path = write(tmp_path / "a.tif.parquet", [all_exits(90)], contexts=contexts)
        assert "nothing but the route counted them" in refused(path, InputDamagedError)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (all_exits(1) | {"syscall_work": 0}, "has a syscall_work of its own"),
            (all_exits(1, path="slow", tier="loop"), "without a word is all, and a row says loop"),
            (row(0, 1, path="all", tier=None), "with word 0x0 is slow, and a row says all"),
            (row(0, 1), "with word 0x0 is slow, and a row says fast"),
        ],
    )
    def test_its_rows_have_no_word(self, tmp_path: Path, line: dict[str, Any], message: str) -> None:
        path = write(tmp_path / "a.tif.parquet", [line], contexts=SLOW_ONLY)
        assert message in refused(path, InputDamagedError)

    def test_a_slow_exit_whose_bit_was_gone(self, tmp_path: Path) -> None:
        rows = [row(0, 3, path="slow", tier=None), all_exits(9)]
        assert exits(one(write(tmp_path / "a.tif.parquet", rows, contexts=SLOW_ONLY))) == 12
        # A route that sees all exits sees them before the work.
        path = write(tmp_path / "b.tif.parquet", rows[:1])
        assert "with word 0x0 is fast, and a row says slow" in refused(path, InputDamagedError)

    def test_segments(self, tmp_path: Path) -> None:
        directory = tmp_path / "a.tif.parquet.segments"
        rows = [row(2, 1), all_exits(5)]
        for number in range(3):
            totals = Totals(seen=number + 1, recorded=number + 1, counted=5 * number + 5)
            segment(directory, number, number, rows, recorded=0, totals=totals, contexts=SLOW_ONLY)
        assert exits(one(directory)) == 18
        (directory / "000001.tif.parquet").unlink()
        found = one(directory)
        assert (exits(found), found.missing) == (12, 1)


class TestTimes:
    def test_they_are_read(self, tmp_path: Path) -> None:
        line = row(2, 3, latency_log2=10, ns=4000, ns_max=1500)
        found = one(write(tmp_path / "a.tif.parquet", [line, row(2, 1)]))
        assert found.rows["latency_log2"].to_pylist() == [10, None]
        assert found.rows["ns_max"].to_pylist() == [1500, None]

    @pytest.mark.parametrize(
        ("times", "message"),
        [
            ({"latency_log2": 10}, "has some and not all"),
            ({"ns": 1024}, "has some and not all"),
            ({"latency_log2": 10, "ns": 2000, "ns_max": 1023}, "bucket 10 are not between 1024 and 2047 ns"),
            ({"latency_log2": 10, "ns": 2048, "ns_max": 2048}, "bucket 10 are not between 1024 and 2047 ns"),
            ({"latency_log2": 10, "ns": 2047, "ns_max": 1025}, "bucket 10 are not between 1024 and 2047 ns"),
            ({"latency_log2": 0, "ns": 3, "ns_max": 1}, "bucket 0 are not between 0 and 1 ns"),
            ({"latency_log2": -1, "ns": 0, "ns_max": 0}, "a bucket -1"),
        ],
    )
    def test_they_are_in_their_bucket(self, tmp_path: Path, times: dict[str, int], message: str) -> None:
        path = write(tmp_path / "a.tif.parquet", [row(2, 2, **times)])
        assert message in refused(path, InputDamagedError)

    def test_a_fast_exit_has_none(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif.parquet", [row(0, 1, latency_log2=0, ns=1, ns_max=1)])
        assert "times of exits that are fast" in refused(path, InputDamagedError)


def test_what_is_kept_beside_the_rows(tmp_path: Path) -> None:
    tried = Attempt(
        route="prepare", reason="0 seen", self_tests=(SelfTest(exercise="signal", expected=9, seen=0),)
    )
    coverage = build.slow_only(
        Context.SYSCALL,
        attempts=(tried,),
        blind=("UPROBE",),
        unseen=(UnseenBit(word=Word.TIF, bit="UPROBE"),),
    )
    about = {
        "contexts": (coverage, *build.syscalls_only()[1:]),
        "setters": (
            Setter(word=Word.TIF, bit="NEED_RESCHED", by="resched_curr", comm="a", target="b", count=7),
        ),
        "setters_lost": 2,
        "handlers": (
            HandlerRuns(handler="task_work_run", bit="NOTIFY_RESUME", context=Context.SYSCALL, count=3),
        ),
    }
    found = one(write(tmp_path / "a.tif.parquet", [], **about)).metadata
    assert found == metadata([], **about)
    assert found.totals.losses == Losses()
    asked = one(write(tmp_path / "b.tif.parquet", [], setters=(), handlers=())).metadata
    assert (asked.setters, asked.handlers) == ((), ()), "asked, and nobody"


def test_every_loss_counts() -> None:
    assert Losses(map_full=1, read_failed=2, recursion=4, kprobe_misses=8, unclassified=16).total == 31


def test_a_partial_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif.parquet", ROWS, complete=False, ended="SIGINT")
    assert one(path).state is State.PARTIAL


def test_a_recording_of_nothing(tmp_path: Path) -> None:
    found = one(write(tmp_path / "a.tif.parquet", []))
    assert (found.state, exits(found)) == (State.COMPLETE, 0)


def test_row_groups_with_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    rows = [row(0, 1, comm="a"), row(0, 2, comm="b"), row(0, 4, comm="a")]
    schema = SCHEMA.with_metadata({b"tifbpf": encode(metadata(rows, dimensions=("comm",)))})
    with pq.ParquetWriter(path, schema) as writer:
        for line in rows:
            writer.write_table(build.table([line], build.layout_618()).cast(schema))
    found = one(path)
    grouped = found.rows.group_by(["comm"]).aggregate([("count", "sum")]).to_pylist()
    assert {line["comm"]: line["count_sum"] for line in grouped} == {"a": 5, "b": 2}


class TestRefused:
    """Each a class of its own, so that each has an exit code of its own."""

    def test_missing(self, tmp_path: Path) -> None:
        refused(tmp_path / "a.tif.parquet", InputMissingError)

    def test_empty(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        path.touch()
        refused(path, InputEmptyError)

    @pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"P", b"\0" * 100])
    def test_no_parquet(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.tif.parquet"
        path.write_bytes(content)
        refused(path, InputNotParquetError)

    def test_parquet_of_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        pq.write_table(pa.table({"word": [1]}), path)
        refused(path, InputForeignError)

    def test_a_later_schema_is_found_before_anything_that_it_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        later = SCHEMA_VERSION + 1
        build.save(path, pa.table({"other": [1]}), b'{"schema": %d, "layout": []}' % later)
        assert f"schema {later}" in refused(path, InputTooNewError)

    @pytest.mark.parametrize("footer", [b"", b"{", b"\xff\xfe", b"[]", b'{"schema": 0}', b'{"schema": "1"}'])
    def test_a_footer_without_a_schema(self, tmp_path: Path, footer: bytes) -> None:
        path = tmp_path / "a.tif.parquet"
        build.save(path, build.table(ROWS, build.layout_618()), footer)
        refused(path, InputDamagedError)

    def test_a_footer_that_lacks_a_member(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        about = msgspec.to_builtins(metadata(ROWS))
        del about["host"]
        build.save(path, build.table(ROWS, build.layout_618()), msgspec.json.encode(about))
        assert "host" in refused(path, InputDamagedError)

    def test_a_footer_without_a_context(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif.parquet", ROWS, contexts=build.syscalls_only()[:2])
        assert "three contexts" in refused(path, InputDamagedError)

    def test_a_column_is_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        table = build.table(ROWS, build.layout_618()).drop_columns(["word"])
        build.save(path, table, encode(metadata(ROWS)))
        assert "column word" in refused(path, InputDamagedError)

    def test_a_column_is_of_another_type(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        table = build.table(ROWS, build.layout_618())
        place = table.column_names.index("count")
        table = table.set_column(place, "count", table["count"].cast(pa.int64()))
        build.save(path, table, encode(metadata(ROWS)))
        assert "count is int64, not uint64" in refused(path, InputDamagedError)

    def test_a_type_is_some_of_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif.parquet"
        table = build.table(ROWS, build.layout_618())
        place = table.column_names.index("time")
        kind = pa.timestamp("ns", tz="]\x14\nC")
        table = table.set_column(place, pa.field("time", kind, False), table["time"].cast(kind))
        build.save(path, table, encode(metadata(ROWS)))
        assert r"time is timestamp[ns, tz=]\x14\nC], not" in refused(path, InputDamagedError)

    def test_rows_do_not_add_up_to_the_total(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif.parquet", ROWS, totals=Totals(seen=99, recorded=99))
        message = refused(path, InputDamagedError)
        assert "100" in message
        assert "99" in message

    def test_seen_is_not_recorded_and_lost(self, tmp_path: Path) -> None:
        totals = Totals(seen=105, recorded=100, losses=Losses(map_full=4))
        path = write(tmp_path / "a.tif.parquet", ROWS, totals=totals)
        message = refused(path, InputDamagedError)
        assert "105" in message
        assert "4 lost" in message

    def test_a_row_of_a_context_that_was_not_covered(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif.parquet", [row(0, 1, context="interrupt")])
        assert "interrupt" in refused(path, InputDamagedError)

    def test_a_row_that_contradicts_the_layout(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif.parquet", [row(0x2, 1, path="fast", tier=None)])
        assert "word 0x2 is loop, and a row says fast" in refused(path, InputDamagedError)

    def test_a_directory_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()
        refused(tmp_path, InputForeignError)

    def test_a_pipe(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        refused(path, InputUnreadableError)

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        refused(tmp_path / ("a" * 300), InputUnreadableError)

    def test_a_path_below_a_file(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif.parquet", ROWS)
        with pytest.raises(TifbpfError):
            load([path / "b"])

    def test_a_name_with_a_newline_stays_on_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(InputMissingError) as caught:
            load([tmp_path / "a\n\x1b[31m"])
        assert "a\\n\\x1b[31m" in str(caught.value)

    def test_one_recording_twice(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif.parquet", ROWS)
        copy = shutil.copy(path, tmp_path / "b.tif.parquet")
        with pytest.raises(InputRepeatedError, match="give it once"):
            load([path, copy])


def test_permission_denied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif.parquet", ROWS)
    path.chmod(0)
    tmp_path.chmod(0o755)
    if os.geteuid() == 0:
        pid = os.fork()
        if pid == 0:  # root reads everything, so somebody else has to try
            code = 99
            try:
                for directory in (tmp_path.parent, tmp_path.parent.parent):
                    directory.chmod(0o755)
                os.setresuid(65534, 65534, 65534)
                load([path])
            except InputUnreadableError as error:
                code = 0 if "Permission denied" in str(error) else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    else:
        assert "Permission denied" in refused(path, InputUnreadableError)


def test_whatever_byte_is_wrong_no_other_exception_gets_out(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.tif.parquet", ROWS).read_bytes())
    path = tmp_path / "b.tif.parquet"
    messages = []
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            load([path])
        except TifbpfError as error:
            messages.append(str(error))
    assert len(messages) > len(content) / 7 / 2
    assert not any("\n" in message for message in messages)


def test_a_wrong_byte_in_a_page_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif.parquet", [row(0x2, count) for count in range(1, 200)])
    column = pq.ParquetFile(path).metadata.row_group(0).column(SCHEMA.names.index("count"))
    end = column.dictionary_page_offset + column.total_compressed_size
    content = bytearray(path.read_bytes())
    content[end - 1] ^= 0x01
    path.write_bytes(content)
    refused(path, InputDamagedError)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_damaged(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "a.tif.parquet", ROWS)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "cut short" in refused(path, InputDamagedError)


class TestSegments:
    @pytest.fixture
    def output(self, tmp_path: Path) -> Path:
        return tmp_path / "a.tif.parquet"

    @pytest.fixture
    def directory(self, output: Path) -> Path:
        return output.with_name("a.tif.parquet.segments")

    def test_of_a_killed_recorder(self, output: Path, directory: Path) -> None:
        segment(directory, 0, 0, [row(0, 5)], recorded=5)
        segment(directory, 1, 1, [row(2, 7)], recorded=12)
        (directory / ".000002.tif.parquet.tmp").write_bytes(b"half")
        for path in (output, directory):
            found = one(path)
            assert (found.state, found.path) == (State.KILLED, directory)
            assert (exits(found), found.duration_ns, found.gaps) == (12, 2 * SECOND_NS, ())

    def test_of_a_recorder_at_work(self, output: Path, directory: Path) -> None:
        segment(directory, 0, 0, [row(0, 5)], recorded=5, recorder=build.myself())
        assert one(output).state is State.RECORDING

    def test_of_a_process_that_has_the_pid_of_the_recorder(self, output: Path, directory: Path) -> None:
        pid, start = build.myself()
        segment(directory, 0, 0, [row(0, 5)], recorded=5, recorder=(pid, start - 1))
        assert one(output).state is State.KILLED

    def test_of_another_host(self, output: Path, directory: Path) -> None:
        host = msgspec.structs.replace(metadata().host, name=f"not-{socket.gethostname()}")
        segment(directory, 0, 0, [row(0, 5)], recorded=5, host=host)
        assert one(output).state is State.UNFINISHED

    def test_the_file_wins(self, output: Path, directory: Path) -> None:
        segment(directory, 0, 0, [row(0, 5)], recorded=5)
        write(output, ROWS)
        for path in (output, directory):
            assert (one(path).state, exits(one(path))) == (State.COMPLETE, 100)

    def test_a_rolled_up_segment_beside_its_parts(self, output: Path, directory: Path) -> None:
        segment(directory, 0, 3, [row(0, 5), row(2, 7)], recorded=12)
        segment(directory, 2, 2, [row(2, 4)], recorded=9)
        segment(directory, 3, 3, [row(2, 3)], recorded=12)
        segment(directory, 4, 4, [row(2, 1)], recorded=13)
        found = one(output)
        assert (exits(found), found.duration_ns, found.gaps) == (13, 5 * SECOND_NS, ())

    def test_gaps_are_named_and_counted(self, output: Path, directory: Path) -> None:
        segment(directory, 1, 1, [row(0, 5)], recorded=8)
        segment(directory, 2, 2, [row(2, 7)], recorded=15)
        segment(directory, 5, 5, [row(2, 1)], recorded=20)
        found = one(output)
        assert found.gaps == ((0, 0), (3, 4))
        assert (exits(found), found.missing) == (13, 7)
        assert found.duration_ns == 3 * SECOND_NS

    def test_one_segment_alone(self, directory: Path) -> None:
        segment(directory, 0, 0, [row(0, 5)], recorded=5)
        path = segment(directory, 1, 1, [row(2, 7)], recorded=12)
        assert (one(path).gaps, exits(one(path)), one(path).missing) == (((0, 0),), 7, 5)

    def test_segments_given_one_by_one_are_one_recording(self, directory: Path) -> None:
        paths = [
            segment(directory, 0, 0, [row(0, 5)], recorded=5),
            segment(directory, 1, 1, [row(2, 7)], recorded=12),
        ]
        (found,) = load(paths)
        assert exits(found) == 12

    def test_segments_that_overlap(self, output: Path, directory: Path) -> None:
        segment(directory, 0, 2, [row(0, 5)], recorded=5)
        segment(directory, 1, 3, [row(2, 7)], recorded=12)
        with pytest.raises(InputDamagedError, match="flushes 1-3"):
            load([output])

    def test_segments_hold_more_than_their_total(self, output: Path, directory: Path) -> None:
        segment(directory, 1, 1, [row(0, 5)], recorded=4)
        with pytest.raises(InputDamagedError, match="hold 5 exits"):
            load([output])

    def test_no_segment_yet(self, output: Path, directory: Path) -> None:
        directory.mkdir()
        with pytest.raises(InputEmptyError, match="no segment yet"):
            load([output])

    def test_what_the_writer_leaves_when_killed(self, output: Path) -> None:
        writer = RecordingWriter(output, force=False)
        about: Metadata = metadata(host=msgspec.structs.replace(metadata().host, name=socket.gethostname()))
        for number in range(130):  # rolled up once and once again
            writer.flush(
                ExitClasses.of([ExitClass(context=Context.SYSCALL, word=2, syscall_work=0, count=1)]),
                start_ns=build.START_NS + number * SECOND_NS,
                interval_ns=SECOND_NS,
                metadata=msgspec.structs.replace(
                    about,
                    totals=Totals(seen=number + 1, recorded=number + 1),
                    duration_ns=(number + 1) * SECOND_NS,
                ),
                recorder=(2**22 + 1, 1),
            )
        found = one(output)
        assert (found.state, exits(found), found.gaps) == (State.KILLED, 130, ())
        assert found.duration_ns == 130 * SECOND_NS

    def test_of_a_recorder_that_goes_on_while_they_are_read(self, output: Path) -> None:
        flushes = 140

        def record() -> None:
            writer = RecordingWriter(output, force=False)
            for number in range(1, flushes + 1):
                about = metadata(
                    host=msgspec.structs.replace(metadata().host, name=socket.gethostname()),
                    totals=Totals(seen=number, recorded=number),
                    duration_ns=number * SECOND_NS,
                )
                writer.flush(
                    ExitClasses.of([ExitClass(context=Context.SYSCALL, word=2, syscall_work=0, count=1)]),
                    start_ns=build.START_NS + number * SECOND_NS,
                    interval_ns=SECOND_NS,
                    metadata=about,
                    recorder=build.myself(),
                )
            writer.finish(about)

        recorder = threading.Thread(target=record)
        recorder.start()
        counts = [0]
        while recorder.is_alive():
            with contextlib.suppress(InputMissingError, InputEmptyError):  # before the first flush
                found = one(output)
                assert (found.state, found.gaps) in ((State.RECORDING, ()), (State.COMPLETE, ()))
                counts.append(exits(found))
        recorder.join()
        assert counts == sorted(counts)
        assert (one(output).state, exits(one(output))) == (State.COMPLETE, flushes)
