from __future__ import annotations

from tifbpf.layouts import catalogue, history
from tifbpf.layouts.model import Word
from tifbpf.reporters import masks_history


def bit(name: str, word: Word = Word.TIF) -> history.BitHistory:
    return next(one for one in history.history().bits if (one.name, one.word) == (name, word))


def changes(name: str) -> list[tuple[str, int | None, tuple[str, ...], tuple[str, ...]]]:
    mask = next(one for one in history.history().masks if one.name == name)
    return [(str(change.run), change.value, change.entered, change.left) for change in mask.changes]


def places(name: str, word: Word = Word.TIF) -> dict[int, str]:
    return {place.number: ", ".join(map(str, place.runs)) for place in bit(name, word).places}


def test_a_bit_s_numbers() -> None:
    assert places("NOTIFY_RESUME") == {1: "3.10 to 6.13", 0: "6.18 to 7.1"}
    assert places("SINGLESTEP") == {4: "3.10 to 5.19", 5: "6.13", 25: "6.18 to 7.1"}
    assert places("NEED_RESCHED_LAZY") == {
        4: "6.13",
        5: "6.18 to 7.1",
        18: "4.19-rt",
        31: "5.10-rt",
        19: "6.1-rt",
    }
    assert places("SYSCALL_EMU", Word.SYSCALL_WORK) == {3: "5.11 to 7.1"}


def test_when_uprobe_entered_do_notify() -> None:
    assert changes("_TIF_DO_NOTIFY_MASK") == [
        ("3.10 to 3.16", 0xC06, ("NOTIFY_RESUME", "SIGPENDING", "MCE_NOTIFY", "USER_RETURN_NOTIFY"), ()),
        ("3.19", 0x1C06, ("UPROBE",), ()),
        ("4.0", 0x1806, (), ("MCE_NOTIFY",)),
        ("4.3 to 7.1", None, (), ()),
        ("3.10.72", 0x1C06, ("UPROBE",), ()),
        ("3.14.79", 0x1C06, ("UPROBE",), ()),
    ]


def test_the_work_mask_of_the_generic_entry() -> None:
    assert changes("EXIT_TO_USER_MODE_WORK") == [
        (
            "5.9 to 5.10",
            0x300E,
            ("NOTIFY_RESUME", "SIGPENDING", "NEED_RESCHED", "UPROBE", "PATCH_PENDING"),
            (),
        ),
        ("5.11 to 5.19", 0x2300E, ("NOTIFY_SIGNAL",), ()),
        ("6.13", 0x2301E, ("NEED_RESCHED_LAZY",), ()),
        ("6.18", 0x337, (), ()),
        ("6.19 to 7.1", 0xB37, ("RSEQ",), ()),
        ("5.10-rt", 0x8008300E, ("NOTIFY_SIGNAL", "NEED_RESCHED_LAZY"), ()),
        ("5.10.218", 0x8300E, ("NOTIFY_SIGNAL",), ()),
        ("6.1-rt", 0xA300E, ("NEED_RESCHED_LAZY",), ()),
    ]


def test_commits() -> None:
    assert [commit.sha for commit in bit("NOTIFY_SIGNAL").commits] == ["12db8b690010", "da3f033a9fbf"]
    assert [commit.sha for commit in bit("UPROBE").commits] == ["da3f033a9fbf"]
    assert bit("HRTIMER_REARM").commits == ()


def test_6_17_to_6_18_only_renumbers() -> None:
    found = history.diff(catalogue.for_kernel("6.17"), catalogue.for_kernel("6.18"))
    moved = {change.name: (change.old, change.new) for change in found.renumbered}
    assert len(moved) == 19
    assert moved["NOTIFY_RESUME"] == ("1", "0")
    assert moved["NEED_RESCHED_LAZY"] == ("4", "5")
    assert moved["NOTIFY_SIGNAL"] == ("17", "2")
    assert found.added == found.gone == found.masks == found.handlers == ()
    assert [commit.sha for commit in found.commits] == ["da3f033a9fbf"]


def test_6_18_to_7_3() -> None:
    found = history.diff(catalogue.for_kernel("6.18"), catalogue.for_kernel("7.3"))
    assert [(bit.name, bit.number) for bit in found.added] == [
        ("RSEQ", 11),
        ("HRTIMER_REARM", 12),
        ("SYSCALL_RSEQ_SLICE", 7),
    ]
    assert [bit.name for bit in found.gone] == ["LAZY_MMU_UPDATES"]
    assert [(change.name, change.old, change.new) for change in found.masks] == [
        ("EXIT_TO_USER_MODE_WORK", "0x337", "0xb37: +RSEQ"),
        ("SYSCALL_WORK_ENTER", "0x3f", "0xbf: +SYSCALL_RSEQ_SLICE"),
    ]
    assert [(change.name, change.old, change.new) for change in found.handlers] == [
        ("SYSCALL_TRACEPOINT", "syscall_exit_work", "trace_syscall_exit")
    ]


def test_3_13_to_4_12() -> None:
    found = history.diff(catalogue.for_kernel("3.13"), catalogue.for_kernel("4.12"))
    assert [(change.name, change.new) for change in found.masks if change.name == "_TIF_ALLWORK_MASK"] == [
        ("_TIF_ALLWORK_MASK", "0x100838df: +PATCH_PENDING -bit5 -bit9 -MCE_NOTIFY -bit13 -bit14 -bit15")
    ]
    assert [mask.name for mask in found.gone_masks] == [
        "_TIF_DO_NOTIFY_MASK",
        "_TIF_WORK_MASK",
        "_TIF_WORK_SYSCALL_EXIT",
    ]
    handlers = {change.name: (change.old, change.new) for change in found.handlers}
    assert handlers["NOHZ"] == ("syscall_trace_leave", "nobody")


def test_the_conclusion_says_how_much() -> None:
    same = history.diff(catalogue.for_kernel("6.1"), catalogue.for_kernel("6.12"))
    document = masks_history.DifferenceDocument(old="6.1", new="6.12", difference=same)
    assert masks_history.of_difference(document)[-1].notes == (
        "6.1 and 6.12 (layouts 5.19 and 5.19) have the same bits, masks and handlers.",
    )
