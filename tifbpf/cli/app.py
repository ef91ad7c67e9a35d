"""The typer application, put together from the commands' modules."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tifbpf import __version__
from tifbpf.cli import decode, diff, doctor, exercise, export, masks, merge, record, report, stat, top
from tifbpf.cli.help import examples
from tifbpf.errors import ExitCode, OutputUnwritableError

_INSTALL = "--install-completion"
"""Typer's option; it writes into the home directory."""

app = typer.Typer(
    name="tifbpf",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"tifbpf {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "sudo tifbpf record --by syscall,comm -d 10 -o exits.tif.parquet", "tifbpf report exits.tif.parquet"
    )
)
def _tifbpf(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which TIF and syscall_work bits send x86-64 Linux exits down the slowpath, and how often.

    Colours are for terminals only, and NO_COLOR switches them off there.
    """


for module in (doctor, record, stat, top, export, report, diff, merge, decode, masks, exercise):
    module.register(app)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; a usage error is one line on stderr.

    Raises:
        TifbpfError: whatever a user or a host can cause.
    """
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments or ["--help"], prog_name="tifbpf", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "tifbpf"
        what = " ".join(error.format_message().split()).rstrip(".")
        print(f"{path}: {what}; see `{path} --help`", file=sys.stderr)
        return ExitCode.USAGE
    except SystemExit as leaving:
        # Where whoever read the output has gone, typer and rich leave with 1; for us that is no failure.
        if isinstance(leaving.__context__, BrokenPipeError):
            raise leaving.__context__ from None
        raise
    except OSError as error:
        if _INSTALL not in arguments:
            raise
        raise OutputUnwritableError(
            f"{error.filename} cannot be written: {error.strerror}; `tifbpf --show-completion` prints it"
        ) from error
    return result if isinstance(result, int) else ExitCode.OK
