"""`tifbpf merge`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.cli import complete, options
from tifbpf.cli.complete import DIMENSIONS
from tifbpf.cli.help import examples
from tifbpf.errors import ExitCode
from tifbpf.text import printable

if TYPE_CHECKING:
    from tifbpf.merging import Outcome, Result


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "merge",
        epilog=examples(
            "tifbpf merge --step 1h --drop pid --into fleet --remove exits-*.tif.parquet",
            "tifbpf merge --step 1min -o day.tif.parquet exits-*.tif.parquet",
        ),
    )(merge)


def merge(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            autocompletion=complete.files,
            help="Recordings, directories or patterns of them; merged ones may be merged again.",
        ),
    ],
    step: Annotated[
        str,
        typer.Option("--step", metavar="TIME", help="Keep apart what was in another step: 10min, 1h, 1d."),
    ] = "1h",
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            metavar="DIMENSION",
            autocompletion=complete.dropped,
            help="Add up over a dimension, or leave out setters; several with commas.",
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="Write to DIR/host=NAME/day=YYYY-MM-DD/."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Write one recording to OUT."),
    ] = None,
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Remove FILEs once the result was read back from the disk."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    quiet: options.NothingButErrors = False,
) -> int:
    """Compact recordings: add up what one host recorded, downsampled in time.

    Words, counts, times in the slowpath and losses are kept to the last exit. Recordings that differ in
    what or how they observed stay apart. Merging again what is in DIR already changes nothing.
    """
    if (into is None) == (output is None):
        raise typer.BadParameter("say where to: --into DIR or -o OUT")
    from tifbpf import merging
    from tifbpf.merging import steps

    asked = merging.Options(
        step_ns=steps.parse(step),
        dropped=_dropped(drop),
        into=into,
        output=output,
        force=force,
        remove=remove,
    )
    outcome = merging.merge(_here(files), asked)
    if not quiet:
        _tell(outcome)
    return ExitCode.OK


def _here(files: list[str]) -> list[Path]:
    from tifbpf.recording.locate import locate

    found = locate(files)
    paths = [path for path in found if isinstance(path, Path)]
    if len(paths) < len(found):
        raise typer.BadParameter("give files of this machine, not URLs: copy them, or merge where they are")
    return paths


def _dropped(drop: list[str] | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for value in drop or () for name in value.split(",") if name))
    known = (*DIMENSIONS, complete.SETTERS)
    if unknown := sorted(set(names) - set(known)):
        raise typer.BadParameter(f"cannot drop {unknown[0]}; there are {', '.join(known)}")
    return names


def _tell(outcome: Outcome) -> None:
    for result in outcome.results:
        _say(_what(result))
        _say(f"  {_size(result)}")
    for left in outcome.left:
        _say(f"left {printable(str(left.path))} as it is: {left.why}")
    if outcome.removed:
        _say(f"removed {len(outcome.removed):,} that were merged")


def _say(line: str) -> None:
    print(f"tifbpf: {line}", file=sys.stderr)


def _what(result: Result) -> str:
    totals, seconds = result.metadata.totals, result.metadata.duration_ns / 1e9
    held = 0 if result.metadata.merged is None else len(result.metadata.merged.sources)
    return (
        f"{printable(str(result.path))}: {held:,} recording{'s'[: held != 1]}, {result.added:,} new: "
        f"{totals.recorded:,} exits in {seconds:,.1f} s, {totals.losses.total:,} lost"
    )


def _size(result: Result) -> str:
    each = f"{(result.size - result.footer) / result.rows:.1f} bytes each" if result.rows else "none"
    return (
        f"{result.steps:,} steps of {result.classes:,} classes are {result.steps * result.classes:,} rows at "
        f"most: {result.rows:,} rows, {each}, and {result.footer:,} for the footer: {result.size:,} bytes"
    )
