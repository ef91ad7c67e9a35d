"""Headings, tables and sentences, before it is known where they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a column holds, and so what happens to it where the line is too short."""

    NUMBER = "number"
    """Right-aligned; counts lose digits if there is no other way."""
    FIXED = "fixed"
    """Short text of our own, never shortened."""
    NAME = "name"
    """A name from outside: its middle gives way."""
    WRAPPED = "wrapped"
    """Continued on the next line."""
    BAR = "bar"
    """A share of 1 as a bar, in what room is left; the first to go."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `style` names what it shows, for the theme."""

    header: str
    kind: Kind
    style: str = "none"


Cell = str | int | float | None
"""Text; a count, None where it is not known; of a BAR the share, between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and their cells. At most one column is other than NUMBER and FIXED."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    rest: tuple[tuple[Cell, ...], ...] = ()
    """Rows below that sum up what has no row; they stay there however the others are sorted."""


def fields(pairs: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and texts; what has no text is left out."""
    columns = (Column("", Kind.FIXED, "field"), Column("", Kind.WRAPPED))
    return Table(columns, tuple((name, text) for name, text in pairs if text))


@dataclass(frozen=True, slots=True)
class Section:
    """A heading; below it a table among paragraphs, and warnings, each an item of its own."""

    title: str
    subject: str = ""
    """What the section is of, where that is text from outside."""
    table: Table | None = None
    lead: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    key: str = ""
    """What it is about, for who shows more than one can in a line of text: a chart beside it, a chapter."""
