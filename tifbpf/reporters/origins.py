"""What a report says of who set the bits, and of whose work they stood for, where that was recorded."""

from __future__ import annotations

from collections.abc import Iterator

from tifbpf.reporters import names, numbers, schema
from tifbpf.reporters.tables import Column, Kind, Section, Table

_BIT = Column("bit", Kind.FIXED, "bit")
_OF_BIT = Column("of bit", Kind.NUMBER, "share")
_SET_IS_NOT_SLOW = (
    "Counted where a bit is set. One exit may answer several settings, and some are answered by none: the "
    "thread may be switched away before it returns."
)


def sections(report: schema.Report) -> Iterator[Section]:
    """Yield the sections; none where nobody asked."""
    if report.setters is not None:
        yield _setters(report.setters, len(report.recordings))
    if report.handlers is not None:
        yield _handlers(report.handlers, len(report.recordings))


def _setters(table: schema.SetterTable, everything: int) -> Section:
    rows = tuple(
        (line.count, numbers.share(line.share_of_bit), names.bit(line.word, line.bit), _who(line))
        for line in table.lines
    )
    columns = (Column("set", Kind.NUMBER, "slow"), _OF_BIT, _BIT, Column("by", Kind.WRAPPED, "name"))
    return Section(
        title=names.counted("Who set the bits", len(rows), table.total),
        key="setters",
        table=Table(columns, rows) if rows else None,
        lead=() if rows else ("Nobody was seen to set one.",),
        notes=(
            f"{numbers.count(table.lost)} settings were lost.",
            _SET_IS_NOT_SLOW,
            *(f"Not seen: {line}." for line in table.unseen),
            *names.partly(table.recordings, everything),
        ),
    )


def _who(line: schema.SetterLine) -> str:
    return f"{line.by}: {line.comm}" if line.target is None else f"{line.by}: {line.comm} -> {line.target}"


def _handlers(table: schema.HandlerTable, everything: int) -> Section:
    rows = tuple(
        (line.count, numbers.share(line.share_of_bit), line.bit, line.context, line.handler)
        for line in table.lines
    )
    columns = (
        Column("had work", Kind.NUMBER, "slow"),
        _OF_BIT,
        _BIT,
        Column("context", Kind.FIXED, "context"),
        Column("handler", Kind.WRAPPED, "name"),
    )
    others = {line.bit for line in table.lines} - {"NOTIFY_RESUME"}
    return Section(
        title="Who had work on the way out" if others else "Who had work at NOTIFY_RESUME",
        key="handlers",
        table=Table(columns, rows) if rows else None,
        lead=() if rows else ("None of its handlers had.",),
        notes=names.partly(table.recordings, everything),
    )
