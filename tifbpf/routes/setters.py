"""Who sets a bit, and whose work it stands for: which of the hooks in setters.toml a kernel allows."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import msgspec

from tifbpf.host.facts import Interest, KernelFacts
from tifbpf.layouts.model import Layout, Word
from tifbpf.routes import requirements
from tifbpf.routes.choose import PlannedHook
from tifbpf.routes.model import Hook, HookKind
from tifbpf.routes.requirements import Verdict

_CATALOGUE = Path(__file__).with_name("setters.toml")


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to see a setter."""

    hooks: tuple[Hook, ...]
    """`word` says what tells the bit; of `callers`, all that the kernel has must call the function."""
    unseen: tuple[str, ...]
    """What it does not see of its bits."""
    lacks: tuple[str, ...] = ()
    """Bits of its setter that it does not see at all."""
    provenance: tuple[str, ...]


class Setter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who sets bits of the TIF word."""

    what: str
    bits: tuple[str, ...]
    sources: tuple[Source, ...]
    """Best first."""
    only_with: str | None = None
    """A function; kernels without it have no such setter."""
    members: tuple[str, ...] = ()
    """Of task_struct: names of the one that the probe looks at."""


class Nobody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that no hook sees on any kernel."""

    bits: tuple[str, ...]
    why: str


class Handler(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function that an exit calls for a bit, which may stand for others' work as well."""

    bit: str
    hook: Hook
    work: str
    """How a call that had something to do is told from one that had not."""
    members: tuple[str, ...] = ()
    """Of task_struct: names of the one that tells."""
    provenance: tuple[str, ...]


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of setters.toml."""

    setter: tuple[Setter, ...]
    nobody: tuple[Nobody, ...]
    handler: tuple[Handler, ...]

    @property
    def hooks(self) -> Iterator[Hook]:
        """Every hook, in the order of the file."""
        for setter in self.setter:
            for source in setter.sources:
                yield from source.hooks
        for handler in self.handler:
            yield handler.hook


class PlannedHandler(msgspec.Struct, frozen=True, kw_only=True):
    """A handler that is going to be counted."""

    bit: str
    hook: PlannedHook


class SettersPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is going to be seen on one kernel."""

    setters: tuple[PlannedHook, ...]
    handlers: tuple[PlannedHandler, ...]
    unseen: tuple[str, ...]
    """What is not, one line each: `NEED_RESCHED: why`."""

    @property
    def hooks(self) -> tuple[PlannedHook, ...]:
        """Of setters and handlers."""
        return (*self.setters, *(handler.hook for handler in self.handlers))


@functools.cache
def catalogue() -> Catalogue:
    """Return all setters and handlers."""
    return msgspec.toml.decode(_CATALOGUE.read_bytes(), type=Catalogue)


@functools.cache
def interest() -> Interest:
    """Return what the catalogue needs to know of a kernel."""
    hooks = tuple(catalogue().hooks)
    functions = [hook for hook in hooks if hook.kind is not HookKind.RAW_TRACEPOINT]
    only_with = {setter.only_with for setter in catalogue().setter if setter.only_with}
    return Interest(
        functions=frozenset(only_with).union(symbol for hook in functions for symbol in hook.symbols),
        callers={hook.symbol: _callers(hook) for hook in functions if hook.callers},
        events=frozenset(hook.symbol for hook in hooks if hook.kind is HookKind.RAW_TRACEPOINT),
    )


def plan(
    facts: KernelFacts, layout: Layout, members: Container[str], refused: Mapping[tuple[str, str], str]
) -> SettersPlan:
    """Choose for each setter the best source that the kernel allows, and the handlers that it allows.

    Args:
        facts: what the kernel offers.
        layout: the kernel's; a setter whose bits it has not is passed over.
        members: those of its task_struct.
        refused: ways and symbols that the kernel was seen to refuse, with what it said.
    """
    bits = {bit.name for bit in layout.bits if bit.word is Word.TIF}
    setters: list[PlannedHook] = []
    handlers: list[PlannedHandler] = []
    unseen: list[str] = []
    for setter in catalogue().setter:
        here = [bit for bit in setter.bits if bit in bits]
        if not here or (setter.only_with and not facts.symbol(setter.only_with).present):
            continue
        if lacking := _lacking(setter.members, members):
            unseen.append(f"{', '.join(here)}: {setter.what}: {lacking}")
            continue
        hooks, blind = _choose(facts, setter, here, refused)
        setters += hooks
        unseen += blind
    for nobody in catalogue().nobody:
        if here := [bit for bit in nobody.bits if bit in bits]:
            unseen.append(f"{', '.join(here)}: {nobody.why}")
    for handler in catalogue().handler:
        if handler.bit not in bits:
            continue
        verdict = _verdict(facts, handler.hook, refused)
        lacking = verdict.reason if verdict.holds is False else _lacking(handler.members, members)
        if lacking is None:
            handlers.append(PlannedHandler(bit=handler.bit, hook=_planned(facts, handler.hook, verdict)))
        else:
            unseen.append(f"{handler.bit}: runs of {handler.hook.symbol}: {lacking}")
    return SettersPlan(setters=tuple(setters), handlers=tuple(handlers), unseen=tuple(dict.fromkeys(unseen)))


def _lacking(names: tuple[str, ...], members: Container[str]) -> str | None:
    """Return what is wanting, where a probe needs one of `names`; None if it has one, or needs none."""
    if not names or any(name in members for name in names):
        return None
    return f"this kernel has no task_struct.{names[0]}"


def _choose(
    facts: KernelFacts, setter: Setter, bits: list[str], refused: Mapping[tuple[str, str], str]
) -> tuple[list[PlannedHook], list[str]]:
    """Return the hooks of the best source, and what it does not see, or why there is none."""
    reasons: list[str] = []
    for source in setter.sources:
        verdicts = [(hook, _verdict(facts, hook, refused)) for hook in source.hooks]
        if not (no := [verdict.reason for _, verdict in verdicts if verdict.holds is False]):
            hooks = [_planned(facts, hook, verdict) for hook, verdict in verdicts]
            seen = ", ".join(bit for bit in bits if bit not in source.lacks)
            return hooks, [
                *(f"{seen}: {why}" for why in source.unseen),
                *(f"{bit}: {hooks[0].symbol} does not set it" for bit in bits if bit in source.lacks),
            ]
        reasons += no
    return [], [f"{', '.join(bits)}: {setter.what}: {'; '.join(dict.fromkeys(reasons))}"]


def _verdict(facts: KernelFacts, hook: Hook, refused: Mapping[tuple[str, str], str]) -> Verdict:
    verdict = requirements.present(facts, hook)
    if verdict.holds:
        verdict = _called_by_all(facts, hook)
    return requirements.attachable(facts, hook, refused) if verdict.holds is not False else verdict


def _called_by_all(facts: KernelFacts, hook: Hook) -> Verdict:
    """Whether none of those that the function is for has a copy of its own; unknown is no."""
    if not hook.callers:
        return Verdict(holds=True)
    called_by = facts.symbol(hook.symbol).called_by
    if called_by is None:
        why = facts.unseen.get("text", "not looked at")
        return Verdict(holds=False, reason=f"who calls {hook.symbol} is unknown ({why})")
    if not called_by:
        return Verdict(holds=False, reason=f"no known caller of {hook.symbol} is in this kernel")
    if inlined := sorted(name for name, calls in called_by.items() if not calls):
        return Verdict(holds=False, reason=f"{hook.symbol} is inlined in {' and '.join(inlined)}")
    return Verdict(holds=True)


def _callers(hook: Hook) -> frozenset[str]:
    return frozenset(name for names in hook.callers.values() for name in names)


def _planned(facts: KernelFacts, hook: Hook, verdict: Verdict) -> PlannedHook:
    return PlannedHook(
        kind=hook.kind,
        symbol=requirements.name_on(facts, hook),
        word=hook.word,
        way=verdict.way or hook.kind.value,
        function=hook.function,
        arguments=hook.arguments,
        stack=hook.stack,
    )
