"""From intervals to values that only grow, in a bounded number of time series."""

from __future__ import annotations

from collections import Counter

import msgspec

import tifbpf
from tifbpf.layouts import syscalls
from tifbpf.layouts.model import Word
from tifbpf.metrics.catalogue import BY_NAME, OTHER
from tifbpf.metrics.snapshot import Labels, Snapshot
from tifbpf.recorder.session import Flush
from tifbpf.recording.exits import ExitClass
from tifbpf.recording.metadata import Coverage, Metadata
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.triggers import Meaning, Meanings, Trigger, known_bits
from tifbpf.text import printable

UNKNOWN_TIER = "unknown"
"""Of slow exits whose bits were gone when the route looked."""
NO_SYSCALL = ""
"""The system call of exits from interrupts and exceptions; to Prometheus, no label."""


class Bounded:
    """Counters by label values: the first so many have one each, all others share one.

    Which come first is chance; that a counter which once was shown stays, and never shrinks, is not.
    """

    def __init__(self, limit: int, bounded: int) -> None:
        """Begin with none.

        Args:
            limit: how many have a counter of their own.
            bounded: so many of the last labels become `OTHER` for the rest.
        """
        self._limit = limit
        self._bounded = bounded
        self.counts: dict[Labels, int] = {}
        self._others: dict[Labels, int] = {}

    def add(self, labels: Labels, count: int) -> None:
        """Add to the counter of `labels`."""
        if labels in self.counts or len(self.counts) < self._limit:
            self.counts[labels] = self.counts.get(labels, 0) + count
        else:
            folded = (*labels[: -self._bounded], *[OTHER] * self._bounded)
            self._others[folded] = self._others.get(folded, 0) + count

    @property
    def folded(self) -> int:
        """What was added to counters that many share."""
        return sum(self._others.values())

    def values(self) -> Counter[Labels]:
        """Return all of them; `OTHER` itself may be somebody's name."""
        found = Counter(self.counts)
        found.update(self._others)
        return found


class Counts:
    """Everything that was counted since the beginning."""

    def __init__(self, dimensions: tuple[str, ...], max_series: int) -> None:
        """Begin with nothing.

        Args:
            dimensions: what `--by` asked for.
            max_series: label sets for each metric whose labels others choose.
        """
        self._dimensions = dimensions
        self._meanings: Meanings | None = None
        self._exits: Counter[str] = Counter()
        self._slow: Counter[Labels] = Counter()
        self._triggers: Counter[Labels] = Counter()
        self._sole: Counter[Labels] = Counter()
        self._lost: Counter[str] = Counter()
        self._uncounted = 0
        names = ["tifbpf_word_exits"]
        names += [f"tifbpf_{name}_{kind}" for name in dimensions for kind in ("exits", "slow_exits")]
        self._bounded = {name: Bounded(max_series, BY_NAME[name].bounded) for name in names}

    def add(self, flush: Flush) -> None:
        """Add one interval."""
        metadata = flush.metadata
        if self._meanings is None:
            self._meanings = Meanings(metadata.layout, metadata.contexts)
            for coverage in metadata.contexts:
                self._begin(coverage, metadata, self._meanings)
        counted = {coverage.context for coverage in metadata.contexts if coverage.denominator is not None}
        for row in flush.rows:
            meaning = self._meanings.of(row)
            # Of a context whose route sees slow exits only, all exits are in rows of their own.
            of_all = (meaning.path is ExitPath.ALL) == self._meanings.slow_only(row.context)
            if of_all and row.context in counted:
                self._exits[row.context] += row.count
                self._by_dimensions("exits", row, row.count)
                # From 0 on, so that Prometheus sees the first increase.
                self._by_dimensions("slow_exits", row, 0)
            if meaning.path is ExitPath.SLOW:
                self._add_slow(row, meaning, metadata)
        for cause, lost in msgspec.structs.asdict(metadata.totals.losses).items():
            self._lost[cause] = max(self._lost[cause], lost)
        self._uncounted = max(self._uncounted, metadata.totals.uncounted)

    def _begin(self, coverage: Coverage, metadata: Metadata, meanings: Meanings) -> None:
        """Start at 0 what is known to be 0: only then does Prometheus see the first increase."""
        if coverage.route is None:
            return
        context = coverage.context
        if coverage.denominator is not None:
            self._exits[context] = 0
        for tier in metadata.layout.tiers:
            if context in tier.contexts:
                self._slow[context, tier.name] = 0
        taken_out = [Trigger(effect.word, effect.bit) for effect in metadata.observer_effects if effect.ours]
        for bit in known_bits(coverage, meanings.mask_bits(context), taken_out):
            self._triggers[context, bit.word, bit.bit] = 0
            self._sole[context, bit.word, bit.bit] = 0

    def _add_slow(self, row: ExitClass, meaning: Meaning, metadata: Metadata) -> None:
        context, count = row.context, row.count
        self._slow[context, meaning.tier or UNKNOWN_TIER] += count
        for bit in meaning.triggers:
            self._triggers[context, bit.word, bit.bit] += count
            self._sole[context, bit.word, bit.bit] += count if len(meaning.triggers) == 1 else 0
        names = metadata.layout.names
        words = (
            "|".join(names(Word.TIF, row.word or 0)) or "0",
            "" if row.syscall_work is None else "|".join(names(Word.SYSCALL_WORK, row.syscall_work)) or "0",
        )
        self._bounded["tifbpf_word_exits"].add((context, *words), count)
        self._by_dimensions("slow_exits", row, count)

    def _by_dimensions(self, kind: str, row: ExitClass, count: int) -> None:
        for name in self._dimensions:
            self._bounded[f"tifbpf_{name}_{kind}"].add((row.context, _value(name, row)), count)

    def snapshot(self, metadata: Metadata) -> Snapshot:
        """Return all values; `metadata` is that of the last interval that was added."""
        values: dict[str, list[tuple[Labels, float]]] = {
            "tifbpf_exits": [
                ((context,), count)
                for context, count in self._exits.items()
                if not self._undercounted(context, metadata)
            ],
            "tifbpf_slow_exits": list(self._slow.items()),
            "tifbpf_trigger_exits": list(self._triggers.items()),
            "tifbpf_sole_trigger_exits": list(self._sole.items()),
            "tifbpf_folded_exits": [((name,), found.folded) for name, found in self._bounded.items()],
            "tifbpf_lost_exits": [((cause,), count) for cause, count in self._lost.items()],
            "tifbpf_uncounted_exits": [((), self._uncounted)],
        }
        values |= {name: list(found.values().items()) for name, found in self._bounded.items()}
        return Snapshot(created_s=metadata.started_ns / 1e9, values=values | _about(metadata))

    def _undercounted(self, context: str, metadata: Metadata) -> bool:
        """Whether what should count all exits counted fewer than were slow: then all are not known."""
        coverage = next(coverage for coverage in metadata.contexts if coverage.context == context)
        slow = sum(count for labels, count in self._slow.items() if labels[0] == context)
        return coverage.slow_only and self._exits[context] < slow


def _value(dimension: str, row: ExitClass) -> str:
    match dimension:
        case "syscall":
            if row.syscall is None or row.abi is None:
                return NO_SYSCALL
            return syscalls.name(row.syscall, row.abi)
        case "cpu":
            return str(row.cpu)
        case _:
            return printable(str(getattr(row, dimension)))


def _about(metadata: Metadata) -> dict[str, list[tuple[Labels, float]]]:
    covered = [coverage for coverage in metadata.contexts if coverage.route is not None]
    return {
        "tifbpf_observed_seconds": [((), metadata.duration_ns / 1e9)],
        "tifbpf_last_read_timestamp_seconds": [((), (metadata.started_ns + metadata.duration_ns) / 1e9)],
        "tifbpf_context_covered": [
            ((coverage.context,), int(coverage.route is not None)) for coverage in metadata.contexts
        ],
        "tifbpf_coverage": [
            (
                (
                    coverage.context,
                    coverage.route or "",
                    coverage.exactness,
                    "unknown" if coverage.denominator is None else "counted",
                ),
                1,
            )
            for coverage in covered
        ],
        "tifbpf_unseen_bit": [
            ((coverage.context, bit.word, bit.bit), 1) for coverage in covered for bit in coverage.unseen
        ],
        "tifbpf_unseen_cpu": [
            ((coverage.context, str(cpu)), 1) for coverage in covered for cpu in coverage.blind_cpus
        ],
        "tifbpf_observer_effect": [
            ((effect.word, effect.bit, str(effect.ours).lower()), 1) for effect in metadata.observer_effects
        ],
        "tifbpf_filter": [
            ((option, printable(value)), 1) for option, value in metadata.filters.items() if option != "self"
        ],
        "tifbpf_build": [((tifbpf.__version__,), 1)],
        "tifbpf_kernel": [((metadata.kernel.release, metadata.layout.name), 1)],
    }
