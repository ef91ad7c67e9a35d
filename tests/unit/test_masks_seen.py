"""The audit of the masks beside what recordings saw: literal sentences from known rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tifbpf
from tests.unit.recordings import all_exits, covered, everything, row, slow_only, uncovered, write
from tifbpf.cli.app import run
from tifbpf.layouts import catalogue
from tifbpf.layouts.model import Context, Layout
from tifbpf.recording.metadata import Kernel, Losses, ObserverEffect, UnseenBit
from tifbpf.reporters import html, schema, seen

# 3.13: NOTIFY_RESUME 0x2, SIGPENDING 0x4, NEED_RESCHED 0x8, SYSCALL_EMU 0x40, UPROBE 0x1000, 5 unnamed.
KERNEL_313 = Kernel(release="3.13.0", version="#1 SMP")


def layout_313() -> Layout:
    return catalogue.load("3.13")


def joined(path: Path, rows: Iterable[Mapping[str, Any]], **given: Any) -> schema.MaskAudit:
    (found,) = seen.build(tifbpf.read(write(path / "a.tif.parquet", rows, **given)))
    return found


def line(found: schema.MaskAudit, name: str, word: str = "tif") -> schema.MaskBitLine:
    (bit,) = [bit for bit in found.bits if (bit.word, bit.bit) == (word, name)]
    return bit


ROWS_313 = [
    row(0, 900, None),
    row(0x2, 60, None),
    row(0x8, 20, None),
    row(0x4, 15, None),
    row(0x44, 5, None),
    row(0x8, 100, None, context="interrupt"),
    row(0x1004, 7, None, context="exception"),
]


def mail(path: Path, *more: Mapping[str, Any]) -> schema.MaskAudit:
    return joined(path, [*ROWS_313, *more], layout=layout_313(), kernel=KERNEL_313, contexts=everything())


def test_each_mask_bit_has_its_counts(tmp_path: Path) -> None:
    found = mail(tmp_path)
    counts = {
        bit.bit: (bit.present, bit.trigger, bit.sole) for bit in found.bits if bit.masks and bit.present
    }
    assert counts == {
        "NOTIFY_RESUME": (60, 60, 60),
        "SIGPENDING": (27, 27, 15),
        "NEED_RESCHED": (120, 120, 120),
        "SYSCALL_EMU": (5, 5, 0),
        "UPROBE": (7, 7, 0),
    }
    # The route saw the words of all exits, so it is known of every bit, in every context.
    assert {bit.exits for bit in found.bits if bit.masks} == {1107}
    assert line(found, "bit5").verdicts == ("dead",)
    assert line(found, "UPROBE").verdicts == ("hazard", "wasted")


def test_the_conclusion_is_the_mails_from_evidence(tmp_path: Path) -> None:
    found = mail(tmp_path)
    assert found.unexpected == ()
    everywhere = "in 1,107 syscall, interrupt and exception exits over 10.0 s they were never set."
    assert found.conclusion == (
        (
            "SYSCALL_TRACE, SINGLESTEP, SYSCALL_AUDIT, NOHZ and SYSCALL_TRACEPOINT are in "
            f"_TIF_ALLWORK_MASK & ~_TIF_WORK_MASK; {everywhere}"
        ),
        (
            "bit5, bit9, MCE_NOTIFY, USER_RETURN_NOTIFY, bit13, bit14 and bit15 are in "
            f"_TIF_WORK_MASK; {everywhere}"
        ),
        "Dead by the audit and never seen, so it can be discarded: bit5, bit9, bit13, bit14 and bit15.",
        "UPROBE is a hazard alone in syscall exits, and was not alone there: it triggered in 7 exits.",
        (
            "13.0 % of slow exits (27 of 207) needed the full pt_regs; a second slowpath without them "
            "would have served 180, 120 of which did nothing but reschedule."
        ),
    )


def test_a_dead_bit_that_was_set_stands_out(tmp_path: Path) -> None:
    found = mail(tmp_path, row(0x20, 3, None))
    (unexpected,) = found.unexpected
    assert unexpected == (
        "bit5 is dead by the audit, and 3 exits carried it: somebody sets it whom the audit does not know, "
        "or this layout is not the kernel's."
    )
    assert "bit5" not in " ".join(found.conclusion)


def test_a_hazard_that_was_alone_stands_out(tmp_path: Path) -> None:
    (unexpected,) = mail(tmp_path, row(0x1000, 1, None)).unexpected
    assert unexpected.startswith(
        "UPROBE, which the audit calls a hazard, was the only trigger of 1 exit: alone it would loop at "
        "int_with_check for ever"
    )


def test_a_hazard_alone_where_it_is_handled_is_none(tmp_path: Path) -> None:
    # The mail: on the paranoid_userspace path "getting solitary UPROBE is legitimate".
    found = mail(tmp_path, row(0x1000, 3, None, context="exception"))
    assert found.unexpected == ()
    assert line(found, "UPROBE").sole == 3
    assert (
        "UPROBE is a hazard alone in syscall exits, and was not alone there: it triggered in 10 exits."
        in found.conclusion
    )


def test_work_that_nobody_does_needs_no_registers(tmp_path: Path) -> None:
    rows = [row(0x40, 13, None)]
    found = joined(tmp_path, rows, layout=layout_313(), kernel=KERNEL_313, contexts=everything())
    assert (
        "0 % of slow exits (0 of 13) needed the full pt_regs; a second slowpath without them would have "
        "served 13, 0 of which did nothing but reschedule." in found.conclusion
    )


def test_where_only_slow_exits_were_seen_the_claim_says_so(tmp_path: Path) -> None:
    interrupts = slow_only(Context.INTERRUPT, denominator=None)
    contexts = (covered(Context.SYSCALL), interrupts, uncovered(Context.EXCEPTION))
    rows = [row(0, 90), row(0x1, 10), row(0x10, 30, context="interrupt")]
    found = joined(tmp_path, rows, contexts=contexts)
    (claim,) = [text for text in found.conclusion if "UPROBE" in text]
    assert claim.endswith(
        "in 100 syscall exits over 10.0 s they were never set (of interrupt exits only the slow ones were "
        "seen, and none was for it; no exception exits were looked at)."
    )


def test_losses_limit_the_claim(tmp_path: Path) -> None:
    found = joined(tmp_path, [row(0x1, 10)], losses=Losses(map_full=500))
    (claim,) = [text for text in found.conclusion if "UPROBE" in text]
    assert claim.endswith("; 500 exits more were seen and lost).")


def test_a_bit_that_costs_a_slowpath_for_nothing_is_counted(tmp_path: Path) -> None:
    assert "SYSCALL_EMU alone sent 9 exits down the slowpath, for no work." in (
        mail(tmp_path, row(0x40, 9, None)).conclusion
    )


def test_what_was_not_looked_at_limits_the_claim(tmp_path: Path) -> None:
    found = joined(tmp_path, [row(0, 90), row(0x1, 10)])
    assert found.contexts == ("syscall",)
    assert found.conclusion[0] == (
        "SIGPENDING, NOTIFY_SIGNAL, NEED_RESCHED, NEED_RESCHED_LAZY, UPROBE and PATCH_PENDING are in "
        "EXIT_TO_USER_MODE_WORK; in 100 syscall exits over 10.0 s they were never set (no interrupt or "
        "exception exits were looked at)."
    )


def test_what_could_not_be_seen_was_never_said_to_be_never_set(tmp_path: Path) -> None:
    ours = ObserverEffect(word="syscall_work", bit="SYSCALL_TRACE", ours=True, text="our hook sets it")
    found = joined(tmp_path, [row(0x1, 10)], observer_effects=(ours,))
    assert found.conclusion[-1] == "Not known of work:SYSCALL_TRACE: our own hook sets it."
    blind = UnseenBit(word="syscall_work", bit="SYSCALL_TRACE")
    contexts = (
        covered(Context.SYSCALL, unseen=(blind,)),
        *map(uncovered, (Context.INTERRUPT, Context.EXCEPTION)),
    )
    found = joined(tmp_path, [row(0x1, 10)], contexts=contexts)
    assert found.conclusion[-1] == "Not known of work:SYSCALL_TRACE: the route does not see it."
    contexts = (uncovered(Context.SYSCALL), covered(Context.INTERRUPT), uncovered(Context.EXCEPTION))
    found = joined(tmp_path, [row(0x1, 10, context="interrupt")], contexts=contexts)
    assert found.conclusion[-1] == "Not known of work:SYSCALL_TRACE: no exits that test it were looked at."
    assert all("work:SYSCALL_TRACE" not in text for text in found.conclusion[:-1])


def test_without_a_count_of_all_exits_only_slow_ones_are_spoken_of(tmp_path: Path) -> None:
    contexts = (slow_only(Context.SYSCALL, denominator=None), uncovered(Context.INTERRUPT))
    contexts = (*contexts, uncovered(Context.EXCEPTION))
    found = joined(tmp_path, [row(0x1, 10)], contexts=contexts)
    assert line(found, "UPROBE").present is None
    assert found.conclusion[0] == (
        "SIGPENDING, NOTIFY_SIGNAL, NEED_RESCHED, NEED_RESCHED_LAZY, UPROBE, PATCH_PENDING and "
        "work:SYSCALL_TRACE made none of the 10 slow exits slow."
    )


def test_slow_exits_with_a_denominator_tell_what_was_never_set(tmp_path: Path) -> None:
    contexts = (slow_only(Context.SYSCALL), uncovered(Context.INTERRUPT), uncovered(Context.EXCEPTION))
    found = joined(tmp_path, [row(0x1, 10), all_exits(5_000)], contexts=contexts)
    assert "in 5,000 syscall exits over 10.0 s they were never set" in found.conclusion[0]


def test_an_empty_recording_claims_nothing(tmp_path: Path) -> None:
    assert not any("never" in text for text in joined(tmp_path, []).conclusion)


def test_layouts_are_kept_apart(tmp_path: Path) -> None:
    first = write(tmp_path / "a.tif.parquet", [row(0x1, 10)])
    second = write(
        tmp_path / "b.tif.parquet",
        ROWS_313,
        id="00000000-0000-4000-8000-000000000002",
        layout=layout_313(),
        kernel=KERNEL_313,
        contexts=everything(),
    )
    found = seen.build(tifbpf.read([first, second]))
    assert [(one.layout, one.recordings) for one in found] == [("6.18", (0,)), ("3.13", (1,))]


@pytest.mark.parametrize("form", ["--json", "--markdown", None])
def test_the_command_ends_with_the_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str | None
) -> None:
    path = write(
        tmp_path / "a.tif.parquet",
        ROWS_313,
        layout=layout_313(),
        kernel=KERNEL_313,
        contexts=everything(),
    )
    assert run(["masks", *([form] if form else []), str(path)]) == 0
    said = capsys.readouterr().out
    if form == "--json":
        (kernel,) = json.loads(said)["kernels"]
        assert kernel["seen"]["slow"] == 207
        assert kernel["conclusion"] == list(mail(tmp_path).conclusion)
    else:
        assert "in 1,107" in said
        assert "Before you quote these figures" not in said
        assert " ".join(said.split()).endswith("120 of which did nothing but reschedule.")


def test_the_command_says_what_limits_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.tif.parquet", [row(0x1, 10)], losses=Losses(map_full=500))
    assert run(["masks", str(path)]) == 0
    said = capsys.readouterr().out
    assert "500" in said[said.index("Before you quote these figures") : said.index("Conclusion")]


def test_the_page_has_a_chapter_of_it(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    path = write(tmp_path / "a.tif.parquet", [row(0, 90), row(0x1, 10)])
    page = html.within(tifbpf.read(path))
    assert 'id="masks"' in page
    assert "never set (no interrupt or exception exits were looked at)" in page


def test_the_lines_survive_a_round_trip(tmp_path: Path) -> None:
    found = mail(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(found), type=schema.MaskAudit) == found
