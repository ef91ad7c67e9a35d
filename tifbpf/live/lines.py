"""From an account to the lines of one view: their cells, sorted."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import cast

from tifbpf.layouts.model import Word
from tifbpf.live.account import GONE, OTHERS, Account, Line, Pair, Process, Span, View
from tifbpf.recording.triggers import Trigger
from tifbpf.reporters import names, numbers
from tifbpf.text import printable

Value = str | int | float | None
Record = dict[str, Value]
"""The cells of one line by the key of their column; None is not known."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view."""

    key: str
    header: str
    width: int
    """Cells; 0: what the others leave."""
    style: str = "none"
    show: Callable[[Value], str] = str
    number: bool = True
    """Right-aligned, and sorted from the largest."""
    since: int = 0
    """Shown on terminals of so many columns and more."""


def _rate(value: Value) -> str:
    return numbers.rate(cast("float | None", value))


def _share(value: Value) -> str:
    return numbers.share(cast("float | None", value))


def _count(value: Value) -> str:
    return numbers.short_count(cast("int | None", value))


_SLOW = Column("slow", "slow/s", 10, "slow", _rate)
_OF_SLOW = Column("of_slow", "of slow", 9, "share", _share)
_MOSTLY = Column("mostly", "mostly for", 0, "bit", number=False, since=74)
BAR = "bar"


def _exits(since: int) -> Column:
    return Column("exits", "exits/s", 10, "rate", _rate, since=since)


def _slow_share(since: int) -> Column:
    return Column("share", "share", 9, "share", _share, since=since)


def _total(since: int) -> Column:
    return Column("total", "total", 8, "count", _count, since=since)


# At 40 columns and more, the columns fit.
COLUMNS: dict[View, tuple[Column, ...]] = {
    View.BITS: (
        Column("name", "bit", 26, "bit", number=False, since=60),
        Column("name", "bit", 18, "bit", number=False),
        _SLOW,
        _OF_SLOW,
        Column("sole", "sole/s", 10, "rate", _rate, since=70),
        _total(50),
        Column(BAR, "", 0, "bar", number=False, since=74),
    ),
    View.WORDS: (
        Column("context", "context", 9, "context", number=False, since=70),
        _SLOW,
        _OF_SLOW,
        _total(60),
        Column("name", "bits", 0, "bit", number=False),
    ),
    View.PROCESSES: (
        Column("pid", "pid", 7, "field"),
        Column("name", "name", 15, "name", number=False, since=50),
        Column("name", "name", 11, "name", number=False),
        _exits(66),
        _SLOW,
        _slow_share(56),
        _OF_SLOW,
        _total(94),
        _MOSTLY,
    ),
    View.SYSCALLS: (
        Column("name", "system call", 18, "name", number=False),
        _exits(60),
        _SLOW,
        _slow_share(50),
        _OF_SLOW,
        _total(90),
        _MOSTLY,
    ),
}


def columns(view: View, width: int) -> list[Column]:
    """Return the columns that a terminal so wide has room for, each key once."""
    shown: dict[str, Column] = {}
    for column in COLUMNS[view]:
        if width >= column.since:
            shown.setdefault(column.key, column)
    return list(shown.values())


def records(account: Account, view: View, span: Span, *, by_name: bool = False) -> list[Record]:
    """Return the lines of `view`, unsorted.

    Args:
        account: where totals come from, and what is known to be 0.
        view: which.
        span: what rates and shares are taken of.
        by_name: one line for all processes of a name.
    """
    lines: dict[Hashable, Line] = dict(span.lines[view])
    totals: dict[Hashable, Line] = dict(account.total.lines[view])
    if view is View.PROCESSES and by_name:
        lines, totals = _by_name(lines), _by_name(totals)
    if view is View.BITS:
        for bit in account.known | account.unknown:
            lines.setdefault(bit, Line())
    found = []
    for key, line in lines.items():
        unknown = key in account.unknown and line.slow == 0
        record: Record = {
            "exits": _per_second(line.exits, span) if line.exits or not line.slow else None,
            "slow": None if unknown else _per_second(line.slow, span),
            "sole": None if unknown else _per_second(line.sole, span),
            "share": line.share,
            "of_slow": None if unknown or not span.all.slow else line.slow / span.all.slow,
            "total": None if unknown else totals.get(key, line).slow,
            "mostly": _mostly(line),
            **_named(key),
        }
        record[BAR] = record["of_slow"]
        found.append(record)
    return found


def _per_second(count: int, span: Span) -> float | None:
    return count / span.seconds if span.seconds else None


def _named(key: Hashable) -> Record:
    match key:
        case Trigger(word, bit):
            return {"name": "(gone when looked at)" if key == GONE else names.bit(word, bit)}
        case Pair(context, tif, syscall_work):
            return {"name": names.bits(tif, syscall_work), "context": str(context)}
        case Process(pid, comm):
            return {"name": f"({comm})" if key == OTHERS else printable(comm), "pid": pid}
        case _:
            return {"name": str(key)}


def _by_name(lines: dict[Hashable, Line]) -> dict[Hashable, Line]:
    found: dict[Hashable, Line] = {}
    for key, line in lines.items():
        name = OTHERS if key == OTHERS else Process(None, cast("Process", key).comm)
        found.setdefault(name, Line()).merge(line)
    return found


def _mostly(line: Line) -> str:
    if not line.triggers:
        return ""
    bit, _ = min(line.triggers.items(), key=lambda item: (-item[1], item[0].word != Word.TIF, item[0].bit))
    return names.bit(bit.word, bit.bit)


def sort(found: list[Record], column: Column, *, reverse: bool) -> list[Record]:
    """Return the lines sorted by `column`: numbers from the largest, names from A; unknown ones last."""
    known = [record for record in found if record.get(column.key) is not None]
    rest = [record for record in found if record.get(column.key) is None]
    known.sort(key=lambda record: str(record["name"]))
    rest.sort(key=lambda record: str(record["name"]))
    known.sort(key=lambda record: cast("float", record[column.key]), reverse=column.number != reverse)
    return known + rest
