from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tifbpf
from tests.unit import recordings as build
from tests.unit.recordings import SECOND_NS, all_exits, covered, row, slow_only, uncovered, write
from tifbpf.analysis.classes import Need, decode
from tifbpf.errors import TifbpfError
from tifbpf.layouts.model import Context, Word
from tifbpf.recording.metadata import (
    Attempt,
    HandlerRuns,
    Losses,
    ObserverEffect,
    SelfTest,
    Setter,
    Totals,
    UnseenBit,
)

MIXED = [
    row(0x0, 1000, comm="bash"),
    row(0x2, 100, comm="bash"),
    row(0x12, 5, comm="cc1"),
    row(0x13, 2, 0x4, comm="cc1"),
    row(1 << 19, 7, comm="idle"),
    row(0x40, 9, 0x1, comm="make"),
    row(0x30, 11, comm="make"),
    row(0x200, 3, comm="cc1"),
]
"""1,137 exits of which 121 were slow."""


def read(tmp_path: Path, rows: list[dict[str, Any]], **given: Any) -> tifbpf.Recordings:
    return tifbpf.read(write(tmp_path / "a.tif.parquet", rows, **given))


@pytest.fixture
def mixed(tmp_path: Path) -> tifbpf.Recordings:
    return read(tmp_path, MIXED, dimensions=("comm",))


def cells(line: pd.Series) -> dict[str, Any]:
    return {name: None if pd.isna(value) else value for name, value in line.items()}


class TestExits:
    def test_rows_are_named(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.exits()
        assert frame.index.name == "row"
        assert list(frame.columns) == [
            *("recording", "time", "interval_ns", "context", "comm", "tif", "syscall_work"),
            *("path", "tier", "count", "latency_log2", "ns", "ns_max"),
            *("tif_value", "syscall_work_value"),
        ]
        named = list(zip(frame["tif"], frame["syscall_work"], frame["count"], strict=True))
        assert named == [
            ("0", "0", 1000),
            ("SIGPENDING", "0", 100),
            ("SIGPENDING|NEED_RESCHED", "0", 5),
            ("NOTIFY_RESUME|SIGPENDING|NEED_RESCHED", "SYSCALL_TRACE", 2),
            ("bit19", "0", 7),
            ("POLLING_NRFLAG", "SECCOMP", 9),
            ("NEED_RESCHED|NEED_RESCHED_LAZY", "0", 11),
            ("PATCH_PENDING", "0", 3),
        ]

    def test_all_64_bits_arrive(self, tmp_path: Path) -> None:
        frame = read(tmp_path, [row(2**63 | 1, 1, 2**63 | 1), row(0, 2**53 + 1, None)]).exits()
        assert list(frame["tif_value"]) == [2**63 | 1, 0]
        assert frame["syscall_work_value"][0] == 2**63 | 1
        assert frame["syscall_work_value"][1] is pd.NA
        assert frame["count"][1] == 2**53 + 1
        assert list(frame["tif"]) == ["NOTIFY_RESUME|bit63", "0"]
        assert pd.isna(frame["syscall_work"][1])

    def test_system_calls_are_named(self, tmp_path: Path) -> None:
        rows = [
            row(0, 1, syscall=39, abi="x86-64"),
            row(0, 2, syscall=20, abi="i386"),
            row(0, 3, syscall=-1, abi="x86-64"),
            row(0, 4, context="interrupt"),
        ]
        frame = read(tmp_path, rows, dimensions=("syscall",), contexts=build.everything()).exits()
        assert list(frame["syscall"][:3]) == ["getpid", "i386:getpid", "rt_sigreturn or skipped"]
        assert pd.isna(frame["syscall"][3])

    def test_a_recording_of_nothing(self, tmp_path: Path) -> None:
        empty = read(tmp_path, [], dimensions=("comm", "syscall"))
        assert len(empty.exits()) == 0
        assert cells(empty.frequency().loc["syscall"])["exits"] == 0
        assert cells(empty.frequency().loc["syscall"])["share"] is None
        assert cells(empty.frequency().loc["interrupt"])["exits"] is None
        assert empty.bits()["present"].max() == 0
        assert len(empty.words()) == len(empty.cooccurrence()) == len(empty.by("comm")) == 0
        assert list(empty.needs()["slow"]) == [0, 0, 0, 0]
        assert len(empty.tiers()) == len(empty.timeline()) == len(empty.by("syscall")) == 0


class TestFrequency:
    def test_by_context(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.frequency()
        assert list(frame.index) == ["syscall", "interrupt", "exception"]
        assert cells(frame.loc["syscall"]) == {
            "covered": True,
            "exits": 1137,
            "slow": 121,
            "slow_counted": 121,
            "share": pytest.approx(121 / 1137),
            "exits_per_second": pytest.approx(113.7),
            "slow_per_second": pytest.approx(12.1),
            "seconds": 10.0,
        }

    def test_a_context_that_was_not_covered_is_unknown_and_not_zero(self, mixed: tifbpf.Recordings) -> None:
        line = cells(mixed.frequency().loc["interrupt"])
        assert not line.pop("covered")
        assert set(line.values()) == {None}

    def test_a_covered_context_without_exits_is_zero(self, tmp_path: Path) -> None:
        line = cells(read(tmp_path, [row(0, 1)], contexts=build.everything()).frequency().loc["exception"])
        assert (line["exits"], line["slow"], line["share"], line["slow_per_second"]) == (0, 0, None, 0)

    def test_without_a_denominator_there_is_no_share(self, tmp_path: Path) -> None:
        contexts = (
            covered(Context.SYSCALL, denominator=None),
            *build.syscalls_only()[1:],
        )
        found = read(tmp_path, [row(2, 40), row(1, 2)], contexts=contexts)
        line = cells(found.frequency().loc["syscall"])
        assert (line["exits"], line["slow"], line["slow_counted"], line["share"]) == (None, 42, None, None)
        assert line["slow_per_second"] == pytest.approx(4.2)
        assert line["exits_per_second"] is None
        bits = found.bits()
        assert bits.loc[("tif", "SIGPENDING"), "trigger"] == 40
        assert bits.loc[("tif", "SIGPENDING"), "present"] is pd.NA
        assert bits.loc[("tif", "SIGPENDING"), "share_of_exits"] is pd.NA
        assert bits.loc[("tif", "SIGPENDING"), "share_of_slow"] == pytest.approx(40 / 42)
        assert found.words()["share_of_exits"].isna().all()

    def test_by_a_dimension(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.frequency("comm")
        assert frame.index.name == "comm"
        assert frame["exits"].to_dict() == {"bash": 1100, "cc1": 10, "idle": 7, "make": 20}
        assert frame["slow"].to_dict() == {"bash": 100, "cc1": 10, "idle": 0, "make": 11}
        assert frame.loc["make", "share"] == pytest.approx(0.55)

    def test_by_two(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.frequency(["context", "comm"])
        assert list(frame.index.names) == ["context", "comm"]
        assert frame.loc[("syscall", "bash"), "slow"] == 100

    def test_by_puts_the_slowest_first_with_what_made_it_slow(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.by("comm")
        assert list(frame.index[:2]) == ["bash", "make"]
        assert frame["trigger"].dropna().to_dict() == {
            "bash": "SIGPENDING",
            "cc1": "NEED_RESCHED",
            "make": "NEED_RESCHED",
        }, "the first by name where two triggered as often"
        assert frame.loc["cc1", "trigger_count"] == 7
        assert frame.loc["idle", "trigger_count"] is pd.NA

    def test_a_dimension_that_was_not_recorded(self, mixed: tifbpf.Recordings) -> None:
        with pytest.raises(TifbpfError, match="--by pid"):
            mixed.frequency("pid")

    def test_numbers_stay_whole(self, tmp_path: Path) -> None:
        found = read(tmp_path, [row(0, 2**60), row(0, 1), row(2, 2**60 + 1)])
        assert found.frequency().loc["syscall", "exits"] == 2**61 + 2
        assert found.frequency().loc["syscall", "slow"] == 2**60 + 1


class TestDenominator:
    """A route that sees slow exits only, and something else that counts all."""

    ROWS = (
        row(0x2, 30, comm="bash"),
        row(0x10, 10, comm="make"),
        row(0x42, 5, comm="make"),
        all_exits(900, comm="bash"),
        all_exits(100, comm="make"),
        all_exits(7, comm="idle"),
    )
    CONTEXTS = (slow_only(Context.SYSCALL), *build.syscalls_only()[1:])

    def read(self, tmp_path: Path, *rows: dict[str, Any], **given: Any) -> tifbpf.Recordings:
        given = {"contexts": self.CONTEXTS, "dimensions": ("comm",), **given}
        return read(tmp_path, list(rows or self.ROWS), **given)

    def test_it_is_what_shares_are_of(self, tmp_path: Path) -> None:
        assert cells(self.read(tmp_path).frequency().loc["syscall"]) == {
            "covered": True,
            "exits": 1007,
            "slow": 45,
            "slow_counted": 45,
            "share": pytest.approx(45 / 1007),
            "exits_per_second": pytest.approx(100.7),
            "slow_per_second": pytest.approx(4.5),
            "seconds": 10.0,
        }

    def test_by_a_dimension(self, tmp_path: Path) -> None:
        frame = self.read(tmp_path).by("comm")
        assert frame["exits"].to_dict() == {"bash": 900, "make": 100, "idle": 7}
        assert frame["slow"].to_dict() == {"bash": 30, "make": 15, "idle": 0}
        assert frame["share"].to_dict() == {"bash": pytest.approx(1 / 30), "make": 0.15, "idle": 0}
        assert frame["trigger"].dropna().to_dict() == {"bash": "SIGPENDING", "make": "NEED_RESCHED"}

    def test_it_is_no_exit(self, tmp_path: Path) -> None:
        found = self.read(tmp_path)
        assert list(found.exits()["count"]) == [30, 10, 5]
        assert found.words()["count"].sum() == found.tiers()["slow"].sum() == 45
        assert found.needs()["slow"].to_dict() == {
            "pt_regs": 35,
            "no_pt_regs": 10,
            "unknown": 0,
            "reschedule_only": 10,
        }
        assert found.totals()["exits"].to_dict() == {
            "seen": 45,
            "recorded": 45,
            "lost": 0,
            "filtered": 0,
            "counted": 1007,
            "uncounted": 0,
            "not_sampled": 0,
            "not_sampled_of_all": 0,
        }
        assert found.words()["share_of_exits"].max() == pytest.approx(30 / 1007)

    def test_of_bits_in_the_mask_all_carriers_were_seen(self, tmp_path: Path) -> None:
        frame = self.read(tmp_path).bits()
        line = cells(frame.loc[("tif", "SIGPENDING")])
        assert (line["present"], line["trigger"], line["sole"], line["exits"]) == (35, 35, 35, 1007)
        assert line["share_of_exits"] == pytest.approx(35 / 1007)
        assert cells(frame.loc[("tif", "UPROBE")])["share_of_exits"] == 0

    def test_of_other_bits_only_slow_carriers_were_seen(self, tmp_path: Path) -> None:
        line = cells(self.read(tmp_path).bits().loc[("tif", "POLLING_NRFLAG")])
        assert (line["present"], line["exits"], line["share_of_exits"]) == (None, None, None)
        assert (line["present_slow"], line["trigger"]) == (5, 0)

    def test_without_it_nothing_is_100_per_cent(self, tmp_path: Path) -> None:
        contexts = (slow_only(Context.SYSCALL, denominator=None), *build.syscalls_only()[1:])
        found = self.read(tmp_path, *self.ROWS[:3], contexts=contexts)
        line = cells(found.frequency().loc["syscall"])
        assert (line["exits"], line["slow"], line["slow_counted"], line["share"]) == (None, 45, None, None)
        assert (line["exits_per_second"], line["slow_per_second"]) == (None, pytest.approx(4.5))
        assert found.by("comm")["share"].isna().all()
        assert found.bits()["share_of_exits"].isna().all()
        assert found.words()["share_of_exits"].isna().all()
        assert found.timeline()["exits"].isna().all()

    @pytest.mark.parametrize("counted", [(), (all_exits(44, comm="bash"),)])
    def test_one_that_counted_too_few_is_not_believed(
        self, tmp_path: Path, counted: tuple[dict[str, Any], ...]
    ) -> None:
        found = self.read(tmp_path, *self.ROWS[:3], *counted)
        line = cells(found.frequency().loc["syscall"])
        assert (line["exits"], line["slow"], line["slow_counted"], line["share"]) == (None, 45, None, None)
        assert line["slow_per_second"] == pytest.approx(4.5)
        assert found.bits()["share_of_exits"].isna().all()
        assert found.words()["share_of_exits"].isna().all()

    def test_one_that_missed_a_class_leaves_its_share_unknown(self, tmp_path: Path) -> None:
        # The thread was called something else when it entered the kernel.
        frame = self.read(tmp_path, *self.ROWS[:3], all_exits(900, comm="bash"), all_exits(14, comm="make"))
        line = cells(frame.by("comm").loc["make"])
        assert (line["exits"], line["slow"], line["share"]) == (14, 15, None)
        frame = self.read(tmp_path, *self.ROWS[:3], all_exits(900, comm="bash"))
        line = cells(frame.by("comm").loc["make"])
        assert (line["exits"], line["slow"], line["slow_counted"], line["share"]) == (None, 15, None, None)

    def test_no_exit_at_all(self, tmp_path: Path) -> None:
        line = cells(read(tmp_path, [], contexts=self.CONTEXTS).frequency().loc["syscall"])
        assert (line["exits"], line["slow"], line["share"]) == (0, 0, None)

    def test_over_time(self, tmp_path: Path) -> None:
        later = build.START_NS + SECOND_NS
        frame = self.read(tmp_path, *self.ROWS, all_exits(50, time=later)).timeline()
        assert frame[["exits", "slow", "seconds"]].to_numpy().tolist() == [[1007, 45, 1], [50, 0, 1]]

    def test_beside_a_context_that_shows_all_words(self, tmp_path: Path) -> None:
        interrupts = [row(0, 400, context="interrupt"), row(0x50, 100, context="interrupt")]
        contexts = (self.CONTEXTS[0], covered(Context.INTERRUPT), uncovered(Context.EXCEPTION))
        frame = self.read(tmp_path, *self.ROWS, *interrupts, contexts=contexts).bits()
        line = cells(frame.loc[("tif", "NEED_RESCHED")])
        assert (line["present"], line["trigger"], line["exits"]) == (110, 110, 1507)
        # Which fast system calls carried it is not known; which interrupts did, is.
        line = cells(frame.loc[("tif", "POLLING_NRFLAG")])
        assert (line["present"], line["exits"], line["share_of_exits"]) == (100, 500, 0.2)

    def test_with_other_recordings(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / "a.tif.parquet", self.ROWS, id="a", contexts=self.CONTEXTS),
            write(tmp_path / "b.tif.parquet", [row(0, 90), row(2, 10)], id="b"),
        ]
        line = cells(tifbpf.read(paths).frequency().loc["syscall"])
        assert (line["exits"], line["slow"], line["share"]) == (1107, 55, pytest.approx(55 / 1107))

    def test_a_slow_exit_whose_bit_was_gone(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, *self.ROWS, row(0, 4, path="slow", tier=None, comm="gone"))
        assert found.frequency().loc["syscall", "slow"] == 49
        assert found.tiers()["slow"].to_dict() == {("syscall", "loop"): 45, ("syscall", "unknown"): 4}
        assert found.needs()["slow"].to_dict()["unknown"] == 4
        assert found.bits().loc[("tif", "SIGPENDING"), "share_of_slow"] == pytest.approx(35 / 49)
        assert pd.isna(found.by("comm").loc["gone", "trigger"])
        assert found.cooccurrence().to_numpy().sum() == 45


class TestBits:
    def test_the_histogram(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.bits()
        assert list(frame.index.names) == ["word", "bit"]
        found = {
            index: tuple(line)
            for index, line in zip(
                frame.index,
                frame[["present", "present_slow", "trigger", "sole", "in_mask"]].itertuples(index=False),
                strict=True,
            )
        }
        assert found == {
            ("tif", "NOTIFY_RESUME"): (2, 2, 2, 0, True),
            ("tif", "SIGPENDING"): (107, 107, 107, 100, True),
            ("tif", "NOTIFY_SIGNAL"): (0, 0, 0, 0, True),
            ("tif", "NEED_RESCHED"): (18, 18, 18, 0, True),
            ("tif", "NEED_RESCHED_LAZY"): (11, 11, 11, 0, True),
            ("tif", "POLLING_NRFLAG"): (9, 0, 0, 0, False),
            ("tif", "UPROBE"): (0, 0, 0, 0, True),
            ("tif", "PATCH_PENDING"): (3, 3, 3, 3, True),
            ("tif", "bit19"): (7, 0, 0, 0, False),
            ("syscall_work", "SECCOMP"): (9, 0, 0, 0, False),
            ("syscall_work", "SYSCALL_TRACE"): (2, 2, 2, 0, True),
        }
        assert frame.loc[("tif", "SIGPENDING"), "share_of_exits"] == pytest.approx(107 / 1137)
        assert frame.loc[("tif", "SIGPENDING"), "share_of_slow"] == pytest.approx(107 / 121)

    def test_a_sole_trigger_is_alone_in_both_words(self, tmp_path: Path) -> None:
        frame = read(tmp_path, [row(0x2, 1), row(0x2, 2, 0x4), row(0x42, 4)]).bits()
        assert frame.loc[("tif", "SIGPENDING"), "sole"] == 5
        assert frame.loc[("syscall_work", "SYSCALL_TRACE"), "sole"] == 0

    def test_a_bit_triggers_only_where_its_context_tests_it(self, tmp_path: Path) -> None:
        rows = [row(0x1000, 10), row(0x1000, 3, context="interrupt"), row(0x1001, 2)]
        found = read(tmp_path, rows, layout=build.layout_71(), contexts=build.everything())
        assert list(found.exits()["path"]) == ["fast", "slow", "slow"]
        line = found.bits().loc[("tif", "HRTIMER_REARM")]
        assert (line["present"], line["present_slow"], line["trigger"], line["sole"]) == (15, 5, 3, 3)
        assert found.bits().loc[("tif", "NOTIFY_RESUME"), "sole"] == 2

    def test_a_bit_that_only_uncovered_contexts_test_is_unknown(self, tmp_path: Path) -> None:
        line = (
            read(tmp_path, [row(0x1000, 10)], layout=build.layout_71()).bits().loc[("tif", "HRTIMER_REARM")]
        )
        assert (line["present"], line["present_slow"], line["in_mask"]) == (10, 0, True)
        assert line["trigger"] is pd.NA
        assert line["sole"] is pd.NA
        assert line["share_of_slow"] is pd.NA

    def test_a_bit_that_our_own_hook_sets_is_unknown_and_not_zero(self, tmp_path: Path) -> None:
        effect = ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACE", ours=True, text="ours")
        frame = read(tmp_path, [row(0x2, 10)], observer_effects=(effect,)).bits()
        line = frame.loc[("syscall_work", "SYSCALL_TRACE")]
        assert (line["in_mask"], line["taken_out"]) == (True, True)
        assert line["present"] is line["trigger"] is line["sole"] is pd.NA
        assert not frame.loc[("tif", "SIGPENDING"), "taken_out"]
        # What another recording counted is there.
        other = write(tmp_path / "b.tif.parquet", [row(0x0, 3, 0x4)], id="b")
        both = tifbpf.read([tmp_path / "a.tif.parquet", other]).bits()
        assert both.loc[("syscall_work", "SYSCALL_TRACE"), "trigger"] == 3

    def test_a_bit_that_the_route_does_not_see_is_unknown_and_not_zero(self, tmp_path: Path) -> None:
        unseen = (UnseenBit(word=Word.TIF, bit="UPROBE"), UnseenBit(word=Word.TIF, bit="SIGPENDING"))
        contexts = (
            covered(Context.SYSCALL),
            uncovered(Context.INTERRUPT),
            slow_only(Context.EXCEPTION, unseen=unseen),
        )
        rows = [
            row(0, 90),
            row(0x1, 10),
            row(0x3, 4, context="exception"),
            all_exits(200, context="exception"),
        ]
        frame = read(tmp_path, rows, contexts=contexts).bits()
        line = frame.loc[("tif", "UPROBE")]
        assert line["trigger"] is line["sole"] is line["share_of_slow"] is pd.NA
        # Of system calls it is known that none carried it.
        assert (line["present"], line["exits"]) == (0, 100)
        # Seen beside another bit, it was there; how often alone is not known.
        line = frame.loc[("tif", "SIGPENDING")]
        assert (line["trigger"], line["present_slow"], line["present"]) == (4, 4, 0)
        assert line["sole"] is pd.NA
        line = frame.loc[("tif", "NOTIFY_RESUME")]
        assert (line["trigger"], line["present"], line["exits"]) == (14, 14, 300)

    def test_where_nothing_was_covered_nothing_is_known(self, tmp_path: Path) -> None:
        contexts = tuple(uncovered(context) for context in Context)
        frame = read(tmp_path, [], contexts=contexts).bits()
        assert frame[["present", "present_slow", "trigger", "sole"]].isna().all(axis=None)

    def test_cooccurrence(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.cooccurrence()
        assert frame.index.equals(frame.columns)
        assert list(frame.index[:2]) == [("tif", "SIGPENDING"), ("tif", "NEED_RESCHED")]
        assert frame.equals(frame.T)
        resched, lazy = ("tif", "NEED_RESCHED"), ("tif", "NEED_RESCHED_LAZY")
        assert frame.loc[resched, resched] == 18
        assert frame.loc[resched, lazy] == 11
        assert frame.loc[("tif", "SIGPENDING"), ("syscall_work", "SYSCALL_TRACE")] == 2
        assert frame.loc[("tif", "PATCH_PENDING"), lazy] == 0


class TestNeeds:
    @pytest.mark.parametrize(
        ("tif", "syscall_work", "need", "reschedule_only"),
        [
            (0x0, 0, None, False),
            (0x40, 1, None, False),
            (0x10, 0, Need.NO_PT_REGS, True),
            (0x30, 0, Need.NO_PT_REGS, True),
            (0x50, 0, Need.NO_PT_REGS, True),
            (0x11, 0, Need.NO_PT_REGS, False),
            (0x12, 0, Need.PT_REGS, False),
            (0x10, 4, Need.PT_REGS, False),
            (0x202, 0, Need.PT_REGS, False),
            (0x210, 0, Need.UNKNOWN, False),
        ],
    )
    def test_of_one_exit(self, tif: int, syscall_work: int, need: Need | None, reschedule_only: bool) -> None:
        decoded = decode(build.layout_618(), Context.SYSCALL, tif, syscall_work)
        assert (decoded.need, decoded.reschedule_only) == (need, reschedule_only)

    def test_they_add_up(self, mixed: tifbpf.Recordings) -> None:
        frame = mixed.needs()
        assert frame["slow"].to_dict() == {
            "pt_regs": 107,
            "no_pt_regs": 11,
            "unknown": 3,
            "reschedule_only": 11,
        }
        assert frame.loc["pt_regs", "share_of_slow"] == pytest.approx(107 / 121)


def test_words(mixed: tifbpf.Recordings) -> None:
    frame = mixed.words()
    assert list(frame.index.names) == ["context", "tif", "syscall_work"]
    assert list(frame["count"]) == [1000, 100, 11, 9, 7, 5, 3, 2]
    line = cells(frame.loc[("syscall", "NOTIFY_RESUME|SIGPENDING|NEED_RESCHED", "SYSCALL_TRACE")])
    assert line == {
        "path": "slow",
        "tier": "loop+syscall_work",
        "count": 2,
        "share_of_exits": pytest.approx(2 / 1137),
        "share_of_slow": pytest.approx(2 / 121),
        "tif_value": 0x13,
        "syscall_work_value": 0x4,
        "ns": None,
    }
    assert cells(frame.loc[("syscall", "0", "0")])["share_of_slow"] is None


def timed(word: int, bucket: int, count: int, ns: int, ns_max: int, **given: Any) -> dict[str, Any]:
    return row(word, count, latency_log2=bucket, ns=ns, ns_max=ns_max, **given)


class TestLatency:
    ROWS = (
        timed(0x2, 10, 97, 97 * 1500, 2000),
        timed(0x2, 11, 2, 5000, 3000),
        timed(0x12, 20, 1, 1_500_000, 1_500_000),
        row(0x12, 4),
        row(0x1, 6),
        row(0x0, 1000),
    )
    COLUMNS = ("slow", "timed", "ns", "ns_max", "ns_p50_low", "ns_p50_high", "ns_p99_low", "ns_p99_high")

    def test_by_bit(self, tmp_path: Path) -> None:
        frame = read(tmp_path, list(self.ROWS)).latency()
        assert list(frame.index.names) == ["word", "bit"]
        assert tuple(frame.columns) == self.COLUMNS
        # The 99th of 100 took 2,048 to 4,095 ns. The bucket of the only one ends with the longest.
        assert [(*index, *line) for index, *line in frame.itertuples()] == [
            ("tif", "SIGPENDING", 104, 100, 1_650_500, 1_500_000, 1024, 2047, 2048, 4095),
            ("tif", "NEED_RESCHED", 5, 1, 1_500_000, 1_500_000, 1_048_576, 1_500_000, 1_048_576, 1_500_000),
        ]

    def test_by_word_and_by_context(self, tmp_path: Path) -> None:
        found = read(tmp_path, list(self.ROWS))
        frame = found.latency("word")
        assert list(frame.index) == [
            ("syscall", "SIGPENDING|NEED_RESCHED", "0"),
            ("syscall", "SIGPENDING", "0"),
        ]
        assert list(frame["timed"]) == [1, 99]
        assert list(frame["ns_p99_high"]) == [1_500_000, 3000]
        assert found.latency("context")[["slow", "timed", "ns"]].loc["syscall"].to_list() == [
            110,
            100,
            1_650_500,
        ]

    def test_the_histogram(self, tmp_path: Path) -> None:
        frame = read(tmp_path, list(self.ROWS)).latency_histogram()
        assert list(frame.index.names) == ["word", "bit", "ns_low"]
        assert {index: tuple(line) for index, *line in frame.itertuples()} == {
            ("tif", "NEED_RESCHED", 1_048_576): (2_097_151, 1),
            ("tif", "SIGPENDING", 1024): (2047, 97),
            ("tif", "SIGPENDING", 2048): (4095, 2),
            ("tif", "SIGPENDING", 1_048_576): (2_097_151, 1),
        }

    def test_the_shortest_and_the_longest(self, tmp_path: Path) -> None:
        rows = [timed(0x2, 0, 3, 2, 1), timed(0x2, 63, 1, 2**63 + 1, 2**63 + 1)]
        frame = read(tmp_path, rows).latency_histogram("context")
        assert {index: tuple(line) for index, *line in frame.itertuples()} == {
            ("syscall", 0): (1, 3),
            ("syscall", 2**63): (2**64 - 1, 1),
        }

    def test_a_kernel_without_the_second_word(self, tmp_path: Path) -> None:
        frame = read(tmp_path, [timed(0x2, 1, 1, 3, 3, syscall_work=None)]).latency("word")
        ((context, tif, syscall_work),) = frame.index
        assert (context, tif, pd.isna(syscall_work)) == ("syscall", "SIGPENDING", True)
        assert list(frame["ns_p50_low"]) == [2]

    def test_several_recordings(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / "a.tif.parquet", [timed(0x2, 10, 1, 1500, 1500)], id="a"),
            write(
                tmp_path / "b.tif.parquet",
                [timed(0x4, 10, 3, 3600, 1200, syscall_work=None)],
                id="b",
                layout=build.layout_612(),
            ),
        ]
        line = tifbpf.read(paths).latency().loc[("tif", "SIGPENDING")]
        assert (line["timed"], line["ns"], line["ns_max"], line["ns_p50_high"]) == (4, 5100, 1500, 1500)

    @pytest.mark.parametrize("of", ["bit", "word", "context"])
    def test_absent_where_nothing_was_measured(self, mixed: tifbpf.Recordings, of: str) -> None:
        assert len(mixed.latency(of)) == len(mixed.latency_histogram(of)) == 0
        assert tuple(mixed.latency(of).columns) == self.COLUMNS


def setter(bit: str, comm: str, count: int, target: str | None = None) -> Setter:
    return Setter(word=Word.TIF, bit=bit, by="resched_curr", comm=comm, target=target, count=count)


class TestOrigins:
    def test_setters_add_up(self, tmp_path: Path) -> None:
        first = (setter("NEED_RESCHED", "make", 5), setter("NEED_RESCHED", "make", 1, "cc1"))
        second = (setter("NEED_RESCHED", "make", 4), setter("SIGPENDING", "bash", 2))
        paths = [
            write(tmp_path / "a.tif.parquet", [], id="a", setters=first),
            write(tmp_path / "b.tif.parquet", [], id="b", setters=second),
            write(tmp_path / "c.tif.parquet", [], id="c"),
        ]
        frame = tifbpf.read(paths).setters()
        assert list(frame.index.names) == ["word", "bit"]
        lines = [
            (*index, *(None if pd.isna(cell) else cell for cell in line))
            for index, *line in frame.itertuples()
        ]
        assert lines == [
            ("tif", "NEED_RESCHED", "resched_curr", "make", None, 9, 0.9),
            ("tif", "SIGPENDING", "resched_curr", "bash", None, 2, 1.0),
            ("tif", "NEED_RESCHED", "resched_curr", "make", "cc1", 1, 0.1),
        ]

    def test_handlers_add_up(self, tmp_path: Path) -> None:
        def runs(handler: str, context: Context, count: int) -> HandlerRuns:
            return HandlerRuns(handler=handler, bit="NOTIFY_RESUME", context=context, count=count)

        given = (
            runs("task_work_run", Context.SYSCALL, 30),
            runs("blkcg_maybe_throttle_current", Context.SYSCALL, 10),
            runs("task_work_run", Context.INTERRUPT, 8),
        )
        frame = read(tmp_path, [], handlers=given).handlers()
        assert list(frame.index.names) == ["bit", "context", "handler"]
        assert {index[1:]: tuple(line) for index, *line in frame.itertuples()} == {
            ("syscall", "task_work_run"): (30, 0.75),
            ("syscall", "blkcg_maybe_throttle_current"): (10, 0.25),
            ("interrupt", "task_work_run"): (8, 1),
        }

    def test_nobody(self, tmp_path: Path) -> None:
        found = read(tmp_path, [], setters=())
        assert len(found.setters()) == len(found.handlers()) == 0


def test_time_is_known_only_where_all_of_it_was_measured(tmp_path: Path) -> None:
    rows = [timed(2, 6, 2, 200, 120), timed(2, 5, 1, 60, 60), timed(1, 2, 1, 5, 5), row(1, 1)]
    frame = read(tmp_path, rows).words()
    assert frame.loc[("syscall", "SIGPENDING", "0"), "ns"] == 260
    assert frame.loc[("syscall", "NOTIFY_RESUME", "0"), "ns"] is pd.NA


def test_tiers(mixed: tifbpf.Recordings) -> None:
    assert mixed.tiers()["slow"].to_dict() == {
        ("syscall", "loop"): 119,
        ("syscall", "loop+syscall_work"): 2,
    }


def test_timeline(tmp_path: Path) -> None:
    times = [build.START_NS + second * SECOND_NS for second in (0, 0, 1, 3)]
    rows = [row(word, 10, time=time) for word, time in zip((0, 2, 2, 0), times, strict=True)]
    found = read(tmp_path, rows)
    frame = found.timeline()
    assert list(frame.index.names) == ["time", "context"]
    assert frame[["exits", "slow", "seconds"]].to_numpy().tolist() == [[20, 10, 1], [10, 10, 1], [10, 0, 1]]
    coarse = found.timeline("2s")
    assert coarse[["exits", "slow", "seconds"]].to_numpy().tolist() == [[30, 20, 2], [10, 0, 1]]


class TestSeveral:
    def test_counts_and_seconds_add_up(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / "a.tif.parquet", [row(0, 90), row(2, 10)], id="a"),
            write(
                tmp_path / "b.tif.parquet",
                [row(0, 250), row(2, 50)],
                id="b",
                duration_ns=30 * SECOND_NS,
            ),
        ]
        line = cells(tifbpf.read(paths).frequency().loc["syscall"])
        assert (line["exits"], line["slow"], line["share"]) == (400, 60, pytest.approx(0.15))
        assert (line["seconds"], line["exits_per_second"], line["slow_per_second"]) == (40, 10, 1.5)

    def test_layouts_are_merged_by_name(self, tmp_path: Path) -> None:
        # 0x2 is SIGPENDING on 6.18 and NOTIFY_RESUME on 6.12, whose SIGPENDING is 0x4.
        found = tifbpf.read(
            [
                write(tmp_path / "a.tif.parquet", [row(0x2, 10), row(0x4, 100)], id="a"),
                write(
                    tmp_path / "b.tif.parquet",
                    [row(0x2, 3, None), row(0x4, 1, None)],
                    id="b",
                    layout=build.layout_612(),
                ),
            ]
        )
        assert found.bits()["trigger"].dropna().loc["tif"].to_dict() == {
            "NOTIFY_RESUME": 3,
            "SIGPENDING": 11,
            "NOTIFY_SIGNAL": 100,
            "NEED_RESCHED": 0,
            "NEED_RESCHED_LAZY": 0,
            "UPROBE": 0,
            "PATCH_PENDING": 0,
        }
        assert list(found.exits()["syscall_work"].isna()) == [False, False, True, True]

    def test_a_name_with_two_numbers_has_no_number(self, tmp_path: Path) -> None:
        rows = [row(0x2, 10, None)], [row(0x4, 1, None)]
        found = tifbpf.read(
            [
                write(tmp_path / "a.tif.parquet", rows[0], id="a"),
                write(tmp_path / "b.tif.parquet", rows[1], id="b", layout=build.layout_612()),
            ]
        )
        (line,) = found.words().itertuples()
        assert line.Index[1] == "SIGPENDING"
        assert line[found.words().columns.get_loc("count") + 1] == 11
        assert line.tif_value is pd.NA

    def test_a_context_counts_where_it_was_covered(self, tmp_path: Path) -> None:
        found = tifbpf.read(
            [
                write(tmp_path / "a.tif.parquet", [row(0, 100)], id="a"),
                write(
                    tmp_path / "b.tif.parquet",
                    [row(0, 50), row(2, 30, context="interrupt"), row(0, 70, context="interrupt")],
                    id="b",
                    contexts=build.everything(),
                ),
            ]
        )
        frame = found.frequency()
        assert (frame.loc["syscall", "exits"], frame.loc["syscall", "seconds"]) == (150, 20)
        assert (frame.loc["interrupt", "share"], frame.loc["interrupt", "slow_per_second"]) == (0.3, 3)

    def test_a_share_is_of_recordings_that_counted_all_exits(self, tmp_path: Path) -> None:
        only_slow = (covered(Context.SYSCALL, denominator=None), *build.syscalls_only()[1:])
        found = tifbpf.read(
            [
                write(tmp_path / "a.tif.parquet", [row(0, 90), row(2, 10)], id="a"),
                write(tmp_path / "b.tif.parquet", [row(2, 500)], id="b", contexts=only_slow),
            ]
        )
        line = cells(found.frequency().loc["syscall"])
        assert (line["exits"], line["slow"], line["slow_counted"], line["share"]) == (100, 510, 10, 0.1)
        assert (line["exits_per_second"], line["slow_per_second"]) == (10, 25.5)
        assert found.bits().loc[("tif", "SIGPENDING"), "share_of_exits"] == pytest.approx(0.1)

    def test_a_dimension_is_of_recordings_that_have_it(self, tmp_path: Path) -> None:
        found = tifbpf.read(
            [
                write(tmp_path / "a.tif.parquet", [row(2, 10, comm="a")], id="a", dimensions=("comm",)),
                write(tmp_path / "b.tif.parquet", [row(2, 500)], id="b"),
            ]
        )
        assert found.dimensions == ("comm",)
        assert found.by("comm")["slow"].to_dict() == {"a": 10}
        assert found.by("comm").loc["a", "slow_per_second"] == 1


def test_accounting(tmp_path: Path) -> None:
    losses = Losses(map_full=3, recursion=1)
    totals = Totals(seen=14, recorded=10, filtered=5, losses=losses)
    found = read(tmp_path, [row(0, 10)], totals=totals)
    assert found.losses()["exits"].to_dict() == {
        "map_full": 3,
        "read_failed": 0,
        "recursion": 1,
        "kprobe_misses": 0,
        "unclassified": 0,
    }
    assert found.totals()["exits"].to_dict() == {
        "seen": 14,
        "recorded": 10,
        "lost": 4,
        "filtered": 5,
        "counted": 0,
        "uncounted": 0,
        "not_sampled": 0,
        "not_sampled_of_all": 0,
    }


def test_what_recordings_say_about_themselves(tmp_path: Path) -> None:
    effect = ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACEPOINT", ours=True, text="taken out")
    tests = (SelfTest(exercise="signal", expected=100, seen=0),)
    tried = (Attempt(route="prepare", reason="saw nothing", self_tests=tests),)
    contexts = (covered(Context.SYSCALL, attempts=tried, blind=("a", "b")), *build.syscalls_only()[1:])
    found = read(tmp_path, [row(0, 10)], observer_effects=(effect,), contexts=contexts)
    assert cells(found.effects().loc[0]) == {
        "word": "syscall_work",
        "bit": "SYSCALL_TRACEPOINT",
        "ours": True,
        "text": "taken out",
    }
    coverage = found.coverage()
    assert list(coverage.index) == [(0, "syscall"), (0, "interrupt"), (0, "exception")]
    assert (coverage.loc[(0, "syscall"), "expected"], coverage.loc[(0, "syscall"), "seen"]) == (100, 100)
    assert coverage.loc[(0, "syscall"), "given_up"] == "prepare: saw nothing"
    assert coverage.loc[(0, "syscall"), "blind"] == "a; b"
    assert not coverage["slow_only"].any()
    assert coverage.loc[(0, "interrupt"), "why_not"] == "no route covers it on this kernel"
    assert list(found.layout_evidence()["verdict"]) == ["confirms", "decides"]
    assert found.metadata[0].kernel.release == "6.18.44-amd64"


def test_no_path_at_all() -> None:
    with pytest.raises(TifbpfError, match="no recording was given"):
        tifbpf.read([])
