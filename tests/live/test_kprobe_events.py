"""Kprobes by tracefs, which every kernel still has: N of N calls seen, and no event left behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.hits import Hits
from tests.live.test_host_kernel import descriptors
from tests.live.test_links import GETPGID, N, allowed
from tifbpf.errors import BpfRefusedError
from tifbpf.host import ftrace
from tifbpf.host.facts import Way
from tifbpf.host.programs import ProgramType
from tifbpf.recorder import kprobe_events, links

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "btf")]


def offered() -> Path | None:
    """Return tracefs where the kernel allows kprobes; None where it must refuse them."""
    return ftrace.tracefs() if allowed(Way.KPROBE) else None


def events() -> list[str]:
    """Return the kprobe events that there are, as `p:group/event function`."""
    root = offered()
    return (root / "kprobe_events").read_text().splitlines() if root else []


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = events(), descriptors()
    yield
    assert (events(), descriptors()) == before


def call(n: int) -> None:
    """Call the hooked function on every CPU in turn, as the event is opened on one."""
    cpus = os.sched_getaffinity(0)
    try:
        for i, cpu in enumerate(sorted(cpus)):
            os.sched_setaffinity(0, {cpu})
            for _ in range(n // len(cpus) + (n % len(cpus) if i == 0 else 0)):
                os.getpgid(0)
    finally:
        os.sched_setaffinity(0, cpus)


def killed_recorder() -> str:
    """Return the event of a process that attached and was killed."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            attached = kprobe_events.attach(GETPGID, Hits(ProgramType.KPROBE).program)
            os.write(theirs, attached.name.encode())
            signal.pause()
        os._exit(1)
    os.close(theirs)
    name = os.read(ours, 200).decode()
    os.close(ours)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return name


def test_every_call_is_seen_on_every_cpu_and_none_after() -> None:
    with Hits(ProgramType.KPROBE) as hits:
        if offered() is None:
            with pytest.raises(BpfRefusedError) as caught:
                kprobe_events.attach(GETPGID, hits.program)
            assert str(caught.value).count("\n") == 0
            return
        with kprobe_events.attach(GETPGID, hits.program) as attached:
            assert f"p:{attached.name} {GETPGID}" in events()
            call(N)
            assert hits.count == N
            assert attached.missed() == 0
        call(N)
        assert hits.count == N


def test_what_a_killed_recorder_left_goes_and_a_living_ones_stays() -> None:
    if offered() is None:
        assert kprobe_events.sweep() == []
        return
    name = killed_recorder()
    assert f"p:{name} {GETPGID}" in events()
    with Hits(ProgramType.KPROBE) as hits, kprobe_events.attach(GETPGID, hits.program) as living:
        assert kprobe_events.sweep() == [name]
        assert [line for line in events() if "tifbpf/" in line] == [f"p:{living.name} {GETPGID}"]
        call(N)
        assert hits.count == N
    assert kprobe_events.sweep() == []


def test_nothing_stays_of_a_refused_attach() -> None:
    with Hits(ProgramType.KPROBE) as hits, pytest.raises(BpfRefusedError) as caught:
        kprobe_events.attach("no_such_function", hits.program)
    if offered() is not None:
        # What it says of a function that is not there, kernels do not agree on.
        assert str(caught.value).startswith("the kernel refused a kprobe on no_such_function: ")
    # Here the event is made before the program is refused, which is of no type for kprobes.
    with Hits(ProgramType.RAW_TRACEPOINT) as hits, pytest.raises(BpfRefusedError):
        kprobe_events.attach(GETPGID, hits.program)


def test_beside_perfs_own_kprobes() -> None:
    if offered() is None:
        return
    with Hits(ProgramType.KPROBE) as by_tracefs, Hits(ProgramType.KPROBE) as by_perf:
        with (
            kprobe_events.attach(GETPGID, by_tracefs.program),
            links.attach_kprobe(GETPGID, by_perf.program),
        ):
            call(N)
        assert (by_tracefs.count, by_perf.count) == (N, N)
