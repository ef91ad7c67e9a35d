"""All exercises by name, and running them in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from tifbpf.exercises.audit import SyscallAudit
from tifbpf.exercises.children import Child
from tifbpf.exercises.entry_work import Seccomp, UserDispatch
from tifbpf.exercises.model import Exercise
from tifbpf.exercises.notify_signal import NotifySignal
from tifbpf.exercises.page_fault import PageFaultSignal
from tifbpf.exercises.plain import Int80, Syscall
from tifbpf.exercises.resched import Resched, ReschedWakeup
from tifbpf.exercises.resched_fair import ReschedFair
from tifbpf.exercises.rseq import RseqMigration
from tifbpf.exercises.self_signal import Signal
from tifbpf.exercises.task_work import TaskWork
from tifbpf.exercises.timer import CpuTimer, TimerSignal
from tifbpf.exercises.tracing import PtraceSyscall, SingleStep
from tifbpf.exercises.uprobe import Uprobe

_EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in (
        Syscall(),
        Int80(),
        Signal(),
        TaskWork(),
        NotifySignal(),
        RseqMigration(),
        ReschedWakeup(),
        PtraceSyscall(),
        SingleStep(),
        Seccomp(),
        UserDispatch(),
        SyscallAudit(),
        Resched(),
        ReschedFair(),
        TimerSignal(),
        CpuTimer(),
        PageFaultSignal(),
        Uprobe(),
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all exercises, those whose bit is seen at system calls first."""
    return tuple(_EXERCISES)


def get(name: str) -> Exercise:
    """Return the exercise with that name.

    Raises:
        KeyError: there is none.
    """
    return _EXERCISES[name]


def run_in_children(
    name: str,
    n: int,
    processes: int = 1,
    control: bool = False,
    started: Callable[[Sequence[int]], object] | None = None,
) -> list[int]:
    """Run `n` acts in each of `processes` forked processes, all at once, and wait for their end.

    Args:
        name: One of `names()`.
        n: The number of acts in each process, at least 1.
        processes: How many processes, at least 1.
        control: Run the exercise's control instead.
        started: Called with the pids when all processes exist and none has begun.

    Returns:
        The pids, none of which is in use any more.

    Raises:
        ExerciseUnavailableError: the host lacks something.
        TifbpfError: a process failed; the others have been ended.
        KeyError: there is no such exercise.
    """
    exercise = get(name)
    act = exercise.control if control else exercise.run
    gate, gate_end = os.pipe()
    children: list[Child] = []

    def wait_and_act() -> None:
        os.close(gate_end)
        os.read(gate, 1)
        act(n)

    try:
        try:
            with exercise.prepared(control=control):
                children.extend(Child(wait_and_act) for _ in range(processes))
            if started:
                started([child.pid for child in children])
        finally:
            os.close(gate_end)
            os.close(gate)
        for child in children:
            child.wait()
    finally:
        for child in children:
            child.kill()
    return [child.pid for child in children]
