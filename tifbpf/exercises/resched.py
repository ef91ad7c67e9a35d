"""NEED_RESCHED, at the exit of an interrupt and at that of a system call.

A real-time process that becomes runnable on the CPU of a lesser one sets NEED_RESCHED on it at once, never
NEED_RESCHED_LAZY, which is for the fair class.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterator

from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises import kernel
from tifbpf.exercises.children import helper
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import Listing, loaded, repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.exercises.preemption import preemption
from tifbpf.layouts.model import Context

WATCH: Listing = (
    # long watch(long changes, const volatile long *counter, long spins): spins in user mode until the counter
    # has been seen to change `changes` times, or `spins` looks; returns how many changes are missing.
    ("488b06", "next: mov rax, [rsi]"),
    ("f390", "spin: pause"),
    ("48ffca", "dec rdx"),
    ("740a", "je out"),
    ("483b06", "cmp rax, [rsi]"),
    ("74f4", "je spin"),
    ("48ffcf", "dec rdi"),
    ("75ec", "jne next"),
    ("4889f8", "out: mov rax, rdi"),
    ("c3", "ret"),
)

_SPINS = 10_000_000
_SLEEP = 50e-6


class Resched(Exercise):
    """A higher-priority process that wakes by a timer, on the CPU where we spin."""

    name = "resched"
    summary = (
        "spins in user mode at SCHED_FIFO priority 1 while a child at priority 2 on the same CPU sleeps and "
        "wakes by a timer"
    )
    why = (
        "Each act is a change of the child's counter seen from the user-mode loop; on one CPU it means that "
        "the child took the CPU from that loop, which happens only at an interrupt exit with NEED_RESCHED. "
        "Other changes, before and after, and other interrupts can add to it, so there are at least as many."
    )
    control_summary = "the child counts on another CPU"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return at least n interrupt exits with NEED_RESCHED."""
        return (
            Expectation(context=Context.INTERRUPT, bit="NEED_RESCHED", syscall=None, count=n, exact=False),
        )

    def run(self, n: int) -> None:
        """Be preempted in user mode at least n times."""
        cpu = _own_cpu()
        _watch(n, cpu, cpu)

    def control(self, n: int) -> None:
        """See the counter change n times without being preempted for it."""
        cpu = _own_cpu()
        others = os.sched_getaffinity(0) - {cpu}
        if not others:
            raise ExerciseUnavailableError("the control of resched needs two CPUs; this process may use one")
        _watch(n, cpu, min(others))


class ReschedWakeup(Exercise):
    """write(2) that wakes a higher-priority process on the same CPU."""

    name = "resched-wakeup"
    summary = "writes to an eventfd that a child at SCHED_FIFO priority 2 waits for on the same CPU"
    why = (
        "The child takes the CPU whenever it can, so it waits again before the next write. With preempt=none "
        "or voluntary the write runs to its exit with NEED_RESCHED, every time. A kernel that preempts "
        "itself (full, lazy) switches inside the call, and its exit has the bit by chance only: at least 0."
    )
    control_summary = "the same writes while nobody waits"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of write with NEED_RESCHED; at least 0 where the kernel preempts itself."""
        runs_to_exit = preemption() in ("none", "voluntary")
        return (
            Expectation(
                context=Context.SYSCALL,
                bit="NEED_RESCHED",
                syscall="write",
                count=n if runs_to_exit else 0,
                exact=runs_to_exit,
            ),
        )

    def run(self, n: int) -> None:
        """Wake the child n times."""
        cpu = _own_cpu()
        with _eventfd() as event:

            def wait_forever(ready: Callable[[], object]) -> None:
                _be(cpu, priority=2)
                ready()
                while True:
                    os.eventfd_read(event)

            with helper(wait_forever), _being(cpu, priority=1):
                # That we run at all on this CPU means that the child waits.
                _write(n, event)

    def control(self, n: int) -> None:
        """Write n times."""
        with _eventfd() as event, _being(_own_cpu(), priority=1):
            _write(n, event)


def _own_cpu() -> int:
    """Return one of the CPUs that we may use; processes started together get different ones."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[os.getpid() % len(cpus)]


def _be(cpu: int, priority: int) -> None:
    os.sched_setaffinity(0, {cpu})
    with kernel.needed("SCHED_FIFO", "it takes root or CAP_SYS_NICE, and a cgroup that allows real time"):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


@contextlib.contextmanager
def _being(cpu: int, priority: int) -> Iterator[None]:
    """Be on `cpu` at SCHED_FIFO `priority`, then as before."""
    affinity, policy, parameters = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        _be(cpu, priority)
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
        os.sched_setaffinity(0, affinity)


def _watch(n: int, cpu: int, childs_cpu: int) -> None:
    """See a child on `childs_cpu` count, `n` times, from a user-mode loop on `cpu`."""
    # Python maps anonymous memory shared, so the child's changes are seen.
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    counter = ctypes.c_uint64.from_buffer(memory)

    def count_forever(ready: Callable[[], object]) -> None:
        _be(childs_cpu, priority=2)
        ready()
        while True:
            time.sleep(_SLEEP)
            counter.value += 1

    with loaded(WATCH) as code, helper(count_forever) as child, _being(cpu, priority=1):
        watch = code.function(ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
        missing = n
        while missing:
            missing = watch(missing, ctypes.addressof(counter), _SPINS)
            if missing and not child.running():
                child.wait()


def _write(n: int, event: int) -> None:
    one = ctypes.c_uint64(1)
    repeat(n, (SystemCall.WRITE, event, ctypes.addressof(one), 8))


@contextlib.contextmanager
def _eventfd() -> Iterator[int]:
    event = os.eventfd(0)
    try:
        yield event
    finally:
        os.close(event)
