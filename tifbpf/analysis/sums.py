"""Sums in which something may not be known: what is unknown in all of them stays unknown."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any


def total(values: Iterable[int | None]) -> int | None:
    """Return the sum of those that are known, None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def rate(values: Iterable[float | None]) -> float | None:
    """Return the same of floats, added up as Kahan does, so that no digit is lost."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    added = lost = 0.0
    for value in known:
        part = value - lost
        more = added + part
        lost = more - added - part
        added = more
    return added


def share(part: int | None, whole: int | None) -> float | None:
    """Return `part / whole`, None where either is not known, and of nothing."""
    return part / whole if part is not None and whole else None


def by_value(key: tuple[Hashable, ...]) -> tuple[Any, ...]:
    """Return what sorts keys as tables have them: what is none the last."""
    return tuple((value is None, value) for value in key)
