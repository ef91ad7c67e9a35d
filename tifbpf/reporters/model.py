"""The `Report` of `Recordings`."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from tifbpf import __version__
from tifbpf.analysis import bits
from tifbpf.analysis.figures import Figures
from tifbpf.analysis.frequency import columns_of, start_of
from tifbpf.analysis.naming import split
from tifbpf.analysis.rows import Line
from tifbpf.analysis.sums import total
from tifbpf.layouts.model import Context, Word
from tifbpf.recording.metadata import Merged, Sampling
from tifbpf.recording.reader import Recording
from tifbpf.reporters import coverage, explanation, schema, seen, timeline
from tifbpf.reporters.caveats import caveats

if TYPE_CHECKING:
    import pandas as pd

_T = TypeVar("_T", bound=Hashable)


def build(recordings: Figures, top: int = 10, by: Sequence[str] | None = None) -> schema.Report:
    """Return the report.

    Args:
        recordings: what it is of.
        top: the first members of lists that can grow long.
        by: the dimensions to show, `host` among them; None: those that were recorded.

    Raises:
        TifbpfError: no recording has one of the dimensions.
    """
    shown = recordings.dimensions if by is None else by
    _expect(recordings, shown)
    contexts = _contexts(recordings)
    slow_words, fast_words = (
        [line for line in recordings.word_lines if line["path"] == path] for path in ("slow", "fast")
    )
    pairs = _pairs(recordings)
    return schema.Report(
        tifbpf=__version__,
        seconds=sum(recording.duration_ns for recording in recordings.recordings) / 1e9,
        estimated=recordings.estimated,
        total=_total(recordings, contexts),
        contexts=contexts,
        caveats=caveats(recordings),
        explanation=explanation.build(recordings),
        bits=tuple(
            schema.BitLine(**line)
            for line in _bounded(recordings.bit_lines, recordings, "bit", ("word", "bit"))
        ),
        slow_words=_words(slow_words[:top]),
        slow_words_total=len(slow_words),
        fast_words=_words(fast_words[:top]),
        fast_words_total=len(fast_words),
        pairs=pairs[:top],
        pairs_total=len(pairs),
        timeline=timeline.build(recordings),
        dimensions=tuple(_dimension(recordings, name, top) for name in shown),
        latency=_latency(recordings, top),
        setters=_setters(recordings, top),
        handlers=_handlers(recordings),
        needs=tuple(schema.NeedLine(**line) for line in recordings.need_lines),
        tiers=tuple(schema.TierLine(**line) for line in recordings.tier_lines),
        masks=seen.build(recordings),
        accounting=_accounting(recordings),
        routes=_routes(recordings),
        layouts=_layouts(recordings),
        recordings=tuple(recording(place, found) for place, found in enumerate(recordings.recordings)),
    )


def _expect(recordings: Figures, shown: Sequence[str]) -> None:
    """Have what the report needs summed in two passes: over all rows, and over those of slow exits."""
    step_ns = timeline.step(recordings)
    start = start_of(step_ns)
    exits = ["recording", "context", "path"]
    triggers = [*exits, "word", "syscall_work"]
    dimensions = [columns_of([name]) for name in shown]
    recordings.rows.expect(
        [[*exits, start], *([*exits, *columns] for columns in dimensions)], step_ns=step_ns
    )
    recordings.rows.expect(
        [
            [*triggers, start],
            [*triggers, *columns_of(recordings.dimensions)],
        ],
        slow_only=True,
        step_ns=step_ns,
    )


_BOUNDS = ("share_low", "share_high", "slow_per_second_low", "slow_per_second_high")
_SUMS = tuple(name for name in schema.Frequency.__struct_fields__ if name not in _BOUNDS)


def _frequency(line: dict[str, Any]) -> schema.Frequency:
    return schema.Frequency(
        **{name: line[name] for name in _SUMS}, **{name: line.get(name) for name in _BOUNDS}
    )


def _bounded(lines: Sequence[Line], recordings: Figures, of: str, names: Sequence[str]) -> Sequence[Line]:
    """Return the lines with between what their figures lie, where they are estimates.

    Args:
        lines: what the figures are in.
        recordings: what they are of.
        of: as of `Recordings.estimates`.
        names: what tells the lines apart.
    """
    if not recordings.estimated:
        return lines
    bounds = _of_frame(recordings.bounds(of))
    more = {tuple(line.pop(name) for name in names): line for line in bounds}
    none = dict.fromkeys(name for line in more.values() for name in line)
    return [line | more.get(tuple(line[name] for name in names), none) for line in lines]


def _of_frame(frame: pd.DataFrame) -> list[Line]:
    """Return the lines of `frame`, index and columns."""
    from tifbpf.analysis.frames import values

    found = values(frame.reset_index())
    # A frame of numbers alone has NaN for what is not known.
    return [
        {name: None if value != value else value for name, value in zip(found, line, strict=True)}
        for line in zip(*found.values(), strict=True)
    ]


def _total(recordings: Figures, contexts: Iterable[schema.ContextLine]) -> schema.Frequency:
    total = _together(line.frequency for line in contexts)
    if not recordings.estimated:
        return total
    (line,) = _of_frame(recordings.bounds("all")) or [{}]
    known = {name: line.get(name) for name in _BOUNDS}
    return msgspec.structs.replace(total, **known)


def _together(frequencies: Iterable[schema.Frequency]) -> schema.Frequency:
    """Add up; what is unknown in all of them stays unknown."""
    sums: dict[str, Any] = dict.fromkeys(_SUMS)
    for frequency in frequencies:
        for name in _SUMS:
            if (value := getattr(frequency, name)) is not None:
                sums[name] = (sums[name] or 0) + value
    exits, slow = sums["exits"], sums["slow_counted"]
    sums["share"] = slow / exits if exits and slow <= exits else None
    return schema.Frequency(**sums)


def _contexts(recordings: Figures) -> tuple[schema.ContextLine, ...]:
    why_not: dict[str, dict[str, None]] = {}
    for metadata in recordings.metadata:
        for observed in metadata.contexts:
            if observed.why_not is not None:
                why_not.setdefault(observed.context, {})[observed.why_not] = None
    return tuple(
        schema.ContextLine(
            context=line["context"],
            covered=line["covered"],
            seconds=line["seconds"],
            why_not=tuple(why_not.get(line["context"], ())),
            frequency=_frequency(line),
        )
        for line in _bounded(recordings.context_lines, recordings, "context", ("context",))
    )


def _words(lines: Iterable[Line]) -> tuple[schema.WordLine, ...]:
    return tuple(
        schema.WordLine(
            **line
            | {word.value: split(line[word]) for word in Word}
            | {f"{word}_value": _hexadecimal(line[f"{word}_value"]) for word in Word}
        )
        for line in lines
    )


def _hexadecimal(value: int | None) -> str | None:
    return None if value is None else f"{value:#x}"


def _pairs(recordings: Figures) -> tuple[schema.PairLine, ...]:
    slow = sum(line["slow"] for line in recordings.need_lines if line["need"] != "reschedule_only")
    together = bits.cooccurrence(recordings.classes)
    order = {name: place for place, name in enumerate(dict.fromkeys(first for first, _ in together))}
    found = [
        schema.PairLine(
            first_word=first.word.value,
            first=first.bit,
            second_word=second.word.value,
            second=second.bit,
            slow=count,
            share_of_slow=count / slow,
        )
        for (first, second), count in together.items()
        if count and order[first] < order[second]
    ]
    return tuple(sorted(found, key=lambda pair: -pair.slow))


def _dimension(recordings: Figures, name: str, top: int) -> schema.DimensionTable:
    lines = recordings.lines_by(name)
    return schema.DimensionTable(
        dimension=name,
        recordings=len(recordings.having([name])),
        values=len(lines),
        lines=tuple(
            schema.DimensionLine(
                value=None if line[name] is None else str(line[name]),
                trigger=line["trigger"],
                trigger_count=line["trigger_count"],
                frequency=_frequency(line),
            )
            for line in _bounded(lines[:top], recordings, name, (name,))
        ),
        others=_added(lines[top:]) if len(lines) > top else None,
    )


def _added(lines: Sequence[Line]) -> schema.Frequency:
    """Return the sum of lines; what is unknown in all of them stays unknown."""
    sums: Line = {
        name: (_rate if name.endswith("_per_second") else total)(line[name] for line in lines)
        for name in _SUMS
    }
    return _together([schema.Frequency(**sums)])


def _rate(values: Iterable[float | None]) -> float | None:
    # There may be a million of them, as many as hosts have processes.
    known = [value for value in values if value is not None]
    return float(np.sum(known)) if known else None


_TIMES = ("slow", "timed", "ns", "ns_max")
_QUANTILES = ("p50_low", "p50_high", "p99_low", "p99_high")


def _latency(recordings: Figures, top: int) -> schema.Latency | None:
    if not recordings.rows.any_timed:
        return None
    contexts = _times(recordings, "context")
    if not contexts:
        return None
    words = _times(recordings, "word")
    return schema.Latency(
        contexts=tuple(schema.ContextTimes(**line) for line in contexts),
        bits=tuple(schema.BitTimes(**line) for line in _times(recordings, "bit")),
        words=tuple(
            schema.WordTimes(**line | {word.value: split(line[word]) for word in Word})
            for line in words[:top]
        ),
        words_total=len(words),
    )


def _times(recordings: Figures, of: str) -> list[dict[str, Any]]:
    """Return the members of the lines that keep times apart by `of`."""
    from tifbpf.analysis import latency

    apart = latency.Of(of)
    slow = latency.slow_rows(recordings.rows, apart)
    frame = latency.summary(slow, apart)
    names = [str(name) for name in frame.index.names]
    buckets: dict[tuple[Any, ...], list[schema.BucketLine]] = {}
    for line in _of_frame(latency.histogram(slow, apart)):
        key = tuple(line.pop(name) for name in names)
        bucket = schema.BucketLine(low=line["ns_low"], high=line["ns_high"], exits=line["exits"])
        buckets.setdefault(key, []).append(bucket)
    found = []
    for line in _of_frame(frame):
        members = {name: line[name] for name in names}
        histogram = tuple(buckets[tuple(members.values())])
        times = schema.Times(
            **{name: line[name] for name in _TIMES},
            **{name: line[f"ns_{name}"] for name in _QUANTILES},
            histogram=histogram,
        )
        found.append({**members, "times": times})
    return found


def _setters(recordings: Figures, top: int) -> schema.SetterTable | None:
    asked = [metadata for metadata in recordings.metadata if metadata.setters is not None]
    if not asked:
        return None
    lines = [schema.SetterLine(**line) for line in recordings.setter_lines]
    return schema.SetterTable(
        recordings=len(asked),
        lines=tuple(lines[:top]),
        total=len(lines),
        lost=sum(metadata.setters_lost for metadata in asked),
        unseen=tuple(dict.fromkeys(line for metadata in asked for line in metadata.setters_unseen)),
    )


def _handlers(recordings: Figures) -> schema.HandlerTable | None:
    asked = sum(metadata.handlers is not None for metadata in recordings.metadata)
    if not asked:
        return None
    lines = tuple(schema.HandlerLine(**line) for line in recordings.handler_lines)
    return schema.HandlerTable(recordings=asked, lines=lines)


def _accounting(recordings: Figures) -> schema.Accounting:
    return schema.Accounting(
        **recordings.total,
        causes=recordings.lost,
        missing=sum(recording.missing for recording in recordings.recordings),
    )


def _grouped(values: Iterable[_T]) -> dict[_T, tuple[int, ...]]:
    """Return what recordings have in common, each with the places of those that have it."""
    places: dict[_T, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value, []).append(place)
    return {value: tuple(those) for value, those in places.items()}


def _routes(recordings: Figures) -> tuple[schema.RouteLine, ...]:
    return tuple(
        coverage.line(found, places)
        for contexts, places in _grouped(metadata.contexts for metadata in recordings.metadata).items()
        for found in sorted(contexts, key=lambda found: list(Context).index(found.context))
    )


def _layouts(recordings: Figures) -> tuple[schema.LayoutLine, ...]:
    found = _grouped((metadata.layout, metadata.layout_evidence) for metadata in recordings.metadata)
    return tuple(
        schema.LayoutLine(
            recordings=places,
            name=layout.name,
            releases=layout.releases,
            source=layout.source,
            notes=layout.notes,
            evidence=tuple(
                schema.EvidenceLine(fact=entry.fact, source=entry.source, verdict=entry.verdict)
                for entry in evidence
            ),
        )
        for (layout, evidence), places in found.items()
    )


def recording(place: int, recording: Recording) -> schema.RecordingLine:
    """Return what is said of one recording, whose place among all is `place`."""
    metadata = recording.metadata
    return schema.RecordingLine(
        number=place,
        path=str(recording.path),
        id=metadata.id,
        state=recording.state,
        ended=metadata.ended,
        host=metadata.host.name,
        cpus=metadata.host.cpus,
        kernel=metadata.kernel.release,
        kernel_version=metadata.kernel.version,
        layout=metadata.layout.name,
        command=metadata.command,
        started=_second(metadata.started_ns),
        seconds=recording.duration_ns / 1e9,
        interval_seconds=metadata.interval_ns / 1e9,
        dimensions=metadata.dimensions,
        filters=metadata.filters,
        tifbpf=metadata.tifbpf,
        merged=_merged(metadata.merged),
        sampling=_sampling(metadata.sampling),
    )


def _sampling(sampling: Sampling | None) -> schema.SamplingLine | None:
    if sampling is None or sampling.exact:
        return None
    return schema.SamplingLine(
        one_in=sampling.one_in,
        every=sampling.every,
        max_overhead=sampling.max_overhead,
        cost=sampling.cost,
        steps=tuple(
            schema.StepLine(at_seconds=step.at_ns / 1e9, every=step.every, cost=step.cost)
            for step in sampling.steps
        ),
        recorded_seconds=sampling.recorded_ns / 1e9,
    )


def _merged(merged: Merged | None) -> schema.MergedLine | None:
    if merged is None:
        return None
    return schema.MergedLine(
        recordings=len(merged.sources),
        step_seconds=merged.step_ns / 1e9,
        until=_second(merged.until_ns),
        ended=merged.ended,
    )


def _second(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
