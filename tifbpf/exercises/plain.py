"""Fast exits: system calls that do nothing that needs work on the way out."""

from __future__ import annotations

import ctypes

from tifbpf.errors import ExerciseUnavailableError, TifbpfError
from tifbpf.exercises.children import Child
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import Listing, loaded, repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context

INT80: Listing = (
    # long int80(long rounds): i386's getpid (20), `rounds` times; the last result.
    ("b814000000", "call: mov eax, 0x14"),
    ("cd80", "int 0x80"),
    ("48ffcf", "dec rdi"),
    ("75f4", "jne call"),
    ("c3", "ret"),
)


class Syscall(Exercise):
    """getppid, as plain as a system call can be."""

    name = "syscall"
    summary = "calls getppid, which leaves no work behind"
    why = (
        "Every call is one exit, so the number of exits is exact. A tick that falls into a call can make its "
        "exit slow, so a few of many may not be fast."
    )

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of getppid."""
        return (Expectation(context=Context.SYSCALL, bit=None, syscall="getppid", count=n, exact=True),)

    def run(self, n: int) -> None:
        """Call getppid n times."""
        repeat(n, (SystemCall.GETPPID,))


class Int80(Exercise):
    """The 32-bit entry, whose numbers are those of another table."""

    name = "int80"
    summary = "calls i386's getpid (20) by int 0x80 from 64-bit code; 20 is writev in the x86-64 table"
    why = (
        "Every call is one exit, so the number of exits is exact. A tick that falls into a call can make its "
        "exit slow, so a few of many may not be fast."
    )

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of i386's getpid."""
        return (
            Expectation(context=Context.SYSCALL, bit=None, syscall="getpid", abi="i386", count=n, exact=True),
        )

    def run(self, n: int) -> None:
        """Call getpid n times."""
        with loaded(INT80) as code:
            call = code.function(ctypes.c_long)
            try:
                # Without 32-bit emulation `int 0x80` is a protection fault, and the process dies of SIGSEGV.
                Child(lambda: call(1)).wait()
            except TifbpfError as error:
                raise ExerciseUnavailableError(
                    "int80: this kernel has no 32-bit system calls; "
                    "CONFIG_IA32_EMULATION is needed, and no ia32_emulation=0"
                ) from error
            call(n)
