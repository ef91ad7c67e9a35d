"""UPROBE at the exit of an exception."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from tifbpf.errors import ExerciseUnavailableError, TifbpfError
from tifbpf.exercises import kernel
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import Listing, loaded, loaded_from_file
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts.model import Context

PROBED: Listing = (
    # void probed(long rounds): the probe goes on the nop, which is executed `rounds` times. The kernel
    # emulates a nop, so there is one int3 and no single step after it.
    ("90", "next: nop"),
    ("48ffcf", "dec rdi"),
    ("75fa", "jne next"),
    ("c3", "ret"),
)

_TYPE = Path("/sys/bus/event_source/devices/uprobe/type")
_FLAG_FD_CLOEXEC = 8


class _PerfEventAttr(ctypes.Structure):
    """`struct perf_event_attr`, up to PERF_ATTR_SIZE_VER1 (linux/perf_event.h)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("uprobe_path", ctypes.c_uint64),
        ("probe_offset", ctypes.c_uint64),
    )


class Uprobe(Exercise):
    """A uprobe on an instruction of our own."""

    name = "uprobe"
    summary = "executes an instruction of its own that has a uprobe (perf event)"
    why = (
        "The probed instruction is a nop, which the kernel emulates: one breakpoint exception for each "
        "execution, and the bit is set in its handler. Nothing else in the act sets one, so it comes alone "
        "but for a chance tick. perf's own count of hits is compared, and a difference is an error."
    )
    control_summary = "the same instruction without the probe"

    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return n exception exits with UPROBE."""
        return (Expectation(context=Context.EXCEPTION, bit="UPROBE", syscall=None, count=n, exact=True),)

    def run(self, n: int) -> None:
        """Hit the probe n times."""
        with loaded_from_file(PROBED) as (code, descriptor), _probe(descriptor) as event:
            code.function(ctypes.c_long)(n)
            hits = int.from_bytes(os.read(event, 8), "little")
        if hits != n:
            raise TifbpfError(f"perf counted {hits} of {n} hits of the uprobe")

    def control(self, n: int) -> None:
        """Execute the instruction n times."""
        with loaded(PROBED) as code:
            code.function(ctypes.c_long)(n)


@contextlib.contextmanager
def _probe(file: int) -> Iterator[int]:
    """Put a uprobe on the first byte of an open file and yield the perf event that counts its hits."""
    try:
        pmu = int(_TYPE.read_text())
    except OSError as error:
        raise ExerciseUnavailableError(
            "uprobe: this kernel offers no uprobe perf events; CONFIG_UPROBE_EVENTS is needed"
        ) from error
    path = ctypes.create_string_buffer(f"/proc/self/fd/{file}".encode())
    attributes = _PerfEventAttr(
        type=pmu,
        size=ctypes.sizeof(_PerfEventAttr),
        uprobe_path=ctypes.addressof(path),
        probe_offset=0,
    )
    with kernel.needed("uprobe", "it takes root or CAP_PERFMON, and a kernel that is not locked down"):
        event = kernel.syscall(
            SystemCall.PERF_EVENT_OPEN, ctypes.addressof(attributes), 0, -1, -1, _FLAG_FD_CLOEXEC
        )
    try:
        yield event
    finally:
        os.close(event)
