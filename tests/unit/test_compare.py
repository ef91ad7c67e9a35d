"""Comparisons with known answers, and those that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest

import tifbpf
from tests.unit.comparisons import NOTIFY_RESUME, Counts, random, recorded, steady
from tests.unit.recordings import (
    ALL,
    SECOND_NS,
    START_NS,
    all_exits,
    covered,
    everything,
    layout_71,
    layout_612,
    row,
    slow_only,
    syscalls_only,
    uncovered,
    write,
)
from tifbpf.analysis import Comparison, compare
from tifbpf.analysis.intervals import MOST
from tifbpf.errors import ExitCode, InputRepeatedError, NotComparableError, TifbpfError
from tifbpf.layouts.model import Context, Word
from tifbpf.recording.metadata import Host, Kernel, ObserverEffect, Sampling, UnseenBit

LATER = Kernel(release="7.1.0-amd64", version="#1 SMP")
EARLIER = Kernel(release="6.12.90-amd64", version="#1 SMP")


def pair(
    tmp_path: Path,
    counts: Counts,
    counts_after: Counts,
    *,
    before: Mapping[str, Any] = MappingProxyType({}),
    after: Mapping[str, Any] = MappingProxyType({}),
    **given: Any,
) -> tuple[Path, Path]:
    """Two recordings; what `given` says is said of both."""
    return (
        recorded(tmp_path / "before.tif.parquet", counts, **{**given, **before}),
        recorded(tmp_path / "after.tif.parquet", counts_after, **{**given, **after}),
    )


def line(frame: pd.DataFrame, *key: str) -> Any:
    return frame.loc[key if len(key) > 1 else key[0]]


def test_equal_recordings_are_unchanged(tmp_path: Path) -> None:
    counts = steady(fast=9_000, notify_resume=800, sigpending=200)
    found = compare(*pair(tmp_path, counts, counts))
    for frame in (found.total(), found.bits(), found.words()):
        assert set(frame["verdict"]) == {"unchanged"}
        assert set(frame["change"]) == {0.0}
    share = line(found.total(), "share")
    assert (share["before_events"], share["before_value"]) == (60_000, 0.1)
    assert line(found.total(), "rate")["after_value"] == 1_000
    assert found.differences == ()


def test_a_change_is_found_where_it_was_made(tmp_path: Path) -> None:
    found = compare(
        *pair(
            tmp_path,
            random(1, notify_resume=0.03, sigpending=0.02),
            random(2, notify_resume=0.015, sigpending=0.02),
        )
    )
    bits = found.bits()
    notify = line(bits, "share", "tif", "NOTIFY_RESUME")
    assert notify["verdict"] == "changed"
    assert notify["change_low"] < -0.5 < notify["change_high"] < -0.4
    assert line(bits, "share", "tif", "SIGPENDING")["verdict"] == "unchanged"
    assert line(bits, "rate", "tif", "NOTIFY_RESUME")["verdict"] == "changed"
    words = found.words()
    assert line(words, "share", "syscall", "NOTIFY_RESUME", "0")["verdict"] == "changed"
    assert line(words, "share", "syscall", "SIGPENDING", "0")["verdict"] == "unchanged"


def test_ten_intervals_are_too_little(tmp_path: Path) -> None:
    paths = pair(
        tmp_path, steady(fast=9_000, sigpending=1_000), steady(fast=1_000, sigpending=9_000), intervals=10
    )
    total = compare(*paths).total()
    assert set(total["verdict"]) == {"too little data"}
    assert total["change"].isna().all()
    assert list(total["before_value"]) == [0.1, 1_000]


def test_what_varies_from_run_to_run_counts(tmp_path: Path) -> None:
    """Each run is even in itself: only several show that the next may be another."""
    shares = {"a": 200, "b": 500, "c": 350, "d": 300, "e": 450, "f": 250}
    files = {
        name: recorded(
            tmp_path / f"{name}.tif.parquet",
            steady(fast=10_000 - slow, sigpending=slow),
            intervals=20,
            started_ns=START_NS,
        )
        for name, slow in shares.items()
    }
    one = compare(files["a"], files["e"]).total()
    several = compare([files["a"], files["b"], files["c"]], [files["d"], files["e"], files["f"]])
    assert set(one["verdict"]) == {"changed"}
    assert several.intervals == (60, 60)
    assert set(several.total()["verdict"]) == {"too little data"}


def test_an_interval_without_an_exit_is_one(tmp_path: Path) -> None:
    """Bursts with silence between them are no steady stream."""
    bursts = recorded(
        tmp_path / "bursts.tif.parquet", lambda number: {} if number % 20 else {2: 2_000, 0: 20_000}
    )
    stream = recorded(tmp_path / "stream.tif.parquet", steady(fast=1_000, sigpending=100))
    found = compare(bursts, stream)
    assert found.intervals == (60, 60)
    rate = line(found.total(), "rate")
    assert rate["before_value"] == rate["after_value"] == 100
    assert rate["verdict"] == "too little data"
    wide, narrow = (rate[f"{side}_high"] - rate[f"{side}_low"] for side in ("before", "after"))
    assert wide > 10 * narrow


def test_a_bit_that_one_kernel_does_not_have_is_not_zero(tmp_path: Path) -> None:
    paths = pair(
        tmp_path,
        lambda _: {0: 9_000, 0x2: 1_000},
        lambda _: {0: 9_000, 0x1: 500, 0x1000: 500},
        columns={"context": "interrupt", "syscall_work": None},
        contexts=everything(),
        before={"layout": layout_612(), "kernel": EARLIER},
        after={"layout": layout_71(), "kernel": LATER},
    )
    found = compare(*paths)
    rearm = line(found.bits(), "share", "tif", "HRTIMER_REARM")
    assert rearm["verdict"] == "not comparable"
    assert pd.isna(rearm["before_value"])
    assert pd.isna(rearm["change"])
    assert rearm["after_value"] == 0.05
    assert rearm["why"] == "layout 6.12 has no such bit"
    notify = line(found.bits(), "share", "tif", "NOTIFY_RESUME")
    assert (notify["before_value"], notify["after_value"], notify["verdict"]) == (0.1, 0.05, "changed")
    word = found.words().xs("HRTIMER_REARM", level="tif").loc["share"].iloc[0]
    assert (word["verdict"], word["why"]) == ("not comparable", "layout 6.12 has no HRTIMER_REARM")
    kinds = {difference.kind for difference in found.differences}
    assert {"kernel", "layout", "mask"} <= kinds
    assert not any(difference.forbids for difference in found.differences)


def test_a_dimension_is_compared_by_its_values(tmp_path: Path) -> None:
    def rows(slow: dict[str, int]) -> list[dict[str, Any]]:
        return [
            row(word, count, time=START_NS + number * SECOND_NS, comm=comm)
            for number in range(60)
            for comm, bad in slow.items()
            for word, count in ((0, 1_000 - bad), (NOTIFY_RESUME, bad))
        ]

    files = [
        write(
            tmp_path / f"{name}.tif.parquet",
            rows(slow),
            id=name,
            duration_ns=60 * SECOND_NS,
            dimensions=("comm",),
        )
        for name, slow in (("a", {"cc1": 100, "make": 100}), ("b", {"cc1": 300, "make": 100, "ld": 50}))
    ]
    found = compare(*files)
    assert found.dimensions == ("comm",)
    frame = found.by("comm")
    assert line(frame, "share", "cc1")["verdict"] == "changed"
    assert line(frame, "share", "cc1")["change"] == pytest.approx(2)
    assert line(frame, "share", "make")["verdict"] == "unchanged"
    # There were no exits of ld before, so no share of them; but 0 of them a second.
    assert line(frame, "share", "ld")["verdict"] == "not comparable"
    assert line(frame, "rate", "ld")["before_value"] == 0
    assert line(frame, "rate", "ld")["verdict"] == "changed"
    assert list(found.by("comm", top=1).loc["share"].index) == ["cc1"]
    assert found.sizes() == {"words": 1, "comm": 3}
    with pytest.raises(TifbpfError, match="not all recordings have cpu; record both sides with --by cpu"):
        found.by("cpu")


def test_the_more_lines_the_wider_their_intervals(tmp_path: Path) -> None:
    one = compare(*pair(tmp_path, *[steady(fast=9_000, sigpending=500)] * 2)).bits()
    two = compare(*pair(tmp_path, *[steady(fast=8_500, sigpending=500, notify_resume=500)] * 2)).bits()
    widths = [
        line(frame, "rate", "tif", "SIGPENDING")["change_high"]
        - line(frame, "rate", "tif", "SIGPENDING")["change_low"]
        for frame in (one, two)
    ]
    assert widths[1] > 1.1 * widths[0]


def test_shares_only_of_what_was_counted(tmp_path: Path) -> None:
    contexts = (
        slow_only(Context.SYSCALL),
        slow_only(Context.INTERRUPT, denominator=None),
        uncovered(Context.EXCEPTION),
    )
    files = []
    for name in ("a", "b"):
        rows = []
        for number in range(60):
            time = START_NS + number * SECOND_NS
            rows += [
                row(2, 100, time=time),
                all_exits(1_000, time=time),
                row(2, 50, context="interrupt", time=time),
            ]
        files.append(
            write(
                tmp_path / f"{name}.tif.parquet",
                rows,
                id=name,
                duration_ns=60 * SECOND_NS,
                contexts=contexts,
            )
        )
    found = compare(*files)
    assert found.contexts == (Context.SYSCALL, Context.INTERRUPT)
    assert found.counted == (Context.SYSCALL,)
    assert line(found.total(), "share")["before_value"] == 0.1
    assert line(found.total(), "rate")["before_value"] == 150
    assert line(found.words(), "share", "interrupt", "SIGPENDING", "0")["verdict"] == "not comparable"
    assert line(found.words(), "rate", "interrupt", "SIGPENDING", "0")["verdict"] == "unchanged"


def test_a_bit_that_the_route_does_not_see_is_not_compared(tmp_path: Path) -> None:
    unseen = (UnseenBit(word=Word.TIF, bit="SIGPENDING"),)
    contexts = (covered(Context.SYSCALL, unseen=unseen), *syscalls_only()[1:])
    counts = lambda _: {0: 900, 0x3: 100}  # noqa: E731 (two bits at once, one of them seen alone)
    found = compare(*pair(tmp_path, counts, counts, contexts=contexts))
    assert line(found.bits(), "rate", "tif", "SIGPENDING")["why"] == "the route does not see it"
    assert line(found.bits(), "rate", "tif", "NOTIFY_RESUME")["verdict"] == "unchanged"
    assert "SIGPENDING" not in {bit.bit for bit in found.idle_bits()}
    assert "UPROBE" in {bit.bit for bit in found.idle_bits()}


def other(context: Context, **given: Any) -> dict[str, Any]:
    return {
        "contexts": tuple(covered(which, **given) if which is context else uncovered(which) for which in ALL)
    }


EFFECT = ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACEPOINT", ours=True, text="ours")


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"contexts": everything()}, "syscall exits: to a few instructions"),
        (
            {"contexts": (*map(covered, ALL[:2]), uncovered(ALL[2]))},
            "interrupt exits: not covered (before), covered (after)",
        ),
        (
            other(Context.SYSCALL, denominator=None, slow_only=True),
            "syscall exits: all exits (before), slow exits only (after)",
        ),
        (other(Context.SYSCALL, denominator=None), "syscall exits: counted (before), not counted (after)"),
        (
            other(Context.SYSCALL, unseen=(UnseenBit(word=Word.TIF, bit="UPROBE"),)),
            "syscall exits: sees every bit (before), does not see UPROBE of tif (after)",
        ),
        (
            other(Context.SYSCALL, blind_cpus=(1, 3)),
            "syscall exits: sees all CPUs (before), blind on CPU 1 and 3 (after)",
        ),
        (other(Context.SYSCALL, perturbs=None), "syscall exits: perturbs (before), does not perturb (after)"),
        ({"filters": {"comm": "a\nb"}}, r"Filters: self excluded (before), comm a\nb (after)"),
        (
            {"observer_effects": (EFFECT,)},
            "Bits set by tracers: none (before), SYSCALL_TRACEPOINT by us (after)",
        ),
        ({"layout": layout_612()}, "Layouts: 6.18 (before), 6.12 (after)"),
    ],
)
def test_what_did_not_see_the_same_is_refused(tmp_path: Path, after: dict[str, Any], said: str) -> None:
    counts = steady(sigpending=900)
    paths = pair(tmp_path, counts, counts, after=after)
    with pytest.raises(NotComparableError) as refused:
        compare(*paths)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code is ExitCode.NOT_COMPARABLE
    found = compare(*paths, anyway=True)
    assert any(difference.forbids for difference in found.differences)


def test_no_context_in_common_is_refused_even_so(tmp_path: Path) -> None:
    paths = pair(
        tmp_path,
        steady(fast=1),
        steady(fast=1),
        before=other(Context.SYSCALL),
        after=other(Context.INTERRUPT) | {"columns": {"context": "interrupt"}},
    )
    with pytest.raises(NotComparableError, match="no context is covered by all recordings"):
        compare(*paths, anyway=True)


def test_kernels_and_hosts_may_differ(tmp_path: Path) -> None:
    counts = steady(fast=9_000, sigpending=1_000)
    after = {"host": Host(name="web2", cpus=4), "kernel": LATER}
    found = compare(*pair(tmp_path, counts, counts, after=after))
    assert [difference.kind for difference in found.differences] == ["host", "kernel"]
    assert line(found.total(), "share")["verdict"] == "unchanged"


def test_the_number_of_a_process_may_differ(tmp_path: Path) -> None:
    counts = steady(fast=9_000, sigpending=1_000)
    sides = ({"filters": {"pid": "17"}}, {"filters": {"pid": "23"}}, {"filters": {}})
    found = compare(*pair(tmp_path, counts, counts, before=sides[0], after=sides[1]))
    (difference,) = found.differences
    assert (difference.kind, difference.forbids) == ("process", False)
    assert difference.text == "Processes: pid 17 (before), pid 23 (after)."
    with pytest.raises(NotComparableError, match=r"Filters: pid of some \(before\), no filter \(after\)"):
        compare(*pair(tmp_path, counts, counts, before=sides[0], after=sides[2]))


def test_a_recording_is_not_compared_with_itself(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.tif.parquet", steady(fast=1))
    with pytest.raises(InputRepeatedError, match="are one recording; compare it with another"):
        compare(path, path)


def test_recordings_of_one_side_must_fit_too(tmp_path: Path) -> None:
    first, second = pair(tmp_path, steady(fast=1), steady(fast=1), after={"filters": {"comm": "a"}})
    third = recorded(tmp_path / "third.tif.parquet", steady(fast=1))
    with pytest.raises(NotComparableError, match=r"self excluded \(before 1, after\), comm a \(before 2\)"):
        compare([first, second], third)


def test_it_is_in_the_python_interface() -> None:
    assert tifbpf.compare is compare
    assert tifbpf.Comparison is Comparison


def test_a_sample_is_compared_as_what_it_stands_for(tmp_path: Path) -> None:
    """One in 100 of the same host: the same rate, with the uncertainty of a sample."""
    whole = recorded(tmp_path / "a.tif.parquet", steady(fast=9_000, sigpending=1_000))
    sample = recorded(
        tmp_path / "b.tif.parquet", steady(fast=90, sigpending=10), sampling=Sampling(one_in=100)
    )
    found = compare(whole, sample)
    rate = line(found.total(), "rate")
    assert (rate["before_value"], rate["after_value"]) == (1_000, 1_000)
    # 600 exits were looked at: a standard error of 4.1 %, where 60,000 have one of 0.4 %.
    assert rate["verdict"] == "too little data"
    assert (rate["after_high"] - rate["after_low"]) == pytest.approx(
        10 * (rate["before_high"] - rate["before_low"]), rel=0.01
    )
    (difference,) = found.differences
    assert (difference.kind, difference.forbids) == ("sampling", False)
    assert "every exit (before), one exit in 100 (after)" in difference.text


def test_more_intervals_than_are_looked_at_one_by_one(tmp_path: Path) -> None:
    """Neighbours are added up; nothing is lost, and an even host stays even."""
    seconds = 3 * MOST
    rows = [
        row(word, count, time=START_NS + second * SECOND_NS)
        for second in range(seconds)
        for word, count in ((0, 90), (0x2, 10))
    ]
    paths = [write(tmp_path / name, rows, duration_ns=seconds * SECOND_NS, id=name) for name in ("a", "b")]
    found = compare(paths[:1], paths[1:])
    before, after = found.intervals
    assert before == after
    # Steps do not begin with the recording, so there is one more.
    assert MOST / 2 <= before <= MOST + 1
    line = found.total().loc["share"]
    assert (line["before_events"], line["before_value"], line["change"]) == (10 * seconds, 0.1, 0)
    assert line["verdict"] == "unchanged"
