"""NOTIFY_RESUME at the exit of a system call."""

from __future__ import annotations

import os

from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context


class TaskWork(Exercise):
    """dup2(2) over the last descriptor of an open file."""

    name = "task-work"
    summary = "opens an eventfd and lets dup2 close it, which leaves the last fput to task work"
    why = (
        "fput of a last reference queues task work, always, so every dup2 has the bit. Only the exits of "
        "dup2 are counted: others have it too, e.g. for rseq after a context switch. close() does not do: "
        'since Linux 6.6 it frees the file at once (021a160abf62 "fs: use __fput_sync in close(2)").'
    )
    control_summary = (
        "dup2 over a second descriptor of a file that stays open, so nothing is freed; a tick that falls "
        "into the call can still set the bit (concurrency ids, every 100 ms), and so can a preemption (rseq)"
    )

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of dup2 with NOTIFY_RESUME."""
        return (
            Expectation(context=Context.SYSCALL, bit="NOTIFY_RESUME", syscall="dup2", count=n, exact=True),
        )

    def run(self, n: int) -> None:
        """Have n files freed by dup2."""
        kept = os.eventfd(0)
        # The lowest free number: the one that eventfd2 returns at every turn.
        freed = os.dup(kept)
        os.close(freed)
        try:
            repeat(
                n,
                (SystemCall.EVENTFD2, 0, 0),
                (SystemCall.DUP2, kept, freed),
                # Not the last reference, so no task work on any kernel.
                (SystemCall.CLOSE, freed),
            )
        finally:
            os.close(kept)

    def control(self, n: int) -> None:
        """Have dup2 drop n references that are not the last."""
        kept = os.eventfd(0)
        other = os.dup(kept)
        try:
            repeat(n, (SystemCall.DUP2, kept, other))
        finally:
            os.close(other)
            os.close(kept)
