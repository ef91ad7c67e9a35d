"""Bit numbers of the running kernel, as the product's layouts have them."""

from __future__ import annotations

import functools

from tifbpf.layouts.model import Bit, Layout, Word
from tifbpf.recorder.layout import establish_running


@functools.cache
def layout() -> Layout:
    """The running kernel's."""
    return establish_running().layout


def bit(name: str) -> Bit:
    """The bit with that name; the kernel has to have it."""
    found = layout().named(name)
    assert found is not None, f"{layout().name} has no {name}"
    return found


def is_set(name: str, flags: int, syscall_work: int) -> bool:
    """Whether the bit is set in the word that it is in."""
    wanted = bit(name)
    return bool((flags if wanted.word == Word.TIF else syscall_work) & wanted.value)
