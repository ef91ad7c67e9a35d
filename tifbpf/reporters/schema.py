"""What every report says, as data. None is what is not known; shares lie between 0 and 1."""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1
"""Of `Report`, and so of `tifbpf report --json`. A new field keeps it; any other change raises it."""


class Frequency(msgspec.Struct, frozen=True, kw_only=True):
    """How often exits were slow."""

    exits: int | None
    """All exits; of those contexts and recordings that counted them."""
    slow: int | None
    slow_counted: int | None
    """Slow exits where all were counted: the numerator of the share."""
    share: float | None
    exits_per_second: float | None
    slow_per_second: float | None


class ContextLine(msgspec.Struct, frozen=True, kw_only=True):
    """One context."""

    context: str
    covered: bool
    seconds: float | None
    why_not: tuple[str, ...]
    """Why recordings did not cover it, or took no better route."""
    frequency: Frequency


class Caveat(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must be known before a figure is quoted."""

    kind: str
    """`unfinished`, `partial`, `gap`, `loss`, `observer`, `denominator`, `coverage`, `layout`, `self-test`,
    `filter`, `dimension` or `empty`."""
    text: str


class BitLine(msgspec.Struct, frozen=True, kw_only=True):
    """One bit; the columns of `tifbpf.Recordings.bits`."""

    word: str
    bit: str
    in_mask: bool
    taken_out: bool
    """The recorder's own hook set it on every task, so it is in no count."""
    present: int | None
    present_slow: int | None
    trigger: int | None
    sole: int | None
    share_of_exits: float | None
    share_of_slow: float | None


class WordLine(msgspec.Struct, frozen=True, kw_only=True):
    """Exits with the same bits in both words."""

    context: str
    tif: tuple[str, ...]
    syscall_work: tuple[str, ...] | None
    """None where the kernel has no such word."""
    tif_value: str | None
    """Hexadecimal; None where layouts give the names different numbers."""
    syscall_work_value: str | None
    path: str
    tier: str | None
    count: int
    share_of_exits: float | None
    share_of_slow: float | None
    ns: int | None


class PairLine(msgspec.Struct, frozen=True, kw_only=True):
    """Two bits that triggered together."""

    first_word: str
    first: str
    second_word: str
    second: str
    slow: int
    share_of_slow: float


class DimensionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a dimension."""

    value: str | None
    """None where exits have none: no system call in an interrupt."""
    trigger: str | None
    """The bit that triggered most of its slow exits."""
    trigger_count: int | None
    frequency: Frequency


class DimensionTable(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one dimension, most slow exits first."""

    dimension: str
    recordings: int
    """How many recordings have it."""
    values: int
    """How many values there are; `lines` may have fewer."""
    lines: tuple[DimensionLine, ...]
    others: Frequency | None
    """The values that are not in `lines`, together."""


class NeedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the work of slow exits needed; see `tifbpf.Recordings.needs`."""

    need: str
    slow: int
    share_of_slow: float | None


class TierLine(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits by tier."""

    context: str
    tier: str
    slow: int
    share_of_slow: float | None


class Accounting(msgspec.Struct, frozen=True, kw_only=True):
    """seen = recorded + lost."""

    seen: int
    recorded: int
    lost: int
    filtered: int
    causes: dict[str, int]
    """Lost, by cause; zeros too."""
    missing: int
    """Recorded, but not in what was read: segments are missing."""


class SelfTestLine(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits caused on purpose, and how many the route saw."""

    exercise: str
    expected: int
    seen: int


class RouteLine(msgspec.Struct, frozen=True, kw_only=True):
    """How recordings observed one context."""

    recordings: tuple[int, ...]
    context: str
    route: str | None
    hooks: tuple[str, ...]
    exactness: str
    denominator: str | None
    perturbs: str | None
    why_not: str | None
    self_tests: tuple[SelfTestLine, ...]


class EvidenceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One fact that a layout rests on."""

    fact: str
    source: str
    verdict: str


class LayoutLine(msgspec.Struct, frozen=True, kw_only=True):
    """A layout and where it comes from."""

    recordings: tuple[int, ...]
    name: str
    releases: tuple[str, ...]
    source: str
    notes: tuple[str, ...]
    evidence: tuple[EvidenceLine, ...]


class RecordingLine(msgspec.Struct, frozen=True, kw_only=True):
    """One recording."""

    number: int
    """Its place; `recordings` of other lines refer to it."""
    path: str
    id: str
    state: str
    ended: str
    host: str
    cpus: int
    kernel: str
    kernel_version: str
    layout: str
    command: tuple[str, ...]
    started: str
    """ISO 8601, UTC."""
    seconds: float
    interval_seconds: float
    dimensions: tuple[str, ...]
    filters: dict[str, str]
    tifbpf: str
    """The version that wrote it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A report of one or more recordings."""

    schema: int = SCHEMA_VERSION
    tifbpf: str
    """The version that made the report."""
    seconds: float
    """Recorded, over all recordings."""
    total: Frequency
    contexts: tuple[ContextLine, ...]
    caveats: tuple[Caveat, ...]
    bits: tuple[BitLine, ...]
    slow_words: tuple[WordLine, ...]
    """The commonest first."""
    slow_words_total: int
    """How many there are; `slow_words` may have fewer."""
    fast_words: tuple[WordLine, ...]
    fast_words_total: int
    pairs: tuple[PairLine, ...]
    pairs_total: int
    dimensions: tuple[DimensionTable, ...]
    needs: tuple[NeedLine, ...]
    tiers: tuple[TierLine, ...]
    accounting: Accounting
    routes: tuple[RouteLine, ...]
    layouts: tuple[LayoutLine, ...]
    recordings: tuple[RecordingLine, ...]
