from __future__ import annotations

import re
import subprocess
import sys

import pytest

KINDS = (
    "syscall, int80, signal, task-work, notify-signal, rseq-migration, resched-wakeup, ptrace, single-step, "
    "seccomp, user-dispatch, audit, resched, resched-fair, timer-signal, cpu-timer, "
    "page-fault-signal, uprobe"
)


def tifbpf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from tifbpf.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_it_prints() -> None:
    result = tifbpf("exercise", "signal", "-n", "1000", "--processes", "2")
    assert result.returncode == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        "signal: sends itself SIGUSR1, which it handles",
        "causes in each of 2 processes: exactly 1000 syscall exits of kill with SIGPENDING",
    ]
    assert lines[2].startswith("why: A signal to the only thread")
    pids = [re.fullmatch(r"pid (\d+): done", line) for line in lines[3:]]
    assert len({match[1] for match in pids if match}) == 2
    assert len(pids) == 2


def test_a_control() -> None:
    result = tifbpf("exercise", "single-step", "-n", "2", "--control")
    assert result.returncode == 0
    assert result.stdout.splitlines()[1:3] == [
        "control: the same calls with no tracer",
        "must not show: SINGLESTEP, SYSCALL_EXIT_TRAP",
    ]


def test_the_list_names_every_kind() -> None:
    result = tifbpf("exercise", "--list")
    assert result.returncode == 0
    heads = [line.split(":")[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert ", ".join(heads) == KINDS
    assert "    causes exactly 1 syscall exit of kill with SIGPENDING" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nope",), "there is no exercise 'nope'; KIND is"),
        ((), "KIND is missing; it is"),
    ],
)
def test_a_usage_error_is_one_line_that_names_the_kinds(arguments: tuple[str, ...], problem: str) -> None:
    result = tifbpf("exercise", *arguments)
    line = f"tifbpf exercise: Invalid value: {problem} one of: {KINDS}; see `tifbpf exercise --help`\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", line)


@pytest.mark.parametrize("option", ["-n", "--processes"])
def test_none_is_no_number_of_acts_or_processes(option: str) -> None:
    result = tifbpf("exercise", "signal", option, "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_an_exercise_without_a_control() -> None:
    result = tifbpf("exercise", "syscall", "--control")
    assert (result.returncode, result.stderr) == (21, "tifbpf: syscall has no control; leave out --control\n")
