"""What each route takes on the kernels that only guests have, in instructions.

An emulated machine has no meaningful time of its own. But QEMU can give it one: with `-icount shift=0` its
clock goes on by a nanosecond with each instruction that the guest executes. So what the kernel takes for
nanoseconds of BPF programs, and the loop for those of a call, are instructions.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.bench import counted
from tests.bench.counted import Counted
from tests.bench.harness import PYTHON, MeasuredSide, Role, Row, Run, bench, need, row, say
from tests.bench.workloads import SOURCE
from tests.vm import cache, machine

KERNELS = {
    "6.1": ("prepare", "return", "tracepoint", "irq-return", "handlers"),
    "7.3": ("loop-breakpoint", "tracepoint"),
}
"""By the names of `make test-vm`, with the routes to look at: each that a guest can run once, and on later
kernels those for system calls."""
_ICOUNT = "-icount shift=0"
_LIMIT = 1800
"""Seconds for one kernel."""
_WHAT = {
    "fast": "a call of getppid, whose exit is fast",
    "signal": "a kill whose exit has SIGPENDING, and the rt_sigreturn after it",
}


@bench("instructions", "Instructions of each route, in guests")
def instructions(run: Run) -> Iterator[Row]:
    """Boots each kernel once, with one CPU: QEMU counts those of one only."""
    need("cc")
    for name, routes in KERNELS.items():
        found = _counted(run.directory / name, name, routes)
        for kind, what in _WHAT.items():
            yield _row(f"{name}: {what}", "instructions", found, lambda it, kind=kind: it.whole.get(kind))  # type: ignore[misc]
            yield _row(
                f"{name}: of these, in BPF programs",
                "instructions",
                found[1:],
                lambda it, kind=kind: it.inside.get(kind),  # type: ignore[misc]
            )
        yield _row(f"{name}: all its programs, JITed", "bytes", found[1:], lambda it: [it.jited_bytes])
        yield _row(
            f"{name}: all its programs, as the verifier left them",
            "BPF instructions",
            found[1:],
            lambda it: [it.bpf_instructions],
        )


def _counted(shared: Path, name: str, routes: tuple[str, ...]) -> list[Counted]:
    shared.mkdir()
    subprocess.run(["cc", "-O2", "-static", "-o", shared / "loop", SOURCE], check=True)
    kernel = cache.kernel(name)
    config = str(kernel.config) if kernel.config else None
    (shared / counted.ORDERS).write_bytes(msgspec.json.encode(counted.Orders(config=config, routes=routes)))
    say(f"{kernel.release} counts instructions")
    command = [PYTHON, "-m", "tests.bench.counted", machine.SHARED]
    machine.run(kernel, command, shared, _LIMIT, cpus=1, emulator=[_ICOUNT])
    return msgspec.json.decode((shared / counted.FOUND).read_bytes(), type=list[Counted])


def _row(what: str, unit: str, found: list[Counted], values: Callable[[Counted], list[float] | None]) -> Row:
    return row(
        what,
        unit,
        [
            MeasuredSide(
                name=it.name,
                role=_role(it.name),
                command=it.command,
                values=[] if it.missing else (values(it) or []),
                missing=it.missing,
            )
            for it in found
        ],
    )


def _role(name: str) -> Role:
    if name.startswith("tifbpf"):
        return Role.OURS
    return Role.PEER if name == "bpftrace" else Role.FLOOR
