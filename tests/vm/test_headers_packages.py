"""Debian's headers packages against the tables that we ship: equal, bit by bit and mask by mask."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests.vm import cache
from tests.vm.archive import ArchiveError
from tifbpf.errors import LayoutContradictedError
from tifbpf.layouts import headers
from tifbpf.layouts.establish import Established, LayoutFacts, contradictions, establish
from tifbpf.layouts.model import Layout, Word

pytestmark = pytest.mark.requires("vm")

ERAS = {
    "5.10": "5.10.218",
    "5.10-rt": "5.10-rt",
    "6.1": "5.19",
    "6.1-rt": "6.1-rt",
    "6.12": "5.19",
    "6.12-rt": "6.13",
    "7.2": "7.1",
    "7.3": "7.1",
    "7.3-rt": "7.1",
}
"""The era of each kernel. Those whose headers the archive no longer has are none of them: 6.16 to 7.1."""

IN_NO_HEADER = {
    "SYSEMU_STEP": "5.10 has it in kernel/entry/common.c, and packages have no .c file",
    "EXIT_TO_USER_MODE_WORK_LOOP": "since 6.19 in kernel/entry/common.c",
}
"""Masks of the tables that a headers package does not have, and why; one that has them is compared too."""

NO_ERA = "no era has these bits and masks, so handlers and pt_regs needs are not known"

CHANGED = (
    "arch/x86/include/asm/thread_info.h",
    "include/asm-generic/thread_info_tif.h",
    "include/linux/thread_info.h",
    "include/linux/entry-common.h",
    "include/linux/irq-entry-common.h",
)
"""Where the places that the copies below change are, on one kernel or another."""

WITH_ENUM = [name for name in cache.KNOWN.headers if not name.startswith("5.10")]
"""Since 5.11 the second word has an enum of its own."""


@pytest.mark.parametrize("name", cache.KNOWN.headers)
def test_bits_masks_and_tiers_are_those_of_the_table(name: str) -> None:
    package = fetched(name)
    read = headers.read(package)
    table = establish(facts(package)).layout
    assert table.name == ERAS[name]
    assert bits(read) == bits(table)
    missing = masks(table).keys() - masks(read).keys()
    assert missing <= IN_NO_HEADER.keys()
    assert masks(read) == {mask: value for mask, value in masks(table).items() if mask not in missing}
    assert tiers(read) == tiers(table)


@pytest.mark.parametrize("name", cache.KNOWN.headers)
def test_the_packages_own_headers_lead_to_the_same_era(name: str) -> None:
    package = fetched(name)
    established = establish(facts(package, headers=package))
    assert established.layout.name == ERAS[name]
    assert handlers(established.layout) == handlers(establish(facts(package)).layout)
    assert absent(established) == []


@pytest.mark.parametrize("name", cache.KNOWN.headers)
def test_a_renumbered_bit_is_detected(name: str, tmp_path: Path) -> None:
    package = fetched(name)
    real = headers.read(package)
    free = next(number for number in range(32) if real.at(Word.TIF, number) is None)
    copy = changed(package, tmp_path, r"^(#define TIF_SIGPENDING\s+)\d+", rf"\g<1>{free}")
    read = headers.read(copy)
    number = 1 if name.startswith("7") else 2
    assert bits(read) ^ bits(real) == {(Word.TIF, number, "SIGPENDING"), (Word.TIF, free, "SIGPENDING")}
    differing = {mask for mask in masks(real) if masks(read)[mask] != masks(real)[mask]}
    assert {"EXIT_TO_USER_MODE_WORK", "XFER_TO_GUEST_MODE_WORK"} <= differing
    assert all(masks(read)[mask] ^ masks(real)[mask] == 1 << number | 1 << free for mask in differing)
    # No era lends its handlers, and the kernel, asked by an exercise, says otherwise.
    established = establish(facts(package, headers=copy))
    assert absent(established) == [NO_ERA]
    assert handlers(established.layout) == {}
    (said,) = contradictions(established.layout, {"SIGPENDING": number})
    assert f"says that SIGPENDING is bit {free}, the act that sets it set bit {number}" in said


@pytest.mark.parametrize("name", cache.KNOWN.headers)
def test_a_changed_mask_is_detected(name: str, tmp_path: Path) -> None:
    package = fetched(name)
    real = headers.read(package)
    copy = changed(package, tmp_path, r"^(#define EXIT_TO_USER_MODE_WORK\s.*\n.*)_TIF_UPROBE \|", r"\1")
    read = headers.read(copy)
    uprobe = 1 << 8 if name.startswith("7") else 1 << 12
    differing = {mask: masks(real)[mask] - value for mask, value in masks(read).items()}
    assert {mask: lost for mask, lost in differing.items() if lost} == dict.fromkeys(
        ["EXIT_TO_USER_MODE_WORK"]
        + [f"EXIT_TO_USER_MODE_WORK_{by}" for by in ("SYSCALL", "IRQ") if name.startswith("7")],
        uprobe,
    )
    assert bits(read) == bits(real)
    established = establish(facts(package, headers=copy))
    assert absent(established) == [NO_ERA]
    assert handlers(established.layout) == {}


@pytest.mark.parametrize("name", WITH_ENUM)
def test_a_swapped_enumerator_is_detected(name: str, tmp_path: Path) -> None:
    package = fetched(name)
    real = headers.read(package)
    trace, emu = "SYSCALL_WORK_BIT_SYSCALL_TRACE,", "SYSCALL_WORK_BIT_SYSCALL_EMU,"
    copy = changed(package, tmp_path, rf"^\t{trace}\n\t{emu}", f"\t{emu}\n\t{trace}")
    read = headers.read(copy)
    assert bits(real) - bits(read) == {
        (Word.SYSCALL_WORK, 2, "SYSCALL_TRACE"),
        (Word.SYSCALL_WORK, 3, "SYSCALL_EMU"),
    }
    # TRACE is in both masks, EMU in that of the entry alone.
    assert masks(read) == {**masks(real), "SYSCALL_WORK_EXIT": 0x7A}
    assert masks(real)["SYSCALL_WORK_EXIT"] == 0x76
    assert absent(establish(facts(package, headers=copy))) == [NO_ERA]
    running = {
        f"SYSCALL_WORK_BIT_{bit.name}": bit.number for bit in real.bits if bit.word == Word.SYSCALL_WORK
    }
    assert establish(facts(package, headers=package, syscall_work_bits=running)).layout.name == ERAS[name]
    with pytest.raises(
        LayoutContradictedError, match=r"SYSCALL_EMU 2.* there and .*SYSCALL_TRACE 2.* in BTF"
    ):
        establish(facts(package, headers=copy, syscall_work_bits=running))


@functools.cache
def fetched(name: str) -> Path:
    try:
        return cache.headers(name)
    except ArchiveError as error:
        pytest.fail(str(error), pytrace=False)


def facts(package: Path, **more: object) -> LayoutFacts:
    """Return what a kernel of that package would show of itself: uname and its configuration."""
    generated = package / "include" / "generated"
    files = [generated / name for name in ("utsversion.h", "compile.h")]
    text = "".join(file.read_text() for file in files if file.exists())
    found = re.search(r'UTS_VERSION "(.*)"', text)
    plain = LayoutFacts(
        release=package.name.removeprefix("linux-headers-"),
        version=found[1] if found else "",
        config=headers.configuration(package),
    )
    return msgspec.structs.replace(plain, **more)


def bits(layout: Layout) -> set[tuple[Word, int, str]]:
    return {(bit.word, bit.number, bit.name) for bit in layout.bits}


def masks(layout: Layout) -> dict[str, int]:
    return {mask.name: mask.value for mask in layout.masks}


def tiers(layout: Layout) -> set[tuple[object, ...]]:
    return {(tier.name, tier.word, tier.value, tier.contexts) for tier in layout.tiers}


def handlers(layout: Layout) -> Mapping[str, str]:
    return {bit.name: bit.handler for bit in layout.bits if bit.handler is not None}


def absent(established: Established) -> list[str]:
    return [item.fact for item in established.evidence if item.verdict == "absent"]


def changed(package: Path, directory: Path, pattern: str, becomes: str) -> Path:
    """Copy what is read of the package, with one place of its common part changed, whichever file has it."""
    common = headers.common_part(package)
    assert common is not None
    for part in (package, package.parent / common.name):
        for kept in (".config", "Makefile", "include/linux", "include/asm-generic", "arch/x86/include/asm"):
            source, target = part / kept, directory / part.name / kept
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, copy_function=os.symlink)
            elif source.exists():
                target.symlink_to(source)
    times = 0
    for name in CHANGED:
        path = directory / common.name / name
        text = path.read_text(errors="surrogateescape") if path.exists() else ""
        text, found = re.subn(pattern, becomes, text, flags=re.MULTILINE)
        if found:
            path.unlink()
            path.write_text(text, errors="surrogateescape")
            times += found
    assert times == 1
    return directory / package.name
