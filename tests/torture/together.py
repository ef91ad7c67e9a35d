"""Several recorders at once: each is right, or says why not."""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import tifbpf
from tests.bpftrace import Bpftrace
from tests.torture.report import Outcome
from tests.torture.stand import TIFBPF, Stand, one_line, stand
from tifbpf.errors import ExitCode

CAMPAIGN = "two at once"
ROUNDS = 10
ACTS = 2_000
_KILL = ("--by", "syscall,pid", "--syscall", "kill")


def signals(place: Stand) -> list[str]:
    """Return a command that makes ACTS slow exits of kill."""
    return [*TIFBPF, "exercise", "-q", "signal", "-n", str(ACTS)]


def slow_kills(output: Path) -> int:
    """Return how many exits of kill with SIGPENDING are in a recording."""
    recordings = tifbpf.read(output)
    (metadata,) = recordings.metadata
    assert metadata.totals.losses.total == 0, metadata.totals
    frame = recordings.exits()
    frame = frame[(frame["syscall"] == "kill") & frame["tif"].str.contains("SIGPENDING")]
    by_pid = frame.groupby("pid")["count"].sum()
    # Self-tests of the other recorder signal themselves too, less often.
    return int(by_pid.max())


def two_recorders(place: Stand) -> None:
    """One begins and ends while the other records."""
    first = place.recorder(*_KILL)
    output, place.output = place.output, place.directory / "scratch" / "second.tif.parquet"
    place.run("record", "-o", place.output, *_KILL, "--", *signals(place))
    assert slow_kills(place.output) == ACTS
    report = " ".join(place.run("report", place.output).split())
    place.output.unlink()
    place.output = output
    code, said = first.end(signal.SIGINT)
    assert code == 0, said
    assert slow_kills(place.output) == ACTS
    assert f"(pid {first.pid})" in report, report


def one_output(place: Stand) -> None:
    """The second is given the first one's output."""
    first = place.recorder(*_KILL)
    for force in ((), ("--force",)):
        said = place.run("record", "-o", place.output, "-d", "1", *force, code=ExitCode.OUTPUT_EXISTS)
        assert "is being recorded by another" in one_line(said)
    place.run(*signals(place)[len(TIFBPF) :])
    code, said = first.end(signal.SIGINT)
    assert code == 0, said
    assert slow_kills(place.output) == ACTS


def one_within_the_other(place: Stand) -> None:
    """`record -- tifbpf record -- CMD`."""
    inner = place.directory / "scratch" / "inner.tif.parquet"
    command = [*TIFBPF, "record", "-o", inner, *_KILL, "--", *signals(place)]
    place.run("record", "-o", place.output, *_KILL, "--", *command)
    assert slow_kills(place.output) == ACTS
    assert slow_kills(inner) == ACTS
    inner.unlink()


def beside_bpftrace(place: Stand) -> None:
    """A recorder and bpftrace at the same tracepoint."""
    script = 'tracepoint:raw_syscalls:sys_exit /comm == "tortured" && args->id == 110/ { @ = count(); }'
    calls = (
        "import ctypes; from tifbpf import exercises; prctl = ctypes.CDLL(None).prctl; "
        'prctl(15, b"tortured");'
        f'exercises.get("syscall").run({ACTS}); prctl(15, b"python3")'
    )
    with Bpftrace(script) as bpftrace:
        place.run(
            *("record", "-o", place.output, "--comm", "tortured", "--syscall", "getppid", "--"),
            *(TIFBPF[0], "-c", calls),
        )
        theirs = bpftrace.end()
    assert f"@: {ACTS}" in theirs, theirs
    assert place.totals().seen == ACTS


CASES: dict[str, Callable[[Stand], None]] = {
    "two recorders": two_recorders,
    "two recorders, one output": one_output,
    "record -- tifbpf record -- CMD": one_within_the_other,
    "a recorder and bpftrace": beside_bpftrace,
}


def run(scale: float, names: str = "") -> Iterator[Outcome]:
    """Do each ROUNDS times."""
    for what, case in CASES.items():
        if re.search(names, what):
            outcome = Outcome(campaign=CAMPAIGN, what=what)
            for _ in range(max(round(ROUNDS * scale), 1)):
                outcome.attempt(partial(_in_place, case))
            yield outcome


def _in_place(case: Callable[[Stand], None]) -> None:
    with tempfile.TemporaryDirectory() as directory, stand(Path(directory)) as place:
        case(place)
