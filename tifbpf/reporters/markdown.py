"""The report for a mailing list: plain text of at most 80 columns that is Markdown too."""

from __future__ import annotations

import io
from collections.abc import Iterable

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.theme import Theme

from tifbpf import resources
from tifbpf.reporters import render as rendering
from tifbpf.reporters import schema
from tifbpf.reporters.sections import sections
from tifbpf.reporters.tables import Section

_COLUMNS = 80
_INDENT = "    "


def render(report: schema.Report) -> str:
    """Return the report; ASCII but for what names contain."""
    return of_sections(sections(report))


def of_sections(shown: Iterable[Section]) -> str:
    """Return sections; ASCII but for what names contain. No title holds text from outside."""
    templates = resources.directory("reports")
    # Not HTML, so nothing to escape: the template indents all text from outside (see there).
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(templates), undefined=StrictUndefined, keep_trailing_newline=True
    )
    theme = Theme.read(str(templates / "terminal.theme"))
    blocks = [{"title": section.title, "text": _plain(section, theme)} for section in shown]
    return environment.get_template("report.md.j2").render(blocks=blocks)


def _plain(section: Section, theme: Theme) -> str:
    width = _COLUMNS - len(_INDENT)
    console = Console(
        file=io.StringIO(),
        width=width,
        theme=theme,
        color_system=None,
        highlight=False,
        emoji=False,
        markup=False,
    )
    blocks = [*rendering.subject(section), *rendering.paragraphs(section, width, ascii_only=True)]
    texts = []
    for block in blocks:
        with console.capture() as captured:
            console.print(block)
        texts.append("\n".join(f"{_INDENT}{line}".rstrip() for line in captured.get().splitlines()))
    return "\n\n".join(texts)
