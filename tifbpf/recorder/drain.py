"""Emptying the maps without losing an exit between two reads."""

from __future__ import annotations

import struct
import time
from collections import Counter

import msgspec

from tifbpf.recorder.abi import SETTINGS, ClassKey, ContextNumber, Counters, KeyCodec
from tifbpf.recorder.bpf import GracePeriod, Map, PerCpuHash, Program, possible_cpus

SETS = 2
_ZERO = bytes(4)


class CpuClass(msgspec.Struct, frozen=True):
    """A class of exits on one CPU; `cpu` is None where CPUs were added up."""

    key: ClassKey
    cpu: int | None


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """All exits between two flips. seen = recorded + map_full + read_failed + recursion."""

    flipped_ns: int
    """Its end, by the monotonic clock."""
    classes: dict[CpuClass, int]
    seen: int
    recorded: int
    filtered: int
    map_full: int
    read_failed: int
    recursion: int


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
        programs: list[Program],
        codec: KeyCodec,
        by_cpu: bool,
        plain: tuple[int, int],
    ) -> None:
        """Collect from these maps.

        Args:
            settings: struct settings.
            counters: struct counters, by set and context.
            classes: the two sets.
            programs: those that write them.
            codec: of the key.
            by_cpu: keep CPUs apart.
            plain: the words (TIF, syscall_work) of the exits that the programs only count.
        """
        self._settings = settings
        self._counters = counters
        self._classes = classes
        self._programs = programs
        self._codec = codec
        self._by_cpu = by_cpu
        self._plain = plain
        self._active = 0
        self._self_tgid = 0
        self._check_tgid = 0
        self._grace = GracePeriod()
        self._before = {index: self._read_counters(index) for index in range(SETS * len(ContextNumber))}
        self._misses = self._recursion_misses()

    def leave_out(self, tgid: int) -> None:
        """Leave out the exits of this process (where the programs were compiled to)."""
        self._self_tgid = tgid
        self._write_settings()

    def check_only(self, tgid: int) -> None:
        """Let the check programs see this process; 0: none."""
        self._check_tgid = tgid
        self._write_settings()

    def _write_settings(self) -> None:
        self._settings.update(_ZERO, SETTINGS.pack(self._active, self._self_tgid, self._check_tgid))

    def take(self) -> Interval:
        """Return everything that was seen since the last call."""
        old = self._active
        self._active = 1 - old
        self._write_settings()
        flipped_ns = time.monotonic_ns()
        self._grace.wait()
        return self._read(old, flipped_ns)

    def settle(self) -> None:
        """Return once the programs that are running now have ended."""
        self._grace.wait()

    def _read(self, which: int, flipped_ns: int) -> Interval:
        classes: Counter[CpuClass] = Counter()
        sums = dict.fromkeys(Counters.__struct_fields__, 0)
        for number in ContextNumber:
            index = which * len(ContextNumber) + number
            now = self._read_counters(index)
            for cpu, (new, old) in enumerate(zip(now, self._before[index], strict=True)):
                for name in sums:
                    sums[name] += getattr(new, name) - getattr(old, name)
                if plain := new.plain - old.plain:
                    key = ClassKey(self._plain[0], self._plain[1], number)
                    classes[self._class(key, cpu)] += plain
            self._before[index] = now
        cpus = possible_cpus()
        for keys, values in self._classes[which].drain():
            counts = values.cast("Q")
            for position, key in enumerate(self._codec.decode(keys)):
                per_cpu = counts[position * cpus : (position + 1) * cpus]
                if self._by_cpu:
                    for cpu, count in enumerate(per_cpu):
                        if count:
                            classes[self._class(key, cpu)] += count
                else:
                    classes[self._class(key, None)] += sum(per_cpu)
        misses = self._recursion_misses()
        recursion, self._misses = misses - self._misses, misses
        return Interval(
            flipped_ns=flipped_ns,
            classes=dict(classes),
            seen=sums["seen"] + recursion,
            recorded=sum(classes.values()),
            filtered=sums["filtered"],
            map_full=sums["map_full"],
            read_failed=sums["read_failed"],
            recursion=recursion,
        )

    def _class(self, key: ClassKey, cpu: int | None) -> CpuClass:
        return CpuClass(key, cpu if self._by_cpu else None)

    def _read_counters(self, index: int) -> list[Counters]:
        size = self._counters.value_size * possible_cpus()
        raw = self._counters.lookup(struct.pack("<I", index), size)
        if raw is None:
            raise LookupError(f"counters[{index}]")
        return [Counters(*values) for values in Counters.STRUCT.iter_unpack(raw)]

    def _recursion_misses(self) -> int:
        return sum(program.recursion_misses() for program in self._programs)

    def close(self) -> None:
        """Give back what this object made itself."""
        self._grace.close()
