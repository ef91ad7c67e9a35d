"""SYSCALL_AUDIT at the exit of a system call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises.audit_netlink import connected
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context


class SyscallAudit(Exercise):
    """A process that was forked while audit was on."""

    name = "audit"
    summary = "calls getppid in a process that was forked while audit was on"
    why = (
        "fork gives the bit to every process once audit has been on (audit_alloc), whether there are rules "
        "for system calls or not, unless a rule for tasks says never; it stays for the life of the process."
    )
    control_summary = "the same calls in a process forked under a rule `task,never`, removed after the fork"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of getppid with SYSCALL_AUDIT."""
        return (
            Expectation(context=Context.SYSCALL, bit="SYSCALL_AUDIT", syscall="getppid", count=n, exact=True),
        )

    @contextlib.contextmanager
    def prepared(self, *, control: bool) -> Iterator[None]:
        """For the control, have what is forked meanwhile not audited."""
        if not control:
            yield
            return
        with connected() as audit, audit.never_for_children():
            yield

    def run(self, n: int) -> None:
        """Make n calls that pass the audit."""
        with connected() as audit:
            if not audit.enabled():
                # Not switched on here: the kernel never forgets that it was (audit_ever_enabled), and every
                # process forked until the next boot would take the slowpath at every system call.
                raise ExerciseUnavailableError(
                    "audit: it is off, and once it was on, every process pays for it until the next boot; "
                    "boot with audit=1, or auditctl -e 1"
                )
            if audit.has_task_rules():
                raise ExerciseUnavailableError(
                    "audit: there are rules for tasks, which may leave this process out; see auditctl -l"
                )
        repeat(n, (SystemCall.GETPPID,))

    def control(self, n: int) -> None:
        """Make n calls, in a process that was forked in `prepared`."""
        repeat(n, (SystemCall.GETPPID,))
