"""The bits of the masks and what was seen of each, as a table with the sentences that follow from it."""

from __future__ import annotations

from tifbpf.reporters import names, numbers, schema
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table

_COUNTED = "Present: of exits that were all counted. Trigger, alone: of all slow exits that were seen."
_NUMBERS = ("present", "trigger", "sole")


def section(found: schema.MaskAudit, recordings: int) -> Section:
    """Return the table and the sentences.

    Args:
        found: the masks of one layout.
        recordings: how many there are, of this layout and of others.
    """
    rows: list[tuple[Cell, ...]] = [
        (
            *(_number(bit, name) for name in _NUMBERS),
            numbers.share(bit.share_of_slow),
            names.bit(bit.word, bit.bit),
            "; ".join([", ".join(bit.tiers), *bit.verdicts]).removeprefix("; "),
        )
        for bit in found.bits
    ]
    columns = (
        *(Column(name, Kind.NUMBER, "count") for name in ("present", "trigger", "alone")),
        Column("of slow", Kind.NUMBER, "share"),
        Column("bit", Kind.FIXED, "bit"),
        Column("tier; verdict", Kind.WRAPPED),
    )
    return Section(
        title="The masks, and what was seen",
        subject=f"layout {found.layout}",
        key="masks",
        table=Table(columns, tuple(rows)),
        notes=(*names.partly(len(found.recordings), recordings), _COUNTED, *found.conclusion),
        warnings=found.unexpected,
    )


def _number(bit: schema.MaskBitLine, name: str) -> Cell:
    value: int | None = getattr(bit, name)
    return numbers.Figure("ours", None) if bit.taken_out and value is None else value
