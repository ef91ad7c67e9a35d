"""seen = recorded + lost, and as many as were caused, whatever is done to the recorder meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import tifbpf
from tests.torture.report import Outcome
from tests.torture.stand import TIFBPF, Recorder, Stand, stand
from tifbpf.layouts.model import Context
from tifbpf.recorder.options import MAX_CLASSES
from tifbpf.recording.metadata import Totals

CAMPAIGN = "conservation"
PROCESSES = 8
DIMENSIONS = ("--by", "syscall,comm,pid,cgroup,cpu")
_LAST_CPU = Path(f"/sys/devices/system/cpu/cpu{os.sysconf('SC_NPROCESSORS_CONF') - 1}/online")
"""Not there for a CPU that has to stay."""
# The exercise's calls and nothing else: no other program that it takes calls getppid.
_ONLY = ("--syscall", "getppid")


def calls(place: Stand, n: int, *options: str) -> Totals:
    """Record `n` calls of PROCESSES processes together; see to it that as many were seen.

    Raises:
        AssertionError: not as many.
    """
    each = n // PROCESSES
    exercise = [*TIFBPF, "exercise", "-q", "syscall", "-n", str(each), "--processes", str(PROCESSES)]
    command = ["record", "-o", place.output, *DIMENSIONS, *_ONLY, "--only-command", *options]
    said = place.run(*command, "--", *exercise)
    totals = place.totals()
    assert totals.seen == each * PROCESSES, totals
    losses_are_printed(said, totals)
    return totals


def losses_are_printed(said: str, totals: Totals) -> None:
    """See to it that every cause is named with its number.

    Raises:
        AssertionError: one is not.
    """
    losses = totals.losses
    for cause in losses.__struct_fields__:
        assert f"{cause.replace('_', ' ')} {getattr(losses, cause):,}" in said, said


def held_up(place: Stand, n: int, seconds: float) -> Totals:
    """Stop the recorder for so long while `n` calls are made."""
    recorder = place.recorder(*DIMENSIONS, *_ONLY, "--comm", "tortured", "--interval", "0.1")
    beside = caller(place, n, pause=seconds / 2)
    os.kill(recorder.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(recorder.pid, signal.SIGCONT)
    return ended(place, recorder, beside, n)


def caller(place: Stand, n: int, pause: float = 0) -> subprocess.Popen[str]:
    """Start a process called `tortured` that makes `n` calls, half of them after a pause."""
    script = f"""
import ctypes, time
from tifbpf import exercises
prctl = ctypes.CDLL(None).prctl
exercise = exercises.get("syscall")
prctl(15, b"tortured", 0, 0, 0)
exercise.run({n // 2})
time.sleep({pause})
exercise.run({n - n // 2})
prctl(15, b"python3", 0, 0, 0)
"""
    return place.start([TIFBPF[0], "-c", script])


def ended(place: Stand, recorder: Recorder, beside: subprocess.Popen[str], n: int) -> Totals:
    """Wait for the calls, end the recorder, and see to it that it saw all `n`.

    Raises:
        AssertionError: it did not.
    """
    _, said = beside.communicate(timeout=600)
    assert beside.returncode == 0, said
    code, said = recorder.end()
    assert code == 0, said
    totals = place.totals()
    assert calls_seen(place) == n, totals
    losses_are_printed(said, totals)
    return totals


def calls_seen(place: Stand) -> int:
    """Return how many exits of system calls passed the hook that counts all of them."""
    (metadata,) = tifbpf.read(place.output).metadata
    (coverage,) = (found for found in metadata.contexts if found.context is Context.SYSCALL)
    totals = metadata.totals
    return totals.counted + totals.uncounted if coverage.slow_only else totals.seen


# Forks as fast as a CPU can: the child shares its parent's memory (vfork) and makes one call.
CHURN = """
    .globl _start
_start:
    mov $FORKS, %r12
again:
    mov $58, %eax           # vfork
    syscall
    test %eax, %eax
    jz child
    mov $61, %eax           # wait4(-1, 0, 0, 0)
    mov $-1, %rdi
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    syscall
    dec %r12
    jnz again
    mov $60, %eax
    xor %edi, %edi
    syscall
child:
    mov $110, %eax          # getppid
    syscall
    mov $60, %eax           # exit: this one never returns
    xor %edi, %edi
    syscall
"""


def churn(place: Stand, forks: int, processes: int, *options: str) -> tuple[Totals, float]:
    """Record `processes` that fork so often each, children making one call; return also forks a second."""
    program = place.directory / "scratch" / "churn"
    source = CHURN.replace("FORKS", str(forks))
    subprocess.run(["as", "-o", f"{program}.o", "-"], input=source, text=True, check=True)
    subprocess.run(["ld", "-o", program, f"{program}.o"], check=True)
    recorder = place.recorder(*DIMENSIONS, *_ONLY, "--comm", "churn", *options)
    start = time.monotonic()
    running = [place.start([program]) for _ in range(processes)]
    codes = [process.wait() for process in running]
    seconds = time.monotonic() - start
    assert codes == [0] * processes
    code, said = recorder.end()
    assert code == 0, said
    totals = place.totals()
    assert totals.seen == forks * processes, totals
    for name in (program, Path(f"{program}.o")):
        name.unlink()
    return totals, forks * processes / seconds


def cpu_away(place: Stand, switch: Path, n: int) -> Totals:
    """Take a CPU away and give it back while `n` calls are made; they go on there afterwards."""
    recorder = place.recorder(*DIMENSIONS, *_ONLY, "--comm", "tortured", "--interval", "0.1")
    beside = caller(place, n, pause=1)
    try:
        for state in ("0", "1", "0", "1"):
            switch.write_text(state)
            time.sleep(0.3)
    finally:
        switch.write_text("1")
    return ended(place, recorder, beside, n)


def run(scale: float, names: str = "") -> Iterator[Outcome]:
    """Run all of it; `scale` 1 is 50 million calls a recording."""
    n = max(int(50_000_000 * scale) // PROCESSES * PROCESSES, PROCESSES)

    def case(what: str, act: Callable[[Stand, Outcome], Totals], faults: int = 0) -> Iterator[Outcome]:
        if not re.search(names, what):
            return
        outcome = Outcome(campaign=CAMPAIGN, what=what)

        def acted() -> None:
            with tempfile.TemporaryDirectory() as directory, stand(Path(directory)) as place:
                totals = act(place, outcome)
                outcome.figures |= {"seen": totals.seen, "recorded": totals.recorded}
                losses = totals.losses
                outcome.figures |= {cause: getattr(losses, cause) for cause in losses.__struct_fields__}

        outcome.attempt(acted, faults)
        yield outcome

    for size in (1, 16, MAX_CLASSES):
        yield from case(
            f"{n:,} calls of 8 processes, all dimensions, map of {size}",
            lambda place, _, size=size: calls(place, n, "--map-size", str(size)),  # type: ignore[misc]
        )
    yield from case(
        f"{n:,} calls of 8 processes, interval 10 ms",
        lambda place, _: calls(place, n, "--interval", "0.01"),
    )
    yield from case(
        "the recorder stopped for 30 s",
        lambda place, _: held_up(place, n // 10, max(30 * scale, 0.5)),
        faults=1,
    )

    def churned(place: Stand, outcome: Outcome) -> Totals:
        processes = os.cpu_count() or 1
        totals, rate = churn(place, int(200_000 * scale) // processes, processes)
        outcome.figures["forks/s"] = rate
        return totals

    yield from case("processes that come and go", churned)
    if _LAST_CPU.exists():
        yield from case(
            "a CPU that goes offline and comes back, twice",
            lambda place, _: cpu_away(place, _LAST_CPU, n // 10),
            faults=2,
        )
