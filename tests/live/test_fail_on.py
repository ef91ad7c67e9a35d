"""`record --fail-on`: what was caused ends in its exit code, and its control in 0."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

import tifbpf
from tests.live.conftest import TIFBPF, exercise, run
from tifbpf.errors import ExitCode

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

SIGNALLED = "context == syscall and cpu == 1 and bit == SIGPENDING and syscall == kill"


def recorded(output: Path, condition: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("record", "--force", "-o", output, "--fail-on", condition, *arguments, check=False)


@pytest.mark.requires("two_cpus")
def test_signals_on_a_cpu_and_their_control(output: Path) -> None:
    pinned = ["taskset", "-c", "1"]
    done = recorded(output, SIGNALLED, "--", *pinned, *exercise("signal", 1_000))
    assert done.returncode == ExitCode.CONDITION_MET, done.stderr
    assert f"tifbpf: --fail-on {SIGNALLED}: met: 1,000 exits matched" in done.stderr
    assert ": syscall slow, syscall kill, cpu 1, " in done.stderr
    # What it names was recorded for it, and the recording says the same.
    assert tifbpf.read(output).dimensions == ("syscall", "cpu")
    again = run("report", output, "--json", "--fail-on", SIGNALLED, check=False)
    assert again.returncode == ExitCode.CONDITION_MET
    assert "met: 1,000 exits matched" in again.stderr

    elsewhere = recorded(output, SIGNALLED, "--", "taskset", "-c", "0", *exercise("signal", 1_000))
    control = recorded(output, SIGNALLED, "--", *pinned, *exercise("signal", 1_000, "--control"))
    for quiet in (elsewhere, control):
        assert quiet.returncode == 0, quiet.stderr
        assert ": not met: 0 exits matched" in quiet.stderr


def test_a_limit(output: Path) -> None:
    signals = "context == syscall and bit == SIGPENDING and syscall == kill"
    command = ["--", *exercise("signal", 500)]
    assert recorded(output, f"count({signals}) > 499", *command).returncode == ExitCode.CONDITION_MET
    assert recorded(output, f"count({signals}) > 5000", *command).returncode == 0


def test_a_failing_command_keeps_its_exit_code(output: Path) -> None:
    signalled = "syscall == kill and bit == SIGPENDING"
    quiet = recorded(output, f"{signalled} and comm == nobody", "--", "sh", "-c", "exit 7")
    assert quiet.returncode == 7, quiet.stderr
    met = recorded(output, signalled, "--", "sh", "-c", "kill -s USR1 $$")
    assert met.returncode == ExitCode.CONDITION_MET, met.stderr


def test_fail_fast_ends_at_once(output: Path) -> None:
    began = time.monotonic()
    condition = "count(syscall == kill and bit == SIGPENDING) >= 10"
    loop = "trap : USR1; while :; do kill -s USR1 $$; done"
    done = recorded(
        output, condition, "--fail-fast", "--interval", "0.2", "--", "timeout", "60", "sh", "-c", loop
    )
    assert done.returncode == ExitCode.CONDITION_MET, done.stderr
    assert "cut short by --fail-on" in done.stderr
    assert time.monotonic() - began < 50
    (metadata,) = tifbpf.read(output).metadata
    assert (metadata.ended, metadata.complete) == ("--fail-on", False)


@pytest.mark.parametrize(
    ("condition", "code", "said"),
    [
        ("context == syscall and bit == NOPE", ExitCode.CONDITION_UNUSABLE, "has no bit 'NOPE'"),
        ("context == syscall and cpu == 99999", ExitCode.CONDITION_UNUSABLE, "no such CPU: 99999"),
        ("cpu in", ExitCode.USAGE, "at the end: expected a number or a range"),
    ],
)
def test_what_could_not_be_seen_ends_it_before_it_begins(
    output: Path, condition: str, code: ExitCode, said: str
) -> None:
    done = subprocess.run(
        [*TIFBPF, "record", "-o", str(output), "--fail-on", condition, "--", "sh", "-c", "echo ran"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not output.exists()
