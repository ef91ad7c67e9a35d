"""What a report says about where its figures are from: layouts and recordings."""

from __future__ import annotations

import shlex

from tifbpf.reporters import numbers, schema
from tifbpf.reporters.coverage import of_recordings
from tifbpf.reporters.tables import Section, fields


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
    filters = ", ".join(f"{option} {value}" for option, value in line.filters.items())
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
        ("filters", filters),
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
