"""SYSCALL_AUDIT, which fork gives to every process while audit is on, and the rule that keeps it away."""

from __future__ import annotations

import os

import pytest

from tests.live.exit_counter import ExitCounter
from tests.live.running_layout import is_set
from tifbpf import exercises
from tifbpf.exercises.audit_netlink import Audit, Message, connected

pytest_plugins = ["tests.live.exercise_fixtures"]
pytestmark = [pytest.mark.live, pytest.mark.requires("root", "audit")]

_GETPPID = 110


def rules(audit: Audit) -> list[bytes]:
    return audit.ask(Message.LIST_RULES)


def test_the_rule_is_there_for_the_while_and_gone_after_it() -> None:
    with connected() as audit:
        before = rules(audit)
        with audit.never_for_children():
            (added,) = [rule for rule in rules(audit) if rule not in before]
        assert rules(audit) == before
    # struct audit_rule_data: AUDIT_FILTER_TASK, AUDIT_NEVER, one field: AUDIT_PID, equal to ours.
    words = memoryview(added).cast("I")
    assert words[:3].tolist() == [1, 0, 1]
    assert (words[3 + 64], words[3 + 128], words[3 + 192]) == (0, os.getpid(), 0x40000000)


def test_the_rule_is_gone_after_a_failure() -> None:
    with connected() as audit:
        before = rules(audit)
        with pytest.raises(KeyboardInterrupt), audit.never_for_children():
            raise KeyboardInterrupt
        assert rules(audit) == before


def test_a_control_leaves_no_rule() -> None:
    with connected() as audit:
        before = rules(audit)
        exercises.run_in_children("audit", 3, control=True)
        assert rules(audit) == before


def audited(exit_counter: ExitCounter, *, control: bool) -> int:
    with exit_counter.counting():
        exercises.run_in_children("audit", 1000, control=control, started=exit_counter.watch)
    return sum(
        count
        for exit_, count in exit_counter.seen().exits.items()
        if exit_.nr == _GETPPID and is_set("SYSCALL_AUDIT", exit_.flags, exit_.syscall_work)
    )


@pytest.mark.requires("audit_on", "raw_tracepoint")
def test_every_exit_of_an_audited_process_has_the_bit(exit_counter: ExitCounter) -> None:
    assert audited(exit_counter, control=False) == 1000


@pytest.mark.requires("audit_on", "raw_tracepoint")
def test_no_exit_has_it_where_a_rule_says_never(exit_counter: ExitCounter) -> None:
    assert audited(exit_counter, control=True) == 0
