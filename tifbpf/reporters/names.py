"""Names of bits, words and lists as readers see them."""

from __future__ import annotations

from collections.abc import Sequence

from tifbpf.layouts.model import Word
from tifbpf.reporters import numbers


def bit(word: str, name: str) -> str:
    """Return a bit's name, which says so where it is of the second word."""
    return name if word == Word.TIF else f"work:{name}"


def bits(tif: Sequence[str], syscall_work: Sequence[str] | None) -> str:
    """Return the bits of both words."""
    return " | ".join([*tif, *(bit(Word.SYSCALL_WORK, name) for name in syscall_work or ())]) or "no bit"


def counted(heading: str, shown: int, total: int) -> str:
    """Return a heading that says how many of all lines there are, where that is not all."""
    return heading if shown == total else f"{heading} ({shown} of {numbers.count(total)})"


def partly(recordings: int, everything: int) -> tuple[str, ...]:
    """Say of how many recordings a table is, where that is not all."""
    return () if recordings == everything else (f"From {recordings} of {everything} recordings.",)
