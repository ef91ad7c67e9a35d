"""How much longer everything else takes while something counts exits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.bench.harness import (
    PYTHON,
    Goal,
    MissingError,
    Role,
    Row,
    Run,
    Side,
    bench,
    need,
    running,
    seconds,
)
from tests.bench.probe import commands, shown
from tests.bench.workloads import Loop, compilation

_CALLS = 2_000_000
"""So many that what a recorder does once a second is a part of it."""
_TRACED_CALLS = 100_000
"""Under perf trace, which takes some 50 us for each."""
_MESSAGES = ["perf", "bench", "sched", "messaging", "-g", "4", "-l", "300"]
"""What hackbench does: 4 times 20 senders and 20 receivers."""
_TRACE = ["perf", "trace", "-s", "-a", "-o", "/dev/null"]
_BEGINS = 2
"""Seconds after which perf trace, which does not say so, is at work."""
_NOTHING = "not recording"


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    with running(_TRACE) as process:
        time.sleep(_BEGINS)
        if process.poll() is not None:
            raise MissingError("perf trace does not run here")
        yield


@contextlib.contextmanager
def _counting(command: list[str], marker: str) -> Iterator[None]:
    with running(command, marker):
        yield


def _sides(run: Run, kept: str, measure: Callable[[int], float]) -> list[Side]:
    empty = [PYTHON, "-m", "tests.bench.peers.bcc_exits", "empty"]
    sides: dict[str, tuple[Role, str, Callable[[], contextlib.AbstractContextManager[None]]]] = {
        _NOTHING: (Role.FLOOR, "", contextlib.nullcontext)
    }
    for name, (command, marker) in commands(run, kept).items():
        role = Role.OURS if name == "tifbpf record" else Role.PEER
        sides[name] = (role, shown(command), partial(_counting, command, marker))
    if kept == "all":
        sides["perf trace -s"] = (Role.PEER, shown(_TRACE), _tracing)
    sides["an empty program"] = (Role.PEER, shown(empty), partial(_counting, empty, "attached"))

    def during(observer: Callable[[], contextlib.AbstractContextManager[None]]) -> float:
        with observer():
            return measure(_TRACED_CALLS if observer is _tracing else _CALLS)

    return [
        Side(name, role, command, partial(during, observer))
        for name, (role, command, observer) in sides.items()
    ]


def _least(it: dict[str, float]) -> bool:
    peers = [name for name in ("bpftrace", "bcc", "perf trace -s") if name in it]
    if "bpftrace" not in peers:
        raise KeyError("bpftrace")
    return it["tifbpf record"] <= min(it[name] for name in peers)


@bench("slowdown", "What recording costs others")
def slowdown(run: Run) -> Iterator[Row]:
    """By the route that this host has."""
    loop = Loop(run.directory)
    compile_ = compilation(run.directory)

    def messages(_: int) -> float:
        need("perf")
        return seconds(_MESSAGES)

    workloads: list[tuple[str, str, Callable[[int], float]]] = [
        ("a getppid loop", "ns a call", lambda calls: loop.ns("fast", calls)),
        (f"{' '.join(_MESSAGES)}", "s", messages),
        (f"compiling {Path(compile_[-1]).name}", "s", lambda _: seconds(compile_)),
    ]
    note = (
        "`an empty program` is what the hook costs whoever uses it: a tracepoint of system calls sends "
        "each of them through the syscall-work slowpath"
    )
    for what, unit, measure in workloads:
        for kept, by in (("words", ""), ("all", ", all dimensions on")):
            yield run.row(
                what + by,
                unit,
                _sides(run, kept, measure),
                Goal("least of all that count", lambda it: _least(dict(it))),
                notes=[note] if unit == "ns a call" and not by else [],
                above_floor=True,
            )
