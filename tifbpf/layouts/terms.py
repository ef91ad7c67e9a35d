"""A mask in terms of other masks: `_TIF_DO_NOTIFY_MASK | UPROBE | NEED_RESCHED | 0xe220`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tifbpf.layouts.model import Layout, Mask


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A value as masks, named bits, and what has no name."""

    masks: tuple[str, ...]
    bits: tuple[str, ...]
    """The named bits that are in none of `masks`, lowest first."""
    residue: int
    """The bits without a name."""

    def __str__(self) -> str:
        rest = (f"{self.residue:#x}",) if self.residue else ()
        return " | ".join((*self.masks, *self.bits, *rest)) or "0"


def of(layout: Layout, mask: Mask, others: Iterable[Mask] = ()) -> Terms:
    """Return `mask` in terms of `others`: by bits alone where there are none.

    A mask is taken where all of its bits are in `mask`, the one that says most first, as long as it says
    anything that those before it did not.
    """
    left = mask.value
    taken = []
    usable = [other for other in others if other.word == mask.word and other.name != mask.name]
    for other in sorted(usable, key=lambda one: -one.value.bit_count()):
        if other.value & left and not other.value & ~mask.value:
            taken.append(other.name)
            left &= ~other.value
    named = [bit for bit in layout.bits if bit.word == mask.word and bit.value & left]
    return Terms(
        masks=tuple(taken),
        bits=tuple(bit.name for bit in sorted(named, key=lambda bit: bit.number)),
        residue=left & ~sum(bit.value for bit in named),
    )
