"""Judging a condition by whole recordings."""

from __future__ import annotations

from tifbpf.conditions.judge import Judge, Verdict
from tifbpf.conditions.model import Condition
from tifbpf.engines.loading import Loaded
from tifbpf.engines.query import RECORDING, Query
from tifbpf.layouts.model import Context
from tifbpf.recording.exits import ExitClass

_COLUMNS = {"syscall": ("syscall", "abi")}
"""The columns of a dimension that is not one."""


def judge(condition: Condition, loaded: Loaded) -> Verdict:
    """Return what comes of a condition for all exits of some recordings together.

    Raises:
        ConditionUnusableError: one of them could not tell.
    """
    found = Judge(condition)
    columns = [column for name in condition.dimensions for column in _COLUMNS.get(name, (name,))]
    classes = (RECORDING, "context", "word", "syscall_work", *dict.fromkeys(columns))
    lines: dict[int, list[ExitClass]] = {place: [] for place in range(len(loaded.recordings))}
    highest = dict.fromkeys(lines, -1)
    for line in loaded.sums(Query(keys=(classes,), measures=("looked_at",)))[classes].to_pylist():
        place = line.pop(RECORDING)
        if (cpu := line.get("cpu")) is not None:
            highest[place] = max(highest[place], cpu)
        lines[place].append(
            ExitClass(context=Context(line.pop("context")), count=line.pop("looked_at"), **line)
        )
    for place, recording in enumerate(loaded.recordings):
        metadata = recording.metadata
        watch = found.watch(metadata, max(metadata.host.cpus, highest[place] + 1))
        watch.add(lines[place])
        found.end(metadata, recording.duration_ns / 1e9, recording.missing)
    return found.verdict()
