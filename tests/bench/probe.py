"""What the programs themselves take, by the kernel's own clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from subprocess import Popen

from tests.bench import programs
from tests.bench.harness import PYTHON, TIFBPF, Goal, MissingError, Role, Row, Run, Side, bench, running
from tests.bench.workloads import Loop
from tifbpf.recorder.bpf import enable_run_times

CALLS = 1_000_000
ALL = "syscall,comm,pid,cgroup,cpu"
_WORDS = "curtask->thread_info.flags, curtask->thread_info.syscall_work"
_SCRIPT = 'BEGIN {{ printf("attached\\n"); }} tracepoint:raw_syscalls:sys_exit {{ @[{}] = count(); }}'
SCRIPTS = {
    "words": _SCRIPT.format(_WORDS),
    "all": _SCRIPT.format(f"args->id, comm, pid, cgroup, cpu, {_WORDS}"),
}
"""By what they keep apart; `words` is what `tifbpf record` does alone."""


def commands(run: Run, kept: str) -> dict[str, tuple[list[str], str]]:
    """Return by its name what counts exits, and what it says once it does.

    Args:
        run: whose directory to write to.
        kept: what to keep apart: `words`, or `all` else as well.
    """
    by = ["--by", ALL] if kept == "all" else []
    recording = str(run.directory / "bench.tif.parquet")
    return {
        "tifbpf record": ([TIFBPF, "record", "--force", "-o", recording, *by], "tifbpf: recording"),
        "bpftrace": (["bpftrace", "-B", "none", "-e", SCRIPTS[kept]], "attached"),
        "bcc": ([PYTHON, "-m", "tests.bench.peers.bcc_exits", kept], "attached"),
    }


def shown(command: Sequence[str]) -> str:
    """Return a command as somebody else would write it."""
    names = {PYTHON: "python", TIFBPF: "tifbpf"}
    words = [names.get(word, Path(word).name if word.endswith(".tif.parquet") else word) for word in command]
    return " ".join(f"'{word}'" if " " in word else word for word in words)


def ns_a_run(side: AbstractContextManager[Popen[str]], loop: Loop, kind: str) -> float:
    """Return the nanoseconds that the programs of a side take for each exit of a loop."""
    before = programs.loaded()
    with side, enable_run_times():
        began = {number: runs for number, runs in programs.loaded().items() if number not in before}
        loop.ns(kind, CALLS)
        ended = programs.loaded()
    ran = {number: ended[number].count - runs.count for number, runs in began.items() if number in ended}
    if not any(count >= CALLS for count in ran.values()):
        raise MissingError("its program did not run at each exit")
    return sum(ended[number].ns - began[number].ns for number in ran) / max(ran.values())


def _rows(run: Run, what: str, kind: str, kept: str, goal: Goal | None) -> Row:
    loop = Loop(run.directory)
    empty = [PYTHON, "-m", "tests.bench.peers.bcc_exits", "empty"]
    sides = {"an empty program": (empty, "attached"), **commands(run, kept)}
    roles = {"an empty program": Role.FLOOR, "tifbpf record": Role.OURS}
    return run.row(
        what,
        "ns",
        [
            Side(
                name,
                roles.get(name, Role.PEER),
                shown(command),
                partial(lambda it: ns_a_run(running(*it), loop, kind), (command, marker)),
            )
            for name, (command, marker) in sides.items()
        ],
        goal,
        above_floor=True,
    )


@bench("probe", "BPF time per exit")
def probe(run: Run) -> Iterator[Row]:
    """By run_time_ns over run_cnt; the kernel reads the clock twice for that, which the floor shows."""

    def added(it: Mapping[str, float], name: str) -> float:
        return it[name] - it["an empty program"]

    half = Goal(
        "ours adds at most half of what bpftrace adds to the empty program",
        lambda it: added(it, "tifbpf record") <= added(it, "bpftrace") / 2,
    )
    at_most = Goal("at most bpftrace's", lambda it: it["tifbpf record"] <= it["bpftrace"])
    yield _rows(run, "BPF time per fast exit", "fast", "words", half)
    yield _rows(run, "BPF time per slow exit", "slow", "words", None)
    yield _rows(run, "BPF time per fast exit, all dimensions on", "fast", "all", None)
    yield _rows(run, "BPF time per slow exit, all dimensions on", "slow", "all", at_most)
