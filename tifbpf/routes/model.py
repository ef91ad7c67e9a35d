"""What a route is: one way to observe exits, written down in catalogue.toml."""

from __future__ import annotations

import functools
from enum import StrEnum
from pathlib import Path

import msgspec

from tifbpf.host.facts import Interest
from tifbpf.layouts.model import Context, Word

_CATALOGUE = Path(__file__).with_name("catalogue.toml")


class Exactness(StrEnum):
    """How near the moment at which the exit itself reads the word; best first."""

    EXACT = "exact"
    FEW_INSTRUCTIONS = "to a few instructions"
    AFTER = "after the fact"

    @property
    def rank(self) -> int:
        """0 is best."""
        return list(Exactness).index(self)


class HookKind(StrEnum):
    """Where a program is put."""

    ENTRY = "entry"
    """A function's entry, by fentry or a kprobe."""
    RETURN = "return"
    """A function's return, by fexit or a kretprobe."""
    BREAKPOINT = "breakpoint"
    """A function's first instruction, by a hardware breakpoint on every CPU."""
    RAW_TRACEPOINT = "raw_tracepoint"
    EVERY_SYSCALL = "every_syscall"
    """The entries of all functions that run a system call, by one kprobe on all of their addresses."""


class MaskBit(msgspec.Struct, frozen=True, array_like=True):
    """A bit by name, as `["syscall_work", "SYSCALL_AUDIT"]`."""

    word: Word
    name: str


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place to put a program."""

    kind: HookKind
    symbol: str
    """The function, or the tracepoint as `system:event`."""
    renamed: str | None = None
    """What later kernels call the same function."""
    needs: str | None = None
    """Another function that must be there: the sign of an era in which the first has a meaning."""
    word: str
    """Where the word comes from there."""
    function: str | None = None
    """What of the route's probe looks there; None where this tifbpf has none."""
    arguments: int = 0
    """How many of the hooked function's arguments it looks at."""
    stack: bool = False
    """Whether it looks at the stack that it runs on."""
    required: bool = True
    """False: the route works without, and is blind to what `without` says."""
    without: str | None = None
    """What is not seen where an optional hook cannot be attached."""
    without_bits: tuple[MaskBit, ...] = ()
    """The mask bits of `without`: exits that are slow for these alone are not seen."""
    contexts: tuple[Context, ...] = tuple(Context)
    """The contexts that it is for, of those of its route."""
    ftrace_only: bool = False
    """Only if ftrace lists it: under this name other eras have an inline function, whose out-of-line copy
    sees some of its callers only."""
    kprobe_only: bool = False
    """Only by a kprobe: its program is of that type, whatever else the kernel offers."""
    callers: dict[Context, tuple[str, ...]] = {}
    """Context to the functions of which one must call this one, for the hook to see that context."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every name that it may have."""
        return (self.symbol,) if self.renamed is None else (self.symbol, self.renamed)


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route under the names of some kernels."""

    hooks: tuple[Hook, ...]
    timed: tuple[Hook, ...] = ()
    """The hooks in their place where the time in the slowpath is asked for; () where it cannot be seen."""
    contexts: tuple[Context, ...]
    denominator: dict[Context, str] = {}
    """Context to what counts all its exits; a context that is not here needs another count."""
    blind: tuple[str, ...] = ()
    """Slow exits of its contexts that it does not see."""
    blind_bits: tuple[MaskBit, ...] = ()
    """The mask bits of `blind`: exits that are slow for these alone are not seen."""


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to observe exits. The catalogue's order is that of cost, cheapest first among equals."""

    name: str
    summary: str
    kernels: str
    """Where its functions are found, for readers; never asked when choosing."""
    exactness: Exactness
    perturbs: str | None = None
    """What the observation itself changes."""
    by_stub: bool = False
    """It tells contexts apart by the entry stub's address, which kallsyms must not hide."""
    sets_bit: str | None = None
    """A bit that attaching sets in every task, so that it is no exit's own."""
    probe: str | None = None
    """The file in probes/; None where this tifbpf has none."""
    provenance: tuple[str, ...]
    """The measurements and sources that it rests on."""
    variants: tuple[Variant, ...]


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """What counts all exits of a context, where the route sees slow ones only."""

    name: str
    says: str
    """What it counts, and what is not in it."""
    context: Context
    probe: str
    """The file in probes/."""
    hook: Hook


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    route: tuple[Route, ...]
    count: tuple[Count, ...]


@functools.cache
def _catalogue() -> _Catalogue:
    return msgspec.toml.decode(_CATALOGUE.read_bytes(), type=_Catalogue)


def catalogue() -> tuple[Route, ...]:
    """Return all routes."""
    return _catalogue().route


def counts() -> tuple[Count, ...]:
    """Return all counts of exits that are no routes."""
    return _catalogue().count


@functools.cache
def interest() -> Interest:
    """Return what the catalogue needs to know of a kernel."""
    hooks = [
        hook
        for route in catalogue()
        for variant in route.variants
        for hook in (*variant.hooks, *variant.timed)
    ]
    hooks += [count.hook for count in counts()]
    functions = [hook for hook in hooks if hook.kind not in (HookKind.RAW_TRACEPOINT, HookKind.EVERY_SYSCALL)]
    callers: dict[str, frozenset[str]] = {}
    for hook in functions:
        named = frozenset(name for names in hook.callers.values() for name in names)
        callers[hook.symbol] = callers.get(hook.symbol, frozenset()) | named
    return Interest(
        functions=frozenset(
            symbol for hook in functions for symbol in (*hook.symbols, hook.needs) if symbol is not None
        ),
        callers={symbol: names for symbol, names in callers.items() if names},
        events=frozenset(hook.symbol for hook in hooks if hook.kind is HookKind.RAW_TRACEPOINT),
    )
