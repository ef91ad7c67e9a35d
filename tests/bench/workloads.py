"""What is run while something looks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.harness import TIFBPF, MissingError, need

EVERYDAY_ROWS = 100_000
EVERYDAY_SECONDS = 12
SOURCE = Path(__file__).with_name("loop.c")
"""Of the loops."""
_BUSY_HOST = str(Path(__file__).parents[1] / "workload")


class Loop:
    """The program of loop.c, on one CPU of its own."""

    def __init__(self, directory: Path) -> None:
        """Compile it.

        Raises:
            MissingError: there is no compiler.
        """
        need("cc")
        self._program = directory / "loop"
        self._cpu = max(os.sched_getaffinity(0))
        subprocess.run(["cc", "-O2", "-o", self._program, SOURCE], check=True)

    def ns(self, kind: str, calls: int) -> float:
        """Return the nanoseconds a call of `fast` or `slow` ones.

        Raises:
            MissingError: this kernel cannot.
        """
        done = subprocess.run(
            [self._program, kind, str(calls)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, {self._cpu}),
        )
        if done.returncode:
            raise MissingError(done.stderr.strip())
        return float(done.stdout)


_FUNCTION = """
int f{i}(int *a, int n)
{{
    int s = {i};
    for (int i = 0; i < n; i++)
        s += a[i] * {i};
    return s;
}}
"""


def compilation(directory: Path, functions: int = 300) -> list[str]:
    """Write a file, and return the command that compiles it: mostly user mode."""
    source = directory / "generated.c"
    source.write_text("".join(_FUNCTION.format(i=i) for i in range(functions)))
    return ["cc", "-O1", "-c", "-o", str(directory / "generated.o"), str(source)]


def everyday(directory: Path, *, under: Sequence[str] = ()) -> Path:
    """Record a busy host for some seconds, with all dimensions but cgroups.

    Args:
        directory: where the recording goes.
        under: a command that runs what follows it.

    Raises:
        MissingError: nothing could be recorded.
    """
    path = directory / "real.tif.parquet"
    by = ["--by", "syscall,comm,pid,cpu", "--interval", "1"]
    busy = [_BUSY_HOST, TIFBPF, str(EVERYDAY_SECONDS)]
    command = [*under, TIFBPF, "record", "--force", "-q", *by, "-o", str(path), "--", *busy]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise MissingError(f"nothing could be recorded: {finished.stderr.strip()}")
    return path
