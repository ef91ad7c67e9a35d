"""Why exits were slow: what triggered them, where, and what is known to cause that; commonest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tifbpf.analysis import causes
from tifbpf.analysis.causes import Cause
from tifbpf.analysis.classes import BitName, classes
from tifbpf.analysis.frequency import columns_of, named
from tifbpf.analysis.rows import Line, Rows, Values
from tifbpf.layouts.model import Word

MOST = 0.5
"""A place is where exits were from if more than this share of them were."""
_PROCESS = ("comm", "pid", "cgroup")
"""What tells whose exits they were, the most telling first."""


@dataclass(frozen=True, slots=True)
class Place:
    """The value of one dimension that most exits have in common, or the commonest where there is none."""

    dimension: str
    """A recorded dimension, or `context`."""
    value: str | None
    """None where exits have none there: a thread without a name."""
    share: float
    """Of the exits that the places before it left."""
    values: int
    """How many values these have."""

    @property
    def is_most(self) -> bool:
        """Whether most of the exits were there."""
        return self.share > MOST


@dataclass(frozen=True, slots=True)
class Cited:
    """A cause of one of the bits."""

    bit: BitName
    cause: Cause | None
    """None where none is known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Slow exits that the same bits triggered."""

    bits: tuple[BitName, ...]
    """Empty where the bits were gone when the route looked."""
    slow: int
    share: float
    """Of all slow exits."""
    places: tuple[Place, ...]
    """Whose exits they were, and what they returned from; each is of those in the place before it, if most
    were there."""
    causes: tuple[Cited, ...]
    """One for each bit, those of the second word first."""


def explain(rows: Rows, dimensions: Sequence[str], handlers: Sequence[Line]) -> tuple[Finding, ...]:
    """Return what made exits slow, the commonest first; see `Recordings.explanation`.

    Args:
        rows: of the recordings.
        dimensions: those that every one of them has: a share of fewer exits would be of another finding.
        handlers: `Recordings.handlers`.
    """
    found = named(rows.values(keys_of(dimensions), slow_only=True), rows, dimensions)
    groups: dict[tuple[BitName, ...], list[int]] = {}
    for place, exits in enumerate(classes(found, rows.recordings)):
        groups.setdefault(exits.decoded.triggers, []).append(place)
    sums = {bits: sum(found["count"][place] for place in which) for bits, which in groups.items()}
    carried: Counter[BitName] = Counter()
    for bits, slow in sums.items():
        carried.update(dict.fromkeys(bits, slow))
    findings = []
    for bits, which in sorted(groups.items(), key=lambda group: (-sums[group[0]], group[0])):
        where = _places(found, which, dimensions)
        told = {place.dimension: place.value for place in where if place.is_most}
        cited = tuple(
            # What handlers did is known of a bit altogether, so only of those that are most of its exits.
            Cited(bit, _cause(bit, told, _working(handlers, bit) if sums[bits] > MOST * carried[bit] else ()))
            # The second word is set by tracers and stays set: what stands beside it is often their doing too.
            for bit in sorted(bits, key=lambda bit: bit.word == Word.TIF)
        )
        findings.append(Finding(bits, sums[bits], sums[bits] / sum(sums.values()), where, cited))
    return tuple(findings)


def keys_of(dimensions: Sequence[str]) -> list[str]:
    """Return what the sums are by that an explanation needs, of slow exits alone."""
    return ["recording", "context", "word", "syscall_work", "path", *columns_of(dimensions)]


def _places(values: Values, which: Sequence[int], dimensions: Iterable[str]) -> tuple[Place, ...]:
    """Return where the exits of some lines were from."""
    recorded = set(dimensions)
    found = []
    whose = next((name for name in _PROCESS if name in recorded), None)
    if whose is not None:
        place, which = _narrow(values, which, whose)
        found.append(place)
        if place.is_most and whose == "comm" and "pid" in recorded:
            # One name may stand for thousands of processes.
            place, which = _narrow(values, which, "pid")
            found.append(place)
    place, which = _narrow(values, which, "context")
    found.append(place)
    if place.value == "syscall" and place.is_most and "syscall" in recorded:
        place, which = _narrow(values, which, "syscall")
        found.append(place)
    if "cpu" in recorded:
        found.append(_narrow(values, which, "cpu")[0])
    return tuple(found)


def _narrow(values: Values, which: Sequence[int], dimension: str) -> tuple[Place, Sequence[int]]:
    """Return the commonest value, and the lines that have it; all of them where it is not most exits."""
    column, count = values[dimension], values["count"]
    counts: Counter[Any] = Counter()
    for line in which:
        counts[column[line]] += count[line]
    # Of several the least, and what is none the last: as they stand in a table.
    value = min(counts, key=lambda value: (-counts[value], value is None, value))
    share = counts[value] / counts.total()
    place = Place(dimension, None if value is None else str(value), share, len(counts))
    return place, [line for line in which if column[line] == value] if place.is_most else which


def _cause(bit: BitName, told: Mapping[str, str | None], handlers: Iterable[str]) -> Cause | None:
    return causes.of(bit.bit, syscall=told.get("syscall"), context=told.get("context"), handlers=handlers)


def _working(handlers: Iterable[Line], bit: BitName) -> list[str]:
    """Return the handlers that had work more than half as often as the busiest of the bit's."""
    counts: Counter[str] = Counter()
    for line in handlers:
        if line["bit"] == bit.bit:
            counts[line["handler"]] += line["count"]
    return [name for name, count in counts.items() if count > MOST * max(counts.values())]
