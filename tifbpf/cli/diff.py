"""`tifbpf diff`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.cli import complete
from tifbpf.cli.help import examples
from tifbpf.errors import ExitCode

if TYPE_CHECKING:
    from tifbpf.reporters import diff_schema


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "diff",
        epilog=examples(
            "tifbpf diff old.tif.parquet new.tif.parquet",
            "tifbpf diff --html diff.html old.tif.parquet new.tif.parquet",
        ),
    )(diff)


def diff(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BEFORE AFTER",
            autocompletion=complete.files,
            help="Two recordings, or directories or patterns of them.",
            show_default=False,
        ),
    ] = None,
    before: Annotated[
        list[str] | None,
        typer.Option(
            "--before",
            metavar="FILE",
            autocompletion=complete.files,
            help="A recording from before; several add up.",
        ),
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--after",
            metavar="FILE",
            autocompletion=complete.files,
            help="A recording from after; several add up.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="As one web page, which needs nothing else.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, by reports/diff.schema.json.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As plain text within 80 columns, for a mailing list.")
    ] = False,
    band: Annotated[
        float,
        typer.Option(
            "--band", metavar="PERCENT", min=0.1, max=100, help="A change within this counts as none."
        ),
    ] = 10.0,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="Compare the N commonest words and names.")
    ] = 10,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare even if the recordings did not see the same.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that --html names.")] = False,
) -> int:
    """Compare recordings: what changed, by how much, and how surely.

    Shares and rates of slow exits by bit, word and recorded dimension, each with an interval and a verdict
    (docs/diff.md).
    """
    sides = _sides(files or [], before or [], after or [])
    if json and markdown:
        raise typer.BadParameter("give one of --json and --markdown")
    # Names may hold what the encoding of stdout does not; that must not end the report.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    from tifbpf.analysis import compare
    from tifbpf.reporters import diff as model

    built = model.build(compare(*sides, anyway=anyway, band=band / 100), top)
    if html is not None:
        from tifbpf.reporters import diff_html
        from tifbpf.reporters.files import write

        write(html, diff_html.render(built), force=force)
    if json or markdown:
        print(_text(built, json=json), end="")
    elif html is None:
        from tifbpf.reporters import diff_sections, terminal

        terminal.console().print(terminal.of_sections(diff_sections.sections(built)))
    return ExitCode.OK


def _sides(files: list[str], before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    if before or after:
        if files or not (before and after):
            raise typer.BadParameter("give BEFORE AFTER, or --before FILE and --after FILE")
        return before, after
    if len(files) != 2:
        raise typer.BadParameter(
            f"{len(files)} recordings given; give BEFORE AFTER, or more with --before FILE and --after FILE"
        )
    return files[:1], files[1:]


def _text(built: diff_schema.Diff, *, json: bool) -> str:
    from tifbpf.reporters import diff_sections, markdown
    from tifbpf.reporters.json import render

    return render(built) if json else markdown.of_sections(diff_sections.sections(built))
