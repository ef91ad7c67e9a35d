"""What a recording says about itself: the JSON under the key `tifbpf` of the Parquet footer."""

from __future__ import annotations

import msgspec

from tifbpf.layouts.model import Context, Evidence, Layout, Word

FOOTER_KEY = b"tifbpf"
SCHEMA_VERSION = 1


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was recorded."""

    name: str
    cpus: int
    """CPUs online when the recording began."""


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """`uname -r`, `uname -v` and the clock source of its start."""

    release: str
    version: str


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """A known number of slow exits, caused after attaching."""

    exercise: str
    expected: int
    seen: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How one context was observed, or why it was not."""

    context: Context
    route: str | None = None
    """The route's name; None where the context was not covered."""
    hooks: tuple[str, ...] = ()
    exactness: str = ""
    """`exact`, `to a few instructions`, `after the fact`."""
    denominator: str | None = None
    """What counted all exits of this context; None where nothing did, and the share is unknown."""
    perturbs: str | None = None
    """What the observation itself changes; None where it changes nothing."""
    self_tests: tuple[SelfTest, ...] = ()
    why_not: str | None = None
    """Why the context was not covered, or why no better route was taken."""


class ObserverEffect(msgspec.Struct, frozen=True, kw_only=True):
    """A bit that a tracer set, ours or somebody else's."""

    word: Word
    bit: str
    ours: bool
    """True: it is ours, and it was taken out of the words. False: it was there before, and it counts."""
    text: str


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """Exits that were seen and not recorded, by cause. Zero is an answer too."""

    map_full: int = 0
    read_failed: int = 0
    recursion: int = 0
    """Runs that the kernel skipped (`recursion_misses` of the program)."""

    @property
    def total(self) -> int:
        """The sum of all causes."""
        return self.map_full + self.read_failed + self.recursion


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Exits counted where they were seen. seen = recorded + losses.total."""

    seen: int = 0
    recorded: int = 0
    filtered: int = 0
    """Exits that a filter left out; in neither of the others."""
    not_followed: int = 0
    """Children that `--pid` should have followed and could not, there being too many; their exits count as
    filtered."""
    losses: Losses = Losses()


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a file a segment of an unfinished recording."""

    first: int
    number: int
    """The flushes that it holds, first to last; over all segments from 0, without a gap."""
    recorder_pid: int
    recorder_start: int
    """`starttime` of the recorder in /proc/PID/stat, clock ticks since boot: tells a live one from a dead."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Everything beside the rows."""

    schema: int = SCHEMA_VERSION
    tifbpf: str
    """The version that wrote it."""
    id: str
    """A UUID that all segments of one recording share."""
    host: Host
    kernel: Kernel
    layout: Layout
    layout_evidence: tuple[Evidence, ...] = ()
    contexts: tuple[Coverage, ...]
    """One for each of the three contexts, covered or not."""
    dimensions: tuple[str, ...]
    """What `--by` asked for: any of syscall, comm, pid, cgroup, cpu."""
    filters: dict[str, str] = {}
    """Option to value, as given; tifbpf's own exits left out is `self: excluded`."""
    observer_effects: tuple[ObserverEffect, ...] = ()
    command: tuple[str, ...]
    """The command line."""
    interval_ns: int
    """What `--interval` asked for; the rows say what each interval became."""
    started_ns: int
    """Since the epoch, UTC."""
    duration_ns: int
    """By the monotonic clock, from attaching to the last read; of a segment: since the recording's start."""
    totals: Totals
    """Since the recording's start, in a segment too."""
    complete: bool
    """False for a segment, and where a signal ended the recording."""
    ended: str
    """`duration`, `command`, `SIGINT`, `SIGTERM`, `error: …`; of a segment: `recording`."""
    segment: Segment | None = None


def encode(metadata: Metadata) -> bytes:
    """Return the JSON for the Parquet footer."""
    return msgspec.json.encode(metadata)


def decode(data: bytes) -> Metadata:
    """Read what `encode` wrote.

    Raises:
        msgspec.ValidationError: JSON, but not of this shape.
        msgspec.DecodeError: no JSON.
    """
    return msgspec.json.decode(data, type=Metadata)


def schema_of(data: bytes) -> int | None:
    """Return the schema version that `data` claims, None if it claims none; never raises."""

    class _Claim(msgspec.Struct):
        schema: int

    try:
        return msgspec.json.decode(data, type=_Claim).schema
    except msgspec.DecodeError:
        return None
