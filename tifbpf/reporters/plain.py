"""Sections as plain text of a given width, to be pasted into a mail."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from rich.theme import Theme

from tifbpf import resources
from tifbpf.reporters import render
from tifbpf.reporters.tables import Section
from tifbpf.text import printable

_INDENT = 2


def text(sections: Iterable[Section], width: int) -> str:
    """Return the sections, one below the other; ASCII but for what names contain."""
    console = Console(
        file=io.StringIO(),
        width=width,
        theme=Theme.read(str(resources.directory("reports") / "terminal.theme")),
        color_system=None,
        highlight=False,
        emoji=False,
        markup=False,
    )
    blocks = []
    for section in sections:
        heading = f"{section.title}: {section.subject}" if section.subject else section.title
        with console.capture() as captured:
            console.print(Text(printable(heading), overflow="fold"))
            for block in render.paragraphs(section, width - _INDENT, ascii_only=True):
                console.print(Padding(block, (0, 0, 0, _INDENT), expand=False))
        blocks.append("\n".join(line.rstrip() for line in captured.get().splitlines()))
    return "\n\n".join(blocks) + "\n"
