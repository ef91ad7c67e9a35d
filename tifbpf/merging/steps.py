"""How much of each step of time a recording observed, whether or not it saw an exit then."""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa

from tifbpf.errors import TifbpfError
from tifbpf.recording.reader import Recording
from tifbpf.text import printable

_DAY_NS = 86_400 * 10**9
_UNITS_NS = {"s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": _DAY_NS}


def parse(text: str) -> int:
    """Return the step that `text` names, in ns.

    >>> parse("1h"), parse("90s")
    (3600000000000, 90000000000)

    Raises:
        TifbpfError: it is no length of time, or a day is not a whole number of them.
    """
    match = re.fullmatch(r"([0-9]{1,9})(s|min|h|d)", text)
    step_ns = int(match[1]) * _UNITS_NS[match[2]] if match else 0
    if not step_ns or _DAY_NS % step_ns:
        raise TifbpfError(
            f"{printable(text)} is no step: give a number and s, min, h or d of which a whole number makes a "
            "day, e.g. 10min or 1h"
        )
    return step_ns


def text(step_ns: int) -> str:
    """Return what `parse` reads as that step.

    >>> text(3_600_000_000_000), text(90_000_000_000)
    ('1h', '90s')
    """
    unit = next(unit for unit in reversed(_UNITS_NS) if step_ns % _UNITS_NS[unit] == 0)
    return f"{step_ns // _UNITS_NS[unit]}{unit}"


def observed(recording: Recording, step_ns: int) -> Counter[int]:
    """Return the time observed of each step, ns, by where the step begins, ns since the epoch.

    An interval that has rows counts where it begins, as its rows do.
    """
    found: Counter[int] = Counter()
    reached = recording.metadata.started_ns
    for start, length in _recorded(recording):
        if recording.metadata.merged is None:
            _spread(found, reached, start, step_ns)
            reached = start + length
        found[start - start % step_ns] += length
    if recording.metadata.merged is None:
        _spread(found, reached, recording.metadata.started_ns + recording.duration_ns, step_ns)
    else:
        for start, length in recording.metadata.merged.idle:
            found[start - start % step_ns] += length
    return found


def _recorded(recording: Recording) -> list[tuple[int, int]]:
    """Return start and length of the intervals that have rows, in order."""
    rows = recording.rows
    times = pa.table({"time": rows["time"].cast(pa.int64()), "length": rows["interval_ns"]})
    lengths = times.group_by(["time"]).aggregate([("length", "max")]).sort_by("time")
    return list(zip(lengths["time"].to_pylist(), lengths["length_max"].to_pylist(), strict=True))


def _spread(found: Counter[int], first: int, last: int, step_ns: int) -> None:
    """Add the time between two intervals, in which nothing was recorded, to the steps that it is in."""
    while first < last:
        start = first - first % step_ns
        end = min(last, start + step_ns)
        found[start] += end - first
        first = end
