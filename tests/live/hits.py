"""A BPF program of a few instructions that counts its runs in this process, by system call if asked to."""

from __future__ import annotations

import ctypes
import os
import struct
from collections import Counter
from types import TracebackType
from typing import Self

from tifbpf.host import libbpf, programs
from tifbpf.host.programs import RETURN_0, ProgramType, instruction
from tifbpf.recorder.bpf import Map, Program

_HASH = 1
_LOOKUP, _UPDATE, _CURRENT_PID_TGID, _PROBE_READ_KERNEL = 1, 2, 14, 113
_DI, _ORIG_AX = 112, 120
"""Offsets in struct pt_regs."""
_SIZE = 8


def _key(counts: Map) -> bytes:
    """r1 = map, r2 = the address of the key."""
    return (
        instruction(0x18, 1, 1, 0, counts.fd)
        + instruction(0)
        + instruction(0xBF, 2, 10)
        + instruction(0x07, 2, value=-8)
    )


def _instructions(counts: Map, *, by_call: bool) -> bytes:
    # The function's own argument is the caller's struct pt_regs.
    call = (
        instruction(0x79, 3, 6, _DI)
        + instruction(0x07, 3, value=_ORIG_AX)
        + instruction(0xBF, 1, 10)
        + instruction(0x07, 1, value=-8)
        + instruction(0xB7, 2, value=8)
        + instruction(0x85, value=_PROBE_READ_KERNEL)
    )
    again = instruction(0xB7, 1, value=1) + instruction(0xDB, 0, 1)  # lock *(u64 *)r0 += 1
    first = (
        instruction(0x7A, 10, 0, -16, 1)
        + _key(counts)
        + instruction(0xBF, 3, 10)
        + instruction(0x07, 3, value=-16)
        + instruction(0xB7, 4)
        + instruction(0x85, value=_UPDATE)
    )
    count = (
        instruction(0x7A, 10, 0, -8, 0)
        + (call if by_call else b"")
        + _key(counts)
        + instruction(0x85, value=_LOOKUP)
        + instruction(0x15, 0, 0, len(again) // _SIZE + 1)  # if r0 == 0: to `first`
        + again
        + instruction(0x05, 0, 0, len(first) // _SIZE)
        + first
    )
    return (
        instruction(0xBF, 6, 1)
        + instruction(0x85, value=_CURRENT_PID_TGID)
        + instruction(0x77, 0, value=32)
        + instruction(0x55, 0, 0, len(count) // _SIZE, os.getpid())
        + count
        + RETURN_0
    )


class Hits:
    """The program, loaded and attached to nothing."""

    def __init__(
        self, kind: ProgramType, *, attach_type: int = 0, attach_btf_id: int = 0, by_call: bool = False
    ) -> None:
        options = libbpf.MapCreateOptions()
        self._counts = Map(
            programs.check(libbpf.library().bpf_map_create(_HASH, b"hits", 8, 8, 4096, ctypes.byref(options)))
        )
        code = _instructions(self._counts, by_call=by_call)
        try:
            loaded = programs.load(kind, code, attach_type=attach_type, attach_btf_id=attach_btf_id)
        except OSError:
            self._counts.close()
            raise
        self.program = Program(loaded)

    def by_call(self) -> Counter[int]:
        """Return how often it ran, by the number of the system call."""
        return Counter(
            {
                struct.unpack("<q", key)[0]: struct.unpack("<Q", value)[0]
                for key, value in self._counts.items()
            }
        )

    @property
    def count(self) -> int:
        """How often it ran."""
        return self.by_call().total()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.close()
        self._counts.close()
