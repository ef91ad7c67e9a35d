"""Exits that were caused on purpose, counted through the whole of tifbpf: N of N."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.bpftrace import Bpftrace
from tests.live.conftest import Recorder, exercise, pids, record
from tifbpf import Recordings

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]


def having(recordings: Recordings, bit: str, word: str = "tif", **where: object) -> int:
    """Count the exits whose word has `bit`."""
    frame = recordings.exits()
    for column, value in where.items():
        wanted = value if isinstance(value, (set, list)) else [value]
        frame = frame[frame[column].isin(list(wanted))]
    return int(frame["count"][frame[word].map(lambda names: bit in str(names).split("|"))].sum())


def conserved(recordings: Recordings) -> None:
    (metadata,) = recordings.metadata
    assert metadata.totals.losses.total == 0
    assert metadata.totals.seen == metadata.totals.recorded == int(recordings.exits()["count"].sum())


@pytest.mark.parametrize("processes", [1, 8])
@pytest.mark.parametrize("n", [1, 1_000, 100_000])
def test_n_signals_are_n_exits(output: Path, n: int, processes: int) -> None:
    recordings, done = record(
        output, "--by", "pid,syscall", "--", *exercise("signal", n, "--processes", str(processes))
    )
    children = pids(done)
    assert len(children) == processes
    for child in children:
        assert having(recordings, "SIGPENDING", pid=child) == n
        assert having(recordings, "SIGPENDING", pid=child, syscall="kill") == n
    conserved(recordings)


def test_ignored_signals_are_fast(output: Path) -> None:
    recordings, done = record(output, "--by", "pid", "--", *exercise("signal", 1_000, "--control"))
    assert having(recordings, "SIGPENDING", pid=pids(done)) == 0


@pytest.mark.parametrize(
    ("kind", "bit", "syscall"),
    [("task-work", "NOTIFY_RESUME", "dup2"), ("notify-signal", "NOTIFY_SIGNAL", "write")],
)
def test_the_other_bits_of_the_self_test(output: Path, kind: str, bit: str, syscall: str) -> None:
    recordings, done = record(output, "--by", "pid,syscall", "--", *exercise(kind, 1_000))
    assert having(recordings, bit, pid=pids(done), syscall=syscall) == 1_000
    recordings, done = record(
        output, "--force", "--by", "pid,syscall", "--", *exercise(kind, 1_000, "--control")
    )
    assert having(recordings, bit, pid=pids(done), syscall=syscall) == 0
    conserved(recordings)


def test_plain_calls_are_all_there_and_fast(output: Path) -> None:
    recordings, done = record(output, "--by", "pid,syscall", "--", *exercise("syscall", 50_000))
    frame = recordings.exits()
    calls = frame[frame["pid"].isin(list(pids(done))) & (frame["syscall"] == "getppid")]
    assert int(calls["count"].sum()) == 50_000
    # A tick may fall into any call and ask for a reschedule or for rseq's work: nothing else may be slow.
    slow = calls[calls["path"] == "slow"]
    allowed = {"NEED_RESCHED", "NEED_RESCHED_LAZY", "NOTIFY_RESUME", "NEED_FPU_LOAD"}
    found = {name for names in slow["tif"] for name in names.split("|")}
    assert found <= allowed, recordings.metadata[0].observer_effects


def test_seccomp_is_in_the_word_and_makes_no_exit_slow(output: Path) -> None:
    recordings, done = record(output, "--by", "pid", "--", *exercise("seccomp", 1_000))
    bits = recordings.bits()
    present = bits.xs("SECCOMP", level="bit")
    assert int(present["present"].iloc[0]) >= 1_000
    assert int(present["trigger"].iloc[0]) == 0
    assert having(recordings, "SECCOMP", word="syscall_work", pid=pids(done)) >= 1_000


def test_a_traced_process_shows_its_tracer(output: Path) -> None:
    recordings, _ = record(output, "--by", "syscall", "--", *exercise("ptrace", 1_000))
    assert having(recordings, "SYSCALL_TRACE", word="syscall_work", syscall="getppid") == 1_000
    tiers = recordings.exits()
    traced = tiers[tiers["syscall_work"].map(lambda names: "SYSCALL_TRACE" in str(names))]
    assert set(traced["path"]) == {"slow"}
    assert traced["tier"].str.contains("syscall_work").all()


def test_the_count_is_bpftraces(output: Path) -> None:
    """The same window, the same process, a counter that is not ours."""
    n = 20_000
    go, tell_go = os.pipe()
    done, tell_done = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go, 1)
        for _ in range(n):
            os.getppid()
        os.write(tell_done, b"d")
        os.read(go, 1)
        os._exit(0)
    # The first read's exit, n calls, the write's exit; the second read does not return.
    expected = n + 2
    script = f"tracepoint:raw_syscalls:sys_exit /pid == {child}/ {{ @ = count(); }}"
    try:
        with Bpftrace(script) as bpftrace:
            recorder = Recorder(output, "--by", "pid", "--route", "tracepoint")
            os.write(tell_go, b"g")
            os.read(done, 1)
            # On a slow CPU it may be on its way out of the write for longer than a recorder takes to end.
            while Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "S":
                time.sleep(0.001)
            recorder.end()
            said = bpftrace.end()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        for end in (go, tell_go, done, tell_done):
            os.close(end)
    theirs = int(said.split("@:")[1])
    recordings = read(output)
    frame = recordings.exits()
    ours = int(frame["count"][frame["pid"] == child].sum())
    assert (ours, theirs) == (expected, expected)
    # bpftrace was there first: its bit counts, and it is named.
    (effect,) = recordings.metadata[0].observer_effects
    assert effect.bit == "SYSCALL_TRACEPOINT"
    assert not effect.ours
    assert "bpftrace" in effect.text
    assert set(frame["path"]) == {"slow"}


def read(path: Path) -> Recordings:
    import tifbpf

    return tifbpf.read(path)


def test_frames_are_pandas(output: Path) -> None:
    recordings, _ = record(output, "--", "true")
    assert isinstance(recordings.frequency(), pd.DataFrame)
    assert list(recordings.frequency().index) == ["syscall", "interrupt", "exception"]
