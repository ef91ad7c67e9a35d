"""Recordings of a host whose every exit is known, made by the rules of --sample and --duty."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from tests.unit.recordings import SECOND_NS, START_NS, covered, metadata, table, uncovered
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Sampling, Totals
from tifbpf.recording.reader import Part, Recording, State

SIGPENDING = 0x2
PARTS = 100
"""Of an interval: a window is some of them."""


class Truth(NamedTuple):
    """Exits of each part of each interval."""

    fast: NDArray[np.int64]
    slow: NDArray[np.int64]

    @property
    def share(self) -> float:
        return float(self.slow.sum() / (self.slow.sum() + self.fast.sum()))

    @property
    def rate(self) -> float:
        return float(self.slow.sum() / len(self.slow))


def host(generator: Generator, intervals: int, exits: float, share: float, *, bursts: bool = False) -> Truth:
    """Return what happens on a host: evenly, or in bursts that last for a while."""
    shape = (intervals, PARTS)
    busy = np.ones(shape)
    if bursts:
        # Phases of about half an interval, some ten times as busy, some with hardly a slow exit.
        phases = generator.gamma(0.7, 1 / 0.7, size=(intervals * 2,)).repeat(PARTS // 2).reshape(shape)
        busy = 0.2 + phases
    mean = exits / PARTS
    slow = generator.poisson(mean * share * (busy if bursts else 1.0), size=shape)
    return Truth(generator.poisson(mean * (1 - share) * np.sqrt(busy), size=shape), slow)


def recorded(generator: Generator, truth: Truth, sampling: Sampling) -> Recording:
    """Return the recording that such sampling makes of it."""
    length = PARTS // sampling.every
    lines = []
    for number, parts in enumerate(zip(truth.fast, truth.slow, strict=True)):
        start = generator.integers(0, PARTS - length + 1)
        for word, exits in zip((0, SIGPENDING), parts, strict=True):
            seen = int(generator.binomial(exits[start : start + length].sum(), 1 / sampling.one_in))
            if seen:
                lines.append(
                    {
                        "word": word,
                        "syscall_work": 0,
                        "context": "syscall",
                        "count": seen,
                        "time": START_NS + number * SECOND_NS,
                        "interval_ns": SECOND_NS // sampling.every,
                    }
                )
    total = sum(line["count"] for line in lines)
    others = (uncovered(Context.INTERRUPT), uncovered(Context.EXCEPTION))
    about = metadata(
        schema=3,
        sampling=sampling,
        contexts=(covered(Context.SYSCALL), *others),
        duration_ns=len(truth.slow) * SECOND_NS,
        totals=Totals(seen=total, recorded=total),
    )
    rows = table(lines, about.layout)
    rows = rows.rename_columns(["sampled" if name == "count" else name for name in rows.column_names])
    for name, value in (("one_in", sampling.one_in), ("every", sampling.every)):
        field = pa.field(name, pa.uint32(), nullable=False)
        rows = rows.append_column(field, pa.array([value] * len(lines), pa.uint32()))
    return Recording(
        path=Path("simulated"),
        metadata=about,
        state=State.COMPLETE,
        parts=(Part(Path("simulated"), about, len(rows), None, rows),),
        duration_ns=about.duration_ns,
    )
