"""`tifbpf decode`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.cli import complete
from tifbpf.cli.help import examples

if TYPE_CHECKING:
    from tifbpf.layouts.model import Layout


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "decode", epilog=examples("tifbpf decode 0x80004 --kernel 6.1", "tifbpf decode 'SIGPENDING|UPROBE'")
    )(decode)


def decode(
    word: Annotated[
        str, typer.Argument(metavar="WORD", help="A number (0x12, 18, 022), or names: 'SIGPENDING|UPROBE'.")
    ],
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="V",
            autocompletion=complete.kernels,
            help="A release: 3.13, 6.18.44, 6.12-rt.",
        ),
    ] = None,
    headers: Annotated[
        Path | None, typer.Option("--headers", metavar="DIR", help="Kernel headers to take the bits from.")
    ] = None,
    syscall_work: Annotated[
        bool, typer.Option("--syscall-work", help="WORD is thread_info.syscall_work, not the TIF word.")
    ] = False,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="CONTEXT",
            autocompletion=complete.among("syscall", "interrupt", "exception"),
            help="Only exits from syscall, interrupt or exception.",
        ),
    ] = None,
) -> int:
    """Name a word's bits, and say which exits they make slow.

    Without --kernel and --headers the bits are those of the kernel that runs. The first line is the word: by
    names if a number was given, as a number if names were.
    """
    from tifbpf.layouts import decode as words
    from tifbpf.layouts import exits
    from tifbpf.layouts.model import Context, Word

    if kernel is not None and headers is not None:
        raise typer.BadParameter("--kernel and --headers exclude each other")
    try:
        contexts = tuple(Context) if context is None else (Context(context),)
    except ValueError:
        raise typer.BadParameter(
            f"no such context: {context!r}; there are {', '.join(Context)}", param_hint="--context"
        ) from None
    layout = _layout(kernel, headers)
    which = Word.SYSCALL_WORK if syscall_work else Word.TIF
    value = words.parse(layout, word, which)
    print(words.decode(layout, value, which) if word[:1].isdigit() else f"{value:#x}")
    for line in exits.explain(layout, value, which, contexts):
        print(line)
    return 0


def _layout(kernel: str | None, headers: Path | None) -> Layout:
    if kernel is not None:
        from tifbpf.layouts import catalogue

        return catalogue.for_kernel(kernel)
    if headers is not None:
        from tifbpf.layouts import headers as tree

        return tree.read(headers)
    from tifbpf.recorder.layout import running_layout

    return running_layout()
