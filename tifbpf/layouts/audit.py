"""What the masks of a kernel say: which bits are dead, which would loop, which cost a slowpath for nothing.

Everything here follows from a layout and from data that goes with its era: who sets a bit (set_by.py) and the
ways out (paths.py). A layout that is of no era has neither; what they would tell is unknown then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tifbpf.layouts import catalogue, expressions, likeness, paths, set_by, terms, verdicts
from tifbpf.layouts.model import NOBODY, Bit, Context, Layout, Mask, Word
from tifbpf.layouts.paths import ExitPath
from tifbpf.layouts.terms import Terms
from tifbpf.layouts.verdicts import Case, Finding, Verdict


class Use(StrEnum):
    """What a mask is for."""

    EXIT = "exit"
    """Decides whether an exit is slow."""
    WORK = "work"
    """Decides, in the slowpath, which function is called."""
    ENTRY = "entry"
    """Decides whether an entry into the kernel is slow."""
    SWITCH = "context switch"
    GUEST = "guest"
    """Decides before a virtual machine is entered."""
    PART = "part"
    """A part of another mask."""
    NONE = "none"
    """No code of this era tests it."""
    UNKNOWN = "unknown"


_USES = (
    (re.compile(r"_TIF_WORK_CTXSW\w*"), Use.SWITCH),
    (re.compile(r"_TIF_WORK_SYSCALL_ENTRY|SYSCALL_ENTER_WORK|SYSCALL_WORK_ENTER"), Use.ENTRY),
    (re.compile(r"XFER_TO_GUEST_MODE_WORK"), Use.GUEST),
    (re.compile(r"ARCH_\w+|SYSEMU_STEP|_TIF_NEED_RESCHED_MASK"), Use.PART),
    (re.compile(r"_TIF_DO_NOTIFY_MASK|_TIF_WORK_SYSCALL_EXIT"), Use.WORK),
)
"""Masks whose names say what they are for, in every era that has them."""


class AuditedMask(msgspec.Struct, frozen=True, kw_only=True):
    """One mask, taken apart."""

    name: str
    word: Word
    value: int
    use: Use
    bits: tuple[str, ...]
    """Its named bits, lowest first."""
    residue: int
    """Its bits without a name."""
    unnamed: tuple[int, ...]
    """Their numbers."""
    terms: Terms
    """The mask in terms of the other masks that the exit tests."""
    need_pt_regs: tuple[str, ...]
    """Of an exit mask: the bits whose handler needs the full pt_regs."""
    spare_pt_regs: tuple[str, ...]
    """Those whose handler does not."""
    unknown_pt_regs: tuple[str, ...]
    """Those of which that is not known, dead bits without a name left out."""
    source: str


class AuditedBit(msgspec.Struct, frozen=True, kw_only=True):
    """One bit of a word, and what is to be said of it."""

    word: Word
    number: int
    name: str
    """`bit5` where it has none."""
    named: bool
    masks: tuple[str, ...]
    tiers: tuple[str, ...]
    contexts: tuple[Context, ...]
    """The exits that it makes slow."""
    set_by: tuple[str, ...] | None
    """Functions; () where nobody sets it; None where that is not known."""
    set_source: str | None
    config: tuple[str, ...]
    """Options, one of which must be on for anybody to set it."""
    handler: str | None
    cleared: str | None
    needs_pt_regs: bool | None
    findings: tuple[Finding, ...]
    source: str

    def has(self, verdict: Verdict) -> bool:
        """Whether one of the findings says so."""
        return any(finding.verdict is verdict for finding in self.findings)


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """All that the masks of one layout say."""

    layout: str
    releases: tuple[str, ...]
    source: str
    handlers_from: str | None
    """Where handlers, setters and ways out were taken from; None: they are not known."""
    configured: bool
    """Whether the kernel's options were known."""
    masks: tuple[AuditedMask, ...]
    bits: tuple[AuditedBit, ...]
    paths: tuple[ExitPath, ...]
    notes: tuple[str, ...]

    def having(self, verdict: Verdict) -> tuple[AuditedBit, ...]:
        """Return the bits with a finding of that verdict, in the words' order."""
        return tuple(bit for bit in self.bits if bit.has(verdict))

    def bit(self, name: str, word: Word = Word.TIF) -> AuditedBit | None:
        """Return the bit of that name (`UPROBE`, `bit5`); None if there is none."""
        return next((bit for bit in self.bits if bit.name == name and bit.word == word), None)

    def mask(self, name: str) -> AuditedMask | None:
        """Return the mask with that macro name; None if there is none."""
        return next((mask for mask in self.masks if mask.name == name), None)


def audit(layout: Layout, config: Mapping[str, str] | None = None) -> Audit:
    """Return what the masks of `layout` say.

    Args:
        layout: a layout; one that names an era and has its bits is audited with what is known of that era.
        config: all options that are set, without `CONFIG_`; None where they are not known.
    """
    era = _era(layout)
    ways = paths.of(layout, era) if era else ()
    uses = {mask.name: _use(layout, mask, ways, era) for mask in layout.masks}
    return Audit(
        layout=layout.name,
        releases=layout.releases,
        source=layout.source,
        handlers_from=_handlers_from(layout, era),
        configured=config is not None,
        masks=tuple(_mask(layout, mask, uses) for mask in layout.masks),
        bits=tuple(_bit(layout, bit, uses, ways, era, config) for bit in _all_bits(layout, uses)),
        paths=ways,
        notes=layout.notes,
    )


def _era(layout: Layout) -> str | None:
    """Return the era that the layout names, if it has the bits of it and tests none that the era does not."""
    if layout.name not in catalogue.names():
        return None
    era = catalogue.load(layout.name)
    # BTF may have added a bit of the second word (establish.py); what the era has must be there as it is.
    bits = {likeness.key(bit) for bit in layout.bits}
    if not all(likeness.key(bit) in bits for bit in era.bits):
        return None
    # A kernel may test fewer, by its configuration or by its machine code: those that are left are the era's.
    more = any(
        layout.work_mask(context, word) & ~era.work_mask(context, word)
        for context in Context
        for word in Word
    )
    return None if more else era.name


def _handlers_from(layout: Layout, era: str | None) -> str | None:
    if era is None:
        return None
    known = catalogue.load(era)
    if layout.source == known.source:
        return f"era {era}, read from {', '.join(known.releases)}"
    return f"era {era}: same bits and masks (headers do not tell who handles a bit)"


def _use(layout: Layout, mask: Mask, ways: tuple[ExitPath, ...], era: str | None) -> Use:
    tested = {name for tier in layout.tiers for name in expressions.names(tier.mask)}
    tested |= {name for way in ways for name in expressions.names(way.mask)}
    if mask.name in tested:
        return Use.EXIT
    named = next((use for pattern, use in _USES if pattern.fullmatch(mask.name)), None)
    if named is not None:
        return named
    # EXIT_TO_USER_MODE_WORK beside its _LOOP, _SYSCALL and _IRQ: together they are what the tiers test.
    decides = any(tier.word == mask.word and tier.value & mask.value for tier in layout.tiers)
    if mask.name.startswith("EXIT_TO_USER_MODE_WORK") and decides:
        return Use.EXIT
    return Use.NONE if era and paths.left_over(mask.name, era) else Use.UNKNOWN


def _mask(layout: Layout, mask: Mask, uses: Mapping[str, Use]) -> AuditedMask:
    alone = terms.of(layout, mask)
    work = [other for other in layout.masks if uses[other.name] is Use.WORK]
    exits = [other for other in layout.masks if uses[other.name] is Use.EXIT and other.value != mask.value]
    bits = [bit for name in alone.bits if (bit := layout.named(name, mask.word))]
    if uses[mask.name] is not Use.EXIT:
        bits = []
    return AuditedMask(
        name=mask.name,
        word=mask.word,
        value=mask.value,
        use=uses[mask.name],
        bits=alone.bits,
        residue=alone.residue,
        unnamed=tuple(number for number in range(32) if alone.residue >> number & 1),
        terms=terms.of(layout, mask, work or exits) if uses[mask.name] is Use.EXIT else alone,
        need_pt_regs=tuple(bit.name for bit in bits if bit.needs_pt_regs),
        spare_pt_regs=tuple(bit.name for bit in bits if bit.needs_pt_regs is False),
        unknown_pt_regs=tuple(
            bit.name for bit in bits if bit.needs_pt_regs is None and bit.handler != NOBODY
        ),
        source=mask.source,
    )


def _all_bits(layout: Layout, uses: Mapping[str, Use]) -> list[Bit]:
    """Return the bits of the words, those of exit masks that have no name among them."""
    bits = list(layout.bits)
    for word in Word:
        tested = 0
        for mask in layout.masks:
            if mask.word == word and uses[mask.name] is Use.EXIT:
                tested |= mask.value
        for tier in layout.tiers:
            if tier.word == word:
                tested |= tier.value
        bits += [
            Bit(name=f"bit{number}", number=number, word=word, source=layout.source)
            for number in range(tested.bit_length())
            if tested >> number & 1 and layout.at(word, number) is None
        ]
    return sorted(bits, key=lambda bit: (list(Word).index(bit.word), bit.number))


def _bit(
    layout: Layout,
    bit: Bit,
    uses: Mapping[str, Use],
    ways: tuple[ExitPath, ...],
    era: str | None,
    config: Mapping[str, str] | None,
) -> AuditedBit:
    named = layout.at(bit.word, bit.number) is not None
    setter = set_by.of(bit.name, era) if era and named else None
    masks = [mask for mask in layout.masks if mask.word == bit.word and mask.value & bit.value]
    tiers = [tier for tier in layout.tiers if tier.word == bit.word and tier.value & bit.value]
    through = [way for way in ways if way.word == bit.word and way.tested & bit.value]
    tested = bool(tiers or through or any(uses[mask.name] is Use.EXIT for mask in masks))
    contexts = {context for tier in tiers for context in tier.contexts}
    contexts |= {context for way in through for context in way.contexts}
    exits = tuple(mask.name for mask in masks if uses[mask.name] is Use.EXIT)
    case = Case(
        bit=bit,
        named=named,
        tested=tested,
        exits=exits or tuple(tier.mask for tier in tiers),
        doubtful=tuple(mask.name for mask in masks if uses[mask.name] is Use.UNKNOWN),
        setter=setter,
        through=tuple(through),
        decided=bool(layout.tiers),
        config=config,
    )
    return AuditedBit(
        word=bit.word,
        number=bit.number,
        name=bit.name,
        named=named,
        masks=tuple(mask.name for mask in masks),
        tiers=tuple(tier.name for tier in tiers),
        contexts=tuple(context for context in Context if context in contexts),
        set_by=verdicts.set_by(case),
        set_source=setter.provenance if setter else None,
        config=setter.config if setter else (),
        handler=bit.handler,
        cleared=bit.cleared,
        needs_pt_regs=bit.needs_pt_regs,
        findings=tuple(verdicts.findings(case)),
        source=bit.source,
    )
