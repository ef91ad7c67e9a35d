"""Synthetic recordings of many intervals, for what compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.recordings import SECOND_NS, START_NS, row, write

NOTIFY_RESUME, SIGPENDING = 0x1, 0x2

Counts = Callable[[int], Mapping[int, int]]
"""Exits of one interval by their TIF word."""


def steady(**counts: int) -> Counts:
    """The same in every interval; names of words as in `words`."""
    words = {"fast": 0, "notify_resume": NOTIFY_RESUME, "sigpending": SIGPENDING}
    found = {words[name]: count for name, count in counts.items()}
    return lambda _: found


def random(seed: int, *, notify_resume: float, sigpending: float, exits: int = 10_000) -> Counts:
    """Exits that are slow by chance, with these probabilities."""
    generator = np.random.default_rng(seed)

    def counts(_: int) -> Mapping[int, int]:
        all_exits = int(generator.poisson(exits))
        slow = generator.multinomial(
            all_exits, [notify_resume, sigpending, 1 - notify_resume - sigpending]
        ).tolist()
        return {NOTIFY_RESUME: slow[0], SIGPENDING: slow[1], 0: slow[2]}

    return counts


def recorded(path: Path, counts: Counts, *, intervals: int = 60, **given: Any) -> Path:
    """Write a recording whose id is its name."""
    rows = [
        row(word, count, time=START_NS + number * SECOND_NS, **given.get("columns", {}))
        for number in range(intervals)
        for word, count in counts(number).items()
        if count
    ]
    about = {name: value for name, value in given.items() if name != "columns"}
    defaults = {"id": str(path), "duration_ns": intervals * SECOND_NS}
    return write(path, rows, **{**defaults, **about})
