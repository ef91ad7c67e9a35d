"""What a hook passes over is counted, by the kernel or by us."""

from __future__ import annotations

import os

import pytest

from tests.live.hits import Hits
from tests.live.test_links import GETPGID, N, address, allowed
from tifbpf.host.facts import Way
from tifbpf.host.programs import ProgramType
from tifbpf.recorder import links
from tifbpf.recorder.bpf import unpreempted

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "btf")]


def test_a_breakpoint_that_was_hit_and_whose_program_did_not_run() -> None:
    if not allowed(Way.BREAKPOINT):
        # Refused, as test_links shows; then nothing is missed either.
        return
    with Hits(ProgramType.PERF_EVENT) as hits:
        runs = 0
        with links.attach_breakpoint(GETPGID, address(GETPGID), hits.program, lambda: runs) as attached:
            for _ in range(N):
                os.getpgid(0)
            # Other processes may call it as well.
            missed = attached.missed()
            assert missed is not None
            assert missed >= N
            # A run that is counted only now, as for a hit in between, takes no miss back.
            runs = 10 * N
            assert attached.missed() == missed
        os.getpgid(0)
        assert attached.missed() == missed


def test_who_does_not_count_runs_does_not_say() -> None:
    if not allowed(Way.BREAKPOINT):
        return
    with (
        Hits(ProgramType.PERF_EVENT) as hits,
        links.attach_breakpoint(GETPGID, address(GETPGID), hits.program) as attached,
    ):
        os.getpgid(0)
        assert attached.missed() is None


def test_nothing_attached_has_missed_nothing_that_it_knows() -> None:
    assert links.Links().missed() is None


def test_nobody_preempts_who_reads_a_map() -> None:
    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    with unpreempted():
        assert os.sched_getscheduler(0) == os.SCHED_FIFO
    assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_who_has_a_real_time_priority_keeps_it() -> None:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    try:
        with unpreempted():
            assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == (os.SCHED_RR, 5)
        assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == (os.SCHED_RR, 5)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
