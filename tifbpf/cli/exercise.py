"""`tifbpf exercise`."""

from __future__ import annotations

from typing import Annotated

import typer

from tifbpf.cli import complete, options
from tifbpf.cli.help import examples


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "exercise", epilog=examples("tifbpf exercise --list", "tifbpf exercise signal -n 1000 --processes 2")
    )(exercise)


def exercise(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", autocompletion=complete.exercises, help="What to cause; see --list."),
    ] = None,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Acts in each process.")] = 1,
    processes: Annotated[
        int, typer.Option("--processes", metavar="P", min=1, help="Processes, each with N acts, at once.")
    ] = 1,
    control: Annotated[
        bool,
        typer.Option("--control", help="The same acts without what sets the bit."),
    ] = False,
    list_kinds: Annotated[
        bool, typer.Option("--list", help="List the kinds, and whether this host can run them.")
    ] = False,
    quiet: options.NothingButErrors = False,
) -> int:
    """Cause a known number of slow exits of a known kind."""
    from tifbpf import exercises
    from tifbpf.errors import ExerciseUnavailableError, ExitCode

    if list_kinds:
        _list()
        return ExitCode.OK
    kinds = ", ".join(exercises.names())
    if kind is None:
        raise typer.BadParameter(f"KIND is missing; it is one of: {kinds}")
    if kind not in exercises.names():
        raise typer.BadParameter(f"there is no exercise '{kind}'; KIND is one of: {kinds}")

    chosen = exercises.get(kind)
    say = (lambda _: None) if quiet else print
    say(f"{kind}: {chosen.summary}")
    each = "" if processes == 1 else f" in each of {processes} processes"
    expectations = chosen.expectations(n)
    if control:
        if chosen.control_summary is None:
            raise ExerciseUnavailableError(f"{kind} has no control; leave out --control")
        say(f"control{each}: {chosen.control_summary}")
        say(f"must not show: {', '.join(str(expectation.bit) for expectation in expectations)}")
    else:
        for expectation in expectations:
            say(f"causes{each}: {expectation}")
        say(f"why: {chosen.why}")
    for pid in exercises.run_in_children(kind, n, processes, control):
        say(f"pid {pid}: done")
    return ExitCode.OK


def _list() -> None:
    from tifbpf import exercises
    from tifbpf.errors import ExerciseUnavailableError

    for name in exercises.names():
        chosen = exercises.get(name)
        print(f"{name}: {chosen.summary}")
        refusal = chosen.available()
        if refusal is not None:
            print(f"    not here: {refusal}")
        try:
            for expectation in chosen.expectations(1):
                print(f"    causes {expectation}")
        except ExerciseUnavailableError:
            # What it causes is not known here; the refusal above says why.
            continue
        if chosen.control_summary is not None:
            print(f"    control: {chosen.control_summary}")
