"""However a recording ends: what was recorded can be read, and nothing stays attached."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tifbpf
from tests.left import left, settled
from tests.live.conftest import Recorder, exercise, run
from tifbpf.errors import ExitCode
from tifbpf.host import tracers

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = left()
    yield
    assert settled(before) == ""


def syscall_work() -> str:
    """Return this host's syscall_work of an ordinary task."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.live.syscall_work"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def nothing_is_attached() -> None:
    assert syscall_work() == "0x0", tracers.find()


def wait_for_segments(recorder: Recorder, number: int) -> None:
    directory = recorder.output.with_name(recorder.output.name + ".segments")
    for _ in range(600):
        if len(list(directory.glob("[0-9]*"))) >= number:
            return
        time.sleep(0.05)
    pytest.fail(f"no {number} segments after 30 s")


def test_the_bit_is_there_while_recording(output: Path) -> None:
    # Else the next tests could not fail.
    recorder = Recorder(output)
    assert syscall_work() == "0x2"
    recorder.end()
    nothing_is_attached()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cuts_a_recording_short_and_keeps_it(output: Path, number: signal.Signals) -> None:
    recorder = Recorder(output, "-d", "1000", "--interval", "0.1", "--by", "syscall")
    subprocess.run(exercise("signal", 1_000), check=True, capture_output=True)
    wait_for_segments(recorder, 2)
    said = recorder.end(number)
    assert recorder.process.returncode == 128 + number
    assert f"cut short by {number.name}" in said
    recordings = tifbpf.read(output)
    (metadata,) = recordings.metadata
    assert (metadata.complete, metadata.ended) == (False, number.name)
    frame = recordings.exits()
    kills = frame[(frame["syscall"] == "kill") & frame["tif"].str.contains("SIGPENDING")]
    assert int(kills["count"].sum()) == 1_000
    assert not output.with_name(output.name + ".segments").exists()
    nothing_is_attached()
    assert "partial" in run("report", output).stdout


def test_ctrl_c_is_the_end_of_a_recording_without_one(output: Path) -> None:
    recorder = Recorder(output)
    recorder.end(signal.SIGINT)
    assert recorder.process.returncode == 0
    (metadata,) = tifbpf.read(output).metadata
    assert (metadata.complete, metadata.ended) == (True, "SIGINT")


def test_what_a_killed_recorder_flushed_is_read(output: Path) -> None:
    recorder = Recorder(output, "--interval", "0.1", "--by", "syscall")
    subprocess.run(exercise("signal", 1_000), check=True, capture_output=True)
    wait_for_segments(recorder, 1)
    time.sleep(0.3)
    recorder.process.kill()
    recorder.process.wait()
    assert not output.exists()
    nothing_is_attached()
    frame = tifbpf.read(output).exits()
    kills = frame[(frame["syscall"] == "kill") & frame["tif"].str.contains("SIGPENDING")]
    assert int(kills["count"].sum()) == 1_000
    report = run("report", output).stdout
    assert "killed" in report
    # Its place is not taken by the next recording unless one says so.
    refused = run("record", "-d", "1", "-o", output, check=False)
    assert refused.returncode == ExitCode.OUTPUT_EXISTS
    run("record", "-d", "0.1", "-o", output, "--force")
    assert tifbpf.read(output).metadata[0].complete


def test_a_running_recording_can_be_read(output: Path) -> None:
    recorder = Recorder(output, "--interval", "0.1")
    wait_for_segments(recorder, 2)
    assert "still" in run("report", output).stdout
    recorder.end()


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_exit_code_is_the_commands(output: Path, script: str, code: int) -> None:
    done = run("record", "-o", output, "--", "sh", "-c", script, check=False)
    assert done.returncode == code
    assert tifbpf.read(output).metadata[0].ended == "command"
    nothing_is_attached()


def test_a_recorder_that_is_told_to_stop_stops_its_command(output: Path) -> None:
    mark = output.with_name("pid")
    recorder = Recorder(output, "--", "sh", "-c", f"echo $$ > {mark}; exec sleep 1000")
    while not (mark.exists() and mark.read_text().strip()):
        time.sleep(0.01)
    recorder.end(signal.SIGTERM)
    assert recorder.process.returncode == 128 + signal.SIGTERM
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()


def test_the_parts_of_the_key_are_as_long_as_the_compiler_made_them() -> None:
    # In a process of its own: it compiles.
    script = """
from tifbpf.host.btf import KernelTypes
from tifbpf.recorder import abi, addresses, loader, masks, offsets
from tifbpf.recorder.bpf import Map
from tifbpf.recorder.layout import running_layout
with KernelTypes() as types:
    common = offsets.definitions(types) | masks.definitions(running_layout())
for dimensions in ([], ["syscall"], ["comm"], ["pid"], ["cgroup"], ["syscall", "comm", "pid", "cgroup"]):
  for timed in ({}, {"LATENCY": None}):
    codec = abi.KeyCodec(dimensions)
    definitions = {**common, **timed, "PLAIN_WORD": 0, "PLAIN_SYSCALL_WORK": 0, "MAX_CLASSES": 16}
    definitions |= {dimension.define: None for dimension in codec.dimensions}
    if dimensions:
        definitions["DIMENSIONS"] = None
    names = ["settings", "counters", "classes0", "checked", "own"]
    loaded = loader.load(sources=["prepare.c"], before=addresses.find([]).text, after="",
                         definitions=definitions, programs={}, attach_types={}, maps=names)
    maps = {name: Map(fd) for name, fd in loaded.maps.items()}
    assert maps["classes0"].key_size == codec.size, dimensions
    value = abi.TIMED_CLASS_VALUE if timed else abi.CLASS_VALUE
    assert maps["classes0"].value_size == value.size
    assert maps["settings"].value_size == abi.SETTINGS.size
    assert maps["counters"].value_size == abi.SampledCounters.STRUCT.size
    assert maps["checked"].key_size == abi.CHECK_KEY.size
    assert maps["own"].value_size == abi.OWN_WORDS.size
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_nothing_of_a_failed_start_stays(output: Path) -> None:
    done = run("record", "-d", "1", "-o", output, "--route", "no-such-route", check=False)
    assert done.returncode == ExitCode.NO_ROUTE
    assert done.stderr.count("\n") == 1
    assert list(output.parent.iterdir()) == []
    nothing_is_attached()
