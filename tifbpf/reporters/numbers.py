"""Figures as people read them. What is not known is said, and what is not zero never looks like it."""

from __future__ import annotations

import math

UNKNOWN = "unknown"

_PREFIXES = "kMGT"


class Figure(str):
    """A figure as people read it that still knows its value, so that a table can be sorted by it."""

    __slots__ = ("value",)
    value: float | None
    """None where it is not known."""

    def __new__(cls, text: str, value: float | None) -> Figure:
        """Return `text` with its value."""
        figure = super().__new__(cls, text)
        figure.value = value
        return figure


def count(value: int | None) -> str:
    """Return every digit, with separators.

    >>> count(1234567), count(0), count(None)
    ('1,234,567', '0', 'unknown')
    """
    return UNKNOWN if value is None else f"{value:,}"


def short_count(value: int | None) -> str:
    """Return at most eight characters, for a table that has no room for every digit.

    >>> short_count(99_999), short_count(1_234_567), short_count(123_456_789_012), short_count(10**15)
    ('99,999', '1,235 k', '123 G', '1,000 T')
    """
    if value is None or value < 100_000:
        return count(value)
    thousands = (len(str(value)) - 2) // 3
    scale = min(thousands, len(_PREFIXES))
    return f"{value / 1000**scale:,.0f} {_PREFIXES[scale - 1]}"


def share(value: float | None) -> Figure:
    """Return per cent with three digits that say something.

    >>> share(0.1234), share(0.00004), share(0.0), share(1.0), share(None)
    ('12.3 %', '0.00400 %', '0 %', '100 %', 'unknown')
    >>> share(0.99996), share(1e-9)
    ('99.996 %', '1.0e-07 %')
    """
    return Figure(UNKNOWN if value is None else _percent(100 * value), value)


def _percent(percent: float) -> str:
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if percent < 1e-4:
        return f"{percent:.1e} %"
    if percent > 90:
        # Not all of them must not look like all of them.
        return f"{percent:.{max(1, -math.floor(math.log10(100 - percent)))}f} %"
    return f"{percent:.{2 - math.floor(math.log10(percent))}f} %"


def part(of: int) -> str:
    """Return one of so many parts.

    >>> part(1), part(8)
    ('all', '1/8')
    """
    return "all" if of == 1 else f"1/{of:,}"


def rate(value: float | None) -> Figure:
    """Return a number per second, with three digits at least.

    >>> rate(1234567.8), rate(12.345), rate(0.01), rate(0.0), rate(None)
    ('1,234,568', '12.3', '0.0100', '0', 'unknown')
    """
    return Figure(UNKNOWN if value is None else _a_second(value), value)


def _a_second(value: float) -> str:
    if value == 0:
        return "0"
    if value < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def time(ns: float | None) -> Figure:
    """Return a time in the slowpath, with three digits.

    >>> time(850), time(4095), time(65_536), time(1_234_567), time(3.2e12), time(None)
    ('850 ns', '4.09 us', '65.5 us', '1.23 ms', '3,200 s', 'unknown')
    """
    return Figure(UNKNOWN if ns is None else _length(ns), ns)


def _length(ns: float) -> str:
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= scale:
            value = ns / scale
            return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{ns:.0f} ns"


def duration(seconds: float) -> str:
    """Return a length of time.

    >>> duration(0.25), duration(10), duration(200), duration(7380), duration(90000)
    ('0.250 s', '10.0 s', '3 min 20 s', '2 h 3 min', '25 h 0 min')
    """
    if seconds < 1:
        return f"{seconds:.3f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
