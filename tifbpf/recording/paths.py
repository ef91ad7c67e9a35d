"""Which way the exits of a row went."""

from __future__ import annotations

from enum import StrEnum

from tifbpf.layouts.model import Context, Layout


class ExitPath(StrEnum):
    """The values of the column `path`."""

    FAST = "fast"
    SLOW = "slow"
    ALL = "all"
    """All exits of a context whose route sees slow ones only: a denominator, and no further exits."""


def classify(
    layout: Layout, context: Context, word: int | None, syscall_work: int | None, *, slow_only: bool
) -> tuple[ExitPath, str | None]:
    """Return the path and the tier (joined by "+") of exits with these words.

    A route that sees slow exits only may look when the work has been done and its bit cleared. Such an exit
    was slow, and its tier is not known: (SLOW, None).

    Args:
        layout: the kernel's.
        context: what was returned from.
        word: the TIF word; None in a row that counts all exits.
        syscall_work: the second word; None where the kernel has none, and where `word` is None.
        slow_only: the route of this context sees no other exits (`Coverage.slow_only`).
    """
    if word is None:
        return ExitPath.ALL, None
    tiers = layout.slow_tiers(context, word, syscall_work or 0)
    return (ExitPath.SLOW if tiers or slow_only else ExitPath.FAST), "+".join(tiers) or None
