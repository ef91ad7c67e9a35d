"""Rows as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.bench.harness import MeasuredSide, Role, Row, Spread

_HEAD = ("what", "side", "median", "quartiles", "of the floor", "ours of it")


def table(title: str, rows: Sequence[Row]) -> str:
    """Return a group of rows: a table, what became of the goals, and what was run."""
    cells = [cell for row in rows for cell in _cells(row)]
    widths = [max(len(line[i]) for line in [_HEAD, *cells]) for i in range(len(_HEAD))]
    lines = [f"### {title}", "", _line(_HEAD, widths), _line(["-" * width for width in widths], widths)]
    lines += [_line(line, widths) for line in cells]
    if goals := [_goal(row) for row in rows if row.goal]:
        lines += ["", *goals]
    if notes := [f"- {row.what}: {note}." for row in rows for note in row.notes]:
        lines += ["", *notes]
    commands = dict.fromkeys((side.name, side.command) for row in rows for side in row.sides if side.command)
    lines += ["", *(f"- {name}: `{command}`" for name, command in commands)]
    return "\n".join(lines)


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _cells(row: Row) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for number, side in enumerate(row.sides):
        what = row.what if number == 0 else ""
        name = f"**{side.name}**" if side.role is Role.OURS else side.name
        if not side.values:
            found.append((what, name, f"missing: {side.missing}", "", "", ""))
            continue
        spread = side.spread
        found.append(
            (
                what,
                name,
                f"{figure(spread.median)} {row.unit}",
                f"{figure(spread.low)} to {figure(spread.high)}",
                _times(row.to_floor(side)),
                _times(row.ours_to(side)),
            )
        )
    return found


def _goal(row: Row) -> str:
    became = {True: "met", False: "**not met**", None: "not known, as a side is missing"}[row.met]
    return f"- {row.what}: {row.goal}: {became}{_added(row)}."


def _added(row: Row) -> str:
    """Return what each side adds to the floor, where that is what counts."""
    floors = row.of(Role.FLOOR)
    if not (row.above_floor and floors):
        return ""
    others = [side for role in (Role.OURS, Role.PEER) for side in row.of(role)]
    added = [f"{side.name} {figure(_above(side, floors[0]))}" for side in others]
    return f" (added to the floor, in {row.unit}: {', '.join(added)})"


def _above(side: MeasuredSide, floor: MeasuredSide) -> float:
    return Spread.of([a - b for a, b in zip(side.values, floor.values, strict=False)]).median


def figure(value: float) -> str:
    """Return a figure as it is worth saying."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _times(spread: Spread | None) -> str:
    return f"{spread.median:.2f}" if spread else ""
