"""What the kernel that runs tests, by its machine code, beside its layout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.live.conftest import AS_NOBODY, TIFBPF, exercise, record, run
from tifbpf.host import kallsyms
from tifbpf.layouts.confirm import Verdict
from tifbpf.layouts.model import Context, Word
from tifbpf.layouts.tested import Role
from tifbpf.machine import symbols
from tifbpf.recorder import machine_code
from tifbpf.recorder.layout import establish_running

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "btf")]


@pytest.mark.requires("raw_tracepoint")
def test_the_layout_is_that_of_the_machine_code() -> None:
    established = establish_running()
    assert {check.tier for check in established.checks} >= {"loop", "syscall_work"}
    assert {check.verdict for check in established.checks} == {Verdict.CONFIRMED}
    assert not [item.fact for item in established.evidence if item.verdict == "contradicts"]


@pytest.mark.requires("raw_tracepoint")
def test_what_decides_is_a_part_of_all() -> None:
    every = machine_code.running()
    decisive = machine_code.decisive(kallsyms.find(symbols.names(every=False)))
    assert every.missing == decisive.missing == ()
    for role in (Role.WORK, Role.SYSCALL_WORK):
        mask = decisive.decisive(role, Context.SYSCALL)
        assert mask is not None
        assert mask == every.decisive(role, Context.SYSCALL)
    layout = establish_running().layout
    for name, callee in (("NEED_RESCHED", "schedule"), ("SIGPENDING", "arch_do_signal_or_restart")):
        bit = layout.named(name, Word.TIF)
        assert bit is not None
        assert callee in decisive.callees(Word.TIF, bit.number)


@pytest.mark.requires("raw_tracepoint")
def test_a_child_reads_the_same() -> None:
    found = kallsyms.find(symbols.names(every=False))
    assert machine_code.Reading(found).result() == machine_code.decisive(found)


def test_a_child_that_is_killed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(found: kallsyms.Symbols) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(machine_code, "decisive", die)
    tested = machine_code.Reading(kallsyms.Symbols(places={})).result()
    assert tested.masks == ()
    assert tested.missing == ("the process that read it ended before it was done",)


@pytest.mark.requires("bcc", "raw_tracepoint")
def test_a_recording_says_so(tmp_path: Path) -> None:
    recordings, _ = record(tmp_path / "r.tif.parquet", "--", "true")
    (recording,) = recordings.recordings
    said = {item.verdict for item in recording.metadata.layout_evidence if "machine code of" in item.source}
    assert said == {"confirms"}


@pytest.mark.requires("bcc", "raw_tracepoint")
def test_doctor() -> None:
    said = run("doctor").stdout
    assert "\nMasks\n  loop               confirmed: 0x" in said
    checks = json.loads(run("doctor", "--json").stdout)["layout"]["checks"]
    assert {check["verdict"] for check in checks} == {"confirmed"}


@pytest.mark.requires("raw_tracepoint")
def test_masks() -> None:
    said = run("masks").stdout
    assert "\nMasks in the machine code\n" in said
    assert "\nGuards in the machine code\n" in said
    assert " NEED_RESCHED" in said
    document = json.loads(run("masks", "--json").stdout)
    assert {mask["role"] for mask in document["machine_code"]["masks"]} >= {"work", "loop", "syscall work"}


def test_who_may_not_read_text_is_told_so() -> None:
    done = subprocess.run(
        [*AS_NOBODY, *TIFBPF, "doctor", "--json"], capture_output=True, text=True, check=False
    )
    layout = json.loads(done.stdout)["layout"]
    assert {check["verdict"] for check in layout["checks"]} == {"not found"}
    (said,) = (item for item in layout["evidence"] if item["source"].startswith("machine code of"))
    assert said["verdict"] == "absent"
    assert "kallsyms hides the addresses" in said["fact"]


@pytest.mark.requires("raw_tracepoint")
def test_a_recording_says_which_mask_bits_were_never_set(tmp_path: Path) -> None:
    output = tmp_path / "recording.tif.parquet"
    n = 500
    record(output, "--only-command", "--", *exercise("signal", n))
    done = run("masks", "--json", output)
    assert done.returncode == 0
    (kernel,) = json.loads(done.stdout)["kernels"]
    seen = kernel["seen"]
    bits = {(bit["word"], bit["bit"]): bit for bit in seen["bits"]}
    sigpending, exits = bits["tif", "SIGPENDING"], bits["tif", "SIGPENDING"]["exits"]
    # Each kill reaches its own exit, and nobody else signals the exercise.
    assert sigpending["trigger"] == sigpending["present"] == n
    assert exits >= n
    assert bits["tif", "UPROBE"]["trigger"] == 0
    (claim,) = [text for text in kernel["conclusion"] if "UPROBE" in text]
    assert f"in {exits:,} " in claim
    assert "never set" in claim
    assert "SIGPENDING" not in claim
    assert seen["unexpected"] == []
