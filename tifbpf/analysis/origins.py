"""Who set the bits, and whose work they stood for: totals that recordings keep beside their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tifbpf.analysis.rows import Line
from tifbpf.analysis.sums import share
from tifbpf.recording.metadata import Metadata


def setters(metadata: Sequence[Metadata]) -> list[Line]:
    """Return who set bits; see `Recordings.setters`."""
    counts: Counter[tuple[str | None, ...]] = Counter()
    for about in metadata:
        for found in about.setters or ():
            counts[str(found.word), found.bit, found.by, found.comm, found.target] += found.count
    return _lines(counts, ("word", "bit", "by", "comm", "target"))


def handlers(metadata: Sequence[Metadata]) -> list[Line]:
    """Return which handlers had work; see `Recordings.handlers`."""
    counts: Counter[tuple[str | None, ...]] = Counter()
    for about in metadata:
        for found in about.handlers or ():
            counts[found.bit, str(found.context), found.handler] += found.count
    return _lines(counts, ("bit", "context", "handler"))


def _lines(counts: Counter[tuple[str | None, ...]], names: Sequence[str]) -> list[Line]:
    """Return the counts, most first, with their share of all that agree in the first two of `names`."""
    total: Counter[tuple[str | None, ...]] = Counter()
    for key, count in counts.items():
        total[key[:2]] += count
    return [
        {**dict(zip(names, key, strict=True)), "count": count, "share_of_bit": share(count, total[key[:2]])}
        for key, count in sorted(
            counts.items(), key=lambda item: (-item[1], [name or "" for name in item[0]])
        )
    ]
