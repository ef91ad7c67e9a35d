"""Why exits were slow, in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

import tifbpf
from tests.unit import recordings as build
from tests.unit.recordings import all_exits, covered, row, slow_only, write
from tifbpf.analysis import causes
from tifbpf.layouts import catalogue
from tifbpf.layouts.model import Context, Word
from tifbpf.recording.metadata import HandlerRuns
from tifbpf.reporters import model
from tifbpf.reporters.explanation import reasons, section
from tifbpf.reporters.schema import Explanation


def explained(tmp_path: Path, rows: list[dict[str, Any]], **given: Any) -> Explanation:
    given = {"contexts": build.everything(), **given}
    return model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", rows, **given))).explanation


def sentences(tmp_path: Path, rows: list[dict[str, Any]], **given: Any) -> list[str]:
    return [finding.sentence for finding in explained(tmp_path, rows, **given).findings]


BOTH = ("syscall", "comm")
DUP2, KILL, GETPPID = 33, 62, 110


def call(
    word: int, count: int, number: int, comm: str, syscall_work: int = 0, **given: Any
) -> dict[str, Any]:
    return row(word, count, syscall_work, syscall=number, abi="x86-64", comm=comm, **given)


def test_the_first_sentence_names_bit_thread_and_system_call(tmp_path: Path) -> None:
    rows = [
        call(0x1, 567, DUP2, "sshd"),
        call(0x1, 43, DUP2, "cron"),
        call(0x2, 300, KILL, "go"),
        call(0x12, 90, KILL, "go"),
        call(0x0, 9000, GETPPID, "sshd"),
    ]
    assert sentences(tmp_path, rows, dimensions=BOTH) == [
        _join(
            "61.0 % of slow exits carried NOTIFY_RESUME alone",
            '93.0 % of them in threads called "sshd"',
            "all of those from dup2.",
        ),
        _join(
            "30.0 % of slow exits carried SIGPENDING alone",
            'all of them in threads called "go"',
            "all of those from kill.",
        ),
        _join(
            "9.00 % of slow exits carried SIGPENDING and NEED_RESCHED together",
            'all of them in threads called "go"',
            "all of those from kill.",
        ),
    ]


def _join(*parts: str) -> str:
    return ", ".join(parts)


def test_what_is_spread_is_said_to_be(tmp_path: Path) -> None:
    rows = [call(0x2, 10 + place, number, f"t{place}") for place, number in enumerate((DUP2, KILL, GETPPID))]
    assert sentences(tmp_path, rows, dimensions=BOTH) == [
        _join(
            "100 % of slow exits carried SIGPENDING alone",
            'in threads of 3 names (most in threads called "t2": 36.4 %)',
            "from 3 system calls (most from getppid: 36.4 %).",
        )
    ]


def test_a_process_is_told_from_its_name(tmp_path: Path) -> None:
    rows = [row(0x2, 90, comm="cc1", pid=11), row(0x2, 10, comm="cc1", pid=12)]
    assert sentences(tmp_path, rows, dimensions=("comm", "pid")) == [
        _join(
            "100 % of slow exits carried SIGPENDING alone",
            'all of them in threads called "cc1"',
            "90.0 % of those in process 11",
            "all of those from system calls.",
        )
    ]


def test_without_dimensions_the_context_is_named(tmp_path: Path) -> None:
    rows = [row(0x2, 60, context="exception"), row(0x2, 40), row(0x10, 50, context="interrupt")]
    assert sentences(tmp_path, rows) == [
        "66.7 % of slow exits carried SIGPENDING alone, 60.0 % of them from exceptions.",
        "33.3 % of slow exits carried NEED_RESCHED alone, all of them from interrupts.",
    ]


def test_bits_of_the_second_word(tmp_path: Path) -> None:
    (finding,) = explained(tmp_path, [call(0, 5, GETPPID, "ls", 0x4)], dimensions=BOTH).findings
    assert finding.sentence.startswith("100 % of slow exits carried work:SYSCALL_TRACE alone")
    (cause,) = finding.causes
    assert (cause.word, cause.bit) == ("syscall_work", "SYSCALL_TRACE")
    assert cause.text is not None
    assert "ptrace" in cause.text
    assert cause.check == "TracerPid in /proc/PID/status names the tracer."


def test_bits_that_were_gone(tmp_path: Path) -> None:
    contexts = (slow_only(Context.SYSCALL), *build.syscalls_only()[1:])
    rows = [row(0, 7, path="slow", tier=None), all_exits(100)]
    (finding,) = explained(tmp_path, rows, contexts=contexts).findings
    assert finding.sentence == (
        "100 % of slow exits had lost their bits when the route looked: what triggered them is unknown, "
        "all of them from system calls."
    )
    assert finding.causes == ()


def test_a_bit_without_a_known_cause_says_so(tmp_path: Path) -> None:
    known = build.layout_612()
    wider = msgspec.structs.replace(known.tiers[0], value=0xE | 1 << 9)
    layout = msgspec.structs.replace(known, tiers=(wider,))
    found = explained(tmp_path, [row(1 << 9, 4, None)], layout=layout)
    assert list(reasons(found, 0)) == [("Cause", "not known.")]


def test_nothing_slow(tmp_path: Path) -> None:
    report = model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", [row(0, 9)])))
    assert report.explanation == Explanation(findings=(), total=0, others=0)
    assert section(report).lead == ("No exit was slow.",)
    assert section(report).notes == ()


def test_rare_ones_are_summed_up(tmp_path: Path) -> None:
    rows = [row(0x2, 1000), row(0x1, 5), row(0x4, 3), row(0x10, 0)]
    report = model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", rows[:3])))
    assert len(report.explanation.findings) == 1
    assert section(report).notes == (
        "2 more combinations of bits: 8 slow exits (0.794 %).",
        "Nothing here is about interrupt and exception exits: they were not covered.",
    )


def test_a_cause_is_told_once(tmp_path: Path) -> None:
    found = explained(tmp_path, [row(0x10, 50), row(0x12, 30)])
    assert [label for label, _ in reasons(found, 0)] == ["Probable cause", "Check"]
    assert [label for label, _ in reasons(found, 1)] == ["Probable cause of SIGPENDING", "Check"]


def test_a_dimension_that_not_all_recordings_have_is_left_out(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.tif.parquet", [row(0x2, 9, comm="cc1")], id="a", dimensions=("comm",)),
        write(tmp_path / "b.tif.parquet", [row(0x2, 1)], id="b"),
    ]
    (finding,) = model.build(tifbpf.read(paths)).explanation.findings
    assert finding.sentence == "100 % of slow exits carried SIGPENDING alone, all of them from system calls."


class TestCauses:
    def runs(self, **counts: int) -> tuple[HandlerRuns, ...]:
        return tuple(
            HandlerRuns(handler=name, bit="NOTIFY_RESUME", context=Context.SYSCALL, count=count)
            for name, count in counts.items()
        )

    def cause(self, tmp_path: Path, number: int = GETPPID, **given: Any) -> str:
        found = explained(tmp_path, [call(0x1, 100, number, "x")], dimensions=BOTH, **given)
        return dict(reasons(found, 0))["Probable cause"]

    def test_by_system_call(self, tmp_path: Path) -> None:
        assert "duplicated over the last reference" in self.cause(tmp_path, DUP2)
        assert self.cause(tmp_path).startswith("Work was left to the way out")

    def test_by_handler(self, tmp_path: Path) -> None:
        # Up to 6.18 rseq's handler runs whoever set the bit: it is the cause only where others had no work.
        both = self.runs(task_work_run=100, __rseq_handle_notify_resume=110)
        assert "task_work_add" in self.cause(tmp_path, handlers=both)
        alone = self.runs(task_work_run=1, __rseq_handle_notify_resume=100)
        assert "restartable sequences" in self.cause(tmp_path, handlers=alone)
        memory = self.runs(mem_cgroup_handle_over_high=90, __rseq_handle_notify_resume=100)
        assert "memory.high" in self.cause(tmp_path, handlers=memory)

    def test_handlers_of_the_bit_say_nothing_of_its_rare_exits(self, tmp_path: Path) -> None:
        rows = [row(0x1, 100), row(0x11, 40)]
        found = explained(tmp_path, rows, handlers=self.runs(__rseq_handle_notify_resume=140))
        assert "restartable" in (found.findings[0].causes[0].text or "")
        assert (found.findings[1].causes[0].text or "").startswith("Work was left to the way out")

    def test_every_named_bit_of_a_work_mask_has_one(self) -> None:
        for name in catalogue.names():
            layout = catalogue.load(name)
            for context in Context:
                for word in Word:
                    for bit in layout.names(word, layout.work_mask(context, word)):
                        known = causes.of(bit, syscall=None, context=None, handlers=())
                        assert known or bit.startswith("bit"), f"{name}: {bit}"

    def test_each_can_be_reached_and_is_sourced(self) -> None:
        for cause in causes.known():
            found = causes.of(
                cause.bit,
                syscall=min(cause.syscalls, default=None),
                context=min(cause.contexts, default=None),
                handlers=[cause.handler] if cause.handler else [],
            )
            assert found is cause
            assert cause.source
            assert cause.check.endswith(".")


@pytest.mark.parametrize("name", ['a" quoted', "<b>", "\x1b[1m"])
def test_names_stay_as_they_are_until_they_are_shown(tmp_path: Path, name: str) -> None:
    (finding,) = explained(tmp_path, [row(0x2, 1, comm=name)], dimensions=("comm",)).findings
    assert f'in threads called "{name}"' in finding.sentence


def test_the_covered_context_without_a_count(tmp_path: Path) -> None:
    contexts = (covered(Context.SYSCALL, denominator=None), *build.syscalls_only()[1:])
    assert sentences(tmp_path, [row(0x2, 40)], contexts=contexts) == [
        "100 % of slow exits carried SIGPENDING alone, all of them from system calls."
    ]
