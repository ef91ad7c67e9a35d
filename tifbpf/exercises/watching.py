"""Seeing, from a user-mode loop, that another process had the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import time
from collections.abc import Iterator

from tifbpf.exercises.children import Child
from tifbpf.exercises.machine_code import Listing, loaded

WATCH: Listing = (
    # long watch(long changes, const volatile long *counter, long spins): spins in user mode until the counter
    # has been seen to change `changes` times, or `spins` looks; returns how many changes are missing.
    ("488b06", "next: mov rax, [rsi]"),
    ("f390", "spin: pause"),
    ("48ffca", "dec rdx"),
    ("740a", "je out"),
    ("483b06", "cmp rax, [rsi]"),
    ("74f4", "je spin"),
    ("48ffcf", "dec rdi"),
    ("75ec", "jne next"),
    ("4889f8", "out: mov rax, rdi"),
    ("c3", "ret"),
)

_SPINS = 10_000_000


class Counter:
    """A number that forked children share with us."""

    def __init__(self) -> None:
        # Python maps anonymous memory shared.
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._value = ctypes.c_uint64.from_buffer(self._memory)

    @property
    def address(self) -> int:
        """Where it is, in every process."""
        return ctypes.addressof(self._value)

    def increment(self) -> None:
        """Add one."""
        self._value.value += 1


def with_spares(n: int) -> int:
    """Return how many interrupts to cause so that n exits have the bit at their first look at the word.

    What sets it can come while the exit of an earlier interrupt works, with interrupts on. Then a later pass
    of that exit's loop finds it, and nothing in user mode can tell.
    """
    return n + 1 + n // 16


def see_changes(n: int, counter: Counter, child: Child) -> None:
    """Spin in user mode until the counter, which `child` changes, has been seen to change n times.

    Raises:
        TifbpfError: the child failed.
    """
    with loaded(WATCH) as code:
        watch = code.function(ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
        missing = n
        while missing:
            missing = watch(missing, counter.address, _SPINS)
            if missing and not child.running():
                child.wait()


def stay_in_user_mode(seconds: float) -> None:
    """Spin; the clock is read without a system call."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def own_cpu() -> int:
    """Return one of the CPUs that we may use; processes started together get different ones."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[os.getpid() % len(cpus)]


def other_cpu(cpu: int) -> int | None:
    """Return another CPU that we may use; None if there is none."""
    return min(os.sched_getaffinity(0) - {cpu}, default=None)


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Be on `cpu` alone, then where we were allowed before."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
