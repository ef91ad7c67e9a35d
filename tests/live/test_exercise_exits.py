"""Each exercise against a counter of the tests' own: N of N exits have the bit, and none of its control's."""

from __future__ import annotations

import pytest
from system_calls import syscalls

from tests.live.exit_counter import ExitCounter, Seen
from tests.live.running_layout import bit, is_set
from tifbpf import exercises

pytest_plugins = ["tests.live.exercise_fixtures"]
pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

# Name, its bit, the system call at whose exit it is seen.
AT_SYSCALLS = [
    ("signal", "SIGPENDING", "kill"),
    ("task-work", "NOTIFY_RESUME", "dup2"),
    pytest.param("notify-signal", "NOTIFY_SIGNAL", "write", marks=pytest.mark.requires("io_uring")),
    ("ptrace", "SYSCALL_TRACE", "getppid"),
    ("single-step", "SINGLESTEP", "getppid"),
    ("single-step", "SYSCALL_EXIT_TRAP", "getppid"),
    ("seccomp", "SECCOMP", "getppid"),
    ("user-dispatch", "SYSCALL_USER_DISPATCH", "getppid"),
]

_NUMBERS = syscalls()


def observe(
    exit_counter: ExitCounter, kind: str, n: int, processes: int = 1, *, control: bool = False
) -> Seen:
    with exit_counter.counting():
        exercises.run_in_children(kind, n, processes, control, started=exit_counter.watch)
    seen = exit_counter.seen()
    assert seen.lost == 0
    return seen


def exits_with(seen: Seen, syscall: str, name: str) -> int:
    number = _NUMBERS.get(syscall, "x86_64")
    return sum(
        count
        for exit_, count in seen.exits.items()
        if exit_.nr == number and not exit_.compat and is_set(name, exit_.flags, exit_.syscall_work)
    )


def exits_of(seen: Seen, syscall: str, *, i386: bool = False) -> int:
    number = _NUMBERS.get(syscall, "i386" if i386 else "x86_64")
    return sum(count for exit_, count in seen.exits.items() if (exit_.nr, exit_.compat) == (number, i386))


@pytest.mark.parametrize("n", [1, 1000])
@pytest.mark.parametrize(("kind", "name", "syscall"), AT_SYSCALLS)
def test_n_of_n_exits_have_the_bit(
    exit_counter: ExitCounter, kind: str, name: str, syscall: str, n: int
) -> None:
    assert exits_with(observe(exit_counter, kind, n), syscall, name) == n


@pytest.mark.parametrize(("kind", "name", "syscall"), AT_SYSCALLS)
def test_the_control_makes_the_calls_and_not_the_bit(
    exit_counter: ExitCounter, kind: str, name: str, syscall: str
) -> None:
    seen = observe(exit_counter, kind, 1000, control=True)
    # A thousand and what the interpreter needed.
    assert 1000 <= exits_of(seen, syscall) <= 1010
    # A tick inside a call may set NOTIFY_RESUME (concurrency ids, every 100 ms), and none of the others.
    assert exits_with(seen, syscall, name) <= (1 if name == "NOTIFY_RESUME" else 0)


def test_a_hundred_thousand_signals(exit_counter: ExitCounter) -> None:
    seen = observe(exit_counter, "signal", 100_000)
    assert exits_with(seen, "kill", "SIGPENDING") == 100_000
    assert sum(seen.signals.values()) == 100_000


@pytest.mark.parametrize(("kind", "name", "syscall"), AT_SYSCALLS)
def test_eight_processes_at_once(exit_counter: ExitCounter, kind: str, name: str, syscall: str) -> None:
    assert exits_with(observe(exit_counter, kind, 500, processes=8), syscall, name) == 4000


def test_fast_calls_are_counted_exactly_and_are_fast(exit_counter: ExitCounter) -> None:
    seen = observe(exit_counter, "syscall", 1000)
    assert exits_of(seen, "getppid") == 1000
    for name in ("SIGPENDING", "NOTIFY_SIGNAL", "SYSCALL_TRACE", "SYSCALL_EXIT_TRAP", "SECCOMP"):
        assert exits_with(seen, "getppid", name) == 0


@pytest.mark.requires("two_cpus", "btf")
@pytest.mark.parametrize(("n", "processes"), [(1, 1), (1000, 1), (101, 8)])
def test_migrations(exit_counter: ExitCounter, n: int, processes: int) -> None:
    (expectation,) = exercises.get("rseq-migration").expectations(n)
    assert expectation.bit is not None
    seen = observe(exit_counter, "rseq-migration", n, processes)
    assert exits_of(seen, "sched_setaffinity") == n * processes
    assert exits_with(seen, "sched_setaffinity", expectation.bit) == n * processes


@pytest.mark.requires("two_cpus", "btf")
def test_calls_that_move_nobody(exit_counter: ExitCounter) -> None:
    (expectation,) = exercises.get("rseq-migration").expectations(1)
    assert expectation.bit is not None
    seen = observe(exit_counter, "rseq-migration", 1000, control=True)
    assert exits_of(seen, "sched_setaffinity") == 1000
    # The machine has other reasons to preempt it, though not in every call.
    assert exits_with(seen, "sched_setaffinity", expectation.bit) < 100


@pytest.mark.requires("int80")
def test_calls_by_the_32_bit_entry(exit_counter: ExitCounter) -> None:
    seen = observe(exit_counter, "int80", 1000)
    assert exits_of(seen, "getpid", i386=True) == 1000
    # The same number, 20, means writev in the other table.
    assert exits_of(seen, "writev") == 0


@pytest.mark.requires("root")
@pytest.mark.usefixtures("real_time")
def test_wake_ups_ask_for_a_reschedule(exit_counter: ExitCounter) -> None:
    (expectation,) = exercises.get("resched-wakeup").expectations(1000)
    seen = observe(exit_counter, "resched-wakeup", 1000)
    at_exit = exits_with(seen, "write", "NEED_RESCHED")
    assert at_exit == 1000 if expectation.exact else at_exit >= expectation.count
    if seen.reschedules is not None:
        assert seen.reschedules[bit("NEED_RESCHED").number] >= 1000


@pytest.mark.requires("root")
@pytest.mark.usefixtures("real_time")
def test_writes_that_wake_nobody(exit_counter: ExitCounter) -> None:
    seen = observe(exit_counter, "resched-wakeup", 1000, control=True)
    # The scheduler has its own reasons, though not many in a millisecond.
    assert exits_with(seen, "write", "NEED_RESCHED") < 50
