"""Exits from interrupts and exceptions, which sys_exit does not see.

What the kernel did is counted instead: signals delivered, page faults, the word that a timer interrupt leaves
when its handlers are done, reschedules asked for.
"""

from __future__ import annotations

import pytest

from tests.live.exit_counter import ExitCounter, Seen
from tests.live.running_layout import bit, is_set
from tifbpf import exercises

pytest_plugins = ["tests.live.exercise_fixtures"]
pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

# arch/x86/include/asm/trap_pf.h: X86_PF_PROT | X86_PF_USER without X86_PF_WRITE; X86_PF_USER alone where the
# page was never there.
_READ_FROM_USER_MODE = (4, 5)
_SIGALRM, _SIGVTALRM, _SIGSEGV = 14, 26, 11


def observe(exit_counter: ExitCounter, kind: str, n: int, *, control: bool = False) -> Seen:
    with exit_counter.counting():
        exercises.run_in_children(kind, n, control=control, started=exit_counter.watch)
    seen = exit_counter.seen()
    assert seen.lost == 0
    return seen


def timers_with(seen: Seen, name: str) -> int:
    return sum(count for timer, count in seen.timers.items() if is_set(name, timer.flags, timer.syscall_work))


@pytest.mark.parametrize("n", [1, 1000, 20_000])
def test_page_faults_that_end_in_a_signal(exit_counter: ExitCounter, n: int) -> None:
    seen = observe(exit_counter, "page-fault-signal", n)
    assert seen.signals[_SIGSEGV] == n
    # Beside those of the interpreter, whose number is not known.
    assert sum(seen.faults[code] for code in _READ_FROM_USER_MODE) >= n


def test_reads_that_are_allowed_deliver_nothing(exit_counter: ExitCounter) -> None:
    assert observe(exit_counter, "page-fault-signal", 1000, control=True).signals == {}


@pytest.mark.parametrize("n", [1, 500])
def test_timers_that_fire_in_user_mode(exit_counter: ExitCounter, n: int) -> None:
    seen = observe(exit_counter, "timer-signal", n)
    assert seen.signals[_SIGALRM] >= n
    # The signal may be made pending by another processor's timer and arrive by another interrupt.
    assert timers_with(seen, "SIGPENDING") >= 0.9 * n


def test_timers_whose_signal_is_ignored(exit_counter: ExitCounter) -> None:
    seen = observe(exit_counter, "timer-signal", 100, control=True)
    assert seen.signals == {}
    assert timers_with(seen, "SIGPENDING") == 0


@pytest.mark.requires("btf")
def test_cpu_timers(exit_counter: ExitCounter) -> None:
    (expectation,) = exercises.get("cpu-timer").expectations(20)
    assert expectation.bit is not None
    seen = observe(exit_counter, "cpu-timer", 20)
    assert seen.signals[_SIGVTALRM] == 20
    assert timers_with(seen, expectation.bit) >= 20


@pytest.mark.requires("root", "two_cpus")
@pytest.mark.usefixtures("real_time")
def test_preemptions_in_user_mode(exit_counter: ExitCounter) -> None:
    seen = observe(exit_counter, "resched", 500)
    assert timers_with(seen, "NEED_RESCHED") >= 500
    if seen.reschedules is not None:
        assert seen.reschedules[bit("NEED_RESCHED").number] >= 500


@pytest.mark.requires("root", "two_cpus")
@pytest.mark.usefixtures("real_time")
def test_no_preemption_by_a_process_on_another_cpu(exit_counter: ExitCounter) -> None:
    # The same 500 changes seen, and only what else runs on this CPU.
    assert timers_with(observe(exit_counter, "resched", 500, control=True), "NEED_RESCHED") < 250


def test_turns_of_two_fair_processes(exit_counter: ExitCounter) -> None:
    (expectation,) = exercises.get("resched-fair").expectations(20)
    assert expectation.bit is not None
    seen = observe(exit_counter, "resched-fair", 20)
    # The tick ends a turn; now and then a reschedule interrupt does.
    assert timers_with(seen, expectation.bit) >= 15
    if seen.reschedules is not None:
        assert seen.reschedules[bit(expectation.bit).number] >= 15


@pytest.mark.requires("uprobe")
@pytest.mark.parametrize("n", [1, 1000])
def test_uprobes_hit_as_often_as_perf_counts(exit_counter: ExitCounter, n: int) -> None:
    # run() compares perf's count itself, and fails if it differs; nothing here sees an exit from int3.
    assert observe(exit_counter, "uprobe", n).signals == {}
