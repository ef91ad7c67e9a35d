"""`make bench`: figures, none of them a test. Sides are interleaved, medians and spreads of all rounds."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 15
PYTHON = sys.executable
TIFBPF = [str(Path(PYTHON).with_name("tifbpf"))]


def seconds(command: list[str]) -> float:
    """Return the time from start to end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def until(command: list[str], marker: str) -> float:
    """Return the time from start to the line `marker` on stdout or stderr; end the command then."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if marker in line:
                break
        else:
            raise SystemExit(f"{command[0]} never said {marker!r}")
        took = time.perf_counter() - began
        process.terminate()
        process.communicate()
    return took


def interleaved(sides: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Measure every side once a round, so that what the machine does meanwhile meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            taken[name].append(measure())
    return taken


def proportional_set_size(pid: int) -> float:
    """Return the PSS of a process in MB (10^6 bytes)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024 / 1e6


def recorder_memory(directory: Path) -> list[float]:
    """Return the recorder's PSS after each of some seconds, all dimensions on, beside a busy host."""
    output = directory / "memory.tif.parquet"
    recorder = subprocess.Popen(
        [*TIFBPF, "record", "--force", "-o", output, "--by", "syscall,comm,pid,cgroup,cpu"],
        stderr=subprocess.PIPE,
    )
    assert recorder.stderr is not None
    recorder.stderr.readline()
    sizes = []
    for _ in range(5):
        subprocess.run(["sh", "-c", "for i in $(seq 200); do true | cat; done"], check=True)
        time.sleep(1)
        sizes.append(proportional_set_size(recorder.pid))
    recorder.send_signal(signal.SIGINT)
    recorder.communicate()
    return sizes


def main() -> None:
    """Measure, print a table, and JSON to the file that is the only argument."""
    if os.geteuid() != 0:
        raise SystemExit("make bench needs root: it records")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        record = [*TIFBPF, "record", "--force", "-o", str(directory / "start.tif.parquet")]
        script = "tracepoint:raw_syscalls:sys_exit { @[tid] = count(); } BEGIN { exit(); }"
        times = interleaved(
            {
                "python -c pass (floor)": lambda: seconds([PYTHON, "-c", "pass"]),
                "tifbpf --help": lambda: seconds([*TIFBPF, "--help"]),
                "tifbpf record, to attached": lambda: until(record, "tifbpf: recording"),
            }
            | (
                {"bpftrace, to attached and out": lambda: seconds(["bpftrace", "-e", script])}
                if shutil.which("bpftrace")
                else {}
            )
        )
        memory = recorder_memory(directory)
    floor = statistics.median(times["python -c pass (floor)"])
    print(f"{'':32} {'median':>10} {'min':>10} {'max':>10}   of the floor")
    for side, values in times.items():
        median = statistics.median(values)
        print(
            f"{side:32} {median:8.3f} s {min(values):8.3f} s {max(values):8.3f} s {median / floor:9.1f} times"
        )
    sizes = (statistics.median(memory), min(memory), max(memory))
    print(f"{'recorder, PSS':32} " + " ".join(f"{size:7.1f} MB" for size in sizes))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps({"seconds": times, "recorder_pss_mb": memory}, indent=1))


if __name__ == "__main__":
    main()
