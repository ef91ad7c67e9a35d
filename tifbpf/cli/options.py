"""The options that `record` and `stat` share."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.cli import complete
from tifbpf.cli.complete import DIMENSIONS

if TYPE_CHECKING:
    from tifbpf.conditions.model import Condition
    from tifbpf.recorder.options import Options

Duration = Annotated[
    float | None,
    typer.Option("-d", "--duration", metavar="SECONDS", min=0.001, help="How long; else until Ctrl-C."),
]
Interval = Annotated[
    float, typer.Option("--interval", metavar="SECONDS", min=0.01, help="How finely to resolve time.")
]
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="DIMENSION",
        autocompletion=complete.dimensions,
        help="Keep apart by syscall, comm, pid, cgroup or cpu; several with commas.",
    ),
]
Pid = Annotated[
    list[int] | None,
    typer.Option("--pid", metavar="PID", min=1, help="Only this process and its children."),
]
Comm = Annotated[list[str] | None, typer.Option("--comm", metavar="NAME", help="Only threads of this name.")]
Cgroup = Annotated[
    list[Path] | None,
    typer.Option("--cgroup", metavar="DIR", help="Only this cgroup (v2) and those below it."),
]
Cpu = Annotated[str | None, typer.Option("--cpu", metavar="LIST", help="Only these CPUs, e.g. 0-3,5.")]
Syscall = Annotated[
    list[str] | None,
    typer.Option(
        "--syscall",
        metavar="NAME",
        autocompletion=complete.syscalls,
        help="Only this system call, by name or number.",
    ),
]
IncludeSelf = Annotated[bool, typer.Option("--include-self", help="Keep tifbpf's own exits.")]
OnlyCommand = Annotated[
    bool, typer.Option("--only-command", help="Only CMD and its children, not the whole host.")
]
Route = Annotated[
    str | None,
    typer.Option(
        "--route",
        metavar="NAME",
        autocompletion=complete.routes,
        help="Take this route; see `tifbpf doctor`.",
    ),
]
Headers = Annotated[
    Path | None,
    typer.Option("--headers", metavar="DIR", help="Kernel headers that decide the layout."),
]
Latency = Annotated[
    bool, typer.Option("--latency", help="Take the time in the slowpath, where it can be seen.")
]
SlowOnly = Annotated[
    bool,
    typer.Option(
        "--slow-only", help="Do not count all exits, where that takes a hook of its own; no shares then."
    ),
]
Setters = Annotated[bool, typer.Option("--setters", help="Record also who sets the bits.")]
MapSize = Annotated[
    int | None,
    typer.Option("--map-size", metavar="N", min=1, help="Classes of exits per interval (16384)."),
]
Sample = Annotated[
    int | None,
    typer.Option("--sample", metavar="N", min=1, max=1_000_000, help="Look at one exit in N, at random."),
]
Duty = Annotated[
    float | None,
    typer.Option(
        "--duty",
        metavar="PCT",
        min=0.1,
        max=100,
        help="Be attached for at most PCT % of the time, in one window an interval.",
    ),
]
MaxOverhead = Annotated[
    float | None,
    typer.Option(
        "--max-overhead",
        metavar="PCT",
        min=0.001,
        max=100,
        help="Record less of the time while the recorder takes more than PCT % of that of all CPUs.",
    ),
]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="CONDITION",
        help="Fail (exit code 31) if there are such exits, e.g. 'cpu in 2-7 and bit == NEED_RESCHED'.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        autocompletion=complete.engines,
        help="Who adds up: duckdb here, dask in processes here, or dask:tcp://SCHEDULER:PORT.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors and losses.")]
NothingButErrors = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Say also what it rests on: evidence, routes, self-tests."),
]
Command = Annotated[
    list[str] | None, typer.Argument(metavar="CMD", help="Record while this command runs; best after --.")
]


def dimensions(by: list[str] | None, known: Sequence[str] = DIMENSIONS) -> tuple[str, ...]:
    """Return the dimensions of all `--by`, in the order of those that are known.

    Raises:
        typer.BadParameter: there is no such dimension.
    """
    asked = {name for value in by or () for name in value.split(",") if name}
    if unknown := sorted(asked - set(known)):
        raise typer.BadParameter(f"no such dimension: {unknown[0]}; there are {', '.join(known)}")
    return tuple(name for name in known if name in asked)


def conditions(fail_on: list[str] | None) -> tuple[Condition, ...]:
    """Return what all `--fail-on` say.

    Raises:
        ConditionSyntaxError: one of them says nothing.
    """
    if not fail_on:
        return ()
    from tifbpf.conditions.parse import parse

    return tuple(map(parse, fail_on))


def collect(
    *,
    by: list[str] | None,
    interval: float,
    pid: list[int] | None,
    comm: list[str] | None,
    cgroup: list[Path] | None,
    cpu: str | None,
    syscall: list[str] | None,
    include_self: bool,
    route: str | None,
    headers: Path | None,
    map_size: int | None,
    slow_only: bool,
    latency: bool = False,
    setters: bool = False,
    sample: int | None = None,
    duty: float | None = None,
    max_overhead: float | None = None,
) -> Options:
    """Return the session's options.

    Raises:
        TifbpfError: a value makes no sense.
    """
    from tifbpf.recorder.filters import Filters
    from tifbpf.recorder.options import MAX_CLASSES, Options

    filters = Filters(
        pids=tuple(pid or ()),
        comms=tuple(comm or ()),
        cgroups=tuple(cgroup or ()),
        cpus=cpu,
        syscalls=tuple(syscall or ()),
        include_self=include_self,
    )
    return Options(
        dimensions=dimensions(by),
        filters=filters,
        interval_ns=round(interval * 1e9),
        latency=latency,
        count_all=not slow_only,
        setters=setters,
        route=route,
        headers=headers,
        command=("tifbpf", *sys.argv[1:]),
        max_classes=map_size or MAX_CLASSES,
        one_in=sample or 1,
        every=_every(duty, interval, max_overhead),
        max_overhead=max_overhead,
    )


_SHORTEST_WINDOW = 0.001
_SHORTEST_INTERVAL = 0.1
"""Attaching and detaching wait for what runs at the moment, some 10 ms each."""


def _every(duty: float | None, interval: float, max_overhead: float | None) -> int:
    """Return how many parts the time has of which one is recorded: a whole number, so no more than `duty`."""
    if duty is None and max_overhead is None:
        return 1
    if interval < _SHORTEST_INTERVAL:
        raise typer.BadParameter(
            f"--duty and --max-overhead want an --interval of {_SHORTEST_INTERVAL:g} or more"
        )
    every = math.ceil(round(100 / duty, 6)) if duty is not None else 1
    if interval / every < _SHORTEST_WINDOW:
        least = every * _SHORTEST_WINDOW
        raise typer.BadParameter(f"--duty {duty:g} of that interval is below 1 ms: give --interval {least:g}")
    return every


def check_manners(quiet: bool, verbose: bool) -> None:
    """Make sure that not both are asked for.

    Raises:
        typer.BadParameter: they are.
    """
    if quiet and verbose:
        raise typer.BadParameter("give --quiet or --verbose, not both")


def check_end(duration: float | None, command: list[str] | None, only_command: bool) -> None:
    """Make sure that the recording has at most one end.

    Raises:
        typer.BadParameter: it would have two, or `--only-command` has no command.
    """
    if duration is not None and command:
        raise typer.BadParameter("give --duration or CMD, not both")
    if only_command and not command:
        raise typer.BadParameter("--only-command wants a CMD after --")
