"""Sections as Markdown with tables, for a page of documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tifbpf.reporters import numbers
from tifbpf.reporters.tables import Cell, Kind, Section, Table
from tifbpf.text import printable

_SPECIAL = re.compile(r"([\\`*\[\]<>|])")
_WORD_LIKE = re.compile(r"(?<!\w)_|_(?!\w)")


def text(sections: Iterable[Section], level: int = 2) -> str:
    """Return the sections below headings of that level (2: `##`)."""
    return "\n\n".join(block for section in sections for block in _section(section, level)) + "\n"


def _section(section: Section, level: int) -> list[str]:
    heading = f"{section.title}: {section.subject}" if section.subject else section.title
    blocks = [f"{'#' * level} {escape(heading)}", *map(escape, section.lead)]
    if section.table is not None:
        blocks.append(_table(section.table))
    blocks += map(escape, section.notes)
    if section.warnings:
        blocks.append("\n".join(f"- {escape(item)}" for item in section.warnings))
    return blocks


def _table(table: Table) -> str:
    shown = [place for place, column in enumerate(table.columns) if column.kind is not Kind.BAR]
    head = [table.columns[place].header for place in shown]
    rule = ["---:" if table.columns[place].kind is Kind.NUMBER else "---" for place in shown]
    rows = [[_cell(row[place]) for place in shown] for row in (*table.rows, *table.rest)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _cell(cell: Cell) -> str:
    return escape(cell) if isinstance(cell, str) else numbers.count(None if cell is None else int(cell))


def escape(content: str) -> str:
    r"""Return `content` so that Markdown takes nothing in it for its own.

    >>> escape("_TIF_WORK_MASK | 0xe220 <b>")
    '\\_TIF_WORK_MASK \\| 0xe220 \\<b\\>'
    """
    return _WORD_LIKE.sub(r"\_", _SPECIAL.sub(r"\\\1", printable(content)))
