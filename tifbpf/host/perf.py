"""perf_event_open(2), for the events that hold BPF programs."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

import msgspec

TYPE_BREAKPOINT = 5
HW_BREAKPOINT_X = 4
_NR_PERF_EVENT_OPEN = 298
_DISABLED = 1
_FORMAT_TOTAL_TIME_ENABLED = 1
_READING = struct.Struct("<QQ")
_FLAG_FD_CLOEXEC = 8
# An attribute as long as PERF_ATTR_SIZE_VER5, which every kernel with kprobe events by perf knows.
_ATTR_SIZE = 112


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """struct perf_event_attr, as far as it is used."""

    kind: int
    """`type`: TYPE_BREAKPOINT, or what a PMU of /sys/bus/event_source says."""
    config: int = 0
    sample_period: int = 0
    bp_type: int = 0
    config1: int = 0
    """Also bp_addr, kprobe_func."""
    config2: int = 0
    """Also bp_len, probe_offset."""


def open_event(event: Event, *, cpu: int = 0) -> int:
    """Open a disabled event for all tasks on `cpu`; return its descriptor.

    Raises:
        OSError: the kernel refused.
    """
    attribute = struct.pack(
        f"<IIQQQQQIIQQ{_ATTR_SIZE - 72}x",
        event.kind, _ATTR_SIZE, event.config, event.sample_period, 0, _FORMAT_TOTAL_TIME_ENABLED, _DISABLED,
        0, event.bp_type, event.config1, event.config2,
    )  # fmt: skip
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(
        ctypes.c_long(_NR_PERF_EVENT_OPEN),
        attribute,
        ctypes.c_int(-1),
        ctypes.c_int(cpu),
        ctypes.c_int(-1),
        ctypes.c_ulong(_FLAG_FD_CLOEXEC),
    )
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(descriptor)


class Reading(NamedTuple):
    """What an event has counted, and for how long it has been on."""

    hits: int
    enabled_ns: int
    """It stands still from when the event's CPU was taken offline, also when that is back."""


def read(descriptor: int) -> Reading:
    """Read an event that `open_event` opened.

    Raises:
        OSError: the kernel refused.
    """
    return Reading(*_READING.unpack(os.read(descriptor, _READING.size)))
