"""What a timer that fires in user mode leaves to the exit of its interrupt."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import struct
from collections.abc import Iterator

from tifbpf.errors import ExerciseUnavailableError, TifbpfError
from tifbpf.exercises import kernel
from tifbpf.exercises.kernel_types import has_type
from tifbpf.exercises.machine_code import Listing, loaded
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.exercises.usage import involuntary_switches
from tifbpf.exercises.watching import stay_in_user_mode, with_spares
from tifbpf.layouts.model import Context

SPIN: Listing = (
    # void spin(const volatile long *address): spins in user mode until it is not 0.
    ("f390", "spin: pause"),
    ("48833f00", "cmp QWORD PTR [rdi], 0x0"),
    ("74f8", "je spin"),
    ("c3", "ret"),
)

_SHORTEST, _LONGEST = 50e-6, 3.2e-3
"""Seconds from arming a shot: enough to be back in user mode by then, on most hosts; on emulated ones."""


def store_interrupted(address: int) -> Listing:
    """Return a signal handler that stores where the signal interrupted us at `address`."""
    return (
        # void handler(int, siginfo_t *, ucontext_t *)
        # 0xa8 is offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]).
        ("488b82a8000000", "mov rax, [rdx+0xa8]"),
        ("48a3" + struct.pack("<Q", address).hex(), f"movabs [{address:#x}], rax"),
        ("c3", "ret"),
    )


class _Spinner:
    """Spins in user mode until a signal comes, and tells where it found us."""

    def __init__(self, timer: int, signum: signal.Signals, stack: contextlib.ExitStack) -> None:
        self._timer = timer
        self._interrupted = ctypes.c_uint64(1)
        address = ctypes.addressof(self._interrupted)
        spin = stack.enter_context(loaded(SPIN))
        handler = stack.enter_context(loaded(store_interrupted(address)))
        stack.enter_context(kernel.disposition(signum, handler.address, kernel.SA_SIGINFO))
        stack.enter_context(_timer_kept(timer))
        self._spin = functools.partial(spin.function(ctypes.c_void_p), address)
        self._loop = range(spin.address, spin.address + spin.length)
        # Once through it: else a timer can come in the page fault at its first instruction, and the exit of
        # an exception has the bit.
        self._spin()

    def shoot(self, delay: float) -> bool:
        """Arm the timer once, spin until it fires; whether it fired while spinning."""
        self._interrupted.value = 0
        signal.setitimer(self._timer, delay)
        self._spin()
        return self._interrupted.value in self._loop


@contextlib.contextmanager
def _timer_kept(timer: int) -> Iterator[None]:
    before = signal.setitimer(timer, 0)
    try:
        yield
    finally:
        signal.setitimer(timer, *before)


class TimerSignal(Exercise):
    """ITIMER_REAL, a high-resolution timer."""

    name = "timer-signal"
    summary = "spins in user mode until a timer's SIGALRM comes"
    why = (
        "A shot counts if the signal found the process in its user-mode loop and no context switch came in "
        "between: then the timer's interrupt made it pending. Shots that do not count are repeated, and may "
        "have had the bit at another exit, so there are at least as many. A timer that fires while the exit "
        "of another interrupt works shows in a later pass of that exit only; one shot and a sixteenth more "
        "are made for those."
    )
    control_summary = "the same timers and spinning, but SIGALRM is ignored"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return at least n interrupt exits with SIGPENDING."""
        return (Expectation(context=Context.INTERRUPT, bit="SIGPENDING", syscall=None, count=n, exact=False),)

    def run(self, n: int) -> None:
        """Be hit n times while spinning."""
        if "PREEMPT_RT" in os.uname().version:
            raise ExerciseUnavailableError(
                "timer-signal: with PREEMPT_RT a thread runs the timers and preempts whom it signals, so no "
                "interrupt makes SIGALRM pending; use cpu-timer"
            )
        hits = shots = 0
        delay = _SHORTEST
        with contextlib.ExitStack() as stack:
            spinner = _Spinner(signal.ITIMER_REAL, signal.SIGALRM, stack)
            while hits < with_spares(n):
                if shots == 100 * n + 1000:
                    raise TifbpfError(
                        f"only {hits} of {shots} timers fired in user mode; the host is too busy"
                    )
                shots += 1
                switches = involuntary_switches()
                if not spinner.shoot(delay):
                    delay = min(2 * delay, _LONGEST)
                elif switches != involuntary_switches():
                    delay = max(delay / 2, _SHORTEST)
                else:
                    hits += 1

    def control(self, n: int) -> None:
        """Arm n timers whose signal is ignored."""
        with kernel.disposition(signal.SIGALRM, kernel.SIG_IGN), _timer_kept(signal.ITIMER_REAL):
            for _ in range(n):
                signal.setitimer(signal.ITIMER_REAL, _SHORTEST)
                stay_in_user_mode(2 * _SHORTEST)


class CpuTimer(Exercise):
    """ITIMER_VIRTUAL, which the tick finds expired."""

    name = "cpu-timer"
    summary = "spins in user mode until a SIGVTALRM comes; each takes one or two ticks"
    why = (
        "ITIMER_VIRTUAL counts the ticks that find the process in user mode, so it expires in such a tick "
        "and nowhere else. Since Linux 5.9 the tick leaves the expiry to task work: the exit finds "
        "NOTIFY_RESUME, and its work sets SIGPENDING, which a later pass of the loop sees; before, it is "
        "SIGPENDING at once. A tick sets NOTIFY_RESUME for other reasons too (concurrency ids, every "
        "100 ms), so there are at least as many."
    )
    control_summary = "the same spinning without the timer"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return at least n interrupt exits with the bit that this kernel's tick sets.

        Raises:
            ExerciseUnavailableError: the kernel has no BTF to tell which.
        """
        bit = "NOTIFY_RESUME" if _expires_in_task_work() else "SIGPENDING"
        return (Expectation(context=Context.INTERRUPT, bit=bit, syscall=None, count=n, exact=False),)

    def run(self, n: int) -> None:
        """Have n timers expire."""
        with contextlib.ExitStack() as stack:
            spinner = _Spinner(signal.ITIMER_VIRTUAL, signal.SIGVTALRM, stack)
            for _ in range(n):
                # The kernel rounds up to the next tick.
                if not spinner.shoot(1e-6):
                    raise TifbpfError("ITIMER_VIRTUAL expired outside user mode; the count would be wrong")

    def control(self, n: int) -> None:
        """Spin for about n ticks of 4 ms."""
        stay_in_user_mode(0.004 * n)


def _expires_in_task_work() -> bool:
    """Whether CONFIG_POSIX_CPU_TIMERS_TASK_WORK is on, without which struct posix_cputimers_work is not.

    1fb497dd0030 "posix-cpu-timers: Provide mechanisms to defer timer handling to task_work", Linux 5.9.
    """
    return has_type("posix_cputimers_work")
