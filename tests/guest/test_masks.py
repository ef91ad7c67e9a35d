"""The masks in the machine code of the guest's kernel."""

from __future__ import annotations

import pytest

from tifbpf.layouts.confirm import Verdict
from tifbpf.recorder.layout import establish_running

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "btf")]


def test_the_machine_code_tests_what_the_layout_says() -> None:
    established = establish_running()
    assert [check.verdict for check in established.checks if check.tier in ("loop", "syscall_work")] == [
        Verdict.CONFIRMED,
        Verdict.CONFIRMED,
    ]
    assert [check for check in established.checks if check.verdict is not Verdict.CONFIRMED] == []
    assert [item.fact for item in established.evidence if item.verdict == "contradicts"] == []
