"""The long campaigns: coverage-guided fuzzing of every target, and mutated recordings.

Both go on where they were: how many inputs there were, and what failed, is in build/fuzz.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.torture.fuzz import mutations
from tests.torture.fuzz.mutations import Mutant
from tests.torture.fuzz.reading import MEGABYTES, Answer, Reader, reader
from tests.torture.fuzz.targets import TARGETS, Target
from tests.torture.report import Outcome

EXECUTIONS = 1_000_000
FILES = 10_000
STATE = Path("build/fuzz")
_PRIORITY = 19


def fuzz(scale: float, only: str) -> Iterator[Outcome]:
    """Fuzz each target until it has had its executions, over all the times that this was run."""
    for target in TARGETS.values():
        if re.search(only, target.name):
            yield _fuzzed(target, STATE / target.name, int(EXECUTIONS * scale))


def _fuzzed(target: Target, state: Path, wanted: int) -> Outcome:
    state.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    while (left := wanted - _count(state)) > 0:
        with tempfile.TemporaryDirectory() as inputs, (state / "log").open("ab") as log:
            before = _count(state)
            command = [sys.executable, "-m", "tests.torture.fuzz.one", target.name, str(state), str(left)]
            subprocess.run(
                ["nice", "-n", str(_PRIORITY), *command],
                env={**os.environ, "TMPDIR": inputs},
                stdout=log,
                stderr=log,
                check=False,
            )
        if _count(state) == before:
            return Outcome(campaign="fuzz", what=target.what, failures=["it does not start; see its log"])
    failures = [
        f"{path.stem}: {json.loads(path.read_text())['error'][:200]}"
        for path in sorted((state / "failures").glob("*.json"))
    ]
    # What libFuzzer ended the process for: a hang, memory, a crash.
    failures += [path.name for path in sorted((state / "ended").iterdir())]
    corpus = sum(1 for _ in (state / "corpus").iterdir())
    return Outcome(
        campaign="fuzz",
        what=target.what,
        runs=_count(state),
        failures=failures,
        seconds=time.monotonic() - start,
        figures={"inputs that reached something new": float(corpus)},
    )


def _count(state: Path) -> int:
    try:
        return int(struct.unpack("<Q", (state / "count").read_bytes())[0])
    except FileNotFoundError:
        return 0


class Progress(msgspec.Struct, kw_only=True):
    """How far the mutated recordings are."""

    following: int = 0
    runs: dict[str, int] = msgspec.field(default_factory=dict)
    read: dict[str, int] = msgspec.field(default_factory=dict)
    """Of these, how many were read."""
    failures: dict[str, list[str]] = msgspec.field(default_factory=dict)
    seconds: float = 0
    """The most that one took, of CPU time."""
    megabytes: int = 0
    """The most that the process had, Python and its libraries included."""

    def note(self, kind: str, number: int, answer: Answer, failure: str | None) -> None:
        """Count a file."""
        self.runs[kind] = self.runs.get(kind, 0) + 1
        self.read[kind] = self.read.get(kind, 0) + (answer.verdict == "read")
        self.seconds = max(self.seconds, answer.seconds)
        self.megabytes = max(self.megabytes, answer.megabytes)
        if failure is not None:
            self.failures.setdefault(kind, []).append(f"file {number}: {failure}")


class Judge:
    """Tells whether what came of a file is what may come of it."""

    def __init__(self, reader: Reader, directory: Path) -> None:
        """Read with `reader`, from `directory`."""
        self._reader = reader
        self._path = directory / "input.tif.parquet"
        self._originals: dict[bytes, Answer] = {}

    def failure(self, mutant: Mutant) -> tuple[Answer, str | None]:
        """Return what came of it, and what is wrong with that."""
        answer = self._answer(mutant.content)
        if answer.verdict not in ("read", "refused"):
            return answer, f"{answer.verdict}: {answer.said.strip().splitlines()[-1][:200]}"
        if answer.megabytes > MEGABYTES:
            return answer, f"{answer.megabytes} MB"
        if mutant.original is None or answer.verdict == "refused":
            return answer, None
        if mutant.original not in self._originals:
            self._originals[mutant.original] = self._answer(mutant.original)
        same = answer.said == self._originals[mutant.original].said
        return answer, None if same else "it was read, with other numbers than before"

    def _answer(self, content: bytes) -> Answer:
        self._path.write_bytes(content)
        return self._reader.read(self._path)


def files(scale: float, only: str) -> Iterator[Outcome]:
    """Read mutated recordings; each is refused in a line, or read as what it was made of."""
    saved = STATE / "files.json"
    saved.parent.mkdir(parents=True, exist_ok=True)
    progress = msgspec.json.decode(saved.read_bytes(), type=Progress) if saved.exists() else Progress()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, reader(_PRIORITY) as found:
        judge = Judge(found, Path(directory))
        for number in range(progress.following, int(FILES * scale)):
            mutant = mutations.file(number)
            if re.search(only, mutant.kind):
                progress.note(mutant.kind, number, *judge.failure(mutant))
            progress.following = number + 1
            saved.write_bytes(msgspec.json.encode(progress))
    seconds = time.monotonic() - start
    for kind, runs in sorted(progress.runs.items()):
        yield Outcome(
            campaign="files",
            what=kind,
            runs=runs,
            failures=progress.failures.get(kind, []),
            figures={"read": float(progress.read.get(kind, 0))},
        )
    yield Outcome(
        campaign="files",
        what="all of them",
        runs=sum(progress.runs.values()),
        seconds=seconds,
        figures={"CPU seconds at most": progress.seconds, "MB at most": float(progress.megabytes)},
    )
