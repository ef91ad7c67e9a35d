"""The timeline of a report: as many steps as a chart can show."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from tifbpf.analysis import Recordings
from tifbpf.reporters import names, numbers, schema
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table

_STEPS = 240
_COLUMNS = 6
"""Bits that the table has columns for."""


def build(recordings: Recordings) -> schema.Timeline | None:
    """Return the timeline, None where nothing was recorded."""
    span = recordings.rows.span()
    if span is None:
        return None
    freq = step(recordings)
    every = recordings.timeline_of_all(freq)
    step_ns = (
        max(metadata.interval_ns for metadata in recordings.metadata) if freq is None else int(freq[:-2])
    )
    return schema.Timeline(
        step_seconds=step_ns / 1e9,
        steps=tuple(
            # Of one recording each step is an interval, which lasted as long as it lasted.
            _step(pd.Timestamp(str(start)), line, float(line["seconds"]) if freq is None else step_ns / 1e9)
            for start, line in every.iterrows()
        ),
        bits=_bits(recordings.timeline_by_bit(freq), every),
    )


def step(recordings: Recordings) -> str | None:
    """Return the length of a step, e.g. `2000000000ns`; None: each is an interval of the one recording."""
    first, last = recordings.rows.span() or (0, 0)
    step_ns = max(metadata.interval_ns for metadata in recordings.metadata)
    lasted = last - first + step_ns
    if len(recordings.recordings) == 1 and lasted <= _STEPS * step_ns:
        return None
    # Intervals that do not begin with the step would leave one step with two of them, and the next with
    # none; so a step is several.
    return f"{step_ns * max(2, -(-lasted // (_STEPS * step_ns)))}ns"


def _known(value: object) -> int | None:
    return None if pd.isna(value) else int(value)  # type: ignore[call-overload]


def _step(start: pd.Timestamp, line: pd.Series, length: float) -> schema.TimelineStep:
    exits, slow, counted = (_known(line[name]) for name in ("exits", "slow", "slow_counted"))
    seconds = float(line["seconds"])
    of = seconds or None
    return schema.TimelineStep(
        start=start.tz_convert(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        length_seconds=length,
        seconds=seconds,
        frequency=schema.Frequency(
            exits=exits,
            slow=slow,
            slow_counted=counted,
            share=counted / exits if exits and counted is not None and counted <= exits else None,
            exits_per_second=exits / of if of and exits is not None else None,
            slow_per_second=slow / of if of and slow is not None else None,
        ),
    )


def _bits(frame: pd.DataFrame, every: pd.DataFrame) -> tuple[schema.TimelineBit, ...]:
    found = []
    for (word, bit), lines in frame.groupby(["word", "bit"], sort=False):
        at_each = lines.droplevel(["word", "bit"])
        # The words of these steps were seen, and the bit was not in them: a zero that is known.
        slow = at_each["slow"].reindex(every.index).fillna(0)
        counted = at_each["slow_counted"].reindex(every.index).fillna(0).where(every["slow_counted"].notna())
        found.append(
            schema.TimelineBit(
                word=str(word),
                bit=str(bit),
                slow=tuple(int(value) for value in slow),
                slow_counted=tuple(_known(value) for value in counted),
            )
        )
    return tuple(sorted(found, key=lambda line: (-sum(line.slow), line.word, line.bit)))


def section(report: schema.Report) -> Section | None:
    """Return the timeline as a table, None where nothing was recorded."""
    timeline = report.timeline
    if timeline is None:
        return None
    bits = timeline.bits[:_COLUMNS]
    columns = (
        Column("from (UTC)", Kind.FIXED, "field"),
        Column("recorded", Kind.NUMBER, "rate"),
        Column("exits", Kind.NUMBER, "count"),
        Column("slow", Kind.NUMBER, "slow"),
        Column("share", Kind.NUMBER, "share"),
        *(Column(names.bit(line.word, line.bit), Kind.NUMBER, "count") for line in bits),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            shown(step.start),
            numbers.Figure(numbers.duration(step.seconds), step.seconds),
            step.frequency.exits,
            step.frequency.slow,
            numbers.share(step.frequency.share),
            *(line.slow[place] for line in bits),
        )
        for place, step in enumerate(timeline.steps)
    )
    left_out = len(timeline.bits) - len(bits)
    notes: tuple[str, ...] = ("An exit for which several bits triggered is in each of their columns.",)
    if left_out:
        notes += (f"{left_out} bits more triggered, more rarely than these.",)
    return Section(title="Over time", key="timeline", table=Table(columns, rows), notes=notes)


def shown(start: str) -> str:
    """Return the time of day of a step, with its date."""
    return datetime.fromisoformat(start).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]
