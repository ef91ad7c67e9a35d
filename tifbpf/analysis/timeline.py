"""Slow exits over time by bit."""

from __future__ import annotations

import pandas as pd

from tifbpf.analysis.classes import classes
from tifbpf.analysis.frequency import starts, step_of
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Rows
from tifbpf.recording.paths import ExitPath


def by_bit(rows: Rows, observed: Observed, freq: str | None) -> pd.DataFrame:
    """Return slow exits by time and trigger; see `Recordings.timeline_by_bit`."""
    start, step_ns = step_of(freq)
    keys = ["recording", "context", "word", "syscall_work", "path", start]
    frame = rows.summed(keys, slow_only=True, step_ns=step_ns)
    frame["slow"] = frame["count"]
    frame["slow_counted"] = observed.slow_counted(frame)
    triggers = [found.decoded.triggers for found in classes(frame, rows.recordings)]
    frame["trigger"] = pd.Series(triggers, index=frame.index, dtype=object)
    frame = frame.drop(columns="word").explode("trigger").dropna(subset="trigger")
    frame["word"] = pd.Series([str(trigger.word) for trigger in frame["trigger"]], frame.index, dtype="str")
    frame["bit"] = pd.Series([trigger.bit for trigger in frame["trigger"]], frame.index, dtype="str")
    frame["time"] = frame[start]
    return frame.groupby(["time", "word", "bit"])[["slow", "slow_counted"]].sum(min_count=1)


def of_all(rows: Rows, observed: Observed, freq: str | None) -> pd.DataFrame:
    """Return exits by time; see `Recordings.timeline_of_all`."""
    start, step_ns = step_of(freq)
    frame = rows.summed(["recording", "context", "path", start], step_ns=step_ns)
    frame["exits"] = observed.exits(frame)
    frame["slow"] = frame["count"].where(frame["path"] == ExitPath.SLOW, 0)
    frame["slow_counted"] = observed.slow_counted(frame)
    sums = frame.groupby(start)[["exits", "slow", "slow_counted"]].sum(min_count=1)
    lengths = rows.lengths()
    sums["seconds"] = lengths.groupby(starts(lengths, step_ns))["interval_ns"].sum() / 1e9
    return sums.rename_axis("time")
