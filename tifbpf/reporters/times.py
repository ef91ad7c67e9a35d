"""What a report says of the time in the slowpath, where it was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tifbpf.recording.buckets import bounds, bucket
from tifbpf.reporters import names, numbers, schema
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table

_CONTEXT = Column("context", Kind.FIXED, "context")
_BITS = Column("bits", Kind.WRAPPED, "bit")
_TIMED = Column("timed", Kind.NUMBER, "slow")
_FIGURES = (
    Column("of time", Kind.NUMBER, "share"),
    Column("mean", Kind.NUMBER, "rate"),
    Column("50 % in", Kind.NUMBER, "rate"),
    Column("99 % in", Kind.NUMBER, "rate"),
    Column("longest", Kind.NUMBER, "rate"),
)
_CLOCK = "Time by the clock: where the work was a reschedule, others ran in it."
_BUCKETS = "50 % in, 99 % in: the end of the power of two in which that many were done, or the longest."
_TWICE = "An exit for which several bits triggered is in each of their lines."


def sections(latency: schema.Latency | None) -> Iterator[Section]:
    """Yield the sections; none where nothing was measured."""
    if latency is None:
        return
    everything = [line.times for line in latency.contexts]
    together = sum(times.ns for times in everything)
    slow, timed = (sum(getattr(times, name) for times in everything) for name in ("slow", "timed"))
    sentence = (
        f"{numbers.count(timed)} of {numbers.count(slow)} slow exits of these contexts were timed: "
        f"{numbers.time(together)} together, {numbers.time(together / timed)} each."
    )
    yield Section(
        title="Time in the slowpath",
        key="times",
        lead=(sentence,),
        table=Table(
            (_CONTEXT, _TIMED, *_FIGURES),
            tuple(
                (line.context, line.times.timed, *_figures(line.times, together)) for line in latency.contexts
            ),
        ),
        notes=(_CLOCK, _BUCKETS),
    )
    yield _distribution(everything)
    yield Section(
        title="Time in the slowpath, by bit",
        key="times-by-bit",
        table=Table(
            (_TIMED, *_FIGURES, _BITS),
            tuple(
                (line.times.timed, *_figures(line.times, together), names.bit(line.word, line.bit))
                for line in latency.bits
            ),
        ),
        notes=(_TWICE,),
    )
    yield Section(
        title=names.counted("Time in the slowpath, by word", len(latency.words), latency.words_total),
        key="times-by-word",
        table=Table(
            (_TIMED, *_FIGURES, _BITS),
            tuple((line.times.timed, *_figures(line.times, together), _word(line)) for line in latency.words),
        ),
    )


def _word(line: schema.WordTimes) -> str:
    return f"{line.context}: {names.bits(line.tif, line.syscall_work)}"


def _figures(times: schema.Times, together: int) -> tuple[Cell, ...]:
    return (
        numbers.share(times.ns / together if together else None),
        numbers.time(times.ns / times.timed),
        numbers.time(times.p50_high),
        numbers.time(times.p99_high),
        numbers.time(times.ns_max),
    )


def _distribution(everything: Iterable[schema.Times]) -> Section:
    buckets: Counter[tuple[int, int]] = Counter()
    for times in everything:
        for line in times.histogram:
            buckets[line.low, line.high] += line.exits
    total = buckets.total()
    # A bucket without exits between two that have some is a gap that should be seen.
    edges = [bounds(number) for number in range(bucket(min(buckets)[0]), bucket(max(buckets)[0]) + 1)]
    rows = tuple(
        (
            numbers.time(low),
            numbers.time(high + 1),
            buckets[low, high],
            numbers.share(buckets[low, high] / total),
            buckets[low, high] / total,
        )
        for low, high in edges
    )
    columns = (
        Column("from", Kind.NUMBER, "rate"),
        Column("below", Kind.NUMBER, "rate"),
        Column("slow", Kind.NUMBER, "slow"),
        Column("of timed", Kind.NUMBER, "share"),
        Column("", Kind.BAR, "bar"),
    )
    return Section(title="How long slow exits took", key="times-histogram", table=Table(columns, rows))
