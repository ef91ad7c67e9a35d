"""Slow exits over time by bit."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from tifbpf.analysis import rows
from tifbpf.analysis.classes import classes
from tifbpf.analysis.observed import Observed
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.reader import Recording


def by_bit(
    table: pa.Table, recordings: Sequence[Recording], observed: Observed, freq: str | None
) -> pd.DataFrame:
    """Return slow exits by time and trigger; see `Recordings.timeline_by_bit`."""
    frame = rows.summed(table, ["recording", "context", "word", "syscall_work", "path", "time"])
    frame = frame[frame["path"] == ExitPath.SLOW].reset_index(drop=True)
    frame["slow"] = frame["count"]
    frame["slow_counted"] = observed.slow_counted(frame)
    triggers = [found.decoded.triggers for found in classes(frame, recordings)]
    frame["trigger"] = pd.Series(triggers, index=frame.index, dtype=object)
    frame = frame.drop(columns="word").explode("trigger").dropna(subset="trigger")
    frame["word"] = pd.Series([str(trigger.word) for trigger in frame["trigger"]], frame.index, dtype="str")
    frame["bit"] = pd.Series([trigger.bit for trigger in frame["trigger"]], frame.index, dtype="str")
    frame["time"] = _start(frame, freq)
    return frame.groupby(["time", "word", "bit"])[["slow", "slow_counted"]].sum(min_count=1)


def of_all(table: pa.Table, observed: Observed, freq: str | None) -> pd.DataFrame:
    """Return exits by time; see `Recordings.timeline_of_all`."""
    frame = rows.summed(table, ["recording", "context", "path", "time", "interval_ns"])
    frame["start"] = _start(frame, freq)
    frame["exits"] = observed.exits(frame)
    frame["slow"] = frame["count"].where(frame["path"] == ExitPath.SLOW, 0)
    frame["slow_counted"] = observed.slow_counted(frame)
    sums = frame.groupby("start")[["exits", "slow", "slow_counted"]].sum(min_count=1)
    # The exits of one interval are several rows; its length counts once.
    lengths = frame.groupby(["start", "recording", "time"])["interval_ns"].max()
    sums["seconds"] = lengths.groupby("start").sum() / 1e9
    return sums.rename_axis("time")


def _start(frame: pd.DataFrame, freq: str | None) -> pd.Series:
    return frame["time"] if freq is None else frame["time"].dt.floor(freq)
