"""What the audit says of kernels, by name: known answers, read in the kernels' sources by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from tifbpf.layouts import catalogue, headers, likeness, terms
from tifbpf.layouts.audit import Audit, Use, audit
from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.layouts.verdicts import Verdict

HEADERS = Path(__file__).parents[1] / "data" / "headers"


def of(kernel: str, **options: str) -> Audit:
    return audit(catalogue.for_kernel(kernel), options or None)


def bits(found: Audit, verdict: Verdict) -> set[str]:
    return {bit.name for bit in found.having(verdict)}


def text(found: Audit, name: str, verdict: Verdict, word: Word = Word.TIF) -> str:
    bit = found.bit(name, word)
    assert bit is not None
    (said,) = [finding.text for finding in bit.findings if finding.verdict is verdict]
    return said


# Kernel to dead, hazard, wasted.
VERDICTS = {
    "3.10.4": ({"bit5", "bit9", "bit13", "bit14", "bit15"}, {"UPROBE"}, {"SYSCALL_EMU", "UPROBE"}),
    "3.10.108": ({"bit5", "bit9", "bit13", "bit14", "bit15"}, set(), {"SYSCALL_EMU"}),
    "3.13": ({"bit5", "bit9", "bit13", "bit14", "bit15"}, {"UPROBE"}, {"SYSCALL_EMU", "UPROBE"}),
    "3.16": ({"bit5", "bit9", "bit13", "bit14", "bit15"}, {"UPROBE"}, {"SYSCALL_EMU", "UPROBE"}),
    "3.19": ({"bit5", "bit9", "bit13", "bit14", "bit15"}, set(), {"SYSCALL_EMU"}),
    "4.2": ({"bit5", "bit9", "bit10", "bit13", "bit14", "bit15"}, set(), {"SYSCALL_EMU"}),
    "4.3": ({"bit5", "bit9", "bit10", "bit13", "bit14", "bit15"}, set(), {"SYSCALL_EMU", "NOHZ"}),
    "4.9": ({"bit5", "bit9", "bit10", "bit13", "bit14", "bit15"}, set(), {"SYSCALL_EMU", "NOHZ"}),
    "4.12": (set(), set(), {"SYSCALL_EMU", "NOHZ"}),
    "4.15": (set(), set(), set()),
    "5.8": (set(), set(), set()),
    "5.10": (set(), set(), set()),
    "6.1": (set(), set(), set()),
    "6.12": (set(), set(), set()),
    "6.18": (set(), set(), set()),
    "7.3.4": (set(), set(), set()),
}


@pytest.mark.parametrize("kernel", VERDICTS)
def test_verdicts(kernel: str) -> None:
    found = of(kernel)
    dead, hazard, wasted = VERDICTS[kernel]
    assert bits(found, Verdict.DEAD) == dead
    assert bits(found, Verdict.HAZARD) == hazard
    assert bits(found, Verdict.WASTED) == wasted


def test_uprobe_would_loop_and_why_it_does_not_show() -> None:
    found = of("3.13")
    assert text(found, "UPROBE", Verdict.HAZARD) == (
        "alone it would loop at int_with_check for ever: _TIF_WORK_MASK has it, so the exit does not end, "
        "and none of schedule_user(), syscall_trace_leave() or do_notify_resume() is called there for it; "
        "hidden because paranoid_userspace calls do_notify_resume() for it"
    )
    uprobe = found.bit("UPROBE")
    assert uprobe is not None
    assert [(finding.verdict, finding.contexts) for finding in uprobe.findings] == [
        (Verdict.HAZARD, (Context.SYSCALL,)),
        (Verdict.WASTED, (Context.INTERRUPT, Context.EXCEPTION)),
    ]


def test_syscall_emu_costs_a_slowpath_for_nothing() -> None:
    assert text(of("3.13"), "SYSCALL_EMU", Verdict.WASTED) == (
        "sends an exit to int_with_check for nothing: nothing is called for it, and the exit leaves, the bit "
        "still set; on the way there, sysret_check goes on to int_with_check, which leaves by iret"
    )
    assert text(of("4.4"), "NOHZ", Verdict.WASTED) == (
        "sends an exit to entry_SYSCALL_64_fastpath for nothing: nothing is called for it, and the exit "
        "calls syscall_return_slowpath(), which finds nothing to do"
    )


def test_a_bit_without_a_name_is_dead() -> None:
    assert text(of("3.13"), "bit5", Verdict.DEAD) == (
        "in _TIF_ALLWORK_MASK and _TIF_WORK_MASK and without a name, so nobody sets it (whoever did would "
        "make an exit loop at int_with_check and paranoid_userspace)"
    )


@pytest.mark.parametrize(
    ("option", "bit"),
    [("LIVEPATCH", "PATCH_PENDING"), ("UPROBES", "UPROBE"), ("AUDITSYSCALL", "SYSCALL_AUDIT")],
)
def test_a_bit_whose_code_is_not_built_is_dead(option: str, bit: str) -> None:
    options = dict.fromkeys(["LIVEPATCH", "UPROBES", "AUDITSYSCALL", "TRACEPOINTS", "PREEMPT_LAZY"], "y")
    assert bits(of("6.18", **options), Verdict.DEAD) == set()
    del options[option]
    found = of("6.18", **options)
    assert bits(found, Verdict.DEAD) == {bit}
    dead = next(one for one in found.bits if one.name == bit and one.has(Verdict.DEAD))
    assert dead.set_by == ()
    assert f"this kernel is built without CONFIG_{option}" in dead.findings[0].text


def test_user_return_notify_without_kvm() -> None:
    # In the loop's mask up to 5.8; KVM selects CONFIG_USER_RETURN_NOTIFIER.
    assert "USER_RETURN_NOTIFY" in bits(of("5.4", UPROBES="y"), Verdict.DEAD)
    assert "USER_RETURN_NOTIFY" not in bits(of("5.4", USER_RETURN_NOTIFIER="y"), Verdict.DEAD)


def test_one_of_two_options_is_enough() -> None:
    assert "NEED_RESCHED_LAZY" in bits(of("7.3", UPROBES="y"), Verdict.DEAD)
    assert "NEED_RESCHED_LAZY" not in bits(of("7.3", PREEMPT_DYNAMIC="y"), Verdict.DEAD)


@pytest.mark.parametrize("kernel", ["5.9", "6.1", "6.12", "6.18", "7.3"])
def test_handled_on_every_exit_and_in_no_mask(kernel: str) -> None:
    found = of(kernel)
    handlers = {
        "USER_RETURN_NOTIFY": "fire_user_return_notifiers",
        "IO_BITMAP": "tss_update_io_bitmap",
        "NEED_FPU_LOAD": "switch_fpu_return",
    }
    for name, handler in handlers.items():
        assert text(found, name, Verdict.OUTSIDE) == (
            f"in no exit mask, so it triggers nothing; {handler}() is called for it on every exit that has it"
        )


def test_a_mask_that_no_code_tests() -> None:
    # 21d375b6b34f took the SYSCALL fast path away; the mask stayed until d23650e06299.
    uses = {
        kernel: mask.use
        for kernel in ("3.13", "4.4.0", "4.4.155", "4.12.4", "4.14.74", "4.15.15", "4.19.0")
        if (mask := of(kernel).mask("_TIF_ALLWORK_MASK"))
    }
    assert uses == {
        "3.13": Use.EXIT,
        "4.4.0": Use.EXIT,
        "4.4.155": Use.UNKNOWN,
        "4.12.4": Use.EXIT,
        "4.14.74": Use.NONE,
        "4.15.15": Use.NONE,
        "4.19.0": Use.NONE,
    }


def test_a_bit_of_a_mask_of_which_nothing_was_read_is_unknown() -> None:
    assert text(of("4.4.155"), "SYSCALL_EMU", Verdict.UNKNOWN) == (
        "in _TIF_ALLWORK_MASK, and whether anything tests that is not known"
    )


def test_what_masks_are_for() -> None:
    assert {mask.name: mask.use for mask in of("7.3").masks} == {
        "ARCH_EXIT_TO_USER_MODE_WORK": Use.PART,
        "ARCH_XFER_TO_GUEST_MODE_WORK": Use.PART,
        "EXIT_TO_USER_MODE_WORK": Use.EXIT,
        "EXIT_TO_USER_MODE_WORK_IRQ": Use.EXIT,
        "EXIT_TO_USER_MODE_WORK_LOOP": Use.EXIT,
        "EXIT_TO_USER_MODE_WORK_SYSCALL": Use.EXIT,
        "SYSCALL_WORK_ENTER": Use.ENTRY,
        "SYSCALL_WORK_EXIT": Use.EXIT,
        "XFER_TO_GUEST_MODE_WORK": Use.GUEST,
        "_TIF_WORK_CTXSW": Use.SWITCH,
        "_TIF_WORK_CTXSW_BASE": Use.SWITCH,
        "_TIF_WORK_CTXSW_NEXT": Use.SWITCH,
        "_TIF_WORK_CTXSW_PREV": Use.SWITCH,
    }


def test_pt_regs_by_mask() -> None:
    found = of("6.18")
    loop, work = found.mask("EXIT_TO_USER_MODE_WORK"), found.mask("SYSCALL_WORK_EXIT")
    assert loop is not None
    assert work is not None
    assert loop.need_pt_regs == ("NOTIFY_RESUME", "SIGPENDING", "NOTIFY_SIGNAL", "UPROBE")
    assert loop.spare_pt_regs == ("NEED_RESCHED", "NEED_RESCHED_LAZY", "PATCH_PENDING")
    assert work.need_pt_regs == ("SYSCALL_TRACEPOINT", "SYSCALL_TRACE", "SYSCALL_AUDIT", "SYSCALL_EXIT_TRAP")
    assert work.spare_pt_regs == ("SYSCALL_USER_DISPATCH",)
    assert loop.unknown_pt_regs == work.unknown_pt_regs == ()


def test_who_sets_a_bit() -> None:
    found = of("7.3")
    sets = {name: bit.set_by for name in ("RSEQ", "HRTIMER_REARM", "UPROBE") if (bit := found.bit(name))}
    assert sets == {
        "RSEQ": ("rseq_raise_notify_resume",),
        "HRTIMER_REARM": ("hrtimer_interrupt_rearm",),
        "UPROBE": ("uprobe_pre_sstep_notifier", "uprobe_post_sstep_notifier", "uprobe_deny_signal"),
    }
    # No 6.19 tree was searched, and 6.17 has no such bit to compare with.
    rseq = of("6.19").bit("RSEQ")
    assert rseq is not None
    assert rseq.set_by is None


def test_terms_by_bits_and_by_masks() -> None:
    layout = catalogue.load("3.13")
    work, allwork = layout.mask("_TIF_WORK_MASK"), layout.mask("_TIF_ALLWORK_MASK")
    parts = [mask for mask in layout.masks if mask.name in ("_TIF_DO_NOTIFY_MASK", "_TIF_WORK_SYSCALL_EXIT")]
    assert work is not None
    assert allwork is not None
    assert str(terms.of(layout, work)) == (
        "NOTIFY_RESUME | SIGPENDING | NEED_RESCHED | MCE_NOTIFY | USER_RETURN_NOTIFY | UPROBE | 0xe220"
    )
    assert str(terms.of(layout, work, parts)) == "_TIF_DO_NOTIFY_MASK | NEED_RESCHED | UPROBE | 0xe220"
    assert str(terms.of(layout, allwork, parts)) == (
        "_TIF_WORK_SYSCALL_EXIT | _TIF_DO_NOTIFY_MASK | NEED_RESCHED | SYSCALL_EMU | UPROBE | 0xe220"
    )
    assert str(terms.of(layout, allwork, [work, *parts])) == (
        "_TIF_WORK_MASK | _TIF_WORK_SYSCALL_EXIT | SYSCALL_EMU"
    )


@pytest.fixture
def renumbered(tmp_path: Path) -> Path:
    """A 7.3 tree in which NOTIFY_RESUME and SIGPENDING have changed places: a kernel that nobody has seen."""
    tree = tmp_path / "linux-headers-7.3.4+deb13-common"
    shutil.copytree(HEADERS / tree.name, tree)
    header = tree / "include/asm-generic/thread_info_tif.h"
    original = header.read_text()
    changed = original.replace("#define TIF_NOTIFY_RESUME\t0", "#define TIF_NOTIFY_RESUME\t1")
    changed = changed.replace("#define TIF_SIGPENDING\t\t1", "#define TIF_SIGPENDING\t\t0")
    assert changed.count("\n") == original.count("\n")
    assert changed != original
    header.write_text(changed)
    return tree


def test_a_tree_never_seen_inherits_nothing(renumbered: Path) -> None:
    layout = headers.read(renumbered)
    assert layout.named("NOTIFY_RESUME") is not None
    assert likeness.with_handlers(layout, likeness.release_of(layout)) is None
    found = audit(layout)
    assert found.handlers_from is None
    assert found.paths == ()
    exits = {"NOTIFY_RESUME", "SIGPENDING", "NOTIFY_SIGNAL", "NEED_RESCHED", "NEED_RESCHED_LAZY", "UPROBE"}
    exits |= {"PATCH_PENDING", "RSEQ", "HRTIMER_REARM", "SYSCALL_TRACEPOINT", "SYSCALL_TRACE"}
    exits |= {"SYSCALL_AUDIT", "SYSCALL_USER_DISPATCH", "SYSCALL_EXIT_TRAP"}
    assert bits(found, Verdict.UNKNOWN) == exits
    assert all(bit.handler is None and bit.set_by is None for bit in found.bits if bit.named)
    assert bits(found, Verdict.HAZARD) == bits(found, Verdict.WASTED) == bits(found, Verdict.DEAD) == set()
    # What the masks say needs no table.
    mask = found.mask("EXIT_TO_USER_MODE_WORK")
    assert mask is not None
    assert (mask.value, mask.use, mask.unnamed) == (0xB37, Use.EXIT, ())
    assert mask.unknown_pt_regs == mask.bits


def test_a_tree_with_the_bits_of_an_era_says_whose_handlers_it_has() -> None:
    layout = headers.read(HEADERS / "linux-headers-7.3.4+deb13-common")
    assert all(bit.handler is None for bit in layout.bits)
    handled = likeness.with_handlers(layout, likeness.release_of(layout))
    assert handled is not None
    found = audit(handled)
    assert found.handlers_from == "era 7.1: same bits and masks (headers do not tell who handles a bit)"
    assert bits(found, Verdict.UNKNOWN) == set()


def as_headers(era: str) -> Layout:
    """The era as its headers alone tell it."""
    known = catalogue.load(era)
    replace = msgspec.structs.replace
    bare = tuple(replace(bit, handler=None, cleared=None, needs_pt_regs=None) for bit in known.bits)
    return replace(known, name="unknown release (headers)", bits=bare, source="headers in /usr/src/x")


def test_eras_that_differ_in_handlers_lend_only_what_they_share() -> None:
    # 4.14.177 and 4.19.78 have the same bits and masks; of NOTIFY_RESUME the later one runs rseq too.
    layout = as_headers("4.14.177")
    unplaced = likeness.with_handlers(layout, None)
    assert unplaced is not None
    resume, signal = unplaced.named("NOTIFY_RESUME"), unplaced.named("SIGPENDING")
    assert resume is not None
    assert signal is not None
    assert (resume.handler, signal.handler) == (None, "do_signal")
    assert "era 4.14.177 or 4.19.78" in resume.source


def test_an_era_s_name_on_other_bits_lends_nothing() -> None:
    era = catalogue.load("6.18")
    moved = tuple(
        msgspec.structs.replace(bit, number=bit.number + 1) if bit.name == "PATCH_PENDING" else bit
        for bit in era.bits
    )
    found = audit(msgspec.structs.replace(era, bits=moved))
    assert found.handlers_from is None
    assert found.paths == ()


@pytest.mark.parametrize(
    ("value", "expected"), [(0x337, "era 6.18: same bits and masks"), (0x137, "era 6.18"), (0x40337, None)]
)
def test_a_kernel_that_tests_fewer_bits_has_the_handlers_of_its_era(value: int, expected: str | None) -> None:
    era = catalogue.load("6.18")
    tiers = tuple(
        msgspec.structs.replace(tier, value=value) if tier.name == "loop" else tier for tier in era.tiers
    )
    found = audit(msgspec.structs.replace(era, tiers=tiers, source="machine code"))
    assert (found.handlers_from or "").startswith(expected or "")
    assert (found.handlers_from is None) == (expected is None)


def test_headers_that_name_no_work_mask_decide_nothing() -> None:
    # 4.4 to 5.8 keep their masks in a .c file.
    layout = msgspec.structs.replace(as_headers("5.7"), tiers=(), masks=())
    found = audit(layout)
    assert {bit.name for bit in found.bits} == bits(found, Verdict.UNKNOWN)
