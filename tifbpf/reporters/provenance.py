"""What a report says about where its figures are from: layouts and recordings."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from tifbpf.reporters import numbers, schema
from tifbpf.reporters.coverage import of_recordings
from tifbpf.reporters.tables import Section, fields

_EACH = 8
"""Recordings that are told one by one; of more it is said what they have in common, and how many."""
_LAYOUTS = 4
_VALUES = 5
"""Of what recordings do not have in common, the commonest."""


def layouts(report: schema.Report) -> tuple[Section, ...]:
    """Say what the names of bits rest on, for the layouts that most recordings have."""
    lines = sorted(report.layouts, key=lambda line: (-len(line.recordings), line.recordings))
    shown = [layout(line, report) for line in lines[:_LAYOUTS]]
    if others := lines[_LAYOUTS:]:
        text = f"{len(others):,} more, or the same with other evidence, of {_of(others)}; --json has them."
        shown.append(Section(title="Layout", key="layout", lead=(text,)))
    return tuple(shown)


def _of(lines: Sequence[schema.LayoutLine]) -> str:
    number = sum(len(line.recordings) for line in lines)
    return f"{number:,} recording{'s'[: number != 1]}"


def recordings(report: schema.Report) -> tuple[Section, ...]:
    """Say what was recorded, where, when and by which commands."""
    if len(report.recordings) <= _EACH:
        return tuple(recording(line, report) for line in report.recordings)
    lines = report.recordings
    merged = sum(line.merged.recordings for line in lines if line.merged is not None)
    pairs = [
        ("state", _commonest(line.state for line in lines)),
        ("merged", f"{merged:,} recordings are in {len(lines):,} files" if merged else ""),
        ("hosts", f"{len({line.host for line in lines}):,}"),
        ("CPUs", _commonest(str(line.cpus) for line in lines)),
        ("kernels", _commonest(f"{line.kernel} {line.kernel_version}" for line in lines)),
        ("layouts", _commonest(line.layout for line in lines)),
        ("started", f"{min(line.started for line in lines)} to {max(line.started for line in lines)}"),
        ("lasted", f"{numbers.duration(report.seconds)} together"),
        ("intervals", _commonest(numbers.duration(line.interval_seconds) for line in lines)),
        ("by", _commonest(", ".join(line.dimensions) or "nothing asked for" for line in lines)),
        ("filters", _commonest(_filters(line) for line in lines)),
        ("written by", _commonest(f"tifbpf {line.tifbpf}" for line in lines)),
    ]
    return (
        Section(
            title=f"{len(lines):,} recordings",
            key="recording",
            table=fields(pairs),
            notes=("--json has each of them.",),
        ),
    )


def _commonest(values: Iterable[str]) -> str:
    """Return the commonest values, each with how many have it unless all do."""
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{value or 'none'} ({number:,})" for value, number in counts.most_common(_VALUES)]
    others = len(counts) - len(shown)
    return "; ".join([*shown, *([f"{others:,} others"] if others else [])])


def _filters(line: schema.RecordingLine) -> str:
    return ", ".join(f"{option} {value}" for option, value in line.filters.items())


def layout(line: schema.LayoutLine, report: schema.Report) -> Section:
    """Say what the bits' names rest on."""
    pairs = [
        ("read from", line.source),
        ("kernels", ", ".join(line.releases)),
        *(("note", note) for note in line.notes),
        *((evidence.verdict, f"{evidence.fact} ({evidence.source})") for evidence in line.evidence),
    ]
    return Section(
        title="Layout",
        key="layout",
        subject=f"{line.name}{of_recordings(line.recordings, len(report.recordings))}",
        table=fields(pairs),
        notes=() if line.evidence else ("No evidence for it was recorded.",),
    )


def recording(line: schema.RecordingLine, report: schema.Report) -> Section:
    """Say what was recorded, where, when and by which command."""
    number = f" {line.number + 1}" if len(report.recordings) > 1 else ""
    pairs = [
        ("file", line.path),
        ("state", _state(line)),
        ("merged", "" if line.merged is None else _merged(line.merged)),
        ("host", f"{line.host}, {line.cpus} CPUs"),
        ("kernel", f"{line.kernel} {line.kernel_version}"),
        ("layout", line.layout if len(report.layouts) > 1 else ""),
        ("started", line.started),
        (
            "lasted",
            f"{numbers.duration(line.seconds)}, in intervals of {numbers.duration(line.interval_seconds)}",
        ),
        ("looked at", "" if line.sampling is None else _looked_at(line.sampling)),
        ("command", shlex.join(line.command)),
        ("by", ", ".join(line.dimensions) or "nothing asked for"),
        ("filters", _filters(line)),
        ("written by", f"tifbpf {line.tifbpf}"),
    ]
    return Section(title=f"Recording{number}", key="recording", table=fields(pairs))


def _state(line: schema.RecordingLine) -> str:
    if line.ended == "recording" or line.merged is not None:
        return line.state
    return f"{line.state}, ended by {line.ended}"


def _merged(line: schema.MergedLine) -> str:
    ended = ", ".join(f"{number:,} by {how}" for how, number in line.ended.items())
    return (
        f"{line.recordings:,} recording{'s'[: line.recordings != 1]} until {line.until}, in steps of "
        f"{numbers.duration(line.step_seconds)}; ended: {ended}"
    )


def _looked_at(line: schema.SamplingLine) -> str:
    exits = "all exits" if line.one_in == 1 else f"one exit in {line.one_in:,}"
    steps = [f"{numbers.part(step.every)} after {numbers.duration(step.at_seconds)}" for step in line.steps]
    time = f"{numbers.part(line.every)} of the time{''.join(f', {step}' for step in steps)}"
    cost = "" if line.cost is None else f"; the recorder took {line.cost:.2g} % of the CPUs' time at the end"
    return f"{exits}, {time} ({numbers.duration(line.recorded_seconds)}){cost}"
