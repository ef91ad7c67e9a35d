"""What a kernel's machine code tests, beside what its layout says, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tifbpf.layouts.confirm import MaskCheck
from tifbpf.layouts.model import Layout
from tifbpf.layouts.tested import Guard, Tested
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table


def sections(layout: Layout, tested: Tested, checks: Iterable[MaskCheck]) -> Iterator[Section]:
    """Yield the masks, and what each bit guards on the way out.

    Args:
        layout: for the names of the bits.
        tested: the machine code.
        checks: how `layout` came out of the comparison with it.
    """
    yield _masks(tested, checks)
    if tested.guards:
        yield _guards(layout, tested)


def _masks(tested: Tested, checks: Iterable[MaskCheck]) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (
            check.tier,
            _hex(check.tested, "not found"),
            _hex(check.stated, "none"),
            check.verdict.value,
            f"{check.mask}; {check.where}" if check.where else check.mask,
        )
        for check in checks
    ]
    columns = (
        Column("", Kind.FIXED, "name"),
        Column("tested", Kind.FIXED, "hex"),
        Column("layout", Kind.FIXED, "hex"),
        Column("verdict", Kind.FIXED),
        Column("mask; test", Kind.WRAPPED),
    )
    others = (
        f"{mask.root}, on a way of its own, tests {mask.value:#x} ({mask.where})."
        for mask in tested.differing()
    )
    return Section(
        title="Masks in the machine code",
        table=Table(columns, tuple(rows)) if rows else None,
        notes=tuple(dict.fromkeys(others)),
        warnings=tuple(f"Not seen: {reason}." for reason in tested.missing),
    )


def _guards(layout: Layout, tested: Tested) -> Section:
    merged: dict[tuple[str, int, str], tuple[list[str], list[str]]] = {}
    for guard in tested.guards:
        if not guard.entry:
            names = " | ".join(layout.names(guard.word, guard.value))
            callees, functions = merged.setdefault((guard.word, guard.value, names), ([], []))
            callees += (name for name in _does(layout, guard) if name not in callees)
            functions += (name for name in (guard.function,) if name not in functions)
    rows: list[tuple[Cell, ...]] = [
        (
            word,
            f"{value:#x}",
            f"{names}: {', '.join(callees) or 'nothing that can be seen'}; in {', '.join(where)}",
        )
        for (word, value, names), (callees, where) in sorted(merged.items())
    ]
    columns = (
        Column("word", Kind.FIXED),
        Column("bits", Kind.FIXED, "hex"),
        Column("what is called where one is set; in which functions", Kind.WRAPPED),
    )
    note = "A call that is inlined, made by a pointer or past a static key is not seen."
    return Section(title="Guards in the machine code", table=Table(columns, tuple(rows)), notes=(note,))


def _does(layout: Layout, guard: Guard) -> Iterator[str]:
    yield from (f"{name}()" for name in guard.callees)
    if guard.clears:
        yield f"clears {' | '.join(layout.names(guard.word, guard.clears))}"


def _hex(value: int | None, absent: str) -> str:
    return absent if value is None else f"{value:#x}"
