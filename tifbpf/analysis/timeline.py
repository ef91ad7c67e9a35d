"""Exits over time: of each context, of all of them, and slow ones by bit. Times are ns since the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tifbpf.analysis.classes import classes
from tifbpf.analysis.frequency import start_of
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Line, Rows
from tifbpf.analysis.sums import total
from tifbpf.recording.paths import ExitPath


def by_context(rows: Rows, observed: Observed, step_ns: int | None) -> list[Line]:
    """Return exits by time and context; see `Recordings.timeline`."""
    return _summed(rows, observed, step_ns, ("context",))


def of_all(rows: Rows, observed: Observed, step_ns: int | None) -> list[Line]:
    """Return exits by time; see `Recordings.timeline_of_all`."""
    return _summed(rows, observed, step_ns, ())


def _summed(rows: Rows, observed: Observed, step_ns: int | None, by: Sequence[str]) -> list[Line]:
    start = start_of(step_ns)
    found = rows.values(["recording", "context", "path", start], step_ns=step_ns)
    groups: dict[tuple[object, ...], list[tuple[int | None, int, int | None]]] = {}
    for key, recording, context, path, count in zip(
        zip(*(found[name] for name in (start, *by)), strict=True),
        *(found[name] for name in ("recording", "context", "path", "count")),
        strict=True,
    ):
        slow = count if path == ExitPath.SLOW else 0
        groups.setdefault(key, []).append(
            (
                count if observed.adds_up_in(recording, context, path) else None,
                slow,
                slow if observed.counted_in(recording, context) else None,
            )
        )
    lengths = rows.recorded_ns(*by, step_ns=step_ns)
    return [
        {
            **dict(zip(("time", *by), key, strict=True)),
            "exits": total(exits for exits, _, _ in sums),
            "slow": total(slow for _, slow, _ in sums),
            "slow_counted": total(counted for _, _, counted in sums),
            "seconds": lengths[key] / 1e9,
        }
        for key, sums in sorted(groups.items())
    ]


def by_bit(rows: Rows, observed: Observed, step_ns: int | None) -> list[Line]:
    """Return slow exits by time and trigger; see `Recordings.timeline_by_bit`."""
    start = start_of(step_ns)
    keys = ["recording", "context", "word", "syscall_work", "path", start]
    found = rows.values(keys, slow_only=True, step_ns=step_ns)
    groups: dict[tuple[int, str, str], list[tuple[int, bool]]] = {}
    for time, exits in zip(found[start], classes(found, rows.recordings), strict=True):
        counted = observed.counted_in(exits.recording, exits.context)
        for trigger in exits.decoded.triggers:
            groups.setdefault((time, trigger.word.value, trigger.bit), []).append((exits.count, counted))
    return [
        {"time": time, "word": word, "bit": bit, "slow": _slow(sums), "slow_counted": _counted(sums)}
        for (time, word, bit), sums in sorted(groups.items())
    ]


def _slow(sums: Iterable[tuple[int, bool]]) -> int:
    return sum(slow for slow, _ in sums)


def _counted(sums: Iterable[tuple[int, bool]]) -> int | None:
    return total(slow if counted else None for slow, counted in sums)
