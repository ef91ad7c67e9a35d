"""How long it takes until something begins."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.harness import PYTHON, TIFBPF, Goal, Role, Row, Run, Side, bench, running, seconds

_SCRIPT = 'BEGIN { printf("attached\\n"); } tracepoint:raw_syscalls:sys_exit { @[tid] = count(); }'


def _until(command: list[str], marker: str) -> float:
    """Return the time from start to the line with `marker`."""
    began = time.perf_counter()
    with running(command, marker):
        return time.perf_counter() - began


@bench("start", "From the command to what it is for")
def start(run: Run) -> Iterator[Row]:
    """Of the program alone, and of recording."""
    floor = Side("python -c pass", Role.FLOOR, "python -c pass", lambda: seconds([PYTHON, "-c", "pass"]))
    yield run.row(
        "start of the program",
        "s",
        [
            floor,
            Side("tifbpf --help", Role.OURS, "tifbpf --help", lambda: seconds([TIFBPF, "--help"])),
            Side(
                "import tifbpf",
                Role.PEER,
                "python -c 'import tifbpf'",
                lambda: seconds([PYTHON, "-c", "import tifbpf"]),
            ),
        ],
        Goal("at most 0.15 s each", lambda it: max(it["tifbpf --help"], it["import tifbpf"]) <= 0.15),
    )
    record = [TIFBPF, "record", "--force", "-o", str(run.directory / "start.tif.parquet")]
    yield run.row(
        "start to attached",
        "s",
        [
            floor,
            Side(
                "tifbpf record",
                Role.OURS,
                "tifbpf record, until it says recording",
                lambda: _until(record, "tifbpf: recording"),
            ),
            Side(
                "bpftrace",
                Role.PEER,
                f"bpftrace -e '{_SCRIPT}', until it says attached",
                lambda: _until(["bpftrace", "-e", _SCRIPT], "attached"),
            ),
        ],
        Goal("at most 0.6 s", lambda it: it["tifbpf record"] <= 0.6),
    )
