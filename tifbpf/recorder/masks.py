"""Bits and masks of a layout, as definitions for the BPF programs."""

from __future__ import annotations

from tifbpf.layouts.model import Context, Layout, Word

_ONE_TIME_WORK = "syscall_work"


def definitions(layout: Layout) -> dict[str, int | str | None]:
    """Return what the probes need to know of the words: 0 for a bit that this era has not."""
    return {
        "TIF_WORK": _loop_mask(layout),
        "TIF_NOTIFY_RESUME": _bit(layout, "NOTIFY_RESUME", Word.TIF),
        "SYSCALL_WORK_TRACE": _bit(layout, "SYSCALL_TRACE", Word.SYSCALL_WORK),
        "SYSCALL_WORK_TRACEPOINT": _bit(layout, "SYSCALL_TRACEPOINT", Word.SYSCALL_WORK),
    }


def _loop_mask(layout: Layout) -> int:
    """Return what sends a system call's exit into the loop; up to 5.10 its one-time work is in one word."""
    value = 0
    for tier in layout.tiers:
        if tier.word is Word.TIF and tier.name != _ONE_TIME_WORK and Context.SYSCALL in tier.contexts:
            value |= tier.value
    return value


def _bit(layout: Layout, name: str, word: Word) -> int:
    bit = layout.named(name, word)
    return bit.value if bit else 0
