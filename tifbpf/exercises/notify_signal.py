"""NOTIFY_SIGNAL at the exit of a system call."""

from __future__ import annotations

import contextlib
import ctypes
import os

from tifbpf.errors import TifbpfError
from tifbpf.exercises import kernel
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.exercises.uring import PollRing
from tifbpf.layouts.model import Context

_BATCH = 1024


class NotifySignal(Exercise):
    """write(2) to a pipe that an io_uring of the same task polls."""

    name = "notify-signal"
    summary = "arms an io_uring poll on its own pipe, then writes to the pipe"
    why = (
        "The write completes the poll, and io_uring queues the completion to the task that armed it with "
        "TWA_SIGNAL, before write returns; each poll is armed anew, so every write has the bit. The "
        "completions are counted as well, and a missing one is an error."
    )
    control_summary = "the same calls, but io_uring_enter has nothing to submit, so no poll is armed"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of write with NOTIFY_SIGNAL."""
        return (
            Expectation(context=Context.SYSCALL, bit="NOTIFY_SIGNAL", syscall="write", count=n, exact=True),
        )

    def run(self, n: int) -> None:
        """Complete n polls by writing."""
        _write(n, armed=True)

    def control(self, n: int) -> None:
        """Write n times without a poll."""
        _write(n, armed=False)


def _write(n: int, *, armed: bool) -> None:
    byte = ctypes.create_string_buffer(1)
    address = ctypes.addressof(byte)
    with contextlib.ExitStack() as stack:
        read_end, write_end = os.pipe()
        stack.callback(os.close, read_end)
        stack.callback(os.close, write_end)
        with kernel.needed("io_uring", "allow it (sysctl kernel.io_uring_disabled, seccomp)"):
            ring = PollRing(read_end, _BATCH)
        stack.callback(ring.close)
        for done in range(0, n, ring.entries):
            batch = min(ring.entries, n - done)
            if armed:
                ring.offer(batch)
            repeat(
                batch,
                (SystemCall.IO_URING_ENTER, ring.descriptor, int(armed), 0, 0, 0),
                (SystemCall.WRITE, write_end, address, 1),
                (SystemCall.READ, read_end, address, 1),
            )
            completed = ring.collect()
            if armed and completed != batch:
                raise TifbpfError(f"io_uring completed {completed} of {batch} polls")
