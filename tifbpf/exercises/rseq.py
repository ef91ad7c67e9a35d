"""What a migration leaves to a thread that has registered rseq: RSEQ, or NOTIFY_RESUME before."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
from collections.abc import Iterable, Iterator

from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises import kernel
from tifbpf.exercises.children import Child
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.kernel_types import has_type
from tifbpf.exercises.machine_code import Call, repeat
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context

# linux/rseq.h
_RSEQ_LENGTH = 32
_RSEQ_FLAG_UNREGISTER = 1
_SIGNATURE = 0x53053053
"""RSEQ_SIG of the x86 C libraries; any number does for an area that has no critical section."""

_CPU_BITS = 8192
"""The most CPUs that an x86-64 kernel is built for (MAXSMP)."""


class RseqMigration(Exercise):
    """sched_setaffinity(2) that moves its caller to another CPU."""

    name = "rseq-migration"
    summary = "moves itself to and fro between two CPUs by sched_setaffinity, with rseq registered"
    why = (
        "sched_setaffinity returns on the new CPU, so every call is one migration, and the kernel has to "
        "write the CPU's number to the rseq area on the way out. Only the exits of sched_setaffinity are "
        "counted: other context switches set the bit too."
    )
    control_summary = "the same calls, each with the CPU that it is on, so nothing moves"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exits of sched_setaffinity with the bit that stands for rseq in this kernel.

        Raises:
            ExerciseUnavailableError: the kernel has no BTF to tell which.
        """
        # Linux 6.19 gave rseq a bit and struct rseq_event; before, it was one of NOTIFY_RESUME's users.
        bit = "RSEQ" if has_type("rseq_event") else "NOTIFY_RESUME"
        return (
            Expectation(context=Context.SYSCALL, bit=bit, syscall="sched_setaffinity", count=n, exact=True),
        )

    def run(self, n: int) -> None:
        """Migrate n times."""
        first, second = _two_cpus()
        with _registered(), _moved_to(first):
            _set_affinity(n, (second, first))

    def control(self, n: int) -> None:
        """Say n times that it is to stay."""
        first, _ = _two_cpus()
        with _registered(), _moved_to(first):
            _set_affinity(n, (first, first))


def _two_cpus() -> tuple[int, int]:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise ExerciseUnavailableError("rseq-migration needs two CPUs; this process may use one")
    return cpus[0], cpus[1]


@contextlib.contextmanager
def _registered() -> Iterator[None]:
    """Have rseq registered: the C library's area (glibc, from 2.35 on), else one of our own."""
    # struct rseq has to be aligned to its length.
    memory = ctypes.create_string_buffer(2 * _RSEQ_LENGTH)
    address = -(-ctypes.addressof(memory) // _RSEQ_LENGTH) * _RSEQ_LENGTH
    ours = True
    try:
        kernel.syscall(SystemCall.RSEQ, address, _RSEQ_LENGTH, 0, _SIGNATURE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise ExerciseUnavailableError(
                f"rseq: {error.strerror}; a kernel with CONFIG_RSEQ is needed, and seccomp must allow it"
            ) from error
        # A thread has one area at most, and this one has it already.
        ours = False
    try:
        yield
    finally:
        if ours:
            kernel.syscall(SystemCall.RSEQ, address, _RSEQ_LENGTH, _RSEQ_FLAG_UNREGISTER, _SIGNATURE)


@contextlib.contextmanager
def _moved_to(cpu: int) -> Iterator[None]:
    """Be on `cpu` alone, then where we were allowed before; done by children, whose calls are not counted."""
    me, before = os.getpid(), os.sched_getaffinity(0)
    Child(lambda: os.sched_setaffinity(me, {cpu})).wait()
    try:
        yield
    finally:
        Child(lambda: os.sched_setaffinity(me, before)).wait()


def _set_affinity(n: int, cpus: Iterable[int]) -> None:
    """Call sched_setaffinity n times, with each of `cpus` in turn."""
    masks = [(1 << cpu).to_bytes(_CPU_BITS // 8, "little") for cpu in cpus]
    buffers = [ctypes.create_string_buffer(mask, len(mask)) for mask in masks]
    calls: list[Call] = [
        (SystemCall.SCHED_SETAFFINITY, 0, len(buffer), ctypes.addressof(buffer)) for buffer in buffers
    ]
    rounds, rest = divmod(n, len(calls))
    repeat(rounds, *calls)
    if rest:
        repeat(1, *itertools.islice(calls, rest))
