"""Time in the slowpath: log2 histograms, and what they come to."""

from __future__ import annotations

from enum import StrEnum

import pandas as pd

from tifbpf.analysis.classes import classes
from tifbpf.analysis.frames import name_words, values
from tifbpf.analysis.rows import Rows
from tifbpf.recording.buckets import bounds

_KEYS = ("recording", "context", "word", "syscall_work", "path", "latency_log2")
_QUANTILES = {"p50": 50, "p99": 99}


class Of(StrEnum):
    """What times are kept apart by."""

    CONTEXT = "context"
    BIT = "bit"
    """Every bit that triggered: an exit for which two did is in both."""
    WORD = "word"
    """Both words, and the context."""


_INDEX = {Of.CONTEXT: ["context"], Of.BIT: ["word", "bit"], Of.WORD: ["context", "tif", "syscall_work"]}


def slow_rows(rows: Rows, of: Of) -> pd.DataFrame:
    """Return the slow exits, one row for each key of `of` and bucket.

    Columns: those of the key; latency_log2, ns and ns_max (NA where the time was not measured); count.
    """
    frame = rows.timed(_KEYS)
    match of:
        case Of.BIT:
            triggers = [found.decoded.triggers for found in classes(values(frame), rows.recordings)]
            frame["trigger"] = pd.Series(triggers, index=frame.index, dtype=object)
            frame = frame.drop(columns="word").explode("trigger").dropna(subset="trigger")
            frame["word"] = [str(trigger.word) for trigger in frame["trigger"]]
            frame["bit"] = [trigger.bit for trigger in frame["trigger"]]
        case Of.WORD:
            frame = name_words(frame, rows.recordings)
    return frame[[*_INDEX[of], "latency_log2", "ns", "ns_max", "count"]]


def histogram(slow: pd.DataFrame, of: Of) -> pd.DataFrame:
    """Return the histograms of `slow_rows`; see `Recordings.latency_histogram`."""
    timed = slow[slow["latency_log2"].notna()]
    counts = timed.groupby([*_INDEX[of], "latency_log2"], dropna=False)["count"].sum()
    edges = [bounds(int(bucket)) for bucket in counts.index.get_level_values("latency_log2")]
    frame = counts.rename("exits").to_frame().reset_index("latency_log2", drop=True)
    frame["ns_low"] = pd.array([low for low, _ in edges], dtype="UInt64")
    frame["ns_high"] = pd.array([high for _, high in edges], dtype="UInt64")
    return frame.set_index("ns_low", append=True)[["ns_high", "exits"]]


def summary(slow: pd.DataFrame, of: Of) -> pd.DataFrame:
    """Return what the times of `slow_rows` come to; see `Recordings.latency`."""
    slow = slow.assign(timed=slow["count"].where(slow["latency_log2"].notna()))
    groups = slow.groupby(_INDEX[of], dropna=False)
    frame = pd.DataFrame(
        {
            "slow": groups["count"].sum(),
            "timed": groups["timed"].sum(min_count=1),
            "ns": groups["ns"].sum(min_count=1),
            "ns_max": groups["ns_max"].max(),
        }
    )
    frame = frame[frame["timed"].notna()]
    buckets = histogram(slow, of).reset_index("ns_low")
    reached = buckets.groupby(_INDEX[of], dropna=False)["exits"].cumsum()
    for name, percent in _QUANTILES.items():
        # In whole numbers: the first bucket up to which that many per cent of the exits took no longer.
        enough = reached * 100 >= _of_each(frame["timed"], buckets) * percent
        first = buckets[enough].groupby(_INDEX[of], dropna=False).first()
        frame[f"ns_{name}_low"] = first["ns_low"]
        frame[f"ns_{name}_high"] = first["ns_high"].where(first["ns_high"] < frame["ns_max"], frame["ns_max"])
    return frame.sort_values("ns", ascending=False, kind="stable")


def _of_each(values: pd.Series, buckets: pd.DataFrame) -> pd.Series:
    return buckets[[]].join(values.rename("value"))["value"]
