"""Whether a layout says what the machine code does; where not, the machine code is right.

The tiers are made of three of its masks: `work`, which an exit tests first, `loop`, which its work loop
tests, and that of the one-time work of system calls. Bits of `work` that are not in `loop` enter the function
and not its loop: in all contexts (RSEQ, since 6.19), or in some (HRTIMER_REARM, since 7.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from tifbpf.layouts import callees
from tifbpf.layouts.model import Context, Evidence, Layout, Tier, Word
from tifbpf.layouts.tested import Role, Tested, TestedMask

_LOOP, _SYSCALL_WORK, _ENTRY = "loop", "syscall_work", "entry"
_OUTSIDE = "outside_loop"
"""The tier of bits that enter the work function and not its loop, where a layout has no name for it."""
_NO_MACRO = "no macro is known"
_ENTRY_MASKS = ("SYSCALL_WORK_ENTER", "SYSCALL_ENTER_WORK")
"""What the mask of the way in is called: since 5.11, and since 5.9."""


class Verdict(StrEnum):
    """How a mask came out of the comparison."""

    CONFIRMED = "confirmed"
    OVERRULED = "overruled"
    """The machine code has another value, or the layout has none; the layout's tiers get the machine's."""
    NOT_FOUND = "not found"
    """The machine code did not show it; the layout's value stays."""


class MaskCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One mask of a layout beside that of the machine code."""

    tier: str
    """The tier's name, or `entry` for the way in, which is none."""
    mask: str
    """The macro, or an expression of macros."""
    word: Word
    contexts: tuple[Context, ...]
    stated: int | None
    """By the layout; None where it has no such tier."""
    tested: int | None
    """By the machine code; None where it was not found."""
    where: str
    """The tests that show it; empty where it was not found."""
    verdict: Verdict


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """A layout whose tiers are those of the machine code."""

    layout: Layout
    checks: tuple[MaskCheck, ...]
    evidence: tuple[Evidence, ...]


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """A tier of the machine code, where one without a loop has no name of its own."""

    name: str
    word: Word = Word.TIF
    value: int
    contexts: tuple[Context, ...]
    by: tuple[TestedMask, ...]

    @property
    def where(self) -> str:
        return "; ".join(dict.fromkeys(mask.where for mask in self.by))


def confirm(layout: Layout, tested: Tested) -> Confirmed:
    """Compare `layout` with the machine code, tier by tier."""
    tiers = tuple(_checked(layout, tuple(_found(tested))))
    checks = (*(check for _, check in tiers), *_entry(layout, tested))
    return Confirmed(
        layout=msgspec.structs.replace(layout, tiers=tuple(tier for tier, _ in tiers if tier is not None)),
        checks=checks,
        evidence=(*map(_evidence, checks), *callees.evidence(layout, tested), *_absent(tested)),
    )


def agrees(layout: Layout, tested: Tested) -> bool:
    """Whether nothing in the machine code is other than `layout` says."""
    overruled = any(check.verdict is Verdict.OVERRULED for check in confirm(layout, tested).checks)
    return not overruled and not any(callees.misnamed(layout, tested))


def _found(tested: Tested) -> Iterator[_Found]:
    work = {
        context: mask
        for context in Context
        if (mask := tested.decisive(Role.WORK, context)) is not None and mask.word is Word.TIF
    }
    loop = {
        context: mask
        for context in work
        if (mask := tested.decisive(Role.LOOP, context) or _same_as_work(tested, context)) is not None
    }
    # Which bits are of some contexts only can be told where all were found.
    if len(loop) == len(Context):
        inner = {context: mask.value & loop[context].value for context, mask in work.items()}
        outer = {context: mask.value & ~loop[context].value for context, mask in work.items()}
        for name, values in ((_LOOP, inner), (_OUTSIDE, outer)):
            for contexts, value in _by_contexts(values):
                shown = {context: work[context] for context in contexts}
                if name == _LOOP:
                    shown |= {c: loop[c] for c in contexts if loop[c].value != work[c].value}
                tests = tuple(dict.fromkeys(shown.values()))
                yield _Found(name=name, value=value, contexts=contexts, by=tests)
    if once := tested.decisive(Role.SYSCALL_WORK, Context.SYSCALL):
        contexts = (Context.SYSCALL,)
        yield _Found(name=_SYSCALL_WORK, word=once.word, value=once.value, contexts=contexts, by=(once,))


def _same_as_work(tested: Tested, context: Context) -> TestedMask | None:
    """Return the work mask where no test is the loop's own; not where there are such that do not agree."""
    there = any(mask.role is Role.LOOP and context in mask.contexts for mask in tested.masks)
    return None if there else tested.decisive(Role.WORK, context)


def _by_contexts(values: Mapping[Context, int]) -> Iterator[tuple[tuple[Context, ...], int]]:
    """Yield bits with the contexts that have them, bits of the same contexts together."""
    groups: dict[tuple[Context, ...], int] = {}
    for number in range(max(values.values()).bit_length()):
        contexts = tuple(context for context, value in values.items() if value >> number & 1)
        if contexts:
            groups[contexts] = groups.get(contexts, 0) | 1 << number
    yield from groups.items()


def _checked(layout: Layout, found: tuple[_Found, ...]) -> Iterator[tuple[Tier | None, MaskCheck]]:
    """Yield each tier as the machine code has it, with its check; None for one that has no bit there."""
    there = {(one.name, frozenset(one.contexts)): one for one in found}
    shown = {one.name for one in found}
    stated: dict[tuple[str, frozenset[Context]], int] = {}
    for tier in layout.tiers:
        stated[_key(tier)] = stated.get(_key(tier), 0) | tier.value
    for tier in layout.tiers:
        key = _key(tier)
        if (key[0] if key[0] == _SYSCALL_WORK else _LOOP) not in shown:
            yield tier, _check(tier, None)
            continue
        one = there.get(key) or _Found(name=key[0], word=tier.word, value=0, contexts=tier.contexts, by=())
        # Tiers that have no loop and the same contexts look alike: what none of them states is the first's.
        value = one.value & (tier.value | ~stated[key])
        stated[key] = ~0
        check = _check(tier, msgspec.structs.replace(one, value=value))
        source = f"machine code: {one.where}; not {tier.value:#x}, as {tier.source} says"
        changed = msgspec.structs.replace(tier, word=one.word, value=value, source=source)
        yield (tier if check.verdict is Verdict.CONFIRMED else changed if value else None), check
    for key, one in there.items():
        if key not in stated:
            tier = Tier(
                name=one.name,
                word=one.word,
                value=one.value,
                mask=_NO_MACRO,
                contexts=one.contexts,
                source=f"machine code: {one.where}",
            )
            yield tier, msgspec.structs.replace(_check(tier, one), stated=None, verdict=Verdict.OVERRULED)


def _key(tier: Tier) -> tuple[str, frozenset[Context]]:
    name = tier.name if tier.name in (_LOOP, _SYSCALL_WORK) else _OUTSIDE
    return name, frozenset(tier.contexts)


def _check(tier: Tier, found: _Found | None) -> MaskCheck:
    if found is None:
        verdict = Verdict.NOT_FOUND
    else:
        same = (found.word, found.value) == (tier.word, tier.value)
        verdict = Verdict.CONFIRMED if same else Verdict.OVERRULED
    return MaskCheck(
        tier=tier.name,
        mask=tier.mask,
        word=tier.word,
        contexts=tier.contexts,
        stated=tier.value,
        tested=found.value if found else None,
        where=found.where if found else "",
        verdict=verdict,
    )


def _entry(layout: Layout, tested: Tested) -> Iterator[MaskCheck]:
    """Yield the check of the way in, which is no tier: it makes no exit slow."""
    mask = next(filter(None, map(layout.mask, _ENTRY_MASKS)), None)
    seen = tested.decisive(Role.ENTRY, Context.SYSCALL)
    if mask is None:
        return
    same = seen is not None and (seen.word, seen.value) == (mask.word, mask.value)
    yield MaskCheck(
        tier=_ENTRY,
        mask=mask.name,
        word=mask.word,
        contexts=(Context.SYSCALL,),
        stated=mask.value,
        tested=seen.value if seen else None,
        where=seen.where if seen else "",
        verdict=Verdict.NOT_FOUND if seen is None else Verdict.CONFIRMED if same else Verdict.OVERRULED,
    )


def _evidence(check: MaskCheck) -> Evidence:
    said = f"{check.tier}: {check.mask}"
    if check.tested is None:
        return Evidence(
            fact=f"{said} is {check.stated:#x} by the layout; the machine code did not show it",
            source="machine code",
            verdict="absent",
        )
    source = f"machine code of {check.where}" if check.where else "machine code"
    if check.stated is None:
        fact = f"{check.tier}: {check.tested:#x} of {check.word}, for which the layout has no tier"
        return Evidence(fact=fact, source=source, verdict="decides")
    if check.verdict is Verdict.CONFIRMED:
        return Evidence(fact=f"{said} is {check.tested:#x}", source=source, verdict="confirms")
    fact = f"{said} is {check.stated:#x} by the layout, and {check.tested:#x} is tested: that is taken"
    return Evidence(fact=fact, source=source, verdict="contradicts")


def _absent(tested: Tested) -> Iterator[Evidence]:
    for sentence in tested.missing:
        yield Evidence(fact=sentence, source=f"machine code of {tested.source}", verdict="absent")
