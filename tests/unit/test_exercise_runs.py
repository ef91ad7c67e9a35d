"""Every exercise that needs no privilege, in a process of its own, and what it leaves of that process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tifbpf import exercises
from tifbpf.exercises.children import Child

UNPRIVILEGED = [
    "syscall",
    "signal",
    "task-work",
    "ptrace",
    "single-step",
    "seccomp",
    "user-dispatch",
    "timer-signal",
    "page-fault-signal",
    "resched-fair",
    pytest.param("rseq-migration", marks=pytest.mark.requires("two_cpus")),
    pytest.param("audit", marks=pytest.mark.requires("audit_on")),
    pytest.param("cpu-timer", marks=pytest.mark.requires("btf")),
    pytest.param("notify-signal", marks=pytest.mark.requires("io_uring")),
    pytest.param("int80", marks=pytest.mark.requires("int80")),
    pytest.param("resched", marks=pytest.mark.requires("root", "two_cpus")),
    pytest.param("resched-wakeup", marks=pytest.mark.requires("root")),
    pytest.param("uprobe", marks=pytest.mark.requires("uprobe")),
]


def state() -> dict[str, object]:
    """What an exercise may change, as the kernel tells it."""
    status = Path("/proc/self/status").read_text().splitlines()
    # The directory's own descriptor is in the list, and gone when the list is read.
    descriptors = list(Path("/proc/self/fd").iterdir())
    kept = ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "Cpus_allowed", "Seccomp:", "NoNewPrivs", "TracerPid")
    return {
        "status": [line for line in status if line.startswith(kept)],
        "descriptors": {path.name: path.readlink() for path in descriptors if path.is_symlink()},
        "code": "tifbpf-exercise" in Path("/proc/self/maps").read_text(),
        "handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "timers": [signal.getitimer(timer) for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL)],
        "scheduling": (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority),
        "children": Path("/proc/thread-self/children").read_text(),
    }


@pytest.mark.parametrize("control", [False, True], ids=["run", "control"])
@pytest.mark.parametrize("kind", UNPRIVILEGED)
def test_it_runs_and_leaves_the_process_as_it_was(kind: str, control: bool) -> None:
    exercise = exercises.get(kind)
    if control and exercise.control_summary is None:
        with pytest.raises(Exception, match="has no control"):
            exercise.control(1)
        return

    def check() -> None:
        # Blocked, as a caller might have them: the exercise has to see to that.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM, signal.SIGVTALRM})
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        before = state()
        (exercise.control if control else exercise.run)(3)
        after = state()
        changed = sorted(key for key in before if before[key] != after[key])
        expected = ["status"] if exercise.lasting and not control else []
        if changed != expected:
            raise AssertionError({key: (before[key], after[key]) for key in changed})

    Child(check).wait()


def test_a_timer_of_the_callers_goes_on() -> None:
    def check() -> None:
        signal.setitimer(signal.ITIMER_REAL, 1000, 50)
        exercises.get("timer-signal").run(2)
        left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
        if not (990 < left <= 1000 and interval == 50):
            raise AssertionError((left, interval))

    Child(check).wait()


def test_available_says_why_not() -> None:
    assert exercises.get("signal").available() is None


@pytest.mark.requires("root")
def test_real_time_priority_that_is_refused() -> None:
    def check() -> None:
        os.setresuid(65534, 65534, 65534)
        refusal = exercises.get("resched-wakeup").available()
        if refusal != (
            "SCHED_FIFO: Operation not permitted; it takes root or CAP_SYS_NICE, and a cgroup that allows "
            "real time"
        ):
            raise AssertionError(refusal)

    Child(check).wait()
