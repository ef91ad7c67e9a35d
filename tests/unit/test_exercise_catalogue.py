from __future__ import annotations

import os
from pathlib import Path

import pytest

from tifbpf import exercises
from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises import Expectation, kernel_types, resched_fair
from tifbpf.exercises.preemption import chosen, configured, lazy
from tifbpf.exercises.watching import with_spares
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
            "audit",
            [syscall_exits("SYSCALL_AUDIT", "getppid", 7)],
        ),
        (
            "uprobe",
            [Expectation(context=Context.EXCEPTION, bit="UPROBE", syscall=None, count=7, exact=True)],
        ),
    ],
)
def test_what_seven_acts_cause(kind: str, expected: list[Expectation]) -> None:
    assert list(exercises.get(kind).expectations(7)) == expected


@pytest.mark.parametrize(
    ("types", "bit"), [(b"\0task_struct\0rseq_event\0", "RSEQ"), (b"\0task_struct\0", "NOTIFY_RESUME")]
)
def test_the_bit_of_a_migration(
    types: bytes, bit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    btf = tmp_path / "vmlinux"
    btf.write_bytes(types)
    monkeypatch.setattr(kernel_types, "BTF", btf)
    (expectation,) = exercises.get("rseq-migration").expectations(7)
    assert expectation == syscall_exits(bit, "sched_setaffinity", 7)


@pytest.mark.parametrize("kind", ["rseq-migration", "cpu-timer"])
def test_a_kernel_that_does_not_tell_the_bit(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kernel_types, "BTF", tmp_path / "none")
    with pytest.raises(ExerciseUnavailableError, match=r"^which bit is set depends on the kernel, .*no BTF"):
        exercises.get(kind).expectations(7)


@pytest.mark.parametrize(("lazy", "bit"), [(True, "NEED_RESCHED_LAZY"), (False, "NEED_RESCHED")])
def test_the_bit_of_the_fair_class(lazy: bool, bit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resched_fair, "fair_is_lazy", lambda: lazy)
    assert exercises.get("resched-fair").expectations(7) == (
        Expectation(context=Context.INTERRUPT, bit=bit, syscall=None, count=7, exact=False),
    )


def test_a_kernel_that_does_not_tell_how_it_preempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resched_fair, "fair_is_lazy", lambda: None)
    with pytest.raises(ExerciseUnavailableError, match=r"does not say whether it preempts lazily"):
        exercises.get("resched-fair").expectations(7)


def test_all_kinds_are_there_and_explain_themselves() -> None:
    assert set(exercises.names()) == {
        "syscall", "int80", "signal", "task-work", "notify-signal", "rseq-migration", "resched-wakeup",
        "ptrace", "single-step", "seccomp", "user-dispatch", "audit", "resched", "resched-fair",
        "timer-signal", "cpu-timer", "page-fault-signal", "uprobe",
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


DYNAMIC = "#1 SMP PREEMPT_DYNAMIC Debian 6.18.15-1"
REAL_TIME = "#1 SMP PREEMPT_RT Debian 6.12.117-1"
LAZY_CONFIG = "CONFIG_PREEMPT_LAZY=y\nCONFIG_PREEMPT_RT=y\n"


@pytest.mark.parametrize(
    ("version", "files", "answer"),
    [
        # 5.10, whose debugfs has no such file.
        ("#1 SMP Debian 5.10.262-1", {}, False),
        (DYNAMIC, {"model": "none voluntary full (lazy)\n"}, True),
        (DYNAMIC, {"model": "none voluntary (full) lazy\n", "config": LAZY_CONFIG}, False),
        (REAL_TIME, {"model": "full (lazy)\n"}, True),
        (REAL_TIME, {"features": "GENTLE_FAIR_SLEEPERS PREEMPT_LAZY HRTICK\n"}, True),
        (REAL_TIME, {"features": "GENTLE_FAIR_SLEEPERS NO_PREEMPT_LAZY\n", "config": LAZY_CONFIG}, False),
        (DYNAMIC, {"command_line": "quiet preempt=lazy\n", "config": "CONFIG_PREEMPT=y\n"}, True),
        # Without PREEMPT_DYNAMIC nobody reads the option.
        (REAL_TIME, {"command_line": "preempt=lazy\n", "config": "CONFIG_PREEMPT_RT=y\n"}, False),
        (REAL_TIME, {"config": LAZY_CONFIG}, True),
        (DYNAMIC, {}, None),
    ],
)
def test_whether_the_fair_class_is_lazy(version: str, files: dict[str, str], answer: bool | None) -> None:
    nothing = dict.fromkeys(("model", "features", "command_line", "config"), "")
    assert lazy(version, **nothing | files) is answer


@pytest.mark.parametrize(("n", "caused"), [(1, 2), (15, 16), (16, 18), (64, 69), (100, 107)])
def test_one_and_a_sixteenth_more_where_a_later_pass_may_be_the_one_to_see(n: int, caused: int) -> None:
    assert with_spares(n) == caused
