from __future__ import annotations

import os

import pytest

from tifbpf import exercises
from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises import Expectation
from tifbpf.exercises.preemption import chosen, configured
from tifbpf.layouts.model import Context


def syscall_exits(bit: str | None, syscall: str, count: int) -> Expectation:
    return Expectation(context=Context.SYSCALL, bit=bit, syscall=syscall, count=count, exact=True)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("syscall", [syscall_exits(None, "getppid", 7)]),
        ("signal", [syscall_exits("SIGPENDING", "kill", 7)]),
        ("task-work", [syscall_exits("NOTIFY_RESUME", "dup2", 7)]),
        ("notify-signal", [syscall_exits("NOTIFY_SIGNAL", "write", 7)]),
        ("ptrace", [syscall_exits("SYSCALL_TRACE", "getppid", 7)]),
        (
            "single-step",
            [syscall_exits("SINGLESTEP", "getppid", 7), syscall_exits("SYSCALL_EXIT_TRAP", "getppid", 7)],
        ),
        ("seccomp", [syscall_exits("SECCOMP", "getppid", 7)]),
        ("user-dispatch", [syscall_exits("SYSCALL_USER_DISPATCH", "getppid", 7)]),
        (
            "int80",
            [
                Expectation(
                    context=Context.SYSCALL, bit=None, syscall="getpid", abi="i386", count=7, exact=True
                )
            ],
        ),
        (
            "resched",
            [Expectation(context=Context.INTERRUPT, bit="NEED_RESCHED", syscall=None, count=7, exact=False)],
        ),
        (
            "timer-signal",
            [Expectation(context=Context.INTERRUPT, bit="SIGPENDING", syscall=None, count=7, exact=False)],
        ),
        (
            "page-fault-signal",
            [Expectation(context=Context.EXCEPTION, bit="SIGPENDING", syscall=None, count=7, exact=True)],
        ),
        (
            "uprobe",
            [Expectation(context=Context.EXCEPTION, bit="UPROBE", syscall=None, count=7, exact=True)],
        ),
    ],
)
def test_what_seven_acts_cause(kind: str, expected: list[Expectation]) -> None:
    assert list(exercises.get(kind).expectations(7)) == expected


def test_all_kinds_are_there_and_explain_themselves() -> None:
    assert set(exercises.names()) == {
        "syscall", "int80", "signal", "task-work", "notify-signal", "resched-wakeup", "ptrace", "single-step",
        "seccomp", "user-dispatch", "resched", "timer-signal", "cpu-timer", "page-fault-signal", "uprobe",
    }  # fmt: skip
    for name in exercises.names():
        exercise = exercises.get(name)
        assert exercise.name == name
        assert len(exercise.why) > 20


@pytest.mark.parametrize(
    ("expectation", "text"),
    [
        (syscall_exits("SIGPENDING", "kill", 1000), "exactly 1000 syscall exits of kill with SIGPENDING"),
        (
            syscall_exits(None, "getppid", 1),
            "exactly 1 syscall exit of getppid that it does nothing to make slow",
        ),
        (
            Expectation(context=Context.INTERRUPT, bit="NEED_RESCHED", syscall=None, count=5, exact=False),
            "at least 5 interrupt exits with NEED_RESCHED",
        ),
    ],
)
def test_an_expectation_as_text(expectation: Expectation, text: str) -> None:
    assert str(expectation) == text


def test_an_unknown_kind() -> None:
    with pytest.raises(KeyError):
        exercises.get("nope")


def test_all_processes_exist_before_the_first_act() -> None:
    told: list[int] = []

    def started(pids: list[int]) -> None:
        for pid in pids:
            os.kill(pid, 0)
        told.extend(pids)

    pids = exercises.run_in_children("syscall", 3, processes=4, started=started)
    assert pids == told
    assert len(set(pids)) == 4
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_no_process_is_left_when_the_caller_gives_up() -> None:
    told: list[int] = []

    def started(pids: list[int]) -> None:
        told.extend(pids)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercises.run_in_children("syscall", 3, processes=2, started=started)
    for pid in told:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_control_that_is_not_there() -> None:
    with pytest.raises(ExerciseUnavailableError, match=r"^exercise syscall has no control$"):
        exercises.run_in_children("syscall", 3, control=True)


@pytest.mark.parametrize(
    ("text", "pattern", "model"),
    [
        ("none voluntary (full) lazy\n", r"\((\w+)\)", "full"),
        ("root=/dev/vda1 preempt=none quiet preempt=voluntary\n", r"\bpreempt=(\w+)", "voluntary"),
        ("root=/dev/vda1 quiet\n", r"\bpreempt=(\w+)", None),
    ],
)
def test_the_preemption_model_that_was_chosen(text: str, pattern: str, model: str | None) -> None:
    assert chosen(text, pattern) == model


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ("CONFIG_PREEMPT_NONE=y\n# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_DYNAMIC=y\n", "none"),
        (
            "# CONFIG_PREEMPT_NONE is not set\nCONFIG_PREEMPT_VOLUNTARY=y\nCONFIG_PREEMPT_DYNAMIC=y\n",
            "voluntary",
        ),
        ("CONFIG_PREEMPT_LAZY=y\nCONFIG_PREEMPTION=y\n", "lazy"),
        ("CONFIG_PREEMPT_BUILD=y\nCONFIG_PREEMPT=y\n", "full"),
        ("CONFIG_PREEMPT_LAZY=y\nCONFIG_PREEMPT_RT=y\n", "full"),
        ("CONFIG_SMP=y\n", None),
    ],
)
def test_the_preemption_model_of_a_config(config: str, model: str | None) -> None:
    assert configured(config) == model
