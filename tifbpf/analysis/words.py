"""Whole words: which combinations of bits exits showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tifbpf.analysis.naming import word_names
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Line, Values
from tifbpf.analysis.sums import by_value, share, total
from tifbpf.layouts.model import Word
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.reader import Recording

UNKNOWN_TIER = "unknown"
"""Of slow exits whose bits were gone when the route looked."""
_CLASS = ("context", "tif", "syscall_work", "path", "tier")
_SUMMED = ("recording", "tif_value", "syscall_work_value", "count", "ns")


def words(values: Values, recordings: Sequence[Recording], observed: Observed) -> list[Line]:
    """Return the commonest words; see `Recordings.words`."""
    named = {**values, "tif_value": values["word"], "syscall_work_value": values["syscall_work"]}
    for word in Word:
        named[word.value] = word_names(values["recording"], named[f"{word}_value"], word, recordings)
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key, summed in zip(
        zip(*(named[name] for name in _CLASS), strict=True),
        zip(*(named[name] for name in _SUMMED), strict=True),
        strict=True,
    ):
        groups.setdefault(key, []).append(summed)
    exits = observed.all_exits()
    slow = sum(_slow(values))
    found = []
    for key, lines in sorted(groups.items(), key=lambda group: by_value(group[0])):
        line = dict(zip(_CLASS, key, strict=True))
        places, tifs, works, counts, times = zip(*lines, strict=True)
        counted = (
            count if observed.counted_in(place, line["context"]) else None
            for place, count in zip(places, counts, strict=True)
        )
        line["count"] = sum(counts)
        line["share_of_exits"] = share(total(counted), exits)
        line["share_of_slow"] = share(line["count"], slow) if line["path"] == ExitPath.SLOW else None
        line["tif_value"], line["syscall_work_value"] = _one(tifs), _one(works)
        line["ns"] = None if None in times else sum(times)
        found.append(line)
    return sorted(found, key=lambda line: -line["count"])


def _one(values: Sequence[int | None]) -> int | None:
    """Return the number of a name; layouts give one name different numbers, and then it has none to show."""
    numbers = {value for value in values if value is not None}
    return numbers.pop() if len(numbers) == 1 else None


def _slow(values: Values) -> list[int]:
    return [
        count for count, path in zip(values["count"], values["path"], strict=True) if path == ExitPath.SLOW
    ]


def tiers(values: Values) -> list[Line]:
    """Return slow exits by tier; see `Recordings.tiers`."""
    sums: Counter[tuple[str, str]] = Counter()
    for context, tier, path, count in zip(
        *(values[name] for name in ("context", "tier", "path", "count")), strict=True
    ):
        if path == ExitPath.SLOW:
            sums[context, UNKNOWN_TIER if tier is None else tier] += count
    return [
        {"context": context, "tier": tier, "slow": slow, "share_of_slow": share(slow, sums.total())}
        for (context, tier), slow in sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    ]
