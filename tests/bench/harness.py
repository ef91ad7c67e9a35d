"""What every bench shares: sides measured in turn, rows made of them, processes that end with the bench.

A bench is a function that yields rows:

    @bench("start", "From the command to attached")
    def start(run: Run) -> Iterator[Row]:
        yield run.row(
            "start to attached", "s",
            [
                Side("python -c pass", Role.FLOOR, command=…, measure=…),
                Side("tifbpf record", Role.OURS, command=…, measure=…),
                Side("bpftrace", Role.PEER, command=…, measure=…),
            ],
            Goal("at most 0.6 s", lambda it: it["tifbpf record"] <= 0.6),
        )

`measure` takes one value, once a round. A side that cannot run here raises `MissingError`, and stands in the
table by its name with the reason.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

PYTHON = sys.executable
TIFBPF = str(Path(PYTHON).with_name("tifbpf"))
_PATIENCE = 30
"""Seconds that a process has to end in after it was told to, before it is killed."""


class MissingError(Exception):
    """A side cannot run here; its text says why."""


class Role(StrEnum):
    """What a side is to the others."""

    OURS = "ours"
    FLOOR = "floor"
    """What nobody can be below."""
    PEER = "peer"


class Side(NamedTuple):
    """One way of doing the same."""

    name: str
    role: Role
    command: str
    """Exactly what was run."""
    measure: Callable[[], float]
    """Take one value."""


class Goal(NamedTuple):
    """What the medians have to be."""

    words: str
    met: Callable[[Mapping[str, float]], bool]
    """Of the medians, by the side's name; a KeyError where a side is missing means that nobody knows."""


class Spread(msgspec.Struct, frozen=True):
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return that of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


class MeasuredSide(msgspec.Struct, frozen=True, kw_only=True):
    """What one side came to."""

    name: str
    role: Role
    command: str
    values: list[float]
    """One a round; none where it is missing."""
    missing: str | None = None
    """Why it could not run."""

    @property
    def spread(self) -> Spread:
        """Return that of the values."""
        return Spread.of(self.values)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity, and what each side came to."""

    what: str
    unit: str
    sides: list[MeasuredSide]
    goal: str | None = None
    met: bool | None = None
    """By the medians; None: no goal, or a side of it is missing."""
    above_floor: bool = False
    """What counts is what a side adds to the floor."""
    notes: tuple[str, ...] = ()

    def of(self, role: Role) -> list[MeasuredSide]:
        """Return the sides in that role which have values."""
        return [side for side in self.sides if side.role is role and side.values]

    def to_floor(self, side: MeasuredSide) -> Spread | None:
        """Return how many times the floor's a side's values are, round by round."""
        floors = self.of(Role.FLOOR)
        if not (floors and side.values) or side.role is Role.FLOOR:
            return None
        return _ratio(side.values, floors[0].values)

    def ours_to(self, side: MeasuredSide) -> Spread | None:
        """Return how many times a peer's values ours are, round by round.

        Where that is what counts, of what each adds to the floor.
        """
        ours = self.of(Role.OURS)
        if not (ours and side.values) or side.role is not Role.PEER:
            return None
        own, other = ours[0].values, side.values
        if self.above_floor:
            floors = self.of(Role.FLOOR)
            if not floors:
                return None
            own = [value - floor for value, floor in zip(own, floors[0].values, strict=False)]
            other = [value - floor for value, floor in zip(other, floors[0].values, strict=False)]
        return _ratio(own, other)


def _ratio(values: Sequence[float], of: Sequence[float]) -> Spread | None:
    pairs = [value / other for value, other in zip(values, of, strict=False) if other > 0]
    return Spread.of(pairs) if pairs else None


class Run:
    """What a bench is given: how many rounds, and a directory of its own, which goes with it."""

    def __init__(self, rounds: int, directory: Path) -> None:
        """Begin."""
        self.rounds = rounds
        self.directory = directory

    def row(
        self,
        what: str,
        unit: str,
        sides: Sequence[Side],
        goal: Goal | None = None,
        *,
        above_floor: bool = False,
        notes: Sequence[str] = (),
        rounds: int | None = None,
    ) -> Row:
        """Measure every side once a round, so that what the machine does meanwhile meets all of them.

        Args:
            what: the quantity.
            unit: of the values.
            sides: what to measure; their order changes from round to round.
            goal: what the medians have to be.
            above_floor: what a side adds to the floor is what is compared with the peers.
            notes: what the reader has to know.
            rounds: if others than the run's.
        """
        taken: dict[str, list[float]] = {side.name: [] for side in sides}
        missing: dict[str, str] = {}
        for number in range(rounds or self.rounds):
            for side in (*sides[number % len(sides) :], *sides[: number % len(sides)]):
                if side.name in missing:
                    continue
                say(f"{what}, round {number + 1}: {side.name}")
                try:
                    taken[side.name].append(side.measure())
                except MissingError as error:
                    missing[side.name] = str(error)
                    taken[side.name].clear()
        return row(
            what,
            unit,
            [
                MeasuredSide(
                    name=side.name,
                    role=side.role,
                    command=side.command,
                    values=taken[side.name],
                    missing=missing.get(side.name),
                )
                for side in sides
            ],
            goal,
            above_floor=above_floor,
            notes=notes,
        )


def row(
    what: str,
    unit: str,
    sides: Sequence[MeasuredSide],
    goal: Goal | None = None,
    *,
    above_floor: bool = False,
    notes: Sequence[str] = (),
) -> Row:
    """Return the row of values that were taken in another way than `Run.row` does; arguments as there."""
    met = None
    if goal:
        with contextlib.suppress(KeyError):
            met = goal.met({side.name: side.spread.median for side in sides if side.values})
    return Row(
        what=what,
        unit=unit,
        sides=list(sides),
        goal=goal.words if goal else None,
        met=met,
        above_floor=above_floor,
        notes=tuple(notes),
    )


class Bench(NamedTuple):
    """One group of rows."""

    name: str
    title: str
    run: Callable[[Run], Iterator[Row]]


BENCHES: dict[str, Bench] = {}
"""All that were imported."""


def bench(
    name: str, title: str
) -> Callable[[Callable[[Run], Iterator[Row]]], Callable[[Run], Iterator[Row]]]:
    """Register a function as the bench `name`."""

    def register(run: Callable[[Run], Iterator[Row]]) -> Callable[[Run], Iterator[Row]]:
        BENCHES[name] = Bench(name, title, run)
        return run

    return register


def say(what: str) -> None:
    """Tell who waits what is going on; a line that the next one replaces."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{what}")
        sys.stderr.flush()


def need(program: str) -> None:
    """Make sure that a program is installed.

    Raises:
        MissingError: it is not.
    """
    if shutil.which(program) is None:
        raise MissingError(f"{program} is not installed")


def seconds(command: Sequence[str]) -> float:
    """Return the time from a command's start to its end.

    Raises:
        MissingError: there is no such program, or it failed.
    """
    need(command[0])
    began = time.perf_counter()
    finished = subprocess.run(command, capture_output=True, check=False)
    took = time.perf_counter() - began
    _succeeded(command, finished.returncode, finished.stderr)
    return took


def _succeeded(command: Sequence[str], code: int, said: bytes) -> None:
    if code:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise MissingError(f"{Path(command[0]).name} ended with {code}: {last}")


def cpu_seconds(command: Sequence[str]) -> float:
    """Return the CPU time, user and system, of a command and its children.

    Raises:
        MissingError: there is no such program, or it failed.
    """
    need(command[0])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    _succeeded(command, process.returncode, said)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def running(
    command: Sequence[str], marker: str | None = None, *, within: float = 60, **given: object
) -> Iterator[subprocess.Popen[str]]:
    """Have a command running: from when it says `marker` in a line, until it was told to end, by SIGINT.

    Args:
        command: what to start; stdout and stderr are one.
        marker: part of the line to wait for; None: do not wait.
        within: how long to wait, in seconds.
        given: more for subprocess.Popen.

    Raises:
        MissingError: there is no such program, or it never said so.
    """
    need(command[0])
    process = subprocess.Popen(  # type: ignore[call-overload]
        command, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **given}
    )
    try:
        if marker is not None:
            _wait_for(process, marker, within)
        yield process
    finally:
        end(process)


def _wait_for(process: subprocess.Popen[str], marker: str, within: float) -> None:
    assert process.stdout is not None
    # Whoever does not say it in time is killed, which ends the loop.
    timer = threading.Timer(within, process.kill)
    timer.start()
    try:
        said = ""
        for line in process.stdout:
            if marker in line:
                return
            said = line.strip() or said
    finally:
        timer.cancel()
    raise MissingError(f"{Path(str(process.args[0])).name} never said {marker!r}, but: {said}")  # type: ignore[index]


def end(process: subprocess.Popen[str]) -> str:
    """End a process that `running` started, and return what was left of what it said."""
    deadline = time.monotonic() + _PATIENCE
    said = ""
    while process.returncode is None:
        # bpftrace 0.17 forgets a SIGINT that comes while it attaches the last of its probes.
        process.send_signal(signal.SIGINT if time.monotonic() < deadline else signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            said = process.communicate(timeout=3)[0] or ""
    return said


def proportional_set_size(pid: int) -> float:
    """Return the PSS of a process in MB (10^6 bytes)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024 / 1e6
