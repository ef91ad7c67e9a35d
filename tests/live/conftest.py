from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tifbpf
from tifbpf import Recordings

TIFBPF = [sys.executable, "-c", "from tifbpf.cli import main; main()"]
# Who may do nothing, but read the checkout wherever it is.
AS_NOBODY = [
    *("setpriv", "--reuid=65534", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
]
Run = Callable[..., subprocess.CompletedProcess[str]]


def run(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run tifbpf; fail with what it said unless it succeeds."""
    done = subprocess.run(
        [*TIFBPF, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    if check and done.returncode:
        pytest.fail(f"tifbpf {' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stderr}")
    return done


def exercise(kind: str, n: int, *more: str) -> list[str]:
    """Return the command line of an exercise."""
    return [*TIFBPF, "exercise", kind, "-n", str(n), *more]


def pids(done: subprocess.CompletedProcess[str]) -> set[int]:
    """Return the processes that an exercise says it ran in."""
    return {int(pid) for pid in re.findall(r"^pid (\d+)", done.stdout, re.MULTILINE)}


class Recorder:
    """A `tifbpf record` that runs beside the test."""

    def __init__(self, output: Path, *options: str | Path) -> None:
        self.output = output
        self.process = subprocess.Popen(
            [*TIFBPF, "record", "-o", str(output), *map(str, options)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line == "tifbpf: recording\n", line + self.process.stderr.read()

    def end(self, number: signal.Signals = signal.SIGINT) -> str:
        """Send a signal, wait, and return what the recorder said last."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return said


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "recording.tif.parquet"


def record(output: Path, *arguments: str | Path) -> tuple[Recordings, subprocess.CompletedProcess[str]]:
    """Record, and read the recording."""
    done = run("record", "-o", output, *arguments)
    return tifbpf.read(output), done
