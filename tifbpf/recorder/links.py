"""Attaching programs: what each way needs, and what holds it there.

Everything is held by descriptors alone, so that the kernel detaches it with our last one, however we end.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tifbpf.errors import BpfRefusedError
from tifbpf.host import libbpf, perf
from tifbpf.recorder.bpf import Descriptor, Program

_KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe")
_CPUS_ONLINE = Path("/sys/devices/system/cpu/online")
_IOC_ENABLE = 0x2400
_IOC_DISABLE = 0x2401
_IOC_SET_BPF = 0x40042408
"""PERF_EVENT_IOC_ENABLE and so on (include/uapi/linux/perf_event.h)."""

_SAID = {errno.ENOSPC: "the CPU's debug registers are all in use, by a debugger or by perf"}
"""What strerror(3) would put misleadingly."""
_PERF_EVENT = 41
"""BPF_PERF_EVENT of enum bpf_attach_type (Linux 5.15)."""
_TICKS_S = 0.03
"""Longer than the clock of an event stands still where it goes by the timer's ticks."""
KPROBE_MULTI = 42
"""BPF_TRACE_KPROBE_MULTI of enum bpf_attach_type (Linux 5.18).

The program's type is KPROBE all the same, so bcc has to be told: `load_func(…, attach_type=42)`. For fentry
and fexit it finds all by the function's name, `kfunc__` or `kretfunc__` and the symbol.
"""


class Links(Descriptor):
    """Several descriptors that hold one program."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(-1)
        self._held: list[Descriptor] = []
        self._missed: int | None = None

    def add(self, held: Descriptor) -> None:
        """Close `held` together with the others."""
        self._held.append(held)

    def missed(self) -> int | None:
        """Return how often the place was passed and the program could not be run; None where nobody says.

        After `close`, that is what it was then.
        """
        return self._missed

    def close(self) -> None:
        """Close all."""
        while self._held:
            self._held.pop().close()


class _KprobeInfo(ctypes.Structure):
    """struct bpf_link_info of one kprobe, up to `missed`."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("perf_type", ctypes.c_uint64),
        ("func_name", ctypes.c_uint64),
        ("name_len", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("addr", ctypes.c_uint64),
        ("missed", ctypes.c_uint64),
    )


class _MultiInfo(ctypes.Structure):
    """struct bpf_link_info of many kprobes, up to `missed`."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("addrs", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("missed", ctypes.c_uint64),
    )


class Kprobes(Links):
    """One kprobe, or many that are one link."""

    _UNTOUCHED = 2**64 - 1

    def __init__(self, link: int, info: type[_KprobeInfo | _MultiInfo]) -> None:
        """Own `link`, which the kernel describes by `info`; -1 where there are no such links."""
        super().__init__()
        self._info = info
        self._link = Descriptor(link)
        self.add(self._link)

    def missed(self) -> int | None:
        """Return how often a probe was passed and could not run, another one being in progress.

        None where the kernel does not say. Linux 6.7 does: e2b2cd592adb ("bpf: Add missed value to
        kprobe_multi link info") and 3acf8ace6823 ("bpf: Add missed value to kprobe perf link info"). Runs of
        the program that were skipped are `Program.recursion_misses`.
        """
        if not self._held:
            return self._missed
        # The kernel takes our structure over, writes what it knows and gives all of it back.
        info = self._info(missed=self._UNTOUCHED)
        size = ctypes.c_uint32(ctypes.sizeof(info))
        result = libbpf.library().bpf_obj_get_info_by_fd(
            self._link.fd, ctypes.byref(info), ctypes.byref(size)
        )
        return None if result < 0 or info.missed == self._UNTOUCHED else int(info.missed)

    def close(self) -> None:
        """Close all."""
        self._missed = self.missed()
        super().close()


class Breakpoints(Links):
    """One breakpoint, on every CPU."""

    def __init__(self, runs: Callable[[], int] | None) -> None:
        """Begin with none.

        Args:
            runs: tells how often the program ran; None: it does not count that.
        """
        super().__init__()
        self._runs = runs
        self._events: dict[int, Descriptor] = {}
        self._blind: frozenset[int] = frozenset()
        self._paused = False

    def add_on(self, cpu: int, event: Descriptor) -> None:
        """Take over the breakpoint of one CPU."""
        self._events[cpu] = event
        self.add(event)

    def missed(self) -> int | None:
        """Return how often the breakpoint was hit and the program was skipped.

        bpf_overflow_handler() (kernel/events/core.c) skips it where the CPU's bpf_prog_active says that BPF
        is busy: that is so, too, for whoever is preempted while it reads or writes a map by bpf(2)
        (bpf_disable_instrumentation()). Nobody counts those, but the event counts every hit.
        """
        if not self._held or self._runs is None:
            return self._missed
        # In this order: of what happens in between, a run too many is less harm than a miss that was none.
        hits = sum(perf.read(event.fd).hits for event in self._held)
        self._missed = max(self._missed or 0, hits - self._runs())
        return self._missed

    def blind(self) -> frozenset[int]:
        """Return the CPUs on which nothing was seen, from some moment since this was attached.

        Those that came online later have no breakpoint. From one that goes offline the kernel takes it, for
        good (perf_event_exit_cpu() in kernel/events/core.c), and to set another takes CAP_SYS_ADMIN.
        """
        if self._held and not self._paused:
            known = self._events.keys() - self._blind
            gone = {cpu for cpu in known if not _is_on(self._events[cpu])}
            self._blind |= gone | (set(online_cpus()) - self._events.keys())
        return self._blind

    def pause(self) -> None:
        """Take the breakpoints out of the CPUs until `resume`, which takes no capability."""
        self.blind()
        self._paused = True
        for event in self._held:
            fcntl.ioctl(event.fd, _IOC_DISABLE, 0)

    def resume(self) -> None:
        """Set them again."""
        for event in self._held:
            fcntl.ioctl(event.fd, _IOC_ENABLE, 0)
        self._paused = False

    def close(self) -> None:
        """Close all."""
        self.pause()
        self.missed()
        super().close()
        self._events.clear()


def _is_on(event: Descriptor) -> bool:
    before = perf.read(event.fd).enabled_ns
    if perf.read(event.fd).enabled_ns > before:
        return True
    time.sleep(_TICKS_S)
    return perf.read(event.fd).enabled_ns > before


def refused(what: str, code: int) -> BpfRefusedError:
    """Return the error for an errno that the kernel answered with."""
    said = _SAID.get(code) or os.strerror(code).lower()
    return BpfRefusedError(f"the kernel refused {what}: {said}; see `tifbpf doctor`")


def attach_tracing(program: Program, what: str) -> Descriptor:
    """Attach a program that was loaded for its target (fentry, fexit).

    Args:
        program: loaded with expected_attach_type and attach_btf_id.
        what: what it is, for the message.

    Raises:
        BpfRefusedError: the kernel refused.
    """
    result = libbpf.library().bpf_raw_tracepoint_open(None, program.fd)
    if result < 0:
        code = libbpf.error_of(result)
        if code == errno.ENOENT:
            # f3a95075549e ("bpf: Allow trampoline re-attach for tracing and lsm programs", Linux 5.13)
            raise BpfRefusedError(
                f"this kernel attaches {what} only once: leave out --duty and --max-overhead"
            )
        raise refused(what, code)
    return Descriptor(result)


def has_kprobes() -> bool:
    """Whether perf has kprobes of its own (Linux 4.17)."""
    return (_KPROBE_PMU / "type").exists()


def attach_kprobe(symbol: str, program: Program, *, returns: bool = False) -> Kprobes:
    """Attach to a function's entry, or to its return.

    Raises:
        BpfRefusedError: the kernel refused, or has no kprobes by perf_event_open(2) (before Linux 4.17).
    """
    what = f"a {'kretprobe' if returns else 'kprobe'} on {symbol}"
    try:
        kind = int((_KPROBE_PMU / "type").read_text())
    except OSError as error:
        raise BpfRefusedError(f"this kernel offers no kprobes; {what} needs CONFIG_KPROBES=y") from error
    name = ctypes.create_string_buffer(symbol.encode())
    # format/retprobe is config:0 since the PMU's beginning.
    event = perf.Event(kind=kind, config=int(returns), config1=ctypes.addressof(name))
    try:
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(Descriptor(perf.open_event(event)))
            link = libbpf.library().bpf_link_create(program.fd, held.fd, _PERF_EVENT, None)
            probes = stack.enter_context(Kprobes(link, _KprobeInfo))
            probes.add(held)
            if link < 0:
                # No such links before Linux 5.15; if it is anything else, the older way is told it as well.
                fcntl.ioctl(held.fd, _IOC_SET_BPF, program.fd)
            fcntl.ioctl(held.fd, _IOC_ENABLE, 0)
            stack.pop_all()
    except OSError as error:
        raise refused(what, error.errno or errno.EINVAL) from error
    return probes


def attach_breakpoint(
    symbol: str, address: int, program: Program, runs: Callable[[], int] | None = None
) -> Breakpoints:
    """Attach to the instruction at `address` by a hardware breakpoint on every CPU that is online.

    What `Breakpoints.blind` names sees nothing. Hits are not throttled, however many: of one hit's overflows,
    perf_swevent_overflow() (kernel/events/core.c) throttles all but the first, and a period of 1 has one.

    Args:
        symbol: what is there, for the message.
        address: of its first byte.
        program: of type PERF_EVENT.
        runs: tells how often the program ran, if it counts that: `Breakpoints.missed` needs it.

    Raises:
        BpfRefusedError: the kernel refused one, all four may be taken; none stays.
    """
    event = perf.Event(
        kind=perf.TYPE_BREAKPOINT,
        sample_period=1,
        bp_type=perf.HW_BREAKPOINT_X,
        config1=address,
        config2=ctypes.sizeof(ctypes.c_long),
    )
    with contextlib.ExitStack() as stack:
        links = stack.enter_context(Breakpoints(runs))
        for cpu in online_cpus():
            links.add_on(cpu, attach_event(event, cpu, program, f"a breakpoint on {symbol}"))
        stack.pop_all()
    return links


def attach_event(event: perf.Event, cpu: int, program: Program, what: str) -> Descriptor:
    """Open an event on a CPU and let it run `program`.

    Args:
        event: what to open.
        cpu: where; kprobes and tracepoints run it on all CPUs all the same.
        program: of the type that goes with the event.
        what: what it is, for the message.

    Raises:
        BpfRefusedError: the kernel refused.
    """
    try:
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(Descriptor(perf.open_event(event, cpu=cpu)))
            fcntl.ioctl(held.fd, _IOC_SET_BPF, program.fd)
            fcntl.ioctl(held.fd, _IOC_ENABLE, 0)
            stack.pop_all()
    except OSError as error:
        raise refused(what, error.errno or errno.EINVAL) from error
    return held


class _KprobeMultiOptions(libbpf.Options):
    """struct bpf_link_create_opts with its member kprobe_multi (libbpf 0.8)."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("flags", ctypes.c_uint32),
        ("iter_info", ctypes.c_void_p),
        ("iter_info_len", ctypes.c_uint32),
        ("target_btf_id", ctypes.c_uint32),
        ("multi_flags", ctypes.c_uint32),
        ("multi_count", ctypes.c_uint32),
        ("multi_symbols", ctypes.c_void_p),
        ("multi_addresses", ctypes.c_void_p),
        ("multi_cookies", ctypes.c_void_p),
    )


def attach_kprobe_multi(addresses: Sequence[int], program: Program) -> Kprobes:
    """Attach one program to the entries of many functions.

    Args:
        addresses: those of the functions; aliases have one.
        program: loaded with expected_attach_type KPROBE_MULTI.

    Raises:
        BpfRefusedError: the kernel refused, or has no such links (before Linux 5.18).
    """
    array = (ctypes.c_uint64 * len(addresses))(*addresses)
    options = _KprobeMultiOptions(
        multi_count=len(addresses), multi_addresses=ctypes.cast(array, ctypes.c_void_p)
    )
    result = libbpf.library().bpf_link_create(program.fd, 0, KPROBE_MULTI, ctypes.byref(options))
    if result < 0:
        raise refused(f"a kprobe on {len(addresses)} functions at once", libbpf.error_of(result))
    return Kprobes(result, _MultiInfo)


def online_cpus() -> list[int]:
    """Return the numbers of the CPUs that run."""
    found: list[int] = []
    for part in _CPUS_ONLINE.read_text().strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
