"""What only a kernel that lets itself be hooked can show."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

import tifbpf
from tests.bpftrace import Bpftrace
from tests.left import left, settled
from tests.live.conftest import Recorder, run
from tifbpf.host import kallsyms
from tifbpf.layouts.model import Context, Word
from tifbpf.recorder.layout import establish_running, host_facts, running_layout
from tifbpf.recorder.options import Options
from tifbpf.recorder.prove import try_out
from tifbpf.routes import model
from tifbpf.routes.model import Exactness, Hook, HookKind, Route, Variant

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "bcc", "btf", "kprobe")]

# The kernel's own target for BPF's self-tests: traceable, and called by nobody else.
NOBODY_CALLS = "bpf_fentry_test1"
NAME = "tifbpf-counted"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "recording.tif.parquet"


def broken(*hooks: tuple[HookKind, str]) -> Route:
    return Route(
        name="broken",
        summary="a route that is broken on purpose",
        kernels="this one",
        exactness=Exactness.EXACT,
        probe="prepare.c",
        provenance=("this test",),
        variants=(
            Variant(
                hooks=tuple(
                    Hook(kind=kind, symbol=symbol, word="read there", function="prepare")
                    for kind, symbol in hooks
                ),
                contexts=tuple(Context),
                denominator=dict.fromkeys(Context, "the same hook"),
            ),
        ),
    )


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Route:
    """Put a route before all others; return it."""
    route = broken((HookKind.ENTRY, NOBODY_CALLS))
    add(monkeypatch, route)
    return route


def add(monkeypatch: pytest.MonkeyPatch, route: Route) -> None:
    known = model._catalogue()
    changed = msgspec.structs.replace(known, route=(route, *known.route))
    monkeypatch.setattr(model, "_catalogue", lambda: changed)
    model.interest.cache_clear()


@pytest.fixture(autouse=True)
def interest_as_it_was() -> None:
    model.interest.cache_clear()


def test_a_function_that_nobody_calls_is_caught_in_every_context(routes: Route) -> None:
    before = left()
    facts = host_facts()
    coverage = try_out(facts, establish_running(kernel=facts).layout, Options())
    assert [one.context for one in coverage] == list(Context)
    for one in coverage:
        assert one.route not in (None, "broken")
        (attempt,) = one.attempts
        assert attempt.route == "broken"
        assert [test.seen for test in attempt.self_tests] == [0] * len(attempt.self_tests)
        assert "the self-test saw 0 of 64" in attempt.reason
        assert all(test.seen >= test.expected for test in one.self_tests)
    assert settled(before) == ""


def test_what_was_attached_before_a_refusal_is_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    before = left()
    route = broken((HookKind.ENTRY, NOBODY_CALLS), (HookKind.RAW_TRACEPOINT, "no_such:event"))
    add(monkeypatch, route)
    facts = host_facts()
    facts = msgspec.structs.replace(facts, events={**facts.events, "no_such:event": True})
    coverage = try_out(facts, establish_running(kernel=facts).layout, Options())
    for one in coverage:
        assert one.route not in (None, "broken")
        assert one.attempts == ()
    assert settled(before) == ""


# Calls itself NAME for as long as it is counted.
COUNTED = f"""
import ctypes, sys
from tifbpf import exercises
prctl = ctypes.CDLL(None).prctl
prctl(15, b"{NAME}")
exercises.get("signal").run(300)
exercises.get("task-work").run(300)
exercises.get("page-fault-signal").run(300)
exercises.get("timer-signal").run(30)
prctl(15, b"python3")
"""
# thread_info is the first member of task_struct, and the flags of thread_info; bpftrace 0.17 finds the
# structure by name on some of the kernels only.
_FLAGS = "*(uint64 *)curtask"
PREPARE = "exit_to_user_mode_prepare"
SYSCALL_PREPARE = "syscall_exit_to_user_mode_prepare"


@pytest.mark.requires("bpftrace", "exit_function")
def test_word_by_word_as_bpftrace_sees_them(output: Path) -> None:
    places = kallsyms.find((PREPARE, SYSCALL_PREPARE)).places or {}
    if PREPARE in places:
        probe, contexts = f"kprobe:{PREPARE}", set(Context)
    else:
        probe, contexts = f"kretprobe:{SYSCALL_PREPARE}", {Context.SYSCALL}
    with Bpftrace(f'{probe} /comm == "{NAME}"/ {{ @[{_FLAGS}] = count(); }}') as bpftrace:
        recorder = Recorder(output, "--comm", NAME)
        subprocess.run([sys.executable, "-c", COUNTED], check=True)
        recorder.end()
        said = bpftrace.end()
    frame = tifbpf.read(output).exits()
    # What may be set between the two programs on one exit, from another CPU or by an interrupt on this one,
    # which the return of a function lets in: a reschedule. Everything else only the task itself sets.
    chance = sum(bit.value for bit in running_layout().bits if bit.name.startswith("NEED_RESCHED"))
    ours: dict[int, int] = {}
    seen = frame[frame["context"].isin({str(context) for context in contexts})]
    for word, count in zip(seen["tif_value"], seen["count"], strict=True):
        ours[int(word) & ~chance] = ours.get(int(word) & ~chance, 0) + int(count)
    theirs: dict[int, int] = {}
    for key, count in re.findall(r"^@\[(-?\d+)\]: (\d+)$", said, re.MULTILINE):
        theirs[int(key) & ~chance] = theirs.get(int(key) & ~chance, 0) + int(count)
    assert ours == theirs
    assert sum(ours.values()) > 600


@pytest.mark.requires("exit_function")
def test_time_in_the_slowpath(output: Path) -> None:
    """An exit that stops for a known time is measured to take it."""
    if PREPARE not in (kallsyms.find((PREPARE,)).places or {}):
        done = run("record", "--latency", "-o", output, "--", "true")
        assert done.returncode == 0
        frame = tifbpf.read(output).exits()
        # Where begin and end cannot both be seen there is no time, and not a time of nothing.
        assert frame["ns"].isna().all()
        return
    seconds = 0.2
    stopped = f"""
import ctypes, os, signal
ctypes.CDLL(None).prctl(15, b"{NAME}")
os.kill(os.getpid(), signal.SIGSTOP)
ctypes.CDLL(None).prctl(15, b"python3")
"""
    recorder = Recorder(output, "--latency", "--comm", NAME, "--by", "syscall")
    child = subprocess.Popen([sys.executable, "-c", stopped])
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    time.sleep(seconds)
    child.send_signal(signal.SIGCONT)
    assert child.wait() == 0
    recorder.end()
    frame = tifbpf.read(output).exits()
    sigpending = running_layout().named("SIGPENDING", Word.TIF)
    assert sigpending is not None
    kill = frame[frame["syscall"] == "kill"]
    kill = kill[[int(word) & sigpending.value != 0 for word in kill["tif_value"]]]
    assert kill["count"].sum() == 1
    assert kill["ns"].sum() >= seconds * 1e9
    assert kill["ns_max"].max() == kill["ns"].sum()
    assert (kill["latency_log2"] == int(kill["ns"].sum()).bit_length() - 1).all()
