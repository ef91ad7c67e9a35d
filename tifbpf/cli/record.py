"""`tifbpf record`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from tifbpf.cli import options
from tifbpf.cli.help import examples


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "record",
        context_settings={"allow_interspersed_args": False},
        epilog=examples(
            "tifbpf record --by syscall,comm -- make -j8",
            "tifbpf record -d 60 --fail-on 'cpu in 2-7 and bit == NEED_RESCHED'",
        ),
    )(record)


def record(
    command: options.Command = None,
    duration: options.Duration = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The recording (exits-DATE-TIME.tif.parquet)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the recording.")] = False,
    interval: options.Interval = 1.0,
    by: options.By = None,
    pid: options.Pid = None,
    comm: options.Comm = None,
    cgroup: options.Cgroup = None,
    cpu: options.Cpu = None,
    syscall: options.Syscall = None,
    include_self: options.IncludeSelf = False,
    only_command: options.OnlyCommand = False,
    route: options.Route = None,
    headers: options.Headers = None,
    map_size: options.MapSize = None,
    latency: options.Latency = False,
    slow_only: options.SlowOnly = False,
    setters: options.Setters = False,
    sample: options.Sample = None,
    duty: options.Duty = None,
    max_overhead: options.MaxOverhead = None,
    fail_on: options.FailOn = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End the recording once a --fail-on is met.")
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Record the exits of this host.

    For a time (-d), while CMD runs, or until Ctrl-C. The exit code is CMD's, or that of --fail-on
    (docs/conditions.md).
    """
    options.check_end(duration, command, only_command)
    options.check_manners(quiet, verbose)
    if fail_fast and not fail_on:
        raise typer.BadParameter("--fail-fast wants a --fail-on")
    conditions = options.conditions(fail_on)
    wanted = options.collect(
        by=[*(by or ()), *(name for condition in conditions for name in condition.dimensions)],
        interval=interval,
        pid=pid,
        comm=comm,
        cgroup=cgroup,
        cpu=cpu,
        syscall=syscall,
        include_self=include_self,
        route=route,
        headers=headers,
        map_size=map_size,
        latency=latency,
        slow_only=slow_only,
        setters=setters,
        sample=sample,
        duty=duty,
        max_overhead=max_overhead,
    )
    from tifbpf.recorder.__main__ import Job

    Job(
        options=wanted,
        output=output or Path(time.strftime("exits-%Y%m%d-%H%M%S.tif.parquet")),
        force=force,
        duration_ns=None if duration is None else round(duration * 1e9),
        command=tuple(command or ()),
        only_command=only_command,
        conditions=conditions,
        fail_fast=fail_fast,
        quiet=quiet,
        verbose=verbose,
    ).execute()
