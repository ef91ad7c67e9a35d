from __future__ import annotations

import pytest

from tifbpf.errors import TifbpfError
from tifbpf.layouts import syscalls


# include/uapi/asm/unistd_64.h, unistd_32.h and unistd_x32.h.
@pytest.mark.parametrize(
    ("number", "abi", "name"),
    [
        (0, "x86-64", "read"),
        (39, "x86-64", "getpid"),
        (334, "x86-64", "rseq"),
        (20, "i386", "i386:getpid"),
        (0x40000000 + 39, "x32", "x32:getpid"),
        (9999, "x86-64", "syscall_9999"),
        (-1, "x86-64", "rt_sigreturn or skipped"),
    ],
)
def test_names(number: int, abi: str, name: str) -> None:
    assert syscalls.name(number, abi) == name


def test_numbers() -> None:
    assert syscalls.number("getpid") == (syscalls.Abi.X86_64, 39)
    assert syscalls.number("i386:getpid") == (syscalls.Abi.I386, 20)
    assert syscalls.number("i386:20") == (syscalls.Abi.I386, 20)
    with pytest.raises(TifbpfError, match="no such system call: 'getpdi'"):
        syscalls.number("getpdi")
