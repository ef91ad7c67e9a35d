"""A recorder in a pid namespace of its own calls processes as they are called there, and says so."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tifbpf
from tests.live.conftest import TIFBPF, exercise, pids
from tests.torture.stand import Stand, stand
from tifbpf.recording.reader import State

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "raw_tracepoint")]

NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def by_pid(place: Stand, syscall: str) -> dict[int, int]:
    frame = tifbpf.read(place.output).exits()
    frame = frame[frame["syscall"] == syscall]
    return {int(pid): int(count) for pid, count in frame.groupby("pid")["count"].sum().items()}


def test_pids_are_those_of_the_namespace(tmp_path: Path) -> None:
    with stand(tmp_path) as place:
        outside = subprocess.Popen(
            [sys.executable, "-c", "import os\nwhile True: os.getpriority(os.PRIO_PROCESS, 0)"]
        )
        try:
            done = place.run(
                *("record", "-o", place.output, "--by", "pid,syscall", "--"),
                *exercise("signal", 1_000, "--processes", "3"),
                within=NAMESPACE,
            )
        finally:
            outside.kill()
            outside.wait()
        said = pids(subprocess.CompletedProcess((), 0, done))
        # In a namespace that has just begun they are small.
        assert len(said) == 3
        assert max(said) < 100
        assert {pid: count for pid, count in by_pid(place, "kill").items() if pid in said} == dict.fromkeys(
            said, 1_000
        )
        # What runs outside has no number there.
        assert set(by_pid(place, "getpriority")) == {0}
        (metadata,) = tifbpf.read(place.output).metadata
        assert metadata.host.pid_namespace is not None
        report = " ".join(place.run("report", place.output).split())
        assert "Recorded within a pid namespace" in report


def test_only_the_command_of_the_namespace(tmp_path: Path) -> None:
    with stand(tmp_path) as place:
        command = exercise("signal", 1_000, "--processes", "2")
        options = ("--only-command", "--by", "pid,syscall")
        done = place.run("record", "-o", place.output, *options, "--", *command, within=NAMESPACE)
        said = pids(subprocess.CompletedProcess((), 0, done))
        counted = by_pid(place, "kill")
        assert {pid: counted[pid] for pid in said} == dict.fromkeys(said, 1_000)
        assert 0 not in counted


def test_a_pid_of_the_namespace(tmp_path: Path) -> None:
    with stand(tmp_path) as place:
        script = """
mount -t proc proc /proc
python=$1; shift
"$python" -c 'import os, sys
sys.stdin.readline()
for _ in range(3000): os.getppid()' < <(sleep 3; echo) &
"$@" --pid $! -d 4
"""
        command = [*TIFBPF, "record", "-o", place.output, "--by", "pid,syscall"]
        process = place.start(
            [*NAMESPACE[:-1], "--mount", "bash", "-c", script, "bash", sys.executable, *command]
        )
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        (pid,) = by_pid(place, "getppid")
        assert pid < 100
        assert by_pid(place, "getppid") == {pid: 3_000}


def test_proc_of_another_namespace(tmp_path: Path) -> None:
    with stand(tmp_path) as place:
        options = ("record", "-o", place.output, "--pid", "1", "-d", "0.1")
        said = place.run(*options, within=NAMESPACE[:-1], code=1)
        assert said.count("\n") == 1
        assert "mount -t proc proc /proc" in said


def test_whether_its_recorder_is_at_work_is_not_guessed(tmp_path: Path) -> None:
    with stand(tmp_path) as place:
        recorder = place.recorder("--interval", "0.1", within=NAMESPACE)
        while not list(place.segments.glob("[0-9]*")):
            assert recorder.process.poll() is None
        (recording,) = tifbpf.read(place.output).recordings
        assert recording.state is State.UNFINISHED
        recorder.end(signal.SIGKILL)
