"""`tifbpf report`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.cli import complete, options
from tifbpf.cli.help import examples
from tifbpf.errors import ExitCode
from tifbpf.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tifbpf.analysis.figures import Figures
    from tifbpf.conditions.judge import Verdict
    from tifbpf.conditions.model import Condition
    from tifbpf.reporters import schema

_TOP = 10


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "report",
        epilog=examples(
            "tifbpf report exits.tif.parquet",
            "tifbpf report --html report.html --by host 'fleet/**/*.parquet'",
        ),
    )(report)


def report(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            autocompletion=complete.files,
            help="Recordings, directories or patterns ('DIR/**/*.parquet') of them, URLs; several add up.",
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="OUT", help="As one web page, with charts, which needs nothing but itself."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="OUT", help="As one picture of the bits: OUT ends in .svg or .png."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, by reports/report.schema.json.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV, one figure a line.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As plain text within 80 columns, for a mailing list.")
    ] = False,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="DIMENSION",
            autocompletion=complete.shown,
            help="Show these dimensions, and no others; host is one of every recording.",
        ),
    ] = None,
    engine: options.Engine = "duckdb",
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="N",
            min=1,
            help="Show the N commonest words, pairs and names.  [default: 10; with --html as many as fit]",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the files that --html and --plot name.")
    ] = False,
    fail_on: options.FailOn = None,
    quiet: Annotated[
        bool,
        typer.Option("-q", "--quiet", help="Print nothing but errors, unless --json, --csv or --markdown."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Say on stderr what was read and written.")
    ] = False,
) -> int:
    """Report how often exits were slow, and which bits made them so.

    With --html and --plot nothing is printed unless a format is asked for.
    """
    options.check_manners(quiet, verbose)
    if json + csv + markdown > 1:
        raise typer.BadParameter("give one of --json, --csv and --markdown")
    if plot is not None and plot.suffix not in (".svg", ".png"):
        raise typer.BadParameter("the file that --plot names must end in .svg or .png")
    conditions = options.conditions(fail_on)
    shown = options.dimensions(by, complete.SHOWN) if by else None
    from tifbpf.analysis.figures import Figures
    from tifbpf.engines.choose import chosen

    with chosen(engine) as opened:
        recordings = Figures.read(files, engine=opened)
        if verbose:
            _tell_what_was_read(recordings)
        verdicts = _judge(conditions, recordings)
        _write(recordings, html, plot, top, shown, force=force)
        if verbose:
            _tell_what_was_written(html, plot)
        if not (html or plot or quiet) or json or csv or markdown:
            from tifbpf.reporters import model

            _print(model.build(recordings, top or _TOP, shown), json=json, csv=csv, markdown=markdown)
    return _tell(verdicts, quiet=quiet)


def _print(built: schema.Report, *, json: bool, csv: bool, markdown: bool) -> None:
    # Names may hold what the encoding of stdout does not; that must not end the report.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if json or csv or markdown:
        print(_text(built, json=json, csv=csv), end="")
    else:
        from tifbpf.reporters import terminal

        terminal.console().print(terminal.document(built))


def _judge(conditions: Iterable[Condition], recordings: Figures) -> list[Verdict]:
    from tifbpf.conditions.recorded import judge

    return [judge(condition, recordings.loaded) for condition in conditions]


def _tell_what_was_read(recordings: Figures) -> None:
    for recording in recordings.recordings:
        about = recording.metadata
        print(
            f"tifbpf: read {printable(str(recording.path))}: {recording.num_rows:,} rows, "
            f"{about.totals.recorded:,} exits in {recording.duration_ns / 1e9:.1f} s on Linux "
            f"{printable(about.kernel.release)}, {recording.state}, written by tifbpf {about.tifbpf}",
            file=sys.stderr,
        )


def _tell_what_was_written(*paths: Path | None) -> None:
    for path in paths:
        if path is not None:
            print(f"tifbpf: wrote {printable(str(path))}: {path.stat().st_size:,} bytes", file=sys.stderr)


def _tell(verdicts: list[Verdict], *, quiet: bool) -> int:
    """Print what came of the conditions to stderr, and return the exit code."""
    if not verdicts:
        return ExitCode.OK
    from tifbpf.conditions.text import exit_code, lines

    sys.stdout.flush()
    for verdict in verdicts:
        if quiet and not exit_code((verdict,)):
            continue
        for line in lines(verdict):
            print(f"tifbpf: {line}", file=sys.stderr)
    return exit_code(verdicts)


def _write(
    recordings: Figures,
    page: Path | None,
    picture: Path | None,
    top: int | None,
    by: tuple[str, ...] | None,
    *,
    force: bool,
) -> None:
    if page is not None:
        from tifbpf.reporters import files, html

        files.write(page, html.within(recordings, top or html.TOP, by=by), force=force)
    if picture is not None:
        from tifbpf.reporters import files, model, plot

        files.write(picture, plot.render(model.build(recordings, top or _TOP, by), picture), force=force)


def _text(built: schema.Report, *, json: bool, csv: bool) -> str:
    if json:
        from tifbpf.reporters.json import render as as_json

        return as_json(built)
    if csv:
        from tifbpf.reporters.csv import render as as_csv

        return as_csv(built)
    from tifbpf.reporters.markdown import render as as_markdown

    return as_markdown(built)
