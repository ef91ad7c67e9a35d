"""What a report says to a reader, as headings, tables and sentences in their order; not how it looks.

Text from outside (names of processes, paths, command lines) stands here as it is: whoever renders it makes it
printable, all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tifbpf.reporters import (
    coverage,
    estimates,
    explanation,
    mask_bits,
    names,
    numbers,
    origins,
    provenance,
    schema,
    times,
)
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table

_SLOW = Column("slow", Kind.NUMBER, "slow")
_EXITS = Column("exits", Kind.NUMBER, "count")
_PRESENT = Column("present", Kind.NUMBER, "count")
_SHARE = Column("share", Kind.NUMBER, "share")
_OF_EXITS = Column("of exits", Kind.NUMBER, "share")
_OF_SLOW = Column("of slow", Kind.NUMBER, "share")
_CONTEXT = Column("context", Kind.FIXED, "context")
_TEXT = Column("", Kind.WRAPPED)

_NO_SHARE = numbers.Figure("-", None)
"""Of no exits; not the same as an unknown one."""
_SUMMARY_BITS = 8


def sections(report: schema.Report) -> tuple[Section, ...]:
    """Return everything that is to be said, in the order in which it matters."""
    found = _sections(report)
    return tuple(map(estimates.marked, found)) if report.estimated else found


def _sections(report: schema.Report) -> tuple[Section, ...]:
    return (
        _headline(report),
        *_caveats(report),
        explanation.section(report),
        _bits(report),
        *_idle_bits(report),
        *origins.sections(report),
        _words("slow", report.slow_words, report.slow_words_total),
        _words("fast", report.fast_words, report.fast_words_total),
        _pairs(report),
        *(_dimension(table, report) for table in report.dimensions),
        *times.sections(report.latency),
        _needs(report),
        _tiers(report),
        *(mask_bits.section(found, len(report.recordings)) for found in report.masks),
        _accounting(report),
        *coverage.sections(report.routes, len(report.recordings)),
        *provenance.layouts(report),
        *provenance.recordings(report),
    )


def summary_section(report: schema.Report) -> Section:
    """Return the figures that matter most."""
    total, accounting = report.total, report.accounting
    about = " (estimated)" if report.estimated else ""
    rows: list[tuple[Cell, ...]] = [
        (total.exits, f"exits{about}", _a_second(total.exits_per_second), ""),
        (
            total.slow,
            f"slow exits{about}",
            _a_second(total.slow_per_second),
            f"{numbers.share(total.share)}{_within(total.share_low, total.share_high)} of exits",
        ),
        *(
            (
                line.trigger,
                f"  {names.bit(line.word, line.bit)}",
                "",
                f"{numbers.share(line.share_of_slow)}{_of_bit(line)} of slow",
            )
            for line in _triggers(report)[:_SUMMARY_BITS]
        ),
        (accounting.lost, "lost", "", ""),
    ]
    columns = (
        Column("", Kind.NUMBER, "slow"),
        Column("", Kind.FIXED, "bit"),
        Column("", Kind.NUMBER, "rate"),
        Column("", Kind.NUMBER, "share"),
    )
    missing = [line.context for line in report.contexts if not line.covered]
    notes = [f"Not covered: {' and '.join(missing)} exits (`tifbpf doctor` says why)."] if missing else []
    return Section(
        title="tifbpf",
        subject=subject(report),
        table=Table(columns, tuple(rows)),
        notes=tuple(notes),
        warnings=tuple(caveat.text for caveat in report.caveats),
    )


def _within(low: float | None, high: float | None) -> str:
    """Return in brackets between what a share lies, if that is not certain."""
    bounds = estimates.between(low, high)
    return f" ({bounds})" if bounds else ""


def _of_bit(line: schema.BitLine) -> str:
    return _within(line.share_of_slow_low, line.share_of_slow_high)


def _not_covered(line: schema.ContextLine) -> str:
    return f"{line.context} exits not covered: {'; '.join(line.why_not) or 'no reason was recorded'}"


def _a_second(value: float | None) -> str:
    return f"{numbers.rate(value)} /s"


def subject(report: schema.Report) -> str:
    """Return what was recorded: host, kernel and length; text from outside is in it as it is."""
    first = report.recordings[0]
    if len(report.recordings) == 1:
        return f"{first.host}, Linux {first.kernel}, {numbers.duration(report.seconds)}"
    hosts = len({recording.host for recording in report.recordings})
    kernels = len({recording.kernel for recording in report.recordings})
    return (
        f"{len(report.recordings):,} recordings, {hosts:,} host{'s'[: hosts > 1]}, "
        f"{kernels} kernel{'s'[: kernels > 1]}, {numbers.duration(report.seconds)}"
    )


def sentence(report: schema.Report) -> str:
    """Return the one sentence that answers how often."""
    total = report.total
    if total.exits is None:
        bounds = estimates.between_rates(total.slow_per_second_low, total.slow_per_second_high)
        return (
            f"{'About ' if report.estimated else ''}{numbers.count(total.slow)} slow exits "
            f"({numbers.rate(total.slow_per_second)} a second{f', {bounds}' if bounds else ''}); "
            "of how many exits is unknown."
        )
    about = "about " if report.estimated else ""
    share = estimates.between(total.share_low, total.share_high)
    rate = estimates.between_rates(total.slow_per_second_low, total.slow_per_second_high)
    sentence = (
        f"{about}{numbers.count(total.slow_counted)} of {about}{numbers.count(total.exits)} exits were slow: "
        f"{numbers.share(total.share)}{_confident(share)}; "
        f"{about}{numbers.rate(total.slow_per_second)}{_confident(rate)} slow of "
        f"{about}{numbers.rate(total.exits_per_second)} exits a second."
    )
    sentence = sentence[0].upper() + sentence[1:]
    if total.slow is not None and total.slow_counted is not None and total.slow > total.slow_counted:
        beside = total.slow - total.slow_counted
        sentence += f" {numbers.count(beside)} more slow exits were seen where not all exits were counted."
    return sentence


def _confident(bounds: str) -> str:
    return f" ({bounds}, with 95 % confidence)" if bounds else ""


def _headline(report: schema.Report) -> Section:
    rows: list[tuple[Cell, ...]] = []
    notes: list[str] = []
    for line in report.contexts:
        if line.covered:
            frequency = line.frequency
            rows.append(
                (
                    line.context,
                    frequency.exits,
                    frequency.slow,
                    _share(frequency),
                    *_bounds(report, frequency.share_low, frequency.share_high),
                    _rate(frequency.exits_per_second),
                    _rate(frequency.slow_per_second),
                )
            )
        else:
            rows.append((line.context, "not covered", *(4 + report.estimated) * ("",)))
            notes.append(_not_covered(line))
    columns = (
        _CONTEXT,
        _EXITS,
        _SLOW,
        _SHARE,
        *_between(report),
        Column("exits/s", Kind.NUMBER, "rate"),
        Column("slow/s", Kind.NUMBER, "rate"),
    )
    return Section(
        title="tifbpf",
        key="headline",
        subject=subject(report),
        lead=(sentence(report),),
        table=Table(columns, tuple(rows)),
        notes=tuple(notes),
    )


def _between(report: schema.Report) -> tuple[Column, ...]:
    return (estimates.BETWEEN,) if report.estimated else ()


def _bounds(report: schema.Report, low: float | None, high: float | None) -> tuple[str, ...]:
    """Return what stands below `_between`."""
    return (estimates.between(low, high),) if report.estimated else ()


def _rate(value: float | None) -> Cell:
    """Return a whole number, which may lose digits where the line is too short, or a text."""
    return numbers.rate(value) if value is None or value < 100 else round(value)


def _caveats(report: schema.Report) -> Iterable[Section]:
    if report.caveats:
        texts = tuple(caveat.text for caveat in report.caveats)
        yield Section(title="Before you quote these figures", key="caveats", warnings=texts)


def _joined(bits: Iterable[schema.BitLine]) -> str:
    return ", ".join(names.bit(line.word, line.bit) for line in bits)


def _triggers(report: schema.Report) -> list[schema.BitLine]:
    return sorted((line for line in report.bits if line.trigger), key=lambda line: -(line.trigger or 0))


def _bits(report: schema.Report) -> Section:
    rows = tuple(
        (
            names.bit(line.word, line.bit),
            line.present,
            numbers.share(line.share_of_exits),
            line.trigger,
            numbers.share(line.share_of_slow),
            *_bounds(report, line.share_of_slow_low, line.share_of_slow_high),
            line.sole,
            line.share_of_slow or 0.0,
        )
        for line in _triggers(report)
    )
    columns = (
        Column("bit", Kind.FIXED, "bit"),
        _PRESENT,
        _OF_EXITS,
        Column("trigger", Kind.NUMBER, "slow"),
        _OF_SLOW,
        *_between(report),
        Column("sole", Kind.NUMBER, "count"),
        Column("", Kind.BAR, "bar"),
    )
    idle = [line for line in report.bits if line.in_mask and line.trigger == 0]
    never = [line for line in idle if not line.present and not line.present_slow]
    elsewhere = [line for line in idle if line not in never]
    unknown = [line for line in report.bits if line.trigger is None]
    ours = [line for line in unknown if line.taken_out]
    unseen = [line for line in unknown if line not in ours]
    looked_at = numbers.count(report.total.exits if report.total.exits is not None else report.total.slow)
    exits = "exits" if report.total.exits is not None else "slow exits"
    notes = []
    if never and report.estimated:
        notes.append(
            f"In a work mask, and set in none of the {numbers.count(report.accounting.recorded)} {exits} "
            f"that were looked at, of about {looked_at} over {numbers.duration(report.seconds)}; that is no "
            f"proof that they never were: {_joined(never)}."
        )
    elif never:
        notes.append(
            f"In a work mask, and never set in {looked_at} {exits} over {numbers.duration(report.seconds)}: "
            f"{_joined(never)}."
        )
    if elsewhere:
        notes.append(f"Set, but never in a context whose work mask has it: {_joined(elsewhere)}.")
    if unseen:
        notes.append(
            "Unknown, because no context that was covered tests it, or the route there does not see it: "
            f"{_joined(unseen)}."
        )
    if ours:
        notes.append(f"Unknown, because our own hook sets it on every task: {_joined(ours)}.")
    counted = [line.context for line in report.contexts if line.frequency.exits is not None]
    if rows and counted and any(line.covered and line.frequency.exits is None for line in report.contexts):
        notes.append(
            f"Present, and of exits: of the {' and '.join(counted)} exits, all of which were counted."
        )
    lead = () if rows else ("No bit triggered.",)
    return Section(
        title="Bits that made exits slow",
        key="bits",
        table=Table(columns, rows) if rows else None,
        lead=lead,
        notes=tuple(notes),
    )


def _idle_bits(report: schema.Report) -> Iterable[Section]:
    outside = sorted(
        (line for line in report.bits if not line.in_mask), key=lambda line: -(line.present or 0)
    )
    rows = tuple(
        (line.present, numbers.share(line.share_of_exits), names.bit(line.word, line.bit)) for line in outside
    )
    if rows:
        yield Section(
            title="Bits that are in no work mask, and made nothing slow",
            key="idle-bits",
            table=Table((_PRESENT, _OF_EXITS, Column("bit", Kind.FIXED, "bit")), rows),
        )


def _words(path: str, words: Sequence[schema.WordLine], total: int) -> Section:
    rows = []
    for line in words:
        value = line.tif_value or "differs"
        if line.syscall_work is not None:
            value += f"/{line.syscall_work_value or 'differs'}"
        rows.append(
            (
                line.context,
                line.count,
                numbers.share(line.share_of_exits),
                value,
                names.bits(line.tif, line.syscall_work),
            )
        )
    columns = (
        _CONTEXT,
        Column("exits", Kind.NUMBER, "slow" if path == "slow" else "count"),
        _OF_EXITS,
        Column("tif/work", Kind.FIXED, "hex"),
        Column("bits", Kind.WRAPPED, "bit"),
    )
    return Section(
        title=names.counted(f"Commonest words of {path} exits", len(rows), total),
        key=f"{path}-words",
        table=Table(columns, tuple(rows)) if rows else None,
        lead=() if rows else ("None was recorded.",),
    )


def _pairs(report: schema.Report) -> Section:
    rows = tuple(
        (
            pair.slow,
            numbers.share(pair.share_of_slow),
            f"{names.bit(pair.first_word, pair.first)} and {names.bit(pair.second_word, pair.second)}",
        )
        for pair in report.pairs
    )
    return Section(
        title=names.counted("Bits that triggered together", len(rows), report.pairs_total),
        key="pairs",
        table=Table((_SLOW, _OF_SLOW, Column("bits", Kind.WRAPPED, "bit")), rows) if rows else None,
        lead=() if rows else ("None did.",),
    )


DIMENSIONS = {
    "host": ("Hosts", "(unknown)"),
    "syscall": ("System calls", "(no system call)"),
    "comm": ("Threads by name", "(unknown)"),
    "pid": ("Processes", "(unknown)"),
    "cgroup": ("Control groups", "(unknown)"),
    "cpu": ("CPUs", "(unknown)"),
}
"""Heading of each dimension, and what a value that there is none of is called."""


def _dimension(table: schema.DimensionTable, report: schema.Report) -> Section:
    heading, nameless = DIMENSIONS[table.dimension]
    rows = [
        (
            nameless if line.value is None else line.value,
            *_frequency(line.frequency, report),
            line.trigger or "",
        )
        for line in table.lines
    ]
    rest: tuple[tuple[Cell, ...], ...] = ()
    if table.others is not None:
        rest = ((f"({table.values - len(table.lines):,} others)", *_frequency(table.others, report), ""),)
    columns = (
        Column(table.dimension, Kind.NAME, "name"),
        _EXITS,
        _SLOW,
        _SHARE,
        *_between(report),
        Column("mostly for", Kind.FIXED, "bit"),
    )
    return Section(
        title=names.counted(heading, len(table.lines), table.values),
        key=f"by-{table.dimension}",
        table=Table(columns, tuple(rows), rest) if rows else None,
        lead=() if rows else ("No exit was recorded.",),
        notes=names.partly(table.recordings, len(report.recordings)),
    )


def _frequency(frequency: schema.Frequency, report: schema.Report) -> tuple[int | str | None, ...]:
    return (
        frequency.exits,
        frequency.slow,
        _share(frequency),
        *_bounds(report, frequency.share_low, frequency.share_high),
    )


def _share(frequency: schema.Frequency) -> str:
    return _NO_SHARE if frequency.exits == 0 else numbers.share(frequency.share)


_NEEDS = {
    "pt_regs": "needed the full pt_regs",
    "no_pt_regs": "did not need them",
    "unknown": "not known: of a bit in them it is not known",
    "reschedule_only": "wanted only a reschedule",
}


_LATER_BITS = "A bit that is set while the work is done shows in no word."


def _needs(report: schema.Report) -> Section:
    slow = {line.need: line for line in report.needs}
    rows = tuple(
        (slow[need].slow, numbers.share(slow[need].share_of_slow), text) for need, text in _NEEDS.items()
    )
    return Section(
        title="Would two slowpaths pay?",
        key="needs",
        table=Table((_SLOW, _OF_SLOW, _TEXT), rows),
        notes=("The first three lines add up to all slow exits.", _LATER_BITS),
    )


def _tiers(report: schema.Report) -> Section:
    rows = tuple(
        (line.context, line.slow, numbers.share(line.share_of_slow), line.tier) for line in report.tiers
    )
    columns = (_CONTEXT, _SLOW, _OF_SLOW, Column("tier", Kind.WRAPPED))
    return Section(
        title="Tiers of the slowpath",
        key="tiers",
        table=Table(columns, rows) if rows else None,
        lead=() if rows else ("No exit was slow.",),
    )


_CAUSES = {
    "map_full": "more classes of exits in one interval than the map holds",
    "read_failed": "the words could not be read",
    "recursion": "the kernel skipped our program",
    "kprobe_misses": "the kernel skipped a kprobe, fprobe or breakpoint",
    "unclassified": "what they returned from could not be told",
}


def _accounting(report: schema.Report) -> Section:
    accounting = report.accounting
    equation = (
        f"{numbers.count(accounting.seen)} seen = {numbers.count(accounting.recorded)} recorded + "
        f"{numbers.count(accounting.lost)} lost."
    )
    rows = tuple((lost, f"{cause}: {_CAUSES[cause]}") for cause, lost in accounting.causes.items())
    notes = []
    if accounting.missing:
        notes.append(
            f"{numbers.count(accounting.missing)} of those recorded are in segments that are missing here."
        )
    if accounting.not_sampled:
        notes.append(
            f"{numbers.count(accounting.not_sampled)} more were passed by without a look (--sample), whosever"
            " they were, and whether or not a filter would have left them out."
        )
    if report.estimated:
        notes.append("These are exits that were looked at; all other counts are estimates of all exits.")
    if accounting.filtered:
        notes.append(f"{numbers.count(accounting.filtered)} more were left out by filters.")
    if accounting.counted or accounting.uncounted:
        notes.append(
            f"{numbers.count(accounting.counted)} exits were counted beside, for the shares of contexts "
            f"whose route sees slow ones only; {numbers.count(accounting.uncounted)} more of them were lost."
        )
    columns = (Column("lost", Kind.NUMBER, "count"), Column("cause", Kind.WRAPPED))
    return Section(
        title="Losses", key="losses", lead=(equation,), table=Table(columns, rows), notes=tuple(notes)
    )
