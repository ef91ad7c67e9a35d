"""System calls that Python does not offer, each raising OSError when it fails."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from tifbpf.errors import ExerciseUnavailableError

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.sigaction.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class SystemCall(IntEnum):
    """Numbers in the x86-64 table."""

    READ = 0
    WRITE = 1
    CLOSE = 3
    DUP2 = 33
    KILL = 62
    GETPPID = 110
    SCHED_SETAFFINITY = 203
    EVENTFD2 = 290
    PERF_EVENT_OPEN = 298
    RSEQ = 334
    IO_URING_SETUP = 425
    IO_URING_ENTER = 426


class Prctl(IntEnum):
    """Options of prctl(2), from linux/prctl.h."""

    SET_PDEATHSIG = 1
    SET_SECCOMP = 22
    SET_NO_NEW_PRIVS = 38
    SET_SYSCALL_USER_DISPATCH = 59
    SET_PTRACER = 0x59616D61


class Ptrace(IntEnum):
    """Requests of ptrace(2), from linux/ptrace.h."""

    PEEKUSER = 3
    SINGLESTEP = 9
    DETACH = 17
    SYSCALL = 24
    SEIZE = 0x4206
    INTERRUPT = 0x4207


SIG_IGN = 1
SA_SIGINFO = 4


class _Sigaction(ctypes.Structure):
    """The C library's `struct sigaction` (bits/sigaction.h)."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def _checked(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(call: SystemCall, *arguments: int) -> int:
    """Make one system call; pointers are given as addresses."""
    # ctypes would pass a bare Python int as a C int and cut an address in half.
    return _checked(_libc.syscall(ctypes.c_long(call), *map(ctypes.c_long, arguments)), call.name.lower())


def prctl(option: Prctl, *arguments: int) -> None:
    """Set a property of this process; arguments that are not given are 0."""
    filled = (*arguments, 0, 0, 0, 0)[:4]
    _checked(_libc.prctl(option, *filled), f"prctl(PR_{option.name})")


def ptrace(request: Ptrace, pid: int, address: int = 0, data: int = 0) -> None:
    """Make one request that returns nothing."""
    _checked(_libc.ptrace(request, pid, address, data), f"ptrace(PTRACE_{request.name})")


def peek_user(pid: int, offset: int) -> int:
    """Return a word of the stopped `pid`'s user area (PTRACE_PEEKUSER)."""
    ctypes.set_errno(0)
    word: int = _libc.ptrace(Ptrace.PEEKUSER, pid, offset, 0)
    if word == -1 and ctypes.get_errno():
        _checked(word, "ptrace(PTRACE_PEEKUSER)")
    return word


def map_code(descriptor: int, length: int) -> int:
    """Map a file privately, to be read and executed, and return the address."""
    # PROT_READ | PROT_EXEC, MAP_PRIVATE
    address = _libc.mmap(None, length, 1 | 4, 2, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        _checked(-1, "mmap")
    return int(address)


def map_untouchable(length: int) -> int:
    """Map anonymous memory that may not be touched, and return the address."""
    # PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS
    address = _libc.mmap(None, length, 0, 0x02 | 0x20, -1, 0)
    if address == ctypes.c_void_p(-1).value:
        _checked(-1, "mmap")
    return int(address)


def unmap(address: int, length: int) -> None:
    """Undo `map_code` or `map_untouchable`."""
    _checked(_libc.munmap(address, length), "munmap")


def die_with_parent(parent: int) -> None:
    """Have the calling process killed when the thread that forked it ends; `parent` is that one's process."""
    prctl(Prctl.SET_PDEATHSIG, signal.SIGKILL)
    # It may have ended before. Not by getppid(): exercises count its exits. The name ends with ")".
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    if int(fields[1]) != parent:
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def disposition(signum: signal.Signals, handler: int, flags: int = 0) -> Iterator[None]:
    """Have `signum` unblocked and go to the machine code at `handler` (or SIG_IGN), then put all back.

    Python's own handlers only take a note and do their work later; here the work has to be done at once.
    """
    new, old = _Sigaction(handler=handler, flags=flags), _Sigaction()
    _checked(_libc.sigaction(signum, ctypes.addressof(new), ctypes.addressof(old)), "sigaction")
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _checked(_libc.sigaction(signum, ctypes.addressof(old), None), "sigaction")


@contextlib.contextmanager
def needed(what: str, remedy: str) -> Iterator[None]:
    """Turn an OSError into one line: `what` was refused, why, and the remedy.

    Raises:
        ExerciseUnavailableError: for any OSError inside.
    """
    try:
        yield
    except OSError as error:
        raise ExerciseUnavailableError(f"{what}: {error.strerror or error}; {remedy}") from error
