"""`tifbpf top`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tifbpf.cli import options
from tifbpf.cli.help import examples


class _View(StrEnum):
    """As `tifbpf.live.account.View`, which takes too long to import for --help."""

    BITS = "bits"
    WORDS = "words"
    PROCESSES = "processes"
    SYSCALLS = "syscalls"


class _Sort(StrEnum):
    """Columns; not every view has every one."""

    SLOW = "slow"
    EXITS = "exits"
    SHARE = "share"
    TOTAL = "total"
    NAME = "name"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("top", epilog=examples("tifbpf top --view processes", "tifbpf top -b -n 3 -d 1"))(top)


def top(
    delay: Annotated[
        float,
        typer.Option("-d", "--delay", metavar="SECONDS", min=0.1, help="The interval; d changes it."),
    ] = 2.0,
    count: Annotated[
        int | None, typer.Option("-n", metavar="N", min=1, help="End after so many intervals.")
    ] = None,
    batch: Annotated[
        bool, typer.Option("-b", "--batch", help="Print the intervals; needs no terminal.")
    ] = False,
    view: Annotated[_View, typer.Option("--view", help="What to begin with.")] = _View.BITS,
    sort: Annotated[
        _Sort, typer.Option("-o", "--sort", help="The column to sort by at first, where the view has it.")
    ] = _Sort.SLOW,
    pid: options.Pid = None,
    comm: options.Comm = None,
    cgroup: options.Cgroup = None,
    cpu: options.Cpu = None,
    syscall: options.Syscall = None,
    include_self: options.IncludeSelf = False,
    route: options.Route = None,
    headers: options.Headers = None,
    map_size: options.MapSize = None,
    slow_only: options.SlowOnly = False,
) -> int:
    """Show live which bits make exits slow, in which words, processes and system calls.

    Keys are those of top; h shows them, q quits.
    """
    from tifbpf.live import top as live

    wanted = options.collect(
        by=list(live.DIMENSIONS),
        interval=delay,
        pid=pid,
        comm=comm,
        cgroup=cgroup,
        cpu=cpu,
        syscall=syscall,
        include_self=include_self,
        route=route,
        headers=headers,
        map_size=map_size,
        slow_only=slow_only,
    )
    from tifbpf.live.account import View
    from tifbpf.live.keys import State

    state = State(view=View(view), sort=sort, delay_s=delay)
    return live.batch(wanted, state, count=count) if batch else live.interactive(wanted, state, count=count)
