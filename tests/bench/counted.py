"""What runs in the guest of `instructions`: python -m tests.bench.counted DIRECTORY, with orders in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.bench import programs
from tests.bench.harness import PYTHON, TIFBPF, MissingError, running
from tests.bench.probe import SCRIPTS
from tests.vm import guest, machine
from tifbpf.recorder.bpf import enable_run_times

ORDERS, FOUND = "orders.json", "found.json"
KINDS = ("fast", "signal")
"""Of loop.c."""
_CALLS = 20_000
_TIMES = 3
_PATIENCE = 400
"""Seconds to attach in; an emulated compiler takes its time."""


class Orders(msgspec.Struct, frozen=True):
    """What to do."""

    config: str | None
    """The kernel's configuration."""
    routes: tuple[str, ...]


class Counted(msgspec.Struct, frozen=True):
    """What a side came to on one kernel; each value of a call of the loop."""

    name: str
    command: str
    missing: str | None = None
    """Why it could not run."""
    jited_bytes: int = 0
    bpf_instructions: int = 0
    """Of all programs that it loaded, after the verifier rewrote them."""
    programs: int = 0
    whole: dict[str, list[float]] = {}
    """Instructions from one call to the next, by kind: the loop's own, the kernel's, and what is attached."""
    inside: dict[str, list[float]] = {}
    """Of these, in the BPF programs and what they call."""


def sides(routes: Sequence[str]) -> Iterator[tuple[str, list[str], str]]:
    """Yield name, command, and what it says once it counts."""
    output = f"{machine.SCRATCH}/counted.tif.parquet"
    yield "an empty program", [PYTHON, "-m", "tests.bench.peers.bcc_exits", "empty"], "attached"
    for route in routes:
        yield (
            f"tifbpf, {route}",
            [TIFBPF, "record", "--force", "--route", route, "-o", output],
            "tifbpf: recording",
        )
    yield "bpftrace", ["bpftrace", "-B", "none", "-e", SCRIPTS["words"]], "attached"


def _loop(shared: Path, kind: str) -> float:
    done = subprocess.run([shared / "loop", kind, str(_CALLS)], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _alone(shared: Path) -> Counted:
    whole = {kind: [_loop(shared, kind) for _ in range(_TIMES)] for kind in KINDS}
    return Counted("nothing", "", whole=whole)


def _side(shared: Path, name: str, command: list[str], marker: str) -> Counted:
    before = programs.loaded()
    try:
        with running(command, marker, within=_PATIENCE):
            whole = {kind: [_loop(shared, kind) for _ in range(_TIMES)] for kind in KINDS}
            # By now it has let go of those that it tried the kernel with.
            ours = {number: runs for number, runs in programs.loaded().items() if number not in before}
            inside = {kind: [_inside(shared, kind, set(ours)) for _ in range(_TIMES)] for kind in KINDS}
    except MissingError as error:
        return Counted(name, _shown(command), missing=str(error))
    return Counted(
        name,
        _shown(command),
        jited_bytes=sum(runs.jited_bytes for runs in ours.values()),
        bpf_instructions=sum(runs.instructions for runs in ours.values()),
        programs=len(ours),
        whole=whole,
        inside=inside,
    )


def _inside(shared: Path, kind: str, numbers: set[int]) -> float:
    with enable_run_times():
        began = programs.loaded()
        _loop(shared, kind)
        ended = programs.loaded()
    return sum(ended[number].ns - began[number].ns for number in numbers) / _CALLS


def _shown(command: Sequence[str]) -> str:
    return " ".join({PYTHON: "python", TIFBPF: "tifbpf"}.get(word, word) for word in command)


def main() -> None:
    shared = Path(sys.argv[1])
    orders = msgspec.json.decode((shared / ORDERS).read_bytes(), type=Orders)
    guest.prepare(orders.config)
    found = [_alone(shared)]
    for name, command, marker in sides(orders.routes):
        found.append(_side(shared, name, command, marker))
        print(msgspec.json.encode(found[-1]).decode(), flush=True)
        (shared / FOUND).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
