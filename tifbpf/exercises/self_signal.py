"""SIGPENDING at the exit of a system call."""

from __future__ import annotations

import os
import signal

from tifbpf.exercises import kernel
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import RETURN, loaded, repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context


class Signal(Exercise):
    """kill(2) to itself."""

    name = "signal"
    summary = "sends itself SIGUSR1, which it handles"
    why = (
        "A signal to the only thread of a process is pending before kill returns and is delivered on the way "
        "out of it, so every call has the bit, and the next one finds it cleared."
    )
    control_summary = "SIGUSR1 is ignored, so kill leaves nothing pending"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of kill with SIGPENDING."""
        return (Expectation(context=Context.SYSCALL, bit="SIGPENDING", syscall="kill", count=n, exact=True),)

    def run(self, n: int) -> None:
        """Send n signals."""
        with loaded(RETURN) as handler, kernel.disposition(signal.SIGUSR1, handler.address):
            _send(n)

    def control(self, n: int) -> None:
        """Send n signals that are ignored."""
        with kernel.disposition(signal.SIGUSR1, kernel.SIG_IGN):
            _send(n)


def _send(n: int) -> None:
    repeat(n, (SystemCall.KILL, os.getpid(), signal.SIGUSR1))
