"""The data behind the audit holds together."""

from __future__ import annotations

import pytest

from tifbpf.layouts import catalogue, expressions, history, paths, set_by
from tifbpf.layouts.model import NOBODY, Word


@pytest.mark.parametrize("era", catalogue.names())
def test_tiers_are_what_their_expressions_say(era: str) -> None:
    layout = catalogue.load(era)
    for tier in layout.tiers:
        assert expressions.value(layout, tier.mask, tier.word) == tier.value


def test_expressions() -> None:
    layout = catalogue.load("3.13")
    assert expressions.value(layout, "_TIF_ALLWORK_MASK & ~_TIF_WORK_MASK") == 0x100800D1
    assert expressions.value(layout, "(0x0000FFFF & ~_TIF_SECCOMP) | _TIF_NOHZ") == 0x8FEFF
    assert expressions.value(layout, "") == 0
    assert expressions.names("open-coded: _TIF_UPROBE | ~_TIF_NOHZ") == {"_TIF_UPROBE", "_TIF_NOHZ"}
    assert expressions.value(catalogue.load("6.18"), "SYSCALL_WORK_EXIT", Word.SYSCALL_WORK) == 0x76
    with pytest.raises(KeyError, match="_TIF_NONSENSE"):
        expressions.value(layout, "_TIF_NONSENSE")
    with pytest.raises(ValueError, match="no expression of masks"):
        expressions.value(layout, "_TIF_UPROBE + 1")


@pytest.mark.parametrize("era", catalogue.names())
def test_at_most_one_entry_says_who_sets_a_bit(era: str) -> None:
    covering = [entry.bit for entry in set_by.entries() if entry.covers(era)]
    assert len(covering) == len(set(covering))


def test_every_entry_was_read_somewhere_and_its_bit_exists_there() -> None:
    for entry in set_by.entries():
        assert entry.read
        assert set(entry.read) <= set(set_by.trees())
        eras = [era for era in catalogue.names() if entry.covers(era)]
        # A range may run over eras without the bit: 4.15 has no SSBD; it must not be empty.
        assert any(catalogue.load(era).named(entry.bit) for era in eras), entry.bit


@pytest.mark.parametrize("era", [era for era in catalogue.names() if era not in ("3.10", "3.10.72")])
def test_of_most_bits_of_exit_masks_the_setter_is_known(era: str) -> None:
    layout = catalogue.load(era)
    tested = [
        bit.name
        for bit in layout.bits
        if any(tier.word == bit.word and tier.value & bit.value for tier in layout.tiers)
    ]
    unknown = {name for name in tested if set_by.of(name, era) is None}
    assert unknown == UNREAD.get(era, set()), era


# No tree of these eras, and none on both sides of them, was searched for these.
UNREAD = {
    "3.14.79": {"MCE_NOTIFY", "NOHZ"},
    "3.16": {"MCE_NOTIFY", "NOHZ"},
    "3.19": {"MCE_NOTIFY", "NOHZ"},
    "4.0": {"NOHZ"},
    "4.12": {"PATCH_PENDING"},
    "4.14.74": {"PATCH_PENDING"},
    "4.14.177": {"PATCH_PENDING"},
    "4.19-rt": {"NEED_RESCHED_LAZY"},
    "5.11": {"SYSCALL_USER_DISPATCH", "SYSCALL_EXIT_TRAP"},
    "5.15": {"SYSCALL_USER_DISPATCH", "SYSCALL_EXIT_TRAP"},
    "6.1-rt": {"NEED_RESCHED_LAZY"},
    "6.19": {"RSEQ"},
}


@pytest.mark.parametrize("era", catalogue.names())
def test_ways_out_agree_with_the_handlers(era: str) -> None:
    """What a path handles has a handler, and what no path handles has none."""
    layout = catalogue.load(era)
    ways = paths.of(layout, era)
    tested = handled = 0
    for way in ways:
        if way.word is Word.TIF:
            tested |= way.tested
            handled |= way.handled
    for bit in layout.bits:
        if bit.word is Word.TIF and bit.value & tested:
            assert bool(bit.value & handled) == (bit.handler != NOBODY), (era, bit.name)


def test_paths_of_3_13_are_those_of_entry_64() -> None:
    ways = {way.name: way for way in paths.of(catalogue.load("3.13"), "3.13")}
    assert {name: (way.tested, way.repeated, way.loops, way.idle) for name, way in ways.items()} == {
        "sysret_check": (0x1008FEFF, 0, 0, 0),
        "int_with_check": (0x1008FEFF, 0xFE2E, 0xF220, 0x40),
        "retint_check": (0xFE2E, 0, 0, 0xF220),
        "paranoid_userspace": (0xFE2E, 0xFE2E, 0xE220, 0),
    }


def test_every_commit_is_of_an_era_and_changes_something() -> None:
    found = history.history()
    cited = {commit.sha for bit in found.bits for commit in bit.commits}
    cited |= {commit.sha for mask in found.masks for change in mask.changes for commit in change.commits}
    assert cited == {commit.sha for commit in history.commits()}
