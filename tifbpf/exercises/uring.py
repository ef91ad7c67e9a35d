"""A small io_uring that polls one descriptor, by hand: the C library has no call for it."""

from __future__ import annotations

import ctypes
import mmap
import os

from tifbpf.exercises import kernel
from tifbpf.exercises.kernel import SystemCall

# linux/io_uring.h
_OFF_SQ_RING, _OFF_CQ_RING, _OFF_SQES = 0, 0x8000000, 0x10000000
_OP_POLL_ADD = 6
_POLLIN = 1


class _SqOffsets(ctypes.Structure):
    """`struct io_sqring_offsets`."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("head", "tail", "mask", "entries", "flags", "dropped")),
        ("array", ctypes.c_uint32),
        ("resv1", ctypes.c_uint32),
        ("user_addr", ctypes.c_uint64),
    )


class _CqOffsets(ctypes.Structure):
    """`struct io_cqring_offsets`."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("head", "tail", "mask", "entries", "overflow", "cqes")),
        ("flags", ctypes.c_uint32),
        ("resv1", ctypes.c_uint32),
        ("user_addr", ctypes.c_uint64),
    )


class _Params(ctypes.Structure):
    """`struct io_uring_params`."""

    _fields_ = (
        ("sq_entries", ctypes.c_uint32),
        ("cq_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("sq_thread", ctypes.c_uint32 * 2),
        ("features", ctypes.c_uint32),
        ("wq_fd", ctypes.c_uint32),
        ("resv", ctypes.c_uint32 * 3),
        ("sq_off", _SqOffsets),
        ("cq_off", _CqOffsets),
    )


class _Sqe(ctypes.Structure):
    """`struct io_uring_sqe`."""

    _fields_ = (
        ("opcode", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("ioprio", ctypes.c_uint16),
        ("fd", ctypes.c_int32),
        ("off", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
        ("len", ctypes.c_uint32),
        ("poll_events", ctypes.c_uint32),
        ("rest", ctypes.c_uint64 * 4),
    )


class _Cqe(ctypes.Structure):
    """`struct io_uring_cqe`."""

    _fields_ = (("user_data", ctypes.c_uint64), ("res", ctypes.c_int32), ("flags", ctypes.c_uint32))


class PollRing:
    """A ring whose every submission is: tell when `polled` can be read."""

    def __init__(self, polled: int, entries: int) -> None:
        """Set it up with `entries` submissions, a power of two.

        Raises:
            OSError: io_uring is missing, off, or refused.
        """
        params = _Params()
        self.descriptor = kernel.syscall(SystemCall.IO_URING_SETUP, entries, ctypes.addressof(params))
        try:
            self.entries: int = params.sq_entries
            sq, cq = params.sq_off, params.cq_off
            sq_ring = self._map(sq.array + 4 * params.sq_entries, _OFF_SQ_RING)
            cq_ring = self._map(cq.cqes + ctypes.sizeof(_Cqe) * params.cq_entries, _OFF_CQ_RING)
            sqes = self._map(ctypes.sizeof(_Sqe) * params.sq_entries, _OFF_SQES)
        except OSError:
            os.close(self.descriptor)
            raise
        self._cq_entries: int = params.cq_entries
        self._sq_tail = ctypes.c_uint32.from_buffer(sq_ring, sq.tail)
        self._cq_head = ctypes.c_uint32.from_buffer(cq_ring, cq.head)
        self._cq_tail = ctypes.c_uint32.from_buffer(cq_ring, cq.tail)
        self._cqes = (_Cqe * params.cq_entries).from_buffer(cq_ring, cq.cqes)
        array = (ctypes.c_uint32 * params.sq_entries).from_buffer(sq_ring, sq.array)
        for number, sqe in enumerate((_Sqe * params.sq_entries).from_buffer(sqes)):
            sqe.opcode, sqe.fd, sqe.poll_events = _OP_POLL_ADD, polled, _POLLIN
            array[number] = number

    def _map(self, length: int, offset: int) -> mmap.mmap:
        return mmap.mmap(self.descriptor, length, offset=offset)

    def offer(self, polls: int) -> None:
        """Make `polls` submissions, at most `entries`, ready for io_uring_enter to take one by one."""
        self._sq_tail.value += polls

    def collect(self) -> int:
        """Take all completions and return how many say that `polled` could be read."""
        head, tail = self._cq_head.value, self._cq_tail.value
        count = (tail - head) % 2**32
        ready = sum(self._cqes[(head + i) % self._cq_entries].res == _POLLIN for i in range(count))
        self._cq_head.value = tail
        return int(ready)

    def close(self) -> None:
        """Close the descriptor; the mappings go with the object."""
        os.close(self.descriptor)
