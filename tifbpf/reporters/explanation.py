"""Why exits were slow, in sentences: what triggered them, in whose exits, from where, the probable cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tifbpf.reporters import names, numbers, schema
from tifbpf.reporters.tables import Column, Kind, Section, Table
from tifbpf.text import listed

if TYPE_CHECKING:
    # `tifbpf doctor` shows sections too, and reads no recordings.
    from tifbpf.analysis.explanation import Cited, Finding, Place
    from tifbpf.analysis.figures import Figures

_LEAST = 0.01
"""Of slow exits; findings below it are summed up, but never the first."""
_FINDINGS = 8

_AT = {
    "comm": 'in threads called "{}"',
    "pid": "in process {}",
    "cgroup": 'in the cgroup "{}"',
    "syscall": "from {}",
    "context": "from {}s",
    "cpu": "on CPU {}",
}
_AT_NONE = {
    "comm": "in threads without a name",
    "pid": "in processes that are not known",
    "cgroup": "in cgroups that are not known",
    "syscall": "from no system call",
    "cpu": "on CPUs that are not known",
}
_SPREAD = {
    "comm": "in threads of {} names",
    "pid": "in {} processes",
    "cgroup": "in {} cgroups",
    "syscall": "from {} system calls",
}
_CONTEXTS = {"syscall": "system call"}


def build(recordings: Figures) -> schema.Explanation:
    """Return what made exits slow, the commonest first."""
    everything = recordings.findings
    told = [
        finding
        for place, finding in enumerate(everything[:_FINDINGS])
        if place == 0 or finding.share >= _LEAST
    ]
    return schema.Explanation(
        findings=tuple(_line(finding) for finding in told),
        total=len(everything),
        others=sum(finding.slow for finding in everything[len(told) :]),
    )


def _line(finding: Finding) -> schema.FindingLine:
    return schema.FindingLine(
        sentence=sentence(finding),
        bits=tuple(schema.BitRef(word=str(bit.word), bit=bit.bit) for bit in finding.bits),
        slow=finding.slow,
        share_of_slow=finding.share,
        places=tuple(
            schema.PlaceLine(
                dimension=place.dimension, value=place.value, share=place.share, values=place.values
            )
            for place in finding.places
        ),
        causes=tuple(_cause(cited) for cited in finding.causes),
    )


def _cause(cited: Cited) -> schema.CauseLine:
    word, bit, cause = str(cited.bit.word), cited.bit.bit, cited.cause
    if cause is None:
        return schema.CauseLine(word=word, bit=bit, text=None, check=None, source=None)
    return schema.CauseLine(word=word, bit=bit, text=cause.text, check=cause.check, source=cause.source)


def sentence(finding: Finding) -> str:
    """Return what triggered, whose exits they were, and what they returned from.

    Names stand in it as they are: whoever shows it makes them printable.
    """
    bits = [names.bit(bit.word, bit.bit) for bit in finding.bits]
    if not bits:
        carried = "had lost their bits when the route looked: what triggered them is unknown"
    elif len(bits) == 1:
        carried = f"carried {bits[0]} alone"
    else:
        carried = f"carried {listed(bits)} together"
    return ", ".join([f"{numbers.share(finding.share)} of slow exits {carried}", *_where(finding)]) + "."


def _where(finding: Finding) -> Iterator[str]:
    whole = "of them"
    dimensions = {place.dimension for place in finding.places}
    for place in finding.places:
        if place.dimension == "context" and place.is_most and "syscall" in dimensions and place.share == 1:
            continue  # the system call says it
        if place.is_most:
            share = "all" if place.share == 1 else numbers.share(place.share)
            yield f"{share} {whole} {_at(place)}"
            whole = "of those"
        elif place.dimension in _SPREAD:
            yield (
                f"{_SPREAD[place.dimension].format(f'{place.values:,}')} (most "
                f"{_at(place)}: {numbers.share(place.share)})"
            )


def _at(place: Place) -> str:
    if place.value is None:
        return _AT_NONE[place.dimension]
    return _AT[place.dimension].format(_CONTEXTS.get(place.value, place.value))


def section(report: schema.Report) -> Section:
    """Return the explanation as a numbered list; a cause that was told already is not told again."""
    explanation = report.explanation
    rows: list[tuple[str, str]] = []
    for number, finding in enumerate(explanation.findings, start=1):
        rows.append((f"{number}.", finding.sentence))
        rows += (("", f"{label}: {text}") for label, text in reasons(explanation, number - 1))
    columns = (Column("", Kind.FIXED, "field"), Column("", Kind.WRAPPED))
    return Section(
        title="Why exits were slow",
        key="explanation",
        lead=() if rows else ("No exit was slow.",),
        table=Table(columns, tuple(rows)) if rows else None,
        notes=notes(report),
    )


def reasons(explanation: schema.Explanation, place: int) -> Iterator[tuple[str, str]]:
    """Yield causes and checks of one finding, each with its label, but for those that an earlier one has."""
    told = {cause.text for finding in explanation.findings[:place] for cause in finding.causes}
    finding = explanation.findings[place]
    several = len(finding.causes) > 1
    for cause in finding.causes:
        of = f" of {names.bit(cause.word, cause.bit)}" if several else ""
        if cause.text is None:
            yield f"Cause{of}", "not known."
        elif cause.text not in told:
            yield f"Probable cause{of}", cause.text
            yield "Check", cause.check or ""


def notes(report: schema.Report) -> tuple[str, ...]:
    """Return what the sentences leave out."""
    explanation = report.explanation
    found = []
    if further := explanation.total - len(explanation.findings):
        share = explanation.others / report.total.slow if report.total.slow else None
        found.append(
            f"{numbers.count(further)} more combination{'s'[: further > 1]} of bits: "
            f"{numbers.count(explanation.others)} slow exits ({numbers.share(share)})."
        )
    if explanation.findings and (missing := [line.context for line in report.contexts if not line.covered]):
        found.append(f"Nothing here is about {' and '.join(missing)} exits: they were not covered.")
    return tuple(found)
