"""What `tifbpf top` shows of synthetic intervals, and what keys do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tests.unit.flushes import NEED_RESCHED, NOTIFY_RESUME, SIGPENDING, SYSCALL_TRACE, exits, flush
from tests.unit.recordings import covered, everything, slow_only, uncovered
from tifbpf.layouts.model import Context, Word
from tifbpf.live.account import OTHERS, Account, Process, Span, View
from tifbpf.live.keys import HELP, Act, State, decode
from tifbpf.live.lines import COLUMNS, columns
from tifbpf.live.screen import Painter, theme
from tifbpf.recorder.session import Flush
from tifbpf.recording.metadata import Losses, ObserverEffect, Totals, UnseenBit

OURS = ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACE", ours=True, text="")


def turn(found: Account, *flushes: Flush) -> Account:
    """Make `flushes` the last interval."""
    for one in flushes:
        found.add(one)
    found.turn()
    return found


def account() -> Account:
    found = Account()
    turn(found, flush([exits(0, 1000, comm="idle", pid=7), exits(NEED_RESCHED, 10)], seconds=1))
    return turn(
        found,
        flush([exits(0, 160), exits(SIGPENDING, 10, syscall=62)], seconds=0.5),
        flush(
            [
                exits(SIGPENDING, 20, syscall=62),
                exits(SIGPENDING | NEED_RESCHED, 6),
                exits(NOTIFY_RESUME, 4, comm="cc1", pid=101),
            ],
            seconds=1.5,
            totals=Totals(seen=1210, recorded=1209, losses=Losses(map_full=1)),
        ),
    )


def shown(found: Account, state: State = State(), width: int = 80, height: int = 24) -> str:  # noqa: B008
    console = Console(theme=theme(), width=width, no_color=True, file=None, force_terminal=False)
    return "\n".join(line.plain.rstrip() for line in Painter(console).screen(found, state, width, height))


def test_bits_at_80_columns() -> None:
    assert shown(account()) == (
        "tifbpf top, web1, Linux 6.18.44-amd64, 10.0 s, every 2 s\n"
        "100 exits/s, 20.0 slow/s, 20.0 % slow\n"
        "syscall: tracepoint, to a few instructions; not covered: interrupt, exception\n"
        "1 of 1,210 lost\n"
        "1 Bits  2 Words  3 Processes  4 System calls  h help  q quit\n"
        "bit                            slow/s   of slow     sole/s    total\n"
        "SIGPENDING                       18.0    90.0 %       15.0       36 ██████████▊\n"
        "NEED_RESCHED                     3.00    15.0 %          0       16 █▊\n"
        "NOTIFY_RESUME                    2.00    10.0 %       2.00        4 █▎\n"
        "NEED_RESCHED_LAZY                   0       0 %          0        0\n"
        "NOTIFY_SIGNAL                       0       0 %          0        0\n"
        "PATCH_PENDING                       0       0 %          0        0\n"
        "UPROBE                              0       0 %          0        0\n"
        "work:SYSCALL_TRACE                  0       0 %          0        0"
    )


def test_bits_at_40_columns() -> None:
    assert shown(account(), width=40, height=14) == (
        "tifbpf top, web1, Linux 6.18.44-amd64,\n"
        "10.0 s, every 2 s\n"
        "100 exits/s, 20.0 slow/s, 20.0 % slow\n"
        "syscall: tracepoint, to a few\n"
        "instructions; not covered: interrupt,\n"
        "exception\n"
        "1 of 1,210 lost\n"
        "1 Bits  2 Words  3 Proce  4 Syste  h q\n"
        "bit                    slow/s   of slow\n"
        "SIGPENDING               18.0    90.0 %\n"
        "NEED_RESCHED             3.00    15.0 %\n"
        "NOTIFY_RESUME            2.00    10.0 %\n"
        "NEED_RESCHED_LAZY           0       0 %\n"
        "NOTIFY_SIGNAL               0       0 %"
    )


def lines_of(found: Account, state: State, width: int = 80) -> list[str]:
    """Return the lines below the header."""
    lines = shown(found, state, width, 100).splitlines()
    return lines[next(place for place, line in enumerate(lines) if line.startswith("1 Bits")) + 2 :]


def test_the_other_views() -> None:
    assert lines_of(account(), State(view=View.WORDS)) == [
        "syscall         15.0    75.0 %       30 SIGPENDING",
        "syscall         3.00    15.0 %        6 SIGPENDING | NEED_RESCHED",
        "syscall         2.00    10.0 %        4 NOTIFY_RESUME",
    ]
    assert lines_of(account(), State(view=View.PROCESSES)) == [
        "    100 make                  98.0       18.0    18.4 %    90.0 % SIGPENDING",
        "    101 cc1                   2.00       2.00     100 %    10.0 % NOTIFY_RESUME",
    ]
    assert lines_of(account(), State(view=View.SYSCALLS)) == [
        "kill                     15.0       15.0     100 %    75.0 % SIGPENDING",
        "getpid                   85.0       5.00    5.88 %    25.0 % NEED_RESCHED",
    ]


def test_since_the_start() -> None:
    assert lines_of(account(), State(view=View.PROCESSES, since_start=True)) == [
        "    100 make                  68.7       15.3    22.3 %    92.0 % SIGPENDING",
        "    101 cc1                   1.33       1.33     100 %    8.00 % NOTIFY_RESUME",
        "      7 idle                   333          0       0 %       0 %",
    ]


def test_sorting() -> None:
    def names(**given: object) -> list[str]:
        state = replace(State(view=View.PROCESSES, since_start=True), **given)  # type: ignore[arg-type]
        return [line.split()[1] for line in lines_of(account(), state)]

    assert names() == ["make", "cc1", "idle"]
    assert names(reverse=True) == ["idle", "cc1", "make"]
    assert names(sort="exits") == ["idle", "make", "cc1"]
    assert names(sort="name") == ["cc1", "idle", "make"]
    assert names(sort="pid") == ["cc1", "make", "idle"]
    assert names(sort="share") == ["cc1", "make", "idle"]
    # The view has no such column: slow exits a second.
    assert names(sort="sole") == ["make", "cc1", "idle"]


def test_processes_of_one_name() -> None:
    found = Account()
    turn(found, flush([exits(SIGPENDING, 2, pid=pid) for pid in (1, 2, 3)]))
    assert len(lines_of(found, State(view=View.PROCESSES))) == 3
    (line,) = lines_of(found, State(view=View.PROCESSES, by_name=True))
    assert line.split()[:3] == ["make", "6.00", "6.00"]


def test_what_is_not_known_is_not_zero() -> None:
    contexts = (
        slow_only(
            Context.SYSCALL,
            denominator=None,
            unseen=(UnseenBit(word=Word.TIF, bit="UPROBE"),),
            blind_cpus=(3,),
        ),
        uncovered(Context.INTERRUPT),
        uncovered(Context.EXCEPTION),
    )
    found = Account()
    turn(found, flush([exits(SIGPENDING, 5), exits(0, 1)], contexts=contexts, observer_effects=(OURS,)))
    screen = shown(found)
    assert "unknown exits/s, 6.00 slow/s, unknown slow" in screen
    assert "syscall: loop, to a few instructions, slow exits only; not covered" in screen
    assert "SYSCALL_TRACE set by our own hook, taken out" in screen
    assert "syscall: does not see any exit on CPU 3 since it went offline or came online" in screen
    bits = {line.split()[0]: line.split()[1] for line in lines_of(found, State())}
    assert bits["UPROBE"] == bits["work:SYSCALL_TRACE"] == "unknown"
    assert bits["SIGPENDING"] == "5.00"
    assert bits["NOTIFY_RESUME"] == "0"
    assert any(line.startswith("(gone when looked at)") for line in lines_of(found, State()))
    (line,) = lines_of(found, State(view=View.PROCESSES))
    assert line.split()[:5] == ["100", "make", "unknown", "6.00", "unknown"]


def test_all_exits_may_be_counted_apart() -> None:
    contexts = (slow_only(Context.SYSCALL), uncovered(Context.INTERRUPT), uncovered(Context.EXCEPTION))
    found = Account()
    turn(found, flush([exits(SIGPENDING, 5), exits(None, 50)], contexts=contexts))
    assert "50.0 exits/s, 5.00 slow/s, 10.0 % slow" in shown(found)


def test_exits_of_other_contexts_have_no_system_call() -> None:
    found = Account()
    turn(found, flush([exits(NEED_RESCHED, 1, context="interrupt"), exits(0, 9)], contexts=everything()))
    lines = lines_of(found, State(view=View.SYSCALLS))
    assert [line.split()[0] for line in lines] == ["(interrupt)", "getpid"]
    assert "interrupt: prepare, exact" in shown(found)


def test_a_tracer_of_somebody_elses_is_told() -> None:
    found = Account()
    theirs = ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACE", ours=False, text="")
    rows = [exits(0, 3, syscall_work=SYSCALL_TRACE)]
    turn(found, flush(rows, observer_effects=(theirs,), contexts=(covered(Context.SYSCALL),)))
    assert "SYSCALL_TRACE set by another tracer, counts" in shown(found)
    assert lines_of(found, State())[0].split()[:2] == ["work:SYSCALL_TRACE", "3.00"]


def test_hostile_names_are_escaped_and_keep_to_their_column() -> None:
    found = Account()
    names = ["\x1b[2J", "a\nb", "\u202eabc", "名" * 15, "=cmd()", "[bold]x"]
    turn(found, flush([exits(SIGPENDING, 1, comm=name, pid=pid) for pid, name in enumerate(names)]))
    screen = shown(found, State(view=View.PROCESSES))
    assert r"\x1b[2J" in screen
    assert r"a\nb" in screen
    assert "[bold]x" in screen
    assert screen.replace("\n", "").isprintable()
    assert all(cell_len(line) <= 80 for line in screen.splitlines())


def test_wide_enough_for_every_column_at_every_width() -> None:
    for view in COLUMNS:
        for width in range(40, 200):
            chosen = columns(view, width)
            assert sum(column.width for column in chosen) + len(chosen) - 1 <= width, (view, width)
            assert {"slow", "name"} <= {column.key for column in chosen}


@given(
    st.integers(1, 200),
    st.integers(1, 60),
    st.sampled_from(list(View)),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "", "12"]),
    st.integers(0, 100),
)
def test_no_line_is_wider_than_the_terminal(
    width: int, height: int, view: View, since: bool, help_: bool, entered: str | None, first: int
) -> None:
    state = State(view=view, since_start=since, help=help_, entered=entered, first=first)
    for found in (account(), Account()):
        lines = shown(found, state, width, height).splitlines()
        assert len(lines) <= height
        assert all(cell_len(line) <= width for line in lines)


def test_scrolling_ends_with_the_last_line() -> None:
    found = Account()
    turn(found, flush([exits(SIGPENDING, 100 - pid, pid=pid) for pid in range(1, 100)]))
    screen = shown(found, State(view=View.PROCESSES, first=10**9), height=12)
    assert screen.splitlines()[-1].split()[0] == "99"
    screen = shown(found, State(view=View.PROCESSES, first=3), height=12)
    assert screen.splitlines()[6].split()[0] == "4"


def test_processes_since_the_start_are_bounded_and_none_is_lost() -> None:
    span = Span()
    for pid in range(1000):
        span.lines[View.PROCESSES][Process(pid, "x")].slow = pid
    span.bound(400)
    lines = span.lines[View.PROCESSES]
    assert len(lines) == 401
    assert sum(line.slow for line in lines.values()) == sum(range(1000))
    assert lines[OTHERS].slow == sum(range(600))


def press(keys: str, state: State = State(), width: int = 80) -> tuple[State, Act | None]:  # noqa: B008
    act = None
    for key in decode(keys.encode()):
        state, act = state.press(key, width)
    return state, act


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("2", State(view=View.WORDS)),
        ("p", State(view=View.PROCESSES)),
        ("y", State(view=View.SYSCALLS)),
        ("yb", State()),
        ("\t\t", State(view=View.PROCESSES)),
        ("T", State(sort="total")),
        ("E", State()),
        ("pN", State(view=View.PROCESSES, sort="pid")),
        ("N", State(sort="name")),
        (">", State(sort="of_slow")),
        ("<", State(sort="name")),
        ("<<<<", State(sort="name")),
        ("\x1b[C\x1b[C", State(sort="sole")),
        ("r", State(reverse=True)),
        ("rP", State()),
        ("t", State(since_start=True)),
        ("g", State(by_name=True)),
        ("z", State(paused=True)),
        ("ZZ", State()),
        ("\x1b[B\x1b[B\x1b[A", State(first=1)),
        ("\x1b[A", State()),
        ("\x1b[6~", State(first=10)),
        ("\x1b[6~\x1b[H", State()),
        ("h", State(help=True)),
        ("?x", State()),
        ("d", State(entered="")),
        ("d0.5\r", State(delay_s=0.5)),
        ("s10\x7f\r", State(delay_s=1.0)),
        ("s7\x1b", State()),
        ("s\r", State()),
        ("s...\r", State()),
        ("s0\r", State(delay_s=0.1)),
        ("dq1x\r", State(delay_s=1.0)),
        ("\x1b[99;1Zk\x00\xff", State()),
    ],
)
def test_keys(keys: str, expected: State) -> None:
    assert press(keys) == (expected, None)


def test_keys_that_act() -> None:
    assert press("q")[1] is Act.QUIT
    assert press("hq")[1] is Act.QUIT
    assert press(" ")[1] is Act.READ


def test_the_help_has_every_key() -> None:
    told = {key for keys, _ in HELP for key in keys.split()}
    for key in "1b2w3p4ygPESTN<>rRtdszZh?q":
        assert key in told
    screen = shown(account(), State(help=True))
    assert len(screen.splitlines()) == 1 + len(HELP) <= 24


def test_a_frozen_account_does_not_move() -> None:
    found = account()
    frozen = found.frozen()
    before = shown(frozen, State(since_start=True))
    turn(found, flush([exits(SIGPENDING, 1000)]))
    assert shown(frozen, State(since_start=True)) == before
    assert shown(found, State(since_start=True)) != before


@pytest.mark.parametrize("module", ["tifbpf.live.top", "tifbpf.metrics.export"])
def test_what_stays_resident_imports_neither_pandas_nor_arrow(module: str) -> None:
    heavy = {"pandas", "pyarrow", "numpy", "jinja2", "typer"}
    script = f"import sys, {module}; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
