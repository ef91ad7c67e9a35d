"""Eras that have the bits and masks of a headers tree, and what may be taken from them.

Headers say which bits and masks there are, never what code does with them. An era whose bits, masks and tiers
are all the same lends its handlers, under its name; one that merely comes near lends nothing.
"""

from __future__ import annotations

import msgspec

from tifbpf.errors import UnknownKernelError
from tifbpf.layouts import catalogue, releases
from tifbpf.layouts.model import Bit, Layout, Word
from tifbpf.layouts.releases import Release


def same(era: Layout, layout: Layout) -> bool:
    """Whether the bits agree, and the masks and tiers that both have."""
    if set(map(key, era.bits)) != set(map(key, layout.bits)):
        return False
    values = {mask.name: mask.value for mask in era.masks}
    if any(values.get(mask.name, mask.value) != mask.value for mask in layout.masks):
        return False
    decides = _decides(layout)
    return not decides or decides == _decides(era)


def key(bit: Bit) -> tuple[Word, int, str]:
    """Return what makes two bits the same."""
    return bit.word, bit.number, bit.name


def _decides(layout: Layout) -> set[tuple[object, ...]]:
    return {(tier.name, tier.word, tier.value, tier.contexts) for tier in layout.tiers}


def eras_like(layout: Layout) -> tuple[Layout, ...]:
    """Return the eras that have the same bits, masks and tiers, oldest first."""
    return tuple(era for era in map(catalogue.load, catalogue.names()) if same(era, layout))


def with_handlers(layout: Layout, release: Release | None) -> Layout | None:
    """Return `layout` with the handlers of the era that it is like; None where it is like none.

    Eras with the same bits can differ in handlers (4.14.177 and 4.19.78: rseq). The one that `release`
    belongs to is taken where it is one of them; otherwise a bit on which they differ keeps no handler.
    """
    alike = eras_like(layout)
    if not alike:
        return None
    placed = _placed(release, alike)
    era = placed or alike[0]
    sources = (era,) if placed else alike
    return msgspec.structs.replace(
        layout,
        name=era.name,
        bits=tuple(_with_handler(bit, sources) for bit in layout.bits),
        tiers=layout.tiers or era.tiers,
        notes=(*layout.notes, *era.notes),
    )


def release_of(layout: Layout) -> Release | None:
    """Return the release that the headers behind `layout` say they are of; None where they do not say."""
    try:
        return releases.parse(layout.releases[0])
    except UnknownKernelError:
        return None


def _placed(release: Release | None, alike: tuple[Layout, ...]) -> Layout | None:
    if release is None:
        return None
    try:
        name = releases.place(release, catalogue.eras()).era
    except UnknownKernelError:
        return None
    return next((era for era in alike if era.name == name), None)


def _with_handler(bit: Bit, eras: tuple[Layout, ...]) -> Bit:
    known = [found for era in eras if (found := era.named(bit.name, bit.word))]
    if len({(one.handler, one.cleared, one.needs_pt_regs, one.source) for one in known}) != 1:
        told = " or ".join(era.name for era in eras)
        return msgspec.structs.replace(bit, source=f"{bit.source}; handler: not known, era {told}")
    return msgspec.structs.replace(
        bit,
        handler=known[0].handler,
        cleared=known[0].cleared,
        needs_pt_regs=known[0].needs_pt_regs,
        source=f"{bit.source}; handler: era {eras[0].name}, {known[0].source}",
    )
