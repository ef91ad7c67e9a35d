"""NEED_RESCHED, at the exit of an interrupt and at that of a system call.

A real-time process that becomes runnable on the CPU of a lesser one sets NEED_RESCHED on it at once, never
NEED_RESCHED_LAZY, which is for the fair class.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator

from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises import kernel
from tifbpf.exercises.children import helper
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.exercises.preemption import preemption
from tifbpf.exercises.watching import Counter, other_cpu, own_cpu, see_changes, with_spares
from tifbpf.layouts.model import Context

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
        "Other changes, before and after, and other interrupts can add to it, so there are at least as many. "
        "A wake-up while the exit of another interrupt works shows in a later pass of that exit only; one "
        "change and a sixteenth more are waited for, for those."
    )
    control_summary = "the child counts on another CPU"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return at least n interrupt exits with NEED_RESCHED."""
        return (
            Expectation(context=Context.INTERRUPT, bit="NEED_RESCHED", syscall=None, count=n, exact=False),
        )

    def run(self, n: int) -> None:
        """Be preempted in user mode at least n times."""
        cpu = own_cpu()
        _watch(n, cpu, cpu)

    def control(self, n: int) -> None:
        """See the counter change n times without being preempted for it."""
        cpu = own_cpu()
        other = other_cpu(cpu)
        if other is None:
            raise ExerciseUnavailableError("the control of resched needs two CPUs; this process may use one")
        _watch(n, cpu, other)


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
        cpu = own_cpu()
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
        with _eventfd() as event, _being(own_cpu(), priority=1):
            _write(n, event)


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
    counter = Counter()

    def count_forever(ready: Callable[[], object]) -> None:
        _be(childs_cpu, priority=2)
        ready()
        while True:
            time.sleep(_SLEEP)
            counter.increment()

    with helper(count_forever) as child, _being(cpu, priority=1):
        see_changes(with_spares(n), counter, child)


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
