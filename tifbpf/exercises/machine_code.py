"""The inner loops, in machine code: nothing runs between two acts, and a handler may run at any of them.

Each routine is a listing of (bytes, assembly), read-only and executable in memory of its own: a memfd,
because a uprobe needs a file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator, Sequence

from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises import kernel
from tifbpf.exercises.kernel import SystemCall

Listing = Sequence[tuple[str, str]]

CALLS: Listing = (
    # long calls(long rounds, const long table[][6], long entries): each round makes all calls of the table
    # (number, then five arguments); returns 0, or the first -errno at once.
    ("53", "push rbx"),
    ("4154", "push r12"),
    ("4155", "push r13"),
    ("4156", "push r14"),
    ("4157", "push r15"),
    ("4889fb", "mov rbx, rdi"),
    ("4989f4", "mov r12, rsi"),
    ("4989d5", "mov r13, rdx"),
    ("4531c9", "xor r9d, r9d"),
    ("31c0", "round: xor eax, eax"),
    ("4885db", "test rbx, rbx"),
    ("7432", "je done"),
    ("48ffcb", "dec rbx"),
    ("4d89e6", "mov r14, r12"),
    ("4d89ef", "mov r15, r13"),
    ("498b06", "call: mov rax, [r14]"),
    ("498b7e08", "mov rdi, [r14+0x8]"),
    ("498b7610", "mov rsi, [r14+0x10]"),
    ("498b5618", "mov rdx, [r14+0x18]"),
    ("4d8b5620", "mov r10, [r14+0x20]"),
    ("4d8b4628", "mov r8, [r14+0x28]"),
    ("0f05", "syscall"),
    ("4885c0", "test rax, rax"),
    ("780b", "js done"),
    ("4983c630", "add r14, 0x30"),
    ("49ffcf", "dec r15"),
    ("75d9", "jne call"),
    ("ebc7", "jmp round"),
    ("415f", "done: pop r15"),
    ("415e", "pop r14"),
    ("415d", "pop r13"),
    ("415c", "pop r12"),
    ("5b", "pop rbx"),
    ("c3", "ret"),
)

RETURN: Listing = (
    # void handler(int): a signal handler that does nothing.
    ("c3", "ret"),
)

Call = tuple[SystemCall, *tuple[int, ...]]


class Code:
    """A routine in executable memory."""

    def __init__(self, descriptor: int, length: int) -> None:
        """Map the whole of a file.

        Raises:
            OSError: the host forbids it.
        """
        self.length = length
        self.address = kernel.map_code(descriptor, length)

    def function(self, *arguments: type[ctypes.c_long] | type[ctypes.c_void_p]) -> Callable[..., int]:
        """Return it as a function that keeps the interpreter lock: no futex call comes in between."""
        return ctypes.PYFUNCTYPE(ctypes.c_long, *arguments)(self.address)

    def close(self) -> None:
        """Give the memory back."""
        kernel.unmap(self.address, self.length)


@contextlib.contextmanager
def loaded_from_file(listing: Listing) -> Iterator[tuple[Code, int]]:
    """Load a routine; yield it with the descriptor of its file, which begins with it.

    Raises:
        ExerciseUnavailableError: the host forbids it.
    """
    with contextlib.ExitStack() as stack:
        code, descriptor = _load(listing)
        stack.callback(os.close, descriptor)
        stack.callback(code.close)
        yield code, descriptor


@contextlib.contextmanager
def loaded(listing: Listing) -> Iterator[Code]:
    """Load a routine, without keeping a descriptor, and give its memory back.

    Raises:
        ExerciseUnavailableError: the host forbids it.
    """
    code, descriptor = _load(listing)
    os.close(descriptor)
    try:
        yield code
    finally:
        code.close()


def _load(listing: Listing) -> tuple[Code, int]:
    machine = os.uname().machine
    if machine != "x86_64":
        raise ExerciseUnavailableError(f"exercises are x86-64 machine code, and this is {machine}")
    binary = bytes.fromhex("".join(line for line, _ in listing))
    with kernel.needed("executable memory", "allow memfd_create and an executable mapping of it"):
        descriptor = os.memfd_create("tifbpf-exercise", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, binary)
            return Code(descriptor, len(binary)), descriptor
        except OSError:
            os.close(descriptor)
            raise


def repeat(rounds: int, *calls: Call) -> None:
    """Make `calls` in turn, `rounds` times; a call may have up to five arguments.

    Raises:
        OSError: a call failed; those after it were not made.
    """
    table = (ctypes.c_long * 6 * len(calls))()
    for entry, call in zip(table, calls, strict=True):
        entry[: len(call)] = call
    with loaded(CALLS) as code:
        function = code.function(ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
        result = function(rounds, ctypes.addressof(table), len(calls))
    if result < 0:
        raise OSError(-result, f"{calls[0][0].name.lower()} …: {os.strerror(-result)}")
