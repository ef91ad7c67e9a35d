"""What a comparison says to a reader, as headings, tables and sentences in their order; not how it looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from tifbpf.reporters import diff_schema as schema
from tifbpf.reporters import names, numbers
from tifbpf.reporters.sections import DIMENSIONS
from tifbpf.reporters.tables import Column, Kind, Section, Table

_SHOWN: dict[str, Callable[[float | None], str]] = {"share": numbers.share, "rate": numbers.rate}
_HEADINGS = {"share": "share of exits", "rate": "a second"}
_FIGURES = (
    Column("before", Kind.NUMBER, "share"),
    Column("after", Kind.NUMBER, "share"),
    # No column for the change itself: with it, bits and words would not fit into 80 columns.
    Column("change (95 %)", Kind.NUMBER, "slow"),
    Column("verdict", Kind.FIXED, "context"),
)
_NOT_COMPARABLE = "not comparable"
_UNCHANGED = (
    "Unchanged: the whole interval of the change lies between -{band:g} and +{band:g} %. Changed: it does "
    "not, and 0 % is not in it either. Too little data: neither."
)
_SAMPLE = (
    "The {before} intervals before and the {after} after are the sample; that neighbours resemble each other "
    "is taken into account (equal-weighted cosine estimator, Lazarus et al. 2018; Fieller's interval of the "
    "ratio)."
)
_TOGETHER = "The intervals of one table hold all together with {confidence:g} % confidence (Bonferroni)."
_RUNS = (
    "One recording tells how exits vary while it lasts, and not from one run to the next: give several on "
    "each side (--before, --after) to have that in the intervals."
)
_TOO_FEW = (
    "{before} and {after} intervals are too few to tell: record longer, or with a shorter --interval. 60 on "
    "each side are a good number."
)

Line = schema.BitLine | schema.WordLine | schema.ValueLine


def sections(diff: schema.Diff) -> tuple[Section, ...]:
    """Return everything that is to be said, in the order in which it matters."""
    return (
        _headline(diff),
        *_caveats(diff),
        *_bits(diff),
        *_table(
            names.counted("Commonest words of slow exits", len(diff.words), diff.words_total),
            Column("bits", Kind.WRAPPED, "bit"),
            diff.words,
            [f"{line.context}: {names.bits(line.tif, line.syscall_work)}" for line in diff.words],
        ),
        *(section for table in diff.dimensions for section in _dimension(table)),
        _how(diff),
    )


def sentence(diff: schema.Diff) -> str:
    """Return the one sentence that answers whether it changed."""
    measure = "share" if diff.total.share.before and diff.total.share.after else "rate"
    found = diff.total.share if measure == "share" else diff.total.rate
    of = "of exits were slow" if measure == "share" else "slow exits a second"
    before, after = (
        (numbers.UNKNOWN, "") if side is None else (_SHOWN[measure](side.value), _between(side, measure))
        for side in (found.before, found.after)
    )
    return f"{before[0]} {of} before{before[1]}, {after[0]} after{after[1]}. {_said(found)}"


def change(value: float | None) -> str:
    """Return a change in per cent, with its sign.

    >>> change(-0.3195), change(0.0042), change(0.0), change(11.5), change(None)
    ('-32.0 %', '+0.420 %', '0 %', '+1,150 %', 'new')
    """
    if value is None:
        return "new"
    percent = 100 * value
    if percent == 0:
        return "0 %"
    digits = max(0, min(3, 2 - math.floor(math.log10(abs(percent)))))
    return f"{percent:+,.{digits}f} %"


def interval(found: schema.Change | None) -> str:
    """Return between what a change lies."""
    if found is None:
        return ""
    low = change(found.low)
    if found.high is None:
        return "anything" if found.low <= -1 else f"{low} or more"
    return f"{low.removesuffix(' %')} to {change(found.high)}"


def _between(figure: schema.Figure, measure: str) -> str:
    if figure.low is None or figure.high is None:
        return ""
    low, high = _SHOWN[measure](figure.low), _SHOWN[measure](figure.high)
    return f" ({low.removesuffix(' %')} to {high})"


def _said(found: schema.Compared) -> str:
    if found.verdict == _NOT_COMPARABLE:
        return f"Not comparable: {found.why}."
    if found.change is None:
        return "Too little data to compare them."
    value = "Some are new" if found.change.value is None else f"The change is {change(found.change.value)}"
    return f"{value} ({interval(found.change)}): {found.verdict}."


def _headline(diff: schema.Diff) -> Section:
    lines = [("share of exits", "share", diff.total.share), ("a second", "rate", diff.total.rate)]
    rows = tuple((name, *_figures(found, measure)) for name, measure, found in lines)
    notes = [
        f"Compared: {' and '.join(diff.contexts)} exits.",
        _UNCHANGED.format(band=100 * diff.band),
    ]
    if fewest := _too_few(diff):
        notes.append(fewest)
    return Section(
        title="tifbpf diff",
        subject=f"{_subject(diff.before)} -> {_subject(diff.after)}",
        lead=(sentence(diff),),
        table=Table((Column("slow exits", Kind.FIXED, "field"), *_FIGURES), rows),
        notes=tuple(notes),
        key="exits",
    )


def _too_few(diff: schema.Diff) -> str:
    """Say what to do where there are too few intervals; "" where there are enough."""
    figures = (diff.total.rate.before, diff.total.rate.after)
    if all(figure is None or figure.low is not None for figure in figures):
        return ""
    return _TOO_FEW.format(before=diff.before.intervals, after=diff.after.intervals)


def _subject(side: schema.SideLines) -> str:
    first = side.recordings[0]
    seconds = numbers.duration(sum(recording.seconds for recording in side.recordings))
    several = f"{len(side.recordings)} recordings, " if len(side.recordings) > 1 else ""
    return f"{several}{first.host}, Linux {first.kernel}, {seconds}"


def _caveats(diff: schema.Diff) -> Iterator[Section]:
    warnings = [
        *(f"Not the same, and compared anyway: {found.text}" for found in diff.differences if found.forbids),
        *(found.text for found in diff.differences if not found.forbids),
    ]
    both = {caveat.text for caveat in diff.before.caveats} & {caveat.text for caveat in diff.after.caveats}
    for name, side in (("Before", diff.before), ("After", diff.after)):
        for caveat in side.caveats:
            if caveat.text not in both:
                warnings.append(f"{name}: {caveat.text}")
            elif side is diff.before:
                warnings.append(f"Both: {caveat.text}")
    if diff.left_out:
        warnings.append(f"Not all recordings have {', '.join(diff.left_out)}: no table of it.")
    if warnings:
        yield Section(title="Before you quote these figures", warnings=tuple(warnings), key="caveats")


def _bits(diff: schema.Diff) -> Iterator[Section]:
    found = list(
        _table(
            "Bits that made exits slow",
            Column("bit", Kind.WRAPPED, "bit"),
            diff.bits,
            [names.bit(line.word, line.bit) for line in diff.bits],
        )
    )
    yield from found
    if diff.idle_bits:
        idle = ", ".join(names.bit(bit.word, bit.bit) for bit in diff.idle_bits)
        yield Section(
            title="Bits that made no exit slow, on either side", lead=(f"{idle}.",), key="idle-bits"
        )


def _dimension(table: schema.DimensionTable) -> Iterator[Section]:
    heading, nameless = DIMENSIONS[table.dimension]
    return _table(
        names.counted(heading, len(table.lines), table.values),
        Column(table.dimension, Kind.NAME, "name"),
        table.lines,
        [nameless if line.value is None else line.value for line in table.lines],
    )


def _table(heading: str, key: Column, lines: Sequence[Line], keys: Sequence[str]) -> Iterator[Section]:
    """Yield one section for each measure, and one that says so where there is nothing to compare."""
    if not lines:
        yield Section(title=heading, lead=("No exit was slow on either side.",))
        return
    for measure, suffix in _HEADINGS.items():
        compared = [line.share if measure == "share" else line.rate for line in lines]
        if all(found.before is None and found.after is None for found in compared):
            yield Section(title=f"{heading}: {suffix}", lead=(f"Not known: {compared[0].why}.",))
            continue
        rows = tuple((*_figures(found, measure), name) for name, found in zip(keys, compared, strict=True))
        reasons = dict.fromkeys(
            f"{name}: {found.why}." for name, found in zip(keys, compared, strict=True) if found.why
        )
        yield Section(title=f"{heading}: {suffix}", table=Table((*_FIGURES, key), rows), notes=tuple(reasons))


def _figures(found: schema.Compared, measure: str) -> tuple[str, str, str, str]:
    shown = _SHOWN[measure]
    return (
        shown(None if found.before is None else found.before.value),
        shown(None if found.after is None else found.after.value),
        interval(found.change),
        found.verdict,
    )


def _how(diff: schema.Diff) -> Section:
    lead = [
        _SAMPLE.format(before=diff.before.intervals, after=diff.after.intervals),
        _TOGETHER.format(confidence=100 * diff.confidence),
    ]
    if min(len(diff.before.recordings), len(diff.after.recordings)) == 1:
        lead.append(_RUNS)
    return Section(title="How sure", lead=tuple(lead), key="method")
