"""What `tifbpf diff` says, as data. None is what is not known; shares lie between 0 and 1."""

from __future__ import annotations

import msgspec

from tifbpf.reporters.schema import Caveat, RecordingLine

SCHEMA_VERSION = 1
"""Of `Diff`, and so of `tifbpf diff --json`. A new field keeps it; any other change raises it."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A share of exits, or a rate per second."""

    events: int
    """The slow exits that it is made of."""
    value: float
    low: float | None
    """It lies between `low` and `high` with 95 % confidence; None where there are too few intervals."""
    high: float | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """after / before - 1."""

    value: float | None
    """None where there were none before."""
    low: float
    """All changes of one table and measure lie in their intervals together, with 95 % confidence."""
    high: float | None
    """None where there is no upper end."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of both sides."""

    before: Figure | None
    after: Figure | None
    change: Change | None
    """None where a side is not known, or there are too few intervals to tell."""
    verdict: str
    """`changed`, `unchanged` (the change lies within `band`), `too little data` or `not comparable`."""
    why: str
    """Why it is not comparable; "" where it is."""


class TotalLine(msgspec.Struct, frozen=True, kw_only=True):
    """All slow exits."""

    share: Compared
    rate: Compared


class BitLine(msgspec.Struct, frozen=True, kw_only=True):
    """Exits that a bit made slow; the share is of the exits of all contexts that test it."""

    word: str
    bit: str
    share: Compared
    rate: Compared


class WordLine(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits with the same bits in both words; the share is of all exits."""

    context: str
    tif: tuple[str, ...]
    syscall_work: tuple[str, ...] | None
    """None where the kernel has no such word."""
    share: Compared
    rate: Compared


class ValueLine(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits with one value of a dimension; the share is of the exits with that value."""

    value: str | None
    """None where exits have none: no system call in an interrupt."""
    share: Compared
    rate: Compared


class DimensionTable(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one dimension, those with most slow exits first."""

    dimension: str
    values: int
    """How many values there are; `lines` may have fewer."""
    lines: tuple[ValueLine, ...]


class IdleBit(msgspec.Struct, frozen=True, kw_only=True):
    """A bit of a work mask that never triggered on either side."""

    word: str
    bit: str


class DifferenceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Something in which the recordings differ."""

    kind: str
    """`coverage`, `exactness`, `slow-only`, `denominator`, `unseen`, `perturbs`, `observer`, `filter`,
    `process`, `layout`, `mask`, `kernel` or `host`."""
    text: str
    forbids: bool
    """Whether the comparison was made only because of `--anyway`."""


class SideLines(msgspec.Struct, frozen=True, kw_only=True):
    """One side."""

    recordings: tuple[RecordingLine, ...]
    intervals: int
    """How many there are together: what confidence rests on."""
    caveats: tuple[Caveat, ...]


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison of recordings."""

    schema: int = SCHEMA_VERSION
    tifbpf: str
    """The version that made it."""
    confidence: float
    band: float
    """The greatest change, up or down, that counts as none."""
    before: SideLines
    after: SideLines
    differences: tuple[DifferenceLine, ...]
    contexts: tuple[str, ...]
    """Those that are compared: all recordings cover them."""
    counted: tuple[str, ...]
    """Those of them of which all recordings counted all exits: what shares are of."""
    total: TotalLine
    bits: tuple[BitLine, ...]
    idle_bits: tuple[IdleBit, ...]
    words: tuple[WordLine, ...]
    words_total: int
    """How many there are; `words` may have fewer."""
    dimensions: tuple[DimensionTable, ...]
    left_out: tuple[str, ...]
    """Dimensions that only some of the recordings have."""
