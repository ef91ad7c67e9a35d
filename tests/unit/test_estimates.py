"""Estimates and their intervals, where the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tifbpf
from tests.unit import recordings as build
from tests.unit.simulated import host, recorded
from tifbpf.analysis.recordings import Recordings
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Sampling, Step

SIGPENDING = 0x2
SECOND = build.SECOND_NS
ROUNDS = 40
ENOUGH = 33
"""Fewer of 40 come once in 1,400 times, where the truth is in 95 % of all intervals."""


@pytest.mark.parametrize(
    ("sampling", "intervals", "share", "bursts"),
    [
        (Sampling(one_in=10), 5, 0.02, False),
        (Sampling(one_in=100), 10, 0.005, True),
        (Sampling(every=10), 30, 0.02, False),
        (Sampling(every=4), 30, 0.02, True),
        (Sampling(one_in=5, every=5), 40, 0.02, True),
    ],
)
def test_the_truth_lies_in_the_interval(
    sampling: Sampling, intervals: int, share: float, bursts: bool
) -> None:
    generator = np.random.default_rng(7)
    shares = rates = 0
    for _ in range(ROUNDS):
        truth = host(generator, intervals, 5000, share, bursts=bursts)
        found = Recordings(build.verified([recorded(generator, truth, sampling)])).estimates("all").iloc[0]
        shares += found["share_low"] <= truth.share <= found["share_high"]
        rates += found["slow_per_second_low"] <= truth.rate <= found["slow_per_second_high"]
    assert shares >= ENOUGH
    assert rates >= ENOUGH


def test_what_windows_with_different_weights_estimate_is_unbiased() -> None:
    """Less of the time is recorded while a host is busy: unweighted, quiet times would count too much."""
    generator = np.random.default_rng(3)
    errors = []
    for _ in range(40):
        quiet, busy = host(generator, 10, 1000, 0.01), host(generator, 10, 50_000, 0.10)
        parts = [
            recorded(generator, truth, Sampling(every=every)) for truth, every in ((quiet, 1), (busy, 5))
        ]
        slow = quiet.slow.sum() + busy.slow.sum()
        share = slow / (slow + quiet.fast.sum() + busy.fast.sum())
        errors.append(Recordings(build.verified(parts)).frequency().loc["syscall", "share"] / share - 1)
    assert abs(np.mean(errors)) < 0.01


def write(path: Path, sampling: Sampling, *rows: dict[str, object], **given: object) -> Recordings:
    return tifbpf.read(build.write(path, rows, sampling=sampling, **given))


def at(second: int, word: int, count: int, **given: object) -> dict[str, object]:
    return build.row(word, count, time=build.START_NS + second * SECOND, **given)


def test_a_sample_of_independent_exits_has_wilsons_interval(tmp_path: Path) -> None:
    """10 slow of 100 looked at, one in 1,000,000: textbooks say 5.52 to 17.44 %."""
    found = write(tmp_path / "a.tif.parquet", Sampling(one_in=1_000_000), at(0, SIGPENDING, 10), at(0, 0, 90))
    line = found.estimates().loc["syscall"]
    assert line["share_low"] == pytest.approx(0.0552, abs=2e-4)
    assert line["share_high"] == pytest.approx(0.1744, abs=2e-4)


def test_the_more_is_looked_at_the_less_is_uncertain(tmp_path: Path) -> None:
    widths = []
    for one_in in (1, 2, 10, 1000):
        found = write(
            tmp_path / f"{one_in}.tif.parquet", Sampling(one_in=one_in), at(0, SIGPENDING, 10), at(0, 0, 90)
        )
        line = found.estimates().loc["syscall"]
        widths.append(0.0 if one_in == 1 else line["share_high"] - line["share_low"])
    assert widths == sorted(widths)
    # Half of all of them looked at: the variance of the others alone.
    assert widths[1] == pytest.approx(widths[3] * 0.5**0.5, rel=0.03)


def test_where_every_exit_was_looked_at_there_is_nothing_to_estimate(tmp_path: Path) -> None:
    found = tifbpf.read(build.write(tmp_path / "a.tif.parquet", [at(0, SIGPENDING, 10), at(0, 0, 90)]))
    assert not found.estimated
    assert found.estimates().isna().all(axis=None)
    assert found.estimates("bit").isna().all(axis=None)


def test_none_in_a_sample_may_be_some(tmp_path: Path) -> None:
    found = write(tmp_path / "a.tif.parquet", Sampling(one_in=10), at(0, 0, 1000), duration_ns=SECOND)
    line = found.estimates().loc["syscall"]
    assert line["share_low"] == 0
    # None of 1,000, of which the sample is a tenth: 3.84 / 1.004 in 1,000, less a tenth.
    assert line["share_high"] == pytest.approx(3.84 * 0.9 / 1000, rel=0.02)
    assert line["slow_per_second_low"] == 0
    assert line["slow_per_second_high"] == pytest.approx(3.84 * 9, rel=0.01)


def test_all_in_a_sample_may_not_be_all(tmp_path: Path) -> None:
    found = write(tmp_path / "a.tif.parquet", Sampling(one_in=10), at(0, SIGPENDING, 1000))
    line = found.estimates().loc["syscall"]
    assert (line["share_low"] < 1, line["share_high"]) == (True, 1.0)


def test_one_window_tells_nothing_of_others(tmp_path: Path) -> None:
    found = write(tmp_path / "a.tif.parquet", Sampling(every=10), at(0, SIGPENDING, 10), duration_ns=SECOND)
    assert found.estimates().isna().all(axis=None)


def test_windows_without_an_exit_are_windows(tmp_path: Path) -> None:
    """Slow exits in one window of ten: all of the time might have been like the others."""
    rows = [at(0, SIGPENDING, 50, interval_ns=SECOND // 10), at(9, 0, 1, interval_ns=SECOND // 10)]
    found = write(tmp_path / "a.tif.parquet", Sampling(every=10), *rows, duration_ns=10 * SECOND)
    line = found.estimates("all").iloc[0]
    assert line["slow_per_second_low"] < 10
    assert line["slow_per_second_high"] > 100


def test_the_time_that_was_recorded_whole_is_certain(tmp_path: Path) -> None:
    """--max-overhead that stepped down at the end: what came before is no estimate."""
    step = Step(at_ns=2 * SECOND, every=2, cost=3.0)
    rows = [at(0, SIGPENDING, 500), at(1, 0, 500)]
    rows += [at(second, 0, 1, every=2, interval_ns=SECOND // 2) for second in (2, 3, 4)]
    found = write(
        tmp_path / "a.tif.parquet", Sampling(max_overhead=1.0, steps=(step,)), *rows, duration_ns=5 * SECOND
    )
    line = found.estimates().loc["syscall"]
    assert line["share_low"] == pytest.approx(500 / 1006, rel=0.02)
    assert line["share_high"] == pytest.approx(500 / 1006, rel=0.02)


def test_each_value_of_a_dimension_has_its_own(tmp_path: Path) -> None:
    rows = [at(0, SIGPENDING, 10, comm="a"), at(0, 0, 90, comm="a"), at(0, 0, 10, comm="b")]
    found = write(tmp_path / "a.tif.parquet", Sampling(one_in=10), *rows, dimensions=("comm",))
    lines = found.estimates("comm")
    assert list(lines.index) == ["a", "b"]
    assert lines.loc["a", "share_low"] > 0
    assert lines.loc["b", "share_low"] == 0
    assert lines.loc["b", "share_high"] > lines.loc["a", "share_high"]


def test_exits_without_a_value_have_one_too(tmp_path: Path) -> None:
    contexts = (
        build.covered(Context.SYSCALL),
        build.covered(Context.INTERRUPT),
        build.uncovered(Context.EXCEPTION),
    )
    rows = [
        at(0, SIGPENDING, 10, syscall=39, abi="x86-64"),
        at(0, 0, 90, context="interrupt"),
        at(1, SIGPENDING, 90, context="interrupt"),
    ]
    for sampling in (Sampling(one_in=10), Sampling(every=10)):
        found = write(tmp_path / "a.tif.parquet", sampling, *rows, dimensions=("syscall",), contexts=contexts)
        lines = found.estimates("syscall")
        assert len(lines) == 2
        nameless = lines[lines.index.isna()].iloc[0]
        assert nameless["share_low"] < 0.5 < nameless["share_high"]


def test_bits_have_an_interval_of_the_slow_exits(tmp_path: Path) -> None:
    rows = [at(0, 0x2, 30), at(0, 0x1, 60), at(1, 0x3, 10), at(1, 0, 1000)]
    found = write(tmp_path / "a.tif.parquet", Sampling(one_in=1_000_000), *rows)
    lines = found.estimates("bit")
    signals = lines.loc[("tif", "SIGPENDING")]
    assert signals["share_of_slow_low"] == pytest.approx(0.3094, abs=1e-3)
    assert signals["share_of_slow_high"] == pytest.approx(0.4979, abs=1e-3)
    assert set(lines.index) == {("tif", "SIGPENDING"), ("tif", "NOTIFY_RESUME")}


def test_a_count_of_all_exits_beside_the_slow_ones_is_a_sample_of_its_own(tmp_path: Path) -> None:
    contexts = (
        build.slow_only(Context.SYSCALL),
        build.uncovered(Context.INTERRUPT),
        build.uncovered(Context.EXCEPTION),
    )
    rows = [at(0, SIGPENDING, 400), build.all_exits(1000, time=build.START_NS)]
    found = write(tmp_path / "a.tif.parquet", Sampling(one_in=1_000_000), *rows, contexts=contexts)
    line = found.estimates().loc["syscall"]
    # The relative variance is 1/400 + 1/1000; were the 400 among the 1,000, it would be 1/400 - 1/1000.
    width = (line["share_high"] - line["share_low"]) / 2 / 0.4
    assert width == pytest.approx(1.96 * (1 / 400 + 1 / 1000) ** 0.5, rel=0.02)
