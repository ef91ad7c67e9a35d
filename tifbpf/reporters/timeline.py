"""The timeline of a report: as many steps as a chart can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tifbpf.analysis import timeline
from tifbpf.analysis.figures import Figures
from tifbpf.analysis.rows import Line
from tifbpf.reporters import names, numbers, schema
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table

_STEPS = 240
_COLUMNS = 6
"""Bits that the table has columns for."""


def build(recordings: Figures) -> schema.Timeline | None:
    """Return the timeline, None where nothing was recorded."""
    span = recordings.rows.span()
    if span is None:
        return None
    length = step(recordings)
    every = timeline.of_all(recordings.rows, recordings.observed, length)
    step_ns = length or max(metadata.interval_ns for metadata in recordings.metadata)
    return schema.Timeline(
        step_seconds=step_ns / 1e9,
        steps=tuple(
            # Of one recording each step is an interval, which lasted as long as it lasted.
            _step(line, line["seconds"] if length is None else step_ns / 1e9)
            for line in every
        ),
        bits=_bits(timeline.by_bit(recordings.rows, recordings.observed, length), every),
    )


def step(recordings: Figures) -> int | None:
    """Return the length of a step, ns; None: each is an interval of the one recording."""
    first, last = recordings.rows.span() or (0, 0)
    step_ns = max(metadata.interval_ns for metadata in recordings.metadata)
    lasted = last - first + step_ns
    if len(recordings.recordings) == 1 and lasted <= _STEPS * step_ns:
        return None
    # Intervals that do not begin with the step would leave one step with two of them, and the next with
    # none; so a step is several.
    return step_ns * max(2, -(-lasted // (_STEPS * step_ns)))


def _step(line: Line, length: float) -> schema.TimelineStep:
    exits, slow, counted, seconds = (line[name] for name in ("exits", "slow", "slow_counted", "seconds"))
    of = seconds or None
    return schema.TimelineStep(
        start=_moment(line["time"]),
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


def _moment(time_ns: int) -> str:
    second = datetime.fromtimestamp(time_ns // 10**9, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{time_ns // 10**6 % 1000:03}Z"


def _bits(lines: Iterable[Line], every: Sequence[Line]) -> tuple[schema.TimelineBit, ...]:
    at_each: dict[tuple[str, str], dict[int, Line]] = {}
    for line in lines:
        at_each.setdefault((line["word"], line["bit"]), {})[line["time"]] = line
    # The words of steps without the bit were seen, and it was not in them: a zero that is known.
    none = {"slow": 0, "slow_counted": 0}
    found = []
    for (word, bit), those in at_each.items():
        steps = [those.get(step["time"], none) for step in every]
        found.append(
            schema.TimelineBit(
                word=word,
                bit=bit,
                slow=tuple(step["slow"] for step in steps),
                slow_counted=tuple(
                    None if whole["slow_counted"] is None else step["slow_counted"] or 0
                    for step, whole in zip(steps, every, strict=True)
                ),
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
