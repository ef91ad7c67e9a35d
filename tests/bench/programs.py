"""BPF programs of the kernel's, whoever loaded them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import msgspec

from tifbpf.host import libbpf
from tifbpf.recorder.bpf import Program


class Runs(msgspec.Struct, frozen=True):
    """What the kernel tells of one program."""

    name: str
    count: int
    ns: int
    jited_bytes: int
    instructions: int
    """Of the kernel's own BPF, after its verifier has rewritten the program."""


def loaded() -> dict[int, Runs]:
    """Return all programs by id."""
    return {number: runs for number in _ids() if (runs := _runs(number)) is not None}


def _ids() -> Iterator[int]:
    number = ctypes.c_uint32(0)
    while libbpf.library().bpf_prog_get_next_id(number, ctypes.byref(number)) == 0:
        yield number.value


def _runs(number: int) -> Runs | None:
    fd = libbpf.library().bpf_prog_get_fd_by_id(ctypes.c_uint32(number))
    if fd < 0:
        return None
    with Program(fd) as program:
        info = program.info()
    return Runs(
        info.name.decode(), info.run_cnt, info.run_time_ns, info.jited_prog_len, info.xlated_prog_len // 8
    )
