"""The ways out of the kernel: which bits send an exit there, and for which of them something is called."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tifbpf.layouts import expressions
from tifbpf.layouts.model import NOBODY, Context, Layout, Tier, Word
from tifbpf.layouts.spans import Span

_DATA = Path(__file__).with_name("data") / "paths.toml"
_LOOP = "loop"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a path."""

    function: str
    called_for: int
    """The bits that it is called for."""
    handled: int
    """Those of them that it does something for."""
    reads: int = 0
    """Bits that it looks at without doing anything for them."""


class ExitPath(msgspec.Struct, frozen=True, kw_only=True):
    """One way out, with the values of one layout."""

    name: str
    word: Word
    contexts: tuple[Context, ...]
    tested: int
    """The bits that send an exit here."""
    mask: str
    """The expression of masks that `tested` is."""
    steps: tuple[Step, ...]
    repeated: int
    """The bits that it tests again before it leaves, where nothing was called."""
    repeats: str
    """The expression of masks that `repeated` is; "" for none."""
    onward: str
    """The path that an exit goes on to where nothing was called; "" for none."""
    rest: str
    """What becomes of such an exit, as words."""
    source: str

    @property
    def handled(self) -> int:
        """The bits for which something is done."""
        return functools.reduce(lambda found, step: found | step.handled, self.steps, 0)

    def called_for(self, function: str) -> int:
        """Return the bits that `function` is called for."""
        return sum(step.called_for for step in self.steps if step.function == function)

    @property
    def loops(self) -> int:
        """The bits that, set alone, would keep an exit here for ever."""
        return self.tested & self.repeated & ~self.handled

    @property
    def idle(self) -> int:
        """The bits that, set alone, send an exit here for nothing."""
        return 0 if self.onward else self.tested & ~self.repeated & ~self.handled


class _StepEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bits: str
    function: str


class _PathEntry(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    contexts: tuple[Context, ...]
    tested: str
    rest: str
    source: str
    repeated: str = ""
    onward: str = ""
    steps: tuple[_StepEntry, ...]


class _FunctionEntry(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    tests: str
    source: str
    reads: str = ""


class _LeftOverEntry(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mask: str
    source: str


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    paths: tuple[_PathEntry, ...]
    left_over: tuple[_LeftOverEntry, ...]
    functions: tuple[_FunctionEntry, ...]


@functools.cache
def _file() -> _File:
    return msgspec.toml.decode(_DATA.read_bytes(), type=_File)


def of(layout: Layout, era: str) -> tuple[ExitPath, ...]:
    """Return the ways out of a kernel of the era of that name, with the values of `layout`.

    Where the data has none for a context, the tiers are the ways out: the loop tests its mask until no bit of
    it is set, the others test theirs once.
    """
    written = tuple(_path(layout, entry, era) for entry in _file().paths if entry.covers(era))
    covered = {context for path in written for context in path.contexts}
    return (
        *written,
        *(_tier(layout, tier) for tier in layout.tiers if not covered.issuperset(tier.contexts)),
    )


def left_over(mask: str, era: str) -> bool:
    """Whether the era still defines `mask` although its code does not test it any more."""
    return any(entry.mask == mask and entry.covers(era) for entry in _file().left_over)


def functions(layout: Layout, era: str) -> dict[str, tuple[int, int]]:
    """Return, for each function whose own tests are known, the bits that it handles, and those it reads."""
    return {
        entry.name: (expressions.value(layout, entry.tests), expressions.value(layout, entry.reads))
        for entry in _file().functions
        if entry.covers(era)
    }


def _path(layout: Layout, entry: _PathEntry, era: str) -> ExitPath:
    tests = functions(layout, era)
    steps = []
    for step in entry.steps:
        bits = expressions.value(layout, step.bits)
        handled, reads = tests.get(step.function, (bits, 0))
        steps.append(Step(function=step.function, called_for=bits, handled=bits & handled, reads=reads))
    return ExitPath(
        name=entry.name,
        word=Word.TIF,
        contexts=entry.contexts,
        tested=expressions.value(layout, entry.tested),
        mask=entry.tested,
        steps=tuple(steps),
        repeated=expressions.value(layout, entry.repeated),
        repeats=entry.repeated,
        onward=entry.onward,
        rest=entry.rest,
        source=entry.source,
    )


def _tier(layout: Layout, tier: Tier) -> ExitPath:
    loops = tier.name == _LOOP
    return ExitPath(
        name=tier.name,
        word=tier.word,
        contexts=tier.contexts,
        tested=tier.value,
        mask=tier.mask,
        steps=tuple(_steps(layout, tier)),
        repeated=tier.value if loops else 0,
        repeats=tier.mask if loops else "",
        onward="",
        rest="" if loops else "leaves, the bit still set",
        source=tier.source,
    )


def _steps(layout: Layout, tier: Tier) -> Iterator[Step]:
    """Yield a step for each handler of the tier's bits; one without a name where it is not known."""
    found: dict[str, int] = {}
    for bit in layout.bits:
        if bit.word == tier.word and bit.value & tier.value and bit.handler != NOBODY:
            name = bit.handler or ""
            found[name] = found.get(name, 0) | bit.value
    for function, bits in found.items():
        yield Step(function=function, called_for=bits, handled=bits)
