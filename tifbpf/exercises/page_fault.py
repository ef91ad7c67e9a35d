"""SIGPENDING at the exit of an exception."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import signal
from collections.abc import Iterator

from tifbpf.exercises import kernel
from tifbpf.exercises.machine_code import Listing, loaded
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context

TOUCH: Listing = (
    # void touch(long rounds, const char *address): reads a byte, `rounds` times.
    ("8a06", "next: mov al, [rsi]"),
    ("48ffcf", "dec rdi"),
    ("75f9", "jne next"),
    ("c3", "ret"),
)

STEP_OVER: Listing = (
    # void handler(int, siginfo_t *, ucontext_t *): goes on after the two bytes of `mov al, [rsi]`.
    # 0xa8 is offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]).
    ("488382a800000002", "add QWORD PTR [rdx+0xa8], 0x2"),
    ("c3", "ret"),
)


class PageFaultSignal(Exercise):
    """A read from a page that may not be read."""

    name = "page-fault-signal"
    summary = "reads from a page that may not be read, and handles the SIGSEGV by stepping over the read"
    why = (
        "Every read is one page fault, whose handler raises the signal before the exit; the signal handler "
        "skips the read, so none is repeated."
    )
    control_summary = "the same reads from a page that may be read"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exception exits with SIGPENDING."""
        return (Expectation(context=Context.EXCEPTION, bit="SIGPENDING", syscall=None, count=n, exact=True),)

    def run(self, n: int) -> None:
        """Take n page faults that end in SIGSEGV."""
        with (
            loaded(TOUCH) as touch,
            loaded(STEP_OVER) as handler,
            _untouchable() as address,
            kernel.disposition(signal.SIGSEGV, handler.address, kernel.SA_SIGINFO),
        ):
            touch.function(ctypes.c_long, ctypes.c_void_p)(n, address)

    def control(self, n: int) -> None:
        """Read n times what may be read."""
        byte = ctypes.create_string_buffer(1)
        with loaded(TOUCH) as touch:
            touch.function(ctypes.c_long, ctypes.c_void_p)(n, ctypes.addressof(byte))


@contextlib.contextmanager
def _untouchable() -> Iterator[int]:
    address = kernel.map_untouchable(mmap.PAGESIZE)
    try:
        yield address
    finally:
        kernel.unmap(address, mmap.PAGESIZE)
