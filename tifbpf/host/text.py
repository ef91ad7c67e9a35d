"""The kernel's own machine code, read from the running kernel: does this function call that one?

A BPF program, run once per page by BPF_PROG_TEST_RUN and never attached, copies text with
bpf_probe_read_kernel, which works where /proc/kcore is denied. Needs Linux 5.10 and the right to trace.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from tifbpf.host import libbpf, programs
from tifbpf.host.kallsyms import Place
from tifbpf.host.programs import ProgramType, instruction

_CHUNK = 4096
_LARGEST = 1 << 16
_MAP_LOOKUP_ELEM = 1
_PROBE_READ_KERNEL = 113
_CALL = (0xE8, 0xE9)
"""call and jmp with a 32-bit displacement; a jmp is a tail call, or leads to a part in .text.unlikely."""
# A direct call may be patched to end in the 16 bytes before the function (call depth tracking) or behind its
# endbr64 (IBT).
_BEFORE, _AFTER = 16, 4


def _copy(descriptor: int) -> bytes:
    """Return the program: copy _CHUNK bytes from the address that is its first argument to the map."""
    return b"".join(
        (
            instruction(0x79, 6, 1),  # r6 = *(u64 *)(r1 + 0)
            instruction(0x62, 10, 0, -4, 0),  # *(u32 *)(r10 - 4) = 0
            instruction(0x18, 1, 1, 0, descriptor),  # r1 = map
            instruction(0x00),
            instruction(0xBF, 2, 10),  # r2 = r10
            instruction(0x07, 2, 0, 0, -4),  # r2 -= 4
            instruction(0x85, value=_MAP_LOOKUP_ELEM),
            instruction(0x55, 0, 0, 2, 0),  # if r0 != 0 goto +2
            instruction(0xB7, 0, 0, 0, 1),  # r0 = 1
            instruction(0x95),  # exit
            instruction(0xBF, 1, 0),  # r1 = r0
            instruction(0xB7, 2, 0, 0, _CHUNK),  # r2 = _CHUNK
            instruction(0xBF, 3, 6),  # r3 = r6
            instruction(0x85, value=_PROBE_READ_KERNEL),
            instruction(0x95),  # exit
        )
    )


class KernelText:
    """Reads kernel memory, until `close()` or the end of a `with`."""

    def __init__(self) -> None:
        """Load the program.

        Raises:
            OSError: the kernel refused.
            NoLibbpfError: there is no libbpf.
        """
        self._library = libbpf.library()
        if not hasattr(self._library, "bpf_map_create"):
            raise OSError("libbpf is older than 0.7")
        options = libbpf.MapCreateOptions()
        self._map = programs.check(
            self._library.bpf_map_create(
                libbpf.MAP_TYPE_ARRAY, b"tifbpf_text", 4, _CHUNK, 1, ctypes.byref(options)
            )
        )
        try:
            self._program = programs.load(ProgramType.RAW_TRACEPOINT, _copy(self._map))
        except OSError:
            os.close(self._map)
            raise

    def close(self) -> None:
        """Unload it."""
        for descriptor in (self._program, self._map):
            if descriptor >= 0:
                os.close(descriptor)
        self._program = self._map = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at `address`.

        Raises:
            OSError: the kernel cannot run the program like this (before 5.10), or has nothing there.
        """
        return b"".join(self._chunk(address + offset)[: size - offset] for offset in range(0, size, _CHUNK))

    def _chunk(self, address: int) -> bytes:
        argument = ctypes.c_uint64(address)
        options = libbpf.TestRunOptions(
            ctx_in=ctypes.cast(ctypes.byref(argument), ctypes.c_void_p).value,
            ctx_size_in=ctypes.sizeof(argument),
        )
        programs.check(self._library.bpf_prog_test_run_opts(self._program, ctypes.byref(options)))
        if options.retval:
            raise OSError(2**32 - options.retval, f"nothing to read at {address:#x}")
        value = ctypes.create_string_buffer(_CHUNK)
        programs.check(self._library.bpf_map_lookup_elem(self._map, ctypes.byref(ctypes.c_uint32(0)), value))
        return value.raw


def calls(code: bytes, address: int, target: int) -> bool:
    """Whether machine code at `address` calls or jumps to the function at `target`.

    Looks at every byte that could start such an instruction; that the displacement of another one hits the
    target by chance is one in hundreds of millions.
    """
    for position in range(len(code) - 4):
        if code[position] in _CALL:
            displacement = int.from_bytes(code[position + 1 : position + 5], "little", signed=True)
            end = address + position + 5 + displacement
            if target - _BEFORE <= end <= target + _AFTER:
                return True
    return False


def called_by(
    text: KernelText, target: Place, callers: Iterable[str], places: Mapping[str, Place]
) -> dict[str, bool]:
    """Return for each caller that has a place whether its machine code, cold part included, calls `target`.

    Raises:
        OSError: the text cannot be read.
    """
    found = {}
    for name in callers:
        parts = [places[part] for part in (name, cold(name)) if part in places]
        # Where a part ends is not known for the last symbol, nor before a hole: then neither is the answer.
        if parts and all(0 < part.size <= _LARGEST for part in parts):
            found[name] = any(
                calls(text.read(part.address, part.size), part.address, target.address) for part in parts
            )
    return found


def cold(name: str) -> str:
    """Return what gcc calls the part of a function that it moved to .text.unlikely."""
    return f"{name}.cold"
