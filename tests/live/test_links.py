"""Each way to attach: N of N calls seen, or the refusal that doctor foretells; and nothing left behind."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable, Iterator

import pytest

from tests.live.hits import Hits
from tests.live.test_host_kernel import descriptors
from tifbpf.errors import BpfRefusedError
from tifbpf.host import kallsyms, syscall_functions
from tifbpf.host.btf import KernelTypes
from tifbpf.host.facts import Way
from tifbpf.host.programs import FENTRY, ProgramType
from tifbpf.recorder import links
from tifbpf.recorder.bpf import Descriptor, Program
from tifbpf.recorder.layout import host_facts

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "btf")]

# One that Python does not call by itself.
GETPGID = "__x64_sys_getpgid"
N = 1000


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


@functools.cache
def allowed(way: Way) -> bool:
    return host_facts().ways[way].answer is True


def hits_of(hits: Hits, attach: Callable[[Program], Descriptor], way: Way, n: int = N) -> int:
    """Return how many of `n` calls were seen; `n` where doctor says that the kernel refuses, and it did."""
    if not allowed(way):
        with pytest.raises(BpfRefusedError) as caught:
            attach(hits.program)
        assert str(caught.value).count("\n") == 0
        return n
    with attach(hits.program):
        for _ in range(n):
            os.getpgid(0)
    os.getpgid(0)
    return hits.count


def known(symbol: str) -> bool:
    return symbol in (kallsyms.find({symbol}).places or {})


def address(symbol: str) -> int:
    places = kallsyms.find({symbol}).places
    assert places is not None
    return places[symbol].address


def test_fentry() -> None:
    with KernelTypes() as types:
        number = types.function_id(GETPGID)
    assert number is not None
    with contextlib.ExitStack() as stack:
        try:
            hits = stack.enter_context(Hits(ProgramType.TRACING, attach_type=FENTRY, attach_btf_id=number))
        except OSError:
            assert not allowed(Way.FENTRY)
            return
        assert hits_of(hits, lambda program: links.attach_tracing(program, "fentry"), Way.FENTRY) == N


@pytest.mark.parametrize("returns", [False, True])
def test_kprobe(returns: bool) -> None:
    with Hits(ProgramType.KPROBE) as hits:
        attached: list[links.Kprobes] = []

        def attach(program: Program) -> Descriptor:
            attached.append(links.attach_kprobe(GETPGID, program, returns=returns))
            assert attached[0].missed() in (0, None)
            return attached[0]

        assert hits_of(hits, attach, Way.KPROBE) == N


def test_breakpoints_are_not_throttled() -> None:
    # A second's worth of perf's sample rate, kernel.perf_event_max_sample_rate.
    many = 100_000
    with Hits(ProgramType.PERF_EVENT) as hits:
        place = address(GETPGID)
        seen = hits_of(
            hits,
            lambda program: links.attach_breakpoint(GETPGID, place, program),
            Way.BREAKPOINT,
            many,
        )
    assert seen == many


def test_the_fifth_breakpoint() -> None:
    with Hits(ProgramType.PERF_EVENT) as hits, contextlib.ExitStack() as stack:
        place = address(GETPGID)
        if allowed(Way.BREAKPOINT):
            for _ in range(4):
                stack.enter_context(links.attach_breakpoint(GETPGID, place, hits.program))
        held = descriptors()
        with pytest.raises(
            BpfRefusedError, match=r"^the kernel refused a breakpoint on __x64_sys_getpgid: "
        ) as caught:
            links.attach_breakpoint(GETPGID, place, hits.program)
        assert ("debug registers" in str(caught.value)) == allowed(Way.BREAKPOINT)
        assert descriptors() == held


def test_every_system_call_is_seen() -> None:
    libc = ctypes.CDLL(None)
    # getpgid has an argument, getppid and sched_yield have none.
    calls = (121, 110, 24)
    with Hits(ProgramType.KPROBE, attach_type=links.KPROBE_MULTI, by_call=True) as hits:
        functions = syscall_functions.addresses()
        if not known("register_fprobe_ips"):
            # Before Linux 5.18, or without CONFIG_FPROBE.
            with pytest.raises(
                BpfRefusedError, match=r"^the kernel refused a kprobe on \d+ functions at once: "
            ):
                links.attach_kprobe_multi(functions, hits.program)
            return
        with links.attach_kprobe_multi(functions, hits.program) as attached:
            for number in calls:
                for _ in range(N):
                    libc.syscall(ctypes.c_long(number), 0)
            assert attached.missed() in (0, None)
        seen = hits.by_call()
    assert {number: seen[number] for number in calls} == dict.fromkeys(calls, N)
