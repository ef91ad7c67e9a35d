"""A clock that is set while something is recorded."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tifbpf
from tests.live.conftest import Recorder, exercise, pids
from tests.live.test_known_answers import having

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "bcc", "btf")]

N = 100
HOUR = 3600


@contextmanager
def clock_set_back_by(seconds: int) -> Iterator[None]:
    began, since = time.time(), time.monotonic()
    time.clock_settime(time.CLOCK_REALTIME, began - seconds)
    try:
        yield
    finally:
        time.clock_settime(time.CLOCK_REALTIME, began + time.monotonic() - since)


def signals() -> int:
    done = subprocess.run(exercise("signal", N), capture_output=True, text=True, check=True)
    (pid,) = pids(done)
    return pid


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    output = tmp_path / "recording.tif.parquet"
    start = time.time()
    recorder = Recorder(output, "--by", "syscall,pid", "--interval", "0.2")
    begun = time.time()
    with clock_set_back_by(HOUR):
        pid = signals()
        said = recorder.end()
        assert recorder.process.returncode == 0, said
        recordings = tifbpf.read(output)
    (metadata,) = recordings.metadata
    assert metadata.complete
    assert metadata.totals.losses.total == 0
    assert having(recordings, "SIGPENDING", syscall="kill", pid=pid) == N
    assert start <= metadata.started_ns / 1e9 <= begun
    assert 0 < metadata.duration_ns / 1e9 < HOUR
    # One after the other, whatever the clock was set to meanwhile.
    (recording,) = recordings.recordings
    times = recording.rows["time"].to_pandas().astype("int64")
    assert times.min() >= metadata.started_ns
    assert times.max() <= metadata.started_ns + metadata.duration_ns
