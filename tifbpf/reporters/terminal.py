"""The report in a terminal: whole, and as a summary like perf stat's."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from tifbpf import resources
from tifbpf.recording.metadata import Coverage
from tifbpf.reporters import coverage, render, schema
from tifbpf.reporters.sections import sections, summary_section
from tifbpf.reporters.tables import Section
from tifbpf.text import printable

_INDENT = 1
_WIDEST = 120


def theme() -> Theme:
    """Return our styles."""
    return Theme.read(str(resources.directory("reports") / "terminal.theme"))


def console(*, stderr: bool = False) -> Console:
    """Return a console with our styles; without colours where it is no terminal, or NO_COLOR is set."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        # A name with a character that the terminal does not have must not end the report.
        stream.reconfigure(errors="backslashreplace")
    return Console(theme=theme(), stderr=stderr, highlight=False, emoji=False, markup=False)


@dataclass(frozen=True, slots=True)
class _Document:
    sections: tuple[Section, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        for place, section in enumerate(self.sections):
            if place:
                yield Text("")
            style = "tifbpf.heading" if place else "tifbpf.title"
            heading = f"{section.title}: {section.subject}" if section.subject else section.title
            yield Text(printable(heading), style=style, overflow="fold")
            inner = options.update(width=width - _INDENT)
            for block in render.paragraphs(section, inner.max_width, ascii_only=options.ascii_only):
                for line in console.render_lines(block, inner, pad=False):
                    yield Segment(" " * _INDENT)
                    yield from _without_padding(line)
                    yield Segment.line()


def _without_padding(line: list[Segment]) -> list[Segment]:
    """Return `line` up to its last character: what is pasted into a mail should not end in blanks."""
    kept = list(line)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        kept[-1] = kept[-1]._replace(text=kept[-1].text.rstrip())
    return kept


def of_sections(shown: Iterable[Section]) -> _Document:
    """Return sections, to be printed on `console()`."""
    return _Document(tuple(shown))


def document(report: schema.Report) -> _Document:
    """Return the whole report, to be printed on `console()`."""
    return _Document(sections(report))


def contexts(observed: Iterable[Coverage]) -> _Document:
    """Return the coverage table, which needs no recording, to be printed on `console()`."""
    return _Document(coverage.of_contexts(observed))


def summary(report: schema.Report) -> _Document:
    """Return what matters most of `report`, to be printed on `console()`."""
    return _Document((summary_section(report),))
