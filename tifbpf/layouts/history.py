"""How bits and masks went from kernel to kernel: over all eras, and between two."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from tifbpf.layouts import catalogue
from tifbpf.layouts.model import Bit, Layout, Mask, Word

_DATA = Path(__file__).with_name("data") / "commits.toml"
_T = TypeVar("_T", bound=Hashable)
_ALL = "*"


class Commit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A commit of which it is known that it made a change."""

    era: str
    """The first era that has it."""
    sha: str
    title: str
    bits: tuple[str, ...] = ()
    """The bits that it brought, took or moved; `*` for all that changed."""
    masks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'{self.sha} "{self.title}"'


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Eras that follow each other and have something in common."""

    first: str
    last: str

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A number that a bit had, and when."""

    number: int
    runs: tuple[Run, ...]


class BitHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One bit through all eras."""

    word: Word
    name: str
    places: tuple[Place, ...]
    commits: tuple[Commit, ...]


class MaskChange(msgspec.Struct, frozen=True, kw_only=True):
    """A mask from one change to the next; where no bit entered or left, its bits have other numbers."""

    run: Run
    value: int | None
    """None where the mask is gone."""
    members: tuple[str, ...]
    entered: tuple[str, ...]
    """The bits that it did not have before; all of them where it is new."""
    left: tuple[str, ...]
    commits: tuple[Commit, ...]


class MaskHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One mask through all eras."""

    word: Word
    name: str
    changes: tuple[MaskChange, ...]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All bits and masks through all eras.

    An era bears the name of its first release. Eras of an RT patch (`5.10-rt`) or of a stable series
    (`4.4.155`) part from mainline: what they have differently stands after mainline's runs, compared with
    where they parted.
    """

    trunk: tuple[str, ...]
    offshoots: dict[str, str]
    """Each era that is not mainline's, and that of mainline before it."""
    bits: tuple[BitHistory, ...]
    masks: tuple[MaskHistory, ...]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What both layouts have, and have differently."""

    word: Word
    name: str
    old: str
    new: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two layouts."""

    old: str
    new: str
    renumbered: tuple[Changed, ...]
    """Bits with another number."""
    added: tuple[Bit, ...]
    gone: tuple[Bit, ...]
    masks: tuple[Changed, ...]
    """Masks with other members; a mask whose members only have other numbers is not among them."""
    revalued: tuple[Changed, ...]
    """Masks with the same members and another value."""
    added_masks: tuple[Mask, ...]
    gone_masks: tuple[Mask, ...]
    handlers: tuple[Changed, ...]
    """Bits with another handler; `not known` where one of the layouts does not say."""
    commits: tuple[Commit, ...]


@functools.cache
def commits() -> tuple[Commit, ...]:
    """Return the commits that are known, oldest era first."""

    class _File(msgspec.Struct, forbid_unknown_fields=True):
        commits: tuple[Commit, ...]

    return msgspec.toml.decode(_DATA.read_bytes(), type=_File).commits


@functools.cache
def history() -> History:
    """Return all bits and masks through all eras."""
    trunk, offshoots = _trunk()
    layouts = tuple(map(catalogue.load, catalogue.names()))
    bits = _first(layouts, lambda layout: [(bit.word, bit.name) for bit in layout.bits])
    masks = _first(layouts, lambda layout: [(mask.word, mask.name) for mask in layout.masks if mask.value])
    return History(
        trunk=trunk,
        offshoots=offshoots,
        bits=tuple(_bit(word, name) for word, name in bits),
        masks=tuple(_mask(word, name) for word, name in masks),
    )


def _first(layouts: Iterable[Layout], of: Callable[[Layout], Iterable[_T]]) -> tuple[_T, ...]:
    """Return what the layouts have, in the order in which it came."""
    return tuple(dict.fromkeys(item for layout in layouts for item in of(layout)))


@functools.cache
def _trunk() -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the eras of mainline, and each other era with that of mainline from which it parted."""
    trunk: list[str] = []
    offshoots = {}
    for era in catalogue.eras():
        # `4.4.155` and `5.10-rt` are of a stable series or of an RT patch; mainline's have two numbers.
        if re.fullmatch(r"\d+\.\d+", era.name):
            trunk.append(era.name)
        else:
            offshoots[era.name] = trunk[-1]
    return tuple(trunk), offshoots


def _told(of: Callable[[Layout], _T]) -> Iterator[tuple[_T, Run, _T | None]]:
    """Yield what eras have, with the one before: runs of mainline, then the offshoots that differ."""
    trunk, offshoots = _trunk()
    runs: list[tuple[_T, Run]] = []
    for era in trunk:
        value = of(catalogue.load(era))
        if runs and runs[-1][0] == value:
            runs[-1] = value, Run(first=runs[-1][1].first, last=era)
        else:
            runs.append((value, Run(first=era, last=era)))
    for place, (value, run) in enumerate(runs):
        yield value, run, runs[place - 1][0] if place else None
    for era, parted in offshoots.items():
        value, before = of(catalogue.load(era)), of(catalogue.load(parted))
        # Of some only headers were read, which lack what a .c file defines: what is missing says nothing.
        if value is not None and value != before:
            yield value, Run(first=era, last=era), before


def _bit(word: Word, name: str) -> BitHistory:
    def number(layout: Layout) -> int | None:
        bit = layout.named(name, word)
        return None if bit is None else bit.number

    places: dict[int, list[Run]] = {}
    for value, run, _ in _told(number):
        if value is not None:
            places.setdefault(value, []).append(run)
    firsts = {run.first for runs in places.values() for run in runs}
    return BitHistory(
        word=word,
        name=name,
        places=tuple(Place(number=value, runs=tuple(runs)) for value, runs in places.items()),
        commits=tuple(
            commit for commit in commits() if commit.era in firsts and {name, _ALL} & set(commit.bits)
        ),
    )


def _mask(word: Word, name: str) -> MaskHistory:
    def state(layout: Layout) -> tuple[int, tuple[str, ...]] | None:
        mask = layout.mask(name)
        if mask is None or not mask.value:
            return None
        return mask.value, layout.names(mask.word, mask.value)

    changes = []
    for found, run, earlier in _told(state):
        value, members = found or (0, ())
        before = earlier[1] if earlier else ()
        if found is None and earlier is None:
            continue
        changes.append(
            MaskChange(
                run=run,
                value=value if found else None,
                members=members,
                entered=tuple(bit for bit in members if bit not in before),
                left=tuple(bit for bit in before if bit not in members) if found else (),
                commits=tuple(
                    commit for commit in commits() if commit.era == run.first and name in commit.masks
                ),
            )
        )
    return MaskHistory(word=word, name=name, changes=tuple(changes))


def _members(layout: Layout, mask: Mask) -> tuple[str, ...]:
    return layout.names(mask.word, mask.value)


def _same(old: Layout, one: Mask, new: Layout, two: Mask) -> bool:
    return set(_members(old, one)) == set(_members(new, two))


def diff(old: Layout, new: Layout) -> Difference:
    """Return what differs between two layouts."""
    before = {(bit.word, bit.name): bit for bit in old.bits}
    after = {(bit.word, bit.name): bit for bit in new.bits}
    both = [(before[key], after[key]) for key in before if key in after]
    masks_before = {(mask.word, mask.name): mask for mask in old.masks}
    masks_after = {(mask.word, mask.name): mask for mask in new.masks}
    shared = [(masks_before[key], masks_after[key]) for key in masks_before if key in masks_after]
    return Difference(
        old=old.name,
        new=new.name,
        renumbered=tuple(
            Changed(word=one.word, name=one.name, old=str(one.number), new=str(two.number))
            for one, two in both
            if one.number != two.number
        ),
        added=tuple(bit for key, bit in after.items() if key not in before),
        gone=tuple(bit for key, bit in before.items() if key not in after),
        masks=tuple(_masks(old, one, new, two) for one, two in shared if not _same(old, one, new, two)),
        revalued=tuple(
            Changed(word=one.word, name=one.name, old=f"{one.value:#x}", new=f"{two.value:#x}")
            for one, two in shared
            if one.value != two.value and _same(old, one, new, two)
        ),
        added_masks=tuple(mask for key, mask in masks_after.items() if key not in masks_before),
        gone_masks=tuple(mask for key, mask in masks_before.items() if key not in masks_after),
        handlers=tuple(
            Changed(word=one.word, name=one.name, old=_handler(one), new=_handler(two))
            for one, two in both
            if one.handler != two.handler
        ),
        commits=_between(old.name, new.name),
    )


def _masks(old: Layout, one: Mask, new: Layout, two: Mask) -> Changed:
    before, after = _members(old, one), _members(new, two)
    entered = [f"+{bit}" for bit in after if bit not in before]
    left = [f"-{bit}" for bit in before if bit not in after]
    return Changed(
        word=one.word,
        name=one.name,
        old=f"{one.value:#x}",
        new=f"{two.value:#x}: {' '.join(entered + left)}",
    )


def _handler(bit: Bit) -> str:
    return bit.handler or "not known"


def _between(old: str, new: str) -> tuple[Commit, ...]:
    order = catalogue.names()
    if old not in order or new not in order:
        return ()
    first, last = sorted((order.index(old), order.index(new)))
    return tuple(commit for commit in commits() if first < order.index(commit.era) <= last)
