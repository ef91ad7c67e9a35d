"""What a word means for an exit: which tiers it takes, by which bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tifbpf.layouts.decode import decode
from tifbpf.layouts.model import Context, Layout, Tier, Word


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one word alone does to an exit from one context, the other word being 0."""

    context: Context
    hits: tuple[tuple[Tier, int], ...]
    """The tiers that it takes, and the trigger bits in each; () for a fast exit."""

    @property
    def triggers(self) -> int:
        """All trigger bits together."""
        value = 0
        for _, hit in self.hits:
            value |= hit
        return value

    @property
    def sole(self) -> bool:
        """Whether one bit alone makes the exit slow."""
        return self.triggers.bit_count() == 1


def outcome(layout: Layout, value: int, word: Word, context: Context) -> Outcome:
    """Return what `value` in `word` does to an exit from `context`."""
    tests = (tier for tier in layout.tiers if tier.word == word and context in tier.contexts)
    return Outcome(context=context, hits=tuple((tier, hit) for tier in tests if (hit := value & tier.value)))


def explain(layout: Layout, value: int, word: Word, contexts: Iterable[Context]) -> Iterator[str]:
    """Yield what `tifbpf decode` prints below the word itself."""
    yield f"layout {layout.name}, read from {', '.join(layout.releases)}"
    for context in contexts:
        yield f"{context:<9} {_said(layout, outcome(layout, value, word, context), word)}"
    for note in layout.notes:
        yield f"note: {note}"


def _said(layout: Layout, result: Outcome, word: Word) -> str:
    if not layout.tiers:
        return "not known: these headers name no work mask"
    if not layout.work_mask(result.context, word):
        return f"fast: {word} is not looked at"
    if not result.hits:
        return "fast"
    hits = "; ".join(
        f"{tier.name} ({tier.mask} {tier.value:#x}) by {decode(layout, hit, word)}"
        for tier, hit in result.hits
    )
    if not result.sole:
        return f"slow: {hits}"
    both = result.context == Context.SYSCALL and any(bit.word == Word.SYSCALL_WORK for bit in layout.bits)
    return f"slow: {hits}; sole trigger{' in this word' if both else ''}"
