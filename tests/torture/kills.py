"""The recorder is killed: what it had flushed reads, and what is missing is what it says."""

from __future__ import annotations

import random
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

import tifbpf
from tests.torture import ticker
from tests.torture.report import Outcome
from tests.torture.stand import TIFBPF, Stand, stand
from tifbpf.errors import InputEmptyError, InputMissingError
from tifbpf.layouts.model import Word
from tifbpf.recorder.layout import running_layout
from tifbpf.recording.reader import State

CAMPAIGN = "kills"
INTERVAL = 0.1
RANDOM_KILLS = 200
_SURVIVED = "ended before"
_NEAR_NS = 50_000_000
"""So much of the time around the last flush is not looked at: the recorder reads the clock just after it told
the programs to write elsewhere, and may be preempted in between."""


class Killed:
    """What is left of a recorder beside a ticker."""

    def __init__(self, place: Stand, outcome: Outcome) -> None:
        """Start the ticker."""
        self._place = place
        self._outcome = outcome
        self._times = place.directory / "scratch" / "times"
        with self._times.open("wb") as stream:
            stream.truncate(ticker.ROOM * 8)
        self._ticker = place.start([TIFBPF[0], "-m", "tests.torture.ticker", self._times])
        self.options = ("--by", "syscall", "--comm", ticker.NAME)

    def judge(self, killed_ns: int, interval: float) -> None:
        """Compare the recording with what the ticker did.

        Raises:
            AssertionError: it cannot be read, or does not hold what it says it holds.
        """
        self._ticker.kill()
        self._ticker.communicate()
        begun, ended = ticker.read(self._times)
        self._times.unlink()
        try:
            recordings = tifbpf.read(self._place.output)
        except (InputMissingError, InputEmptyError):
            # Killed in its first interval; nothing is there that says otherwise.
            assert not list(self._place.segments.glob("[0-9]*.parquet"))
            self._outcome.count("nothing flushed yet")
            return
        (recording,) = recordings.recordings
        (metadata,) = recordings.metadata
        assert not recording.gaps, recording.gaps
        start_ns = metadata.started_ns
        end_ns = start_ns + metadata.duration_ns
        frame = recordings.exits()
        frame = frame[frame["syscall"] == "kill"]
        bit = running_layout().named("SIGPENDING", Word.TIF)
        assert bit is not None
        signalled = [int(word) & bit.value != 0 for word in frame["tif_value"]]
        seen = int(frame["count"][signalled].sum())
        least = between(begun, ended, start_ns + _NEAR_NS, end_ns - _NEAR_NS)
        most = between(begun, ended, start_ns - _NEAR_NS, end_ns + _NEAR_NS)
        assert least <= seen <= most, f"{seen} acts in the recording, between {least} and {most} made"
        said = self._place.run("report", self._place.output)
        if recording.state is State.KILLED:
            lasted = re.search(r"after the first ([\d.]+) (m?s) are missing", " ".join(said.split()))
            assert lasted, said
            missing = (killed_ns - end_ns) / 1e9
            self._outcome.most("longest missing, in intervals", missing / interval)


def between(begun: np.ndarray, ended: np.ndarray, start_ns: int, end_ns: int) -> int:
    """Return how many acts were made from `start_ns` to `end_ns`."""
    n = len(ended)
    return int(((begun[:n] >= max(start_ns, 0)) & (ended <= max(end_ns, 0))).sum())


def at_random(place: Stand, outcome: Outcome, after: float, *, from_start: bool) -> None:
    """Kill a recorder so many seconds after it records, or after it was started."""
    killed = Killed(place, outcome)
    recorder = place.recorder(*killed.options, "--interval", str(INTERVAL), wait=not from_start)
    time.sleep(after)
    killed_ns = time.time_ns()
    recorder.end(signal.SIGKILL)
    killed.judge(killed_ns, INTERVAL)


def at_step(place: Stand, outcome: Outcome, call: str, step: int, duration: float, interval: float) -> None:
    """Kill a recorder as it enters its `step`th call of that kind, if it makes so many."""
    killed = Killed(place, outcome)
    trace = place.directory / "scratch" / "trace"
    recorder = place.recorder(*killed.options, "--interval", str(interval), "-d", str(duration))
    place.trace(recorder, trace, call, "-e", f"inject={call}:signal=KILL:when={step}")
    code, _ = recorder.end(None)
    lines = trace.read_text().splitlines()
    trace.unlink()
    died = any("killed by SIGKILL" in line for line in lines)
    assert died == (code != 0), code
    ended_ns = round(float(lines[-1].split()[0]) * 1e9) if lines else time.time_ns()
    killed.judge(ended_ns, interval)
    if died:
        outcome.count(f"at {call}")
    else:
        outcome.count(_SURVIVED)


def run(scale: float, names: str = "") -> Iterator[Outcome]:
    """Run all of it."""
    chance = random.Random(7)  # noqa: S311 (no secret)
    kills = max(round(RANDOM_KILLS * scale), 2)
    beginnings = max(kills // 5, 1)
    for what, runs, longest, from_start in (
        ("SIGKILL at a random moment from the start", beginnings, 1.5, True),
        ("SIGKILL at a random moment of recording", kills - beginnings, 1.0, False),
    ):
        outcome = Outcome(campaign=CAMPAIGN, what=what)
        for after in (chance.uniform(0, longest) for _ in range(runs)):
            if re.search(names, what):
                outcome.attempt(
                    partial(_in_place, at_random, outcome, after, from_start=from_start), faults=1
                )
        if outcome.runs:
            yield outcome
    for what, duration, interval, calls in (
        ("SIGKILL at each fsync, rename and unlink of a few flushes and the merge", 0.4, 0.1, EVERY),
        ("SIGKILL at some while 64 segments become one", 6.0, 0.01, _near_roll_up(chance, scale)),
    ):
        if not re.search(names, what):
            continue
        outcome = Outcome(campaign=CAMPAIGN, what=what)
        for call, steps in calls.items():
            for step in steps:
                before = outcome.figures.get(_SURVIVED)
                case = partial(_in_place, at_step, outcome, call, step, duration, interval)
                outcome.attempt(case, faults=1)
                if outcome.figures.get(_SURVIVED) != before:
                    outcome.faults -= 1
                    break
        yield outcome


EVERY = dict.fromkeys(("fsync", "rename", "renameat", "unlink", "unlinkat", "rmdir"), range(1, 40))


def _near_roll_up(chance: random.Random, scale: float) -> dict[str, list[int]]:
    """Return which calls of each kind to be killed at: flush 64 writes one segment more, and removes 63."""
    removals = chance.sample(range(66, 128), max(round(20 * scale), 1))
    return {"fsync": [64, 65], "renameat": [64, 65, 66], "unlinkat": [65, *sorted(removals), 128, 129]}


def _in_place(act: Callable[..., None], *arguments: object, **given: object) -> None:
    with tempfile.TemporaryDirectory() as directory, stand(Path(directory)) as place:
        act(place, *arguments, **given)
