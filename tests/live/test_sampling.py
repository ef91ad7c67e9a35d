"""--sample, --duty and --max-overhead on this host, with known answers."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tifbpf
from tests.live.conftest import Recorder, exercise, record, run
from tifbpf import Recordings
from tifbpf.errors import ExitCode
from tifbpf.recorder.bpf import Program, enable_run_times
from tifbpf.recorder.filters import Filters
from tifbpf.recorder.options import Options
from tifbpf.recorder.session import Session

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

# So many calls every millisecond, for some seconds: as many a second whether somebody looks or not.
PACED = """
import os, sys, time
calls, milliseconds = map(int, sys.argv[1:])
began = time.monotonic()
for number in range(milliseconds):
    for _ in range(calls): os.getppid()
    time.sleep(max(began + number / 1000 - time.monotonic(), 0))
"""


def paced(calls: int, milliseconds: int) -> list[str]:
    return [sys.executable, "-c", PACED, str(calls), str(milliseconds)]


def calls_of(recordings: Recordings, name: str) -> int:
    return int(recordings.frequency("syscall").loc[name, "exits"])


def runs_of(program: Program) -> int:
    """Return how often a program ran while the kernel counted that."""
    about = Path(f"/proc/self/fdinfo/{program.fd}").read_text()
    (count,) = re.findall(r"^run_cnt:\s+(\d+)$", about, re.MULTILINE)
    return int(count)


def attached(pid: int) -> bool:
    """Whether the process holds a link of BPF."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(descriptor.readlink()))
    return "anon_inode:bpf_link" in found


def test_a_tenth_of_a_million_exits_tells_how_many_there_were(output: Path) -> None:
    covered = 0
    for _ in range(3):
        options = ("--sample", "10", "--only-command", "--by", "syscall")
        found, _ = record(output, *options, "--", *exercise("signal", 20_000))
        line = found.frequency("syscall").loc["kill"]
        # Five standard errors of 20,000 of which each was looked at with a probability of 1/10.
        assert abs(int(line["slow"]) - 20_000) < 5 * (20_000 * 9) ** 0.5
        bounds = found.estimates("syscall").loc["kill"]
        seconds = float(found.frequency().loc["syscall", "seconds"])
        low, high = (float(bounds[f"slow_per_second_{side}"]) * seconds for side in ("low", "high"))
        covered += low <= 20_000 <= high
        output.unlink()
    # Each misses once in 20 times.
    assert covered
    found, _ = record(output, *options, "--", *exercise("syscall", 1_000_000))
    assert abs(calls_of(found, "getppid") - 1_000_000) < 5 * (1_000_000 * 9) ** 0.5


def test_the_rarest_sample_is_a_program_that_the_kernel_takes(output: Path) -> None:
    """As many digits as there are, and the verifier follows no branch for each."""
    _, done = record(output, "--sample", "1000000", "--by", "syscall,comm,pid,cpu", "--", "true")
    assert ": about " in done.stderr


def test_what_is_passed_by_is_counted() -> None:
    """Every run of the program is an exit that was looked at or passed by."""
    options = Options(one_in=10, filters=Filters(include_self=True))
    with enable_run_times(), Session(options) as session:
        session.begin()
        session.pause()
        (program,) = session.programs
        before, totals = runs_of(program), session.metadata().totals
        session.resume()
        subprocess.run(exercise("syscall", 300_000), check=True, capture_output=True)
        session.pause()
        runs = runs_of(program) - before
        now = session.finish().metadata.totals
    looked_at, passed_by = now.seen - totals.seen, now.not_sampled - totals.not_sampled
    # Those are more that ran while it was attached and did not count yet, or no longer.
    assert 0 <= runs - (looked_at + passed_by) < 2_000
    assert looked_at + passed_by > 300_000
    assert abs(looked_at - (looked_at + passed_by) / 10) < 5 * (300_000 * 0.09) ** 0.5 + 200


def test_duty_leaves_the_host_alone_most_of_the_time(output: Path) -> None:
    recorder = Recorder(output, "--duty", "20", "--interval", "0.2", "--by", "syscall")
    busy = subprocess.Popen(paced(50, 3_000))
    found = []
    while busy.poll() is None:
        found.append(attached(recorder.process.pid))
        time.sleep(0.005)
    recorder.end()
    assert 0.1 < sum(found) / len(found) < 0.4
    recordings = tifbpf.read(output)
    (metadata,) = recordings.metadata
    assert metadata.sampling is not None
    assert metadata.sampling.recorded_ns * 5 == metadata.duration_ns
    # All of the loop's calls, of which a fifth was seen; other processes make some as well.
    assert calls_of(recordings, "getppid") == pytest.approx(150_000, rel=0.3)


def test_the_recorder_does_less_when_it_costs_too_much(output: Path) -> None:
    options = ("--max-overhead", "0.5", "--interval", "0.3", "--by", "syscall,comm")
    done = run("record", "-o", output, *options, "--", *exercise("syscall", 5_000_000))
    assert "more than --max-overhead 0.5: recording 1/" in done.stderr
    recordings = tifbpf.read(output)
    sampling = recordings.metadata[0].sampling
    assert sampling is not None
    assert sampling.steps[0].every > 1
    assert sampling.steps[0].cost > 0.5
    report = json.loads(run("report", output, "--json").stdout)
    assert "sampled" in {caveat["kind"] for caveat in report["caveats"]}


def test_a_recorder_that_may_cost_much_looks_at_every_exit(output: Path) -> None:
    options = ("--max-overhead", "100", "--only-command", "--by", "syscall")
    found, _ = record(output, *options, "--", *exercise("signal", 1_000))
    assert not found.estimated
    assert int(found.frequency("syscall").loc["kill", "slow"]) == 1_000


def test_none_in_a_sample_is_no_pass(output: Path) -> None:
    quiet = "context == syscall and bit == SIGPENDING and comm == nobody"
    for option in (("--sample", "10"), ("--duty", "50", "--interval", "0.1")):
        done = run(
            "record", "--force", "-o", output, *option, "--fail-on", quiet, "--", "sleep", "0.3", check=False
        )
        assert done.returncode == ExitCode.CONDITION_UNDECIDED, done.stderr
