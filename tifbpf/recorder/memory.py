"""Giving back what only starting took."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from collections.abc import Iterator
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")
_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) .*?^Anonymous: +(\d+) kB$", re.MULTILINE | re.DOTALL
)
_MADV_DONTNEED = 4
"""include/uapi/asm-generic/mman-common.h."""


def give_back() -> None:
    """Give back free memory, and pages of files that were looked at once.

    The dynamic linker reads all relocations and names of a library, of which Arrow's have 30 MB: the kernel
    counts them as ours for as long as they are mapped. What is needed again comes from the page cache.
    """
    gc.collect()
    libc = ctypes.CDLL(None)
    # Not every C library has it.
    with contextlib.suppress(AttributeError):
        libc.malloc_trim(0)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with contextlib.suppress(OSError):
        for start, end in _unchanged(_SMAPS.read_text()):
            libc.madvise(start, end - start, _MADV_DONTNEED)


def _unchanged(smaps: str) -> Iterator[tuple[int, int]]:
    """Yield what is mapped of files, cannot be written, and has no page of our own that differs from them."""
    for start, end, permissions, inode, anonymous in _MAPPING.findall(smaps):
        if int(inode) and "w" not in permissions and anonymous == "0":
            yield int(start, 16), int(end, 16)
