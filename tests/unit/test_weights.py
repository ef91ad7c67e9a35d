"""Recordings that did not look at every exit: in the file a sample, read what it stands for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

import tifbpf
from tests.unit import recordings as build
from tests.unit.recordings import load
from tifbpf.errors import InputDamagedError
from tifbpf.layouts.model import Context
from tifbpf.recording.exits import ExitClass, ExitClasses
from tifbpf.recording.metadata import Sampling, Step, Totals
from tifbpf.recording.weights import looked_at
from tifbpf.recording.writer import RecordingWriter

SIGPENDING = 0x2
SECOND = build.SECOND_NS


def at(second: int, word: int, count: int, **given: object) -> dict[str, object]:
    return build.row(word, count, time=build.START_NS + second * SECOND, **given)


def write(path: Path, sampling: Sampling, *rows: dict[str, object], **given: object) -> Path:
    return build.write(path, rows, sampling=sampling, **given)


def test_counts_and_lengths_are_scaled_and_what_was_looked_at_is_kept(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tif.parquet",
        Sampling(one_in=10, every=4, steps=(Step(at_ns=SECOND, every=8, cost=2.0),)),
        at(0, SIGPENDING, 3, interval_ns=SECOND // 4),
        at(1, 0, 5, interval_ns=SECOND // 8, every=8),
        duration_ns=2 * SECOND,
    )
    (recording,) = load([path])
    rows = recording.rows.to_pylist()
    assert [(row["count"], row["interval_ns"], row["sampled"]) for row in rows] == [
        (3 * 40, SECOND, 3),
        (5 * 80, SECOND, 5),
    ]
    assert [row["count"] for row in looked_at(recording.rows).to_pylist()] == [3, 5]
    assert recording.estimated


def test_the_file_has_no_column_that_could_be_added_up_by_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif.parquet", Sampling(one_in=10), at(0, 0, 3))
    assert "count" not in pq.read_schema(path).names
    assert pq.read_schema(path).names[-2:] == ["one_in", "every"]


def test_a_sample_and_a_whole_are_added_up_as_what_they_stand_for(tmp_path: Path) -> None:
    sample = write(
        tmp_path / "a.tif.parquet",
        Sampling(one_in=10),
        at(0, SIGPENDING, 3),
        at(0, 0, 7),
        id="00000000-0000-4000-8000-000000000002",
    )
    whole = build.write(tmp_path / "b.tif.parquet", [at(0, SIGPENDING, 1), at(0, 0, 99)])
    both = tifbpf.read([sample, whole]).frequency().loc["syscall"]
    assert (both["exits"], both["slow"]) == (10 * 10 + 100, 10 * 3 + 1)
    assert both["share"] == pytest.approx(31 / 200)


def test_the_time_in_the_slowpath_is_scaled(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tif.parquet",
        Sampling(one_in=5),
        at(0, SIGPENDING, 2, latency_log2=10, ns=2500, ns_max=1400),
    )
    times = tifbpf.read(path).latency("context").loc["syscall"]
    assert (times["timed"], times["ns"], times["ns_max"]) == (10, 12500, 1400)


def test_one_that_never_had_to_step_down_is_exact(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif.parquet", Sampling(max_overhead=1.0), at(0, 0, 3))
    assert not load([path])[0].estimated


@pytest.mark.parametrize(
    ("sampling", "rows"),
    [
        (Sampling(every=4), [at(0, 0, 3, every=8)]),
        (Sampling(every=4), [at(0, 0, 3, every=0)]),
        (Sampling(one_in=0), [at(0, 0, 3)]),
    ],
)
def test_weights_that_the_footer_does_not_know_are_damage(
    tmp_path: Path, sampling: Sampling, rows: list[dict[str, object]]
) -> None:
    path = write(tmp_path / "a.tif.parquet", sampling, *rows)
    with pytest.raises(InputDamagedError, match="each exit stands for"):
        load([path])


@pytest.mark.parametrize(("schema", "sampling"), [(2, Sampling(one_in=2)), (3, None)])
def test_a_schema_that_says_the_opposite_of_the_footer_is_damage(
    tmp_path: Path, schema: int, sampling: Sampling | None
) -> None:
    path = tmp_path / "a.tif.parquet"
    build.write(path, [at(0, 0, 3)], sampling=sampling, schema=schema)
    with pytest.raises(InputDamagedError, match="do not agree"):
        load([path])


def test_rows_that_do_not_add_up_to_what_was_looked_at_are_damage(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tif.parquet", Sampling(one_in=10), at(0, 0, 3), totals=Totals(seen=30, recorded=30)
    )
    with pytest.raises(InputDamagedError, match="its rows hold 3 exits, and its footer says 30"):
        load([path])


def test_what_the_recorder_writes_is_what_is_read(tmp_path: Path) -> None:
    output = tmp_path / "a.tif.parquet"
    about = build.metadata(
        schema=3,
        sampling=Sampling(one_in=3, every=1, steps=(Step(at_ns=SECOND, every=2, cost=1.5),)),
        totals=Totals(seen=8, recorded=8, not_sampled=16),
    )
    writer = RecordingWriter(output, force=False)
    for number, (every, count) in enumerate([(1, 3), (2, 5)]):
        writer.flush(
            ExitClasses.of([ExitClass(context=Context.SYSCALL, word=0, syscall_work=0, count=count)]),
            start_ns=build.START_NS + number * SECOND,
            interval_ns=SECOND // every,
            metadata=about,
            recorder=(1, 2),
            every=every,
        )
    # While it lasts it is read from its segments.
    assert sorted(load([output])[0].rows["count"].to_pylist()) == [9, 30]
    writer.finish(msgspec.structs.replace(about, complete=True))
    (recording,) = load([output])
    assert recording.rows["count"].to_pylist() == [9, 30]
    assert set(recording.rows["interval_ns"].to_pylist()) == {SECOND}
    assert recording.metadata.sampling == about.sampling
