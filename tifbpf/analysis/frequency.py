"""How often exits were slow: sums over sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from pandas.tseries.frequencies import to_offset

from tifbpf.analysis.classes import classes, plain
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Rows
from tifbpf.layouts import syscalls
from tifbpf.layouts.model import Context
from tifbpf.recording.paths import ExitPath

_OF_COUNTED = ("exits", "slow_counted", "exits_per_second")
_SUMS = [*_OF_COUNTED, "slow", "slow_per_second"]
_COLUMNS = ["exits", "slow", "slow_counted", "share", "exits_per_second", "slow_per_second"]


HOST = "host"
"""The dimension that every recording has."""
_MADE_OF = {"syscall": ("syscall", "abi"), HOST: ("place",)}


def columns_of(by: Sequence[str]) -> list[str]:
    """Return the columns that the dimensions are made of: a system call is a number in an ABI."""
    return [column for name in by for column in _MADE_OF.get(name, (name,))]


def named(frame: pd.DataFrame, rows: Rows, by: Sequence[str], place: str = "place") -> pd.DataFrame:
    """Replace what dimensions are made of by what they are called; `place` is the column of recordings."""
    frame = name_syscalls(frame)
    if HOST in by:
        hosts = [rows.recordings[number].metadata.host.name for number in frame[place]]
        frame[HOST] = pd.Series(hosts, index=frame.index, dtype="str")
    return frame


def name_syscalls(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace number and ABI by the system call's name, null where there is none."""
    if "syscall" not in frame:
        return frame
    pairs = list(zip(plain(frame["syscall"]), plain(frame["abi"]), strict=True))
    names = {pair: syscalls.name(*pair) for pair in set(pairs) if None not in pair}
    named = pd.Series([names.get(pair) for pair in pairs], index=frame.index, dtype="str")
    return frame.assign(syscall=named).drop(columns="abi")


def by_context(rows: Rows, observed: Observed) -> pd.DataFrame:
    """Return one row for each of the three contexts; see `Recordings.frequency`."""
    found = by_dimensions(rows, observed, ("context",))
    frame = found.reindex(pd.Index([context.value for context in Context], name="context", dtype="str"))
    covered = pd.Series([observed.covered(context) for context in Context], index=frame.index)
    counted = pd.Series([observed.counted(context) for context in Context], index=frame.index)
    # A context without a row saw no exit only where somebody looked.
    for columns, known in ((("slow", "slow_per_second"), covered), (_OF_COUNTED, counted)):
        for column in columns:
            frame[column] = frame[column].fillna(0).where(known)
    frame.insert(0, "covered", covered)
    seconds = _seconds([observed.seconds(context) for context in Context], frame.index)
    frame["seconds"] = seconds.where(covered)
    return frame


def by_dimensions(rows: Rows, observed: Observed, by: Sequence[str]) -> pd.DataFrame:
    """Return one row for each value of `by` that was seen; see `Recordings.frequency`."""
    keys = dict.fromkeys(["recording", "context", "path", *columns_of(by)])
    frame = named(rows.summed(keys), rows, by)
    contexts = [Context(context) for context in frame["context"]]
    frame["exits"] = observed.exits(frame)
    frame["slow"] = frame["count"].where(frame["path"] == ExitPath.SLOW, 0)
    frame["slow_counted"] = observed.slow_counted(frame)
    # A host has seconds of its own; whatever else exits are told apart by, all hosts were watched for it.
    places = list(frame["place"]) if HOST in by else [None] * len(frame)
    seconds, counted = Seconds(rows, observed), Seconds(rows, observed, counted=True)
    for column, of in (("exits", counted), ("slow", seconds)):
        lengths = [of.of(context, place) for context, place in zip(contexts, places, strict=True)]
        frame[f"{column}_per_second"] = frame[column] / _seconds(lengths, frame.index)
    sums = frame.groupby(list(by), dropna=False)[_SUMS].sum(min_count=1)
    # A thread that began its system call under another name, or before the recording, was counted there: what
    # counts all exits then has fewer of a class than there are slow ones.
    sums["slow_counted"] = sums["slow_counted"].where(sums["exits"].notna())
    sums["share"] = (sums["slow_counted"] / sums["exits"].where(sums["exits"] > 0)).where(
        sums["slow_counted"] <= sums["exits"]
    )
    return sums[_COLUMNS]


class Seconds:
    """For how long contexts were observed: by all hosts together, or by one."""

    def __init__(self, rows: Rows, observed: Observed, *, counted: bool = False) -> None:
        """Add up; only where all exits were `counted`, if that is asked for."""
        self._hosts = {place: rows.recordings[place].metadata.host.name for place in rows.places}
        self._ns: Counter[tuple[str | None, Context]] = Counter()
        for place, context in observed.pairs():
            if not counted or observed.counted_in(place, context):
                for host in (None, self._hosts[place]):
                    self._ns[host, context] += rows.recordings[place].duration_ns

    def of(self, context: Context, place: int | None) -> float:
        """Return the seconds of the host that the recording at `place` is of; None: of all hosts."""
        return self._ns[None if place is None else self._hosts[place], context] / 1e9


def _seconds(values: list[float], index: pd.Index) -> pd.Series:
    seconds = pd.Series(values, index=index, dtype="Float64")
    return seconds.where(seconds > 0)


def commonest_triggers(rows: Rows, dimension: str) -> dict[object, tuple[str, int]]:
    """Return, for each value of `dimension`, the bit that triggered most of its slow exits, and how many."""
    keys = ["recording", "context", "word", "syscall_work", "path", *columns_of([dimension])]
    frame = named(rows.summed(keys, slow_only=True), rows, [dimension])
    triggers: dict[object, Counter[str]] = {}
    for value, found in zip(plain(frame[dimension]), classes(frame, rows.recordings), strict=True):
        counter = triggers.setdefault(value, Counter())
        for trigger in found.decoded.triggers:
            counter[trigger.bit] += found.count
    return {
        value: min(counter.items(), key=lambda item: (-item[1], item[0]))
        for value, counter in triggers.items()
        if counter
    }


def timeline(rows: Rows, observed: Observed, freq: str | None) -> pd.DataFrame:
    """Return sums over time; see `Recordings.timeline`."""
    start, step_ns = step_of(freq)
    frame = rows.summed(["recording", "context", "path", start], step_ns=step_ns)
    frame["exits"] = observed.exits(frame)
    frame["slow"] = frame["count"].where(frame["path"] == ExitPath.SLOW, 0)
    sums = frame.groupby([start, "context"])[["exits", "slow"]].sum(min_count=1)
    lengths = rows.lengths("context")
    sums["seconds"] = lengths.groupby([starts(lengths, step_ns), "context"])["interval_ns"].sum() / 1e9
    return sums.rename_axis(["time", "context"])


def step_of(freq: str | None) -> tuple[str, int | None]:
    """Return the key that is the start of such a step, and its length in ns; None: of an interval."""
    return ("time", None) if freq is None else ("step", pd.Timedelta(to_offset(freq).nanos, "ns").value)


def starts(frame: pd.DataFrame, step_ns: int | None) -> pd.Series:
    """Return the starts of the steps that the intervals of `frame`, by their `time`, begin in."""
    if step_ns is None:
        return frame["time"]
    times = frame["time"].dt.as_unit("ns").astype("int64")
    begun: pd.Series = pd.to_datetime(times // step_ns * step_ns, utc=True, unit="ns").dt.as_unit("ns")
    return begun.rename("step")
