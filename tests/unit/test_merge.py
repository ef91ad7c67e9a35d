"""Merging: what it must keep, what must stay apart, and what may go wrong on the way."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tifbpf
from tests.unit import recordings as build
from tests.unit.recordings import SECOND_NS, START_NS, all_exits, load, row, slow_only, syscalls_only
from tifbpf.analysis.sides import Side
from tifbpf.errors import (
    InputRepeatedError,
    OutputExistsError,
    OutputUnwritableError,
    TifbpfError,
)
from tifbpf.layouts.model import Context, Word
from tifbpf.merging import Options, Outcome, identity, merge, place, steps
from tifbpf.merging import rows as merged_rows
from tifbpf.recording import metadata as footers
from tifbpf.recording.metadata import (
    HandlerRuns,
    Host,
    Losses,
    Merged,
    Sampling,
    SelfTest,
    Setter,
    Totals,
)
from tifbpf.recording.reader import State
from tifbpf.reporters import model

HOUR_NS = 3600 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
MIDNIGHT_NS = START_NS - START_NS % (24 * HOUR_NS)
SIGPENDING, RESCHED = 0x2, 0x10
PROVENANCE = {"recordings", "timeline", "routes", "layouts", "caveats"}


def name(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def recorded(path: Path, number: int, at_ns: int = 0, **given: Any) -> Path:
    """Ten seconds from `at_ns` after midnight: 7 fast exits, and 3 slow ones a second later."""
    start = MIDNIGHT_NS + at_ns
    rows = given.pop("rows", None) or [
        row(0, 7, time=start, syscall=1, abi="x86-64", comm="a"),
        row(SIGPENDING, 3, time=start + SECOND_NS, syscall=1, abi="x86-64", comm="a"),
    ]
    about = {"id": name(number), "started_ns": start, "dimensions": ("syscall", "comm"), **given}
    return build.write(path / f"{number}.tif.parquet", rows, **about)


def into(directory: Path, *paths: Path, step_ns: int = HOUR_NS, **given: Any) -> Outcome:
    return merge(paths, Options(step_ns=step_ns, into=directory, **given))


def files(directory: Path) -> list[Path]:
    return sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())


def reported(*paths: Path) -> dict[str, Any]:
    """Return what a report says of the exits, whatever it says of the recordings."""
    found = msgspec.to_builtins(model.build(tifbpf.read(paths), top=100))
    return {key: rounded(value) for key, value in found.items() if key not in PROVENANCE}


def rounded(value: Any) -> Any:
    """Leave out what differs: how rates were added up, and of how many recordings something is said."""
    match value:
        case float():
            return float(f"{value:.12g}")
        case dict():
            return {key: rounded(each) for key, each in value.items() if key != "recordings"}
        case list() | tuple():
            return [rounded(each) for each in value]
    return value


KILLED = """
import importlib, os, pathlib, signal, sys
from tifbpf.merging import Options, merge, place
point, after, into, *given = sys.argv[1:]
owner, name = point.rsplit(".", 1)
owner = {"os": os, "pathlib.Path": pathlib.Path, "place": place}[owner]
real = getattr(owner, name)
def deadly(*arguments, **named):
    # Unlinking a name that is not there is no step of a merge.
    if name == "unlink" and not arguments[0].exists():
        return real(*arguments, **named)
    if after == "True":
        real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, deadly)
merge(map(pathlib.Path, given), Options(step_ns=3_600_000_000_000, into=pathlib.Path(into), remove=True))
"""


class TestWhatIsKept:
    def test_every_figure_of_the_report(self, tmp_path: Path) -> None:
        every = (slow_only(Context.SYSCALL), *syscalls_only()[1:])
        given = []
        for number in range(3):
            start = MIDNIGHT_NS + number * 40 * MINUTE_NS
            rows = [
                row(SIGPENDING, 3, time=start, comm="a", latency_log2=10, ns=4000, ns_max=1500),
                row(
                    SIGPENDING, 2, time=start + 5 * SECOND_NS, comm="a", latency_log2=10, ns=3000, ns_max=1600
                ),
                row(SIGPENDING | RESCHED, 2 + number, time=start, comm="b", pid=number, syscall_work=4),
                row(0x80000, 1, time=start, comm="c", path="slow", tier=None),
                all_exits(100 + number, time=start, comm="a"),
            ]
            path = recorded(
                tmp_path,
                number,
                rows=rows,
                started_ns=start,
                contexts=every,
                dimensions=("comm", "pid"),
                losses=Losses(map_full=number, recursion=1),
                setters=(Setter(word=Word.TIF, bit="SIGPENDING", by="f", comm="x", count=5),),
                setters_lost=number,
                handlers=(
                    HandlerRuns(handler="h", bit="NOTIFY_RESUME", context=Context.SYSCALL, count=number),
                ),
            )
            given.append(path)
        expected = reported(*given)
        (result,) = into(tmp_path / "all", *given).results
        assert reported(result.path) == expected
        assert expected["accounting"]["seen"] == expected["accounting"]["recorded"] + 6
        # Two steps; the classes of each: a (timed), b, c and all.
        assert (result.steps, result.rows) == (2, 9)
        assert result.rows <= result.steps * result.classes

    def test_an_exit_is_where_its_step_is(self, tmp_path: Path) -> None:
        given = [recorded(tmp_path, number, number * 25 * MINUTE_NS) for number in range(4)]
        (result,) = into(tmp_path / "all", *given).results
        frame = tifbpf.read(result.path).timeline().reset_index()
        assert [str(time)[11:19] for time in frame["time"]] == ["00:00:00", "01:00:00"]
        # 0:00, 0:25 and 0:50; 1:15.
        assert frame["exits"].tolist() == [30, 10]
        assert frame["seconds"].tolist() == [30.0, 10.0]

    def test_time_is_the_time_that_was_observed(self, tmp_path: Path) -> None:
        given = [recorded(tmp_path, 1), recorded(tmp_path, 2, 5 * HOUR_NS, duration_ns=20 * SECOND_NS)]
        (result,) = into(tmp_path / "all", *given).results
        about = result.metadata
        assert about.duration_ns == 30 * SECOND_NS
        assert about.merged is not None
        assert (about.started_ns, about.merged.until_ns) == (
            MIDNIGHT_NS,
            MIDNIGHT_NS + 5 * HOUR_NS + 20 * SECOND_NS,
        )
        assert about.interval_ns == HOUR_NS

    def test_a_step_without_an_exit_was_observed_all_the_same(self, tmp_path: Path) -> None:
        rows = [row(0, 1, time=MIDNIGHT_NS), row(0, 1, time=MIDNIGHT_NS + 3 * HOUR_NS)]
        given = recorded(tmp_path, 1, rows=rows, duration_ns=4 * HOUR_NS, dimensions=())
        (result,) = into(tmp_path / "all", given).results
        assert result.metadata.merged is not None
        assert result.metadata.merged.idle == tuple(
            (MIDNIGHT_NS + hour * HOUR_NS, HOUR_NS) for hour in (1, 2)
        )
        lengths = pq.read_table(result.path)["interval_ns"].to_pylist()
        assert lengths == [HOUR_NS, HOUR_NS]
        (again,) = merge(
            [result.path], Options(step_ns=24 * HOUR_NS, output=tmp_path / "b.tif.parquet")
        ).results
        assert pq.read_table(again.path)["interval_ns"].to_pylist() == [4 * HOUR_NS]

    def test_a_comparison_has_an_interval_for_each_step(self, tmp_path: Path) -> None:
        given = [recorded(tmp_path, number, number * HOUR_NS) for number in range(3)]
        (result,) = into(tmp_path / "all", *given).results
        side = Side(tifbpf.read(result.path), [Context.SYSCALL])
        assert side.intervals.seconds.tolist() == [10.0, 10.0, 10.0]

    def test_dropping_adds_up(self, tmp_path: Path) -> None:
        rows = [row(SIGPENDING, 1, time=MIDNIGHT_NS, comm=comm, syscall=1, abi="x86-64") for comm in "abc"]
        given = recorded(tmp_path, 1, rows=rows, setters=(), handlers=())
        (result,) = into(tmp_path / "all", given, dropped=("comm",)).results
        (line,) = pq.read_table(result.path).to_pylist()
        assert (line["comm"], line["syscall"], line["abi"], line["count"]) == (None, 1, "x86-64", 3)
        assert result.metadata.dimensions == ("syscall",)
        # Who set a bit has the name of a thread too; not known is not nobody.
        assert result.metadata.setters is None
        (result,) = into(tmp_path / "none", given, dropped=("comm", "syscall")).results
        (line,) = pq.read_table(result.path).to_pylist()
        assert (line["syscall"], line["abi"], line["count"]) == (None, None, 3)

    def test_recordings_of_schema_1(self, tmp_path: Path) -> None:
        new, old = recorded(tmp_path, 1), recorded(tmp_path, 2, MINUTE_NS)
        table = pq.read_table(old).drop_columns(["latency_log2", "ns_max"])
        fields = [field.with_nullable(False) if field.name == "word" else field for field in table.schema]
        about = msgspec.structs.replace(load([old])[0].metadata, schema=1)
        build.save(old, pa.table(table.columns, schema=pa.schema(fields)), footers.encode(about))
        (result,) = into(tmp_path / "all", new, old).results
        assert (result.metadata.schema, result.metadata.totals.recorded) == (footers.MERGED_SCHEMA, 20)

    def test_the_weakest_self_test_is_kept(self, tmp_path: Path) -> None:
        given = []
        for number, seen in enumerate((100, 97, 99)):
            tests = (SelfTest(exercise="signal", expected=100, seen=seen),)
            contexts = (build.covered(Context.SYSCALL, self_tests=tests), *syscalls_only()[1:])
            given.append(recorded(tmp_path, number, number * HOUR_NS, contexts=contexts))
        (result,) = into(tmp_path / "all", *given).results
        (test,) = result.metadata.contexts[0].self_tests
        assert test.seen == 97

    def test_cpus_that_one_did_not_see_are_kept(self, tmp_path: Path) -> None:
        given = []
        for number, cpus in enumerate(((3,), (), (1, 3))):
            contexts = (build.covered(Context.SYSCALL, blind_cpus=cpus), *syscalls_only()[1:])
            given.append(recorded(tmp_path, number, number * HOUR_NS, contexts=contexts))
        (result,) = into(tmp_path / "all", *given).results
        assert result.metadata.contexts[0].blind_cpus == (1, 3)

    def test_how_they_ended(self, tmp_path: Path) -> None:
        given = [recorded(tmp_path, 1), recorded(tmp_path, 2, HOUR_NS, complete=False, ended="SIGTERM")]
        killed = tmp_path / "3.tif.parquet.segments"
        rows = [row(0, 5, time=MIDNIGHT_NS + 2 * HOUR_NS)]
        build.segment(
            killed,
            0,
            0,
            rows,
            recorded=5,
            id=name(3),
            host=Host(name="web1", cpus=2),
            dimensions=("syscall", "comm"),
            started_ns=MIDNIGHT_NS + 2 * HOUR_NS,
        )
        outcome = into(tmp_path / "all", *given, killed)
        # Whether its recorder is at work cannot be asked from another host.
        assert [left.path for left in outcome.left] == [killed]
        (result,) = outcome.results
        assert result.metadata.merged is not None
        assert result.metadata.merged.ended == {"SIGTERM": 1, "duration": 1}
        (found,) = load([result.path])
        assert (found.state, found.metadata.ended) == (State.PARTIAL, "1 by SIGTERM, 1 by duration")


class TestSegments:
    def test_those_of_a_killed_recorder_are_merged_and_removed(self, tmp_path: Path) -> None:
        segments = tmp_path / "a.tif.parquet.segments"
        build.segment(segments, 0, 0, [row(0, 5)], recorded=5)
        build.segment(segments, 1, 1, [row(0, 6)], recorded=11)
        (result,) = into(tmp_path / "all", tmp_path / "a.tif.parquet", remove=True).results
        assert (result.metadata.totals.recorded, result.metadata.complete) == (11, False)
        assert result.metadata.merged is not None
        assert result.metadata.merged.ended == {"killed": 1}
        assert not segments.exists()

    def test_those_beside_their_file_go_with_it(self, tmp_path: Path) -> None:
        whole = recorded(tmp_path, 1)
        build.segment(tmp_path / "1.tif.parquet.segments", 0, 0, [row(0, 5)], recorded=5, id=name(1))
        into(tmp_path / "all", whole, remove=True)
        assert [path.name for path in tmp_path.iterdir()] == ["all"]

    def test_what_has_holes_or_is_being_recorded_stays(self, tmp_path: Path) -> None:
        holes = tmp_path / "a.tif.parquet.segments"
        build.segment(holes, 0, 0, [row(0, 5)], recorded=5, id=name(1))
        build.segment(holes, 2, 2, [row(0, 5)], recorded=15, id=name(1))
        live = tmp_path / "b.tif.parquet.segments"
        build.segment(live, 0, 0, [row(0, 5)], recorded=5, id=name(2), recorder=build.myself())
        sampled = recorded(tmp_path, 3, sampling=Sampling(one_in=4))
        outcome = into(tmp_path / "all", holes, live, sampled, remove=True)
        assert [left.path for left in outcome.left] == [holes, live, sampled]
        assert (outcome.results, outcome.removed) == ((), ())
        assert all(path.exists() for path in (holes, live, sampled))


class TestWhatStaysApart:
    @pytest.mark.parametrize(
        "given",
        [
            {"host": Host(name="web2", cpus=2)},
            {"host": Host(name="web1", cpus=4)},
            {"kernel": footers.Kernel(release="6.18.45", version="#1")},
            {"filters": {"comm": "a"}},
            {"dimensions": ("syscall", "comm", "cpu")},
            {"contexts": (build.covered(Context.SYSCALL, route="return"), *syscalls_only()[1:])},
            {
                "observer_effects": (
                    footers.ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACE", ours=False, text=""),
                )
            },
            {"setters": ()},
            {"started_ns": MIDNIGHT_NS + 24 * HOUR_NS},
        ],
        ids=lambda given: next(iter(given)),
    )
    def test_others(self, tmp_path: Path, given: dict[str, Any]) -> None:
        outcome = into(tmp_path / "all", recorded(tmp_path, 1), recorded(tmp_path, 2, **given))
        assert sorted(result.metadata.totals.recorded for result in outcome.results) == [10, 10]

    def test_a_member_of_the_metadata_that_nobody_thought_of_keeps_apart(self) -> None:
        free = set(identity._SUMMED_OR_LATEST) | {"contexts", "setters", "handlers"}
        about = build.metadata()
        assert {
            field
            for field in type(about).__struct_fields__
            if getattr(identity.identity(about), field) == getattr(about, field)
        } | free == set(type(about).__struct_fields__)

    def test_one_file_is_refused_for_several(self, tmp_path: Path) -> None:
        given = [recorded(tmp_path, 1), recorded(tmp_path, 2, host=Host(name="web2", cpus=2))]
        with pytest.raises(TifbpfError, match="make 2, not one: they differ in host;"):
            merge(given, Options(step_ns=HOUR_NS, output=tmp_path / "one.tif.parquet"))
        assert not (tmp_path / "one.tif.parquet").exists()


class TestAgain:
    def test_it_changes_nothing(self, tmp_path: Path) -> None:
        given = [recorded(tmp_path, number, number * HOUR_NS) for number in range(2)]
        (first,) = into(tmp_path / "all", *given).results
        content = first.path.read_bytes()
        (second,) = into(tmp_path / "all", *given).results
        assert (second.added, second.path.read_bytes()) == (0, content)
        assert files(tmp_path / "all") == [first.path.relative_to(tmp_path / "all")]

    def test_what_is_new_is_added(self, tmp_path: Path) -> None:
        given = [recorded(tmp_path, number, number * HOUR_NS) for number in range(3)]
        for until in (1, 2, 3):
            (result,) = into(tmp_path / "all", *given[:until], remove=until == 3).results
        assert result.added == 1
        assert (result.metadata.totals.recorded, result.metadata.duration_ns) == (30, 30 * SECOND_NS)
        assert not any(path.exists() for path in given)
        at_once = merge([result.path], Options(step_ns=HOUR_NS, output=tmp_path / "b.tif.parquet")).results[0]
        assert reported(at_once.path) == reported(result.path)

    def test_a_report_of_both_is_refused(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        (result,) = into(tmp_path / "all", given).results
        with pytest.raises(InputRepeatedError, match="hold the same exits"):
            tifbpf.read([given, result.path])
        with pytest.raises(InputRepeatedError, match="hold the same exits"):
            into(tmp_path / "other", given, result.path)

    def test_another_step_beside_it_is_refused(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        (first,) = into(tmp_path / "all", given).results
        with pytest.raises(InputRepeatedError, match="holds exits of these recordings already"):
            into(tmp_path / "all", given, step_ns=24 * HOUR_NS)
        with pytest.raises(InputRepeatedError, match="merge it with --remove"):
            into(tmp_path / "all", first.path, step_ns=24 * HOUR_NS)
        (coarser,) = into(tmp_path / "all", first.path, step_ns=24 * HOUR_NS, remove=True).results
        assert files(tmp_path / "all") == [coarser.path.relative_to(tmp_path / "all")]
        assert coarser.metadata.totals.recorded == 10

    def test_one_file_by_two_names(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        (tmp_path / "link").symlink_to(given)
        (result,) = into(tmp_path / "all", given, tmp_path / "link").results
        assert result.metadata.totals.recorded == 10

    def test_one_recording_in_two_files_is_refused(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        copy = shutil.copy(given, tmp_path / "copy.tif.parquet")
        with pytest.raises(InputRepeatedError, match="hold the same exits"):
            into(tmp_path / "all", given, Path(copy))


class TestRemoving:
    def test_only_when_asked(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        assert into(tmp_path / "all", given).removed == ()
        assert given.exists()
        assert into(tmp_path / "all", given, remove=True).removed == (given,)
        assert not given.exists()

    def test_not_what_changed_since_it_was_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = recorded(tmp_path, 1)
        write = place.write

        def and_record_again(*arguments: Any) -> None:
            write(*arguments)
            recorded(tmp_path, 1, rows=[row(0, 1000, time=MIDNIGHT_NS)])

        monkeypatch.setattr(place, "write", and_record_again)
        assert into(tmp_path / "all", given, remove=True).removed == ()
        assert given.exists()

    def test_not_when_the_disk_has_something_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = [recorded(tmp_path, number, number * HOUR_NS) for number in range(2)]
        (before,) = into(tmp_path / "all", given[0]).results
        content = before.path.read_bytes()
        downsampled = merged_rows.downsampled

        def wrong(rows: Any, *arguments: Any) -> Any:
            return downsampled(rows.slice(1), *arguments)

        monkeypatch.setattr(merged_rows, "downsampled", wrong)
        with pytest.raises(TifbpfError):
            into(tmp_path / "all", *given, remove=True)
        assert all(path.exists() for path in given)
        assert before.path.read_bytes() == content
        assert len(files(tmp_path / "all")) == 1

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_not_when_it_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        given = recorded(tmp_path, 1)

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
        with pytest.raises(OutputUnwritableError, match="No space left"):
            into(tmp_path / "all", given, remove=True)
        assert given.exists()
        assert files(tmp_path / "all") == []

    def test_a_claim_to_hold_it_is_no_proof(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        (result,) = into(tmp_path / "all", given).results
        # Somebody's file under the same name, which says that the recording is in it.
        other = recorded(tmp_path, 2, rows=[row(0, 1, time=MIDNIGHT_NS)])
        about = msgspec.structs.replace(result.metadata, totals=Totals(seen=1, recorded=1), id=name(9))
        build.save(result.path, pq.read_table(other), footers.pack(about))
        with pytest.raises(OutputUnwritableError, match="says that it holds these recordings, and does not"):
            into(tmp_path / "all", given, remove=True)
        assert given.exists()

    @pytest.mark.parametrize(
        "point",
        ["os.fsync", "os.posix_fadvise", "pathlib.Path.replace", "place._sync", "pathlib.Path.unlink"],
    )
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_merge_that_is_killed(self, tmp_path: Path, point: str, after: bool) -> None:
        given = [recorded(tmp_path, number, number * HOUR_NS) for number in range(3)]
        (first,) = into(tmp_path / "all", given[0], remove=True).results
        killed = [
            sys.executable,
            "-c",
            KILLED,
            point,
            str(after),
            str(tmp_path / "all"),
            *map(str, given[1:]),
        ]
        assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
        # Whatever is there, no exit is lost, and the next merge finds what to do.
        (result,) = into(
            tmp_path / "all", first.path, *[path for path in given if path.exists()], remove=True
        ).results
        assert result.metadata.totals.recorded == 30
        assert files(tmp_path / "all") == [first.path.relative_to(tmp_path / "all")]
        assert not any(path.exists() for path in given)

    def test_two_at_once(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        (tmp_path / "all").mkdir()
        descriptor = os.open(tmp_path / "all", os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(OutputUnwritableError, match="another `tifbpf merge` is writing"):
            into(tmp_path / "all", given)
        os.close(descriptor)
        assert into(tmp_path / "all", given).results


class TestPlaces:
    @pytest.mark.parametrize(
        ("host", "component"),
        [
            ("web1.example-2", "host=web1.example-2"),
            ("../../etc", "host=..%2F..%2Fetc"),
            ("..", "host=.."),
            ("", "host="),
            ("a\0b\n\x1b[31m", "host=a%00b%0A%1B%5B31m"),
            ("a=b%2F", "host=a%3Db%252F"),
            ("žluť", "host=%C5%BElu%C5%A5"),
        ],
    )
    def test_a_host_is_one_component(self, tmp_path: Path, host: str, component: str) -> None:
        given = recorded(tmp_path, 1, host=Host(name=host, cpus=2))
        (result,) = into(tmp_path / "all", given).results
        found = result.path.relative_to(tmp_path / "all")
        assert (found.parts[:2], len(found.parts)) == ((component, "day=2026-05-28"), 3)
        assert load([result.path])[0].metadata.host.name == host

    def test_a_host_with_an_endless_name(self, tmp_path: Path) -> None:
        given = [
            recorded(tmp_path, number, host=Host(name="ž" * 5000 + str(number), cpus=2)) for number in (1, 2)
        ]
        assert len({result.path.parts for result in into(tmp_path / "all", *given).results}) == 2

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (result,) = into(tmp_path / "all", recorded(tmp_path, 1)).results
        recorded(tmp_path, 2).rename(result.path)
        with pytest.raises(OutputExistsError, match="in the way"):
            into(tmp_path / "all", tmp_path / "1.tif.parquet")

    def test_one_file_is_not_overwritten_unasked(self, tmp_path: Path) -> None:
        given = recorded(tmp_path, 1)
        options = Options(step_ns=HOUR_NS, output=tmp_path / "one.tif.parquet")
        merge([given], options)
        with pytest.raises(OutputExistsError, match="--force"):
            merge([given], options)

    def test_it_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        (result,) = into(tmp_path / "all", recorded(tmp_path, 1)).results
        assert result.path.stat().st_mode & 0o777 == 0o600


class TestFooter:
    def test_it_is_packed_and_read_back(self, tmp_path: Path) -> None:
        about = build.metadata(
            schema=footers.MERGED_SCHEMA,
            merged=Merged(sources=("a",), step_ns=1, ended={"duration": 1}, until_ns=2),
        )
        assert footers.decode(footers.pack(about)) == about
        assert len(footers.pack(about)) < len(footers.encode(about)) * 0.6
        assert footers.schema_of(footers.pack(about)) == footers.MERGED_SCHEMA

    @pytest.mark.parametrize("packed", ["*", "AAAA", "", "KLUv"])
    def test_one_that_cannot_be_unpacked_is_damaged(self, packed: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            footers.decode(msgspec.json.encode({"schema": 4, "zstd": packed}))

    def test_one_that_would_fill_the_memory(self) -> None:
        bomb = pa.Codec("zstd").compress(b"0" * (2**26 + 1), asbytes=True)
        with pytest.raises(ValueError, match="larger than"):
            footers.decode(msgspec.json.encode({"schema": 4, "zstd": base64.b64encode(bomb).decode()}))


@pytest.mark.parametrize("text", ["", "h", "0h", "7h", "25h", "2d", "-1h", "1 h", "1m", "1.5h", "٣h", "\x1b"])
def test_what_is_no_step(text: str) -> None:
    with pytest.raises(TifbpfError, match="is no step"):
        steps.parse(text)
