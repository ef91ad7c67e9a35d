"""How reports mark what is estimated, and between what it lies."""

from __future__ import annotations

import dataclasses

from tifbpf.reporters import numbers
from tifbpf.reporters.tables import Column, Kind, Section

BETWEEN = Column("95 %", Kind.NUMBER, "share")
"""Between what the share before it lies, with that confidence."""
_COUNTS = ("slow", "count")
_AS_COUNTED = {"losses", "setters", "handlers", "layout", "recording", "coverage"}
"""Keys of the sections whose counts are of what was looked at."""
_HEADLINE = "headline"
"""Its heading is the program's name, so its columns say it."""


def marked(section: Section) -> Section:
    """Return the section marked as holding estimates, where its counts are."""
    table = section.table
    if table is None or section.key in _AS_COUNTED:
        return section
    if section.key == _HEADLINE:
        columns = tuple(
            dataclasses.replace(column, header=f"est. {column.header}") if _counts(column) else column
            for column in table.columns
        )
        return dataclasses.replace(section, table=dataclasses.replace(table, columns=columns))
    if not any(map(_counts, table.columns)):
        return section
    return dataclasses.replace(section, title=f"{section.title} (estimates)")


def _counts(column: Column) -> bool:
    return column.kind is Kind.NUMBER and column.style in _COUNTS


def between(low: float | None, high: float | None) -> str:
    """Return between what a share lies; "" where every exit was looked at, or too few windows were.

    >>> between(0.0341, 0.0355), between(0.0, 0.004), between(None, None)
    ('3.41 to 3.55 %', '0 to 0.400 %', '')
    """
    if low is None or high is None:
        return ""
    return f"{numbers.share(low).removesuffix(' %')} to {numbers.share(high)}"


def between_rates(low: float | None, high: float | None) -> str:
    """Return the same of a rate.

    >>> between_rates(1234.5, 2345.6)
    '1,234 to 2,346'
    """
    return "" if low is None or high is None else f"{numbers.rate(low)} to {numbers.rate(high)}"
