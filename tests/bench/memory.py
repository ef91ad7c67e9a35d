"""What is left of a machine for others while somebody records."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import live_classes
from tests.bench.harness import (
    PYTHON,
    TIFBPF,
    Goal,
    MeasuredSide,
    MissingError,
    Role,
    Row,
    Run,
    bench,
    proportional_set_size,
    row,
    running,
    say,
)

_SECONDS = 8
_SCRIPT = (
    'BEGIN { printf("attached\\n"); } tracepoint:raw_syscalls:sys_enter { @[comm, args->id] = count(); } '
    "interval:s:1 { print(@); clear(@); }"
)


class _Tool(NamedTuple):
    name: str
    role: Role
    command: Sequence[str]
    marker: str
    shown: str


@bench("memory", "What a recorder takes, at 10,000 live classes and one interval a second")
def memory(run: Run) -> Iterator[Row]:
    """Memory and CPU of the recorder's processes; programs that run at exits are another bench's."""
    recording = run.directory / "memory.tif.parquet"

    tools = [
        _Tool(
            "tifbpf record",
            Role.OURS,
            [TIFBPF, "record", "--force", "--by", "syscall,comm", "-o", str(recording)],
            "tifbpf: recording",
            "tifbpf record --by syscall,comm",
        ),
        _Tool(
            "bpftrace",
            Role.PEER,
            ["env", "BPFTRACE_MAP_KEYS_MAX=16384", "bpftrace", "-e", _SCRIPT],
            "attached",
            f"BPFTRACE_MAP_KEYS_MAX=16384 bpftrace -e '{_SCRIPT}'",
        ),
        _Tool(
            "bcc",
            Role.PEER,
            [PYTHON, "-m", "tests.bench.peers.bcc_printed"],
            "attached",
            "python -m tests.bench.peers.bcc_printed",
        ),
    ]
    taken: dict[str, list[tuple[float, float]]] = {tool.name: [] for tool in tools}
    missing: dict[str, str] = {}
    with running([PYTHON, "-m", live_classes.__name__], "ready"):
        for number in range(run.rounds):
            for tool in (*tools[number % len(tools) :], *tools[: number % len(tools)]):
                say(f"memory, round {number + 1}: {tool.name}")
                try:
                    taken[tool.name].append(_take(tool))
                except MissingError as error:
                    missing[tool.name] = str(error)
    for what, unit, place, goal in (
        ("memory (PSS)", "MB", 0, Goal("at most 50 MB", lambda it: it["tifbpf record"] <= 50)),
        ("CPU", "% of a core", 1, Goal("at most 0.5 % of a core", lambda it: it["tifbpf record"] <= 0.5)),
    ):
        yield row(
            what,
            unit,
            [
                MeasuredSide(
                    name=tool.name,
                    role=tool.role,
                    command=tool.shown,
                    values=[values[place] for values in taken[tool.name]],
                    missing=missing.get(tool.name),
                )
                for tool in tools
            ],
            goal,
        )


def _take(tool: _Tool) -> tuple[float, float]:
    """Return the megabytes, and the CPU time in per cent of a core's, of a tool and its children."""
    with running(tool.command, tool.marker) as process:
        # Nobody reads a pipe on: what is printed goes where it costs the reader nothing.
        drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        time.sleep(3)
        began, before = time.monotonic(), sum(map(_cpu_seconds, _family(process.pid)))
        time.sleep(_SECONDS)
        family = _family(process.pid)
        used = sum(map(_cpu_seconds, family)) - before
        took = time.monotonic() - began
        size = sum(map(proportional_set_size, family))
    drain.wait()
    return size, used / took * 100


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, in user and kernel mode (Documentation/scheduler/sched-stats.rst)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
