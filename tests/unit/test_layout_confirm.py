"""Layouts beside the machine code of the kernels that they are of."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec
import pytest

from tests.excerpts import load
from tifbpf import machine
from tifbpf.errors import UnknownKernelError
from tifbpf.layouts import catalogue, tested
from tifbpf.layouts.callees import misnamed
from tifbpf.layouts.confirm import Confirmed, MaskCheck, Verdict, agrees, confirm
from tifbpf.layouts.establish import establish
from tifbpf.layouts.facts import LayoutFacts
from tifbpf.layouts.model import Bit, Context, Layout, Tier, Word

HEADERS = Path(__file__).parents[1] / "data" / "headers"
# The eras that a kernel's code agrees with: all that have the same masks, and the same bits in them.
AGREE = {
    "debian-cloud-5.10": {"5.10.218"},
    "debian-cloud-6.1": {"5.11", "5.15", "5.19"},
    "debian-rt-6.1": {"6.1-rt"},
    "debian-cloud-6.12": {"5.11", "5.15", "5.19"},
    "debian-rt-6.12": {"6.13"},
    "debian-cloud-6.16": {"6.13"},
    "debian-cloud-6.18": {"6.18"},
    "running-6.18.44": {"6.18"},
    "debian-cloud-6.19": {"6.19"},
    "debian-cloud-7.0": {"7.0"},
    "debian-cloud-7.1": {"7.1"},
    "debian-cloud-7.2": {"7.1"},
    "debian-cloud-7.3": {"7.1"},
}
TAKEN = {name: max(eras) for name, eras in AGREE.items()}


@functools.cache
def of(name: str) -> tested.Tested:
    return machine.read(load(name))


@pytest.mark.parametrize("name", AGREE)
def test_which_eras_agree(name: str) -> None:
    assert {era for era in catalogue.names() if agrees(catalogue.load(era), of(name))} == AGREE[name]


@pytest.mark.parametrize("name", AGREE)
def test_the_era_of_each_kernel_is_confirmed(name: str) -> None:
    layout = catalogue.load(TAKEN[name])
    confirmed = confirm(layout, of(name))
    assert {check.verdict for check in confirmed.checks} == {Verdict.CONFIRMED}
    assert [check.tier for check in confirmed.checks] == [*(tier.name for tier in layout.tiers), "entry"]
    assert confirmed.layout == layout
    assert {item.verdict for item in confirmed.evidence} == {"confirms"}


@pytest.mark.parametrize("name", sorted(AGREE.keys() - {"running-6.18.44"}))
def test_a_kernel_s_file_is_enough_to_find_its_era(name: str) -> None:
    excerpt = load(name)
    facts = LayoutFacts(release=excerpt.release, version=excerpt.version, tested=of(name))
    established = establish(facts)
    assert established.layout.name == TAKEN[name]
    assert not [item for item in established.evidence if item.verdict == "contradicts"]
    assert {check.verdict for check in established.checks} == {Verdict.CONFIRMED}


def checks(confirmed: Confirmed) -> dict[str, tuple[int | None, int | None, Verdict]]:
    return {check.tier: (check.stated, check.tested, check.verdict) for check in confirmed.checks}


def altered(function: str, before: str, after: str) -> tested.Tested:
    kernel = load("debian-cloud-7.3")
    return machine.read(kernel.changed(function, bytes.fromhex(before), bytes.fromhex(after)))


def test_an_altered_mask_overrules() -> None:
    """`test r13b, 0x76` in do_syscall_64 becomes 0x77: SECCOMP too is one-time work on the way out."""
    layout = catalogue.load("7.1")
    confirmed = confirm(layout, altered("do_syscall_64", "41f6c576", "41f6c577"))
    assert checks(confirmed) == {
        "loop": (0x337, 0x337, Verdict.CONFIRMED),
        "rseq": (0x800, 0x800, Verdict.CONFIRMED),
        "hrtimer_rearm": (0x1000, 0x1000, Verdict.CONFIRMED),
        "syscall_work": (0x76, 0x77, Verdict.OVERRULED),
        "entry": (0xBF, 0xBF, Verdict.CONFIRMED),
    }
    assert confirmed.layout.work_mask(Context.SYSCALL, Word.SYSCALL_WORK) == 0x77
    assert confirmed.layout.work_mask(Context.SYSCALL, Word.TIF) == 0xB37
    (tier,) = (tier for tier in confirmed.layout.tiers if tier.name == "syscall_work")
    assert tier.source.startswith("machine code: do_syscall_64+0xd5: test r13b, 0x77; not 0x76, as ")
    (said,) = (item for item in confirmed.evidence if item.verdict == "contradicts")
    assert said.fact == (
        "syscall_work: SYSCALL_WORK_EXIT is 0x76 by the layout, and 0x77 is tested: that is taken"
    )
    assert said.source == "machine code of do_syscall_64+0xd5: test r13b, 0x77"


def test_a_bit_that_enters_without_a_tier_of_its_own() -> None:
    """`test r13d, 0xb37` in do_syscall_64 becomes 0x2b37: bit 13, for system calls alone."""
    confirmed = confirm(catalogue.load("7.1"), altered("do_syscall_64", "41f7c5370b0000", "41f7c5372b0000"))
    assert checks(confirmed)["outside_loop"] == (None, 0x2000, Verdict.OVERRULED)
    assert checks(confirmed)["rseq"] == (0x800, 0x800, Verdict.CONFIRMED)
    assert confirmed.layout.work_mask(Context.SYSCALL, Word.TIF) == 0x2B37
    assert confirmed.layout.work_mask(Context.INTERRUPT, Word.TIF) == 0x1B37
    assert confirmed.layout.slow_tiers(Context.SYSCALL, 0x2000, 0) == ("outside_loop",)
    absent = [item.fact for item in confirmed.evidence if item.verdict == "absent"]
    assert absent == [
        "bit 13 of tif, in a mask, has no name in 7.1; it guards nothing that can be seen",
    ]


def test_a_bit_that_no_longer_enters() -> None:
    """`test r13d, 0xb37` becomes 0x337: RSEQ is for interrupts alone, as HRTIMER_REARM is."""
    confirmed = confirm(catalogue.load("7.1"), altered("do_syscall_64", "41f7c5370b0000", "41f7c537030000"))
    assert checks(confirmed)["rseq"] == (0x800, 0, Verdict.OVERRULED)
    assert checks(confirmed)["hrtimer_rearm"] == (0x1000, 0x1800, Verdict.OVERRULED)
    assert confirmed.layout.work_mask(Context.SYSCALL, Word.TIF) == 0x337
    assert confirmed.layout.work_mask(Context.INTERRUPT, Word.TIF) == 0x1B37
    assert "rseq" not in {tier.name for tier in confirmed.layout.tiers}


def test_what_was_not_found_is_said_and_kept() -> None:
    layout = catalogue.load("6.18")
    reason = "the kernel's text cannot be read: Operation not permitted"
    confirmed = confirm(layout, tested.Tested(source="the running kernel", missing=(reason,)))
    assert checks(confirmed) == {
        "loop": (0x337, None, Verdict.NOT_FOUND),
        "syscall_work": (0x76, None, Verdict.NOT_FOUND),
        "entry": (0x3F, None, Verdict.NOT_FOUND),
    }
    assert confirmed.layout == layout
    assert {item.verdict for item in confirmed.evidence} == {"absent"}
    assert confirmed.evidence[-1].fact == reason
    assert confirmed.evidence[-1].source == "machine code of the running kernel"


def renamed(layout: Layout, names: dict[str, str]) -> Layout:
    bits = (msgspec.structs.replace(bit, name=names.get(bit.name, bit.name)) for bit in layout.bits)
    return msgspec.structs.replace(layout, bits=tuple(bits))


def test_a_wrong_name_is_seen_by_what_the_bit_guards() -> None:
    swapped = renamed(catalogue.load("6.18"), {"UPROBE": "NEED_RESCHED", "NEED_RESCHED": "UPROBE"})
    assert not agrees(swapped, of("debian-cloud-6.18"))
    said = set(misnamed(swapped, of("debian-cloud-6.18")))
    assert "6.18 has UPROBE where schedule is guarded (exit_to_user_mode_loop+0x59: test bl, 0x30)" in said
    assert (
        "6.18 has NEED_RESCHED where uprobe_notify_resume is guarded "
        "(exit_to_user_mode_loop+0x63: test bh, 1)" in said
    )
    assert not set(misnamed(catalogue.load("6.18"), of("debian-cloud-6.18")))


def test_a_bit_without_a_name_is_named_by_what_it_guards() -> None:
    layout = catalogue.load("7.1")
    bits = tuple(bit for bit in layout.bits if bit.name != "HRTIMER_REARM")
    confirmed = confirm(msgspec.structs.replace(layout, bits=bits), of("debian-cloud-7.3"))
    assert [item.fact for item in confirmed.evidence if item.verdict == "absent"] == [
        "bit 12 of tif, in a mask, has no name in 7.1; it guards __hrtimer_rearm_deferred"
    ]


def test_headers_that_name_no_mask() -> None:
    """6.18's headers package has the bits alone; those of a vendor's kernel may be like no era's."""
    bits = tuple(Bit(name=f"OWN{number}", number=number, source="a test") for number in range(10))
    layout = Layout(name="headers", releases=("a test",), bits=bits, masks=(), tiers=(), source="a test")
    confirmed = confirm(layout, of("debian-cloud-6.18"))
    assert [(tier.name, tier.word, tier.value) for tier in confirmed.layout.tiers] == [
        ("loop", Word.TIF, 0x337),
        ("syscall_work", Word.SYSCALL_WORK, 0x76),
    ]
    assert {check.stated for check in confirmed.checks} == {None}


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("linux-headers-6.1.0-56-amd64", "debian-cloud-6.1"),
        ("linux-headers-6.1.0-56-rt-amd64", "debian-rt-6.1"),
        ("linux-headers-6.12.117+deb13-rt-amd64", "debian-rt-6.12"),
        ("linux-headers-7.3.4+deb13-amd64", "debian-cloud-7.3"),
    ],
)
def test_headers_of_the_same_build_are_confirmed(package: str, name: str) -> None:
    facts = LayoutFacts(release=load(name).release, headers=HEADERS / package, tested=of(name))
    established = establish(facts)
    tiers = [check for check in established.checks if check.tier != "entry"]
    assert {check.verdict for check in tiers} == {Verdict.CONFIRMED}
    assert established.layout.tiers == establish(msgspec.structs.replace(facts, tested=None)).layout.tiers


def test_headers_of_another_kernel_are_overruled() -> None:
    directory = HEADERS / "linux-headers-7.3.4+deb13-amd64"
    facts = LayoutFacts(release="7.3.4+deb13-amd64", headers=directory, config={"X86_64": "y"})
    stated = establish(facts)
    other = msgspec.structs.replace(facts, tested=of("debian-cloud-6.18"))
    established = establish(other)
    assert established.checks
    assert stated.layout.work_mask(Context.INTERRUPT, Word.TIF) & 0x800
    assert established.layout.work_mask(Context.INTERRUPT, Word.TIF) == 0x337
    assert "contradicts" in {item.verdict for item in established.evidence}


def test_a_release_alone_is_not_enough_but_with_masks_it_is() -> None:
    facts = LayoutFacts(release="6.18.15", version="")
    with pytest.raises(UnknownKernelError):
        establish(facts)
    known = establish(msgspec.structs.replace(facts, tested=of("debian-cloud-6.18")))
    assert known.layout.name == "6.18"


def test_the_masks_decide_against_the_release() -> None:
    """Debian's 6.12 RT has 6.13's layout: its masks show it without a configuration."""
    excerpt = load("debian-rt-6.12")
    facts = LayoutFacts(release=excerpt.release, version=excerpt.version, tested=of("debian-rt-6.12"))
    established = establish(facts)
    assert established.layout.name == "6.13"
    decided = [item.fact for item in established.evidence if item.verdict == "decides"]
    assert decided == [
        "the masks, and what their bits guard, are those of 6.13 and of no other era that is left"
    ]


def test_loops_that_do_not_agree_decide_nothing() -> None:
    """One of the two tests of 0x337 in exit_to_user_mode_loop is altered: which of them is the loop's?"""
    confirmed = confirm(
        catalogue.load("7.1"), altered("exit_to_user_mode_loop", "f7c337030000", "f7c333030000")
    )
    found = checks(confirmed)
    assert {found[tier][1:] for tier in ("loop", "rseq", "hrtimer_rearm")} == {(None, Verdict.NOT_FOUND)}
    assert found["syscall_work"] == (0x76, 0x76, Verdict.CONFIRMED)
    assert confirmed.layout == catalogue.load("7.1")


def test_two_tests_that_do_not_agree_decide_nothing() -> None:
    def mask(value: int) -> tested.TestedMask:
        return tested.TestedMask(
            role=tested.Role.WORK,
            word=Word.TIF,
            value=value,
            contexts=tuple(Context),
            root="irqentry_exit",
            function="irqentry_exit",
            offset=0,
            instruction=f"test ebx, {value:#x}",
        )

    layout = Layout(
        name="one",
        releases=(),
        bits=(),
        masks=(),
        tiers=(
            Tier(
                name="loop", word=Word.TIF, value=6, mask="_TIF_WORK_MASK", contexts=tuple(Context), source=""
            ),
        ),
        source="",
    )
    found: list[MaskCheck] = list(confirm(layout, tested.Tested(source="", masks=(mask(6), mask(4)))).checks)
    assert [check.verdict for check in found] == [Verdict.NOT_FOUND]
    found = list(confirm(layout, tested.Tested(source="", masks=(mask(6), mask(6)))).checks)
    assert [check.verdict for check in found] == [Verdict.CONFIRMED]
