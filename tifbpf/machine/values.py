"""What a register may hold, as far as it matters here."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from tifbpf.layouts.model import Word

_FULL = (1 << 64) - 1


class Part(NamedTuple):
    """Bits of a word, as it was when it was loaded: `(word & mask) >> shift`."""

    word: Word
    mask: int = _FULL
    shift: int = 0

    def tested(self, immediate: int) -> int:
        """Return the bits of the word that an immediate at the register's scale selects."""
        return immediate << self.shift & self.mask

    def narrowed(self, immediate: int) -> Part:
        """Return what is left of it by an `and`."""
        return self._replace(mask=self.tested(immediate))


class Known(Enum):
    """What is known by its kind alone."""

    THREAD = "the current task, which begins with its thread_info"
    """What a per-CPU variable holds; others that do are not looked into at these offsets."""
    REGISTERS = "the pt_regs"
    SELECTOR = "the code segment in the pt_regs"
    RESULT = "what a function returned"


Value = Part | Known


def join(one: Value | None, other: Value | None) -> Value | None:
    """Return what is known where either may be the case."""
    if one == other:
        return one
    if isinstance(one, Part) and isinstance(other, Part) and one[::2] == other[::2]:
        return one._replace(mask=one.mask | other.mask)
    return None


_WHOLE = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)))


class Register(NamedTuple):
    """A register's name as that of a part of a whole one."""

    whole: str
    shift: int
    width: int
    """In bits."""


def _registers() -> dict[str, Register]:
    found = {}
    for name in _WHOLE:
        if name[1:].isdigit():
            parts = {64: name, 32: f"{name}d", 16: f"{name}w", 8: f"{name}b"}
        else:
            low = name[1:]
            parts = {64: name, 32: f"e{low}", 16: low, 8: f"{low[0]}l" if low[1] == "x" else f"{low}l"}
            if low[1] == "x":
                found[f"{low[0]}h"] = Register(name, 8, 8)
        found |= {part: Register(name, 0, width) for width, part in parts.items()}
    return found


REGISTERS = _registers()
ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
CALLER_SAVED = ("rax", *ARGUMENTS, "r10", "r11")
