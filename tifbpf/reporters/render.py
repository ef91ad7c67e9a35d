"""Sections as rich shows them, within a width; the terminal and the plain text report share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

import rich.table
from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from tifbpf.reporters import numbers
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table
from tifbpf.text import printable

_LEAST = {Kind.NAME: 8, Kind.WRAPPED: 20, Kind.BAR: 0}
"""Columns of these kinds take what room the others leave, but so much at least."""
_NAME_MOST = 48
_BAR_MOST = 24
_BAR_LEAST = 4
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_DOTS = "..."


def subject(section: Section) -> Iterator[RenderableType]:
    """Yield what the section is of, where its heading cannot say it."""
    if section.subject:
        yield _paragraph(section.subject, "tifbpf.lead")


def paragraphs(section: Section, width: int, *, ascii_only: bool) -> Iterator[RenderableType]:
    """Yield what stands below the section's heading."""
    for text in section.lead:
        yield _paragraph(text, "tifbpf.lead")
    if section.table is not None:
        yield table(section.table, width, ascii_only=ascii_only)
    for text in section.notes:
        yield _paragraph(text, "tifbpf.note")
    if section.warnings:
        yield _items(section.warnings, "tifbpf.warning")


def _paragraph(text: str, style: str) -> RenderableType:
    return Text(printable(text), style=style, overflow="fold")


def _items(texts: tuple[str, ...], style: str) -> RenderableType:
    grid = rich.table.Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for text in texts:
        grid.add_row(Text("*", style=style), Text(printable(text), style=style))
    return grid


@dataclass(frozen=True, slots=True)
class _Measured:
    """A table's cells as text, and how wide its columns want to be."""

    columns: tuple[Column, ...]
    texts: list[tuple[str, ...]]
    widths: list[int]
    gap: int

    @property
    def rigid(self) -> int:
        """The width of what cannot give way."""
        columns = zip(self.columns, self.widths, strict=True)
        return sum(width for column, width in columns if column.kind not in _LEAST) + self.gap * (
            len(self.columns) - 1
        )

    @property
    def least(self) -> int:
        """The width below which digits must go."""
        columns = zip(self.columns, self.widths, strict=True)
        return self.rigid + sum(
            min(width, _LEAST[column.kind]) for column, width in columns if column.kind in _LEAST
        )


def _measure(content: Table, count: Callable[[int | None], str], gap: int) -> _Measured:
    texts = [tuple(_text(cell, count) for cell in row) for row in (*content.rows, *content.rest)]
    headers = tuple(column.header for column in content.columns)
    widths = [max(map(cell_len, cells)) for cells in zip(headers, *texts, strict=True)]
    return _Measured(content.columns, texts, widths, gap)


def _text(cell: Cell, count: Callable[[int | None], str]) -> str:
    if isinstance(cell, float):
        return ""  # a bar is as long as there is room
    return printable(cell) if isinstance(cell, str) else count(cell)


def table(content: Table, width: int, *, ascii_only: bool) -> rich.table.Table:
    """Return `content` as a table that is at most `width` wide."""
    measured = _measure(content, numbers.count, gap=2)
    for gap, count in ((1, numbers.count), (1, numbers.short_count)):
        if measured.least > width:
            measured = _measure(content, count, gap)
    room = width - measured.rigid
    result = rich.table.Table(
        box=None,
        padding=(0, measured.gap, 0, 0),
        pad_edge=False,
        show_header=any(column.header for column in content.columns),
        header_style="tifbpf.header",
    )
    shown: list[tuple[int, int]] = []
    for place, column in enumerate(content.columns):
        final = _final_width(column.kind, measured.widths[place], room)
        if column.kind is Kind.BAR and final < _BAR_LEAST:
            continue
        shown.append((place, final))
        result.add_column(
            Text(column.header),
            width=final,
            justify="right" if column.kind is Kind.NUMBER else "left",
            style=f"tifbpf.{column.style}",
            no_wrap=column.kind is not Kind.WRAPPED,
            overflow="fold",
        )
    for texts, row in zip(measured.texts, (*content.rows, *content.rest), strict=True):
        cells = []
        for place, final in shown:
            cell, is_name = row[place], content.columns[place].kind is Kind.NAME
            if isinstance(cell, float):
                cells.append(Text(bar(cell, final, ascii_only=ascii_only)))
            else:
                cells.append(Text(shorten(texts[place], final) if is_name else texts[place]))
        result.add_row(*cells)
    return result


def _final_width(kind: Kind, natural: int, room: int) -> int:
    match kind:
        case Kind.NUMBER | Kind.FIXED:
            return natural
        case Kind.NAME:
            return min(natural, max(room, _LEAST[kind]), _NAME_MOST)
        case Kind.WRAPPED:
            return min(natural, max(room, _LEAST[kind]))
        case Kind.BAR:
            return min(room, _BAR_MOST)
        case _:
            assert_never(kind)


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` cells; the end of a path says more than its beginning.

    >>> shorten("/user.slice/user-1000.slice/session-7.scope", 24)
    '/user.s...ession-7.scope'
    """
    if cell_len(text) <= width:
        return text
    room = width - len(_DOTS)
    head = set_cell_size(text, room // 3)
    tail = set_cell_size(text[::-1], room - room // 3)[::-1]
    return f"{head}{_DOTS}{tail}"


def bar(share: float, width: int, *, ascii_only: bool) -> str:
    """Return `share` of `width`; what is not zero shows.

    >>> bar(0.5, 8, ascii_only=True), bar(0.0001, 8, ascii_only=True), bar(0, 8, ascii_only=True)
    ('####', '#', '')
    >>> bar(0.45, 8, ascii_only=False)
    '███▋'
    """
    if share == 0:
        return ""
    if ascii_only:
        return "#" * max(1, round(share * width))
    eighths = max(1, round(share * width * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
