"""A second opinion from a tool that is not ours, on the tracepoints' own arguments."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Sequence

import pytest

from tifbpf import exercises

pytestmark = [pytest.mark.live, pytest.mark.requires("bpftrace")]


def bpftrace_counts(kind: str, n: int, probe: str, value: str) -> dict[int, int]:
    """Run an exercise and return how often `probe` fired in its process, by `value`."""
    observers: list[subprocess.Popen[str]] = []

    def observe(pids: Sequence[int]) -> None:
        program = f'BEGIN {{ printf("on\\n"); }} {probe} /pid == {pids[0]}/ {{ @[{value}] = count(); }}'
        observer = subprocess.Popen(["bpftrace", "-e", program], stdout=subprocess.PIPE, text=True)
        observers.append(observer)
        assert observer.stdout is not None
        while observer.stdout.readline() not in ("on\n", ""):
            pass

    try:
        exercises.run_in_children(kind, n, started=observe)
        observers[0].send_signal(signal.SIGINT)
        output, _ = observers[0].communicate()
    finally:
        for observer in observers:
            observer.kill()
            observer.wait()
    return {int(key): int(count) for key, count in re.findall(r"^@\[(-?\d+)\]: (\d+)$", output, re.MULTILINE)}


@pytest.mark.parametrize(("kind", "number"), [("signal", 10), ("page-fault-signal", 11), ("cpu-timer", 26)])
def test_signals_delivered(kind: str, number: int) -> None:
    n = 20 if kind == "cpu-timer" else 1000
    assert bpftrace_counts(kind, n, "tracepoint:signal:signal_deliver", "args->sig") == {number: n}


@pytest.mark.parametrize(
    ("kind", "syscall"), [("syscall", 110), ("signal", 62), ("task-work", 33), ("ptrace", 110)]
)
def test_exits_of_the_system_call(kind: str, syscall: int) -> None:
    counts = bpftrace_counts(kind, 1000, "tracepoint:raw_syscalls:sys_exit", "args->id")
    assert counts[syscall] == 1000
