"""Short versions of tests/torture: nothing lost, nothing left behind, whatever happens to a recorder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import conservation, faults, kills, together
from tests.torture.report import Outcome
from tests.torture.stand import stand

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "raw_tracepoint", "strace")]

N = 80_000


@pytest.mark.parametrize("options", [("--map-size", "1"), ("--map-size", "16"), ("--interval", "0.01")])
def test_as_many_exits_are_seen_as_were_caused(tmp_path: Path, options: tuple[str, ...]) -> None:
    with stand(tmp_path) as place:
        losses = conservation.calls(place, N, *options).losses
        assert losses.map_full > 0 or options != ("--map-size", "1")


def test_a_recorder_that_is_stopped_for_a_while(tmp_path: Path) -> None:
    with stand(tmp_path) as place:
        assert conservation.held_up(place, N, seconds=1).losses.total == 0


@pytest.mark.requires("binutils")
def test_processes_that_come_and_go(tmp_path: Path) -> None:
    with stand(tmp_path) as place:
        conservation.churn(place, 5_000, 2)


@pytest.mark.parametrize("call", ["fsync", "renameat", "unlinkat"])
def test_a_recorder_that_is_killed_as_it_writes(tmp_path: Path, call: str) -> None:
    outcome = Outcome(campaign="", what="")
    with stand(tmp_path) as place:
        kills.at_step(place, outcome, call, 2, 5, 0.1)
    assert outcome.figures[f"at {call}"] == 1


def test_a_recorder_that_is_killed_as_it_merges(tmp_path: Path) -> None:
    outcome = Outcome(campaign="", what="")
    with stand(tmp_path) as place:
        # One flush, at the end; then the whole.
        kills.at_step(place, outcome, "fsync", 2, 3, 30)
    assert outcome.figures["at fsync"] == 1


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=pytest.mark.requires(faults.NEEDED.get(what, "root")))
        for what in faults.FAULTS
    ],
)
def test_a_fault_is_one_line_and_what_was_recorded_is_kept(tmp_path: Path, what: str) -> None:
    with stand(tmp_path) as place:
        faults.FAULTS[what](place)


@pytest.mark.parametrize("what", together.CASES)
@pytest.mark.requires("bpftrace")
def test_two_at_once(tmp_path: Path, what: str) -> None:
    with stand(tmp_path) as place:
        together.CASES[what](place)
