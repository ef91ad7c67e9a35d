"""The unit for systemd: it is one, and what it takes away is not missed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.live.conftest import TIFBPF, exercise
from tests.live.exporter import free_port, status

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "raw_tracepoint", "systemd")]

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "docs" / "systemd" / "tifbpf-export.service"
MOST_EXPOSED = 3.0
"""Of 10, as systemd-analyze counts; what is missing to 0 is what tifbpf is for, and the network."""
NONE = "0" * 16
N = 1000


def test_it_is_a_unit(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/tifbpf/bin/tifbpf", "/bin/true")
    here.write_text("\n".join(line for line in text.splitlines() if not line.startswith("Documentation=")))
    done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_is_not_exposed() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    (level,) = re.findall(r"Overall exposure level for \S+ ([\d.]+)", done.stdout)
    assert float(level) < MOST_EXPOSED


def test_what_it_takes_away_is_not_missed() -> None:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.live.sandbox", UNIT),
            *(*TIFBPF, "export", "--listen", f"127.0.0.1:{port}"),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line == f"tifbpf: serving http://127.0.0.1:{port}/metrics\n", line + process.stderr.read()
        held = status(process.pid)
        assert {held[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {NONE}
        assert (held["NoNewPrivs"], held["Seccomp"]) == ("1", "2")
        subprocess.run(exercise("signal", N), check=True, stdout=subprocess.DEVNULL)
        time.sleep(1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        (seen,) = re.findall(r'^tifbpf_exits_total\{context="syscall"\} ([\d.e+]+)$', text, re.MULTILINE)
        assert float(seen) >= N
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert process.returncode == 0
