"""Emptying the maps without losing an exit between two reads."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import msgspec

from tifbpf.recorder.abi import (
    SETTINGS,
    USER_REGS_PLACES,
    ClassKey,
    ContextNumber,
    KeyCodec,
    SampledCounters,
)
from tifbpf.recorder.bpf import GracePeriod, Map, PerCpuHash, possible_cpus
from tifbpf.recorder.classes import Classes, of_map

SETS = 2
_ZERO = bytes(4)


class Skipped(msgspec.Struct, frozen=True):
    """What passed a hook without being looked at, since it was attached."""

    recursion: int = 0
    """Slow exits for which the kernel did not run the program (`recursion_misses`)."""
    kprobe_misses: int = 0
    """Those that its kprobe, fprobe or breakpoint did not come to."""
    all: int = 0
    """Both, of what counts all exits."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """All exits between two flips.

    seen = recorded + map_full + read_failed + unclassified + recursion + kprobe_misses, and
    all = all_recorded + all_map_full + what was skipped of all.
    """

    flipped_ns: int
    """Its end, by the monotonic clock."""
    classes: Classes
    seen: int
    recorded: int
    filtered: int
    map_full: int
    read_failed: int
    unclassified: int
    recursion: int
    kprobe_misses: int = 0
    all: int
    all_recorded: int
    not_sampled: int = 0
    """Exits that were passed by without a look; in none of the others."""
    all_not_sampled: int = 0


class Collector:
    """Two sets of maps: the programs write one while the other is read.

    After the flip a grace period passes, so nobody writes to the set that is being read, and what was seen in
    it equals what it holds plus what was lost.
    """

    def __init__(
        self,
        *,
        settings: Map,
        counters: Map,
        classes: tuple[PerCpuHash, PerCpuHash],
        skipped: Callable[[], Skipped],
        codec: KeyCodec,
        by_cpu: bool,
        plain: tuple[int, int],
    ) -> None:
        """Collect from these maps.

        Args:
            settings: struct settings.
            counters: struct counters, by set and context.
            classes: the two sets.
            skipped: tells what the programs that write them did not see; it never grows smaller.
            codec: of the key.
            by_cpu: keep CPUs apart.
            plain: the words (TIF, syscall_work) of the exits that the programs only count.
        """
        self._settings = settings
        self._counters = counters
        self._classes = classes
        self._skipped = skipped
        self._codec = codec
        self._by_cpu = by_cpu
        self._plain = plain
        self._active = 0
        self._self_tgid = 0
        self._check_tgid = 0
        self._user_regs = USER_REGS_PLACES[0]
        self._value_size = classes[0].value_size
        self._grace = GracePeriod()
        self._before = {index: self._read_counters(index) for index in range(SETS * len(ContextNumber))}
        self._skipped_before = skipped()
        self._write_settings()

    def find_user_regs(self, offset: int) -> None:
        """Look for a task's user registers that far into its stack."""
        self._user_regs = offset
        self._write_settings()

    def leave_out(self, tgid: int) -> None:
        """Leave out the exits of this process (where the programs were compiled to)."""
        self._self_tgid = tgid
        self._write_settings()

    def check_only(self, tgid: int) -> None:
        """Show the exits of this process instead of counting any; 0: count."""
        self._check_tgid = tgid
        self._write_settings()

    def _write_settings(self) -> None:
        self._settings.update(
            _ZERO, SETTINGS.pack(self._active, self._self_tgid, self._check_tgid, self._user_regs)
        )

    def take(self) -> Interval:
        """Return everything that was seen since the last call."""
        old = self._active
        self._active = 1 - old
        self._write_settings()
        flipped_ns = time.monotonic_ns()
        self._grace.wait()
        return self._read(old, flipped_ns)

    def touch(self) -> None:
        """Read a map and what the kernel counts of the programs, as `take` does.

        Raises:
            OSError: the kernel refuses.
        """
        self._settings.lookup(_ZERO)
        self._skipped()

    def settle(self) -> None:
        """Return once the programs that are running now have ended."""
        self._grace.wait()

    def _read(self, which: int, flipped_ns: int) -> Interval:
        keys, values = bytearray(), bytearray()
        sums = dict.fromkeys(SampledCounters.__struct_fields__, 0)
        for number in ContextNumber:
            index = which * len(ContextNumber) + number
            now = self._read_counters(index)
            counted = list(zip(now, self._before[index], strict=True))
            for name in sums:
                sums[name] += sum(getattr(new, name) - getattr(old, name) for new, old in counted)
            for key, plain in (
                (ClassKey(*self._plain, number), [new.plain - old.plain for new, old in counted]),
                (ClassKey(0, 0, number, all=1), [new.all_plain - old.all_plain for new, old in counted]),
            ):
                # Exits are counted so where no dimension was asked for, whose value would not be known.
                if any(plain):
                    keys += self._codec.encode(key)
                    values += b"".join(map(self._value, plain))
            self._before[index] = now
        for some_keys, some_values in self._classes[which].drain():
            keys += some_keys
            values += some_values
        classes = of_map(keys, values, self._codec, cpus=possible_cpus(), by_cpu=self._by_cpu)
        skipped, before = self._skipped(), self._skipped_before
        self._skipped_before = skipped
        recursion = skipped.recursion - before.recursion
        kprobe_misses = skipped.kprobe_misses - before.kprobe_misses
        return Interval(
            flipped_ns=flipped_ns,
            classes=classes,
            seen=sums["seen"] + recursion + kprobe_misses,
            recorded=classes.recorded,
            filtered=sums["filtered"],
            map_full=sums["map_full"],
            read_failed=sums["read_failed"],
            unclassified=sums["unclassified"],
            recursion=recursion,
            kprobe_misses=kprobe_misses,
            all=sums["all"] + skipped.all - before.all,
            all_recorded=classes.counted,
            not_sampled=sums["not_sampled"],
            all_not_sampled=sums["all_not_sampled"],
        )

    def _value(self, count: int) -> bytes:
        return count.to_bytes(8, "little").ljust(self._value_size, b"\0")

    def _read_counters(self, index: int) -> list[SampledCounters]:
        size = self._counters.value_size * possible_cpus()
        raw = self._counters.lookup(struct.pack("<I", index), size)
        if raw is None:
            raise LookupError(f"counters[{index}]")
        return [SampledCounters(*values) for values in SampledCounters.STRUCT.iter_unpack(raw)]

    def close(self) -> None:
        """Give back what this object made itself."""
        self._grace.close()
