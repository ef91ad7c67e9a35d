"""Judging a condition by whole recordings."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from tifbpf.conditions.judge import Judge, Verdict
from tifbpf.conditions.model import Condition
from tifbpf.layouts.model import Context
from tifbpf.recording.exits import ExitClass
from tifbpf.recording.reader import Recording
from tifbpf.recording.weights import looked_at

_COLUMNS = {"syscall": ("syscall", "abi")}
"""The columns of a dimension that is not one."""


def judge(condition: Condition, recordings: Sequence[Recording]) -> Verdict:
    """Return what comes of a condition for all exits of `recordings` together.

    Raises:
        ConditionUnusableError: one of them could not tell.
    """
    found = Judge(condition)
    columns = [column for name in condition.dimensions for column in _COLUMNS.get(name, (name,))]
    for recording in recordings:
        metadata = recording.metadata
        watch = found.watch(metadata, max(metadata.host.cpus, _highest_cpu(recording) + 1))
        groups = looked_at(recording.rows).group_by(["context", "word", "syscall_work", *columns])
        watch.add(
            ExitClass(context=Context(line.pop("context")), count=line.pop("count_sum"), **line)
            for line in groups.aggregate([("count", "sum")]).to_pylist()
        )
        found.end(metadata, recording.duration_ns / 1e9, recording.missing)
    return found.verdict()


def _highest_cpu(recording: Recording) -> int:
    """Return the highest CPU that had an exit; -1 where CPUs were not recorded."""
    highest = pc.max(recording.rows["cpu"]).as_py()
    return -1 if highest is None else int(highest)
