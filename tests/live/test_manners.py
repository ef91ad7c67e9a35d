"""What is said while exits are recorded: nothing, the usual, or everything that it rests on."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import tifbpf
from tests.live.conftest import TIFBPF, Recorder, run
from tifbpf.recording.place import segments_directory

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "raw_tracepoint")]


def test_a_quiet_recording(output: Path) -> None:
    # With a command: an idle host may make no exit but our own for as long as this takes.
    done = run("record", "-q", "-o", output, "--", "true")
    assert (done.stdout, done.stderr) == ("", "")
    assert len(tifbpf.read(output).exits())


def test_a_quiet_recording_leaves_the_command_its_voice(output: Path) -> None:
    done = run("record", "-q", "-o", output, "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_a_quiet_recording_says_what_was_not_to_be_there(output: Path) -> None:
    condition = "context == syscall and syscall == kill and bit == SIGPENDING"
    exercise = [*TIFBPF, "exercise", "-q", "signal", "-n", "5"]
    done = run(
        "record", "-q", "--only-command", "--fail-on", condition, "-o", output, "--", *exercise, check=False
    )
    assert (done.returncode, done.stdout) == (31, "")
    assert "5 exits matched" in done.stderr
    assert "recording" not in done.stderr
    absent = "context == syscall and bit == UPROBE"
    done = run("record", "-q", "-d", "0.2", "--fail-on", absent, "--force", "-o", output)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_quiet_recording_says_that_it_was_cut_short(output: Path) -> None:
    recorder = subprocess.Popen(
        [*TIFBPF, "record", "-q", "-d", "60", "--interval", "0.1", "-o", str(output)],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(segments_directory(output).glob("*.parquet")):
        assert recorder.poll() is None
        time.sleep(0.05)
    recorder.terminate()
    _, said = recorder.communicate(timeout=60)
    assert recorder.returncode == 128 + signal.SIGTERM
    assert said.count("\n") == 1
    assert "(cut short by SIGTERM)" in said


def test_a_verbose_recording_says_what_the_recording_says(output: Path) -> None:
    done = run("record", "-v", "-d", "0.2", "-o", output)
    said = done.stderr.splitlines()
    recorded = tifbpf.read(output)
    (about,) = recorded.metadata
    assert said[-2] == "tifbpf: recording"
    before = said[:-2]
    evidence = [line for line in before if line.startswith(f"tifbpf: layout {about.layout.name}: ")]
    assert len(evidence) == len(about.layout_evidence)
    for coverage in about.contexts:
        lines = [line for line in before if line.startswith(f"tifbpf: {coverage.context}: ")]
        tests = [line for line in lines if re.search(r": self-test .*: \d+ expected, \d+ seen$", line)]
        assert len(tests) == len(coverage.self_tests)
        if coverage.route is None:
            assert f"tifbpf: {coverage.context}: not covered: {coverage.why_not}" in lines
        else:
            assert any(f": route {coverage.route}, {coverage.exactness}: " in line for line in lines)


def test_a_verbose_summary() -> None:
    done = run("stat", "-v", "-d", "0.2")
    assert "tifbpf: syscall: route " in done.stderr
    assert "self-test" not in done.stdout
    assert "exits" in done.stdout


def test_a_recording_whose_reader_has_gone(output: Path) -> None:
    script = '"$@" 2>&1 | true; echo "${PIPESTATUS[0]}"'
    command = [*TIFBPF, "record", "-d", "0.3", "-o", str(output)]
    done = subprocess.run(
        ["bash", "-c", script, "bash", *command], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert tifbpf.read(output).metadata[0].complete


def test_we_do_not_name_ourselves_among_those_who_were_there_before(tmp_path: Path) -> None:
    other = Recorder(tmp_path / "other.tif.parquet", "-d", "60", "--route", "tracepoint")
    try:
        ours = subprocess.Popen(
            [*TIFBPF, "stat", "-d", "0.2", "--route", "tracepoint"], stdout=subprocess.PIPE, text=True
        )
        said, _ = ours.communicate(timeout=60)
    finally:
        other.end()
    said = " ".join(said.split())
    assert "SYSCALL_TRACEPOINT was set before we attached" in said
    assert f"(pid {other.process.pid})" in said
    assert f"(pid {ours.pid})" not in said


def test_a_quiet_doctor() -> None:
    done = run("doctor", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    refused = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", *TIFBPF, "doctor", "-q"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr.startswith("tifbpf: ")
