"""What a report says about where its figures are from: routes, layouts and recordings."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tifbpf.reporters import numbers, schema
from tifbpf.reporters.tables import Column, Kind, Section, Table


def _fields(pairs: Sequence[tuple[str, str]]) -> Table:
    columns = (Column("", Kind.FIXED, "field"), Column("", Kind.WRAPPED))
    return Table(columns, tuple((name, text) for name, text in pairs if text))


def routes(report: schema.Report) -> Section:
    """Say how each context was observed, how exactly, and what the self-tests saw."""
    pairs: list[tuple[str, str]] = []
    for line in report.routes:
        of = _of(line.recordings, report)
        if line.route is None:
            pairs.append((line.context, f"not covered{of}: {line.why_not or 'no reason was recorded'}"))
            continue
        denominator = line.denominator or "nothing; the share is unknown"
        pairs += [
            (line.context, f"{line.route}{of}, {line.exactness or 'exactness not recorded'}"),
            ("", f"hooks: {', '.join(line.hooks)}"),
            ("", f"all exits counted by: {denominator}"),
        ]
        if line.perturbs:
            pairs.append(("", f"perturbs: {line.perturbs}"))
        if line.why_not:
            pairs.append(("", f"no better route: {line.why_not}"))
        tests = [
            f"self-test {test.exercise}: {test.expected:,} expected, {test.seen:,} seen"
            for test in line.self_tests
        ]
        pairs += [("", text) for text in tests or ["no self-test was recorded"]]
    return Section(title="Routes", table=_fields(pairs))


def _of(recordings: tuple[int, ...], report: schema.Report) -> str:
    """Say which recordings are meant where not all are."""
    if len(recordings) == len(report.recordings):
        return ""
    return f" (recording {', '.join(str(number + 1) for number in recordings)})"


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
        subject=f"{line.name}{_of(line.recordings, report)}",
        table=_fields(pairs),
        notes=() if line.evidence else ("No evidence for it was recorded.",),
    )


def recording(line: schema.RecordingLine, report: schema.Report) -> Section:
    """Say what was recorded, where, when and by which command."""
    number = f" {line.number + 1}" if len(report.recordings) > 1 else ""
    filters = ", ".join(f"{option} {value}" for option, value in line.filters.items())
    pairs = [
        ("file", line.path),
        ("state", line.state if line.ended == "recording" else f"{line.state}, ended by {line.ended}"),
        ("host", f"{line.host}, {line.cpus} CPUs"),
        ("kernel", f"{line.kernel} {line.kernel_version}"),
        ("layout", line.layout if len(report.layouts) > 1 else ""),
        ("started", line.started),
        (
            "lasted",
            f"{numbers.duration(line.seconds)}, in intervals of {numbers.duration(line.interval_seconds)}",
        ),
        ("command", shlex.join(line.command)),
        ("by", ", ".join(line.dimensions) or "nothing asked for"),
        ("filters", filters),
        ("written by", f"tifbpf {line.tifbpf}"),
    ]
    return Section(title=f"Recording{number}", table=_fields(pairs))
