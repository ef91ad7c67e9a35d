"""A second opinion from a tool that is not ours, on the tracepoints' own arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from tests.bpftrace import Bpftrace
from tifbpf import exercises

pytestmark = [pytest.mark.live, pytest.mark.requires("bpftrace")]


def bpftrace_counts(kind: str, n: int, probe: str, value: str) -> dict[int, int]:
    """Run an exercise and return how often `probe` fired in its process, by `value`."""
    with ExitStack() as observers:
        counting: list[Bpftrace] = []

        def observe(pids: Sequence[int]) -> None:
            script = f"{probe} /pid == {pids[0]}/ {{ @[{value}] = count(); }}"
            counting.append(observers.enter_context(Bpftrace(script)))

        exercises.run_in_children(kind, n, started=observe)
        output = counting[0].end()
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
