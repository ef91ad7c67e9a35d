"""The words, bits, masks and tiers of one kernel era."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

WIDTH = 64
"""Bits of a word."""
NOBODY = "nobody"
"""The handler of a bit that is in a work mask and that nothing handles: known, where None is not known."""


class Context(StrEnum):
    """What is being returned from."""

    SYSCALL = "syscall"
    INTERRUPT = "interrupt"
    EXCEPTION = "exception"


class Word(StrEnum):
    """A word that the exit tests."""

    TIF = "tif"
    """`thread_info.flags`."""
    SYSCALL_WORK = "syscall_work"
    """`thread_info.syscall_work`, since Linux 5.11."""


class Bit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named bit of a word."""

    name: str
    """The kernel's name without its prefix (`TIF_`, `SYSCALL_WORK_BIT_`)."""
    number: Annotated[int, msgspec.Meta(ge=0, lt=WIDTH)]
    word: Word = Word.TIF
    handler: str | None = None
    """The function that does the bit's work on the way out; NOBODY; None where that is not known."""
    cleared: str | None = None
    """Where the bit is cleared; None where that is not known."""
    needs_pt_regs: bool | None = None
    """Whether the handler needs the full pt_regs; None where that is not known."""
    source: str
    """Where these facts were read."""

    @property
    def value(self) -> int:
        """The bit as a number, the kernel's `_TIF_*`."""
        return 1 << self.number


class Mask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mask, under the kernel's own macro name."""

    name: str
    word: Word = Word.TIF
    value: Annotated[int, msgspec.Meta(ge=0)]
    source: str


class Tier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to be slow: any bit of `value` in `word`, on an exit from one of `contexts`.

    A kernel has several: the work loop, since 5.11 the syscall_work word's own slowpath, since 6.19 the
    RSEQ bit, which enters the loop function but not its work.
    """

    name: str
    """`loop`, `syscall_work` or `rseq`."""
    word: Word
    value: Annotated[int, msgspec.Meta(ge=0)]
    mask: str
    """The mask, or the expression of masks, that `value` comes from."""
    contexts: tuple[Context, ...]
    source: str


class Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names, masks and handlers of one kernel era, as data with its provenance."""

    name: str
    """The era's name, e.g. `6.18` or `6.12-rt`."""
    releases: tuple[str, ...]
    """The kernels whose files were read for it."""
    bits: tuple[Bit, ...]
    masks: tuple[Mask, ...]
    tiers: tuple[Tier, ...]
    source: str
    notes: tuple[str, ...] = ()

    def named(self, name: str, word: Word | None = None) -> Bit | None:
        """Return the bit called `name`, in `word` if given; None if this era has none."""
        for bit in self.bits:
            if bit.name == name and word in (None, bit.word):
                return bit
        return None

    def mask(self, name: str) -> Mask | None:
        """Return the mask with that macro name; None if this era has none."""
        return next((mask for mask in self.masks if mask.name == name), None)

    def at(self, word: Word, number: int) -> Bit | None:
        """Return the bit `number` of `word`; None if it has no name."""
        return next((bit for bit in self.bits if bit.word == word and bit.number == number), None)

    def names(self, word: Word, value: int) -> tuple[str, ...]:
        """Return the names of the bits set in `value`, lowest first; `bit19` for one without a name."""
        found = []
        for number in range(value.bit_length()):
            if value >> number & 1:
                bit = self.at(word, number)
                found.append(bit.name if bit else f"bit{number}")
        return tuple(found)

    def work_mask(self, context: Context, word: Word) -> int:
        """Return the bits of `word` that make an exit from `context` slow."""
        value = 0
        for tier in self.tiers:
            if tier.word == word and context in tier.contexts:
                value |= tier.value
        return value

    def slow_tiers(self, context: Context, tif: int, syscall_work: int) -> tuple[str, ...]:
        """Return the tiers that an exit with these words takes, () for a fast exit."""
        words = {Word.TIF: tif, Word.SYSCALL_WORK: syscall_work}
        return tuple(
            tier.name for tier in self.tiers if context in tier.contexts and words[tier.word] & tier.value
        )


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One fact that the layout rests on."""

    fact: str
    """What was looked at and what it said, e.g. "enum syscall_work_bit: 7 values"."""
    source: str
    """Where it was found, e.g. "BTF", "exercise", "/boot/config-6.1.0"."""
    verdict: str
    """`confirms`, `decides`, `contradicts` or `absent`."""
