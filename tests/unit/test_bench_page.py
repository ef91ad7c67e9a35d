"""Figures of `make bench` as docs/benchmarks.md has them."""

from __future__ import annotations

from tests.bench import page
from tests.bench.harness import Goal, MeasuredSide, Role, Row, row
from tests.bench.machine import Machine
from tests.bench.results import Results

MACHINE = Machine(
    cpu="CPU", cpus=2, memory_gb=4.0, kernel="6.18.44-own", python="3.11.2", tifbpf="0.1.0", versions={}
)
TEXT = f"# Head\n\n{page._BEGIN}\nold\n{page._END}\n\n## Notes\n"


def measured(ours: float, most: float) -> Row:
    sides = [
        MeasuredSide(name="pass", role=Role.FLOOR, command="true", values=[1.0, 1.0]),
        MeasuredSide(name="tifbpf", role=Role.OURS, command="tifbpf", values=[ours, ours]),
        MeasuredSide(name="perf", role=Role.PEER, command="perf", values=[], missing="not installed"),
    ]
    return row("start", "s", sides, Goal(f"at most {most} s", lambda it: it["tifbpf"] <= most))


def run(command: str, **rows: Row) -> Results:
    return Results(
        machine=MACHINE,
        command=command,
        rounds=2,
        titles={"start": "Start", "size": "Size"},
        rows={name: [each] for name, each in rows.items()},
    )


def test_figures_take_the_place_of_the_last_ones() -> None:
    once = page.update(TEXT, [run("one", start=measured(0.5, 0.6))])
    assert page.update(once, [run("one", start=measured(0.5, 0.6))]) == once
    assert once.startswith("# Head\n")
    assert once.endswith("\n\n## Notes\n")
    assert "old" not in once
    assert "Linux 6.18.44;" in once


def test_a_goal_that_is_missed_says_so() -> None:
    found = page.update(TEXT, [run("one", start=measured(0.7, 0.6), size=measured(0.5, 0.6))])
    assert "| at most 0.6 s | start | 0.7 s | **not met** |" in found
    assert "| at most 0.6 s | start | 0.5 s | met |" in found
    assert "missing: not installed" in found


def test_of_several_runs_the_last_that_has_a_bench_counts() -> None:
    runs = [
        run("one", start=measured(0.7, 0.6), size=measured(0.1, 0.6)),
        run("two", start=measured(0.5, 0.6)),
    ]
    found = page.update(TEXT, runs)
    assert "| 0.5 s | met |" in found
    assert "| 0.1 s | met |" in found
    assert "0.7" not in found
    assert "    one\n    two\n" in found
    assert found.index("### Start") < found.index("### Size")
