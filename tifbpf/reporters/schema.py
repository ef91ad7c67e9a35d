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
    share_low: float | None = None
    """Between `share_low` and `share_high` the share lies with 95 % confidence, where not every exit was
    looked at; None where every one was, and where too few windows were to tell."""
    share_high: float | None = None
    slow_per_second_low: float | None = None
    slow_per_second_high: float | None = None


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
    """`sampled`, `unfinished`, `partial`, `gap`, `loss`, `observer`, `denominator`, `coverage`, `layout`,
    `self-test`, `unseen`, `trigger`, `filter`, `dimension` or `empty`."""
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
    exits: int | None
    """All exits of those contexts in which `present` could be told: what its share is of."""
    share_of_exits: float | None
    share_of_slow: float | None
    share_of_slow_low: float | None = None
    """As `Frequency.share_low`."""
    share_of_slow_high: float | None = None


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


class BucketLine(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits that took between `low` and `high` ns, both of them included."""

    low: int
    high: int
    exits: int


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long slow exits were in the slowpath, by the clock, in ns."""

    slow: int
    timed: int
    """Those of which it was measured; everything below is of these."""
    ns: int
    """Together."""
    ns_max: int
    """The longest."""
    p50_low: int
    p50_high: int
    """The time that 50 % of them took at most lies between these two."""
    p99_low: int
    p99_high: int
    histogram: tuple[BucketLine, ...]


class ContextTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The times of one context."""

    context: str
    times: Times


class BitTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The times of exits in which one bit triggered; where two did, the exit is in both."""

    word: str
    bit: str
    times: Times


class WordTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The times of exits with the same bits in both words."""

    context: str
    tif: tuple[str, ...]
    syscall_work: tuple[str, ...] | None
    times: Times


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Time in the slowpath; longest together first."""

    contexts: tuple[ContextTimes, ...]
    bits: tuple[BitTimes, ...]
    words: tuple[WordTimes, ...]
    words_total: int
    """How many there are; `words` may have fewer."""


class SetterLine(msgspec.Struct, frozen=True, kw_only=True):
    """Who set a bit."""

    word: str
    bit: str
    by: str
    """The kernel's function or tracepoint."""
    comm: str
    """The thread that ran it."""
    target: str | None
    """The thread whose bit it was; None where that is not known."""
    count: int
    share_of_bit: float | None
    """Of all that was seen to set this bit."""


class SetterTable(msgspec.Struct, frozen=True, kw_only=True):
    """Who set the bits, most first."""

    recordings: int
    """How many recordings asked."""
    lines: tuple[SetterLine, ...]
    total: int
    """How many lines there are; `lines` may have fewer."""
    lost: int
    """Settings that were seen and are in no line."""
    unseen: tuple[str, ...]
    """What could not be seen, one line each: `NEED_RESCHED: why`; of the handlers too."""


class HandlerLine(msgspec.Struct, frozen=True, kw_only=True):
    """How often one of those that share a bit had work."""

    bit: str
    context: str
    handler: str
    count: int
    share_of_bit: float | None
    """Of the runs for this bit in this context."""


class HandlerTable(msgspec.Struct, frozen=True, kw_only=True):
    """Which handlers had work, most first."""

    recordings: int
    """How many recordings asked."""
    lines: tuple[HandlerLine, ...]


class Accounting(msgspec.Struct, frozen=True, kw_only=True):
    """seen = recorded + lost."""

    seen: int
    recorded: int
    lost: int
    filtered: int
    counted: int
    """All exits of contexts whose route sees slow ones only; in none of the others."""
    uncounted: int
    """Those that are missing in `counted`."""
    causes: dict[str, int]
    """Lost, by cause; zeros too."""
    missing: int
    """Recorded, but not in what was read: segments are missing."""
    not_sampled: int = 0
    """Passed by without a look; in none of the others, which count exits that were looked at."""
    not_sampled_of_all: int = 0
    """The same of what `counted` counts."""


class SelfTestLine(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits caused on purpose, and how many the route saw."""

    exercise: str
    expected: int
    seen: int


class AttemptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was tried and given up."""

    route: str
    reason: str
    self_tests: tuple[SelfTestLine, ...]


class UnseenLine(msgspec.Struct, frozen=True, kw_only=True):
    """A bit that the route does not see by itself."""

    word: str
    bit: str


class RouteLine(msgspec.Struct, frozen=True, kw_only=True):
    """How recordings observed one context."""

    recordings: tuple[int, ...]
    context: str
    route: str | None
    hooks: tuple[str, ...]
    exactness: str
    denominator: str | None
    """What counts all exits; None where nothing does."""
    slow_only: bool
    """The route itself sees slow exits only."""
    perturbs: str | None
    why_not: str | None
    self_tests: tuple[SelfTestLine, ...]
    attempts: tuple[AttemptLine, ...]
    blind: tuple[str, ...]
    """Slow exits that the route does not see, in words."""
    unseen: tuple[UnseenLine, ...]


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


class BitRef(msgspec.Struct, frozen=True, kw_only=True):
    """A bit by word and name."""

    word: str
    bit: str


class PlaceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Where most exits of a finding were from, or the commonest of several places."""

    dimension: str
    """A recorded dimension, or `context`."""
    value: str | None
    share: float
    """Of the exits that the places before it left: of those there, where most were, else of all."""
    values: int
    """How many values they have."""


class CauseLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is known to set one bit of a finding; None where nothing is."""

    word: str
    bit: str
    text: str | None
    check: str | None
    """What to look at on the host."""
    source: str | None


class FindingLine(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits that the same bits triggered."""

    sentence: str
    bits: tuple[BitRef, ...]
    """Empty where they were gone when the route looked."""
    slow: int
    share_of_slow: float
    places: tuple[PlaceLine, ...]
    causes: tuple[CauseLine, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why exits were slow, commonest first."""

    findings: tuple[FindingLine, ...]
    total: int
    """How many there are; `findings` has those that matter."""
    others: int
    """Slow exits of the others."""


class TimelineStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step in time."""

    start: str
    """ISO 8601, UTC."""
    length_seconds: float
    """By the clock."""
    seconds: float
    """Recorded in it, over all recordings."""
    frequency: Frequency


class TimelineBit(msgspec.Struct, frozen=True, kw_only=True):
    """One bit over time; a number for each step."""

    word: str
    bit: str
    slow: tuple[int, ...]
    """Slow exits for which it triggered; where two bits did, the exit is in both."""
    slow_counted: tuple[int | None, ...]
    """Those where all exits were counted: the numerator of a share."""


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Slow exits over time; steps in which nothing was recorded are missing."""

    step_seconds: float
    """What a step is meant to last; an interval whose recorder was kept waiting is longer."""
    steps: tuple[TimelineStep, ...]
    bits: tuple[TimelineBit, ...]
    """Those that triggered, commonest first."""


class MaskBitLine(msgspec.Struct, frozen=True, kw_only=True):
    """One bit of the exit masks, or one that the audit of the masks passed a verdict on."""

    word: str
    bit: str
    masks: tuple[str, ...]
    """The masks, or expressions of masks, of the tiers that it takes; empty where it makes no exit slow."""
    tiers: tuple[str, ...]
    verdicts: tuple[str, ...]
    """`dead`, `hazard`, `wasted`, `outside`, `unknown`; see `tifbpf masks`."""
    needs_pt_regs: bool | None
    present: int | None
    exits: int | None
    """All exits, of those among which `present` was counted."""
    trigger: int | None
    sole: int | None
    share_of_slow: float | None
    taken_out: bool


class MaskAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The masks of one layout beside what its recordings saw."""

    recordings: tuple[int, ...]
    layout: str
    seconds: float
    contexts: tuple[str, ...]
    """Those that were covered."""
    slow: int
    bits: tuple[MaskBitLine, ...]
    unexpected: tuple[str, ...]
    """What the masks and the exits contradict each other in."""
    conclusion: tuple[str, ...]


class MergedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a recording that `tifbpf merge` wrote."""

    recordings: int
    step_seconds: float
    until: str
    """When the last of them ended, ISO 8601, UTC; between two of them nothing may have been observed."""
    ended: dict[str, int]
    """How they ended, and how many so."""


class SamplingLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording looked at, where that was not every exit."""

    one_in: int
    """One exit in so many was looked at, at random; 1: all of them."""
    every: int
    """One in so many parts of the time was recorded; 1: all of it."""
    max_overhead: float | None
    """What the recorder was allowed to take of the time of all CPUs, in per cent."""
    cost: float | None
    """What it took in the last interval, as far as that was measured."""
    steps: tuple[StepLine, ...]
    recorded_seconds: float
    """For how long exits were looked at."""


class StepLine(msgspec.Struct, frozen=True, kw_only=True):
    """A change of how much of the time was recorded."""

    at_seconds: float
    """Since the recording's start."""
    every: int
    cost: float
    """Of the recorder until then, in per cent of the time of all CPUs."""


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
    merged: MergedLine | None
    """None where it is as it was recorded."""
    sampling: SamplingLine | None = None
    """None where every exit was looked at."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A report of one or more recordings."""

    schema: int = SCHEMA_VERSION
    tifbpf: str
    """The version that made the report."""
    seconds: float
    """Recorded, over all recordings."""
    estimated: bool = False
    """Whether counts and rates are estimates, not every exit having been looked at."""
    total: Frequency
    contexts: tuple[ContextLine, ...]
    caveats: tuple[Caveat, ...]
    explanation: Explanation
    bits: tuple[BitLine, ...]
    slow_words: tuple[WordLine, ...]
    """The commonest first."""
    slow_words_total: int
    """How many there are; `slow_words` may have fewer."""
    fast_words: tuple[WordLine, ...]
    fast_words_total: int
    pairs: tuple[PairLine, ...]
    pairs_total: int
    timeline: Timeline | None
    """None where nothing was recorded."""
    dimensions: tuple[DimensionTable, ...]
    latency: Latency | None
    """None where no time was measured."""
    setters: SetterTable | None
    """None where it was not asked who set the bits."""
    handlers: HandlerTable | None
    """None where it was not asked which handlers had work."""
    needs: tuple[NeedLine, ...]
    tiers: tuple[TierLine, ...]
    masks: tuple[MaskAudit, ...]
    accounting: Accounting
    routes: tuple[RouteLine, ...]
    layouts: tuple[LayoutLine, ...]
    recordings: tuple[RecordingLine, ...]
