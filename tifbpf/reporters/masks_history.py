"""What is said of bits and masks from kernel to kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tifbpf.layouts.history import Changed, Commit, Difference, History, MaskChange, commits
from tifbpf.reporters import names
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table

VERSION = 1
"""Of the JSON documents."""

_NAME = Column("bit", Kind.FIXED, "bit")
_MASK = Column("mask", Kind.FIXED, "name")
_TEXT = Column("", Kind.WRAPPED)


class HistoryDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `tifbpf masks --history --json` writes."""

    version: int = VERSION
    history: History


class DifferenceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `tifbpf masks --diff --json` writes."""

    version: int = VERSION
    old: str
    """The kernel as it was asked for."""
    new: str
    difference: Difference


def of_history(history: History) -> tuple[Section, ...]:
    """Return the tables of bits and of masks."""
    bits: tuple[tuple[Cell, ...], ...] = tuple(
        (
            names.bit(bit.word, bit.name),
            "; ".join(f"{place.number} ({', '.join(map(str, place.runs))})" for place in bit.places)
            + _cited(bit.commits),
        )
        for bit in history.bits
    )
    masks: list[tuple[Cell, ...]] = []
    for mask in history.masks:
        name = mask.name
        for change in mask.changes:
            value = "gone" if change.value is None else f"{change.value:#x}"
            masks.append((name, str(change.run), value, _change(change)))
            name = ""
    parted = ", ".join(f"{era} from {before}" for era, before in history.offshoots.items())
    return (
        Section(
            title="Bits",
            subject=f"{history.trunk[0]} to {history.trunk[-1]}",
            lead=("A bit's number, and the eras that gave it. An era bears the name of its first release.",),
            table=Table((_NAME, Column("number (eras)", Kind.WRAPPED)), bits),
        ),
        Section(
            title="Masks",
            subject=f"{history.trunk[0]} to {history.trunk[-1]}",
            lead=("What entered (+) and left (-) each mask; of the first era, all that it had.",),
            table=Table(
                (
                    _MASK,
                    Column("eras", Kind.FIXED),
                    Column("value", Kind.FIXED, "hex"),
                    Column("bits", Kind.WRAPPED, "bit"),
                ),
                tuple(masks),
            ),
            notes=(f"Eras of a stable series or an RT patch are compared with where they parted: {parted}.",),
        ),
        Section(
            title="Commits",
            lead=("Those of which hash and title were both seen; others are not named.",),
            table=Table(
                (Column("", Kind.FIXED, "hex"), _TEXT),
                tuple((commit.sha, commit.title) for commit in commits()),
            ),
        ),
    )


def _change(change: MaskChange) -> str:
    moved = [*(f"+{bit}" for bit in change.entered), *(f"-{bit}" for bit in change.left)]
    if not moved and change.value is not None:
        moved = ["renumbered"]
    return " ".join(moved) + _cited(change.commits)


def _cited(found: Iterable[Commit]) -> str:
    return "".join(f" [{commit.sha}]" for commit in found)


def of_difference(document: DifferenceDocument) -> tuple[Section, ...]:
    """Return what differs; the conclusion comes last."""
    found = document.difference
    parts = (
        ("Renumbered", [(_bit(one), f"{one.old} -> {one.new}") for one in found.renumbered]),
        ("New bits", [(names.bit(bit.word, bit.name), str(bit.number)) for bit in found.added]),
        ("Bits that are gone", [(names.bit(bit.word, bit.name), str(bit.number)) for bit in found.gone]),
        ("Masks with other members", [(one.name, f"{one.old} -> {one.new}") for one in found.masks]),
        (
            "Masks with the same members, renumbered",
            [(one.name, f"{one.old} -> {one.new}") for one in found.revalued],
        ),
        ("New masks", [(mask.name, f"{mask.value:#x}") for mask in found.added_masks]),
        ("Masks that are gone", [(mask.name, f"{mask.value:#x}") for mask in found.gone_masks]),
        ("Other handlers", [(_bit(one), f"{one.old} -> {one.new}") for one in found.handlers]),
    )
    sections = [
        Section(title=title, table=Table((Column("", Kind.FIXED, "bit"), _TEXT), tuple(rows)))
        for title, rows in parts
        if rows
    ]
    return (*sections, Section(title="Conclusion", notes=tuple(_conclusion(document))))


def _bit(changed: Changed) -> str:
    return names.bit(changed.word, changed.name)


def _conclusion(document: DifferenceDocument) -> Iterator[str]:
    found = document.difference
    pair = f"{document.old} and {document.new}"
    if found.old != document.old or found.new != document.new:
        pair += f" (layouts {found.old} and {found.new})"
    counts = (
        (len(found.renumbered), "bits have other numbers"),
        (len(found.added), "are new"),
        (len(found.gone), "are gone"),
        (len(found.masks), "masks have other members"),
        (len(found.handlers), "bits have another handler"),
    )
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    yield f"Between {pair}: {told}." if told else f"{pair} have the same bits, masks and handlers."
    if found.commits:
        yield f"Commits known to have done part of it: {', '.join(map(str, found.commits))}."
