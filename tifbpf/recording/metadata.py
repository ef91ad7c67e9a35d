"""What a recording says about itself: the JSON under the key `tifbpf` of the Parquet footer."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator

import msgspec

from tifbpf.layouts.model import Context, Evidence, Layout, Word

FOOTER_KEY = b"tifbpf"
SCHEMA_VERSION = 4
"""The latest."""
EXACT_SCHEMA = 2
"""Of recordings that looked at every exit, which need nothing of later ones: an older tifbpf reads them."""
SAMPLED_SCHEMA = 3
"""Of recordings that did not."""
MERGED_SCHEMA = 4
"""Of what `tifbpf merge` wrote, sampled or not."""
_MOST_BYTES = 64 * 2**20
"""What a packed footer may hold; a file from outside could claim to hold anything."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was recorded."""

    name: str
    cpus: int
    """CPUs online when the recording began."""
    pid_namespace: int | None = None
    """Inode number of the recorder's pid namespace, None for the initial one. Pids are as they are called
    there; 0 is what runs outside of it."""


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """`uname -r`, `uname -v` and the clock source of its start."""

    release: str
    version: str


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """A known number of slow exits, caused after attaching."""

    exercise: str
    expected: int
    seen: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was tried for a context, and given up."""

    route: str
    reason: str
    self_tests: tuple[SelfTest, ...] = ()
    """Those that it failed, or had passed until then; () where it could not even be attached."""


class UnseenBit(msgspec.Struct, frozen=True, kw_only=True):
    """A bit of a work mask that a route does not see by itself."""

    word: Word
    bit: str


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
    slow_only: bool = False
    """The route sees slow exits only: whatever it recorded was slow, and `denominator` counts all exits, in
    rows of their own whose path is `all`."""
    perturbs: str | None = None
    """What the observation itself changes; None where it changes nothing."""
    self_tests: tuple[SelfTest, ...] = ()
    why_not: str | None = None
    """Why the context was not covered, or why no better route was taken."""
    attempts: tuple[Attempt, ...] = ()
    """Routes that were tried and given up, in their order."""
    blind: tuple[str, ...] = ()
    """Slow exits of this context that the route does not see, in words."""
    unseen: tuple[UnseenBit, ...] = ()
    """The bits of `blind`: exits that were slow for these alone were not seen, so 0 of them is not known."""
    blind_cpus: tuple[int, ...] = ()
    """CPUs that came online after the route's breakpoints were set, or went offline, which takes them away:
    from then on no exit was seen there."""


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
    kprobe_misses: int = 0
    """Hits of a kprobe, an fprobe or a breakpoint for which the kernel did not run the program."""
    unclassified: int = 0
    """Exits whose context could not be told: the stub that they returned to is not known."""

    @property
    def total(self) -> int:
        """The sum of all causes."""
        return sum(msgspec.structs.astuple(self))


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Exits counted where they were seen. seen = recorded + losses.total."""

    seen: int = 0
    recorded: int = 0
    counted: int = 0
    """All exits of the contexts whose route sees slow ones only: the sum of the rows whose path is `all`.
    They hold the slow exits once more, so they are in none of the other totals."""
    uncounted: int = 0
    """Exits that are missing in `counted`: what counts them saw them, and lost them."""
    filtered: int = 0
    """Exits that a filter left out; in neither of the others."""
    not_sampled: int = 0
    """Exits that `--sample` passed by without a look, filters and tifbpf's own included; in none of the
    others."""
    not_sampled_of_all: int = 0
    """Those that it passed by of what `counted` counts."""
    not_followed: int = 0
    """Children that `--pid` should have followed and could not, there being too many; their exits count as
    filtered."""
    losses: Losses = Losses()


class Setter(msgspec.Struct, frozen=True, kw_only=True):
    """Who set a bit, and how often."""

    word: Word
    bit: str
    by: str
    """The kernel's function or tracepoint."""
    comm: str
    """The thread that ran it, the waker; where an interrupt did it, the thread that was interrupted."""
    target: str | None = None
    """The thread whose word it was; None where the hook does not tell."""
    count: int


class HandlerRuns(msgspec.Struct, frozen=True, kw_only=True):
    """How often one of those that share a bit (task work, rseq, memcg, ...) had work."""

    handler: str
    """The kernel's function."""
    bit: str
    """Of the TIF word, e.g. NOTIFY_RESUME."""
    context: Context
    count: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A change of how much of the time is recorded."""

    at_ns: int
    """Since the recording's start."""
    every: int
    """From then on one in so many parts of the time."""
    cost: float
    """What the recorder took of the CPUs' time until then, in per cent."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """What of the exits was looked at, where that was not every one. Rows say what each stands for."""

    one_in: int = 1
    """`--sample`: of the exits that passed a hook, one in so many at random was looked at."""
    every: int = 1
    """`--duty`: one in so many parts of the time was recorded, until a step changed that."""
    max_overhead: float | None = None
    """`--max-overhead`, in per cent of the time of all CPUs; None where it was not asked for."""
    cost: float | None = None
    """What the recorder took of it over the last interval, as far as it can be measured; None: not yet."""
    steps: tuple[Step, ...] = ()
    recorded_ns: int = 0
    """For how long exits were looked at; `duration_ns` is the time that this stands for."""

    @property
    def exact(self) -> bool:
        """Whether every exit was looked at after all."""
        return self.one_in == 1 and self.every == 1 and not self.steps


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a file a segment of an unfinished recording."""

    first: int
    number: int
    """The flushes that it holds, first to last; over all segments from 0, without a gap."""
    recorder_pid: int
    recorder_start: int
    """`starttime` of the recorder in /proc/PID/stat, clock ticks since boot: tells a live one from a dead."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a file several recordings of one host that became one (`tifbpf merge`)."""

    sources: tuple[str, ...]
    """The ids of the recordings that are in it, sorted."""
    step_ns: int
    """Rows begin at its multiples since the epoch; their `interval_ns` is what was observed of the step."""
    idle: tuple[tuple[int, int], ...] = ()
    """Steps that were observed and have no row: where each begins, ns since the epoch, and how much of it."""
    ended: dict[str, int]
    """How the recordings ended, and how many so."""
    until_ns: int
    """Where the last of them ended, since the epoch; between two of them nothing may have been observed."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Everything beside the rows."""

    schema: int = EXACT_SCHEMA
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
    """By the monotonic clock, from attaching to the last read; of a segment: since the recording's start.
    Where a part of the time was recorded: what that stands for, the sum of each interval's length times its
    `every`."""
    totals: Totals
    """Since the recording's start, in a segment too. Exits that were looked at, also where each stands for
    several."""
    sampling: Sampling | None = None
    """None where every exit was looked at; else the schema is 3 or later."""
    setters: tuple[Setter, ...] | None = None
    """Since the recording's start; None where it was not recorded, () where nobody set a bit."""
    setters_lost: int = 0
    """Settings that were seen and are not in `setters`, and hits of the hooks that the kernel skipped,
    whatever they would have shown."""
    setters_unseen: tuple[str, ...] = ()
    """What `setters` and `handlers` cannot hold on this kernel, one line each: `NEED_RESCHED: why`."""
    handlers: tuple[HandlerRuns, ...] | None = None
    """Since the recording's start; None where it was not recorded, () where none had work."""
    complete: bool
    """False for a segment, and where a signal ended the recording."""
    ended: str
    """`duration`, `command`, `SIGINT`, `SIGTERM`, `error: …`; of a segment: `recording`."""
    segment: Segment | None = None
    merged: Merged | None = None
    """None in what was recorded. Counts, losses and times are of all sources together; what they do not share
    otherwise (command, tifbpf, texts that explain) is the latest one's, and of self-tests the weakest."""


def sources(metadata: Metadata) -> tuple[str, ...]:
    """Return the ids of the recordings whose exits are in this one: its own, unless it was merged."""
    return (metadata.id,) if metadata.merged is None else metadata.merged.sources


def numbers(value: object) -> Iterator[int]:
    """Yield every whole number in some metadata, but for those of the layout, which are words."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, msgspec.Struct) and not isinstance(value, Layout):
        yield from numbers(msgspec.structs.astuple(value))


class _Packed(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON in less: most of it is the layout's, which says the same in every file."""

    schema: int
    zstd: str
    """In base64: what Parquet keeps beside the rows is text."""


def encode(metadata: Metadata) -> bytes:
    """Return the JSON for the Parquet footer."""
    return msgspec.json.encode(metadata)


def pack(metadata: Metadata) -> bytes:
    """Return what `encode` would in a fourth of its length; for schema 4 and later."""
    import pyarrow as pa

    packed = pa.Codec("zstd", 9).compress(encode(metadata), asbytes=True)
    return msgspec.json.encode(_Packed(schema=metadata.schema, zstd=base64.b64encode(packed).decode()))


def decode(data: bytes) -> Metadata:
    """Read what `encode` or `pack` wrote.

    Raises:
        msgspec.ValidationError: JSON, but not of this shape.
        msgspec.DecodeError: no JSON.
        ValueError: packed, and it cannot be unpacked.
        RecursionError: nested too deep.
    """
    with contextlib.suppress(msgspec.ValidationError):
        data = _unpacked(msgspec.json.decode(data, type=_Packed).zstd)
    return msgspec.json.decode(data, type=Metadata)


def _unpacked(text: str) -> bytes:
    # Whoever only counts needs no Parquet library, and comes here for the metadata's types.
    import pyarrow as pa

    packed = base64.b64decode(text, validate=True)
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            data: bytes = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(str(error)) from error
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it is packed, and larger than {_MOST_BYTES} bytes")
    return data


def schema_of(data: bytes) -> int | None:
    """Return the schema version that `data` claims, None if it claims none; never raises."""

    class _Claim(msgspec.Struct):
        schema: int

    try:
        return msgspec.json.decode(data, type=_Claim).schema
    # RecursionError: it is nested too deep, beside the number.
    except (msgspec.DecodeError, RecursionError):
        return None
