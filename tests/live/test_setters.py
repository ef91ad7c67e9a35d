"""Bits that were set on purpose: by whom, in whom, N of N."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.live.conftest import exercise, record
from tifbpf.host.facts import Finding, SymbolFacts, Way
from tifbpf.recorder import layout
from tifbpf.recorder.options import Options
from tifbpf.recorder.prove import prove
from tifbpf.recording.metadata import Metadata, Setter

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

SIGNAL_HOOKS = {"signal_wake_up_state", "signal:signal_generate"}

# argv[1] signals from a thread named `sender` to one named `target`, each handled before the next is sent.
SENDER = """
import os, signal, sys, time

def name(text):
    with open("/proc/self/comm", "w") as file:
        file.write(text)

n = int(sys.argv[1])
handled, tell = os.pipe()
target = os.fork()
if target == 0:
    left = n
    def handle(number, frame):
        global left
        left -= 1
        os.write(tell, b"x")
    signal.signal(signal.SIGUSR1, handle)
    name("target")
    os.write(tell, b"x")
    while left:
        time.sleep(0.01)
    os._exit(0)
name("sender")
os.read(handled, 1)
for _ in range(n):
    os.kill(target, signal.SIGUSR1)
    os.read(handled, 1)
os.waitpid(target, 0)
"""


# argv[1] signals to a process whose first thread blocks them, so that its thread `worker` gets them.
WORKER = """
import os, signal, sys, threading

def work():
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file:
        file.write("worker")
    os.write(tell, b"x")
    os.read(end, 1)

def blocked():
    with open(f"/proc/self/task/{thread.native_id}/status") as file:
        mask = next(line for line in file if line.startswith("SigBlk"))
    return int(mask.split()[1], 16) >> signal.SIGUSR1 - 1 & 1

n = int(sys.argv[1])
handled, tell = os.pipe()
end, tell_end = os.pipe()
os.set_blocking(tell, False)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
signal.set_wakeup_fd(tell)
thread = threading.Thread(target=work)
thread.start()
os.read(handled, 1)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
for _ in range(n):
    os.kill(os.getpid(), signal.SIGUSR1)
    os.read(handled, 1)
    # Written by the handler, in which the signal is blocked: what is sent now wakes nobody.
    while blocked():
        pass
os.write(tell_end, b"x")
thread.join()
"""


def setters(output: Path, *command: str) -> tuple[Metadata, subprocess.CompletedProcess[str]]:
    """Record the command alone, with --setters."""
    recordings, done = record(output, "--setters", "--only-command", "--", *command)
    (metadata,) = recordings.metadata
    return metadata, done


def of(metadata: Metadata, bit: str, **where: str) -> list[Setter]:
    """Return those who set `bit`."""
    return [
        setter
        for setter in metadata.setters or ()
        if setter.bit == bit and all(getattr(setter, name) == value for name, value in where.items())
    ]


def total(found: list[Setter]) -> int:
    return sum(setter.count for setter in found)


def test_n_signals_to_oneself(output: Path) -> None:
    metadata, _ = setters(output, *exercise("signal", 1_000))
    (setter,) = of(metadata, "SIGPENDING")
    assert setter.count == 1_000
    assert setter.by in SIGNAL_HOOKS
    assert setter.comm == setter.target


def test_ignored_signals_set_nothing(output: Path) -> None:
    metadata, _ = setters(output, *exercise("signal", 1_000, "--control"))
    assert of(metadata, "SIGPENDING") == []


def test_n_signals_from_somebody_else(output: Path) -> None:
    metadata, _ = setters(output, sys.executable, "-c", SENDER, "500")
    assert total(of(metadata, "SIGPENDING", comm="sender", target="target")) == 500
    assert total(of(metadata, "SIGPENDING")) == 500


def test_n_signals_that_another_thread_gets(output: Path) -> None:
    metadata, _ = setters(output, sys.executable, "-c", WORKER, "200")
    assert total(of(metadata, "SIGPENDING", target="worker")) == 200
    assert total(of(metadata, "SIGPENDING")) == 200


@pytest.mark.parametrize(
    ("kind", "bit"),
    [
        ("task-work", "NOTIFY_RESUME"),
        pytest.param("notify-signal", "NOTIFY_SIGNAL", marks=pytest.mark.requires("io_uring")),
    ],
)
def test_queued_work_where_functions_can_be_hooked(output: Path, kind: str, bit: str) -> None:
    metadata, _ = setters(output, *exercise(kind, 300))
    queued = total(of(metadata, bit, by="task_work_add"))
    if any("(task_work_add)" in unseen for unseen in metadata.setters_unseen):
        assert queued == 0
    else:
        # A thread that was switched away in its call has the bit already, for rseq.
        assert queued > 200
        assert total(of(metadata, bit)) >= 300
    metadata, _ = setters(output.with_name("control"), *exercise(kind, 300, "--control"))
    assert total(of(metadata, bit, by="task_work_add")) < 100


def test_task_work_that_an_exit_ran(output: Path) -> None:
    metadata, _ = setters(output, *exercise("task-work", 300))
    ran = sum(runs.count for runs in metadata.handlers or () if runs.handler == "task_work_run")
    if any("task_work_run" in unseen for unseen in metadata.setters_unseen):
        assert ran == 0
    else:
        assert ran >= 300


@pytest.mark.requires("two_cpus")
def test_preemption_by_a_thread_of_higher_priority(output: Path) -> None:
    metadata, _ = setters(output, *exercise("resched", 50))
    if not any(unseen.startswith("NEED_RESCHED") for unseen in metadata.setters_unseen):
        assert total(of(metadata, "NEED_RESCHED")) >= 50


def test_a_hook_that_the_kernel_refuses_costs_no_recording() -> None:
    facts = layout.host_facts(setters=True)
    names = ("__rseq_handle_notify_resume", "__rseq_handle_slowpath")
    (absent,) = (name for name in names if not facts.symbol(name).present)
    claimed = SymbolFacts(present=True, traceable=True, blacklisted=False, btf=True)
    symbols = {**facts.symbols, **dict.fromkeys(names, SymbolFacts(present=False)), absent: claimed}
    ways = {**facts.ways, Way.FENTRY: Finding(answer=True)}
    facts = msgspec.structs.replace(facts, symbols=symbols, ways=ways)
    proven = prove(facts, layout.running_layout(), Options(setters=True, count_all=False))
    try:
        seen = proven.instrument.setters
        assert seen is not None
        (line,) = (line for line in seen.unseen if "__rseq_handle" in line)
        assert "the kernel refused" in line
    finally:
        proven.instrument.close()


def test_nothing_where_it_was_not_asked_for(output: Path) -> None:
    recordings, _ = record(output, "--only-command", "--", *exercise("signal", 1))
    (metadata,) = recordings.metadata
    assert (metadata.setters, metadata.handlers, metadata.setters_unseen) == (None, None, ())
