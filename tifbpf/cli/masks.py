"""`tifbpf masks`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tifbpf.cli import complete
from tifbpf.cli.help import examples

if TYPE_CHECKING:
    import msgspec

    from tifbpf.layouts.establish import Established
    from tifbpf.reporters.tables import Section

_WIDTH = 100


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("masks", epilog=examples("tifbpf masks --kernel 3.13", "tifbpf masks exits.tif.parquet"))(
        masks
    )


def masks(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Recordings: the masks of their kernel, and what was seen."),
    ] = None,
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
        Path | None, typer.Option("--headers", metavar="DIR", help="A headers package or a source tree.")
    ] = None,
    vmlinux: Annotated[
        Path | None,
        typer.Option("--vmlinux", metavar="FILE", help="A kernel, vmlinux or vmlinuz: what its code tests."),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Bits and masks over all kernels that are known.")
    ] = False,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option("--diff", metavar="V V", help="What changed between two releases."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown with tables.")] = False,
) -> int:
    """Audit the work masks of a kernel, bit by bit.

    Which bits are in the exit masks, who sets and handles them, which are dead, which would loop, which cost
    a slowpath for nothing, and which need the full pt_regs. Without an option it is the kernel that runs;
    with recordings, every verdict stands beside what was seen.
    """
    from tifbpf.errors import ExitCode

    # The headers of a kernel's build may go with its file.
    options = (files or None, kernel, headers or vmlinux, history or None, diff)
    if len([option for option in options if option is not None]) > 1:
        raise typer.BadParameter("give one of FILE, --kernel, --headers, --vmlinux, --history and --diff")
    if json and markdown:
        raise typer.BadParameter("give one of --json and --markdown")
    if history:
        document, sections = _history()
    elif diff is not None:
        document, sections = _difference(*diff)
    elif files:
        document, sections = _recorded(files)
    else:
        document, sections = _audit(kernel, headers, vmlinux)
    _print(document, sections, json=json, markdown=markdown)
    return ExitCode.OK


def _history() -> tuple[msgspec.Struct, tuple[Section, ...]]:
    from tifbpf.layouts import history
    from tifbpf.reporters import masks_history

    document = masks_history.HistoryDocument(history=history.history())
    return document, masks_history.of_history(document.history)


def _difference(old: str, new: str) -> tuple[msgspec.Struct, tuple[Section, ...]]:
    from tifbpf.layouts import catalogue, history
    from tifbpf.reporters import masks_history

    found = history.diff(catalogue.for_kernel(old), catalogue.for_kernel(new))
    document = masks_history.DifferenceDocument(old=old, new=new, difference=found)
    return document, masks_history.of_difference(document)


def _recorded(files: list[Path]) -> tuple[msgspec.Struct, tuple[Section, ...]]:
    import tifbpf
    from tifbpf.reporters import masks, seen

    recordings = tifbpf.read(files)
    document = masks.RecordingsDocument(kernels=seen.documents(recordings))
    count = len(recordings.recordings)
    return document, tuple(part for one in document.kernels for part in seen.sections(one, count))


def _audit(
    kernel: str | None, headers: Path | None, vmlinux: Path | None
) -> tuple[msgspec.Struct, tuple[Section, ...]]:
    import msgspec

    from tifbpf.reporters import machine_code, masks

    called, established, config = _established(kernel, headers, vmlinux)
    layout, tested, checks = established.layout, established.tested, established.checks
    document = masks.build(called, layout, config, established.evidence)
    document = msgspec.structs.replace(document, checks=checks, machine_code=tested)
    said = machine_code.sections(layout, tested, checks) if tested else ()
    return document, masks.sections(document, said)


def _established(
    kernel: str | None, headers: Path | None, vmlinux: Path | None
) -> tuple[str, Established, Mapping[str, str] | None]:
    """Return how the kernel is called, its layout with what that rests on, and its options if known."""
    from tifbpf.layouts.establish import Established

    if kernel is not None:
        from tifbpf.layouts import catalogue

        return kernel, Established(layout=catalogue.for_kernel(kernel), evidence=()), None
    if vmlinux is not None:
        return _of_file(vmlinux, headers)
    if headers is not None:
        from tifbpf.layouts import headers as tree
        from tifbpf.layouts import likeness

        layout = tree.read(headers)
        handled = likeness.with_handlers(layout, likeness.release_of(layout))
        established = Established(layout=handled or layout, evidence=())
        return layout.releases[0], established, tree.configuration(headers)
    import os

    from tifbpf.host import config
    from tifbpf.recorder.layout import establish_running

    established = establish_running()
    built = config.read()
    return os.uname().release, established, built.options if built else None


def _of_file(vmlinux: Path, headers: Path | None) -> tuple[str, Established, Mapping[str, str] | None]:
    import msgspec

    from tifbpf.host.vmlinux import Vmlinux
    from tifbpf.layouts import headers as tree
    from tifbpf.layouts.establish import establish
    from tifbpf.recorder import machine_code

    image = Vmlinux(vmlinux)
    config = tree.configuration(headers) if headers else None
    facts = msgspec.structs.replace(machine_code.of_file(image), headers=headers, config=config)
    return image.release, establish(facts), config


def _print(document: msgspec.Struct, sections: tuple[Section, ...], *, json: bool, markdown: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(document)).decode())
    elif markdown:
        from tifbpf.reporters import gfm

        print(gfm.text(sections), end="")
    else:
        from tifbpf.reporters import plain

        print(plain.text(sections, _WIDTH), end="")
