"""System call names by number and ABI, from the tables of the `system-calls` package."""

from __future__ import annotations

import functools
import importlib
from enum import StrEnum

from tifbpf.errors import TifbpfError


class Abi(StrEnum):
    """The ways into the kernel, each with a table of its own."""

    X86_64 = "x86-64"
    I386 = "i386"
    X32 = "x32"


_ABIS = frozenset(map(str, Abi))

NO_SYSCALL = -1
"""`orig_ax` where the kernel forgot the number: rt_sigreturn, or a call that seccomp or a tracer skipped."""

_NO_SYSCALL_NAME = "rt_sigreturn or skipped"


@functools.cache
def _numbers(abi: Abi) -> dict[str, int]:
    # The package's own class loads the list of all names first; one table is enough here.
    table = abi.value.replace("-", "_")
    numbers: dict[str, int] = getattr(
        importlib.import_module(f"system_calls.tables.{table}"), f"syscalls_{table}"
    )
    return numbers


@functools.cache
def _names(abi: Abi) -> dict[int, str]:
    return {number: name for name, number in _numbers(abi).items()}


def name(number: int, abi: str) -> str:
    """Return the call's name, `i386:` or `x32:` before those of the other ABIs, `syscall_999` for an unknown.

    >>> name(39, "x86-64"), name(20, "i386"), name(9999, "x86-64"), name(-1, "x86-64")
    ('getpid', 'i386:getpid', 'syscall_9999', 'rt_sigreturn or skipped')
    >>> name(39, "arm64")
    'arm64:syscall_39'
    """
    if number == NO_SYSCALL:
        return _NO_SYSCALL_NAME
    # A recording may hold an ABI of a later tifbpf's, or of nobody's.
    known = _names(Abi(abi)) if abi in _ABIS else {}
    plain = known.get(number, f"syscall_{number}")
    return plain if abi == Abi.X86_64 else f"{abi}:{plain}"


def names() -> tuple[str, ...]:
    """Return the names of all calls of x86-64."""
    return tuple(_numbers(Abi.X86_64))


def number(text: str) -> tuple[Abi, int]:
    """Return ABI and number of a call given as `getpid`, `39`, `i386:getpid` or `x32:39`.

    Raises:
        TifbpfError: no such call.
    """
    prefix, _, rest = text.rpartition(":")
    try:
        abi = Abi(prefix or Abi.X86_64)
    except ValueError:
        raise TifbpfError(f"no such system call: {text!r}; the ABI is one of {', '.join(Abi)}") from None
    if rest.isascii() and rest.isdecimal():
        return abi, int(rest)
    if rest in _numbers(abi):
        return abi, _numbers(abi)[rest]
    raise TifbpfError(f"no such system call: {text!r}; give a name of syscalls(2) or a number")
