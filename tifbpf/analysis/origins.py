"""Who set the bits, and whose work they stood for: totals that recordings keep beside their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from tifbpf.recording.metadata import Metadata


def setters(metadata: Sequence[Metadata]) -> pd.DataFrame:
    """Return who set bits; see `Recordings.setters`."""
    counts: Counter[tuple[str | None, ...]] = Counter()
    for about in metadata:
        for found in about.setters or ():
            counts[str(found.word), found.bit, found.by, found.comm, found.target] += found.count
    return _frame(counts, ["word", "bit", "by", "comm", "target"], ["word", "bit"], ["word", "bit"])


def handlers(metadata: Sequence[Metadata]) -> pd.DataFrame:
    """Return which handlers had work; see `Recordings.handlers`."""
    counts: Counter[tuple[str | None, ...]] = Counter()
    for about in metadata:
        for found in about.handlers or ():
            counts[found.bit, str(found.context), found.handler] += found.count
    return _frame(counts, ["bit", "context", "handler"], ["bit", "context", "handler"], ["bit", "context"])


def _frame(
    counts: Counter[tuple[str | None, ...]], names: list[str], index: list[str], whole: list[str]
) -> pd.DataFrame:
    """Return the counts, most first, with their share of all that agree in `whole`."""
    order = sorted(counts.items(), key=lambda item: (-item[1], [name or "" for name in item[0]]))
    frame = pd.DataFrame([key for key, _ in order], columns=names).astype("str")
    frame["count"] = pd.array([count for _, count in order], dtype="UInt64")
    total = frame.groupby(whole)["count"].transform("sum")
    frame["share_of_bit"] = (frame["count"] / total.where(total > 0)).astype("Float64")
    return frame.set_index(index)
