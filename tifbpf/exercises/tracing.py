"""What a ptrace tracer sets: SYSCALL_TRACE, SINGLESTEP, SYSCALL_EXIT_TRAP.

The tracer is a child of the process that exercises, so that the exits are that process's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from tifbpf.errors import TifbpfError
from tifbpf.exercises import kernel
from tifbpf.exercises.children import helper
from tifbpf.exercises.kernel import Prctl, Ptrace, SystemCall
from tifbpf.exercises.machine_code import repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context

_O_TRACESYSGOOD = 1
_SYSCALL_STOP = signal.SIGTRAP | 0x80
# offsetof(struct user, regs.orig_rax), sys/user.h
_ORIG_RAX = 15 * 8
# PR_SET_PTRACER_ANY, linux/prctl.h
_ANY = 2**64 - 1


class PtraceSyscall(Exercise):
    """PTRACE_SYSCALL, as strace does."""

    name = "ptrace"
    summary = "calls getppid while a child of it traces it with PTRACE_SYSCALL"
    why = (
        "The tracer asks for the next stop with PTRACE_SYSCALL at every stop, from before the first call, "
        "and lets go at the entry of the call that follows the last, so that the bit is there until the "
        "last one is out of the kernel."
    )
    control_summary = "the same calls with no tracer"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of getppid with SYSCALL_TRACE."""
        return (
            Expectation(context=Context.SYSCALL, bit="SYSCALL_TRACE", syscall="getppid", count=n, exact=True),
        )

    def run(self, n: int) -> None:
        """Make n traced calls."""
        _traced(n, _trace_calls)

    def control(self, n: int) -> None:
        """Make n calls."""
        repeat(n, (SystemCall.GETPPID,))


class SingleStep(Exercise):
    """PTRACE_SINGLESTEP across a system call."""

    name = "single-step"
    summary = "calls getppid while a child of it single-steps it from the entry of each call to its end"
    why = (
        "The tracer stops every call at its entry and resumes it with PTRACE_SINGLESTEP, which sets "
        "SINGLESTEP and, where the kernel has it, SYSCALL_EXIT_TRAP; the step ends with a trap at the exit "
        "of that call."
    )
    control_summary = "the same calls with no tracer"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of getppid with SINGLESTEP and SYSCALL_EXIT_TRAP."""
        return tuple(
            Expectation(context=Context.SYSCALL, bit=bit, syscall="getppid", count=n, exact=True)
            for bit in ("SINGLESTEP", "SYSCALL_EXIT_TRAP")
        )

    def run(self, n: int) -> None:
        """Make n stepped calls."""
        _traced(n, _step_calls)

    def control(self, n: int) -> None:
        """Make n calls."""
        repeat(n, (SystemCall.GETPPID,))


def _traced(n: int, trace: Callable[[int, int], None]) -> None:
    """Call getppid n times under a tracer that runs `trace(pid, n)` once it has seized us."""
    me = os.getpid()

    def seize_and_trace(ready: Callable[[], object]) -> None:
        with kernel.needed("ptrace", "allow it (seccomp, sysctl kernel.yama.ptrace_scope)"):
            kernel.ptrace(Ptrace.SEIZE, me, data=_O_TRACESYSGOOD)
        kernel.ptrace(Ptrace.INTERRUPT, me)
        _stop(me)
        ready()
        trace(me, n)

    # Yama's ptrace_scope 1 lets a process trace its descendants only; EINVAL where there is no Yama.
    with contextlib.suppress(OSError):
        kernel.prctl(Prctl.SET_PTRACER, _ANY)
    try:
        with helper(seize_and_trace) as tracer:
            repeat(n, (SystemCall.GETPPID,))
            tracer.wait()
    finally:
        with contextlib.suppress(OSError):
            kernel.prctl(Prctl.SET_PTRACER, 0)


def _stop(pid: int) -> int:
    """Wait for the tracee's next stop and return its signal; an event stop's is SIGTRAP."""
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise TifbpfError(f"process {pid} ended while it was traced")
    return os.WSTOPSIG(status)


def _next_syscall_stop(pid: int) -> None:
    """Resume the tracee until it stops at the entry or at the exit of a system call."""
    forwarded = 0
    while True:
        kernel.ptrace(Ptrace.SYSCALL, pid, data=forwarded)
        stop = _stop(pid)
        if stop == _SYSCALL_STOP:
            return
        forwarded = stop if stop != signal.SIGTRAP else 0


def _next_getppid_stop(pid: int) -> None:
    """Resume the tracee until it stops at the entry or at the exit of getppid."""
    _next_syscall_stop(pid)
    while kernel.peek_user(pid, _ORIG_RAX) != SystemCall.GETPPID:
        _next_syscall_stop(pid)


def _trace_calls(pid: int, n: int) -> None:
    for _ in range(2 * n):
        _next_getppid_stop(pid)
    # Letting go clears the bit, and at the exit stop a hook further down the exit has yet to look at it.
    # There is a next call: the loop's memory is given back.
    _next_syscall_stop(pid)
    kernel.ptrace(Ptrace.DETACH, pid)


def _step_calls(pid: int, n: int) -> None:
    for _ in range(n):
        _next_getppid_stop(pid)
        kernel.ptrace(Ptrace.SINGLESTEP, pid)
        while (stop := _stop(pid)) != signal.SIGTRAP:
            kernel.ptrace(Ptrace.SINGLESTEP, pid, data=stop)
    kernel.ptrace(Ptrace.DETACH, pid)
