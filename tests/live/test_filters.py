"""What is left out is left out where it is seen; what is lost is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import tifbpf
from tests.live.conftest import Recorder, exercise, pids, record
from tifbpf.recorder.cgroups import unified_mount

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

# Waits for a line, forks, and both make as many calls as the argument says.
PARENT = """
import os, sys
sys.stdin.readline()
if not os.fork():
    for _ in range(int(sys.argv[1])): os.getppid()
    os._exit(0)
os.wait()
for _ in range(int(sys.argv[1])): os.getppid()
"""


def waiting(n: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PARENT, str(n)], stdin=subprocess.PIPE, text=True)


def counted(frame: pd.DataFrame, **where: object) -> int:
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return int(frame["count"].sum())


def test_a_process_and_its_children(output: Path) -> None:
    process = waiting(5_000)
    recorder = Recorder(output, "--by", "pid,syscall", "--pid", str(process.pid))
    subprocess.run(exercise("signal", 100), check=True, capture_output=True)
    process.communicate("go\n")
    recorder.end()
    recordings = tifbpf.read(output)
    frame = recordings.exits()
    assert counted(frame, syscall="getppid") == 10_000
    assert counted(frame, syscall="getppid", pid=process.pid) == 5_000
    assert set(frame["pid"]) - {process.pid} != set()
    assert len(set(frame["pid"])) == 2
    (metadata,) = recordings.metadata
    assert metadata.filters["pid"] == str(process.pid)
    assert metadata.totals.filtered > 100


# Forks first; the child waits for the line and makes the calls.
CHILD = """
import os, sys
if not os.fork():
    sys.stdin.readline()
    for _ in range(int(sys.argv[1])): os.getppid()
    os._exit(0)
os.wait()
"""


def test_children_that_are_there_already(output: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", CHILD, "3000"], stdin=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.01)
    recorder = Recorder(output, "--by", "pid,syscall", "--pid", str(process.pid))
    process.communicate("go\n")
    recorder.end()
    assert counted(tifbpf.read(output).exits(), pid=int(found[0]), syscall="getppid") == 3_000


def test_only_the_command(output: Path) -> None:
    recordings, done = record(
        output, "--only-command", "--by", "pid", "--", *exercise("signal", 1_000, "--processes", "4")
    )
    frame = recordings.exits()
    signalled = frame[frame["tif"].str.contains("SIGPENDING")]
    assert {pid for pid in signalled["pid"] if pid in pids(done)} == pids(done)
    assert int(signalled[signalled["pid"].isin(list(pids(done)))]["count"].sum()) == 4_000
    # The command, its four children, and nobody else (an exercise may start helpers of its own).
    assert len(set(frame["pid"])) <= 6
    assert os.getpid() not in set(frame["pid"])


def test_a_name(output: Path) -> None:
    name = 'a"b\\c;[x]'
    script = (
        "import ctypes, os\n"
        f"ctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)\n"
        "[os.getppid() for _ in range(2000)]"
    )
    recordings, _ = record(output, "--by", "comm,syscall", "--comm", name, "--", sys.executable, "-c", script)
    frame = recordings.exits()
    assert set(frame["comm"]) == {name}
    assert counted(frame, syscall="getppid") == 2_000


def test_a_system_call(output: Path) -> None:
    recordings, _ = record(output, "--by", "syscall", "--syscall", "kill", "--", *exercise("signal", 500))
    frame = recordings.exits()
    assert set(frame["syscall"]) == {"kill"}
    assert counted(frame) >= 500
    # Without the dimension, the filter is the same.
    recordings, _ = record(output, "--force", "--syscall", "62", "--", *exercise("signal", 500))
    signalled = recordings.exits()
    assert int(signalled["count"][signalled["tif"].str.contains("SIGPENDING")].sum()) == 500


@pytest.mark.requires("two_cpus")
def test_a_cpu(output: Path) -> None:
    command = ["taskset", "-c", "0", *exercise("syscall", 1_000)]
    recordings, _ = record(output, "--by", "cpu", "--cpu", "1", "--", *command)
    assert set(recordings.exits()["cpu"]) <= {1}
    recordings, _ = record(output, "--force", "--by", "cpu,syscall", "--cpu", "0", "--", *command)
    frame = recordings.exits()
    assert set(frame["cpu"]) == {0}
    assert counted(frame, syscall="getppid") >= 1_000


@pytest.fixture
def cgroup() -> Iterator[Path]:
    mount = unified_mount()
    assert mount is not None
    outer = mount / f"tifbpf-test-{os.getpid()}"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        yield outer
    finally:
        inner.rmdir()
        outer.rmdir()


@pytest.mark.requires("cgroup2")
def test_a_cgroup_and_those_below(output: Path, cgroup: Path) -> None:
    inner = cgroup / "inner"
    process = waiting(1_000)
    (inner / "cgroup.procs").write_text(str(process.pid))
    recorder = Recorder(output, "--by", "cgroup,syscall", "--cgroup", cgroup)
    subprocess.run(exercise("signal", 100), check=True, capture_output=True)
    process.communicate("go\n")
    recorder.end()
    frame = tifbpf.read(output).exits()
    assert set(frame["cgroup"]) == {f"/{cgroup.name}/inner"}
    assert counted(frame, syscall="getppid") == 2_000


def test_tifbpf_itself(output: Path) -> None:
    recorder = Recorder(output, "--interval", "0.1", "--by", "pid", "--include-self")
    pid = recorder.process.pid
    subprocess.run(["sleep", "0.5"], check=True)
    recorder.end()
    assert pid in set(tifbpf.read(output).exits()["pid"])
    recorder = Recorder(output, "--interval", "0.1", "--by", "pid", "--force")
    pid = recorder.process.pid
    subprocess.run(["sleep", "0.5"], check=True)
    recorder.end()
    assert pid not in set(tifbpf.read(output).exits()["pid"])


def test_what_does_not_fit_is_lost_and_counted(output: Path) -> None:
    recordings, _ = record(
        output, "--map-size", "1", "--by", "syscall,pid", "--", *exercise("signal", 1_000, "--processes", "8")
    )
    (metadata,) = recordings.metadata
    totals = metadata.totals
    assert totals.losses.map_full > 1_000
    assert totals.seen == totals.recorded + totals.losses.total
    assert totals.recorded == counted(recordings.exits())


def test_dimensions_that_were_not_asked_for_are_not_there(output: Path) -> None:
    recordings, _ = record(output, "--by", "cpu", "--", "true")
    assert recordings.dimensions == ("cpu",)
    (metadata,) = recordings.metadata
    assert metadata.command[:2] == ("tifbpf", "record")
