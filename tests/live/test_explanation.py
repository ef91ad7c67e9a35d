"""The explanation names the cause that the test set up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.live import running_layout
from tests.live.conftest import exercise, pids, record
from tifbpf.reporters import explanation, html, model, names

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

N = 3_000
BY = ("--by", "syscall,comm,pid", "--only-command")


@pytest.mark.parametrize(
    ("kind", "bit", "syscall", "cause"),
    [
        ("signal", "SIGPENDING", "kill", "The process signals itself"),
        ("task-work", "NOTIFY_RESUME", "dup2", "A descriptor was duplicated over the last reference"),
        pytest.param(
            "notify-signal",
            "NOTIFY_SIGNAL",
            "write",
            "Work that cannot wait was queued",
            marks=pytest.mark.requires("io_uring"),
        ),
    ],
)
def test_the_first_sentence_names_bit_process_and_system_call(
    output: Path, kind: str, bit: str, syscall: str, cause: str
) -> None:
    recordings, done = record(output, *BY, "--", *exercise(kind, N))
    found = model.build(recordings).explanation
    finding = found.findings[0]
    assert finding.slow >= N * 0.9
    name = names.bit(running_layout.bit(bit).word, bit)
    assert f"of slow exits carried {name} alone" in finding.sentence
    assert f"from {syscall}" in finding.sentence
    (process,) = pids(done)
    assert f"in process {process}" in finding.sentence
    said = dict(explanation.reasons(found, 0))
    assert said["Probable cause"].startswith(cause)
    assert said["Check"]


@pytest.mark.requires("audit_on")
def test_an_audited_process(output: Path) -> None:
    """Every system call is slow for it, of who was forked since audit is on: none stands out."""
    recordings, _ = record(output, *BY, "--", *exercise("audit", N))
    found = model.build(recordings).explanation
    finding = found.findings[0]
    assert finding.slow >= N * 0.9
    name = names.bit(running_layout.bit("SYSCALL_AUDIT").word, "SYSCALL_AUDIT")
    assert f"of slow exits carried {name} alone" in finding.sentence
    assert dict(explanation.reasons(found, 0))["Probable cause"].startswith("Audit is or was on")


def test_a_traced_process_and_its_tracer(output: Path) -> None:
    """Each stop makes the process's exit slow, and wakes the tracer out of wait4, which is slow for that.

    The stop switches the process away, so that NOTIFY_RESUME comes with it where the thread uses rseq.
    """
    recordings, done = record(output, *BY, "--", *exercise("ptrace", N))
    found = model.build(recordings).explanation
    (process,) = pids(done)
    # How the tracer's exits divide, and so what stands before, is the scheduler's doing.
    sentences = [finding.sentence for finding in found.findings]
    place = next(place for place, text in enumerate(sentences) if f"in process {process}" in text)
    sentence = sentences[place]
    assert "work:SYSCALL_TRACE" in sentence
    assert "from getppid" in sentence
    cause, check, *_ = list(explanation.reasons(found, place))
    assert cause[0].startswith("Probable cause")
    assert cause[1].startswith("A tracer stops the process at every system call (ptrace")
    assert check == ("Check", "TracerPid in /proc/PID/status names the tracer.")


# Two processes on one CPU that wait for each other, as in `perf bench sched pipe`.
PING_PONG = f"""
import os
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
(there, ping), (here, pong) = os.pipe(), os.pipe()
if os.fork() == 0:
    for _ in range({N}):
        os.read(there, 1)
        os.write(pong, b"x")
    os._exit(0)
for _ in range({N}):
    os.write(ping, b"x")
    os.read(here, 1)
os.wait()
"""


def test_two_processes_that_wait_for_each_other(output: Path) -> None:
    """Every read waits, so that the thread is switched away, and uses rseq; what wakes must give way."""
    recordings, _ = record(output, *BY, "--", sys.executable, "-c", PING_PONG)
    found = model.build(recordings).explanation
    waits = next(place for place, finding in enumerate(found.findings) if "from read" in finding.sentence)
    assert waits == 0
    assert found.findings[waits].slow >= N
    assert "rseq" in dict(explanation.reasons(found, waits))["Probable cause"]


def test_a_reader_of_the_page_sees_it_first(output: Path) -> None:
    recordings, _ = record(output, "--by", "syscall", "--syscall", "getppid", "--", *exercise("ptrace", N))
    text = html.within(recordings)
    start = text.index('<p class="sentence">')
    sentence = text[start : text.index("</p>", start)]
    assert "work:SYSCALL_TRACE" in sentence
    assert "from getppid" in sentence
    assert text.index("A tracer stops the process") < text.index('id="bits"')
