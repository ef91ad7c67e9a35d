from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tifbpf.errors import UnknownKernelError
from tifbpf.layouts import catalogue, releases
from tifbpf.layouts.model import NOBODY, Context, Layout, Word

# Bits and masks of 67 trees, computed from their headers apart from the era files.
TREES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "tif_tables.json").read_text()
)
EVERYWHERE = set(Context)


def era_of(key: str) -> Layout:
    """Find the era that says it was read from the tree of that key."""
    origin = TREES[key]["source"].removeprefix("repo:").split(" prefix ")[0]
    found = [era for era in map(catalogue.load, catalogue.names()) if origin in era.source]
    assert len(found) == 1, (key, [era.name for era in found])
    return found[0]


def numbers(layout: Layout, word: Word) -> dict[str, int]:
    return {bit.name: bit.number for bit in layout.bits if bit.word == word}


# A part of the RT kernels' exit mask, in Debian's headers of both (tests/vm/test_headers_packages.py); the
# table leaves it out.
NEED_RESCHED_MASK = {"5.10.223rt": 0x80000008, "6.1.192rt": 0x80008}


def expected_masks(key: str) -> dict[str, int]:
    """The table's masks as every distribution builds them.

    The table was computed without CONFIG_SMP and CONFIG_X86_IOPL_IOPERM. Where the header has a _BASE mask,
    SMP adds SPEC_IB to the other context-switch masks, and IOPERM adds IO_BITMAP to that of the previous
    task unless _BASE has it (tests/unit/test_headers.py has the values of real configurations).
    """
    tree = TREES[key]
    bits = tree["tif_bits"]
    masks = {name: int(mask["value"], 16) for name, mask in tree["masks"].items()}
    if key in NEED_RESCHED_MASK:
        masks["_TIF_NEED_RESCHED_MASK"] = NEED_RESCHED_MASK[key]
    base = masks.get("_TIF_WORK_CTXSW_BASE")
    if base is not None:
        for name in ("_TIF_WORK_CTXSW", "_TIF_WORK_CTXSW_NEXT", "_TIF_WORK_CTXSW_PREV"):
            masks[name] |= 1 << bits["SPEC_IB"]
        masks["_TIF_WORK_CTXSW_PREV"] |= 1 << bits["IO_BITMAP"]
    return masks


@pytest.mark.parametrize("key", TREES)
def test_every_tree_has_its_era(key: str) -> None:
    tree, layout = TREES[key], era_of(key)
    assert numbers(layout, Word.TIF) == tree["tif_bits"]
    assert {
        f"SYSCALL_WORK_BIT_{name}": number for name, number in numbers(layout, Word.SYSCALL_WORK).items()
    } == tree["syscall_work_bits"]
    assert {mask.name: mask.value for mask in layout.masks} == expected_masks(key)
    for name, mask in tree["masks"].items():
        if name.startswith("_TIF_WORK_CTXSW"):
            continue
        ours = layout.mask(name)
        assert ours is not None
        members = layout.names(ours.word, ours.value)
        assert [member for member in members if not member.startswith("bit")] == [
            member.removeprefix("SYSCALL_WORK_BIT_") for member in mask["names"]
        ]
        assert [int(member[3:]) for member in members if member.startswith("bit")] == mask["unnamed_bits"]


def test_there_are_67_trees_and_32_layouts() -> None:
    assert len(TREES) == 67
    layouts = {
        (
            frozenset((bit.word, bit.name, bit.number) for bit in layout.bits),
            frozenset((mask.name, mask.value) for mask in layout.masks),
        )
        for layout in map(catalogue.load, catalogue.names())
    }
    assert len(layouts) == 32
    # 4.14.74 and 4.19, 4.14.177 and 4.19.78 have the same bits and differ in what NOTIFY_RESUME does (rseq).
    assert len(catalogue.names()) == 34


@pytest.mark.parametrize("name", catalogue.names())
def test_index_and_era_file_name_the_same_releases(name: str) -> None:
    (entry,) = (era for era in catalogue.eras() if era.name == name)
    assert {*entry.releases, *(f"{release}-rt" for release in entry.rt)} == set(catalogue.load(name).releases)


@pytest.mark.parametrize("name", catalogue.names())
def test_an_era_holds_together(name: str) -> None:
    layout = catalogue.load(name)
    assert layout.name == name
    places = [(bit.word, bit.number) for bit in layout.bits]
    assert len(places) == len(set(places))
    assert len({(bit.word, bit.name) for bit in layout.bits}) == len(layout.bits)
    assert all("{" not in item.source for item in (*layout.bits, *layout.masks, *layout.tiers))
    for context in Context:
        names = [tier.name for tier in layout.tiers if context in tier.contexts]
        assert names[0] == "loop"
        assert len(names) == len(set(names))
        assert ("syscall_work" in names) == (context == Context.SYSCALL)
        # No bit belongs to two tiers.
        for word in Word:
            values = [t.value for t in layout.tiers if t.word == word and context in t.contexts]
            assert sum(values) == layout.work_mask(context, word)
    for bit in layout.bits:
        named = any(tier.word == bit.word and tier.value & bit.value for tier in layout.tiers)
        if named:
            assert bit.handler, (name, bit.name)
            assert bit.cleared, (name, bit.name)
            assert (bit.needs_pt_regs is None) == (bit.handler == NOBODY), (name, bit.name)


# Context to the two work masks, literally as the kernels test them.
MASKS = {
    "3.10": (0x1008FEFF, 0xFE2E, 0),
    "3.13": (0x1008FEFF, 0xFE2E, 0),
    "4.2": (0x1008FEFF, 0xFE2E, 0),
    "4.3": (0x1000189F, 0x180E, 0),
    "4.4": (0x1000189F, 0x180E, 0),
    "4.12": (0x1000389F, 0x380E, 0),
    "4.15": (0x1000389F, 0x380E, 0),
    "4.19-rt": (0x1004389F, 0x4380E, 0),
    "5.4": (0x1000389F, 0x380E, 0),
    "5.8": (0x1000389F, 0x380E, 0),
    "5.9": (0x1000309F, 0x300E, 0),
    "5.10.46": (0x1000309F, 0x300E, 0),
    "5.10.262": (0x1008309F, 0x8300E, 0),
    "5.10-rt": (0x9008309F, 0x8008300E, 0),
    "5.11": (0x2300E, 0x2300E, 0x76),
    "5.15": (0x2300E, 0x2300E, 0x76),
    "6.1": (0x2300E, 0x2300E, 0x76),
    "6.1-rt": (0xA300E, 0xA300E, 0x76),
    "6.12": (0x2300E, 0x2300E, 0x76),
    "6.12-rt": (0x2301E, 0x2301E, 0x76),
    "6.17": (0x2301E, 0x2301E, 0x76),
    "6.18.44": (0x337, 0x337, 0x76),
    "6.19": (0xB37, 0xB37, 0x76),
    "7.0": (0xB37, 0xB37, 0x76),
    "7.1": (0xB37, 0x1B37, 0x76),
    "7.3.4": (0xB37, 0x1B37, 0x76),
}


@pytest.mark.parametrize("version", MASKS)
def test_work_masks(version: str) -> None:
    layout = catalogue.for_kernel(version)
    syscall, interrupt, syscall_work = MASKS[version]
    assert layout.work_mask(Context.SYSCALL, Word.TIF) == syscall
    assert layout.work_mask(Context.INTERRUPT, Word.TIF) == interrupt
    assert layout.work_mask(Context.EXCEPTION, Word.TIF) == interrupt
    assert layout.work_mask(Context.SYSCALL, Word.SYSCALL_WORK) == syscall_work
    assert layout.work_mask(Context.INTERRUPT, Word.SYSCALL_WORK) == 0


def test_the_masks_that_al_viro_took_apart() -> None:
    """Linux-kernel, 27 January 2014: the two masks by names, and what no bit has.

    The mail gives that as 0xe200 and misses bit 5, which is in both masks too: 0xe220.
    """
    layout = catalogue.for_kernel("3.13")
    work, allwork = layout.mask("_TIF_WORK_MASK"), layout.mask("_TIF_ALLWORK_MASK")
    assert work is not None
    assert allwork is not None
    assert work.value == 0xFE2E
    assert allwork.value == 0x1008FEFF
    unnamed = {"bit5", "bit9", "bit13", "bit14", "bit15"}
    assert sum(1 << int(name[3:]) for name in unnamed) == 0xE220
    assert set(layout.names(Word.TIF, work.value)) == unnamed | {
        *("NOTIFY_RESUME", "SIGPENDING", "MCE_NOTIFY", "USER_RETURN_NOTIFY", "UPROBE", "NEED_RESCHED")
    }
    assert set(layout.names(Word.TIF, allwork.value)) == unnamed | {
        *("SYSCALL_TRACE", "NOTIFY_RESUME", "SIGPENDING", "NEED_RESCHED", "SINGLESTEP", "SYSCALL_EMU"),
        *("SYSCALL_AUDIT", "MCE_NOTIFY", "SYSCALL_TRACEPOINT", "NOHZ", "USER_RETURN_NOTIFY", "UPROBE"),
    }
    emulated = layout.named("SYSCALL_EMU")
    assert emulated is not None
    assert emulated.handler == NOBODY


@pytest.mark.parametrize(
    ("version", "tiers"),
    [
        ("6.18", {("loop", 0x337): EVERYWHERE, ("syscall_work", 0x76): {Context.SYSCALL}}),
        (
            "6.19",
            {
                ("loop", 0x337): EVERYWHERE,
                ("rseq", 0x800): EVERYWHERE,
                ("syscall_work", 0x76): {Context.SYSCALL},
            },
        ),
        (
            "7.2",
            {
                ("loop", 0x337): EVERYWHERE,
                ("rseq", 0x800): EVERYWHERE,
                ("hrtimer_rearm", 0x1000): {Context.INTERRUPT, Context.EXCEPTION},
                ("syscall_work", 0x76): {Context.SYSCALL},
            },
        ),
        ("3.13", {("loop", 0xFE2E): EVERYWHERE, ("syscall_work", 0x100800D1): {Context.SYSCALL}}),
    ],
)
def test_tiers(version: str, tiers: dict[tuple[str, int], set[Context]]) -> None:
    layout = catalogue.for_kernel(version)
    assert {(tier.name, tier.value): set(tier.contexts) for tier in layout.tiers} == tiers


@pytest.mark.parametrize(
    ("version", "bit", "needs"),
    [
        ("3.13", "SYSCALL_AUDIT", False),  # sysret_audit has no full frame
        ("4.2", "SYSCALL_AUDIT", True),
        ("4.14.177", "NOTIFY_RESUME", False),
        ("4.19.78", "NOTIFY_RESUME", True),  # rseq, since 4.18
        ("6.18", "NOTIFY_RESUME", True),
        ("6.19", "NOTIFY_RESUME", False),  # rseq has a bit of its own
        ("6.19", "RSEQ", True),
        ("7.1", "HRTIMER_REARM", False),
        ("6.18", "NEED_RESCHED", False),
        ("6.18", "SIGPENDING", True),
        ("6.18", "NOTIFY_SIGNAL", True),
        ("6.18", "POLLING_NRFLAG", None),
    ],
)
def test_who_needs_pt_regs(version: str, bit: str, needs: bool | None) -> None:
    found = catalogue.for_kernel(version).named(bit)
    assert found is not None
    assert found.needs_pt_regs is needs


@pytest.mark.parametrize(
    ("version", "era", "note"),
    [
        ("3.13", "3.13", None),
        ("6.1", "5.19", None),
        ("6.1.192", "5.19", None),
        ("6.12.117-rt", "6.13", None),
        ("6.1.0-56-rt-amd64", "6.1-rt", None),
        ("6.18.44", "6.18", "6.18.44 was not read; 6.18.15, before it in its series, has this layout"),
        ("6.18.0", "6.18", "6.18.0 was not read; 6.18.5, the next of its series, has this layout"),
        ("6.5", "5.19", "6.5 was not read; 6.1.4 and 6.6.21 have this layout"),
        ("6.1.50", "5.19", "6.1.50 was not read; 6.1.4 and 6.1.192 have this layout"),
        ("3.18", "3.16", "3.18 was not read; 3.16 has this layout, but 3.19 has that of 3.19"),
        # What stable added to 4.4.y is no mark for 4.5.
        ("4.5", "4.4", "4.5 was not read; 4.4.0 has this layout, but 4.9 has that of 4.9"),
        (
            "5.10",
            "5.10",
            "5.10 has several layouts (from 5.10.13 on 5.10, from 5.10.218 on 5.10.218); the first is taken",
        ),
        (
            "5.10.100",
            "5.10",
            "5.10.100 was not read; 5.10.46 has this layout, but 5.10.218 has that of 5.10.218",
        ),
        ("7.2.13-rt", "7.1", None),
    ],
)
def test_a_release_finds_its_era(version: str, era: str, note: str | None) -> None:
    placed = releases.place(releases.parse(version), catalogue.eras())
    assert (placed.era, placed.note) == (era, note)
    layout = catalogue.for_kernel(version)
    assert layout.name == era
    assert (layout.notes[-1] == note) if note else (layout == catalogue.load(era))


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("2.6.32", "no layout for 2.6.32: the trees that were read go from 3.10.4 to 7.3.4"),
        ("7.4", "no layout for 7.4: the trees"),
        ("5.15.1-rt", "no layout for 5.15.1-rt: the RT patch of 5.15 was not read (read: 4.19, 5.10, 6.1"),
        ("foo", "no kernel release: 'foo'"),
        ("6", "no kernel release: '6'"),
        ("", "no kernel release: ''"),
    ],
)
def test_an_unknown_release_is_one_line(version: str, says: str) -> None:
    with pytest.raises(UnknownKernelError) as error:
        catalogue.for_kernel(version)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["6.2", "../eras", "eras", ""])
def test_only_eras_can_be_loaded(name: str) -> None:
    with pytest.raises(UnknownKernelError, match="no layout called"):
        catalogue.load(name)


def test_a_mask_that_its_members_do_not_make_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(catalogue.__file__).with_name("data")
    text = (data / "6.18.toml").read_text()
    assert text.count("value = 0x337") == 2
    (tmp_path / "6.18.toml").write_text(text.replace("value = 0x337", "value = 0x737"))
    monkeypatch.setattr(catalogue, "_DATA", tmp_path)
    catalogue.eras()
    with pytest.raises(ValueError, match="EXIT_TO_USER_MODE_WORK is 0x737, which its members do not make"):
        catalogue.load.__wrapped__("6.18")
