"""What the tick sets when another fair process waits for the CPU: NEED_RESCHED or NEED_RESCHED_LAZY."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from tifbpf.errors import ExerciseUnavailableError, TifbpfError
from tifbpf.exercises.children import helper
from tifbpf.exercises.machine_code import Listing, loaded
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.exercises.preemption import fair_is_lazy
from tifbpf.exercises.usage import involuntary_switches
from tifbpf.exercises.watching import (
    Counter,
    other_cpu,
    own_cpu,
    pinned,
    see_changes,
    stay_in_user_mode,
    with_spares,
)
from tifbpf.layouts.model import Context

COUNT: Listing = (
    # void count(volatile long *counter): counts in user mode for ever.
    ("48ff07", "next: inc QWORD PTR [rdi]"),
    ("f390", "pause"),
    ("ebf9", "jmp next"),
)

_TURN = 0.005
"""Seconds; about as long as the scheduler lets one of two processes run."""


class ReschedFair(Exercise):
    """Two processes of the fair class that spin on one CPU."""

    name = "resched-fair"
    summary = "spins in user mode while a child of the same priority spins on the same CPU"
    why = (
        "Each act is a change of the child's counter seen from the user-mode loop; on one CPU it means that "
        "the child took the CPU from that loop, which happens only at an interrupt exit with the bit. The "
        "kernel's own count of involuntary switches is compared, and fewer of them is an error. Switches "
        "before and after, and other processes, can add to it, so there are at least as many. One that is "
        "asked for while the exit of another interrupt works, or by a real-time process, shows otherwise; "
        "one change and a sixteenth more are waited for, for those."
    )
    control_summary = "the child spins on another CPU; what else runs here can still ask for the CPU"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return at least n interrupt exits with the bit that the fair class sets in this kernel.

        Raises:
            ExerciseUnavailableError: the kernel does not say how it preempts.
        """
        lazy = fair_is_lazy()
        if lazy is None:
            raise ExerciseUnavailableError(
                "resched-fair: this kernel does not say whether it preempts lazily; mount debugfs"
            )
        bit = "NEED_RESCHED_LAZY" if lazy else "NEED_RESCHED"
        return (Expectation(context=Context.INTERRUPT, bit=bit, syscall=None, count=n, exact=False),)

    def run(self, n: int) -> None:
        """Lose the CPU in user mode at least n times."""
        cpu, counter = own_cpu(), Counter()
        with helper(lambda ready: _count(cpu, counter, ready)) as child, pinned(cpu):
            before = involuntary_switches()
            see_changes(with_spares(n), counter, child)
            switches = involuntary_switches() - before
        if switches < n:
            raise TifbpfError(f"the kernel counted {switches} involuntary switches of {n}")

    def control(self, n: int) -> None:
        """Spin for about as long, alone on the CPU as far as it is up to us."""
        cpu, counter = own_cpu(), Counter()
        other = other_cpu(cpu)
        if other is None:
            raise ExerciseUnavailableError(
                "the control of resched-fair needs two CPUs; this process may use one"
            )
        with helper(lambda ready: _count(other, counter, ready)), pinned(cpu):
            stay_in_user_mode(n * _TURN)


def _count(cpu: int, counter: Counter, ready: Callable[[], object]) -> None:
    os.sched_setaffinity(0, {cpu})
    with loaded(COUNT) as code:
        ready()
        code.function(ctypes.c_void_p)(counter.address)
