"""BPF programs of a few instructions, put together by hand: to ask the kernel things, without a compiler."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from enum import IntEnum

from tifbpf.host import libbpf


class ProgramType(IntEnum):
    """`BPF_PROG_TYPE_*` (include/uapi/linux/bpf.h), those that routes use."""

    KPROBE = 2
    TRACEPOINT = 5
    PERF_EVENT = 7
    RAW_TRACEPOINT = 17
    TRACING = 26


FENTRY = 24
"""BPF_TRACE_FENTRY of enum bpf_attach_type."""


class _LoadOptions(ctypes.Structure):
    """struct bpf_prog_load_opts up to log_buf (libbpf 0.6), which knows its version by `sz`."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("expected_attach_type", ctypes.c_int),
        ("prog_btf_fd", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_ifindex", ctypes.c_uint32),
        ("kern_version", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
        ("attach_prog_fd", ctypes.c_uint32),
        ("attach_btf_obj_fd", ctypes.c_uint32),
        ("fd_array", ctypes.c_void_p),
        ("func_info", ctypes.c_void_p),
        ("func_info_cnt", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_void_p),
        ("line_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
    )


def instruction(opcode: int, destination: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Return one struct bpf_insn."""
    return struct.pack("<BBhi", opcode, source << 4 | destination, offset, value)


RETURN_0 = instruction(0xB7) + instruction(0x95)
"""`r0 = 0; exit`"""

_PROBE_READ_KERNEL = 113

READ_KERNEL = (
    instruction(0xBF, 1, 10)
    + instruction(0x07, 1, value=-8)
    + instruction(0xB7, 2, value=8)
    + instruction(0xB7, 3)
    + instruction(0x85, value=_PROBE_READ_KERNEL)
    + RETURN_0
)
"""`bpf_probe_read_kernel(stack, 8, 0)`, which lockdown=confidentiality takes away from programs."""


def load(
    kind: ProgramType, instructions: bytes = RETURN_0, *, attach_type: int = 0, attach_btf_id: int = 0
) -> int:
    """Return the descriptor of a loaded program; whoever asked closes it.

    Raises:
        OSError: the kernel refused, or this libbpf is too old to ask.
        NoLibbpfError: there is no libbpf.
    """
    library = libbpf.library()
    if not hasattr(library, "bpf_prog_load"):
        raise OSError(errno.ENOSYS, "libbpf is older than 0.6")
    options = _LoadOptions(
        sz=ctypes.sizeof(_LoadOptions),
        attempts=1,
        expected_attach_type=attach_type,
        attach_btf_id=attach_btf_id,
    )
    descriptor = library.bpf_prog_load(
        kind, b"tifbpf_trial", b"GPL", instructions, len(instructions) // 8, ctypes.byref(options)
    )
    return check(descriptor)


def check(result: int) -> int:
    """Return the result of a libbpf function.

    Raises:
        OSError: it is negative.
    """
    if result < 0:
        code = libbpf.error_of(result)
        raise OSError(code, os.strerror(code))
    return result
