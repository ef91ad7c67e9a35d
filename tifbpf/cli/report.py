"""`tifbpf report`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.errors import ExitCode

if TYPE_CHECKING:
    from tifbpf.reporters import schema


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("report")(report)


def report(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Recordings; several add up. An unfinished one is read too."),
    ],
    json: Annotated[bool, typer.Option("--json", help="As JSON, by reports/report.schema.json.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV, one figure a line.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As plain text within 80 columns, for a mailing list.")
    ] = False,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="Show the N commonest words, pairs and names.")
    ] = 10,
) -> int:
    """Report how often exits were slow, and which bits made them so. Example: tifbpf report a.tif.parquet."""
    if json + csv + markdown > 1:
        raise typer.BadParameter("give one of --json, --csv and --markdown")
    # Names may hold what the encoding of stdout does not; that must not end the report.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    from tifbpf.analysis import read
    from tifbpf.reporters import model

    built = model.build(read(files), top)
    if json or csv or markdown:
        print(_text(built, json=json, csv=csv), end="")
    else:
        from tifbpf.reporters import terminal

        terminal.console().print(terminal.document(built))
    return ExitCode.OK


def _text(built: schema.Report, *, json: bool, csv: bool) -> str:
    if json:
        from tifbpf.reporters.json import render
    elif csv:
        from tifbpf.reporters.csv import render
    else:
        from tifbpf.reporters.markdown import render
    return render(built)
