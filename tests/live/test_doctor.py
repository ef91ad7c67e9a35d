"""`tifbpf doctor` on this host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.live.conftest import AS_NOBODY
from tifbpf.errors import ExitCode

pytestmark = pytest.mark.live

COMMAND = "from tifbpf.cli import main; main()"
# PR_CAPBSET_DROP of CAP_SYS_ADMIN, CAP_PERFMON and CAP_BPF, which an exec then takes from root too.
WITHOUT_CAPABILITIES = f"""
import ctypes, os, sys
for capability in (21, 38, 39):
    assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-c", {COMMAND!r}, *sys.argv[1:]])
"""


def doctor(
    *options: str, command: str = COMMAND, before: Sequence[str] = (), path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [*before, sys.executable, "-c", command, "doctor", *options],
        capture_output=True, text=True, env=environment, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.requires("root", "bcc", "btf", "raw_tracepoint")
class TestAsRoot:
    def test_text(self) -> None:
        done = doctor()
        assert done.returncode == ExitCode.OK, done.stderr
        assert done.stderr == ""
        assert max(map(len, done.stdout.splitlines())) <= 80
        for title in (
            "Host",
            "Attaching",
            "Coverage",
            "Routes",
            "Layout",
            "Who traces system calls already",
            "So",
        ):
            assert f"\n{title}\n" in f"\n{done.stdout}"
        assert done.stdout.rstrip().splitlines()[-2].split()[:2] == ["can", "record"]

    def test_json(self) -> None:
        done = doctor("--json")
        assert done.returncode == ExitCode.OK, done.stderr
        found = json.loads(done.stdout)
        choices = {choice["context"]: choice for choice in found["plan"]["choices"]}
        assert choices["syscall"]["route"] == "tracepoint"
        assert choices["syscall"]["perturbs"].startswith("sets SYSCALL_TRACEPOINT on every task")
        assert choices["interrupt"]["route"] is None
        assert {item["route"] for item in choices["interrupt"]["refused"]} == {
            "notify",
            "usermode-loop",
            "prepare",
            "loop",
            "loop-breakpoint",
            "irq-return",
        }
        assert {item["route"] for item in choices["exception"]["refused"]} == {
            "usermode-loop",
            "prepare",
            "loop",
            "loop-breakpoint",
            "handlers",
        }
        # What the recording would say, seen to hold: 64 acts of each of three exercises.
        syscall, interrupt, exception = found["contexts"]
        assert [(test["expected"], test["seen"]) for test in syscall["self_tests"]] == [(64, 64)] * 3
        assert (interrupt["route"], exception["route"]) == (None, None)
        assert all(item["reason"] for choice in choices.values() for item in choice["refused"])
        assert found["obstacles"] == []
        assert found["bcc"]["there"] is True
        assert found["layout"]["layout"]["name"]
        assert found["layout"]["evidence"]


@pytest.mark.requires("root", "btf")
class TestWhatIsInTheWay:
    def test_another_bcc(self, tmp_path: Path) -> None:
        (tmp_path / "bcc").mkdir()
        (tmp_path / "bcc" / "__init__.py").write_text("raise SystemExit('imported')\n")
        done = doctor(path=tmp_path)
        assert done.returncode == ExitCode.WRONG_BCC
        assert "cannot record `import bcc` finds another project" in " ".join(done.stdout.split())

    def test_root_without_capabilities(self) -> None:
        done = doctor("--json", command=WITHOUT_CAPABILITIES)
        assert done.returncode == ExitCode.MISSING_CAPABILITY, done.stderr
        found = json.loads(done.stdout)
        assert found["obstacles"][0]["text"].startswith("root here lacks CAP_BPF and CAP_PERFMON, ")
        assert found["facts"]["ways"]["raw_tracepoint"]["answer"] is None


@pytest.mark.requires("root")
class TestAsNobody:
    def test_says_what_it_cannot_see_and_does_not_fail(self) -> None:
        done = doctor(before=AS_NOBODY)
        assert done.returncode == ExitCode.NOT_ROOT
        assert done.stderr == ""
        assert "recording needs root: run it with sudo" in " ".join(done.stdout.split())
        assert "unseen: kallsyms" in done.stdout

    def test_unknown_is_not_no(self) -> None:
        found = json.loads(doctor("--json", before=AS_NOBODY).stdout)
        assert found["facts"]["ways"]["raw_tracepoint"]["answer"] is None
        assert found["obstacles"][0]["text"] == "recording needs root: run it with sudo"
