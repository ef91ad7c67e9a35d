"""The instrument of kernels whose BPF is small: routes `notify` and `usermode-loop`, probes/legacy.c.

It offers what `instrument.Instrument` offers, without what those kernels have not: maps per CPU, programs
that can be run without being attached, the time in the slowpath, counts of all exits, cgroups.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from tifbpf import resources
from tifbpf.errors import BpfRefusedError, TifbpfError
from tifbpf.exercises.children import Child
from tifbpf.layouts.model import Context, Layout
from tifbpf.recorder import compiler, family, kprobe_events, legacy_kernel, links, loader
from tifbpf.recorder.abi import (
    CHECK_KEY,
    CLASS_VALUE,
    SETTINGS,
    UNMEASURED,
    ContextNumber,
    Counters,
    KeyCodec,
    defines,
    shared_defines,
)
from tifbpf.recorder.bpf import Descriptor, Program
from tifbpf.recorder.check import CheckedExit, checked_exit
from tifbpf.recorder.classes import Classes
from tifbpf.recorder.drain import SETS, Interval
from tifbpf.recorder.filters import Filters
from tifbpf.recorder.hooks import HookProgram, Way
from tifbpf.recorder.instrument import HookRefusedError, Words
from tifbpf.recorder.kprobe_events import KprobeEvent
from tifbpf.recorder.legacy_maps import PlainMap, pass_over_cpus
from tifbpf.recorder.setters import Seen
from tifbpf.routes.choose import Choice
from tifbpf.routes.setters import SettersPlan

PROBE = "legacy.c"
"""The probe of the routes that this instrument is for."""

_PROGRAM_TYPE = "KPROBE"
_FOLLOWERS = {"legacy_follow": "wake_up_new_task", "legacy_forget": "release_task"}
_ONE_TIME = ("legacy_trace_leave", "legacy_slow_exit_work")
_ORIG_AX_LOST = "legacy_notify_resume"
_CPU = struct.Struct("<I4x")
_ZERO = bytes(4)


class LegacyInstrument:
    """The programs of one plan, compiled for one recording. Nothing is attached before it is told to."""

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        layout: Layout,
        own_bit: Words,
        dimensions: tuple[str, ...],
        filters: Filters,
        max_classes: int,
        one_in: int = 1,
        setters_plan: SettersPlan | None = None,
    ) -> None:
        """Compile and load; see `Instrument`.

        Raises:
            HookRefusedError: the kernel refused to load one of the programs.
            BpfRefusedError: they do not compile.
            NoTypesError: there is neither BTF nor the kernel's headers.
            TifbpfError: something was asked for that these kernels cannot tell.
        """
        del own_bit  # neither route sets one
        if filters.cgroups or "cgroup" in dimensions:
            raise TifbpfError(
                "this kernel's route cannot tell cgroups apart: leave out --cgroup and --by cgroup"
            )
        if one_in != 1:
            raise TifbpfError("this kernel's route cannot leave out exits: leave out --sample")
        if setters_plan is not None:
            raise TifbpfError("this kernel's route cannot be combined with --setters: leave that out")
        self.setters: Seen | None = None
        self._filters = filters
        self._links: list[Descriptor] = []
        self._refuse_others(choices)
        self._hooks = {str(hook.function): hook.symbol for choice in choices for hook in choice.hooks}
        codec = KeyCodec(dimensions)
        by_cpu = "cpu" in dimensions
        definitions: dict[str, int | str | None] = {
            **shared_defines(),
            "MAX_CLASSES": max_classes,
            "UNMEASURED": UNMEASURED,
            "FIRST_EXTERNAL_VECTOR": legacy_kernel.FIRST_EXTERNAL_VECTOR,
            **legacy_kernel.masks(layout, one_time=any(name in self._hooks for name in _ONE_TIME)),
            **filters.definitions(),
            **{dimension.define: None for dimension in codec.dimensions},
        }
        if by_cpu:
            definitions["BY_CPU"] = None
        if _ORIG_AX_LOST in self._hooks:
            definitions["ORIG_AX_LOST"] = None
        functions = [*self._hooks, *(_FOLLOWERS if filters.pids else ())]
        sizes = {
            "settings": (4, SETTINGS.size),
            "counters": (4, CLASS_VALUE.size),
            "classes0": (codec.size + by_cpu * _CPU.size, CLASS_VALUE.size),
            "classes1": (codec.size + by_cpu * _CPU.size, CLASS_VALUE.size),
            "checked": (CHECK_KEY.size, CLASS_VALUE.size),
        }
        if filters.pids:
            sizes |= {"followed": (4, 1), "not_followed": (4, 8)}
        try:
            loaded = load(functions, list(sizes), definitions, legacy_kernel.addresses())
        except loader.ProgramRefusedError as error:
            self._blame(str(error), error.program, error)
            raise
        with contextlib.ExitStack() as stack:
            self._programs = {name: stack.enter_context(Program(fd)) for name, fd in loaded.programs.items()}
            self._maps = {
                name: stack.enter_context(PlainMap(fd, *sizes[name])) for name, fd in loaded.maps.items()
            }
            self.collector = LegacyCollector(self._maps, codec, by_cpu=by_cpu)
            self._stack = stack.pop_all()

    def _refuse_others(self, choices: Iterable[Choice]) -> None:
        """Say that this instrument has no hooks but those of its own probe, so that the plan does without."""
        for choice in choices:
            others = [] if choice.count is None else [choice.count.hook]
            if choice.probe != PROBE:
                others += choice.hooks
            for hook in others:
                raise HookRefusedError(
                    f"{hook} cannot be had beside the routes of {PROBE}",
                    _hook(hook.way.partition(" or ")[0], hook.symbol, str(hook.function)),
                )

    def _blame(self, message: str, function: str, error: Exception) -> None:
        if function in self._hooks:
            raise HookRefusedError(message, _hook(Way.KPROBE, self._hooks[function], function)) from error

    def blind_cpus(self) -> dict[Context, tuple[int, ...]]:
        """Return {}: its kprobes are on all CPUs, also on those that come online."""
        return {}

    def own_words(self) -> tuple[Words, int] | None:
        """Return None: these kernels run no such program without attaching it."""
        return None

    @property
    def window(self) -> LegacyWindow:
        """What the attached programs show of one process at a time."""
        return LegacyWindow(self.collector, self._maps["checked"])

    def attach(self) -> None:
        """Attach every program, those that follow children first.

        Raises:
            HookRefusedError: the kernel refused one; none stays attached.
        """
        kprobe_events.sweep()
        try:
            if self._filters.pids:
                for function, symbol in _FOLLOWERS.items():
                    self._links.append(_attach(symbol, self._programs[function]))
                self.follow(self._filters.pids)
            for function, symbol in self._hooks.items():
                try:
                    self._links.append(_attach(symbol, self._programs[function]))
                except BpfRefusedError as error:
                    self._blame(str(error), function, error)
        except TifbpfError:
            self.detach()
            raise
        self.collector.watch_misses([link for link in self._links if isinstance(link, KprobeEvent)])

    def follow(self, pids: Iterable[int]) -> None:
        """Follow these processes and the children that they have already.

        Raises:
            TifbpfError: one of them does not exist.
        """
        for pid in family.with_children(pids):
            self._maps["followed"].update(struct.pack("<I", pid), b"\1")

    @property
    def keeps_the_cpu(self) -> bool:
        """Return False: `PlainMap` does not."""
        return False

    def not_followed(self) -> int:
        """Return how many children were not followed because there were too many."""
        raw = self._maps["not_followed"].lookup(_ZERO) if self._filters.pids else None
        return int.from_bytes(raw, "little") if raw else 0

    def detach(self) -> None:
        """Detach everything, and wait until no program of ours runs any more."""
        if not self._links:
            return
        self.collector.stop_watching_misses()
        while self._links:
            self._links.pop().close()
        self.collector.settle()

    def close(self) -> None:
        """Detach, and give programs and maps back."""
        self.detach()
        self._stack.close()


def _hook(way: str, symbol: str, function: str) -> HookProgram:
    return HookProgram(name=function, kind=_PROGRAM_TYPE, way=Way(way), symbol=symbol, text="")


def _attach(symbol: str, program: Program) -> Descriptor:
    """Attach by perf's own kprobes where the kernel has them: what ends with us leaves nothing behind."""
    if links.has_kprobes():
        return links.attach_kprobe(symbol, program)
    return kprobe_events.attach(symbol, program)


def load(
    functions: Sequence[str],
    maps: Sequence[str],
    definitions: Mapping[str, int | str | None],
    before: str,
) -> loader.Loaded:
    """Compile probes/legacy.c for the running kernel and load its programs.

    Args:
        functions: the programs, by their names there.
        maps: the maps to take over.
        definitions: what to define, structure offsets aside.
        before: C to put in front.

    Raises:
        ProgramRefusedError: the kernel refuses to load a program.
        BpfRefusedError: it does not compile.
        NoTypesError: there is neither BTF nor the kernel's headers.
    """
    offsets = legacy_kernel.structures()
    if offsets is not None:
        return loader.run(request(functions, maps, {**definitions, **offsets}, before))
    try:
        return loader.run(request_with_headers(functions, maps, definitions, before))
    except BpfRefusedError as error:
        # The compiler knows which of two structures has the member; nothing else can be asked.
        if "'status'" not in str(error):
            raise
        definitions = {**definitions, "STATUS_IN_THREAD": None}
        return loader.run(request_with_headers(functions, maps, definitions, before))


def request(
    functions: Sequence[str],
    maps: Sequence[str],
    definitions: Mapping[str, int | str | None],
    before: str,
) -> compiler.Request:
    """Return what to compile where the structure offsets are among the definitions; see `load`."""
    return compiler.Request(
        text=f'{before}\n#line 1 "{PROBE}"\n{_text(PROBE)}',
        cflags=[*defines(definitions), *loader.USER_HEADERS],
        kernel_source=str(resources.directory("probes") / "kernel-tree"),
        programs=dict.fromkeys(functions, _PROGRAM_TYPE),
        maps=list(maps),
    )


def request_with_headers(
    functions: Sequence[str],
    maps: Sequence[str],
    definitions: Mapping[str, int | str | None],
    before: str,
) -> compiler.Request:
    """Return what to compile where the running kernel's headers give the structure offsets; see `load`."""
    return compiler.Request(
        text=f'{before}\n{_text("legacy-offsets.h")}\n#line 1 "{PROBE}"\n{_text(PROBE)}',
        cflags=defines(definitions),
        kernel_source=None,
        programs=dict.fromkeys(functions, _PROGRAM_TYPE),
        maps=list(maps),
    )


def _text(name: str) -> str:
    return (resources.directory("probes") / name).read_text()


class LegacyCollector:
    """Two sets of maps, as `drain.Collector` has: the programs write one while the other is read."""

    def __init__(self, maps: Mapping[str, PlainMap], codec: KeyCodec, *, by_cpu: bool) -> None:
        """Collect from the maps of one instrument.

        Args:
            maps: settings, counters, classes0 and classes1.
            codec: of the key, up to the CPU.
            by_cpu: the CPU is part of the key.
        """
        self._settings = maps["settings"]
        self._counters = maps["counters"]
        self._classes = (maps["classes0"], maps["classes1"])
        self._codec = codec
        self._by_cpu = by_cpu
        self._active = self._self_tgid = self._check_tgid = 0
        self._events: list[KprobeEvent] = []
        self._missed = 0
        self._unreported = 0
        self._before = {index: self._read_counters(index) for index in range(SETS * len(ContextNumber))}
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
        self._settings.update(_ZERO, SETTINGS.pack(self._active, self._self_tgid, self._check_tgid, 0))

    def watch_misses(self, events: Sequence[KprobeEvent]) -> None:
        """Count what these events miss from now on."""
        self._events = list(events)
        self._missed = self._now_missed()

    def stop_watching_misses(self) -> None:
        """Keep what was missed for the next interval; the events are about to go."""
        self._note_misses()
        self._events = []

    def _now_missed(self) -> int:
        return sum(event.missed() for event in self._events)

    def _note_misses(self) -> None:
        if self._events:
            now = self._now_missed()
            self._unreported += now - self._missed
            self._missed = now

    def take(self) -> Interval:
        """Return everything that was seen since the last call."""
        old = self._active
        self._active = 1 - old
        self._write_settings()
        flipped_ns = time.monotonic_ns()
        self.settle()
        return self._read(old, flipped_ns)

    def touch(self) -> None:
        """Read a map, as `take` does.

        Raises:
            OSError: the kernel refuses.
        """
        self._settings.lookup(_ZERO)

    def settle(self) -> None:
        """Return once the programs that are running now have ended."""
        pass_over_cpus()

    def _read(self, which: int, flipped_ns: int) -> Interval:
        sums = dict.fromkeys(Counters.__struct_fields__, 0)
        for number in ContextNumber:
            index = which * len(ContextNumber) + number
            now = self._read_counters(index)
            for field in sums:
                sums[field] += getattr(now, field) - getattr(self._before[index], field)
            self._before[index] = now
        keys, cpus, counts = bytearray(), list[int](), list[int]()
        for raw, value in self._classes[which].drain():
            keys += raw[: self._codec.size]
            counts += CLASS_VALUE.unpack(value)
            if self._by_cpu:
                cpus += _CPU.unpack_from(raw, self._codec.size)
        classes = Classes(self._codec.columns(keys), cpus if self._by_cpu else None, counts)
        self._note_misses()
        missed, self._unreported = self._unreported, 0
        return Interval(
            flipped_ns=flipped_ns,
            classes=classes,
            seen=sums["seen"] + missed,
            recorded=classes.recorded,
            filtered=sums["filtered"],
            map_full=sums["map_full"],
            read_failed=sums["read_failed"],
            unclassified=sums["unclassified"],
            recursion=0,
            kprobe_misses=missed,
            all=0,
            all_recorded=0,
        )

    def _read_counters(self, index: int) -> Counters:
        members = len(Counters.__struct_fields__)
        return Counters(*(self._read_counter(index * members + member) for member in range(members)))

    def _read_counter(self, index: int) -> int:
        raw = self._counters.lookup(struct.pack("<I", index))
        if raw is None:
            raise LookupError(f"counters[{index}]")
        return int.from_bytes(raw, "little")


class LegacyWindow:
    """Watches one process at a time through the attached hooks, as `check.Window` does."""

    def __init__(self, collector: LegacyCollector, checked: PlainMap) -> None:
        """Watch through the programs that write `checked`."""
        self._collector = collector
        self._checked = checked

    def watch(self, act: Callable[[], None]) -> list[CheckedExit]:
        """Run `act` in a child and return the slow exits of all its system calls.

        A child in a pid namespace has another number there than the programs see; it is not seen then.

        Raises:
            ExerciseUnavailableError: `act` raised it.
            TifbpfError: the child failed otherwise.
        """
        for _ in self._checked.drain():
            pass
        gate, open_gate = os.pipe()

        def gated() -> None:
            os.close(open_gate)
            os.read(gate, 1)
            act()

        child = Child(gated)
        try:
            self._collector.check_only(child.pid)
            os.write(open_gate, b"g")
            child.wait()
        finally:
            os.close(gate)
            os.close(open_gate)
            self._collector.check_only(0)
            self._collector.settle()
        return [checked_exit(key, value) for key, value in self._checked.drain()]
