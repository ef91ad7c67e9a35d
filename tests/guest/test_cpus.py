"""CPUs that go offline and come back while something is attached."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tifbpf
from tests.live.conftest import Recorder, run
from tests.live.hits import Hits
from tests.live.test_known_answers import having
from tests.live.test_links import GETPGID, address, allowed
from tifbpf.host.facts import Way
from tifbpf.host.programs import ProgramType
from tifbpf.layouts.model import Context
from tifbpf.recorder import links

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "bcc", "btf", "two_cpus")]

CPU = 1
N = 200
GETPPID = 110


def switch(state: str) -> None:
    Path(f"/sys/devices/system/cpu/cpu{CPU}/online").write_text(state)


@contextmanager
def offline() -> Iterator[None]:
    switch("0")
    try:
        yield
    finally:
        switch("1")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "recording.tif.parquet"


def call_there() -> None:
    os.sched_setaffinity(0, {CPU})
    try:
        for _ in range(N):
            os.getpgid(0)
    finally:
        os.sched_setaffinity(0, {0, CPU})


def test_a_breakpoint_knows_where_it_sees_nothing() -> None:
    if not allowed(Way.BREAKPOINT):
        return
    where = address(GETPGID)
    with Hits(ProgramType.PERF_EVENT) as hits, links.attach_breakpoint(GETPGID, where, hits.program) as found:
        call_there()
        assert hits.count >= N
        assert found.blind() == frozenset()
        with offline():
            pass
        before = hits.count
        call_there()
        assert hits.count - before < N
        assert found.blind() == {CPU}
    assert found.blind() == {CPU}
    with Hits(ProgramType.PERF_EVENT) as hits:
        with offline():
            found = links.attach_breakpoint(GETPGID, where, hits.program)
            assert found.blind() == frozenset()
        assert found.blind() == {CPU}
        found.close()


# Plain calls and signals to itself, on one CPU.
THERE = f"""
import os
from tifbpf import exercises
os.sched_setaffinity(0, {{{CPU}}})
exercises.get("syscall").run({N})
exercises.get("signal").run({N})
"""


def test_a_recording_says_which_exits_it_did_not_see(output: Path) -> None:
    recorder = Recorder(output, "--by", "syscall,pid", "--interval", "0.2")
    with offline():
        time.sleep(0.3)
    there = subprocess.Popen([sys.executable, "-c", THERE])
    assert there.wait() == 0
    said = recorder.end()
    assert recorder.process.returncode == 0, said
    recording = tifbpf.read(output)
    (metadata,) = recording.metadata
    assert metadata.totals.losses.total == 0
    (coverage,) = (found for found in metadata.contexts if found.context is Context.SYSCALL)
    path = "all" if coverage.slow_only else None
    calls = [
        row["count"]
        for row in recording.recordings[0].rows.to_pylist()
        if (row["pid"], row["syscall"]) == (there.pid, GETPPID) and path in (None, row["path"])
    ]
    assert sum(calls) == N
    signals = having(recording, "SIGPENDING", syscall="kill", pid=there.pid)
    report = " ".join(run("report", output).stdout.split())
    if any(hook.startswith("breakpoint on ") for hook in coverage.hooks):
        assert signals < N
        assert coverage.blind_cpus == (CPU,)
        assert f"does not see any exit on CPU {CPU} since it went offline or came online" in report
    else:
        assert signals == N
        assert coverage.blind_cpus == ()
        assert "went offline" not in report
