"""`--fail-on`, judged by recordings with known answers; and refused where silence would mean nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.recordings import (
    all_exits,
    covered,
    everything,
    layout_71,
    loaded,
    row,
    slow_only,
    syscalls_only,
    uncovered,
    write,
)
from tifbpf.cli.app import run
from tifbpf.conditions.judge import Outcome, Verdict
from tifbpf.conditions.parse import parse
from tifbpf.conditions.recorded import judge
from tifbpf.conditions.text import exit_code, lines
from tifbpf.errors import ConditionUnusableError, ExitCode
from tifbpf.layouts.model import Context, Word
from tifbpf.recording.metadata import Losses, ObserverEffect, Sampling, Totals, UnseenBit

DIMENSIONS = ("syscall", "comm", "pid", "cgroup", "cpu")


def call(word: int, count: int, **given: Any) -> dict[str, Any]:
    defaults = {"syscall": 0, "abi": "x86-64", "comm": "a", "pid": 1, "cgroup": "/a", "cpu": 0}
    return row(word, count, **{**defaults, **given})


ROWS = [
    call(0x0, 900),
    call(0x2, 60),
    call(0x2, 30, cpu=1, comm="b c"),
    call(0x12, 6, syscall=62, cpu=1),
    call(0x10, 4, syscall=20, abi="i386", pid=7, cgroup="/a/b"),
]


def judged(path: Path, text: str, rows: Iterable[Mapping[str, Any]] = tuple(ROWS), **given: Any) -> Verdict:
    write(path, rows, **{"dimensions": DIMENSIONS, **given})
    return judge(parse(text), loaded([path]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.tif.parquet"


HERE = "context == syscall and "


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        (HERE + "slow", 100),
        (HERE + "fast", 900),
        (HERE + "path in (slow, fast)", 1_000),
        (HERE + "cpu in 0-1", 100),
        (HERE + "cpu == 1", 36),
        (HERE + "cpu != 1", 64),
        (HERE + "bit == SIGPENDING", 96),
        (HERE + "bit == _TIF_SIGPENDING", 96),
        (HERE + "bit != SIGPENDING", 4),
        (HERE + "bit in NEED_RESCHED, UPROBE", 10),
        (HERE + "bit == SIGPENDING and bit == NEED_RESCHED", 6),
        (HERE + "not (bit == SIGPENDING and bit == NEED_RESCHED)", 94),
        (HERE + "bit == work:SYSCALL_TRACE", 0),
        (HERE + "word == SIGPENDING|NEED_RESCHED", 6),
        (HERE + "word in (0x10, 0x12)", 10),
        (HERE + "syscall_work == 0", 100),
        (HERE + "syscall == kill", 6),
        (HERE + "syscall == i386:20", 4),
        (HERE + "syscall == 20", 0),
        (HERE + "comm == 'b c'", 30),
        (HERE + "comm not in (a, 'b c')", 0),
        (HERE + "pid in 2-9", 4),
        (HERE + "cgroup == /a/b", 4),
        (HERE + "(cpu == 1 or pid == 7) and not comm == a", 30),
        ("syscall in (read, kill)", 96),
    ],
)
def test_what_matches(path: Path, text: str, matched: int) -> None:
    verdict = judged(path, text)
    assert verdict.matched == matched
    assert verdict.outcome is (Outcome.MET if matched else Outcome.NOT_MET)
    assert sum(count for _, count in verdict.classes) == matched


@pytest.mark.parametrize(
    ("text", "outcome", "value"),
    [
        ("count(context == syscall) > 99", Outcome.MET, 100),
        ("count(context == syscall) > 100", Outcome.NOT_MET, 100),
        ("count(context == syscall) >= 100", Outcome.MET, 100),
        ("rate(context == syscall and cpu == 1) > 3.5/s", Outcome.MET, 3.6),
        ("rate(context == syscall and cpu == 1) > 3.6/s", Outcome.NOT_MET, 3.6),
        # Of all exits that could have matched with another word: those on CPU 1, those of the whole host.
        ("share(context == syscall and cpu == 1) > 99 %", Outcome.MET, 1.0),
        ("share(context == syscall and bit == NEED_RESCHED) > 1 %", Outcome.NOT_MET, 0.01),
        ("share(context == syscall and bit == NEED_RESCHED) >= 1 %", Outcome.MET, 0.01),
        ("share(context == syscall and comm == 'b c' and pid == 99) > 0 %", Outcome.NOT_MET, 0),
    ],
)
def test_limits(path: Path, text: str, outcome: Outcome, value: float) -> None:
    verdict = judged(path, text)
    assert (verdict.outcome, verdict.value) == (outcome, pytest.approx(value))


def test_recordings_add_up(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / name, ROWS, dimensions=DIMENSIONS, id=name)
        for name in ("a.tif.parquet", "b.tif.parquet")
    ]
    verdict = judge(parse("rate(context == syscall) > 0/s"), loaded(paths))
    assert (verdict.matched, verdict.seconds, verdict.value) == (200, 20, 10)


@pytest.mark.parametrize(
    ("text", "said", "given"),
    [
        ("slow", "interrupt exits could match, and are not covered", {}),
        ("cpu == 1 and bit == NEED_RESCHED", "interrupt exits could match, and are not covered", {}),
        ("not context == interrupt", "exception exits could match", {}),
        (HERE + "cpu == 2", "at character 24: no such CPU: 2; there are 0-1", {}),
        (HERE + "cpu in 0-7", "no such CPU: 7", {}),
        (HERE + "pid == 3", "pid was not recorded; record with --by pid", {"dimensions": ("cpu",)}),
        (HERE + "bit == RSEQ", "layout 6.18 has no bit 'RSEQ'; in its work masks are NEED_RESCHED", {}),
        (HERE + "bit in (SIGPENDING, POLLING_NRFLAG)", "POLLING_NRFLAG is in no work mask of syscall", {}),
        (HERE + "word == NOPE", "no bit 'NOPE' in the tif word", {}),
        (HERE + "cpu == 1", "no exit that is recorded here can match", {"filters": {"cpu": "0"}}),
        (
            HERE + "syscall == read",
            "no exit that is recorded here can match",
            {"filters": {"syscall": "kill"}},
        ),
        ("context == interrupt and syscall == read", "no exit that is recorded here can match", {}),
        (
            HERE + "bit == SYSCALL_TRACE",
            "whether SYSCALL_TRACE triggered is not known: our own hook sets it",
            {
                "observer_effects": (
                    ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACE", ours=True, text="ours"),
                )
            },
        ),
        (
            HERE + "bit in (UPROBE, SIGPENDING)",
            "syscall exits could match that are slow for nothing but UPROBE, and the tracepoint route",
            {
                "contexts": (
                    covered(Context.SYSCALL, unseen=(UnseenBit(word=Word.TIF, bit="UPROBE"),)),
                    *syscalls_only()[1:],
                )
            },
        ),
        (
            HERE + "path in (fast, slow)",
            "fast syscall exits could match, and the loop route sees slow ones only",
            {"contexts": (slow_only(Context.SYSCALL), *syscalls_only()[1:])},
        ),
        (
            "share(context == syscall) > 1 %",
            "nothing counts all syscall exits, so a share of them is not known",
            {"contexts": (slow_only(Context.SYSCALL, denominator=None), *syscalls_only()[1:])},
        ),
    ],
)
def test_what_could_not_be_seen_is_refused(path: Path, text: str, said: str, given: dict[str, Any]) -> None:
    with pytest.raises(ConditionUnusableError) as refused:
        judged(path, text, (), **given)
    assert said in str(refused.value)
    assert str(refused.value).isprintable()
    assert refused.value.exit_code is ExitCode.CONDITION_UNUSABLE


def test_what_the_route_does_not_see_may_be_left_out(path: Path) -> None:
    contexts = (
        covered(Context.SYSCALL, unseen=(UnseenBit(word=Word.TIF, bit="UPROBE"),)),
        *syscalls_only()[1:],
    )
    assert judged(path, HERE + "bit == SIGPENDING", contexts=contexts).matched == 96
    assert judged(path, HERE + "not bit == UPROBE", contexts=contexts).matched == 100


def test_a_bit_counts_where_its_context_tests_it(path: Path) -> None:
    rows = [row(0x1000, 5, syscall_work=None, context="interrupt")]
    given = {"contexts": everything(), "layout": layout_71(), "dimensions": ()}
    assert judged(path, "bit == HRTIMER_REARM", rows, **given).matched == 5
    with pytest.raises(ConditionUnusableError, match="HRTIMER_REARM is in no work mask of syscall exits"):
        judged(path, HERE + "bit == HRTIMER_REARM", rows, **given)


LOST = Losses(map_full=3)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (HERE + "cpu == 1", Outcome.MET),
        (HERE + "comm == x", Outcome.UNDECIDED),
        ("count(context == syscall and comm == x) > 2", Outcome.UNDECIDED),
        ("count(context == syscall and comm == x) > 3", Outcome.NOT_MET),
        ("share(context == syscall and bit == NEED_RESCHED) >= 1 %", Outcome.UNDECIDED),
        ("share(context == syscall and bit == NEED_RESCHED) > 2 %", Outcome.NOT_MET),
    ],
)
def test_lost_exits_are_no_pass(path: Path, text: str, outcome: Outcome) -> None:
    assert judged(path, text, losses=LOST).outcome is outcome


@pytest.mark.parametrize(
    ("text", "sampling", "not_sampled", "outcome"),
    [
        (HERE + "bit == NEED_RESCHED_LAZY", Sampling(one_in=10), 900, Outcome.UNDECIDED),
        (HERE + "bit == SIGPENDING", Sampling(one_in=10), 900, Outcome.MET),
        # Were all of those that were passed by among them, there would still be fewer.
        (f"count({HERE}bit == SIGPENDING) > 100000", Sampling(one_in=10), 900, Outcome.NOT_MET),
        (HERE + "bit == NEED_RESCHED_LAZY", Sampling(every=10), 0, Outcome.UNDECIDED),
        (HERE + "bit == SIGPENDING", Sampling(every=10), 0, Outcome.MET),
        (f"count({HERE}bit == SIGPENDING) > 100000", Sampling(every=10), 0, Outcome.UNDECIDED),
        (f"share({HERE}bit == SIGPENDING) > 99 %", Sampling(every=10), 0, Outcome.UNDECIDED),
        (HERE + "bit == NEED_RESCHED_LAZY", Sampling(max_overhead=1.0), 0, Outcome.NOT_MET),
    ],
)
def test_a_sample_without_one_is_no_pass(
    path: Path, text: str, sampling: Sampling, not_sampled: int, outcome: Outcome
) -> None:
    recorded = sum(row["count"] for row in ROWS)
    totals = Totals(seen=recorded, recorded=recorded, not_sampled=not_sampled)
    found = judged(path, text, sampling=sampling, totals=totals)
    assert found.outcome is outcome
    said = " ".join(lines(found))
    assert ("of those looked at" in said) == (not sampling.exact)
    assert ("between the windows" in said) == (outcome is Outcome.UNDECIDED and sampling.every > 1)


def test_bits_that_were_gone_are_no_pass(path: Path) -> None:
    """A route that looks after the fact: slow, and nothing set any more."""
    rows = [row(0, 5, path="slow"), row(2, 1), all_exits(100)]
    given = {"contexts": (slow_only(Context.SYSCALL), *syscalls_only()[1:]), "dimensions": ()}
    met = judged(path, HERE + "bit == SIGPENDING", rows, **given)
    assert (met.outcome, met.matched, met.uncertain) == (Outcome.MET, 1, 5)
    unknown = judged(path, HERE + "bit == UPROBE", rows, **given)
    assert (unknown.outcome, unknown.matched, unknown.uncertain) == (Outcome.UNDECIDED, 0, 5)
    assert judged(path, HERE + "word == 0", rows, **given).outcome is Outcome.UNDECIDED
    assert judged(path, HERE + "slow", rows, **given).matched == 6
    share = judged(path, "share(context == syscall) > 5 %", rows, **given)
    assert (share.outcome, share.matched, share.exits, share.value) == (Outcome.MET, 6, 100, 0.06)


def test_a_broken_denominator_decides_nothing(path: Path) -> None:
    rows = [row(2, 50), all_exits(10)]
    given = {"contexts": (slow_only(Context.SYSCALL), *syscalls_only()[1:]), "dimensions": ()}
    assert judged(path, "share(context == syscall) > 5 %", rows, **given).outcome is Outcome.UNDECIDED


def test_what_counts_all_exits_may_have_lost_some(path: Path) -> None:
    rows = [row(2, 5), all_exits(95)]
    contexts = (slow_only(Context.SYSCALL), *syscalls_only()[1:])
    totals = Totals(seen=5, recorded=5, counted=95, uncounted=10)
    given = {"contexts": contexts, "dimensions": (), "totals": totals}
    assert judged(path, "share(context == syscall) > 5 %", rows, **given).outcome is Outcome.UNDECIDED
    assert judged(path, "share(context == syscall) > 4 %", rows, **given).outcome is Outcome.MET


def test_other_contexts_may_be_missing_where_it_says_so(path: Path) -> None:
    contexts = (covered(Context.SYSCALL), uncovered(Context.INTERRUPT), uncovered(Context.EXCEPTION))
    assert judged(path, "syscall == kill and slow", contexts=contexts).matched == 6


def test_the_lines_say_what_matched(path: Path) -> None:
    rows = [call(2, 7, comm="\x1b[31m<b>\n", cpu=1), *(call(2, 1, pid=pid, cpu=1) for pid in range(10, 20))]
    said = list(lines(judged(path, HERE + "cpu == 1 and comm != x and pid != 3", rows)))
    assert said[0] == (
        "--fail-on context == syscall and cpu == 1 and comm != x and pid != 3: met: 17 exits matched in "
        "10.0 s (fails on more than 0)"
    )
    assert said[1] == r"  7: syscall slow, comm \x1b[31m<b>\n, pid 1, cpu 1, SIGPENDING"
    assert said[2:6] == [f"  1: syscall slow, comm a, pid {pid}, cpu 1, SIGPENDING" for pid in range(10, 14)]
    assert said[6:] == ["  and 6 more kinds of exits"]


def test_a_printed_name_can_be_given_back(path: Path) -> None:
    rows = [call(2, 7, comm='\x1b[31m"\\x\n')]
    found = judged(path, HERE + r'comm == "\x1b[31m\"\\x\n"', rows)
    assert found.matched == 7


def test_the_gravest_outcome_is_the_exit_code(path: Path) -> None:
    texts = {
        Outcome.MET: HERE + "slow",
        Outcome.UNDECIDED: HERE + "comm == x",
        Outcome.NOT_MET: "count(context == syscall) > 999",
    }
    found = {outcome: judged(path, text, losses=LOST) for outcome, text in texts.items()}
    assert {outcome: verdict.outcome for outcome, verdict in found.items()} == {name: name for name in texts}
    assert exit_code(found.values()) is ExitCode.CONDITION_MET
    assert exit_code([found[Outcome.UNDECIDED], found[Outcome.NOT_MET]]) is ExitCode.CONDITION_UNDECIDED
    assert exit_code([found[Outcome.NOT_MET]]) is exit_code([]) is ExitCode.OK


def test_the_report_judges_too(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(path, ROWS, dimensions=DIMENSIONS)
    code = run(
        ["report", "--json", str(path), "--fail-on", HERE + "cpu == 1", "--fail-on", "syscall == read"]
    )
    assert code == ExitCode.CONDITION_MET
    printed, said = capsys.readouterr()
    assert printed.startswith("{")
    assert [line.split(":")[1].strip() for line in said.splitlines() if "--fail-on" in line] == [
        "--fail-on context == syscall and cpu == 1",
        "--fail-on syscall == read",
    ]
    assert run(["report", "--json", str(path), "--fail-on", HERE + "comm == x"]) == ExitCode.OK


def test_fail_fast_wants_a_condition(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["record", "--fail-fast"]) == ExitCode.USAGE
    assert "--fail-fast wants a --fail-on" in capsys.readouterr().err
