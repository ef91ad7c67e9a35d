"""What is to be said of one bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from tifbpf.layouts.model import NOBODY, Bit, Context
from tifbpf.layouts.paths import ExitPath
from tifbpf.layouts.set_by import SetBy
from tifbpf.text import listed


class Verdict(StrEnum):
    """What is to be said of a bit."""

    DEAD = "dead"
    """In an exit mask, and no code sets it."""
    HAZARD = "hazard"
    """Sends an exit into a slowpath where nothing handles or clears it: alone it would loop."""
    WASTED = "wasted"
    """Costs a slowpath, and no work is done for it."""
    OUTSIDE = "outside"
    """Set, but in no exit mask: it triggers nothing."""
    UNKNOWN = "unknown"
    """In an exit mask, and what handles it is not known."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict on a bit."""

    verdict: Verdict
    text: str
    """One sentence."""
    source: str
    contexts: tuple[Context, ...] = ()
    """The exits that it is about; () for all."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A bit, and what is known of it."""

    bit: Bit
    named: bool
    tested: bool
    """Whether it is in an exit mask."""
    exits: tuple[str, ...]
    """The exit masks that it is in."""
    doubtful: tuple[str, ...]
    """The masks that it is in of which it is not known whether anything tests them."""
    setter: SetBy | None
    through: tuple[ExitPath, ...]
    """The ways out that test it."""
    decided: bool
    """Whether the masks that decide how slow an exit is are known at all."""
    config: Mapping[str, str] | None


def set_by(case: Case) -> tuple[str, ...] | None:
    """Return the functions that set the bit; () where nobody does; None where that is not known."""
    if not case.named:
        return ()
    if case.setter is None:
        return None
    return () if case.setter.built(case.config) is False else case.setter.functions


def findings(case: Case) -> Iterator[Finding]:
    """Yield what is to be said of the bit, the worst first; nothing where all is well."""
    if not case.decided:
        yield Finding(
            verdict=Verdict.UNKNOWN,
            text="the masks that decide are not known, so neither is whether one of them has it",
            source=case.bit.source,
        )
    elif not case.tested and case.doubtful:
        yield Finding(
            verdict=Verdict.UNKNOWN,
            text=f"in {listed(case.doubtful)}, and whether anything tests that is not known",
            source=case.bit.source,
        )
    elif not case.tested:
        yield from _outside(case)
    elif set_by(case) == ():
        yield _dead(case)
    elif case.bit.handler is None:
        yield Finding(
            verdict=Verdict.UNKNOWN,
            text=f"in {listed(case.exits)}, and what handles it is not known",
            source=case.bit.source,
        )
    else:
        yield from _hazards(case)
        yield from _wasted(case)


def _outside(case: Case) -> Iterator[Finding]:
    if set_by(case) == ():
        return
    text = "in no exit mask, so it triggers nothing"
    if case.bit.handler not in (None, NOBODY):
        text += f"; {case.bit.handler}() is called for it on every exit that has it"
    yield Finding(verdict=Verdict.OUTSIDE, text=text, source=case.bit.source)


def _dead(case: Case) -> Finding:
    setter, exits = case.setter, listed(case.exits)
    if not case.named:
        text, source = f"in {exits} and without a name, so nobody sets it", case.bit.source
    elif setter is not None and setter.functions:
        options = " or ".join(f"CONFIG_{option}" for option in setter.config)
        functions = listed([f"{function}()" for function in setter.functions])
        text = f"in {exits}; only {functions} would set it, and this kernel is built without {options}"
        source = setter.provenance
    else:
        text = f"in {exits}, and no code of this era sets it"
        source = setter.provenance if setter else case.bit.source
    loops = [way.name for way in case.through if way.loops & case.bit.value]
    if loops:
        text += f" (whoever did would make an exit loop at {listed(loops)})"
    return Finding(verdict=Verdict.DEAD, text=text, source=source)


def _hazards(case: Case) -> Iterator[Finding]:
    value = case.bit.value
    hidden = [
        f"{way.name} calls {step.function}() for it"
        for way in case.through
        for step in way.steps
        if step.handled & value
    ]
    for way in case.through:
        if not way.loops & value:
            continue
        calls = listed([f"{step.function}()" for step in way.steps], "or")
        text = (
            f"alone it would loop at {way.name} for ever: {way.repeats} has it, so the exit does not end, "
            f"and none of {calls} is called there for it"
        )
        if hidden:
            text += f"; hidden because {listed(hidden)}"
        yield Finding(verdict=Verdict.HAZARD, text=text, source=way.source, contexts=way.contexts)


def _wasted(case: Case) -> Iterator[Finding]:
    for way in case.through:
        if not way.idle & case.bit.value:
            continue
        text = f"sends an exit to {way.name} for nothing: nothing is called for it, and the exit {way.rest}"
        before = [one for one in case.through if one.onward == way.name and not one.handled & case.bit.value]
        if before:
            text += f"; on the way there, {before[0].name} {before[0].rest}"
        yield Finding(verdict=Verdict.WASTED, text=text, source=way.source, contexts=way.contexts)
