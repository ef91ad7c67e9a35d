"""`tifbpf export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tifbpf.cli import options
from tifbpf.cli.help import examples

_LISTEN = "127.0.0.1:10845"
_MOST_SERIES = 10_000
"""More than this of one metric is no monitoring any more; it also bounds what one scrape can weigh."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "export",
        epilog=examples(
            "tifbpf export --by comm",
            "tifbpf export --textfile /var/lib/prometheus/node-exporter/tifbpf.prom",
        ),
    )(export)


def export(
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="ADDRESS:PORT", help=f"Where to answer Prometheus ({_LISTEN})."),
    ] = None,
    textfile: Annotated[
        Path | None,
        typer.Option("--textfile", metavar="FILE", help="Write FILE.prom for node_exporter instead."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="DIMENSION", help="Count also by syscall, comm, cgroup or cpu."),
    ] = None,
    max_series: Annotated[
        int,
        typer.Option(
            "--max-series",
            metavar="N",
            min=1,
            max=_MOST_SERIES,
            help="Label sets of one metric; what comes later is (other).",
        ),
    ] = 200,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.01, help="How often to read the maps.")
    ] = 1.0,
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
    quiet: options.NothingButErrors = False,
) -> None:
    """Count for Prometheus until Ctrl-C, as OpenMetrics on http://ADDRESS:PORT/metrics.

    What answers is a process without privileges. docs/export.md has the metrics, a dashboard and alerts.
    """
    if listen is not None and textfile is not None:
        raise typer.BadParameter("give --listen or --textfile, not both")
    if by and "pid" in ",".join(by).split(","):
        raise typer.BadParameter("no pid here: every process that ever ran would be a time series")
    wanted = options.collect(
        by=by,
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
        slow_only=slow_only,
    )
    from tifbpf.metrics.__main__ import Job, Listen, Write

    target: Listen | Write
    if textfile is None:
        host, port = _address(listen or _LISTEN)
        target = Listen(host=host, port=port)
    elif textfile.suffix != ".prom":
        raise typer.BadParameter(f"{textfile}: node_exporter reads files that end in .prom")
    else:
        target = Write(path=textfile.absolute())
    Job(options=wanted, target=target, max_series=max_series, quiet=quiet).execute()


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise typer.BadParameter(f"no address and port: {text!r}; give them as {_LISTEN} or [::1]:10845")
    return host.removeprefix("[").removesuffix("]"), int(port)
