"""`tifbpf stat`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from tifbpf.cli import options
from tifbpf.cli.help import examples

if TYPE_CHECKING:
    from tifbpf.recording.metadata import Metadata


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "stat",
        context_settings={"allow_interspersed_args": False},
        epilog=examples("tifbpf stat -d 10", "tifbpf stat --pid 4242 -- sleep 5"),
    )(stat)


def stat(
    command: options.Command = None,
    duration: options.Duration = None,
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
    verbose: options.Verbose = False,
) -> int:
    """Count exits and print a summary.

    For a time (-d), while CMD runs, or until Ctrl-C; keeps no file. With CMD it goes to stderr, as in
    perf stat, and the exit code is CMD's.
    """
    options.check_end(duration, command, only_command)
    wanted = options.collect(
        by=by,
        interval=1.0,
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
    from tifbpf.live import stat as live
    from tifbpf.recorder import basis

    def tell(line: str) -> None:
        if verbose:
            print(f"tifbpf: {line}", file=sys.stderr)

    def attached(metadata: Metadata) -> None:
        for line in basis.lines(metadata):
            tell(line)

    def step(text: str) -> None:
        print(f"tifbpf: {text}", file=sys.stderr)

    return live.stat(
        wanted,
        duration_ns=None if duration is None else round(duration * 1e9),
        command=command or (),
        only_command=only_command,
        on_attached=attached,
        on_dropped=tell,
        on_step=step,
    )
