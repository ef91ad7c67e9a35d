"""Where the CPU enters the kernel from user mode: the assembly stubs, and what each is entered for.

A stub calls a C function, so its return address on the task's stack tells, for as long as the kernel is in,
what the task is going to return from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tifbpf.host import kallsyms
from tifbpf.layouts.model import Context

_STUBS = {
    # DEFINE_IDTENTRY* (arch/x86/include/asm/idtentry.h), since Linux 5.8. What a Xen PV guest gets instead of
    # interrupts calls its handler from a second stub, after having dropped the return address into the first.
    Context.INTERRUPT: (
        rb"asm_(?:common_interrupt|spurious_interrupt|sysvec_\w+)|(?:asm_)?exc_xen_hypervisor_callback"
    ),
    Context.EXCEPTION: rb"asm_(?:xenpv_)?exc_\w+",
    # arch/x86/entry/entry_64.S and entry_64_compat.S; asm_int80_emulation since be5341eb0d43 ("x86/entry:
    # Convert INT 0x80 emulation to IDTENTRY"), Linux 6.7. A new thread returns from the call that made it.
    Context.SYSCALL: (
        rb"entry_SYSCALL_64\w*|entry_SYSCALL_compat\w*|entry_SYSENTER_compat\w*|entry_INT80_compat"
        rb"|asm_int80_emulation|ret_from_fork\w*"
    ),
}
_LINE = re.compile(
    rb"^([0-9a-f]{16}) \w (?:"
    + rb"|".join(rb"(?P<%b>%b)" % (context.name.encode(), names) for context, names in _STUBS.items())
    + rb")\n",
    re.MULTILINE,
)


class Range(msgspec.Struct, frozen=True):
    """Return addresses that lie in the stubs of one context: start < address <= end."""

    start: int
    end: int
    context: Context


def find(path: Path = kallsyms.KALLSYMS) -> tuple[Range, ...]:
    """Return the ranges, neighbours made one, those of system calls first; () where kallsyms hides addresses.

    FRED's stubs are none of them: they are entered for everything.
    """
    try:
        ranges = sorted(_ranges(kallsyms.text(path)))
    except OSError:
        return ()
    merged: list[tuple[int, int, Context]] = []
    for start, end, context in ranges:
        if merged and merged[-1][1] == start and merged[-1][2] is context:
            merged[-1] = (merged[-1][0], end, context)
        else:
            merged.append((start, end, context))
    order = list(Context)
    return tuple(sorted((Range(*part) for part in merged), key=lambda part: order.index(part.context)))


def _ranges(text: bytes) -> Iterator[tuple[int, int, Context]]:
    for match in _LINE.finditer(text):
        start = int(match[1], 16)
        end = _next_address(text, match.end(), start)
        if start and end is not None:
            yield start, end, Context[str(match.lastgroup)]


def _next_address(text: bytes, position: int, start: int) -> int | None:
    """Return the address of the first symbol behind `position` that is not an alias."""
    while 0 <= position < len(text):
        address = int(text[position : position + 16], 16)
        if address != start:
            return address
        position = text.find(b"\n", position) + 1 or -1
    return None
