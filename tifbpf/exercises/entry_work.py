"""Bits that are there for the entry of a system call, and what they cost its exit."""

from __future__ import annotations

import ctypes

from tifbpf.exercises import kernel
from tifbpf.exercises.kernel import Prctl, SystemCall
from tifbpf.exercises.machine_code import repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context

# linux/seccomp.h, linux/bpf_common.h
_SECCOMP_MODE_FILTER = 2
_SECCOMP_RET_ALLOW = 0x7FFF0000
_BPF_RET_K = 0x06

# linux/prctl.h
_PR_SYS_DISPATCH_OFF, _PR_SYS_DISPATCH_ON = 0, 1


class _SockFilter(ctypes.Structure):
    """`struct sock_filter`: one instruction."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _SockFprog(ctypes.Structure):
    """`struct sock_fprog`: a program."""

    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))


class Seccomp(Exercise):
    """A seccomp filter that allows everything."""

    name = "seccomp"
    summary = (
        "installs a seccomp filter that allows everything, then calls getppid; the bit is the entry's: alone "
        "it makes no exit slow"
    )
    why = "The filter stays for the life of the process, and the bit with it, so every later exit has it."
    control_summary = "the same calls with no filter"
    lasting = "a seccomp filter and no_new_privs"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of getppid with SECCOMP."""
        return (Expectation(context=Context.SYSCALL, bit="SECCOMP", syscall="getppid", count=n, exact=True),)

    def run(self, n: int) -> None:
        """Make n filtered calls; the filter stays."""
        allow = _SockFilter(code=_BPF_RET_K, k=_SECCOMP_RET_ALLOW)
        program = _SockFprog(length=1, filter=ctypes.pointer(allow))
        with kernel.needed("seccomp", "a kernel with CONFIG_SECCOMP_FILTER is needed"):
            kernel.prctl(Prctl.SET_NO_NEW_PRIVS, 1)
            kernel.prctl(Prctl.SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))
        repeat(n, (SystemCall.GETPPID,))

    def control(self, n: int) -> None:
        """Make n calls."""
        repeat(n, (SystemCall.GETPPID,))


class UserDispatch(Exercise):
    """System call user dispatch, switched on and told to let everything pass."""

    name = "user-dispatch"
    summary = (
        "switches on syscall user dispatch with the selector at ALLOW, then calls getppid: every exit is "
        "slow, and there is nothing to do"
    )
    why = "The bit is set and cleared by prctl, and is there in between."
    control_summary = "the same calls with the dispatch off"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of getppid with SYSCALL_USER_DISPATCH."""
        return (
            Expectation(
                context=Context.SYSCALL, bit="SYSCALL_USER_DISPATCH", syscall="getppid", count=n, exact=True
            ),
        )

    def run(self, n: int) -> None:
        """Make n calls with the dispatch on."""
        # SYSCALL_DISPATCH_FILTER_ALLOW is 0.
        selector = ctypes.c_char(b"\0")
        with kernel.needed("syscall user dispatch", "Linux 5.11 or later is needed"):
            kernel.prctl(
                Prctl.SET_SYSCALL_USER_DISPATCH, _PR_SYS_DISPATCH_ON, 0, 0, ctypes.addressof(selector)
            )
        try:
            repeat(n, (SystemCall.GETPPID,))
        finally:
            kernel.prctl(Prctl.SET_SYSCALL_USER_DISPATCH, _PR_SYS_DISPATCH_OFF)

    def control(self, n: int) -> None:
        """Make n calls."""
        repeat(n, (SystemCall.GETPPID,))
