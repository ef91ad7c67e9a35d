"""Many recordings: the same figures by every engine, from every kind of store, whoever dies meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

import tifbpf
from tests.unit import recordings as build
from tests.unit.recordings import SECOND_NS, START_NS, all_exits, row, slow_only, syscalls_only
from tifbpf.engines.choose import chosen
from tifbpf.engines.dask import DaskEngine
from tifbpf.engines.loading import load
from tifbpf.errors import InputDamagedError, InputMissingError, TifbpfError
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Host, Kernel, Losses, Sampling
from tifbpf.recording.reader import interned, parts_of
from tifbpf.reporters import csv, model, sections

HOSTS = 24


def recorded(directory: Path, number: int) -> Path:
    """A recording of any kind that there is: two kernels, two routes, times, samples, merged and not."""
    chance = random.Random(number)  # noqa: S311 (no secret)
    start = START_NS + number * SECOND_NS
    rows = [
        row(
            chance.choice([0, 0x1, 0x2, 0x13]),
            chance.randrange(1, 2**40),
            time=start + chance.randrange(5) * SECOND_NS,
            comm=chance.choice("abcdefgh"),
            cpu=chance.randrange(4),
        )
        for _ in range(30)
    ]
    about: dict[str, Any] = {}
    if number % 4 == 1:
        about = {"contexts": (slow_only(Context.SYSCALL), *syscalls_only()[1:])}
        rows = [line | {"path": "slow"} for line in rows if line["word"]]
        rows += [all_exits(2**50, time=start, comm=comm, cpu=0) for comm in "abcdefgh"]
        rows += [
            row(2, 5, time=start, comm="a", cpu=1, latency_log2=10, ns=6000 + number, ns_max=1500 + number)
        ]
    elif number % 4 == 2:
        about = {"layout": build.layout_612(), "kernel": Kernel(release="6.12.90", version="#1")}
        rows = [line | {"syscall_work": None} for line in rows]
    elif number % 4 == 3:
        about = {"sampling": Sampling(one_in=8)}
    return build.write(
        directory / f"{number:03}.tif.parquet",
        rows,
        id=f"00000000-0000-4000-8000-{number:012}",
        host=Host(name=f"web{number % (HOSTS // 2)}", cpus=4),
        dimensions=("comm", "cpu"),
        started_ns=start,
        losses=Losses(map_full=number),
        **about,
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fleet")
    for number in range(HOSTS):
        recorded(directory, number)
    return directory


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskEngine]:
    engine = DaskEngine(workers=2)
    yield engine
    engine.close()


def told(recordings: tifbpf.Recordings) -> str:
    report = model.build(recordings, top=1000, by=("host", *recordings.dimensions))
    return msgspec.json.encode(report).decode()


def frames(recordings: tifbpf.Recordings) -> dict[str, pd.DataFrame]:
    """Return every frame that there is."""
    return {
        "frequency": recordings.frequency(),
        "frequency by two": recordings.frequency(["host", "comm"]),
        **{f"by {name}": recordings.by(name) for name in ("host", "comm", "cpu")},
        "exits": recordings.exits(),
        "latency": recordings.latency("word"),
        "latency_histogram": recordings.latency_histogram(),
        "timeline of steps": recordings.timeline("3s"),
        "timeline_by_bit of steps": recordings.timeline_by_bit("3s"),
        **{
            name: getattr(recordings, name)()
            for name in (
                *("bits", "words", "cooccurrence", "needs", "tiers", "timeline", "timeline_by_bit"),
                *("timeline_of_all", "losses", "totals", "coverage", "effects", "layout_evidence"),
                *("setters", "handlers"),
            )
        },
    }


class TestEngines:
    def test_they_say_the_same_to_the_last_count(self, fleet: Path, cluster: DaskEngine) -> None:
        local, dask = tifbpf.read(fleet), tifbpf.read(fleet, engine=cluster)
        assert told(dask) == told(local)
        expected = frames(local)
        for name, frame in frames(dask).items():
            pd.testing.assert_frame_equal(frame, expected[name], obj=name)
        assert int(local.totals()["exits"]["recorded"]) > 2**48

    def test_a_worker_is_killed_half_way(
        self, fleet: Path, cluster: DaskEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tifbpf.engines.dask._BATCH", 1)
        expected = told(tifbpf.read(fleet))
        before = cluster.client.run(os.getpid)
        assert len(set(before.values())) == 2
        victim = next(iter(before.values()))
        killed = threading.Event()

        def kill() -> None:
            # As soon as it has done something of what is asked now: that is lost, and must be done again.
            while not cluster.client.run_on_scheduler(_is_at_work):
                time.sleep(0.001)
            os.kill(victim, signal.SIGKILL)
            killed.set()

        killer = threading.Thread(target=kill)
        killer.start()
        found = told(tifbpf.read(fleet, engine=cluster))
        killer.join(30)
        assert killed.is_set()
        assert found == expected
        assert victim not in cluster.client.run(os.getpid).values()

    def test_a_damaged_file_is_named_by_both(self, fleet: Path, cluster: DaskEngine, tmp_path: Path) -> None:
        for path in fleet.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        damaged = tmp_path / "013.tif.parquet"
        content = bytearray(damaged.read_bytes())
        content[60:200] = bytes(byte ^ 0xFF for byte in content[60:200])
        damaged.write_bytes(content)
        errors = []
        for engine in (None, cluster):
            with pytest.raises(InputDamagedError) as caught:
                tifbpf.read(tmp_path, engine=engine)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]
        assert str(damaged) in errors[0]
        assert "\n" not in errors[0]

    def test_a_lie_about_the_rows_is_found_by_both(self, cluster: DaskEngine, tmp_path: Path) -> None:
        for number in range(3):
            recorded(tmp_path, number)
        totals = build.Totals(seen=5, recorded=5)
        identity = "00000000-0000-4000-8000-00000000000a"
        build.write(tmp_path / "lie.tif.parquet", [row(0, 4)], totals=totals, id=identity)
        for engine in (None, cluster):
            with pytest.raises(InputDamagedError, match=r"lie.*hold 4 exits, and its footer says 5"):
                tifbpf.read(tmp_path, engine=engine)

    def test_segments_and_relative_names(
        self, cluster: DaskEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        build.segment(tmp_path / "a.tif.parquet.segments", 0, 0, [row(0, 5)], recorded=5)
        build.segment(tmp_path / "a.tif.parquet.segments", 1, 1, [row(2, 6)], recorded=11)
        (tmp_path / "empty.tif.parquet").touch()
        with pytest.raises(TifbpfError, match=r"^empty.tif.parquet is empty"):
            tifbpf.read("empty.tif.parquet", engine=cluster)
        found = tifbpf.read("a.tif.parquet", engine=cluster)
        assert found.frequency().loc["syscall", ["exits", "slow"]].tolist() == [11, 6]
        assert told(found) == told(tifbpf.read("a.tif.parquet"))

    def test_what_recordings_share_is_kept_once(self, fleet: Path, cluster: DaskEngine) -> None:
        parts = cluster.parts(sorted(fleet.iterdir()))
        assert len({id(part.metadata.layout) for part in parts}) == 2
        alone = [part for path in sorted(fleet.iterdir()) for part in parts_of(path)]
        assert [part.metadata for part in interned(alone)] == [part.metadata for part in alone]

    def test_a_scheduler_elsewhere(self, fleet: Path, tmp_path: Path) -> None:
        """A cluster that others started, and whose workers know nothing of our directory."""
        scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
        place = tmp_path / "scheduler.json"
        started = [
            subprocess.Popen([*scheduler, "--port", "0", "--scheduler-file", place], **QUIET),
        ]
        try:
            while not place.exists() or not place.read_text():
                time.sleep(0.01)
            address = msgspec.json.decode(place.read_bytes())["address"]
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
            started.append(subprocess.Popen([*worker, "--nthreads", "2"], cwd=tmp_path, **QUIET))
            relative = Path(os.path.relpath(fleet))
            with chosen(f"dask:{address}") as engine:
                assert told(tifbpf.read(relative, engine=engine)) == told(tifbpf.read(relative))
        finally:
            for process in started:
                process.terminate()
                process.wait(10)

    @pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1:1"])
    def test_nobody_at_the_address(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tifbpf.engines.dask._PATIENCE", "0.2s")
        with (
            pytest.raises(TifbpfError, match="no scheduler of Dask answers") as caught,
            chosen(f"dask:{address}"),
        ):
            pass
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["", "spark", "dask:", "duckdb:x", "Dask"])
    def test_no_such_engine(self, name: str) -> None:
        with pytest.raises(TifbpfError, match="there is no engine"), chosen(name):
            pass

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(TifbpfError, match=r"tifbpf\[fleet\]"), chosen("dask"):
            pass


QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def _is_at_work(dask_scheduler: Any) -> bool:
    states = [task.state for task in dask_scheduler.tasks.values()]
    return "memory" in states and "processing" in states


@pytest.fixture(scope="module")
def bucket(fleet: Path) -> Iterator[str]:
    """An object store that speaks S3, on loopback."""
    import boto3
    from moto.server import ThreadedMotoServer

    patch = pytest.MonkeyPatch()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)
    store = boto3.client("s3")
    store.create_bucket(Bucket="fleet")
    for path in fleet.iterdir():
        host_name = load([path], tifbpf.engines.local.shared()).recordings[0].metadata.host.name
        key = f"host={host_name}/day=2026-05-28/{path.name}"
        store.put_object(Bucket="fleet", Key=key, Body=path.read_bytes())
    store.put_object(Bucket="fleet", Key="bad/x.tif.parquet", Body=b"PAR1")
    yield "s3://fleet"
    server.stop()
    patch.undo()


class TestStores:
    @pytest.mark.parametrize("suffix", ["/host=*/**/*.parquet", "/host=*/day=2026-05-28/*"])
    def test_a_pattern_of_an_object_store(self, fleet: Path, bucket: str, suffix: str) -> None:
        assert figures(tifbpf.read(bucket + suffix)) == figures(tifbpf.read(fleet))

    def test_a_directory_of_it_in_the_workers(self, fleet: Path, bucket: str) -> None:
        # Its workers take the environment of this process, and so know where the store is.
        engine = DaskEngine(workers=1)
        try:
            one = tifbpf.read(f"{bucket}/host=web1", engine=engine)
        finally:
            engine.close()
        assert [str(found.path).rpartition("/")[0] for found in one.recordings] == [
            f"{bucket}/host=web1/day=2026-05-28"
        ] * 2

    def test_what_is_not_there(self, bucket: str) -> None:
        for name in (f"{bucket}/none.tif.parquet", f"{bucket}/host=none/**/*.parquet"):
            with pytest.raises(InputMissingError) as caught:
                tifbpf.read(name)
            assert name in str(caught.value)
        with pytest.raises(InputDamagedError, match=r"^s3://fleet/bad/x.tif.parquet is cut short"):
            tifbpf.read(f"{bucket}/bad/x.tif.parquet")

    def test_a_store_that_does_not_answer(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        import fsspec

        fsspec.get_filesystem_class("s3").clear_instance_cache()
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(TifbpfError, match="cannot be read") as caught:
            tifbpf.read(f"{bucket}/host=web2/x.tif.parquet")
        assert "\n" not in str(caught.value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def figures(recordings: tifbpf.Recordings) -> str:
    """Return what is told but for where it is from."""
    report = model.build(recordings, top=1000, by=("host", "comm", "cpu"))
    lines = csv.render(report).splitlines()
    # Shares, rates and limits are sums of fractions over recordings, whose order is not the same.
    return "\n".join(sorted(line for line in lines if "." not in line.rpartition(",")[2]))


class TestHosts:
    def test_host_is_a_dimension_of_every_recording(self, tmp_path: Path) -> None:
        for number, (name, slow) in enumerate((("b", 10), ("a", 30), ("b", 40))):
            rows = [row(0x2, slow), row(0, 100 - slow)]
            identity = f"00000000-0000-4000-8000-{number:012}"
            build.write(tmp_path / f"{number}.tif.parquet", rows, host=Host(name=name, cpus=1), id=identity)
        frame = tifbpf.read(tmp_path).by("host")
        assert frame.index.tolist() == ["b", "a"]
        assert frame["exits"].tolist() == [200, 100]
        assert frame["slow"].tolist() == [50, 30]
        assert frame["trigger"].tolist() == ["SIGPENDING", "SIGPENDING"]
        # Of each host's own 20 and 10 seconds.
        assert frame["exits_per_second"].tolist() == [10, 10]
        assert frame["slow_per_second"].tolist() == [2.5, 3]

    def test_a_thousand_recordings_are_as_readable_as_ten(self, tmp_path: Path) -> None:
        for number in range(300):
            rows = [row(0x2, 1 + number, comm="a")]
            partial = {"complete": False, "ended": "SIGTERM"} if number % 2 else {}
            build.write(
                tmp_path / f"{number:04}.tif.parquet",
                rows,
                id=f"00000000-0000-4000-8000-{number:012}",
                host=Host(name=f"web{number}", cpus=1),
                dimensions=("comm",),
                kernel=Kernel(release=f"6.18.{number % 7}", version="#1"),
                contexts=(
                    build.covered(
                        Context.SYSCALL,
                        self_tests=(build.SelfTest(exercise="signal", expected=9, seen=number),),
                    ),
                    *syscalls_only()[1:],
                ),
                filters={"comm": f"c{number}"},
                **partial,
            )
        report = model.build(tifbpf.read(tmp_path), by=("host",))
        assert len(report.recordings) == 300
        whole = str(sections.sections(report))
        assert len(whole) < 20_000
        assert "300 recordings" in whole
        assert "complete (150); partial (150)" in whole
        assert len(report.caveats) < 40
