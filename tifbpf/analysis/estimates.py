"""Between what shares and rates lie where not every exit was looked at.

What is estimated is what happened from the recording's beginning to its end. `record --sample` looks at each
exit with one probability, independently of the others, so that of exits that stand for w each the variance is
w - 1 times their number. `record --duty` is a sample of windows, one in each interval: how they differ from
each other tells the rest, as if they were a simple random sample of the time, which overstates it where load
changes slowly. Both together are a sample in two stages (W. G. Cochran, Sampling Techniques, 3rd edition,
1977, chapter 10).

The interval of a share is Wilson's, with as many exits as would be as uncertain were they independent, and
Student's t where windows are few (N. Dean, M. Pagano, "Evaluating Confidence Interval Methods for Binomial
Proportions in Clustered Surveys", Journal of Survey Statistics and Methodology 3(4), 2015). That of a rate is
the same score interval for a count. Neither is empty where nothing was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tifbpf.analysis import student
from tifbpf.analysis.classes import BitName, classes
from tifbpf.analysis.frames import name_hosts, name_syscalls, values
from tifbpf.analysis.frequency import HOST, Seconds, columns_of
from tifbpf.analysis.intervals import by_place
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Rows
from tifbpf.layouts.model import Context
from tifbpf.recording.paths import ExitPath

CONFIDENCE = 0.95
_MOST_FREEDOM = 1000
"""Beyond, Student's t is the normal distribution to four digits."""
_WINDOW = ["recording", "time", "every"]
_STRATUM = ["recording", "every"]
_PARTS = ("value", "variance", "spread")
"""Of a sum: the estimate; its variance by --sample; what its variance would be were the exits of a window no
more alike than others."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of all recordings of which only a part of the time was recorded."""

    frame: pd.DataFrame
    """Columns recording, time (ns), every, seconds (what it stands for)."""

    @property
    def strata(self) -> pd.Series:
        """How many there are, by recording and `every`."""
        found: pd.Series = self.frame.groupby(_STRATUM).size()
        return found

    @property
    def freedom(self) -> int | None:
        """The degrees of freedom of what they tell; None where all of the time was recorded."""
        if self.frame.empty:
            return None
        return min(int((self.strata - 1).sum()), _MOST_FREEDOM)


def windows(rows: Rows) -> Windows:
    """Return the windows of the recordings of `rows`, those without an exit too."""
    lines = []
    intervals = by_place(rows)
    for place in rows.places:
        recording = rows.recordings[place]
        sampling = recording.metadata.sampling
        if sampling is None or (sampling.every == 1 and not sampling.steps):
            continue
        started = recording.metadata.started_ns
        changes = [(0, sampling.every), *((step.at_ns, step.every) for step in sampling.steps)]
        for start, length in intervals[place]:
            every = [every for at_ns, every in changes if at_ns <= start - started][-1]
            if every > 1:
                lines.append((place, start, every, length / 1e9))
    return Windows(pd.DataFrame(lines, columns=[*_WINDOW, "seconds"]))


class Estimates:
    """The intervals of what some recordings estimate."""

    def __init__(self, rows: Rows) -> None:
        """Look at the recordings of `rows`, of which at least one did not look at every exit."""
        self._rows = rows
        self._recordings = rows.recordings
        self._observed = Observed(rows)
        self._windows = windows(rows)

    def frequency(self, by: Sequence[str]) -> pd.DataFrame:
        """Return between what share and rate lie for each value of `by`; one line where there is none.

        Columns: share_low, share_high (of slow exits), slow_per_second_low, slow_per_second_high; NA where
        there is nothing to estimate, or too few windows to tell.
        """
        frame = name_syscalls(self._sums(["context", "path", *columns_of(by)]))
        if HOST in by:
            frame = name_hosts(frame, self._rows, "recording")
        frame["every_one"] = 0
        names = list(by) or ["every_one"]
        frame["count"] = frame["value"]
        counting = self._observed.exits(frame).notna()
        slow = frame["path"] == ExitPath.SLOW
        frame["slow"] = frame["count"]
        counted = self._observed.slow_counted(frame).notna()
        share = self._shares(frame[slow & counted], frame[counting], names)
        seconds = Seconds(self._rows, self._observed)
        places = frame["recording"] if HOST in by else [None] * len(frame)
        lengths = [
            seconds.of(Context(one), place) for one, place in zip(frame["context"], places, strict=True)
        ]
        observed = pd.Series(lengths, index=frame.index, dtype=float)
        rate = self._rates(frame[slow].assign(of=observed[slow]), frame, names)
        found = share.join(rate, how="outer").rename(columns={"low": "share_low", "high": "share_high"})
        return found.rename_axis(names)

    def bits(self) -> pd.DataFrame:
        """Return between what the share of slow exits lies that each bit triggered. Index (word, bit).

        Columns: share_of_slow_low, share_of_slow_high.
        """
        frame = self._sums(["context", "path", "word", "syscall_work"])
        slow = frame[frame["path"] == ExitPath.SLOW].reset_index(drop=True)
        slow["count"] = slow["value"]
        found = [
            (row, BitName(trigger.word, trigger.bit))
            for row, exits in enumerate(classes(values(slow), self._recordings))
            for trigger in exits.decoded.triggers
        ]
        each = slow.iloc[[row for row, _ in found]].drop(columns=["word"])
        each["word"] = [str(trigger.word) for _, trigger in found]
        each["bit"] = [trigger.bit for _, trigger in found]
        named = ["word", "bit"]
        names = each[named].drop_duplicates()
        base = slow.drop(columns=["word"]).groupby(_WINDOW)[list(_PARTS)].sum().reset_index()
        shares = self._shares(each, names.merge(base, how="cross"), named, apart=False)
        return shares.rename(columns={"low": "share_of_slow_low", "high": "share_of_slow_high"})

    def _sums(self, keys: Sequence[str]) -> pd.DataFrame:
        frame = self._rows.parts(list(dict.fromkeys(["place", "time", "every", *keys])))
        frame["time"] = frame["time"].dt.as_unit("ns").astype("int64")
        return frame.rename(columns={"place": "recording", "count": "value"})

    def _shares(
        self, events: pd.DataFrame, base: pd.DataFrame, names: list[str], *, apart: bool | None = None
    ) -> pd.DataFrame:
        """Return `low` and `high` of sum(events) / sum(base) for each value of `names` that the base has.

        Args:
            events: rows with _WINDOW, _PARTS and `names`.
            base: the same of what they are a share of.
            names: columns.
            apart: whether the events are counted beside the base, not among it; None: as their context says.
        """
        if apart is None:
            among = [
                not self._observed.slow_only_in(place, Context(context))
                for place, context in zip(events["recording"], events["context"], strict=True)
            ]
        else:
            among = [not apart] * len(events)
        events = events.assign(
            among=events["variance"].where(pd.Series(among, index=events.index, dtype=bool), 0.0)
        )
        whole = base.groupby(names, dropna=False)[list(_PARTS)].sum()
        part = events.groupby(names, dropna=False)[[*_PARTS, "among"]].sum().reindex(whole.index).fillna(0.0)
        of = whole["value"].where(whole["value"] > 0)
        share = (part["value"] / of).clip(upper=1.0)
        variance = part["variance"] - 2 * share * part["among"] + share**2 * whole["variance"]
        between = self._between(events, base, names, share)
        least = (share * (1 - share) * whole["spread"]).where(between.notna(), 0.0)
        variance = (variance + between.fillna(0.0)).clip(lower=least) / of**2
        # Where none or all are slow the sample cannot tell how much windows differ in that.
        as_many = (share * (1 - share) / variance.where(variance > 0)).fillna(
            of**2 / whole["spread"].where(whole["spread"] > 0)
        )
        t = self._t()
        middle = (share + t * t / (2 * as_many)) / (1 + t * t / as_many)
        half = t / (1 + t * t / as_many) * np.sqrt(share * (1 - share) / as_many + t * t / (4 * as_many**2))
        # Exactly 0 and 1 there, but for rounding.
        low, high = (middle - half).where(share > 0, 0.0), (middle + half).where(share < 1, 1.0)
        return _bounds(low.where(half.notna()), high.where(half.notna()), most=1.0)

    def _rates(self, events: pd.DataFrame, everything: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        """Return the interval of events a second; `of` are the seconds of each row."""
        of = events["of"].where(events["of"] > 0)
        scaled = events.assign(
            value=events["value"] / of, variance=events["variance"] / of**2, spread=events["spread"] / of**2
        )
        index = everything.groupby(names, dropna=False)["value"].sum().index
        sums = scaled.groupby(names, dropna=False)[list(_PARTS)].sum().reindex(index).fillna(0.0)
        rate = sums["value"]
        variance = sums["variance"]
        if not self._windows.frame.empty:
            seconds = self._windows.frame["seconds"] / self._observed.all_seconds()
            lengths = self._windows.frame.drop(columns="seconds").assign(value=seconds)
            names_of = index.to_frame(index=False)
            between = self._between(scaled, names_of.merge(lengths, how="cross"), names, rate)
            least = sums["spread"].where(between.notna(), 0.0)
            variance = (variance + between.fillna(0.0)).clip(lower=least)
        # Each that was seen stands for that many more; where none was, one would for as many as any does.
        stands_for = (variance / rate.where(rate > 0)).fillna(self._most() / self._observed.all_seconds())
        stands_for = stands_for.where(stands_for > 0)
        t = self._t()
        middle = rate + t * t * stands_for / 2
        half = t * np.sqrt(stands_for * rate + (t * stands_for / 2) ** 2)
        found = _bounds(middle - half, middle + half, most=np.inf)
        return found.rename(columns={"low": "slow_per_second_low", "high": "slow_per_second_high"})

    def _between(
        self, events: pd.DataFrame, base: pd.DataFrame, names: list[str], ratio: pd.Series
    ) -> pd.Series:
        """Return the variance of sum(events - ratio * base) by how windows differ; NA without windows."""
        if self._windows.frame.empty:
            return pd.Series(np.nan, index=ratio.index)
        keys = [*names, *_WINDOW]
        both = pd.concat(
            [
                frame.loc[frame["every"] > 1, [*keys, "value"]].rename(columns={"value": column})
                for column, frame in (("events", events), ("base", base))
            ]
        )
        if both.empty:
            return pd.Series(np.nan, index=ratio.index)
        sums = both.groupby(keys, dropna=False)[["events", "base"]].sum().reset_index()
        ratios = sums[names].merge(ratio.rename("ratio").reset_index(), on=names, how="left")["ratio"]
        sums["residual"] = sums["events"] - ratios.to_numpy() * sums["base"]
        sums["square"] = sums["residual"] ** 2
        of_stratum = (
            sums.groupby([*names, *_STRATUM], dropna=False)[["residual", "square"]].sum().reset_index()
        )
        found = of_stratum.merge(self._windows.strata.rename("windows").reset_index(), on=_STRATUM)
        several = found["windows"] > 1
        around_mean = found["square"] - found["residual"] ** 2 / found["windows"]
        found["square"] = around_mean.where(several, found["square"])
        found["square"] *= found["windows"] / (found["windows"] - 1).clip(lower=1) * (1 - 1 / found["every"])
        return found.groupby(names, dropna=False)["square"].sum().reindex(ratio.index)

    def _most(self) -> float:
        """How many more exits one that was looked at may stand for."""
        found = 0
        for recording in self._recordings:
            if (sampling := recording.metadata.sampling) is not None:
                every = max(sampling.every, *(step.every for step in sampling.steps), 1)
                found = max(found, sampling.one_in * every - 1)
        return float(found)

    def _t(self) -> float:
        freedom = self._windows.freedom
        if freedom == 0:
            return np.nan
        return student.quantile(CONFIDENCE, _MOST_FREEDOM if freedom is None else freedom)


def _bounds(low: pd.Series, high: pd.Series, *, most: float) -> pd.DataFrame:
    return pd.DataFrame({"low": low.clip(lower=0.0), "high": high.clip(upper=most)}).astype("Float64")
