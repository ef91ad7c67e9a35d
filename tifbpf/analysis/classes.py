"""Classes of exits, decoded by the layout of the recording that they are from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from tifbpf.analysis.rows import Values
from tifbpf.layouts.model import NOBODY, Bit, Context, Layout, Word
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.reader import Recording

RESCHEDULE = frozenset({"NEED_RESCHED", "NEED_RESCHED_LAZY"})
"""The bits whose work is schedule() and nothing else."""


class BitName(NamedTuple):
    """A bit as recordings of different layouts share it: by name, never by number."""

    word: Word
    bit: str


class Need(StrEnum):
    """What the work of a slow exit needs."""

    PT_REGS = "pt_regs"
    """A trigger's handler takes the full pt_regs."""
    NO_PT_REGS = "no_pt_regs"
    """No trigger's handler does."""
    UNKNOWN = "unknown"
    """None is known to, and of one at least it is not known; or the triggers are not known."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one pair of words means to an exit from one context."""

    bits: tuple[BitName, ...]
    """The bits set in both words."""
    triggers: tuple[BitName, ...]
    """Those of them that are in a work mask of the context."""
    need: Need | None
    """None where nothing triggers."""

    @property
    def reschedule_only(self) -> bool:
        """Whether something triggers, and nothing but a reschedule."""
        return bool(self.triggers) and all(
            trigger.word == Word.TIF and trigger.bit in RESCHEDULE for trigger in self.triggers
        )


@dataclass(frozen=True, slots=True)
class ExitClass:
    """Exits that were alike, in one recording."""

    recording: int
    context: Context
    path: str
    count: int
    decoded: Decoded

    @property
    def need(self) -> Need | None:
        """What the work of these exits needs; None for fast ones."""
        return (self.decoded.need or Need.UNKNOWN) if self.path == ExitPath.SLOW else None


def decode(layout: Layout, context: Context, tif: int, syscall_work: int | None) -> Decoded:
    """Name the bits of an exit's words, and say which of them made it slow."""
    bits: list[BitName] = []
    triggers: list[BitName] = []
    needs: list[bool | None] = []
    for word, value in ((Word.TIF, tif), (Word.SYSCALL_WORK, syscall_work or 0)):
        bits += (BitName(word, name) for name in layout.names(word, value))
        work = value & layout.work_mask(context, word)
        triggers += (BitName(word, name) for name in layout.names(word, work))
        for number in _numbers(work):
            bit = layout.at(word, number)
            needs.append(_needs_pt_regs(bit))
    return Decoded(tuple(bits), tuple(triggers), _need(needs))


def _needs_pt_regs(bit: Bit | None) -> bool | None:
    if bit is None:
        return None
    # Where nobody does anything for the bit, nothing is needed.
    return False if bit.handler == NOBODY else bit.needs_pt_regs


def _numbers(value: int) -> Iterator[int]:
    return (number for number in range(value.bit_length()) if value >> number & 1)


def _need(needs: list[bool | None]) -> Need | None:
    if not needs:
        return None
    if True in needs:
        return Need.PT_REGS
    return Need.UNKNOWN if None in needs else Need.NO_PT_REGS


def classes(values: Values, recordings: Sequence[Recording]) -> list[ExitClass]:
    """Decode each line of `values` (recording, context, word, syscall_work, path, count), in its order.

    Lines whose path is `all` have no word, and must not be among them.
    """
    known: dict[tuple[Any, ...], tuple[int, Context, Decoded]] = {}
    found = []
    words = zip(*(values[name] for name in ("recording", "context", "word", "syscall_work")), strict=True)
    for raw, path, count in zip(words, values["path"], values["count"], strict=True):
        if raw not in known:
            place, context, tif, syscall_work = raw
            layout = recordings[place].metadata.layout
            known[raw] = (place, Context(context), decode(layout, Context(context), tif, syscall_work))
        place, named, decoded = known[raw]
        found.append(ExitClass(place, named, path, count, decoded))
    return found
