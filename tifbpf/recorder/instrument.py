"""The loaded programs and maps of one plan: attaching, watching, following, giving all of it back."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self, cast

import msgspec

from tifbpf.errors import BpfRefusedError, TifbpfError
from tifbpf.host import syscall_functions
from tifbpf.host.btf import KernelTypes
from tifbpf.layouts.model import Bit, Context, Layout, Word
from tifbpf.recorder import (
    addresses,
    hooks,
    links,
    loader,
    masks,
    offsets,
    pid_namespace,
    sampling,
    setters,
    typed,
)
from tifbpf.recorder.abi import NOBODY, OWN_WORDS, KeyCodec
from tifbpf.recorder.bpf import (
    Descriptor,
    Map,
    PerCpuHash,
    Program,
    attach_raw_tracepoint,
    possible_cpus,
)
from tifbpf.recorder.check import Window
from tifbpf.recorder.drain import Collector, Skipped
from tifbpf.recorder.filters import Filters
from tifbpf.recorder.hooks import HookProgram, Look, Way
from tifbpf.routes.choose import Choice, PlannedHook
from tifbpf.routes.setters import SettersPlan

_OWN_PROGRAM = "read_own_words"
_OWN_TYPE = "RAW_TRACEPOINT"
_FOLLOWERS = {"follow_fork": "sched_process_fork", "forget_exited": "sched_process_exit"}
_SWITCHED_OFF = frozenset({Way.KPROBE, Way.KRETPROBE, Way.KPROBE_MULTI, Way.BREAKPOINT})
_PROC = Path("/proc")


class Words(msgspec.Struct, frozen=True):
    """A pair of words, or of sets of bits."""

    tif: int = 0
    syscall_work: int = 0

    @classmethod
    def of(cls, bit: Bit) -> Self:
        """Return the pair in which just `bit` is set."""
        return cls(bit.value, 0) if bit.word is Word.TIF else cls(0, bit.value)

    def __and__(self, other: Words) -> Words:
        return Words(self.tif & other.tif, self.syscall_work & other.syscall_work)

    def __bool__(self) -> bool:
        return bool(self.tif or self.syscall_work)


class HookRefusedError(BpfRefusedError):
    """One program was refused, at loading or at attaching; the others might do without it."""

    def __init__(self, message: str, hook: HookProgram) -> None:
        """Say which."""
        super().__init__(message)
        self.hook = hook


class Instrument:
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
        """Compile and load.

        Args:
            choices: the contexts to observe, each with its route.
            layout: the running kernel's.
            own_bit: the bit that attaching sets in every task.
            dimensions: what `--by` asked for.
            filters: what to keep.
            max_classes: the size of each of the two maps of classes.
            one_in: look at one exit in so many, at random.
            setters_plan: where to see who sets bits, if that is asked for.

        Raises:
            HookRefusedError: the kernel refused to load one of the programs.
            BpfRefusedError: they do not compile.
            NoTypesError: the kernel's structures are not to be had.
        """
        self._filters = filters
        self._stack = contextlib.ExitStack()
        self._followers: list[Descriptor] = []
        self._links: list[Descriptor] = []
        self._missed_before: Counter[str] = Counter()
        self._blind_before: dict[str, frozenset[int]] = {}
        self._probes: dict[str, links.Links] = {}
        self._off: dict[str, links.Breakpoints] = {}
        looks = list(_looks(choices))
        if setters_plan:
            looks += setters.looks(setters_plan)
        self._hooks = hooks.programs(looks)
        self._seeing = _names(self._hooks, (hook for choice in choices for hook in choice.hooks))
        self._breakpoints = {
            choice.context: _names(
                self._hooks, (hook for hook in choice.hooks if _way(hook) is Way.BREAKPOINT)
            )
            for choice in choices
        }
        self._counting = (
            _names(self._hooks, (choice.count.hook for choice in choices if choice.count)) - self._seeing
        )
        self._addresses = addresses.find(hook.symbol for hook in self._hooks)
        codec = KeyCodec(dimensions)
        definitions: dict[str, int | str | None] = {
            "PLAIN_WORD": own_bit.tif,
            "PLAIN_SYSCALL_WORK": own_bit.syscall_work,
            "MAX_CLASSES": max_classes,
            **masks.definitions(layout),
            **filters.definitions(),
            **sampling.definitions(one_in),
            **{dimension.define: None for dimension in codec.dimensions},
        }
        if codec.dimensions:
            definitions["DIMENSIONS"] = None
        if any(choice.timed for choice in choices):
            definitions["LATENCY"] = None
        with KernelTypes() as types:
            places = offsets.definitions(types)
            definitions |= places | typed.definitions(types, places) | pid_namespace.definitions(types)
            if setters_plan:
                definitions |= setters.definitions(types, layout)
        programs = {_OWN_PROGRAM: _OWN_TYPE, **{hook.name: hook.kind for hook in self._hooks}}
        maps = ["settings", "counters", "classes0", "classes1", "checked", "own", "breakpoint_runs"]
        if filters.pids:
            programs |= dict.fromkeys(_FOLLOWERS, _OWN_TYPE)
            maps += ["followed", "not_followed"]
        if filters.cgroups:
            maps.append("cgroups")
        if setters_plan:
            maps += setters.MAPS
        try:
            loaded = loader.load(
                sources=[
                    *(choice.probe for choice in choices if choice.probe),
                    *(choice.count.probe for choice in choices if choice.count),
                    *((setters.PROBE,) if setters_plan else ()),
                ],
                before=self._addresses.text,
                after="\n".join(hook.text for hook in self._hooks),
                definitions=definitions,
                programs=programs,
                attach_types={
                    hook.name: links.KPROBE_MULTI for hook in self._hooks if hook.way is Way.KPROBE_MULTI
                },
                maps=maps,
            )
        except loader.ProgramRefusedError as error:
            self._blame(error)
            raise
        with contextlib.ExitStack() as stack:
            self._programs = {name: stack.enter_context(Program(fd)) for name, fd in loaded.programs.items()}
            self._maps = {
                name: stack.enter_context((PerCpuHash if name.startswith("classes") else Map)(fd))
                for name, fd in loaded.maps.items()
            }
            self.collector = Collector(
                settings=self._maps["settings"],
                counters=self._maps["counters"],
                classes=(
                    cast("PerCpuHash", self._maps["classes0"]),
                    cast("PerCpuHash", self._maps["classes1"]),
                ),
                skipped=self._skipped,
                codec=codec,
                by_cpu="cpu" in dimensions,
                plain=(own_bit.tif, own_bit.syscall_work),
            )
            stack.callback(self.collector.close)
            self.setters = self._setters(setters_plan, layout) if setters_plan else None
            self._fill_cgroups()
            self._stack = stack.pop_all()

    def _blame(self, error: loader.ProgramRefusedError) -> None:
        for hook in self._hooks:
            if hook.name == error.program:
                raise HookRefusedError(str(error), hook) from error

    def _skipped(self) -> Skipped:
        return Skipped(
            recursion=self._recursion(self._seeing),
            kprobe_misses=self._missed(self._seeing),
            all=self._recursion(self._counting) + self._missed(self._counting),
        )

    def _setters(self, plan: SettersPlan, layout: Layout) -> setters.Seen:
        names = _names(self._hooks, plan.hooks)
        return setters.Seen(plan, layout, self._maps, lambda: self._recursion(names) + self._missed(names))

    def _recursion(self, names: Iterable[str]) -> int:
        return sum(self._programs[name].recursion_misses() for name in names)

    def _missed(self, names: Collection[str]) -> int:
        now = (self._probes[name].missed() or 0 for name in names if name in self._probes)
        return sum(now) + sum(self._missed_before[name] for name in names)

    def blind_cpus(self) -> dict[Context, tuple[int, ...]]:
        """Return the CPUs on which exits are not seen from some moment on; see `links.Breakpoints.blind`."""
        for name in frozenset[str]().union(*self._breakpoints.values()):
            if isinstance(probe := self._probes.get(name), links.Breakpoints):
                self._blind_before[name] = self._blind_before.get(name, frozenset()) | probe.blind()
        return {
            context: tuple(sorted({cpu for name in names for cpu in self._blind_before.get(name, ())}))
            for context, names in self._breakpoints.items()
        }

    def _breakpoint_runs(self) -> int:
        raw = self._maps["breakpoint_runs"].lookup(bytes(4), 8 * possible_cpus()) or b""
        return sum(struct.unpack(f"<{len(raw) // 8}Q", raw))

    def own_words(self) -> tuple[Words, int] | None:
        """Return this task's words as they are now, and its tgid in the initial namespace.

        None where the kernel cannot run such a program without attaching it.
        """
        try:
            self._programs[_OWN_PROGRAM].run_here()
        except OSError:
            return None
        word, syscall_work, pid_tgid, failed, user_regs = OWN_WORDS.unpack(
            self._maps["own"].lookup(bytes(4)) or b""
        )
        if user_regs:
            self.collector.find_user_regs(user_regs)
        return None if failed else (Words(word, syscall_work), pid_tgid >> 32)

    @property
    def window(self) -> Window:
        """What the attached programs show of one process at a time."""
        return Window(
            collector=self.collector,
            checked=self._maps["checked"],
            own=self._maps["own"],
            own_words=self._programs[_OWN_PROGRAM],
        )

    def attach(self) -> None:
        """Attach every program, those that follow children first.

        Raises:
            HookRefusedError: the kernel refused one; none stays attached.
        """
        try:
            if self._filters.pids:
                for program, tracepoint in _FOLLOWERS.items():
                    self._followers.append(attach_raw_tracepoint(tracepoint, self._programs[program]))
                self.follow(self._filters.pids)
            self._attach_hooks()
        except BpfRefusedError:
            self.detach()
            raise

    def _attach_hooks(self) -> None:
        for hook in self._hooks:
            try:
                link = self._on_again(hook) or self._attach(hook)
            except BpfRefusedError as error:
                raise HookRefusedError(str(error), hook) from error
            self._links.append(link)
            if isinstance(link, links.Links):
                self._probes[hook.name] = link

    def _on_again(self, hook: HookProgram) -> Descriptor | None:
        probe = self._off.pop(hook.name, None)
        if probe is not None:
            probe.resume()
        return probe

    def _attach(self, hook: HookProgram) -> Descriptor:
        program = self._programs[hook.name]
        match hook.way:
            case Way.FENTRY | Way.FEXIT:
                return links.attach_tracing(program, f"{hook.way} on {hook.symbol}")
            case Way.KPROBE | Way.KRETPROBE:
                return links.attach_kprobe(hook.symbol, program, returns=hook.way is Way.KRETPROBE)
            case Way.KPROBE_MULTI:
                return links.attach_kprobe_multi(syscall_functions.addresses(), program)
            case Way.BREAKPOINT:
                before = self._breakpoint_runs()
                return links.attach_breakpoint(
                    hook.symbol,
                    self._addresses.of(hook.symbol),
                    program,
                    lambda: self._breakpoint_runs() - before,
                )
            case Way.RAW_TRACEPOINT:
                return attach_raw_tracepoint(hook.symbol.rpartition(":")[2], program)

    @property
    def programs(self) -> list[Program]:
        """Those of the hooks."""
        return [self._programs[hook.name] for hook in self._hooks]

    def follow(self, pids: Iterable[int]) -> None:
        """Follow these processes and the children that they have already.

        Raises:
            TifbpfError: one of them does not exist, or /proc does not tell.
        """
        pid_namespace.require_proc()
        waiting = list(pids)
        for pid in waiting:
            if not (_PROC / str(pid)).exists():
                raise TifbpfError(f"no process {pid}: look for it with ps, or leave out --pid")
        # A child found on the way may be gone by now, which is nobody's mistake.
        for pid in waiting:
            self._maps["followed"].update(struct.pack("<I", pid), b"\1")
            waiting += _children(pid)

    @property
    def keeps_the_cpu(self) -> bool:
        """Whether bpf(2) switches off a hook on its CPU while it is at a map; see `bpf.unpreempted`.

        Those are kprobes and perf events: bpf_disable_instrumentation() in include/linux/bpf.h.
        """
        return any(hook.way in _SWITCHED_OFF for hook in self._hooks)

    def not_followed(self) -> int:
        """Return how many children were not followed because there were too many."""
        raw = self._maps["not_followed"].lookup(bytes(4)) if self._filters.pids else None
        return int.from_bytes(raw, "little") if raw else 0

    def detach(self) -> None:
        """Detach everything, and wait until no program of ours runs any more."""
        if not (self._links or self._off or self._followers):
            return
        self._detach_hooks()
        while self._followers:
            self._followers.pop().close()
        self.collector.settle()

    def _detach_hooks(self, *, pausing: bool = False) -> None:
        """Detach them; where they are to come back, breakpoints are only switched off.

        To set one in the kernel takes CAP_SYS_ADMIN (hw_breakpoint_parse() in kernel/events/hw_breakpoint.c).
        """
        self.blind_cpus()
        probes = self._probes.items()
        kept = {name: probe for name, probe in probes if pausing and isinstance(probe, links.Breakpoints)}
        for probe in kept.values():
            probe.pause()
        for link in (*self._links, *self._off.values()):
            if link not in kept.values():
                link.close()
        self._links.clear()
        for name, detached in probes:
            if name not in kept:
                self._missed_before[name] += detached.missed() or 0
        self._probes, self._off = dict(kept), kept

    def reattach(self) -> None:
        """Detach the hooks and attach them again, as `pause` and `resume` do.

        Raises:
            HookRefusedError: the kernel refused one; none stays attached.
        """
        self._detach_hooks(pausing=True)
        try:
            self._attach_hooks()
        except BpfRefusedError:
            self._detach_hooks(pausing=True)
            raise

    def pause(self) -> int:
        """Stop counting at once, and detach the hooks; children are followed all the same.

        Returns:
            When it was, by the monotonic clock.
        """
        self.collector.check_only(NOBODY)
        paused_ns = time.monotonic_ns()
        self._detach_hooks(pausing=True)
        self.collector.settle()
        return paused_ns

    def resume(self) -> int:
        """Attach the hooks again, and begin to count when all of them are.

        Returns:
            When that was, by the monotonic clock.

        Raises:
            HookRefusedError: the kernel refused one; none stays attached.
        """
        try:
            self._attach_hooks()
        except BpfRefusedError:
            self.detach()
            raise
        self.collector.check_only(0)
        return time.monotonic_ns()

    def close(self) -> None:
        """Detach, and give programs and maps back."""
        self.detach()
        self._stack.close()

    def _fill_cgroups(self) -> None:
        for index, path in enumerate(self._filters.cgroups):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise TifbpfError(f"{path}: no cgroup: {error.strerror}; give a directory") from error
            with Descriptor(descriptor):
                try:
                    self._maps["cgroups"].update(struct.pack("<I", index), struct.pack("<I", descriptor))
                except OSError as error:
                    raise TifbpfError(
                        f"{path}: no cgroup of the unified hierarchy (cgroup v2); give a directory of it"
                    ) from error


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def _names(programs: Iterable[HookProgram], planned: Iterable[PlannedHook]) -> frozenset[str]:
    """Return the programs that are at the planned places."""
    places = {(_way(hook), hook.symbol) for hook in planned}
    return frozenset(program.name for program in programs if (program.way, program.symbol) in places)


def _way(hook: PlannedHook) -> Way:
    """Return the way to try first."""
    return Way(hook.way.partition(" or ")[0])


def _looks(choices: Iterable[Choice]) -> Iterator[Look]:
    """Yield what the choices want to see, once for each place however many contexts it serves."""
    wanted: dict[Look, set[Context]] = {}
    for choice in choices:
        for hook in (*choice.hooks, *((choice.count.hook,) if choice.count else ())):
            look = Look(
                way=_way(hook),
                symbol=hook.symbol,
                function=str(hook.function),
                arguments=hook.arguments,
                stack=hook.stack,
            )
            wanted.setdefault(look, set()).add(choice.context)
    for look, contexts in wanted.items():
        yield msgspec.structs.replace(look, contexts=frozenset(contexts))
